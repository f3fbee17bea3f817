"""What a new version of an ODRL policy changes: wider or tighter, with a request that shows it.

The search asks at the critical points of both policies: for each left operand one value of every
region (and none, not known), every action, party and asset that they name or can tell apart, each
duty fulfilled or violated. All combinations are tried as long as they are few; `exhaustive` says
whether they were, and whether the points stand for everything. Not searched: members of three or
more of many collections, and duties that were done in part, or at another time than now.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import combinations, pairwise, permutations

from policies.change import LIMIT, Change, Comparison, Decide, Edit, contrast, is_exhaustive, walk
from policies.change import Move as AnyMove
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.odrl import inherit, terms
from policies.odrl.actions import covered_by, entails, with_definitions
from policies.odrl.edits import differences
from policies.odrl.evaluate import evaluate
from policies.odrl.model import (
    AnyConstraint,
    LogicalConstraint,
    PartyCollection,
    Permission,
    Policy,
)
from policies.odrl.parts import (
    assigners,
    constraints_of,
    duties_of,
    named,
    parties,
    refinements,
    scopes_of,
    targets,
)
from policies.odrl.regions import (
    ANY_TIME,
    UNKNOWN,
    UNNAMED,
    Point,
    atoms,
    regions,
    rights,
    world_of,
)
from policies.odrl.solve import satisfying, separating
from policies.odrl.terms import LogicalOperator
from policies.odrl.world import DeonticState, DutyRecord, Performed, Request, World

RuleChange = Change[Request, World]
RuleComparison = Comparison[Request, World]
_Edit = Edit[Request, World]
_Decide = Decide[Request, World]

_REQUEST = "urn:commensal:example"
_MOST_DUTIES = 10
_MOST_STARTS = 24
_MOST_PLACES = 3  # parties or assets of which every combination is tried
_MOST_PAIRED = 12
MOST_EFFORT = 250_000  # rules and constants that are looked at, over all cases


@dataclass(frozen=True, slots=True)
class Question:
    """A request and its world, by the things that a policy may look at.

    `states` are of operands, `of_target` and `of_assignee` the attributes of these. `performed`:
    the assignee did every duty's action just now. `order`: which operands came to be first.
    """

    action: str | None = None
    target: str = UNNAMED.value
    assignee: str = UNNAMED.value
    assigner: str | None = None
    member_of: tuple[str, ...] = ()
    part_of: tuple[str, ...] = ()
    states: Mapping[str, Point] = field(default_factory=dict)
    of_target: Mapping[str, Point] = field(default_factory=dict)
    of_assignee: Mapping[str, Point] = field(default_factory=dict)
    records: Mapping[str, DeonticState] = field(default_factory=dict)
    performed: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    def ask(self) -> tuple[Request, World]:
        """As `policies.odrl.evaluate` takes it."""
        world = world_of(self.states)
        attributes = {
            self.target: {left: point.values for left, point in self.of_target.items()},
            self.assignee: {left: point.values for left, point in self.of_assignee.items()},
        }
        now = world.now or ANY_TIME
        return (
            Request(_REQUEST, self.action, self.assignee, self.target, self.assigner),
            replace(
                world,
                attributes=attributes,
                part_of={self.assignee: self.member_of, self.target: self.part_of},
                since={left: _later(place) for place, left in enumerate(self.order)},
                performed=tuple(
                    Performed(one, now, self.assignee, self.target) for one in self.performed
                ),
                records=tuple(
                    DutyRecord(_REQUEST, uid, state) for uid, state in self.records.items()
                ),
            ),
        )


_Move = AnyMove[Question]


def compare(old: Policy, new: Policy) -> tuple[RuleChange, ...]:
    """Every rule and every other part that differs, with what that does.

    Raises `PolicyError` as `contrasted` does.
    """
    return contrasted(old, new).changes


def contrasted(
    old: Policy,
    new: Policy,
    *,
    known: Mapping[str, Policy] | None = None,
    limit: int = LIMIT,
) -> RuleComparison:
    """Both policies as a whole; `known` has those that they inherit from.

    Raises `PolicyError` (ODRL_TERM, ODRL_CYCLE) if a parent is not known.
    """
    old, new = (inherit.resolve(one, known or {}) if one.inherits else one for one in (old, new))
    most = max(1, MOST_EFFORT // (size_of(old) + size_of(new)))
    limit = min(limit, most)
    starts, dimensions = _space((old, new))
    complete = _is_complete((old, new))
    edits = tuple(
        Edit(one.path, one.old, one.new, _decides(one.with_it), _decides(one.without_it))
        for one in differences(old, new)
    )
    return contrast(
        (each.ask() for each in walk(starts, dimensions, limit)),
        _decides(old), _decides(new), edits,
        exhaustive=complete and is_exhaustive(dimensions, len(starts), limit),
        attributed=most if most > 1_000 else max(1, most // 4),
    )  # fmt: skip


def size_of(policy: Policy) -> int:
    """About what one decision takes."""
    rules = len(policy.permissions) + len(policy.prohibitions) + len(policy.obligations)
    return 1 + 2 * rules + sum(1 + len(rights(one)) // 8 for one in atoms(constraints_of(policy)))


def _is_complete(policies: Sequence[Policy]) -> bool:
    """Whether the dimensions reach every request that the policies may tell apart."""
    scopes = [scope for each in policies for scope in scopes_of(each)]
    for constraints in (
        [one for each in policies for one in constraints_of(each)],
        list(refinements(one for scope in scopes for one in scope.targets)),
        list(refinements(one for scope in scopes for one in scope.assignees)),
    ):
        found = tuple(dict.fromkeys(atoms(constraints)))
        if not all(regions(left, found).complete for left in {one.left for one in found}):
            return False
        sequences = [{one.left for one in atoms((each,))} for each in _sequences(constraints)]
        if len(sequences) > 1 or any(len(lefts) > 2 for lefts in sequences):
            return False
    duties = [duty for each in policies for duty in duties_of(each)]
    actions = [action for duty in duties for action in duty.scope.actions]
    return (
        all(len({uid for each in policies for uid in of(each)}) <= _MOST_PLACES
            for of in (targets, parties))
        and not any(isinstance(one, PartyCollection) for each in scopes for one in each.assigners)
        and not any(duty.constraints for duty in duties)
        and not any(action.refinements for action in actions)
        and len({action.iri for action in actions}) <= 1
        and len({duty.uid for duty in duties}) <= _MOST_DUTIES
    )  # fmt: skip


def _decides(policy: Policy) -> _Decide:
    def decide(case: tuple[Request, World]) -> Verdict:
        try:
            return Verdict.ALLOW if evaluate(policy, *case).permitted else Verdict.DENY
        except PolicyError:  # half of a change may not make a policy (a cycle, a parent)
            return Verdict.DENY

    return decide


def _space(
    policies: Sequence[Policy],
) -> tuple[tuple[Question, ...], tuple[tuple[_Move, ...], ...]]:
    dimensions = tuple(moves for moves in map(tuple, _dimensions(policies)) if moves)
    first = Question()
    for moves in dimensions:
        first = moves[0](first)
    fitted = [
        _fitted(first, inherit.placed(permission, policy.scope))
        for policy in policies
        for permission in policy.permissions[:_MOST_STARTS]
    ]
    telling = [
        replace(
            _fitted(first, inherit.placed(permission, one.scope)),
            states={**first.states, **states},
        )
        for one, other in permutations(policies, 2)
        for permission, states in separating(one, other)
    ]
    return (first, *telling, *fitted), dimensions


def _fitted(start: Question, permission: Permission) -> Question:
    """A start that satisfies what a permission asks, if that was found."""
    scope = permission.scope
    demanded: list[AnyConstraint] = list(permission.constraints)
    if scope.actions:
        start = replace(start, action=scope.actions[0].iri)
        demanded.extend(scope.actions[0].refinements)
    if scope.targets:
        own = satisfying(refinements(scope.targets[:1])) or {}
        start = replace(start, target=named(scope.targets[0])[0], of_target=own)
    if scope.assignees:
        own = satisfying(refinements(scope.assignees[:1])) or {}
        start = replace(start, assignee=named(scope.assignees[0])[0], of_assignee=own)
    if scope.assigners:
        start = replace(start, assigner=named(scope.assigners[0])[0])
    return replace(start, states={**start.states, **(satisfying(demanded) or {})})


def _dimensions(policies: Sequence[Policy]) -> Iterator[Iterable[_Move]]:
    own = tuple(dict.fromkeys(one for each in policies for one in constraints_of(each)))
    yield from _operands(own, _state)
    yield (partial(_set, name="action", value=one) for one in _actions(policies))
    uids = tuple(dict.fromkeys(uid for each in policies for uid in targets(each)))
    yield _places(uids, _at)
    uids = tuple(dict.fromkeys(uid for each in policies for uid in parties(each)))
    yield _places(uids, _by)
    uids = tuple(dict.fromkeys(uid for each in policies for uid in assigners(each)))
    if uids:
        yield (partial(_set, name="assigner", value=one) for one in (None, *uids, UNNAMED.value))
    scopes = [scope for each in policies for scope in scopes_of(each)]
    yield from _operands(
        tuple(refinements(one for scope in scopes for one in scope.targets)), _of_target
    )
    yield from _operands(
        tuple(refinements(one for scope in scopes for one in scope.assignees)), _of_assignee
    )
    yield from _duties(policies)
    yield from _orders(own)


def _operands(
    constraints: Sequence[AnyConstraint], move: Callable[[str, Point], _Move]
) -> Iterator[Iterable[_Move]]:
    found = tuple(dict.fromkeys(atoms(constraints)))
    for left in dict.fromkeys(one.left for one in found):
        yield (move(left, point) for point in (*regions(left, found).points, UNKNOWN))


def _state(left: str, point: Point) -> _Move:
    return lambda start: replace(start, states={**start.states, left: point})


def _of_target(left: str, point: Point) -> _Move:
    return lambda start: replace(start, of_target={**start.of_target, left: point})


def _of_assignee(left: str, point: Point) -> _Move:
    return lambda start: replace(start, of_assignee={**start.of_assignee, left: point})


def _set(start: Question, name: str, value: object) -> Question:
    return replace(start, **{name: value})  # type: ignore[arg-type]  # a field of its type


def _places(uids: Sequence[str], place: Callable[[str, tuple[str, ...]], _Move]) -> Iterator[_Move]:
    """Everything that is named and what nobody names, as a part of what is named.

    In every combination if few are named; else what nobody names is part of one, of two, of all.
    """
    few = len(uids) <= _MOST_PLACES
    for uid in (*uids, *([UNNAMED.value] if uids else ())):
        others = [one for one in uids if one != uid]
        sizes = range(len(others) + 1) if few else (0, 1, 2) if uid == UNNAMED.value else (0,)
        for size in sizes:
            yield from (place(uid, each) for each in combinations(others[:_MOST_PAIRED], size))
    if uids and not few:
        yield place(UNNAMED.value, tuple(uids))
        yield from (place(UNNAMED.value, (one,)) for one in uids[_MOST_PAIRED:])


def _at(uid: str, part_of: tuple[str, ...]) -> _Move:
    return lambda start: replace(start, target=uid, part_of=part_of)


def _by(uid: str, member_of: tuple[str, ...]) -> _Move:
    return lambda start: replace(start, assignee=uid, member_of=member_of)


def _actions(policies: Sequence[Policy]) -> tuple[str, ...]:
    """One action of each kind that the policies tell apart."""
    scopes = [scope for each in policies for scope in scopes_of(each)]
    used = tuple(dict.fromkeys(action.iri for scope in scopes for action in scope.actions))
    worlds = [with_definitions(World(), each) for each in policies]
    found: dict[tuple[bool, ...], str] = {}
    for one in (*used, *terms.INCLUDED_IN, UNNAMED.value):
        kind = tuple(
            matches(one, action, world)
            for action in used for world in worlds for matches in (covered_by, entails)
        )  # fmt: skip
        found.setdefault(kind, one)
    return tuple(found.values())


def _duties(policies: Sequence[Policy]) -> Iterator[Iterable[_Move]]:
    found = [duty for each in policies for duty in duties_of(each)]
    for uid in tuple(dict.fromkeys(duty.uid for duty in found if duty.uid))[:_MOST_DUTIES]:
        yield (partial(_recorded, uid=uid, state=one) for one in (None, *DeonticState))
    done = tuple(dict.fromkeys(action.iri for duty in found for action in duty.scope.actions))
    if done:
        yield (partial(_set, name="performed", value=one) for one in ((), done))


def _recorded(start: Question, uid: str, state: DeonticState | None) -> Question:
    others = {one: value for one, value in start.records.items() if one != uid}
    return replace(start, records=others if state is None else {**others, uid: state})


def _orders(constraints: Iterable[AnyConstraint]) -> Iterator[Iterable[_Move]]:
    sequences = [
        tuple(dict.fromkeys(atom.left for atom in atoms((one,)))) for one in _sequences(constraints)
    ]
    for lefts in dict.fromkeys(one for one in sequences if len(one) > 1):
        swapped = [
            tuple({first: second, second: first}.get(left, left) for left in lefts)
            for first, second in pairwise(lefts)
        ]
        yield (partial(_set, name="order", value=one) for one in ((), lefts, *swapped))


def _sequences(constraints: Iterable[AnyConstraint]) -> Iterator[LogicalConstraint]:
    for one in constraints:
        if isinstance(one, LogicalConstraint):
            if one.operator is LogicalOperator.AND_SEQUENCE:
                yield one
            yield from _sequences(one.operands)


def _later(place: int) -> datetime:
    return ANY_TIME.replace(hour=place % 24, minute=place // 24 % 60)
