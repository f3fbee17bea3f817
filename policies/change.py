"""What changes between two policies: found by search, and proven by an example of each direction.

A change is never called wider or tighter by how it reads. It is, if a case was found that one
policy allows and the other does not, and that turns on this change: without it the new policy
decides the case differently, or with it alone the old one does.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, combinations, islice
from typing import Generic, TypeVar

from policies.decision import Verdict

Asked = TypeVar("Asked")
Known = TypeVar("Known")
State = TypeVar("State")

LIMIT = 10_000
# Cases in which the policies differ, kept to attribute them; the simplest come first.
_KEPT = 1_000
_ATTRIBUTED = 10_000


class Effect(StrEnum):
    """What a change does. BOTH: it allows something new and refuses something that was allowed."""

    WIDENED = "widened"
    TIGHTENED = "tightened"
    BOTH = "both"
    SAME = "same effect"


@dataclass(frozen=True)
class Counterexample(Generic[Asked, Known]):
    """A case that one policy allows and the other does not, with the verdict of each."""

    request: Asked
    facts: Known
    old: Verdict
    new: Verdict


@dataclass(frozen=True)
class Change(Generic[Asked, Known]):
    """One field or rule that differs, what it was and is, and what that does.

    `widened` is a case that turns on this change and is allowed now, `tightened` one that is
    refused now. Neither: none was found, which proves nothing beyond what was searched.
    """

    effect: Effect
    path: str
    old: str
    new: str
    sentence: str
    widened: Counterexample[Asked, Known] | None = None
    tightened: Counterexample[Asked, Known] | None = None

    @property
    def counterexamples(self) -> tuple[Counterexample[Asked, Known], ...]:
        """Those that were found."""
        return tuple(one for one in (self.widened, self.tightened) if one is not None)


@dataclass(frozen=True)
class Comparison(Generic[Asked, Known]):
    """Two policies as a whole; SAME means equivalent as far as was searched.

    `exhaustive` says that all combinations of critical points were tried, `tried` how many cases.
    """

    effect: Effect
    changes: tuple[Change[Asked, Known], ...]
    widened: Counterexample[Asked, Known] | None
    tightened: Counterexample[Asked, Known] | None
    exhaustive: bool
    tried: int


Case = tuple[Asked, Known]
Decide = Callable[[Case[Asked, Known]], Verdict]


@dataclass(frozen=True)
class Edit(Generic[Asked, Known]):
    """One difference: the old policy `with_it` alone, and the new one `without_it`.

    None where such a policy would not be one.
    """

    path: str
    old: str
    new: str
    with_it: Decide[Asked, Known] | None
    without_it: Decide[Asked, Known] | None


Move = Callable[[State], State]
Dimensions = Sequence[Sequence[Move[State]]]


def alone(starts: Sequence[State], dimensions: Dimensions[State]) -> Iterator[State]:
    """The starts, then each with one dimension moved."""
    yield from starts
    for start in starts:
        yield from (move(start) for moves in dimensions for move in moves)


def walk(starts: Sequence[State], dimensions: Dimensions[State], limit: int) -> Iterator[State]:
    """`alone`, then two dimensions moved, then all at once: at most `limit` states.

    The last part visits the whole product if it still fits, and else an even part of it. The order
    is always the same.
    """
    everything = (combined(start, dimensions) for start in starts[:1])
    states = chain(
        alone(starts, dimensions), in_pairs(starts, dimensions), chain.from_iterable(everything)
    )
    return islice(states, limit)


def is_exhaustive(dimensions: Dimensions[State], starts: int, limit: int) -> bool:
    """Whether `walk` reaches every combination of moves."""
    sizes = [len(moves) for moves in dimensions]
    near = 1 + sum(sizes) + sum(a * b for a, b in combinations(sizes, 2))
    return near * starts + math.prod(sizes) <= limit


def in_pairs(starts: Sequence[State], dimensions: Dimensions[State]) -> Iterator[State]:
    """Each start with two dimensions moved."""
    for start in starts:
        for first, second in combinations(dimensions, 2):
            yield from (other(one(start)) for one in first for other in second)


def combined(start: State, dimensions: Dimensions[State]) -> Iterator[State]:
    """The start with all dimensions moved, in every combination, those far apart first."""
    total = math.prod(len(moves) for moves in dimensions)
    # A step that shares no factor with the total visits everything once.
    step = max(1, total * 618 // 1000)
    while math.gcd(step, total) != 1:
        step += 1
    for index in range(total):
        rest = index * step % total
        state = start
        for moves in dimensions:
            rest, chosen = divmod(rest, len(moves))
            state = moves[chosen](state)
        yield state


def contrast(
    cases: Iterable[Case[Asked, Known]],
    old: Decide[Asked, Known],
    new: Decide[Asked, Known],
    edits: Sequence[Edit[Asked, Known]],
    *,
    exhaustive: bool,
    attributed: int = _ATTRIBUTED,
) -> Comparison[Asked, Known]:
    """Decide every case with both policies, and attribute what differs to the edits.

    That takes at most `attributed` cases, all edits together: edits beyond that get none.
    """
    widened: list[Case[Asked, Known]] = []
    tightened: list[Case[Asked, Known]] = []
    tried = 0
    for case in cases:
        tried += 1
        was, is_now = old(case) is Verdict.ALLOW, new(case) is Verdict.ALLOW
        if was is not is_now:
            found = widened if is_now else tightened
            if len(found) < _KEPT:
                found.append(case)
    shown = _Shown(old, new)
    share = max(1, min(attributed, _ATTRIBUTED) // max(1, len(edits)))
    changes = tuple(
        _change(edit, widened[:share], tightened[:share], shown, sure=exhaustive)
        if place < attributed
        else _change(edit, (), (), shown, sure=False)
        for place, edit in enumerate(edits)
    )
    return Comparison(
        effect_of(widened=bool(widened), tightened=bool(tightened)), changes,
        shown.first(widened), shown.first(tightened), exhaustive, tried,
    )  # fmt: skip


def effect_of(*, widened: bool, tightened: bool) -> Effect:
    """Both directions as one word."""
    if widened and tightened:
        return Effect.BOTH
    return Effect.WIDENED if widened else Effect.TIGHTENED if tightened else Effect.SAME


@dataclass(frozen=True)
class _Shown(Generic[Asked, Known]):
    old: Decide[Asked, Known]
    new: Decide[Asked, Known]

    def first(self, cases: Sequence[Case[Asked, Known]]) -> Counterexample[Asked, Known] | None:
        return self.of(cases[0]) if cases else None

    def of(self, case: Case[Asked, Known]) -> Counterexample[Asked, Known]:
        return Counterexample(*case, self.old(case), self.new(case))


def _change(
    edit: Edit[Asked, Known],
    widened: Sequence[Case[Asked, Known]],
    tightened: Sequence[Case[Asked, Known]],
    shown: _Shown[Asked, Known],
    *,
    sure: bool,
) -> Change[Asked, Known]:
    more = next((case for case in widened if _turns_on(edit, case, allowed_now=True)), None)
    less = next((case for case in tightened if _turns_on(edit, case, allowed_now=False)), None)
    effect = effect_of(widened=more is not None, tightened=less is not None)
    return Change(
        effect, edit.path, edit.old, edit.new, _sentence(edit, effect, sure=sure),
        None if more is None else shown.of(more), None if less is None else shown.of(less),
    )  # fmt: skip


def _turns_on(edit: Edit[Asked, Known], case: Case[Asked, Known], *, allowed_now: bool) -> bool:
    without_it, with_it = edit.without_it, edit.with_it
    if without_it is not None and (without_it(case) is Verdict.ALLOW) is not allowed_now:
        return True
    return with_it is not None and (with_it(case) is Verdict.ALLOW) is allowed_now


_SAID = {
    Effect.WIDENED: "allows requests that were not allowed before",
    Effect.TIGHTENED: "no longer allows requests that were allowed before",
    Effect.BOTH: "allows requests that were not allowed before, and no longer allows others",
    Effect.SAME: "changes no decision",
}


def _sentence(edit: Edit[Asked, Known], effect: Effect, *, sure: bool) -> str:
    change = f"from {edit.old} to {edit.new}"
    if not edit.old:
        change = f"now {edit.new}"
    elif not edit.new:
        change = f"no longer {edit.old}"
    reserve = "" if sure or effect is not Effect.SAME else ", as far as was searched"
    return f"{edit.path}, {change}: {_SAID[effect]}{reserve}"
