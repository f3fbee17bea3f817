"""The finitely many states of each operand that constraints can tell apart.

A constraint compares an operand with constants, so the values fall into regions in which every
constraint gives the same answer: a bound, what lies between two bounds, a named value, one that
nobody names, a part of a named value, not known. One point of each region stands for all of it.

`Regions.complete` says whether every region has its point. That is so for numbers, instants and
sets of names, unless there are too many. It is not for durations with months (they are ordered only
in part), nor where names that are compared may also be parts of others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import chain, combinations, islice, pairwise, product
from typing import Literal

from policies import purposes
from policies.odrl import terms
from policies.odrl.model import AnyConstraint, Constraint, LogicalConstraint
from policies.odrl.satisfy import Satisfaction, Subject, satisfy
from policies.odrl.terms import Iri, Kind, Operator
from policies.odrl.values import Duration, Value
from policies.odrl.world import Values, World

Phase = Literal["before", "during", "after"]

UNNAMED = Iri("urn:commensal:unnamed")
UNNAMED_TEXT = "unnamed"
_PART = Iri("urn:commensal:part")
_WHOLE = Iri("urn:commensal:whole")
ANY_TIME = datetime(2030, 1, 1, tzinfo=UTC)
_MOST_PAIRS = 12
_MOST_WIDE = 4  # names of which values may be parts, tried in every combination
_MOST_EVENTS = 4
_MOST_POINTS = 512
_MOST_WORK = 60_000  # comparisons for the points of one operand: well under a second
_MICROSECOND = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_DAY_SECONDS = Decimal(86_400)
_PRECISION = 2_100  # exact for every number that a policy may hold: 60 digits, exponents to 999

# Operands that count, with their least value; and those that lie in an interval.
_COUNTS = {
    terms.ODRL + "count": 0,
    terms.COHORT_SIZE: 0,
    terms.MIN_PARTICIPANTS: 1,
    terms.COMMENSAL + "generationDepth": 0,
    terms.COMMENSAL + "realRows": 0,
    terms.COMMENSAL + "unknownProvenance": 0,
}
_INTERVALS: dict[str, tuple[Decimal, Decimal | None]] = {
    terms.EPSILON: (Decimal(0), None),
    terms.BUDGET_EPSILON: (Decimal(0), None),
    terms.DELTA: (Decimal(0), Decimal(1)),
    terms.COMMENSAL + "freshRealShare": (Decimal(0), Decimal(1)),
    terms.COMMENSAL + "freshRealWeight": (Decimal(0), Decimal(1)),
    terms.ODRL + "percentage": (Decimal(0), Decimal(100)),
}
_HIERARCHICAL = frozenset({Operator.IS_A, Operator.IS_PART_OF})
_PURPOSES = frozenset(terms.BROADER_PURPOSES) | frozenset(
    wide for above in terms.BROADER_PURPOSES.values() for wide in above
)
# Operators that ask for several values at once.
WHOLE_SETS = frozenset({Operator.IS_ALL_OF, Operator.HAS_PART, Operator.EQ, Operator.NEQ})


@dataclass(frozen=True, slots=True)
class Point:
    """One state of an operand: its values (none: not known), and what the world says of them.

    `broader` are pairs of a name and what it is a part of; `events` where the moment lies.
    """

    values: Values
    unit: str | None = None
    broader: tuple[tuple[str, str], ...] = ()
    events: tuple[tuple[str, Phase], ...] = ()


UNKNOWN = Point(())


def atoms(constraints: Iterable[AnyConstraint]) -> Iterator[Constraint]:
    """All atomic constraints, in the order in which they are written."""
    for constraint in constraints:
        if isinstance(constraint, LogicalConstraint):
            yield from atoms(constraint.operands)
        else:
            yield constraint


def rights(constraint: Constraint) -> tuple[Value, ...]:
    """The constants on the right, one or several."""
    return constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)


def points(left: str, constraints: Iterable[Constraint]) -> tuple[Point, ...]:
    """One known state of `left` for each region that its constraints tell apart."""
    return regions(left, constraints).points


def regions(left: str, constraints: Iterable[Constraint]) -> "Regions":
    """The same, with whether they are all."""
    return _regions(left, tuple(dict.fromkeys(one for one in constraints if one.left == left)))


@dataclass(frozen=True, slots=True)
class Regions:
    """The points of one operand, and how far they reach.

    `complete`: every known state has a point that no constraint tells apart from it. `singles`: so
    has every state of one value that is part of nothing. `cut`: there were too many to try.
    `work`: about how many comparisons it took.
    """

    points: tuple[Point, ...]
    complete: bool
    singles: bool
    cut: bool
    work: int


@lru_cache(maxsize=512)
def _regions(left: str, own: tuple[Constraint, ...]) -> Regions:
    units: tuple[str | None, ...] = tuple(dict.fromkeys(one.unit for one in own)) or (None,)
    weight = 2 * len(units) * sum(1 + len(rights(one)) for one in own)
    most = max(2, _MOST_WORK // max(1, weight))
    candidates = _candidates(left, own, most)
    chosen = list(islice(candidates.points, most + 1))
    cut = candidates.cut or len(chosen) > most
    found: dict[tuple[Satisfaction, ...], Point] = {}
    work = 0
    for point in chosen[:most]:
        takes = weight * max(1, len(point.values))
        if work and work + takes > 4 * _MOST_WORK:  # each of its values is compared with each
            cut = True
            continue
        work += takes
        for unit in units:
            measured = replace(point, unit=unit)
            found.setdefault(_signature(left, measured, own), measured)
    complete, singles = candidates.complete and not cut, candidates.singles and not cut
    return Regions(tuple(found.values()), complete, singles, cut, work)


def world_of(states: Mapping[str, Point]) -> World:
    """A world in which operands are in these states; those that are not named are not known."""
    moment = states.get(terms.DATE_TIME)
    now: datetime | None = ANY_TIME
    if moment is not None:
        now = next((value for value in moment.values if isinstance(value, datetime)), None)
    broader: dict[str, tuple[str, ...]] = {}
    events: dict[str, tuple[datetime, datetime]] = {}
    for point in states.values():
        for name, whole in point.broader:
            broader[name] = (*broader.get(name, ()), whole)
        for name, phase in point.events:
            events[name] = _period(now or ANY_TIME, phase)
    operands = {
        left: point.values
        for left, point in states.items()
        if point.values and left not in (terms.DATE_TIME, terms.EVENT)
    }
    units = {left: point.unit for left, point in states.items() if point.unit is not None}
    return World(now=now, operands=operands, units=units, broader=broader, events=events)


def _period(now: datetime, phase: Phase) -> tuple[datetime, datetime]:
    start, end = {"before": (1, 2), "during": (-1, 1), "after": (-2, -1)}[phase]
    return _moved(now, start * _DAY), _moved(now, end * _DAY)


def _signature(left: str, point: Point, own: Sequence[Constraint]) -> tuple[Satisfaction, ...]:
    world = world_of({left: point})
    return tuple(
        satisfy(one, Subject(world, any_value=any_value)).satisfaction
        for one in own
        for any_value in (False, True)
    )


def _in_all_units(left: str, point: Point, own: Sequence[Constraint]) -> tuple[Satisfaction, ...]:
    units = dict.fromkeys(one.unit for one in own)
    each = (_signature(left, replace(point, unit=unit), own) for unit in units)
    return tuple(chain.from_iterable(each))


@dataclass(frozen=True, slots=True)
class _Candidates:
    points: Iterable[Point]
    complete: bool
    singles: bool
    cut: bool = False


def _candidates(left: str, own: Sequence[Constraint], most: int) -> _Candidates:
    if left == terms.EVENT:
        names = {_text(value) for one in own for value in rights(one)}
        few = len(names) <= _MOST_EVENTS
        return _Candidates(_event_points(own), few, few)
    if terms.LEFT_OPERANDS.get(left, frozenset()) & {Kind.IRI, Kind.TEXT}:
        return _names(left, own, most)
    constants = tuple(dict.fromkeys(value for one in own for value in rights(one)))
    sets = [tuple(dict.fromkeys(one)) for one in _sets(own)]
    values = (Point((value,)) for value in _singles(left, constants))
    ordered = not any(isinstance(one, Duration) and one.months for one in constants)
    return _Candidates(chain(values, map(Point, sets)), ordered and not sets, ordered)


def _sets(own: Sequence[Constraint]) -> list[Values]:
    """What is asked for as a whole."""
    return [one.right for one in own if isinstance(one.right, tuple) and one.operator in WHOLE_SETS]


def _singles(left: str, constants: Sequence[Value]) -> Iterator[Value]:
    kinds = terms.LEFT_OPERANDS.get(left, frozenset())
    if Kind.NUMBER in kinds:
        yield from _numbers(left, [one for one in constants if isinstance(one, Decimal)])
    if kinds & {Kind.INSTANT, Kind.DATE}:
        yield from _instants([one for one in constants if isinstance(one, date)])
    if Kind.DURATION in kinds:
        yield from _durations([one for one in constants if isinstance(one, Duration)])


def _numbers(left: str, constants: Sequence[Decimal]) -> Iterator[Decimal]:
    with localcontext() as exact:
        exact.prec = _PRECISION
        bounds = sorted(set(constants))
        if left in _COUNTS:
            found = _whole_numbers(bounds, _COUNTS[left])
        else:
            low, high = _INTERVALS.get(left, (None, None))
            found = [
                one for one in (*bounds, *_between(bounds), *_ends(low, high))
                if (low is None or one >= low) and (high is None or one <= high)
            ]  # fmt: skip
    yield from found


def _whole_numbers(bounds: Sequence[Decimal], least: int) -> list[Decimal]:
    near = [
        Decimal(int(bound) + step)
        for bound in bounds
        if abs(bound) < 10**18  # nobody counts further
        for step in (0, 1, -1)
    ]
    return [one for one in (*near, Decimal(least), Decimal(10**18)) if one >= least]


def _between(bounds: Sequence[Decimal]) -> Iterator[Decimal]:
    if bounds:
        yield _beyond(bounds[-1], 1)
        yield _beyond(bounds[0], -1)
    yield from ((low + high) / 2 for low, high in pairwise(bounds))


def _beyond(bound: Decimal, sign: int) -> Decimal:
    exponent = bound.as_tuple().exponent
    step = Decimal(1).scaleb(min(exponent if isinstance(exponent, int) else 0, 0))
    if abs(bound) >= 10**15:
        step = abs(bound)
    return bound + sign * step


def _ends(low: Decimal | None, high: Decimal | None) -> Iterator[Decimal]:
    yield from (one for one in (low, high) if one is not None)
    yield low + 1 if low is not None and high is None else Decimal(1)


def _instants(constants: Sequence[date]) -> Iterator[datetime]:
    for constant in constants:
        if isinstance(constant, datetime):
            moment = constant.astimezone(UTC)
            edges = (moment, _moved(moment, _MICROSECOND), _moved(moment, -_MICROSECOND))
        else:
            start = datetime.combine(constant, time(), UTC)
            end = _moved(start, _DAY)
            edges = (start, end, _moved(start, -_MICROSECOND))
        yield from edges
    yield ANY_TIME


def _moved(moment: datetime, step: timedelta) -> datetime:
    try:
        return moment + step
    except OverflowError:
        return moment


def _durations(constants: Sequence[Duration]) -> Iterator[Duration]:
    step = Decimal("0.000001")
    for one in constants:
        yield one
        yield from (Duration(one.months, one.seconds + change) for change in (step, -step))
        for days in (28, 30, 31, 32) if one.months else ():
            yield Duration(0, one.seconds + one.months * days * _DAY_SECONDS)
    yield Duration(0, Decimal(3_600))


# Names: which single ones can be told apart, and then which sets of those.


def _names(left: str, own: Sequence[Constraint], most: int) -> _Candidates:
    """Sets of names. A constraint on each name tells a set only by the kinds of names in it.

    One that asks for several at once also tells whether all names of a kind are there.
    """
    groups = list(islice(_groups(left, own), most + 1))
    cut = len(groups) > most
    kinds: dict[tuple[object, ...], list[Value]] = {}
    for named, members in groups[:most]:
        signature = _in_all_units(left, Point((members[0],)), own)
        kinds.setdefault((*named, *signature), []).extend(members)
    parts, whole = _parts(left, own, [members for _, members in groups[:most]], most)
    options = [
        [Point(()), Point(members[:1]), Point(members)][: 3 if several and len(members) > 1 else 2]
        for (several, *_), members in ((key, tuple(found)) for key, found in kinds.items())
    ] + [[Point(()), one] for one in parts]
    total = 1
    for each in options:
        total = min(total * len(each), most + _MOST_POINTS)
    every = total <= min(most, _MOST_POINTS)
    whole = whole and not any(one.operator is Operator.HAS_PART for one in own)
    whole = whole and all(len(set(one)) == len(one) for one in _sets(own))
    found = _every(options) if every else _several(left, own, options)
    return _Candidates(chain(found, _wholes(own)), every and whole and not cut, not cut, cut)


def _groups(
    left: str, own: Sequence[Constraint]
) -> Iterator[tuple[tuple[bool, tuple[int, ...]], list[Value]]]:
    """The names that exactly the same constraints name, and whether one of these asks for a set."""
    naming: dict[Value, list[int]] = {}
    for index, one in enumerate(own):
        for value in dict.fromkeys(rights(one)):
            naming.setdefault(value, []).append(index)
    whole = {index for index, one in enumerate(own) if one.right in _sets((one,))}
    others: list[Value] = []
    if left == terms.PURPOSE:
        others += [Iri(purpose.iri) for purpose in purposes.ALLOWED.values()]
        others += [Iri(iri) for iri in sorted(terms.BROADER_PURPOSES)]
    kinds = terms.LEFT_OPERANDS[left]
    others += [UNNAMED_TEXT] if Kind.TEXT in kinds else []
    others += [UNNAMED] if Kind.IRI in kinds else []
    found: dict[tuple[object, ...], tuple[tuple[bool, tuple[int, ...]], list[Value]]] = {}
    for value, named in chain(naming.items(), ((one, []) for one in others if one not in naming)):
        several = tuple(index for index in named if index in whole)
        # A purpose is also told apart by what it is part of; the others by who names them.
        own_kind = value if _is_placed(left, value) else None
        kind = (tuple(named), type(value), own_kind)
        found.setdefault(kind, ((bool(several), several), []))[1].append(value)
    yield from found.values()


def _is_placed(left: str, value: Value) -> bool:
    """Whether the vocabulary itself says what a value is part of."""
    return left == terms.PURPOSE and isinstance(value, Iri) and value.value in _PURPOSES


def _every(options: Sequence[Sequence[Point]]) -> Iterator[Point]:
    """Every set, the smallest first."""
    chosen = (each[::-1] for each in product(*reversed(options)))
    sets = ([one for one in each if one.values] for each in chosen)
    for each in sorted(sets, key=lambda found: (len(found), sum(len(one.values) for one in found))):
        if each:
            yield _joined(each)


def _joined(several: Sequence[Point]) -> Point:
    values = dict.fromkeys(value for one in several for value in one.values)
    broader = dict.fromkeys(pair for one in several for pair in one.broader)
    return Point(tuple(values), broader=tuple(broader))


def _several(
    left: str, own: Sequence[Constraint], options: Sequence[Sequence[Point]]
) -> Iterator[Point]:
    """Where there are too many sets: one name, pairs, and what constraints ask for as a whole."""
    single = [each[1] for each in options]
    yield from single
    other = Point((UNNAMED_TEXT if Kind.TEXT in terms.LEFT_OPERANDS[left] else UNNAMED,))
    wanted = [one for one in own if one.operator is Operator.IS_ALL_OF]
    refused = {value for one in own if one.operator is Operator.IS_NONE_OF for value in rights(one)}
    union = tuple(dict.fromkeys(value for one in wanted for value in rights(one)))
    everything = tuple(dict.fromkeys(value for one in own for value in rights(one)))
    for values in dict.fromkeys(_sets(own)):
        yield Point(tuple(dict.fromkeys(values)))
        yield Point((*dict.fromkeys(values), *other.values))
    for values in (union, everything):
        for kept in (values, tuple(value for value in values if value not in refused)):
            if kept:
                yield Point(kept)
    yield from map(_joined, combinations((*single[:_MOST_PAIRS], other), 2))


def _wholes(own: Sequence[Constraint]) -> Iterator[Point]:
    """Values of which what is named is a part."""
    for one in own:
        if one.operator is Operator.HAS_PART:
            names = map(_text, rights(one))
            yield Point((_WHOLE,), broader=tuple((name, _WHOLE.value) for name in names))


def _parts(
    left: str, own: Sequence[Constraint], named: Sequence[Sequence[Value]], most: int
) -> tuple[list[Point], bool]:
    """Values that are part of what is named, and whether these are all that can be told apart."""
    above = tuple(one for one in own if one.operator in _HIERARCHICAL)
    if not above:
        return [], True
    texts = {_text(value) for one in above for value in rights(one)}
    # What is part of two names that the same constraints take is part of one of them, for these.
    kinds: dict[tuple[Satisfaction, ...], str] = {}
    for members in named[:most]:
        name = _text(members[0])
        if name in texts:
            kinds.setdefault(_in_all_units(left, Point((members[0],)), above), name)
    wide = list(kinds.values())
    if len(wide) <= _MOST_WIDE:
        sets = [each for size in range(1, len(wide) + 1) for each in combinations(wide, size)]
    else:
        wide = wide[:_MOST_PAIRS]
        sets = [*((name,) for name in wide), *combinations(wide, 2), tuple(wide)]
    found = [
        Point((part,), broader=tuple((part.value, name) for name in names))
        for part, names in ((_part(index), names) for index, names in enumerate(sets))
    ]
    # A name that is also compared by itself may be part of another one that is.
    free = {value for one in own if one.operator not in _HIERARCHICAL for value in rights(one)}
    settled = all(_is_placed(left, value) for value in free)
    return found, settled and len(kinds) <= _MOST_WIDE and len(named) <= most


def _part(index: int) -> Iri:
    return Iri(f"{_PART.value}-{index}") if index else _PART


def _text(value: Value) -> str:
    return value.value if isinstance(value, Iri) else str(value)


def _event_points(own: Sequence[Constraint]) -> Iterator[Point]:
    names = list(dict.fromkeys(_text(value) for one in own for value in rights(one)))
    phases: tuple[Phase, ...] = ("during", "before", "after")
    if len(names) <= _MOST_EVENTS:
        for each in product(phases, repeat=len(names)):
            yield Point((), events=tuple(zip(names, each, strict=True)))
        return
    for phase in phases:
        yield Point((), events=tuple((name, phase) for name in names))
    for one, other in combinations(names[:_MOST_PAIRS], 2):
        for first in phases:
            for second in phases:
                rest = tuple((name, first) for name in names if name not in (one, other))
                yield Point((), events=((one, first), (other, second), *rest))
