"""Which permissions are in a participant's reach: `audience.Part` compiled to set look-ups.

Ten thousand offers are filtered for one catalogue request, so what is looked up of a participant is
worked out once, and what a policy asks for as well. Unusual operators go through `satisfy`.
"""

from collections.abc import Callable
from functools import cached_property

from policies.odrl import terms
from policies.odrl.audience import Part, Reach, Reduced, Tree
from policies.odrl.model import Constraint
from policies.odrl.operands import name
from policies.odrl.satisfy import Satisfaction, Subject, compare, satisfy
from policies.odrl.terms import Iri, LogicalOperator, Operator
from policies.odrl.values import Value
from policies.odrl.world import Values, World

Check = Callable[["View"], bool | None]
_HIERARCHICAL = frozenset({Operator.IS_A, Operator.IS_PART_OF})
_AMONG = frozenset({Operator.EQ, Operator.IS_ANY_OF}) | _HIERARCHICAL
_NOT_AMONG = frozenset({Operator.NEQ, Operator.IS_NONE_OF})
_STATES = {
    Satisfaction.SATISFIED: True,
    Satisfaction.UNSATISFIED: False,
    Satisfaction.UNKNOWN: None,
}


class View:
    """A participant as policies see it: its names, and its values by operand, ready to look up."""

    def __init__(self, uid: str, world: World) -> None:
        self.uid = uid
        self.world = world
        self.names = world.collections(uid)
        self.values: dict[str, Values] = {terms.RECIPIENT: (name(uid),)}
        self.values |= {key: found for key, found in world.operands.items() if found}
        self._spelled = {
            operand: frozenset(map(spelled, values)) for operand, values in self.values.items()
        }
        self._above = {
            operand: tuple(self._names_above(value) for value in values)
            for operand, values in self.values.items()
        }

    def spelled(self, operand: str) -> frozenset[str]:
        """The operand's values, as `spelled` gives them; empty where it is not known."""
        return self._spelled.get(operand, frozenset())

    def above(self, operand: str) -> tuple[frozenset[str], ...]:
        """For each value its own name, and those of broader concepts and of what contains it."""
        return self._above.get(operand, ())

    @cached_property
    def alone(self) -> Subject:
        """For refinements of a collection: only what the participant itself is."""
        return Subject(self.world, self.values, alone=True)

    def _names_above(self, value: Value) -> frozenset[str]:
        text = _name(value)
        if text is None:
            return frozenset()
        return self.world.concepts(text) | self.world.collections(text)


def compiled(part: Part) -> Callable[[View], tuple[int, ...]]:
    """From a participant to the permissions (by number) that are in its reach."""
    world = World(part_of=dict(part.memberships))
    permissions = [_applies(reach, world, any_value=False) for reach in part.permissions]
    prohibitions = [_applies(reach, world, any_value=True) for reach in part.prohibitions]

    def reachable(view: View) -> tuple[int, ...]:
        found = [index for index, check in enumerate(permissions) if check(view) is not False]
        if not found or not prohibitions:
            return tuple(found)
        certain = {index for index, check in enumerate(prohibitions) if check(view) is True}
        return tuple(
            index
            for index in found
            if any(certain.isdisjoint(blocking) for blocking in part.blocked_by[index])
        )

    return reachable


def spelled(value: Value) -> str:
    """A value as a key: equal if and only if the values are (`values.equal`), for names."""
    return f"<{value.value}>" if isinstance(value, Iri) else f"{type(value).__name__} {value}"


def _name(value: Value) -> str | None:
    if isinstance(value, Iri):
        return value.value
    return value if isinstance(value, str) else None


def _applies(reach: Reach, world: World, *, any_value: bool) -> Check:
    checks = [_check(constraint, world, any_value=any_value) for constraint in reach.constraints]
    if not reach.everyone:
        checks.insert(0, _party(reach))
    return _conjunction(checks)


def _party(reach: Reach) -> Check:
    members, refined = reach.members, reach.refined

    def check(view: View) -> bool | None:
        if not members.isdisjoint(view.names):
            return True
        states = [
            _all_of([_STATES[satisfy(one, view.alone).satisfaction] for one in refinements])
            for names, refinements in refined
            if not names.isdisjoint(view.names)
        ]
        return True if True in states else None if None in states else False

    return check


def _all_of(states: list[bool | None]) -> bool | None:
    return False if False in states else None if None in states else True


def _conjunction(checks: list[Check]) -> Check:
    def check(view: View) -> bool | None:
        state: bool | None = True
        for one in checks:
            found = one(view)
            if found is False:
                return False
            if found is None:
                state = None
        return state

    return check


def _check(constraint: Reduced, world: World, *, any_value: bool) -> Check:
    if constraint is None:
        return lambda _view: None
    if isinstance(constraint, Tree):
        checks = [_check(one, world, any_value=any_value) for one in constraint.operands]
        return _combined(constraint.operator, checks)
    operator, several = constraint.operator, isinstance(constraint.right, tuple)
    literal = several and operator in (Operator.EQ, Operator.NEQ)
    if literal or operator not in _AMONG | _NOT_AMONG:
        return _general(constraint, any_value=any_value)
    right = constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)
    if operator in _HIERARCHICAL:
        return _within(constraint.left, _below(right, world), any_value=any_value)
    return _among(constraint.left, right, operator in _AMONG, any_value=any_value)


def _among(operand: str, right: Values, among: bool, *, any_value: bool) -> Check:
    listed = frozenset(map(spelled, right))
    tests: dict[tuple[bool, bool], Callable[[frozenset[str]], bool]] = {
        (True, True): lambda found: not listed.isdisjoint(found),
        (True, False): listed.issuperset,
        (False, True): lambda found: not listed.issuperset(found),
        (False, False): listed.isdisjoint,
    }
    test = tests[among, any_value]

    def check(view: View) -> bool | None:
        found = view.spelled(operand)
        return test(found) if found else None

    return check


def _within(operand: str, names: frozenset[str], *, any_value: bool) -> Check:
    def check(view: View) -> bool | None:
        found = view.above(operand)
        if not found:
            return None
        states = [not names.isdisjoint(above) for above in found]
        return True in states if any_value else False not in states

    return check


def _below(right: Values, world: World) -> frozenset[str]:
    wide = {text for value in right if (text := _name(value)) is not None}
    return frozenset(wide) | {uid for uid in world.part_of if wide & world.collections(uid)}


def _general(constraint: Constraint, *, any_value: bool) -> Check:
    def check(view: View) -> bool | None:
        found = view.values.get(constraint.left, ())
        return (
            compare(constraint, found, Subject(view.world, any_value=any_value)) if found else None
        )

    return check


def _combined(operator: LogicalOperator, checks: list[Check]) -> Check:
    if operator is LogicalOperator.OR:
        return lambda view: _any_of([one(view) for one in checks])
    if operator is LogicalOperator.XONE:
        return lambda view: _one_of([one(view) for one in checks])
    return _conjunction(checks)  # without times nothing contradicts a sequence


def _any_of(states: list[bool | None]) -> bool | None:
    return True if True in states else None if None in states else False


def _one_of(states: list[bool | None]) -> bool | None:
    holding = states.count(True)
    if holding > 1:
        return False
    return None if None in states else holding == 1
