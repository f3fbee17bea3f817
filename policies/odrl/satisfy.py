"""Whether a constraint holds, in three values: satisfied, not satisfied, unknown.

A value that the world does not give makes a constraint unknown. Unknown never counts as satisfied,
and a prohibition that hangs on something unknown is not taken to be off (`evaluate`).

An operand may have several values (all columns asked for). Then a constraint of a permission or a
duty must hold for each of them, and one of a prohibition applies if it holds for any: of the two
readings of ODRL, the one that lets less through. Within xone neither does; where they differ, it is
unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from policies.odrl import terms, values
from policies.odrl.model import AnyConstraint, Constraint, LogicalConstraint
from policies.odrl.terms import Iri, LogicalOperator, Operator
from policies.odrl.values import Duration, Value
from policies.odrl.world import Values, World


class Satisfaction(StrEnum):
    """The outcome of one premise."""

    SATISFIED = "Satisfied"
    UNSATISFIED = "Unsatisfied"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A constraint with what was found: the actual values, why, and its operands' outcomes."""

    constraint: AnyConstraint
    satisfaction: Satisfaction
    actual: Values = ()
    reason: str = ""
    operands: "tuple[Outcome, ...]" = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """From whose point of view operands are looked up.

    `stated` values (what the requester says) count only where the world knows nothing better.
    `alone` is for the refinement of a party or an asset: then `stated` are its own attributes, and
    nothing else counts. `any_value` is set for prohibitions, `agreed` within xone. `units` are
    those of `stated`.
    """

    world: World
    stated: Mapping[str, Values] = field(default_factory=dict)
    alone: bool = False
    any_value: bool = False
    agreed: bool = False
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def otherwise(self) -> "Subject":
        """The same with the other reading of several values."""
        return replace(self, any_value=not self.any_value)

    def values_of(self, constraint: Constraint) -> Values:
        """The operand's values; empty when it is not known, or known in another unit."""
        left, world = constraint.left, self.world
        if self.alone:
            return self._in_unit(constraint, self.stated.get(left, ()), world.units)
        known = world.operands.get(left, ())
        if left == terms.DATE_TIME and world.now is not None:
            known = (world.now,)
        elif left in (terms.ELAPSED_TIME, terms.DELAY_PERIOD) and not known:
            known = _elapsed(world)
        if known:
            return self._in_unit(constraint, known, world.units)
        return self._in_unit(constraint, self.stated.get(left, ()), {**world.units, **self.units})

    def _in_unit(self, constraint: Constraint, found: Values, units: Mapping[str, str]) -> Values:
        wrong = constraint.unit is not None and units.get(constraint.left) != constraint.unit
        return () if wrong else found


def satisfy(constraint: AnyConstraint, subject: Subject) -> Outcome:
    """Evaluate one constraint, atomic or logical."""
    if isinstance(constraint, LogicalConstraint):
        return _logical(constraint, subject)
    if constraint.left == terms.EVENT:
        return _event(constraint, subject.world)
    actual = subject.values_of(constraint)
    if not actual:
        return Outcome(constraint, Satisfaction.UNKNOWN, (), _unknown(constraint, subject))
    verdict = compare(constraint, actual, subject)
    if subject.agreed and verdict is not compare(constraint, actual, subject.otherwise):
        reason = "it holds for some of the values only"
        return Outcome(constraint, Satisfaction.UNKNOWN, actual, reason)
    if verdict is None:
        reason = "the value found cannot be ordered against the bound"
        return Outcome(constraint, Satisfaction.UNKNOWN, actual, reason)
    return Outcome(constraint, _two_valued(verdict), actual)


def conjunction(outcomes: list[Satisfaction]) -> Satisfaction:
    """All must hold: one that fails decides, then one that is unknown."""
    if Satisfaction.UNSATISFIED in outcomes:
        return Satisfaction.UNSATISFIED
    return Satisfaction.UNKNOWN if Satisfaction.UNKNOWN in outcomes else Satisfaction.SATISFIED


def _two_valued(verdict: bool) -> Satisfaction:
    return Satisfaction.SATISFIED if verdict else Satisfaction.UNSATISFIED


def _unknown(constraint: Constraint, subject: Subject) -> str:
    known = constraint.left in subject.world.operands or constraint.left in subject.stated
    if constraint.unit is not None and known:
        return "the value is not known in the unit of the constraint"
    return "the value is not known"


def _elapsed(world: World) -> Values:
    if world.now is None or world.agreed_at is None:
        return ()
    passed = world.now - world.agreed_at
    microseconds = passed.days * 86_400_000_000 + passed.seconds * 1_000_000 + passed.microseconds
    return (Duration(0, values.seconds_of(microseconds)),)


