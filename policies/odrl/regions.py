"""The finitely many states of each operand that constraints can tell apart.

A constraint compares an operand with constants, so the values fall into regions in which every
constraint gives the same answer: a bound, what lies between two bounds, a named value, one that
nobody names, a part of a named value, not known. One point of each region stands for all of it.

That is complete for numbers, instants and single names. It is not for durations with months (they
are ordered only in part), for values that are parts of three or more named ones, and for sets of
three or more values other than those that a constraint lists.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import combinations, pairwise
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
    return _regions(left, tuple(dict.fromkeys(one for one in constraints if one.left == left)))


@lru_cache(maxsize=512)
def _regions(left: str, own: tuple[Constraint, ...]) -> tuple[Point, ...]:
    units = tuple(dict.fromkeys(one.unit for one in own if one.unit is not None))
    found: dict[tuple[Satisfaction, ...], Point] = {}
    for point in _candidates(left, own):
        for unit in units or (None,):
            measured = replace(point, unit=unit)
            found.setdefault(_signature(left, measured, own), measured)
    return tuple(found.values())


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


def _candidates(left: str, own: Sequence[Constraint]) -> Iterator[Point]:
    if left == terms.EVENT:
        yield from _event_points(own)
        return
    constants = tuple(dict.fromkeys(value for one in own for value in rights(one)))
    yield from (Point((value,)) for value in _singles(left, own, constants))
    for one in own:
        if isinstance(one.right, tuple) and one.operator in WHOLE_SETS:
            yield Point(tuple(dict.fromkeys(one.right)))
    kinds = terms.LEFT_OPERANDS.get(left, frozenset())
    if kinds & {Kind.IRI, Kind.TEXT}:
        yield from _several(left, own)
        yield from _parts(own)


def _singles(left: str, own: Sequence[Constraint], constants: Sequence[Value]) -> Iterator[Value]:
    kinds = terms.LEFT_OPERANDS.get(left, frozenset())
    if Kind.NUMBER in kinds:
        yield from _numbers(left, [one for one in constants if isinstance(one, Decimal)])
    if kinds & {Kind.INSTANT, Kind.DATE}:
        yield from _instants([one for one in constants if isinstance(one, date)])
    if Kind.DURATION in kinds:
        yield from _durations([one for one in constants if isinstance(one, Duration)])
    if kinds & {Kind.IRI, Kind.TEXT}:
        yield from _names(left, own)


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


def _names(left: str, own: Sequence[Constraint]) -> Iterator[Value]:
    yield from _distinct(own)
    if left == terms.PURPOSE:
        yield from (Iri(purpose.iri) for purpose in purposes.ALLOWED.values())
        yield from (Iri(iri) for iri in sorted(terms.BROADER_PURPOSES))
    kinds = terms.LEFT_OPERANDS[left]
    if Kind.TEXT in kinds:
        yield UNNAMED_TEXT
    if Kind.IRI in kinds:
        yield UNNAMED


def _distinct(own: Sequence[Constraint]) -> list[Value]:
    """The named values, of those that exactly the same constraints name only the first."""
    naming: dict[Value, list[int]] = {}
    for index, one in enumerate(own):
        for value in rights(one):
            naming.setdefault(value, []).append(index)
    # A purpose is also told apart by what it is part of, so each of them stays.
    kept = {
        (tuple(named), value if own[0].left == terms.PURPOSE else None): value
        for value, named in reversed(naming.items())
    }
    return [value for value in naming if value in set(kept.values())]


def _several(left: str, own: Sequence[Constraint]) -> Iterator[Point]:
    named = _distinct(own)
    others: tuple[Value, ...] = (UNNAMED_TEXT,)
    if Kind.TEXT not in terms.LEFT_OPERANDS[left]:
        others = (UNNAMED,)
    yield from (Point(pair) for pair in combinations((*named[:_MOST_PAIRS], *others), 2))
    sets = [one.right for one in own if isinstance(one.right, tuple)]
    wanted = [one.right for one in own if one.operator in WHOLE_SETS]
    if wanted:
        yield Point(tuple(dict.fromkeys(value for one in own for value in rights(one))))
        yield from (Point((*dict.fromkeys(one), *others)) for one in sets)


def _parts(own: Sequence[Constraint]) -> Iterator[Point]:
    """Values that are part of what is named, and values of which what is named is a part."""
    wide = [
        name for one in own if one.operator in _HIERARCHICAL
        for name in map(_text, rights(one))
    ]  # fmt: skip
    narrow = [tuple(map(_text, rights(one))) for one in own if one.operator is Operator.HAS_PART]
    wide = list(dict.fromkeys(wide))[:_MOST_PAIRS]
    for names in (*((name,) for name in wide), *combinations(wide, 2), tuple(wide)):
        if names:
            yield Point((_PART,), broader=tuple((_PART.value, name) for name in names))
    for names in narrow:
        yield Point((_WHOLE,), broader=tuple((name, _WHOLE.value) for name in names))


def _text(value: Value) -> str:
    return value.value if isinstance(value, Iri) else str(value)


def _event_points(own: Sequence[Constraint]) -> Iterator[Point]:
    names = list(dict.fromkeys(_text(value) for one in own for value in rights(one)))
    phases: tuple[Phase, ...] = ("during", "before", "after")
    for phase in phases:
        yield Point((), events=tuple((name, phase) for name in names))
    for one, other in combinations(names[:_MOST_PAIRS], 2):
        for first in phases:
            for second in phases:
                rest = tuple((name, first) for name in names if name not in (one, other))
                yield Point((), events=((one, first), (other, second), *rest))
