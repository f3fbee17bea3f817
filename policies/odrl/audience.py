"""For whom a policy can still permit something: the part of it that depends on the participant.

Assignees, and constraints on what a participant is or states (`OPERANDS`), are evaluated; all else
is open: it depends on a request that is not there yet. What is open hides nothing. A permission is
out of reach if a premise fails for this participant, or if a prohibition that is certain to apply
to it covers the same action and target.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from policies.odrl import inherit, terms
from policies.odrl.actions import entails, with_definitions
from policies.odrl.model import (
    AnyAsset,
    AnyConstraint,
    AnyParty,
    Constraint,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
)
from policies.odrl.terms import DCT, ODRL, Conflict, LogicalOperator, Operator
from policies.odrl.world import World

# What a participant is or states of itself, before it asks for anything.
OPERANDS = frozenset(
    {terms.RECIPIENT, terms.PURPOSE}
    | {
        ODRL + operand
        for operand in ("spatial", "industry", "language", "system", "systemDevice", "device",
                        "virtualLocation")
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tree:
    """Constraints that depend on the participant, combined; None stands for what is open."""

    operator: LogicalOperator
    operands: "tuple[Constraint | Tree | None, ...]"


Reduced = Constraint | Tree | None


@dataclass(frozen=True, slots=True)
class Reach:
    """One rule as far as it depends on the participant. `members`: names of all assignees.

    `refined` are assignees that must satisfy refinements as well; with neither it is for everyone.
    """

    everyone: bool
    members: frozenset[str]
    refined: tuple[tuple[frozenset[str], tuple[AnyConstraint, ...]], ...]
    constraints: tuple[Constraint | Tree, ...]

    @property
    def names(self) -> frozenset[str]:
        """Everybody whom it may be for; nobody in particular if it is for everyone."""
        return self.members.union(*(names for names, _ in self.refined))


@dataclass(frozen=True, slots=True)
class Part:
    """What of a policy depends on the participant; policies that share it are evaluated once.

    `blocked_by` has for each permission, and for each of its actions, the prohibitions in its way.
    `memberships` are those of parties that the policy itself states.
    """

    permissions: tuple[Reach, ...]
    prohibitions: tuple[Reach, ...]
    blocked_by: tuple[tuple[tuple[int, ...], ...], ...]
    memberships: tuple[tuple[str, tuple[str, ...]], ...]


def part_of(policy: Policy, implies: Mapping[str, tuple[str, ...]]) -> Part:
    """The part of a policy, its parents merged in, that depends on the participant.

    `implies`: what exercising an action entails beyond the policy's own definitions.
    """
    if any(iri == DCT + "isReplacedBy" for iri, _ in policy.metadata):
        return Part((), (), (), ())
    world = with_definitions(World(implies=implies), policy)
    permissions = [inherit.placed(rule, policy.scope) for rule in policy.permissions]
    certain = []
    if policy.conflict is not Conflict.PERM:
        rules = (inherit.placed(rule, policy.scope) for rule in policy.prohibitions)
        certain = [rule for rule in rules if _can_be_certain(rule)]
    return Part(
        permissions=tuple(_reach(rule, world) for rule in permissions),
        prohibitions=tuple(_reach(rule, world) for rule in certain),
        blocked_by=tuple(_blocked_by(rule, certain, world) for rule in permissions),
        memberships=tuple(sorted(_memberships(policy))),
    )


def lasts(policy: Policy) -> tuple[datetime | None, ...]:
    """For each permission the last moment at which it can apply, by its own bounds; None: no end.

    Bounds inside of logical constraints, and such of another type than an instant, are left open.
    """
    return tuple(
        min(filter(None, map(_last, rule.constraints)), default=None) for rule in policy.permissions
    )


def _memberships(policy: Policy) -> Iterator[tuple[str, tuple[str, ...]]]:
    rules: tuple[Permission | Prohibition, ...] = (*policy.permissions, *policy.prohibitions)
    stated: dict[str, tuple[str, ...]] = {}
    for scope in (policy.scope, *(rule.scope for rule in rules)):
        for party in (*scope.assignees, *scope.assigners):
            if party.uid is not None and party.part_of:
                stated[party.uid] = (*stated.get(party.uid, ()), *party.part_of)
    yield from stated.items()


def _can_be_certain(rule: Prohibition) -> bool:
    """Whether all its premises are about the participant, the action and the target."""
    if any(action.refinements for action in rule.scope.actions):
        return False
    return None not in [reduced(constraint) for constraint in rule.constraints]


def _blocked_by(
    permission: Permission, prohibitions: list[Prohibition], world: World
) -> tuple[tuple[int, ...], ...]:
    actions = [action.iri for action in permission.scope.actions] or [terms.USE]
    return tuple(
        tuple(
            index
            for index, rule in enumerate(prohibitions)
            if _covers(rule.scope.targets, permission.scope.targets)
            and _forbids(rule, action, world)
        )
        for action in actions
    )


def _covers(forbidden: tuple[AnyAsset, ...], permitted: tuple[AnyAsset, ...]) -> bool:
    return not forbidden or (bool(permitted) and set(permitted) <= set(forbidden))


def _forbids(rule: Prohibition, action: str, world: World) -> bool:
    actions = rule.scope.actions
    return not actions or any(entails(action, one.iri, world) for one in actions)


def _reach(rule: Permission | Prohibition, world: World) -> Reach:
    assignees = rule.scope.assignees
    plain: set[str] = set()
    refined = []
    for party in assignees:
        members = _members(party, world)
        if isinstance(party, PartyCollection) and party.refinements:
            refined.append((members, party.refinements))
        else:
            plain |= members
    found = (reduced(constraint) for constraint in rule.constraints)
    return Reach(
        everyone=not assignees,
        members=frozenset(plain),
        refined=tuple(refined),
        constraints=tuple(one for one in found if one is not None),
    )


def _members(party: AnyParty, world: World) -> frozenset[str]:
    """The party's names, and those that the policy itself puts under them."""
    names = {party.uid, party.source if isinstance(party, PartyCollection) else None} - {None}
    below = (uid for uid in world.part_of if names & world.collections(uid))
    return frozenset(one for one in (*names, *below) if one is not None)


def reduced(constraint: AnyConstraint) -> Reduced:
    """A constraint without what does not depend on the participant; None if nothing does."""
    if isinstance(constraint, Constraint):
        depends = constraint.left in OPERANDS and constraint.unit is None
        return replace(constraint, uid=None) if depends else None
    operands = tuple(map(reduced, constraint.operands))
    if constraint.operator is not LogicalOperator.XONE:  # there the same twice counts twice
        operands = tuple(dict.fromkeys(operands))
    return None if set(operands) == {None} else Tree(constraint.operator, operands)


def _last(constraint: AnyConstraint) -> datetime | None:
    if not isinstance(constraint, Constraint) or constraint.left != terms.DATE_TIME:
        return None
    bound = constraint.right
    if not isinstance(bound, datetime):
        return None
    if constraint.operator is Operator.LT:
        return bound - timedelta(microseconds=1)
    return bound if constraint.operator in (Operator.LTEQ, Operator.TERM_LTEQ) else None
