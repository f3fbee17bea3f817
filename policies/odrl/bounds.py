"""What a constraint bounds, whatever else it says: the least that must hold where it is satisfied.

Each field of `Bounds` is a necessary condition, or None where nothing is bounded. All that must
hold together gives the narrower of two bounds, alternatives the wider; so the bounds of a whole
policy never refuse what the policy permits, and may admit what it refuses.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import reduce
from typing import Any

from policies import purposes
from policies.odrl import terms
from policies.odrl.model import AnyConstraint, Constraint, LogicalConstraint
from policies.odrl.operands import REFUSED
from policies.odrl.terms import Iri, LogicalOperator, Operator
from policies.odrl.values import Duration, Value
from policies.odrl.world import World

Names = tuple[str, ...]

_MOMENT = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_LAST = datetime.max.replace(tzinfo=UTC)
_LONGEST_MONTH = Decimal(31 * 86_400)
_ALTERNATIVES = frozenset({LogicalOperator.OR, LogicalOperator.XONE})
_AT_MOST = frozenset({Operator.LT, Operator.LTEQ, Operator.TERM_LTEQ, Operator.EQ})
_AT_LEAST = frozenset({Operator.GT, Operator.GTEQ, Operator.EQ})
_AMONG = frozenset({Operator.EQ, Operator.IS_ANY_OF, Operator.IS_A, Operator.IS_PART_OF})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds by the field of `policies.policy.Policy` that takes them.

    `purposes` are short names, each with all its parts; `not_after` is the first moment that is
    too late; `approval` is "person" where nothing is permitted before a person has answered.
    """

    purposes: Names | None = None
    tasks: Names | None = None
    columns: Names | None = None
    outputs: Names | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    minimum_participants: int | None = None
    minimum_cohort: int | None = None
    hours_per_job: int | None = None
    delta: Decimal | None = None
    epsilon_per_job: Decimal | None = None
    budget_epsilon: Decimal | None = None
    approval: str | None = None


def all_of(constraints: Iterable[AnyConstraint]) -> Bounds:
    """The bounds of constraints that must hold together."""
    return reduce(meet, map(_bounds, constraints), Bounds())


def any_of(alternatives: Iterable[Bounds]) -> Bounds:
    """The bounds of alternatives, at least one."""
    return reduce(join, alternatives)


def _bounds(constraint: AnyConstraint) -> Bounds:
    if not isinstance(constraint, LogicalConstraint):
        return _READERS[constraint.left](constraint) if constraint.left in _READERS else Bounds()
    inner = map(_bounds, constraint.operands)
    return reduce(join if constraint.operator in _ALTERNATIVES else meet, inner)


def meet(one: Bounds, other: Bounds) -> Bounds:
    """Both hold: the narrower of each."""
    return _combined(one, other, together=True)


def join(one: Bounds, other: Bounds) -> Bounds:
    """At least one holds: the wider of each."""
    return _combined(one, other, together=False)


def _combined(one: Bounds, other: Bounds, *, together: bool) -> Bounds:
    found: dict[str, Any] = {}
    for field in fields(Bounds):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if left is None or right is None:
            known = left if right is None else right
            found[field.name] = known if together else None
        else:
            found[field.name] = _COMBINE[field.name][0 if together else 1](left, right)
    return Bounds(**found)


def _common(one: Names, other: Names) -> Names:
    return tuple(name for name in one if name in other)


def _either(one: Names, other: Names) -> Names:
    return tuple(dict.fromkeys((*one, *other)))


def _common_purposes(one: Names, other: Names) -> Names:
    """The parts that two lists of purposes share: of any two, one contains the other, or none."""
    within = purposes.is_within
    return _either(
        tuple(name for name in one if any(within(name, wide) for wide in other)),
        tuple(name for name in other if any(within(name, wide) for wide in one)),
    )


_COMBINE: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "purposes": (_common_purposes, _either),
    **dict.fromkeys(("tasks", "columns", "outputs"), (_common, _either)),
    **dict.fromkeys(("not_before", "minimum_participants", "minimum_cohort"), (max, min)),
    **dict.fromkeys(("not_after", "hours_per_job", "epsilon_per_job", "budget_epsilon"),
                    (min, max)),
    # Counting at the smallest delta keeps every promise that a constraint on delta makes.
    "delta": (min, min),
    "approval": (max, max),
}  # fmt: skip


def _values(constraint: Constraint) -> tuple[Value, ...]:
    return constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)


