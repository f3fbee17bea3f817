"""An ODRL policy as rules of the gate: compiled once, then only looked up and compared.

`policies.odrl.evaluate` is the reference; this is its fast twin for one kind of question: may this
job use this dataset? What does not depend on the request (actions, who belongs to which
collection, inheritance, the conflict strategy) is settled here.

A policy with one permission becomes one rule for each of its premises, so that each has its own
reason; several permissions are alternatives, and become one rule. Each prohibition is a rule that
holds as long as the prohibition does not apply. Together they permit exactly what `evaluate` does:
with the strategy `perm` a prohibition changes nothing where a permission applies; with `prohibit`,
and with `invalid` (which voids the policy), it refuses.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from policies.odrl import inherit, terms
from policies.odrl.actions import covered_by, entails, with_definitions
from policies.odrl.comparisons import check_of, conjunction, disjunction
from policies.odrl.duties import follow
from policies.odrl.model import (
    Action,
    AnyAsset,
    AnyConstraint,
    AnyParty,
    AssetCollection,
    Constraint,
    Duty,
    LogicalConstraint,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
)
from policies.odrl.naming import dataset_iri
from policies.odrl.operands import Accessor
from policies.odrl.strict import refuse
from policies.odrl.terms import Conflict
from policies.odrl.values import Value, is_iri, shorten, spell
from policies.odrl.view import ACTION, BACKGROUND
from policies.odrl.world import DeonticState, Request
from policies.privacy import Budget
from policies.request import Facts, UsageRequest
from policies.rule import Check, Rule, Words

_MAX_SHOWN = 300  # characters of a bound or a value in a decision


def rules(
    policy: Policy,
    operands: Mapping[str, Accessor],
    budget: Budget | None = None,
    known: Mapping[str, Policy] | None = None,
) -> tuple[Rule, ...]:
    """The rules of a policy; a job is permitted if all of them hold.

    `operands` looks a left operand up, counting by `budget` where one is known. `known` has the
    policies that this one inherits from. Raises `PolicyError` (ODRL_TERM, ODRL_CYCLE).
    """
    policy = inherit.resolve(policy, known or {}) if policy.inherits else policy
    return _Compiler(policy, operands, budget).rules()


class _Compiler:
    def __init__(
        self, policy: Policy, operands: Mapping[str, Accessor], budget: Budget | None
    ) -> None:
        self._policy = policy
        self._operands = operands
        self._budget = budget
        self._world = with_definitions(BACKGROUND, policy)
        self._basis = f"policy {policy.uid}"

    def rules(self) -> tuple[Rule, ...]:
        policy = self._policy
        if any(iri == terms.DCT + "isReplacedBy" for iri, _ in policy.metadata):
            return (self._never("odrl.replaced", "the policy in force", "it was replaced"),)
        permissions = [
            self._permission(inherit.placed(one, policy.scope)) for one in policy.permissions
        ]
        if not permissions:
            return (self._never("odrl.permission", "a permission", "the policy has none"),)
        found = permissions[0] if len(permissions) == 1 else (self._alternatives(permissions),)
        if policy.conflict is not Conflict.PERM:
            found += tuple(
                self._prohibition(inherit.placed(one, policy.scope), one.uid or f"number {index}")
                for index, one in enumerate(policy.prohibitions, 1)
            )
        return found

    def _permission(self, rule: Permission) -> tuple[Rule, ...]:
        found = list(self._parties(rule.scope.targets, rule.scope.assignees))
        if rule.scope.actions:
            found.append(self._actions(rule.scope.actions, any_value=False))
        found += [self._constraint(one) for one in rule.constraints]
        if rule.duties:
            found.append(self._duties(rule.duties))
        if not found:
            found.append(self._always("odrl.permission", "anything"))
        return tuple(found)

    def _alternatives(self, permissions: list[tuple[Rule, ...]]) -> Rule:
        checks = tuple(conjunction(tuple(one.check for one in rules)) for rules in permissions)

        def words(
            request: UsageRequest, facts: Facts, _satisfied: bool | None
        ) -> tuple[str, str, str]:
            lacking = [
                ", ".join(one.code for one in rules if one.check(request, facts) is not True)
                for rules in permissions
            ]
            reasons = "; ".join(
                f"permission {index}: {codes or 'applies'}"
                for index, codes in enumerate(lacking, 1)
            )
            return (
                f"one of {len(permissions)} permissions",
                _shorten(reasons),
                "Change the job so that one of them applies in full",
            )

        return Rule("odrl.permission", self._basis, disjunction(checks), words)

    def _prohibition(self, rule: Prohibition, name: str) -> Rule:
        premises = list(self._parties(rule.scope.targets, rule.scope.assignees))
        if rule.scope.actions:
            premises.append(self._actions(rule.scope.actions, any_value=True))
        premises += [self._constraint(one, any_value=True) for one in rule.constraints]
        applies = conjunction(tuple(one.check for one in premises)) if premises else _always

        def check(request: UsageRequest, facts: Facts) -> bool | None:
            state = applies(request, facts)
            return None if state is None else not state

        def words(
            request: UsageRequest, facts: Facts, satisfied: bool | None
        ) -> tuple[str, str, str]:
            met = [one(request, facts) for one in premises]
            bound = " and ".join(one.bound for one in met) or "anything"
            return (
                _shorten(f"not: {bound}"),
                {True: "does not apply", False: "applies", None: "may apply"}[satisfied],
                "Change what the prohibition is about, or ask the hospital",
            )

        return Rule("odrl.prohibition", f"{self._basis}, prohibition {name}", check, words)

    def _parties(
        self, targets: tuple[AnyAsset, ...], assignees: tuple[AnyParty, ...]
    ) -> tuple[Rule, ...]:
        found = []
        if targets:
            _check_names(targets)
            found.append(
                self._entity("odrl.target", targets, lambda request: dataset_iri(request.dataset))
            )
        if assignees:
            found.append(
                self._entity("odrl.assignee", assignees, lambda request: request.data_user)
            )
        return tuple(found)

    def _entity(
        self,
        code: str,
        entities: tuple[AnyAsset, ...] | tuple[AnyParty, ...],
        of: Callable[[UsageRequest], str],
    ) -> Rule:
        sure: set[str] = set()
        unsure: set[str] = set()  # members of a collection whose refinements nobody can check here
        for entity in entities:
            names = {entity.uid}
            refined = False
            if isinstance(entity, PartyCollection | AssetCollection):
                names.add(entity.source)
                refined = bool(entity.refinements)
            named = {name for name in names if name is not None}
            members = named | {
                uid for uid in self._world.part_of if named & self._world.collections(uid)
            }
            (unsure if refined else sure).update(members)

        def check(request: UsageRequest, _facts: Facts) -> bool | None:
            uid = of(request)
            return True if uid in sure else None if uid in unsure else False

        def words(
            request: UsageRequest, _facts: Facts, _satisfied: bool | None
        ) -> tuple[str, str, str]:
            return (
                _shorten(", ".join(sorted(sure | unsure))),
                _shorten(of(request)),
                "Ask the hospital for a policy that covers it",
            )

        return Rule(code, self._basis, check, words)

    def _actions(self, actions: tuple[Action, ...], *, any_value: bool) -> Rule:
        matches = entails if any_value else covered_by
        checks = []
        for action in actions:
            if matches(ACTION, action.iri, self._world):
                refinements = tuple(
                    self._check(one, any_value=any_value) for one in action.refinements
                )
                checks.append(conjunction(refinements) if refinements else _always)
        bound = " or ".join(_short_name(action.iri) for action in actions)
        refined = [_spelled(one) for action in actions for one in action.refinements]
        if refined:
            bound += f" with {' and '.join(refined)}"
        return Rule(
            "odrl.action",
            self._basis,
            disjunction(tuple(checks)) if checks else _nothing,
            lambda _request, _facts, _satisfied: (
                _shorten(bound),
                _short_name(ACTION),
                "Ask the hospital for a policy that covers this use",
            ),
        )

    def _constraint(self, constraint: AnyConstraint, *, any_value: bool = False) -> Rule:
        check = self._check(constraint, any_value=any_value)
        bound = _shorten(_spelled(constraint))
        lookups = sorted(_lefts(constraint))

        def words(
            request: UsageRequest, facts: Facts, satisfied: bool | None
        ) -> tuple[str, str, str]:
            found = [f"{_short_name(left)} {self._found(left, request, facts)}" for left in lookups]
            remedy = "" if satisfied else f"Needed: {bound}"
            return bound, _shorten(", ".join(found)), remedy

        return Rule(f"odrl.{_code(constraint)}", self._basis, check, words)

    def _found(self, left: str, request: UsageRequest, facts: Facts) -> str:
        value = self._operands[left](request, facts)
        if value is None or value == ():
            return "not known"
        if left == terms.COHORT_SIZE:
            return "counted"  # how many is not written down: decisions are shown to others
        return ", ".join(_shown(one) for one in (value if isinstance(value, tuple) else (value,)))

    def _check(self, constraint: AnyConstraint, *, any_value: bool) -> Check:
        return check_of(constraint, self._operands, self._world, self._budget, any_value=any_value)

    def _duties(self, duties: tuple[Duty, ...]) -> Rule:
        """A violated duty ends its permission (2.6.3)."""

        def check(request: UsageRequest, facts: Facts) -> bool:
            asked = Request(request.job_digest, assignee=request.data_user)
            world = replace(self._world, now=facts.now)
            return all(
                follow(duty, asked, world).state is not DeonticState.VIOLATED for duty in duties
            )

        return Rule(
            "odrl.duty",
            self._basis,
            check,
            lambda _request, _facts, satisfied: (
                "no duty of the permission violated",
                "none" if satisfied else "the time for a duty is over",
                "Ask the hospital for a new agreement",
            ),
        )

    def _never(self, code: str, bound: str, actual: str) -> Rule:
        words: Words = lambda _request, _facts, _satisfied: (  # noqa: E731 - three words
            bound,
            actual,
            "Ask the hospital for a policy that permits something",
        )
        return Rule(code, self._basis, _nothing, words)

    def _always(self, code: str, bound: str) -> Rule:
        return Rule(code, self._basis, _always, lambda _request, _facts, _state: (bound, bound, ""))


def _check_names(targets: tuple[AnyAsset, ...]) -> None:
    """Threat: a prohibition whose target is no IRI would never be about any dataset."""
    for asset in targets:
        if asset.uid is not None and not is_iri(asset.uid):
            refuse(
                "ODRL_VALUE", "target", f"is no IRI: {shorten(asset.uid)}",
                f"Write {dataset_iri(asset.uid)}",
            )  # fmt: skip


def _always(_request: UsageRequest, _facts: Facts) -> bool:
    return True


def _nothing(_request: UsageRequest, _facts: Facts) -> bool:
    return False


def _lefts(constraint: AnyConstraint) -> set[str]:
    if isinstance(constraint, LogicalConstraint):
        return {left for one in constraint.operands for left in _lefts(one)}
    return {constraint.left}


def _code(constraint: AnyConstraint) -> str:
    return (
        constraint.operator.value
        if isinstance(constraint, LogicalConstraint)
        else _short_name(constraint.left)
    )


def _spelled(constraint: AnyConstraint) -> str:
    if isinstance(constraint, LogicalConstraint):
        inner = "; ".join(_spelled(one) for one in constraint.operands)
        return f"{constraint.operator.value} of ({inner})"
    return f"{_short_name(constraint.left)} {constraint.operator.value} {_bound(constraint)}"


def _bound(constraint: Constraint) -> str:
    right = constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)
    return ", ".join(_shown(value) for value in right)


def _shown(value: Value) -> str:
    return spell(value)[0]


def _short_name(iri: str) -> str:
    return iri.rpartition("#")[2].rpartition("/")[2]


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