def compare(constraint: Constraint, actual: Values, subject: Subject) -> bool | None:
    """Whether the values found satisfy an atomic constraint; None if they cannot be ordered."""
    operator = constraint.operator
    right = constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)
    if operator is Operator.IS_ALL_OF:
        return all(any(values.equal(value, bound) for value in actual) for bound in right)
    if operator is Operator.HAS_PART:
        return all(any(_within(bound, value, subject) for value in actual) for bound in right)
    if operator in (Operator.EQ, Operator.NEQ) and isinstance(constraint.right, tuple):
        same = len(actual) == len(right) and all(
            any(values.equal(value, bound) for bound in right) for value in actual
        )
        return same is (operator is Operator.EQ)
    found = [_one(value, operator, right, subject) for value in actual]
    if subject.any_value:
        return True if True in found else None if None in found else False
    return False if False in found else None if None in found else True


def _one(
    value: Value, operator: Operator, right: tuple[Value, ...], subject: Subject
) -> bool | None:
    if operator in terms.ORDERED:
        return values.ordered(value, operator, right[0])
    if operator in (Operator.IS_A, Operator.IS_PART_OF):
        above = _above(value, subject)  # once: a policy may list thousands of bounds
        return any(values.equal(value, bound) or _name(bound) in above for bound in right)
    among = any(values.equal(value, bound) for bound in right)
    return not among if operator in (Operator.NEQ, Operator.IS_NONE_OF) else among


def _within(narrow: Value, wide: Value, subject: Subject) -> bool:
    return values.equal(narrow, wide) or _name(wide) in _above(narrow, subject)


def _above(value: Value, subject: Subject) -> frozenset[str]:
    """Types and broader concepts, and for places and parts what contains them."""
    name = _name(value)
    if name is None:
        return frozenset()
    return subject.world.concepts(name) | subject.world.collections(name)


def _name(value: Value) -> str | None:
    if isinstance(value, Iri):
        return value.value
    return value if isinstance(value, str) else None


def _event(constraint: Constraint, world: World) -> Outcome:
    """Before (lt), during (eq) or after (gt) an event, as the vocabulary defines them."""
    right = constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)
    names = [_name(value) for value in right]
    periods = [world.events[name] for name in names if name is not None and name in world.events]
    if world.now is None or len(periods) != len(right):
        return Outcome(constraint, Satisfaction.UNKNOWN, (), "the event is not known")
    operator, now = constraint.operator, world.now
    holds = [_relates(now, operator, start, end) for start, end in periods]
    if None in holds:
        return Outcome(constraint, Satisfaction.UNKNOWN, (now,), "an event has no such relation")
    return Outcome(constraint, _two_valued(all(holds)), (now,))


def _relates(now: datetime, operator: Operator, start: datetime, end: datetime) -> bool | None:
    during, before, after = start <= now <= end, now < start, now > end
    return {
        Operator.EQ: during,
        Operator.NEQ: not during,
        Operator.LT: before,
        Operator.LTEQ: before or during,
        Operator.TERM_LTEQ: before or during,
        Operator.GT: after,
        Operator.GTEQ: after or during,
    }.get(operator)


def _logical(constraint: LogicalConstraint, subject: Subject) -> Outcome:
    if constraint.operator is LogicalOperator.XONE:
        subject = replace(subject, agreed=True)
    outcomes = tuple(satisfy(operand, subject) for operand in constraint.operands)
    states = [outcome.satisfaction for outcome in outcomes]
    if constraint.operator is LogicalOperator.OR:
        return Outcome(constraint, _any(states), operands=outcomes)
    if constraint.operator is LogicalOperator.XONE:
        return Outcome(constraint, _exactly_one(states), operands=outcomes)
    state, reason = conjunction(states), ""
    if constraint.operator is LogicalOperator.AND_SEQUENCE and state is Satisfaction.SATISFIED:
        times = [time for outcome in outcomes if (time := _came_to_be(outcome, subject.world))]
        if any(late < early for early, late in pairwise(times)):
            state, reason = Satisfaction.UNSATISFIED, "not in the order that the policy asks for"
    return Outcome(constraint, state, reason=reason, operands=outcomes)


def _any(states: list[Satisfaction]) -> Satisfaction:
    if Satisfaction.SATISFIED in states:
        return Satisfaction.SATISFIED
    unknown = Satisfaction.UNKNOWN in states
    return Satisfaction.UNKNOWN if unknown else Satisfaction.UNSATISFIED


def _exactly_one(states: list[Satisfaction]) -> Satisfaction:
    count = states.count(Satisfaction.SATISFIED)
    if count > 1:
        return Satisfaction.UNSATISFIED
    if Satisfaction.UNKNOWN in states:
        return Satisfaction.UNKNOWN
    return _two_valued(count == 1)


def _came_to_be(outcome: Outcome, world: World) -> datetime | None:
    """When a satisfied constraint became true, if the world says so."""
    constraint = outcome.constraint
    if isinstance(constraint, LogicalConstraint):
        times = [time for one in outcome.operands if (time := _came_to_be(one, world))]
        return max(times, default=None)
    if constraint.left != terms.EVENT:
        return world.since.get(constraint.left)
    name = _name(constraint.right) if not isinstance(constraint.right, tuple) else None
    if name is None or name not in world.events:
        return None
    return world.events[name][1 if constraint.operator is Operator.GT else 0]
