"""A policy, a request and a state of the world -> which rules are active, and why.

Pure. Every premise of every rule is evaluated, so that the outcome names all that stands in the
way. Fail closed: a permission needs every premise satisfied; a prohibition that fails only because
something is unknown is `undetermined`, and then nothing is permitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from policies.odrl import inherit
from policies.odrl.actions import covered_by, entails, with_definitions
from policies.odrl.duties import DutyOutcome, follow
from policies.odrl.model import (
    Action,
    AnyAsset,
    AnyConstraint,
    AnyParty,
    AssetCollection,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
)
from policies.odrl.satisfy import Outcome, Satisfaction, Subject, conjunction, satisfy
from policies.odrl.terms import DATE_TIME, DCT, Conflict
from policies.odrl.world import DeonticState, Request, World


class PremiseKind(StrEnum):
    """What a premise is about, by the name of its report in the FORCE vocabulary."""

    TARGET = "TargetReport"
    PARTY = "PartyReport"
    ACTION = "ActionReport"
    CONSTRAINT = "ConstraintReport"


@dataclass(frozen=True, slots=True)
class Premise:
    """One condition for a rule to apply; `outcomes` are the constraints that were looked at."""

    kind: PremiseKind
    satisfaction: Satisfaction
    outcomes: tuple[Outcome, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """A permission or prohibition against the request.

    `applies` is the conjunction of the premises. `active` is what remains after duties and the
    policy's conflict strategy; `overruled` says why an applying rule is not active.
    """

    rule: Permission | Prohibition
    uid: str
    applies: Satisfaction
    active: bool
    premises: tuple[Premise, ...]
    duties: tuple[DutyOutcome, ...]
    overruled: str = ""

    @property
    def undetermined(self) -> bool:
        """A prohibition that may or may not apply, because something is unknown."""
        return isinstance(self.rule, Prohibition) and self.applies is Satisfaction.UNKNOWN


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of one request. `permitted` needs an active permission, and nothing against it.

    `void` says why the whole policy is of no effect, if it is. `obligations` are the policy's own.
    """

    policy: Policy
    request: Request
    permitted: bool
    rules: tuple[RuleOutcome, ...]
    obligations: tuple[DutyOutcome, ...]
    void: str = ""

    @property
    def pending(self) -> tuple[DutyOutcome, ...]:
        """Duties of active permissions, and obligations, that are still to be done."""
        duties = [
            duty
            for rule in self.rules
            if rule.active and isinstance(rule.rule, Permission)
            for duty in rule.duties
        ]
        return tuple(
            duty for duty in (*duties, *self.obligations) if duty.state is DeonticState.NON_SET
        )


def evaluate(
    policy: Policy, request: Request, world: World, known: Mapping[str, Policy] | None = None
) -> Evaluation:
    """Evaluate a request. `known` has the policies that this one inherits from, by uid.

    Raises `PolicyError` (ODRL_TERM, ODRL_CYCLE) if a parent is not known.
    """
    policy = inherit.resolve(policy, known or {}) if policy.inherits else policy
    world = with_definitions(_timed(world, request), policy)
    outcomes = [
        _permission(inherit.placed(rule, policy.scope), _uid(policy, "permission", i, rule.uid),
                    request, world)
        for i, rule in enumerate(policy.permissions)
    ] + [
        _prohibition(inherit.placed(rule, policy.scope), _uid(policy, "prohibition", i, rule.uid),
                     request, world)
        for i, rule in enumerate(policy.prohibitions)
    ]  # fmt: skip
    rules, void = _settle(policy, outcomes)
    against = any(
        rule.undetermined or (rule.active and isinstance(rule.rule, Prohibition)) for rule in rules
    )
    allowed = any(rule.active and isinstance(rule.rule, Permission) for rule in rules)
    return Evaluation(
        policy=policy,
        request=request,
        permitted=allowed and not void and (not against or policy.conflict is Conflict.PERM),
        rules=rules,
        obligations=tuple(
            follow(inherit.placed(duty, policy.scope), None, world) for duty in policy.obligations
        ),
        void=void,
    )


def _timed(world: World, request: Request) -> World:
    """Only a world without a clock takes the time from the request."""
    stated = request.context.get(DATE_TIME, ())
    if world.now is None and len(stated) == 1 and isinstance(stated[0], datetime):
        return replace(world, now=stated[0])
    return world


def _uid(policy: Policy, kind: str, index: int, uid: str | None) -> str:
    return uid if uid is not None else f"{policy.uid}#{kind}-{index}"


def _permission(rule: Permission, uid: str, request: Request, world: World) -> RuleOutcome:
    premises = _premises(rule, request, world)
    applies = conjunction([premise.satisfaction for premise in premises])
    duties = tuple(follow(duty, request, world) for duty in rule.duties)
    violated = any(duty.state is DeonticState.VIOLATED for duty in duties)
    applied = applies is Satisfaction.SATISFIED
    return RuleOutcome(
        rule, uid, applies, applied and not violated, premises, duties,
        "a duty of this permission was violated" if applied and violated else "",
    )  # fmt: skip


