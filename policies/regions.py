"""Requests at the critical points of policies: for each operand, one value of every region.

Fields count as the constraints that they are in ODRL. Costs are chosen just below and just above
each bound, alone and on top of earlier spending, for a plain Gaussian release and a sampled one.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import combinations, permutations

from policies.baseline import MOST_HOSPITALS, PLAIN, SAMPLED, Situation, edge, scaled, situation
from policies.change import Move
from policies.odrl import terms
from policies.odrl.lower import lower
from policies.odrl.model import Constraint
from policies.odrl.model import Policy as Odrl
from policies.odrl.naming import dataset_name
from policies.odrl.parts import constraints_of, parties, targets
from policies.odrl.read import read
from policies.odrl.regions import Point, Regions, atoms, regions, rights
from policies.odrl.solve import satisfying, separating
from policies.odrl.terms import Iri, Operator
from policies.odrl.values import Duration, Value
from policies.policy import Policy
from policies.privacy import NOTHING, Budget, Cost, epsilon

_Move = Move[Situation]
_Moves = Callable[[Point], Iterator[_Move]]
_Fits = Callable[[Cost, Cost], bool]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:#+-]{0,119}")
_LONGEST = timedelta(days=3_000)
_BARELY = 1e-6
_MOST_STARTS = 12
_MOST_BOUNDS = 14  # on costs: the search for pairs of costs is cubic in them
_MOST_PARTNERS = 4  # tried in every combination
_MOST_NAMES = 1_000  # that a permit lists
_PARTNERS = "partners"
_WITH = {terms.BUDGET_EPSILON: terms.EPSILON}  # both are of the job's cost


def rules_of(policy: Policy) -> Odrl | None:
    """The policy's ODRL part. Raises `PolicyError` (ODRL_*)."""
    return read(policy.rules.encode(), {}) if policy.rules else None


@dataclass(frozen=True, slots=True)
class Space:
    """Where to look for requests: the starts, and the moves to the critical points of each operand.

    `starts` are what each policy's fields just allow, first as they are, then also fitted to the
    permissions in ODRL. `free` operands are compared by fields alone, each by itself; `tied` ones
    also by rules, which may combine them. `complete`: the moves lead to every region.
    """

    starts: tuple[Situation, ...]
    free: tuple[tuple[_Move, ...], ...]
    tied: tuple[tuple[_Move, ...], ...]
    complete: bool = True


def space(policies: Sequence[Policy]) -> Space:
    """The space of one policy, or of several to be compared. Raises `PolicyError`."""
    rules = [found for found in map(rules_of, policies) if found is not None]
    ruled = tuple(dict.fromkeys(one for each in rules for one in _of_rules(each)))
    constraints = tuple(dict.fromkeys((*_of_fields(policies), *ruled)))
    partners = tuple(dict.fromkeys(_datasets(constraints)))
    fitting = tuple(replace(situation(policy), partners=partners) for policy in policies)
    found = {left: regions(left, constraints) for left in _MOVES}
    moves = {
        left: tuple(move for point in found[left].points for move in to(point))
        for left, to in _MOVES.items()
    }
    bounds = tuple(_bounds(policies, constraints))
    moves[terms.EPSILON] = tuple(_costs(bounds[:_MOST_BOUNDS]))
    complete = len(bounds) <= _MOST_BOUNDS
    complete = complete and all(_is_complete(left, each) for left, each in found.items())
    if any(one.left == terms.APPROVAL for one in constraints):
        moves[terms.APPROVAL] = tuple(_to(approved=answer) for answer in (True, None, False))
    lefts = {_WITH.get(one.left, one.left) for one in ruled}
    if terms.DATASET in lefts:
        lefts.add(terms.MIN_PARTICIPANTS)  # they say how many datasets there are
        moves[_PARTNERS] = tuple(_to(partners=each) for each in _together(policies, partners))
        counts = range(1, min(len(partners), _MOST_PARTNERS) + 3)
        moves[terms.MIN_PARTICIPANTS] += tuple(_to(participants=count) for count in counts)
        lefts.add(_PARTNERS)
        complete = complete and _are_few(partners)
    return Space(
        (*fitting, *_fitted(fitting, policies)),
        tuple(each for left, each in moves.items() if each and left not in lefts),
        tuple(each for left, each in moves.items() if each and left in lefts),
        complete,
    )


