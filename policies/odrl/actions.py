"""The action hierarchy: the core vocabulary, what a policy defines, and what the world adds."""

from dataclasses import replace

from policies.odrl import inherit, terms
from policies.odrl.model import Action, Policy, Rule
from policies.odrl.world import World, closure

_CORE = {
    iri: (() if parent is None else (parent,)) for iri, parent in terms.INCLUDED_IN.items()
} | {iri: (same,) for iri, same in terms.SAME_ACTION.items()}  # fmt: skip


def canonical(iri: str) -> str:
    """The preferred IRI of an action that the vocabulary knows under two."""
    return terms.SAME_ACTION.get(iri, iri)


def covered_by(requested: str, action: str, world: World) -> bool:
    """Whether exercising `requested` is exercising `action` (odrl:includedIn, transitively)."""
    return canonical(action) in closure(canonical(requested), _CORE, world.included_in)


def entails(requested: str, action: str, world: World) -> bool:
    """Whether exercising `requested` exercises `action`, itself or by what it implies (2.4).

    For prohibitions: who may not distribute may not share either, if sharing implies distributing.
    An action that implies a permitted one is not thereby permitted.
    """
    implied = set(closure(canonical(requested), _CORE, world.included_in, world.implies))
    return canonical(action) in implied


def with_definitions(world: World, policy: Policy) -> World:
    """The world with what the policy itself defines: actions, and members of collections."""
    part_of = dict(world.part_of)
    for entity in inherit.entities(policy):
        if entity.uid is not None and entity.part_of:
            part_of[entity.uid] = (*part_of.get(entity.uid, ()), *entity.part_of)
    included_in, implies = dict(world.included_in), dict(world.implies)
    for action in _actions(policy):
        name = canonical(action.iri)
        if action.included_in is not None:
            included_in[name] = (*included_in.get(name, ()), canonical(action.included_in))
        if action.implies:
            implies[name] = (*implies.get(name, ()), *map(canonical, action.implies))
    return replace(world, part_of=part_of, included_in=included_in, implies=implies)


def _actions(policy: Policy) -> list[Action]:
    found = list(policy.scope.actions)
    pending: list[Rule] = [*policy.permissions, *policy.prohibitions, *policy.obligations]
    while pending:
        rule = pending.pop()
        found.extend(rule.scope.actions)
        pending.extend(inherit.attached(rule))
    return found
