"""Constraints as closures over a request and facts: the fast twin of `satisfy`.

What occurs at every gate (purposes, names, dates, counts, epsilon) is compared as plain Python
values against sets and bounds that are made once; everything else goes through `satisfy.compare`.
Both give the same three values; tests hold them against each other.
"""

import operator as python
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from policies.odrl import terms
from policies.odrl.model import AnyConstraint, Constraint, LogicalConstraint
from policies.odrl.operands import Accessor, name
from policies.odrl.satisfy import Subject, compare
from policies.odrl.terms import LEFT_OPERANDS, Iri, LogicalOperator, Operator
from policies.odrl.values import Duration, Value, ordered
from policies.odrl.world import World
from policies.privacy import Budget
from policies.request import Facts, UsageRequest
from policies.rule import Check, keeps_to

_ORDER: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.LT: python.lt,
    Operator.LTEQ: python.le,
    Operator.TERM_LTEQ: python.le,
    Operator.GT: python.gt,
    Operator.GTEQ: python.ge,
}
_AMONG = frozenset({Operator.EQ, Operator.IS_ANY_OF, Operator.IS_A, Operator.IS_PART_OF})
_NOT_AMONG = frozenset({Operator.NEQ, Operator.IS_NONE_OF})
_HIERARCHICAL = frozenset({Operator.IS_A, Operator.IS_PART_OF})

# Operands whose values are names, as they stand in a request.
_ONE_NAME: Mapping[str, Callable[[UsageRequest, Facts], str]] = {
    terms.PURPOSE: lambda request, _facts: request.purpose,
    terms.OUTPUT_KIND: lambda request, _facts: request.output,
    terms.RECIPIENT: lambda request, _facts: request.data_user,
}
_NAMES: Mapping[str, Callable[[UsageRequest, Facts], tuple[str, ...]]] = {
    terms.TASK: lambda request, _facts: request.tasks,
    terms.COLUMN: lambda request, _facts: request.columns,
}
_COUNTS: Mapping[str, Callable[[UsageRequest, Facts], int | None]] = {
    terms.MIN_PARTICIPANTS: lambda request, _facts: request.participants,
    terms.COHORT_SIZE: lambda _request, facts: facts.persons,
}


def check_of(
    constraint: AnyConstraint,
    operands: Mapping[str, Accessor],
    world: World,
    budget: Budget | None,
    *,
    any_value: bool = False,
    agreed: bool = False,
) -> Check:
    """A constraint as a check. `world` holds what the policy itself defines, and no more.

    `any_value` is for prohibitions, `agreed` within xone (see `satisfy`). `budget` is that by which
    `operands` count.
    """
    if isinstance(constraint, LogicalConstraint):
        agreed = agreed or constraint.operator is LogicalOperator.XONE
        parts = tuple(
            check_of(one, operands, world, budget, any_value=any_value, agreed=agreed)
            for one in constraint.operands
        )
        return _logical(constraint.operator, parts)
    if constraint.left == terms.EVENT or constraint.unit is not None:
        return _never_known  # no event and no unit is known at a gate

    def reading(any_value: bool) -> Check:
        return _fast(constraint, world, budget, any_value) or _general(
            constraint, operands[constraint.left], Subject(world, any_value=any_value)
        )

    return _agreed(reading(False), reading(True)) if agreed else reading(any_value)


def conjunction(checks: tuple[Check, ...]) -> Check:
    """All must hold: one that fails decides, then one that is unknown."""

    def check(request: UsageRequest, facts: Facts) -> bool | None:
        states = [one(request, facts) for one in checks]
        return False if False in states else None if None in states else True

    return checks[0] if len(checks) == 1 else check


def disjunction(checks: tuple[Check, ...]) -> Check:
    """One that holds decides, then one that is unknown."""

    def check(request: UsageRequest, facts: Facts) -> bool | None:
        states = [one(request, facts) for one in checks]
        return True if True in states else None if None in states else False

    return checks[0] if len(checks) == 1 else check


def _logical(operator: LogicalOperator, checks: tuple[Check, ...]) -> Check:
    if operator is LogicalOperator.OR:
        return disjunction(checks)
    if operator is LogicalOperator.XONE:
        return _exactly_one(checks)
    return conjunction(checks)  # a gate knows no order of events: nothing contradicts a sequence


def _agreed(one: Check, other: Check) -> Check:
    """Where some values hold and others do not, neither reading is the stricter (`satisfy`)."""

    def check(request: UsageRequest, facts: Facts) -> bool | None:
        state = one(request, facts)
        return state if other(request, facts) is state else None

    return check


def _exactly_one(checks: tuple[Check, ...]) -> Check:
    def check(request: UsageRequest, facts: Facts) -> bool | None:
        states = [one(request, facts) for one in checks]
        holding = states.count(True)
        if holding > 1:
            return False
        return None if None in states else holding == 1

    return check