def _is_complete(left: str, found: Regions) -> bool:
    """Whether the points are all that a gate can tell apart: nothing is part of anything there."""
    if any(len(point.values) > _MOST_NAMES for point in found.points):
        return False
    return found.complete if left in (terms.TASK, terms.COLUMN) else found.singles


def _together(policies: Sequence[Policy], partners: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Which datasets take part: each combination of a few, else one, two and all."""
    own = {policy.dataset for policy in policies}
    others = [one for one in partners if len(own) > 1 or one not in own]
    few = len(others) <= _MOST_PARTNERS
    for size in range(len(others) + 1) if few else (0, 1):
        yield from combinations(others, size)
    if not few:
        yield from combinations(others[:_MOST_STARTS], 2)
        yield tuple(others)


def _are_few(partners: Sequence[str]) -> bool:
    """Whether each combination is tried. Of one hospital only the first dataset takes part."""
    hospitals = {name.partition("/")[0] for name in partners}
    return len(hospitals) == len(partners) <= _MOST_PARTNERS


def _of_fields(policies: Sequence[Policy]) -> Iterator[Constraint]:
    for policy in policies:
        fields = lower(policy.model_copy(update={"rules": ""}))
        yield from atoms(one for rule in fields.permissions for one in rule.constraints)
        yield Constraint(terms.DATASET, Operator.EQ, policy.dataset)


def _of_rules(rules: Odrl) -> Iterator[Constraint]:
    yield from atoms(constraints_of(rules))
    for uid in parties(rules):
        yield Constraint(terms.RECIPIENT, Operator.EQ, Iri(uid))
    for uid in targets(rules):
        yield Constraint(terms.DATASET, Operator.EQ, dataset_name(uid))


def _datasets(constraints: Sequence[Constraint]) -> Iterator[str]:
    for one in constraints:
        if one.left == terms.DATASET:
            yield from (name for name in map(_name, rights(one)) if name is not None)


def _fitted(fitting: Sequence[Situation], policies: Sequence[Policy]) -> Iterator[Situation]:
    if not any(policy.rules for policy in policies):
        return
    whole = [lower(policy) for policy in policies]
    for (start, one), (_, other) in permutations(zip(fitting, whole, strict=True), 2):
        yield from (_moved(start, states) for _, states in separating(one, other))
    for start, one in zip(fitting, whole, strict=True):
        for permission in one.permissions[:_MOST_STARTS]:
            states = satisfying(permission.constraints)
            if states is not None:
                yield _moved(start, states)


def _moved(start: Situation, states: Mapping[str, Point]) -> Situation:
    for left, point in states.items():
        for move in _MOVES[left](point) if left in _MOVES else ():
            start = move(start)
    return start


# From the point of an operand to a request: what `policies.odrl.operands` reads is written.


def _to(**changed: object) -> _Move:
    return lambda start: replace(start, **changed)  # type: ignore[arg-type]  # fields of Situation


def _purpose(point: Point) -> Iterator[_Move]:
    text = _only(point)
    if text is not None:
        yield _to(purpose=text)


def _recipient(point: Point) -> Iterator[_Move]:
    text = _only(point)
    if text is not None:
        yield _to(data_user=text)


def _list(point: Point, field: str) -> Iterator[_Move]:
    names = [_name(value) for value in point.values]
    if 0 < len(names) <= _MOST_NAMES and None not in names and not point.broader:
        yield _to(**{field: tuple(names)})


def _single(point: Point, field: str) -> Iterator[_Move]:
    name = _name(point.values[0]) if len(point.values) == 1 and not point.broader else None
    if name is not None:
        yield _to(**{field: name})


def _moment(point: Point) -> Iterator[_Move]:
    for value in point.values:
        if isinstance(value, datetime) and 1 < value.year < 9_980:
            yield _to(now=value)


def _lasts(point: Point) -> Iterator[_Move]:
    for value in point.values:
        if isinstance(value, Duration) and not value.months and 0 <= value.seconds < 10**9:
            lasts = timedelta(microseconds=int(value.seconds * 1_000_000))
            if lasts <= _LONGEST:
                yield _to(lasts=lasts)


def _hospitals(point: Point) -> Iterator[_Move]:
    for value in point.values:
        if isinstance(value, Decimal) and 1 <= value <= MOST_HOSPITALS:
            yield _to(participants=int(value))


def _persons(point: Point) -> Iterator[_Move]:
    if not point.values:
        yield _to(persons=None)
    for value in point.values:
        if isinstance(value, Decimal):
            yield _to(persons=int(value))


_MOVES: Mapping[str, _Moves] = {
    terms.DATASET: partial(_single, field="dataset"),
    terms.PURPOSE: _purpose,
    terms.TASK: partial(_list, field="tasks"),
    terms.COLUMN: partial(_list, field="columns"),
    terms.OUTPUT_KIND: partial(_single, field="output"),
    terms.MIN_PARTICIPANTS: _hospitals,
    terms.COHORT_SIZE: _persons,
    terms.DATE_TIME: _moment,
    terms.ELAPSED_TIME: _lasts,
    terms.RECIPIENT: _recipient,
}


def _only(point: Point) -> str | None:
    """The one value, if it is text that a request can carry."""
    text = _plain(point.values[0]) if len(point.values) == 1 and not point.broader else ""
    return text if 0 < len(text) <= 500 and text.isprintable() else None


def _plain(value: Value) -> str:
    return value.value if isinstance(value, Iri) else str(value)


def _name(value: Value) -> str | None:
    text = _plain(value)
    return text if _NAME.fullmatch(text) else None


# Costs: what is planned, and what was spent before.


def _costs(bounds: Sequence[_Fits]) -> Iterator[_Move]:
    found: dict[tuple[bool, ...], tuple[Cost, Cost]] = {}
    for planned, spent in _pairs(bounds):
        found.setdefault(tuple(fits(planned, spent) for fits in bounds), (planned, spent))
    yield from (_to(planned=planned, spent=spent) for planned, spent in found.values())


def _pairs(bounds: Sequence[_Fits]) -> Iterator[tuple[Cost, Cost]]:
    for kind in (PLAIN, SAMPLED):
        planned = [cost for fits in bounds for cost in edge(partial(_alone, fits), kind) or ()]
        yield from ((cost, NOTHING) for cost in planned)
        for cost in (scaled(kind, _BARELY), *planned):
            for fits in bounds:
                yield from ((cost, past) for past in edge(partial(fits, cost), kind) or ())


def _alone(fits: _Fits, planned: Cost) -> bool:
    return fits(planned, NOTHING)


def _bounds(policies: Sequence[Policy], constraints: Sequence[Constraint]) -> Iterator[_Fits]:
    """Every bound on what is planned and spent; what fits still fits if it is cheaper."""
    given = (Budget(one.budget.epsilon, one.budget.delta) for one in policies)
    budgets = {(one.epsilon, one.delta): one for one in given}.values()
    yield from (partial(_admitted, budget) for budget in budgets)
    for budget in budgets:
        for target in _constants(constraints, terms.EPSILON):
            yield from (partial(_at_most, target, budget.delta, below) for below in (False, True))
        for target in _constants(constraints, terms.BUDGET_EPSILON):
            if target != budget.epsilon:
                yield from (partial(_certified, target, budget, below) for below in (False, True))


def _constants(constraints: Sequence[Constraint], left: str) -> tuple[Decimal, ...]:
    found = (value for one in constraints if one.left == left for value in rights(one))
    return tuple(dict.fromkeys(value for value in found if isinstance(value, Decimal)))


def _admitted(budget: Budget, planned: Cost, spent: Cost) -> bool:
    return budget.admits(spent, planned)


def _at_most(target: Decimal, delta: Decimal, below: bool, planned: Cost, _spent: Cost) -> bool:
    found = epsilon(planned, delta)
    return found < target if below else found <= target


def _certified(target: Decimal, budget: Budget, below: bool, planned: Cost, spent: Cost) -> bool:
    found = budget.spent_epsilon(spent + planned)
    return found < target if below else found <= target
