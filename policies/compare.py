"""What a new version of a policy changes: wider or tighter, with a request that shows it.

The search asks only at the critical points of the two policies (`policies.regions`), since all that
they do is compare operands with constants. It is exhaustive for fields: each is a condition on one
operand (`epsilon_per_job` and `budget` share theirs), so two policies differ only if they do where
one operand is moved away from a request that one of them just allows. Rules in ODRL may tie
operands together: then all combinations are tried as long as they are few, and `exhaustive` says
whether they were. Two kinds of release are tried; where the policies count at different deltas,
another kind may still tell them apart.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from itertools import chain, islice

from pydantic import ValidationError

from policies import engine
from policies.baseline import Situation
from policies.change import (
    LIMIT,
    Change,
    Comparison,
    Decide,
    Edit,
    alone,
    combined,
    contrast,
    in_pairs,
)
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.odrl import write as odrl
from policies.odrl.compare import MOST_EFFORT, size_of
from policies.odrl.edits import Difference, differences
from policies.odrl.model import Policy as Odrl
from policies.policy import Policy
from policies.regions import Space, rules_of, space
from policies.request import Facts, UsageRequest

PolicyChange = Change[UsageRequest, Facts]
PolicyComparison = Comparison[UsageRequest, Facts]
_Edit = Edit[UsageRequest, Facts]
_Decide = Decide[UsageRequest, Facts]
_Texts = tuple[str, str]
_SHOWN = 12
_MOST_COMPILED = 40_000  # rules and constants, over all policies with one of the changes


def compare(old: Policy, new: Policy) -> tuple[PolicyChange, ...]:
    """Every field and every ODRL rule that differs, with what that does.

    Raises `PolicyError` as `contrasted` does.
    """
    return contrasted(old, new).changes


def contrasted(old: Policy, new: Policy, *, limit: int = LIMIT) -> PolicyComparison:
    """Both policies as a whole, with all changes; at most `limit` requests are tried.

    Raises `PolicyError` for a policy that the engine cannot compile (PRIVACY_*, ODRL_*).
    """
    decide = _decides(old), _decides(new)
    size = _size((old, new))
    limit = max(1, min(limit, MOST_EFFORT // size))
    found = _Search(space((old, new)), decide, limit)
    edits = tuple(_edits(old, new, _MOST_COMPILED // size))
    most = MOST_EFFORT // size
    attributed = most if most > 1_000 else max(1, most // 4)
    return contrast(
        found.cases(), *decide, edits, exhaustive=found.exhaustive, attributed=attributed
    )


def _size(policies: Sequence[Policy]) -> int:
    return 1 + sum(size_of(rules) for rules in map(rules_of, policies) if rules is not None)


def example(
    policy: Policy, *, limit: int = LIMIT
) -> tuple[tuple[UsageRequest, Facts] | None, bool]:
    """A request that the policy allows, or None; and whether that is sure.

    Raises `PolicyError` as `contrasted` does.
    """
    decide = _decides(policy)
    limit = max(1, min(limit, MOST_EFFORT // _size((policy,))))
    found = _Search(space((policy,)), (decide,), limit)
    for case in found.cases():
        if decide(case) is Verdict.ALLOW:
            return case, True
    return None, found.exhaustive


class _Search:
    """The requests to try, the telling ones first.

    Free operands are conditions of their own, so it is enough to move each alone, away from a
    request that is allowed. Tied ones are combined, with the free ones as a policy allows them.
    """

    def __init__(self, where: Space, decide: Sequence[_Decide], limit: int) -> None:
        self._where = where
        self._decide = decide
        self._limit = limit
        combinations = math.prod(map(len, where.tied)) if where.tied else 0
        alone = 1 + sum(map(len, (*where.free, *where.tied)))
        needed = alone * (len(where.starts) + len(decide)) + combinations * len(decide)
        self.exhaustive = where.complete and needed <= limit

    def cases(self) -> Iterator[tuple[UsageRequest, Facts]]:
        """At most `limit` of them, without what no request can carry."""
        asked = map(_asked, islice(self._situations(), self._limit))
        return (case for case in asked if case is not None)

    def _situations(self) -> Iterator[Situation]:
        where, allowed = self._where, [False] * len(self._decide)
        dimensions = (*where.free, *where.tied)
        yield from alone(where.starts, dimensions)
        for start in where.starts[: len(self._decide)] if where.tied else ():
            for each in chain((start,), combined(start, where.tied)):
                yield each
                case = _asked(each) if not all(allowed) else None
                for index, decide in enumerate(self._decide):
                    if case and not allowed[index] and decide(case) is Verdict.ALLOW:
                        allowed[index] = True
                        yield from alone((each,), dimensions)
        if not self.exhaustive:
            yield from in_pairs(where.starts, dimensions)


def _asked(each: Situation) -> tuple[UsageRequest, Facts] | None:
    try:
        return each.ask()
    except ValidationError:  # a name, or so many names, that nobody can ask for it
        return None


def _decides(policy: Policy) -> _Decide:
    evaluate = engine.compile(policy)
    return lambda case: evaluate(*case).verdict


def _edits(old: Policy, new: Policy, most: int) -> Iterator[_Edit]:
    for name in Policy.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if name == "budget":
            yield from _budget(old, new)
        elif name == "rules" and before and after:
            yield from _rules(old, new, most)
        else:
            texts = _spelled(name, before, after)
            yield _edit(
                name, texts, partial(_copy, old, name, after), partial(_copy, new, name, before)
            )


def _budget(old: Policy, new: Policy) -> Iterator[_Edit]:
    for part in ("epsilon", "delta"):
        before, after = getattr(old.budget, part), getattr(new.budget, part)
        if before != after:
            mixed = old.budget.model_copy(update={part: after})
            without = new.budget.model_copy(update={part: before})
            yield _edit(
                f"budget.{part}", (str(before), str(after)),
                partial(_copy, old, "budget", mixed), partial(_copy, new, "budget", without),
            )  # fmt: skip


def _rules(old: Policy, new: Policy, most: int) -> Iterator[_Edit]:
    """Of the first `most`, also what each does alone: that takes a policy of its own."""
    before, after = rules_of(old), rules_of(new)
    found: Iterator[Difference] = iter(())
    if before is not None and after is not None:
        found = differences(before, after)
    for place, one in enumerate(found):
        path, texts = f"rules{one.path.removeprefix('$')}", (one.old, one.new)
        if place >= most:
            yield Edit(path, *texts, None, None)
        else:
            yield _edit(
                path, texts, partial(_ruled, old, one.with_it), partial(_ruled, new, one.without_it)
            )


def _edit(
    path: str, texts: _Texts, with_it: Callable[[], Policy], without_it: Callable[[], Policy]
) -> _Edit:
    return Edit(path, *texts, _tried(with_it), _tried(without_it))


def _tried(make: Callable[[], Policy]) -> _Decide | None:
    try:
        return _decides(make())
    except PolicyError:  # half of a change need not make a policy
        return None


def _copy(policy: Policy, name: str, value: object) -> Policy:
    return policy.model_copy(update={name: value})


def _ruled(policy: Policy, rules: Odrl) -> Policy:
    return _copy(policy, "rules", odrl.write(rules).decode())


def _spelled(name: str, before: object, after: object) -> _Texts:
    if isinstance(before, tuple) and isinstance(after, tuple):
        return _listed(before, after), _listed(after, before)
    if name == "rules":
        return "rules in ODRL" if before else "", "rules in ODRL" if after else ""
    return _text(before), _text(after)


def _listed(names: Sequence[object], others: Sequence[object]) -> str:
    """What only this list has comes first, and at most a dozen names in all."""
    known = frozenset(others)
    ordered = sorted(names, key=lambda name: name in known)
    shown = ", ".join(map(str, ordered[:_SHOWN]))
    return f"{shown}, ... ({len(names)})" if len(names) > _SHOWN else shown


def _text(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else str(value)
