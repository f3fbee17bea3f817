"""The differences between two policies: the old one with each alone, the new one without it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, islice, zip_longest

from policies.odrl.model import Policy, Rule, Scope
from policies.odrl.parts import describe_rule, named, short

MOST = 100
_LISTS = {
    "permissions": "permission", "prohibitions": "prohibition", "obligations": "obligation"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference, in words at a JSON path; empty words mean that there is nothing there."""

    path: str
    old: str
    new: str
    with_it: Policy
    without_it: Policy


def differences(old: Policy, new: Policy) -> Iterator[Difference]:
    """Rules that were added, removed or rewritten (their order does not count), and other parts.

    If there are more than `MOST`, the last stands for all of them together.
    """
    found = chain(
        *(_rules(old, new, name) for name in _LISTS),
        (_part(old, new, one.name) for one in fields(Policy)
         if one.name not in _LISTS and getattr(old, one.name) != getattr(new, one.name)),
    )  # fmt: skip
    yield from islice(found, MOST)
    if next(found, None) is not None:
        yield Difference("$", "the old rules", "the new rules", new, old)


def _part(old: Policy, new: Policy, name: str) -> Difference:
    before, after = getattr(old, name), getattr(new, name)
    return Difference(
        f"$.{name}", _words(before), _words(after),
        replace(old, **{name: after}), replace(new, **{name: before}),
    )  # fmt: skip


def _words(part: object) -> str:
    if isinstance(part, Scope):
        entities = (*part.targets, *part.assigners, *part.assignees)
        names = [one.iri for one in part.actions] + [uid for one in entities for uid in named(one)]
        return ", ".join(map(short, names))
    if isinstance(part, tuple):
        return ", ".join(short(str(one)) for one in part)
    return "" if part is None else str(part)


def _rules(old: Policy, new: Policy, name: str) -> Iterator[Difference]:
    before, after = getattr(old, name), getattr(new, name)
    for was, will in zip_longest(_only_in(before, after), _only_in(after, before)):
        path = f"$.{_LISTS[name]}[{was if will is None else will}]"
        if was is None:
            texts = "", describe_rule(after[will])
            with_it, without_it = (*before, after[will]), _without(after, will)
        elif will is None:
            texts = describe_rule(before[was]), ""
            with_it, without_it = _without(before, was), (*after, before[was])
        else:
            one, other = before[was], after[will]
            texts = describe_rule(one, other), describe_rule(other, one)
            with_it, without_it = _with(before, was, other), _with(after, will, one)
        yield Difference(path, *texts, _set(old, name, with_it), _set(new, name, without_it))


def _set(policy: Policy, name: str, rules: Sequence[Rule]) -> Policy:
    return replace(policy, **{name: tuple(rules)})  # type: ignore[arg-type]  # rules of that kind


def _only_in(rules: tuple[Rule, ...], others: tuple[Rule, ...]) -> list[int]:
    left = list(others)
    found = []
    for index, rule in enumerate(rules):
        if rule in left:
            left.remove(rule)
        else:
            found.append(index)
    return found


def _without(rules: tuple[Rule, ...], index: int) -> tuple[Rule, ...]:
    return (*rules[:index], *rules[index + 1 :])


def _with(rules: tuple[Rule, ...], index: int, rule: Rule) -> tuple[Rule, ...]:
    return (*rules[:index], rule, *rules[index + 1 :])