def _names(field: str) -> Callable[[Constraint], Bounds]:
    def read(constraint: Constraint) -> Bounds:
        if constraint.operator not in _AMONG:
            return Bounds()
        listed = (one.value if isinstance(one, Iri) else str(one) for one in _values(constraint))
        return Bounds(**{field: tuple(dict.fromkeys(listed))})  # type: ignore[arg-type]  # one of three fields of the same type

    return read


def _purposes(constraint: Constraint) -> Bounds:
    if constraint.operator not in _AMONG:
        return Bounds()
    iris = (one.value for one in _values(constraint) if isinstance(one, Iri))
    return Bounds(purposes=tuple(dict.fromkeys(name for iri in iris for name in _within(iri))))


def _within(iri: str) -> Names:
    """The purposes of Art. 53 that an IRI, perhaps of another vocabulary, stands for."""
    purpose = purposes.by_iri(iri)
    if purpose is not None:
        return (purpose.name,)
    found = [one for one in purposes.ALLOWED.values() if iri in World().concepts(one.iri)]
    names = {one.name for one in found}
    return tuple(one.name for one in found if one.broader not in names)


def _date_time(constraint: Constraint) -> Bounds:
    operator, right = constraint.operator, constraint.right
    if operator is Operator.IS_ANY_OF:
        return any_of(_period(Operator.EQ, one) for one in _values(constraint))
    return Bounds() if isinstance(right, tuple) else _period(operator, right)


def _period(operator: Operator, right: Value) -> Bounds:
    if not isinstance(right, date):
        return Bounds()
    start, over = _span(right)
    first = {Operator.GTEQ: start, Operator.EQ: start, Operator.GT: over}
    end = {
        Operator.LT: start, Operator.LTEQ: over, Operator.TERM_LTEQ: over, Operator.EQ: over,
    }  # fmt: skip
    return Bounds(not_before=first.get(operator), not_after=end.get(operator))


def _span(right: date) -> tuple[datetime, datetime]:
    """The first moment of an instant, or of a day in UTC, and the first one after it."""
    if isinstance(right, datetime):
        start, length = right.astimezone(UTC), _MOMENT
    else:
        start, length = datetime(right.year, right.month, right.day, tzinfo=UTC), _DAY
    return start, start + length if start <= _LAST - length else _LAST


def _least(field: str) -> Callable[[Constraint], Bounds]:
    def read(constraint: Constraint) -> Bounds:
        right = constraint.right
        if constraint.operator not in _AT_LEAST or not isinstance(right, Decimal):
            return Bounds()
        whole = int(right.to_integral_value(ROUND_CEILING))
        above = constraint.operator is Operator.GT and whole == right
        return Bounds(**{field: whole + above})  # type: ignore[arg-type]  # one of two whole numbers

    return read


def _most(field: str) -> Callable[[Constraint], Bounds]:
    def read(constraint: Constraint) -> Bounds:
        right = constraint.right
        if constraint.operator not in _AT_MOST or not isinstance(right, Decimal):
            return Bounds()
        return Bounds(**{field: right})  # type: ignore[arg-type]  # one of three decimals

    return read


def _elapsed(constraint: Constraint) -> Bounds:
    right = constraint.right
    if constraint.operator not in _AT_MOST or not isinstance(right, Duration):
        return Bounds()
    hours = (right.seconds + right.months * _LONGEST_MONTH) / 3600
    return Bounds(hours_per_job=int(hours.to_integral_value(ROUND_CEILING)))


def _approval(constraint: Constraint) -> Bounds:
    """Unknown until a person has answered; a constraint that a refusal satisfies asks for none."""
    negative = constraint.operator in (Operator.NEQ, Operator.IS_NONE_OF)
    refusal_will_do = (REFUSED in _values(constraint)) is not negative
    return Bounds() if refusal_will_do else Bounds(approval="person")


_READERS: dict[str, Callable[[Constraint], Bounds]] = {
    terms.PURPOSE: _purposes,
    terms.TASK: _names("tasks"),
    terms.COLUMN: _names("columns"),
    terms.OUTPUT_KIND: _names("outputs"),
    terms.DATE_TIME: _date_time,
    terms.MIN_PARTICIPANTS: _least("minimum_participants"),
    terms.COHORT_SIZE: _least("minimum_cohort"),
    terms.ELAPSED_TIME: _elapsed,
    terms.DELTA: _most("delta"),
    terms.EPSILON: _most("epsilon_per_job"),
    terms.BUDGET_EPSILON: _most("budget_epsilon"),
    terms.APPROVAL: _approval,
}