def _prohibition(rule: Prohibition, uid: str, request: Request, world: World) -> RuleOutcome:
    premises = _premises(rule, request, world)
    applies = conjunction([premise.satisfaction for premise in premises])
    remedies = tuple(follow(duty, request, world) for duty in rule.remedies)
    return RuleOutcome(rule, uid, applies, applies is Satisfaction.SATISFIED, premises, remedies)


def _settle(policy: Policy, rules: list[RuleOutcome]) -> tuple[tuple[RuleOutcome, ...], str]:
    """Apply the conflict strategy (2.10); a replaced policy is void as a whole (2.8)."""
    if any(iri == DCT + "isReplacedBy" for iri, _ in policy.metadata):
        return _overrule(rules, rules, "replaced"), "the policy was replaced by another"
    allowing = [one for one in rules if one.active and isinstance(one.rule, Permission)]
    forbidding = [
        one for one in rules
        if isinstance(one.rule, Prohibition) and (one.active or one.undetermined)
    ]  # fmt: skip
    if not allowing or not forbidding:
        return tuple(rules), ""
    if policy.conflict is Conflict.PERM:
        return _overrule(rules, forbidding, "a permission takes precedence"), ""
    if policy.conflict is Conflict.PROHIBIT:
        return _overrule(rules, allowing, "a prohibition takes precedence"), ""
    if not any(one.active for one in forbidding):
        # Whether there is a conflict at all is unknown: the permission cannot be relied on.
        return _overrule(rules, allowing, "a prohibition may apply"), ""
    void = "a permission and a prohibition contradict each other, and no strategy decides"
    return _overrule(rules, rules, "the policy is void"), void


def _overrule(
    rules: list[RuleOutcome], losing: list[RuleOutcome], why: str
) -> tuple[RuleOutcome, ...]:
    lost = {id(one) for one in losing}
    return tuple(
        replace(one, active=False, overruled=why) if id(one) in lost and one.active else one
        for one in rules
    )


def _premises(
    rule: Permission | Prohibition, request: Request, world: World
) -> tuple[Premise, ...]:
    subject = Subject(
        world, request.context, any_value=isinstance(rule, Prohibition), units=request.units
    )
    scope = rule.scope
    found: list[Premise] = []
    if scope.targets:
        found.append(_entity(PremiseKind.TARGET, scope.targets, request.target, subject))
    parties = _parties(scope.assignees, scope.assigners, request, subject)
    if parties is not None:
        found.append(parties)
    if scope.actions:
        found.append(_any([_action(one, request, subject) for one in scope.actions]))
    for constraint in rule.constraints:
        outcome = satisfy(constraint, subject)
        found.append(Premise(PremiseKind.CONSTRAINT, outcome.satisfaction, (outcome,)))
    return tuple(found)


def _parties(
    assignees: tuple[AnyParty, ...], assigners: tuple[AnyParty, ...], request: Request,
    subject: Subject,
) -> Premise | None:  # fmt: skip
    found = []
    if assignees:
        found.append(_entity(PremiseKind.PARTY, assignees, request.assignee, subject))
    if assigners and request.assigner is not None:
        # A request seldom says from whom it wants the permission; if it does, it must be them.
        found.append(_entity(PremiseKind.PARTY, assigners, request.assigner, subject))
    if not found:
        return None
    outcomes = tuple(outcome for premise in found for outcome in premise.outcomes)
    state = conjunction([premise.satisfaction for premise in found])
    return Premise(PremiseKind.PARTY, state, outcomes)


def _any(premises: list[Premise]) -> Premise:
    """The best of several alternatives (compact form, 2.7.1)."""
    for wanted in (Satisfaction.SATISFIED, Satisfaction.UNKNOWN):
        for premise in premises:
            if premise.satisfaction is wanted:
                return premise
    return premises[0]


def _action(action: Action, request: Request, subject: Subject) -> Premise:
    if request.action is None:
        return Premise(PremiseKind.ACTION, Satisfaction.UNKNOWN)
    matches = entails if subject.any_value else covered_by
    state = (
        Satisfaction.SATISFIED
        if matches(request.action, action.iri, subject.world)
        else Satisfaction.UNSATISFIED
    )
    return _refined(PremiseKind.ACTION, state, action.refinements, subject)


def _entity(
    kind: PremiseKind, entities: tuple[AnyParty, ...] | tuple[AnyAsset, ...], uid: str | None,
    subject: Subject,
) -> Premise:  # fmt: skip
    if uid is None:
        return Premise(kind, Satisfaction.UNKNOWN)
    own = replace(subject, stated=subject.world.attributes.get(uid, {}), alone=True)
    collections = subject.world.collections(uid)
    premises = []
    for entity in entities:
        names = {entity.uid}
        refinements: tuple[AnyConstraint, ...] = ()
        if isinstance(entity, PartyCollection | AssetCollection):
            names.add(entity.source)
            refinements = entity.refinements
        state = Satisfaction.SATISFIED if names & collections else Satisfaction.UNSATISFIED
        premises.append(_refined(kind, state, refinements, own))
    return _any(premises)


def _refined(
    kind: PremiseKind, state: Satisfaction, refinements: tuple[AnyConstraint, ...],
    subject: Subject,
) -> Premise:  # fmt: skip
    outcomes = tuple(satisfy(refinement, subject) for refinement in refinements)
    states = [state, *(outcome.satisfaction for outcome in outcomes)]
    return Premise(kind, conjunction(states), outcomes)