def _never_known(_request: UsageRequest, _facts: Facts) -> None:
    return None


def _general(constraint: Constraint, accessor: Accessor, subject: Subject) -> Check:
    def check(request: UsageRequest, facts: Facts) -> bool | None:
        found = accessor(request, facts)
        if found is None or found == ():
            return None
        return compare(constraint, found if isinstance(found, tuple) else (found,), subject)

    return check


def _fast(
    constraint: Constraint, world: World, budget: Budget | None, any_value: bool
) -> Check | None:
    """A check on plain values, or None where it takes the general one."""
    left, operator, right = constraint.left, constraint.operator, constraint.right
    if left in _ONE_NAME or left in _NAMES:
        return _names(constraint, world, any_value)
    if isinstance(right, tuple) or operator not in _ORDER:
        return None
    compares = _ORDER[operator]
    if left == terms.DATE_TIME and isinstance(right, datetime):
        moment = right.astimezone(UTC)
        return lambda _request, facts: compares(facts.now, moment)
    if left in _COUNTS and isinstance(right, Decimal):
        return _count(_COUNTS[left], compares, right)
    if left == terms.ELAPSED_TIME and isinstance(right, Duration) and right.months == 0:
        return _elapsed(compares, right)
    if budget is not None and isinstance(right, Decimal):
        return _privacy(left, operator, right, budget)
    return None


def _count(
    count: Callable[[UsageRequest, Facts], int | None],
    compares: Callable[[Any, Any], bool],
    right: Decimal,
) -> Check:
    bound = int(right) if right == right.to_integral_value() else right

    def check(request: UsageRequest, facts: Facts) -> bool | None:
        found = count(request, facts)
        return None if found is None else compares(found, bound)

    return check


def _elapsed(compares: Callable[[Any, Any], bool], right: Duration) -> Check:
    longest = timedelta(microseconds=int(right.seconds * 1_000_000))
    return lambda request, facts: compares(request.not_after - facts.now, longest)


def _privacy(left: str, operator: Operator, right: Decimal, budget: Budget) -> Check | None:
    if left == terms.DELTA:
        holds = ordered(budget.delta, operator, right)
        return lambda _request, _facts: holds
    if operator not in (Operator.LTEQ, Operator.TERM_LTEQ):
        return None
    if left == terms.BUDGET_EPSILON and right == budget.epsilon:
        return lambda _request, facts: budget.admits(facts.spent_dataset, facts.planned)
    if left == terms.EPSILON and 0 < right <= 1000:  # as `Budget`: beyond that nothing is private
        return keeps_to(right, budget.delta)
    return None


def _names(constraint: Constraint, world: World, any_value: bool) -> Check | None:
    bounds = constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)
    operator = constraint.operator
    if operator in (Operator.EQ, Operator.NEQ) and isinstance(constraint.right, tuple):
        return None  # all values against the set, even a set of one
    if operator not in _AMONG | _NOT_AMONG:
        return None
    among = operator in _AMONG
    listed = _texts(constraint.left, bounds)
    if operator in _HIERARCHICAL:
        listed |= _narrower(bounds, world)
    if constraint.left in _ONE_NAME:
        one = _ONE_NAME[constraint.left]
        if among:
            return lambda request, facts: one(request, facts) in listed
        return lambda request, facts: one(request, facts) not in listed
    return _several(_NAMES[constraint.left], listed, among, any_value)


def _several(
    names: Callable[[UsageRequest, Facts], tuple[str, ...]],
    listed: frozenset[str],
    among: bool,
    any_value: bool,
) -> Check:
    if among and any_value:
        return lambda request, facts: not listed.isdisjoint(names(request, facts))
    if among:
        return lambda request, facts: listed.issuperset(names(request, facts))
    if any_value:
        return lambda request, facts: not listed.issuperset(names(request, facts))
    return lambda request, facts: listed.isdisjoint(names(request, facts))


def _texts(left: str, bounds: tuple[Value, ...]) -> frozenset[str]:
    """The spellings in a request that are equal to one of the bounds (an IRI is no text)."""
    spelled = ((bound, bound.value if isinstance(bound, Iri) else bound) for bound in bounds)
    return frozenset(
        text
        for bound, text in spelled
        if isinstance(text, str) and text and name(text, LEFT_OPERANDS[left]) == bound
    )


def _narrower(bounds: tuple[Value, ...], world: World) -> frozenset[str]:
    """Every name that is known to be, or to lie within, one of the bounds."""
    wide = {bound.value if isinstance(bound, Iri) else str(bound) for bound in bounds}
    known = {*terms.BROADER_PURPOSES, *world.part_of, *world.broader}
    return frozenset(wide) | {
        narrow
        for narrow in known
        if not wide.isdisjoint(world.concepts(narrow) | world.collections(narrow))
    }
