"""What the rules of a policy are made of, and each rule in a few words."""

from collections.abc import Iterable, Iterator

from policies.odrl import inherit, values
from policies.odrl.model import (
    AnyAsset,
    AnyConstraint,
    AnyParty,
    AssetCollection,
    Duty,
    LogicalConstraint,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
    Rule,
    Scope,
)
from policies.odrl.regions import rights

_MOST_SHOWN = 300


def duties_of(policy: Policy) -> Iterator[Duty]:
    """The duties of permissions with their consequences: they decide whether a permission holds."""
    pending = [duty for rule in policy.permissions for duty in rule.duties]
    while pending:
        duty = pending.pop()
        yield duty
        pending.extend(duty.consequences)


def scopes_of(policy: Policy) -> Iterator[Scope]:
    """The scopes of permissions and prohibitions, and what they share."""
    yield policy.scope
    yield from (rule.scope for rule in policy.permissions)
    yield from (rule.scope for rule in policy.prohibitions)


def constraints_of(policy: Policy) -> Iterator[AnyConstraint]:
    """The constraints on a request: of permissions, prohibitions, their actions, and duties."""
    rules: tuple[Rule, ...] = (*policy.permissions, *policy.prohibitions, *duties_of(policy))
    for rule in rules:
        yield from rule.constraints
    for scope in (*scopes_of(policy), *(duty.scope for duty in duties_of(policy))):
        yield from (one for action in scope.actions for one in action.refinements)


def parties(policy: Policy) -> tuple[str, ...]:
    """Every IRI of an assignee, or of a collection that the policy names for one."""
    return _names(entity for scope in scopes_of(policy) for entity in scope.assignees)


def assigners(policy: Policy) -> tuple[str, ...]:
    """The same of assigners."""
    return _names(entity for scope in scopes_of(policy) for entity in scope.assigners)


def targets(policy: Policy) -> tuple[str, ...]:
    """The same of assets."""
    return _names(entity for scope in scopes_of(policy) for entity in scope.targets)


def refinements(entities: Iterable[AnyParty | AnyAsset]) -> Iterator[AnyConstraint]:
    """What members of collections must satisfy."""
    for entity in entities:
        if isinstance(entity, PartyCollection | AssetCollection):
            yield from entity.refinements


def named(entity: AnyParty | AnyAsset) -> tuple[str, ...]:
    """The IRIs by which an entity is known."""
    source = entity.source if isinstance(entity, PartyCollection | AssetCollection) else None
    return tuple(uid for uid in (entity.uid, source) if uid is not None)


def _names(entities: Iterable[AnyParty | AnyAsset]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(uid for one in entities for uid in (*named(one), *one.part_of)))


def describe(constraint: AnyConstraint) -> str:
    """A constraint on one line, with the short names of its terms."""
    if isinstance(constraint, LogicalConstraint):
        inner = "; ".join(map(describe, constraint.operands))
        return f"{constraint.operator.value} of ({inner})"
    right = ", ".join(short(values.spell(value)[0]) for value in rights(constraint))
    unit = f" {short(constraint.unit)}" if constraint.unit else ""
    return f"{short(constraint.left)} {constraint.operator.value} {right}{unit}"


def short(iri: str) -> str:
    """The last part of an IRI; other text as it is."""
    return iri.rpartition("#")[2].rpartition("/")[2] or iri


def describe_rule(rule: Rule, beside: Rule | None = None) -> str:
    """A rule on one line; `beside` another one, only in what the other does not say."""
    scope, other = rule.scope, beside.scope if beside is not None else Scope()
    said = [short(one.iri) for one in scope.actions if one not in other.actions]
    for word, own, theirs in (
        ("on", scope.targets, other.targets),
        ("for", scope.assignees, other.assignees),
        ("from", scope.assigners, other.assigners),
    ):
        names = [short(name) for one in own if one not in theirs for name in named(one)[:1]]
        said.extend(f"{word} {name}" for name in names)
    others = beside.constraints if beside is not None else ()
    said.extend(describe(one) for one in rule.constraints if one not in others)
    duties = inherit.attached(rule)
    if duties != (inherit.attached(beside) if beside is not None else ()):
        said.append(f"{len(duties)} {_attached(rule)}")
    text = ", ".join(said)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."


def _attached(rule: Rule) -> str:
    if isinstance(rule, Permission):
        return "duties"
    return "remedies" if isinstance(rule, Prohibition) else "consequences"
