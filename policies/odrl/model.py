"""A policy in the ODRL 2.2 Information Model, typed and immutable.

The model keeps what was written (a shared target stays at the policy, a deprecated action keeps its
spelling), so that a policy survives reading and writing without loss. What it means is decided in
`evaluate`. Section numbers refer to the W3C Recommendation of 2018-02-15.
"""

from dataclasses import dataclass

from policies.odrl.terms import Conflict, LogicalOperator, Operator, PolicyKind
from policies.odrl.values import Value


@dataclass(frozen=True, slots=True)
class Constraint:
    """`left operator right`, one atom (2.5.1). A tuple on the right is a set of values.

    `unit` is an IRI; the world must give the operand in the same unit. `uid` may be absent.
    """

    left: str
    operator: Operator
    right: Value | tuple[Value, ...]
    unit: str | None = None
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class LogicalConstraint:
    """Constraints combined (2.5.2); the order of `operands` counts for andSequence."""

    operator: LogicalOperator
    operands: "tuple[AnyConstraint, ...]"
    uid: str | None = None


AnyConstraint = Constraint | LogicalConstraint


@dataclass(frozen=True, slots=True)
class Action:
    """An action (2.4), perhaps narrowed by refinements.

    An action outside the core vocabulary says in which known action it is included; `implies`
    names actions that exercising this one entails.
    """

    iri: str
    refinements: tuple[AnyConstraint, ...] = ()
    included_in: str | None = None
    implies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Party:
    """A party by its IRI, and the collections that the policy says it belongs to (2.3)."""

    uid: str
    part_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartyCollection:
    """The parties that are part of `uid` or `source`, and satisfy all refinements (2.3.1)."""

    uid: str | None = None
    source: str | None = None
    part_of: tuple[str, ...] = ()
    refinements: tuple[AnyConstraint, ...] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset by its IRI, and the collections that the policy says it belongs to (2.2)."""

    uid: str
    part_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AssetCollection:
    """The assets that are part of `uid` or `source`, and satisfy all refinements (2.2.1)."""

    uid: str | None = None
    source: str | None = None
    part_of: tuple[str, ...] = ()
    refinements: tuple[AnyConstraint, ...] = ()


AnyParty = Party | PartyCollection
AnyAsset = Asset | AssetCollection


@dataclass(frozen=True, slots=True)
class Scope:
    """What a rule is about. Several values mean any of them (compact form, 2.7.1).

    Empty means that the rule does not say; a policy's scope then stands in for it.
    """

    actions: tuple[Action, ...] = ()
    targets: tuple[AnyAsset, ...] = ()
    assigners: tuple[AnyParty, ...] = ()
    assignees: tuple[AnyParty, ...] = ()


@dataclass(frozen=True, slots=True)
class Duty:
    """What must be done (2.6.3-2.6.5); if it is not, `consequences` must be done as well."""

    scope: Scope = Scope()
    constraints: tuple[AnyConstraint, ...] = ()
    consequences: "tuple[Duty, ...]" = ()
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be done (2.6.1), with the duties that come with it."""

    scope: Scope = Scope()
    constraints: tuple[AnyConstraint, ...] = ()
    duties: tuple[Duty, ...] = ()
    uid: str | None = None


@dataclass(frozen=True, slots=True)
class Prohibition:
    """What must not be done (2.6.2), with the remedies if it was."""

    scope: Scope = Scope()
    constraints: tuple[AnyConstraint, ...] = ()
    remedies: tuple[Duty, ...] = ()
    uid: str | None = None


Rule = Permission | Prohibition | Duty


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy (2.1). `inherits` names parents that `inherit.resolve` has not merged yet.

    `conflict` None means that none was written, which counts as `invalid` (2.10). `metadata` are
    Dublin Core statements, as (IRI, value) pairs; `timestamp` is the Dataspace Protocol's.
    """

    uid: str
    kind: PolicyKind = PolicyKind.SET
    permissions: tuple[Permission, ...] = ()
    prohibitions: tuple[Prohibition, ...] = ()
    obligations: tuple[Duty, ...] = ()
    scope: Scope = Scope()
    profiles: tuple[str, ...] = ()
    conflict: Conflict | None = None
    inherits: tuple[str, ...] = ()
    timestamp: str | None = None
    metadata: tuple[tuple[str, Value], ...] = ()
