"""Inheritance between policies (Information Model 2.9), and cycles that must not be."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from policies.odrl.model import (
    AnyAsset,
    AnyParty,
    Duty,
    Permission,
    Policy,
    Prohibition,
    Rule,
    Scope,
)
from policies.odrl.strict import refuse
from policies.odrl.terms import Conflict
from policies.odrl.values import shorten

MAX_DEPTH = 16
MAX_RULES = 10_000
_Rule = TypeVar("_Rule", Permission, Prohibition, Duty)
_Item = TypeVar("_Item")


def resolve(policy: Policy, known: Mapping[str, Policy]) -> Policy:
    """The policy with all rules of its parents, their shared parties and assets kept with them.

    A parent is named once even if two ways lead to it. Different explicit conflict strategies make
    the result `invalid` (2.10). Raises `PolicyError`: ODRL_TERM for a parent that is not known,
    ODRL_CYCLE, ODRL_TOO_LARGE.
    """
    merged = [policy]
    _ancestors(policy, known, (policy.uid,), merged)
    if sum(len(_rules(one)) for one in merged) > MAX_RULES:
        refuse("ODRL_TOO_LARGE", "$.inheritFrom", f"brings more than {MAX_RULES} rules")
    inherited = merged[1:]
    return replace(
        policy,
        permissions=(
            *policy.permissions,
            *(placed(rule, one.scope) for one in inherited for rule in one.permissions),
        ),
        prohibitions=(
            *policy.prohibitions,
            *(placed(rule, one.scope) for one in inherited for rule in one.prohibitions),
        ),
        obligations=(
            *policy.obligations,
            *(placed(rule, one.scope) for one in inherited for rule in one.obligations),
        ),
        conflict=_strategy(merged),
        profiles=tuple(dict.fromkeys(name for one in merged for name in one.profiles)),
        inherits=(),
    )


def placed(rule: _Rule, shared: Scope) -> _Rule:
    """The rule with its policy's shared parties, assets and actions filled in (2.7.1).

    A permission or duty that names its own keeps only those. A prohibition is about both: of two
    readings, the one that forbids more.
    """
    both = isinstance(rule, Prohibition)
    own = rule.scope
    return replace(
        rule,
        scope=Scope(
            _shared(own.actions, shared.actions, both),
            _shared(own.targets, shared.targets, both),
            _shared(own.assigners, shared.assigners, both),
            _shared(own.assignees, shared.assignees, both),
        ),
    )


def _shared(own: tuple[_Item, ...], shared: tuple[_Item, ...], both: bool) -> tuple[_Item, ...]:
    if not own:
        return shared
    return tuple(dict.fromkeys((*own, *shared))) if both else own


def check_collections(policy: Policy) -> None:
    """Refuse (ODRL_CYCLE) a policy in which a collection is, in the end, part of itself."""
    part_of: dict[str, tuple[str, ...]] = {}
    for entity in entities(policy):
        if entity.uid is not None:
            part_of[entity.uid] = (*part_of.get(entity.uid, ()), *entity.part_of)
    refuse_cycle(part_of, "$", "partOf")


def refuse_cycle(edges: Mapping[str, Iterable[str]], path: str, relation: str) -> None:
    """Raise `PolicyError` (ODRL_CYCLE) if the relation leads from anything back to itself."""
    done: set[str] = set()
    for start in edges:
        trail: dict[str, None] = {}
        pending = [(start, False)]
        while pending:
            name, left = pending.pop()
            if left:
                trail.pop(name)
                done.add(name)
            elif name in trail:
                refuse("ODRL_CYCLE", path, f"has a cycle of {relation} at {shorten(name)}")
            elif name not in done:
                trail[name] = None
                pending.append((name, True))
                pending.extend((target, False) for target in edges.get(name, ()))


def entities(policy: Policy) -> Iterable[AnyParty | AnyAsset]:
    """Every party and asset that the policy or one of its rules names."""
    scopes = [policy.scope]
    pending: list[Rule] = list(_rules(policy))
    while pending:
        rule = pending.pop()
        scopes.append(rule.scope)
        pending.extend(attached(rule))
    for scope in scopes:
        yield from (*scope.targets, *scope.assigners, *scope.assignees)


def attached(rule: Rule) -> tuple[Duty, ...]:
    """The duties of a permission, the remedies of a prohibition, the consequences of a duty."""
    if isinstance(rule, Permission):
        return rule.duties
    return rule.remedies if isinstance(rule, Prohibition) else rule.consequences


def _rules(policy: Policy) -> tuple[Rule, ...]:
    return (*policy.permissions, *policy.prohibitions, *policy.obligations)


def _ancestors(
    policy: Policy, known: Mapping[str, Policy], trail: tuple[str, ...], merged: list[Policy]
) -> None:
    if len(trail) > MAX_DEPTH:
        refuse("ODRL_TOO_LARGE", "$.inheritFrom", f"is deeper than {MAX_DEPTH} policies")
    for index, uid in enumerate(policy.inherits):
        path = f"$.inheritFrom[{index}]"
        if uid in trail:
            refuse("ODRL_CYCLE", path, f"leads back to {shorten(uid)}")
        if uid not in known:
            refuse("ODRL_TERM", path, f"names a policy that is not known: {shorten(uid)}",
                   "Give that policy as well")  # fmt: skip
        parent = known[uid]
        if any(parent.uid == one.uid for one in merged):
            continue
        merged.append(parent)
        _ancestors(parent, known, (*trail, uid), merged)


def _strategy(policies: list[Policy]) -> Conflict | None:
    written = {policy.conflict for policy in policies if policy.conflict is not None}
    if len(written) > 1:
        return Conflict.INVALID
    return written.pop() if written else None
