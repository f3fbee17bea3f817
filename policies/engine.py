"""compile(policy) -> evaluate(request, facts) -> Outcome. Pure: time and facts are arguments.

The statute comes first, then the permit's budget, then the hospital's own policy: its fields, then
its rules in ODRL. Every rule is checked, so that an outcome names everything that stands in the
way; what is said about it is put in words only when somebody reads it. Fail closed: what is not
named is not allowed, and a missing fact never counts as satisfied.
"""

from collections.abc import Callable
from datetime import timedelta

from policies import purposes
from policies.decision import Constraint, Decision, Obligation, Verdict
from policies.permit import Permit
from policies.policy import Policy
from policies.privacy import Budget, Cost, epsilon, spell_epsilon
from policies.request import Facts, UsageRequest
from policies.rule import Check, Rule, keeps_to, rule
from policies.statute import RULES

Evaluate = Callable[[UsageRequest, Facts], "Outcome"]
Texts = tuple[str, str, str]


_ALLOW, _DENY, _UNDETERMINED = Verdict.ALLOW, Verdict.DENY, Verdict.UNDETERMINED


class Outcome:
    """What was decided, and all that it takes to say why. `states` has one outcome for each rule.

    Light on purpose: a gate decides far more often than anybody reads.
    """

    __slots__ = ("_constraints", "compiled", "facts", "request", "states", "verdict")

    def __init__(
        self,
        compiled: "Compiled",
        request: UsageRequest,
        facts: Facts,
        states: list[bool | None],
    ) -> None:
        self.compiled = compiled
        self.request = request
        self.facts = facts
        self.states = states
        self._constraints: tuple[Constraint, ...] | None = None
        self.verdict = _DENY if False in states else _UNDETERMINED if None in states else _ALLOW

    @property
    def failed(self) -> tuple[str, ...]:
        """The codes of all rules that speak against it."""
        return self._codes(False) if self.verdict is _DENY else ()

    @property
    def open(self) -> tuple[str, ...]:
        """The codes of all rules that lack a fact."""
        return self._codes(None)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Every rule in words: those that hold and those that do not."""
        if self._constraints is None:
            self._constraints = tuple(
                one.constraint(self.request, self.facts, state)
                for one, state in zip(self.compiled.rules, self.states, strict=True)
            )
        return self._constraints

    @property
    def obligations(self) -> tuple[Obligation, ...]:
        """What an allowance obliges to; nothing follows from a refusal."""
        permit = self.facts.permit
        if self.verdict is not _ALLOW or permit is None:
            return ()
        return self.compiled.obligations(permit)

    def decision(self) -> Decision:
        """All of it as a document that can be logged, signed and replayed."""
        return Decision(
            verdict=self.verdict,
            decided_at=self.facts.now,
            policy_digest=self.compiled.digest,
            request_digest=self.request.digest,
            permit_digest=self.request.permit_digest,
            constraints=self.constraints,
            obligations=self.obligations,
        )

    def _codes(self, wanted: bool | None) -> tuple[str, ...]:
        return tuple(
            one.code_for(self.request, satisfied=state)
            for one, state in zip(self.compiled.rules, self.states, strict=True)
            if state is wanted
        )


class Compiled:
    """Rules in the order in which they are reported. `digest` names the policy that they are of."""

    def __init__(
        self,
        digest: str,
        rules: tuple[Rule, ...],
        obligations: Callable[[Permit], tuple[Obligation, ...]],
    ) -> None:
        self.digest = digest
        self.rules = rules
        self.obligations = obligations
        self._checks = tuple(one.check for one in rules)

    def __call__(self, request: UsageRequest, facts: Facts) -> Outcome:
        """Evaluate one request."""
        return Outcome(self, request, facts, [check(request, facts) for check in self._checks])


def compile(policy: Policy) -> Compiled:  # noqa: A001 - the word that the field uses for this
    """Turn a policy into a function from request and facts to an outcome.

    Raises `PolicyError` (ODRL_*) if its rules in ODRL cannot be read.
    """

    def owed(permit: Permit) -> tuple[Obligation, ...]:
        from policies.duties import obligations  # noqa: PLC0415 - read seldom, and by few

        return obligations(permit, policy)

    return Compiled(policy.digest, (*RULES, _permit_budget, *policy_rules(policy)), owed)


def policy_rules(policy: Policy) -> tuple[Rule, ...]:
    """The rules of a policy alone, without the statute's."""
    own = f"policy {policy.id} version {policy.version}"
    names = frozenset(
        iri for name in policy.purposes for iri in purposes.iris_within(purposes.by_name(name).iri)
    )
    tasks, columns = frozenset(policy.tasks), frozenset(policy.columns)
    outputs, hospitals = frozenset(policy.outputs), policy.minimum_participants
    found = [
        _scope(
            "policy.dataset", own, frozenset({policy.dataset}),
            lambda request, _facts: request.dataset == policy.dataset,
            lambda request: (request.dataset,),
        ),
        _purpose(policy, own, names),
        _scope(
            "policy.tasks", own, tasks,
            lambda request, _facts: tasks.issuperset(request.tasks),
            lambda request: request.tasks,
        ),
        _scope(
            "policy.columns", own, columns,
            lambda request, _facts: columns.issuperset(request.columns),
            lambda request: request.columns,
        ),
        _scope(
            "policy.outputs", own, outputs,
            lambda request, _facts: request.output in outputs,
            lambda request: (request.output,),
        ),
        _period(policy, own),
        Rule(
            "policy.participants", own,
            lambda request, _facts: request.participants >= hospitals,
            lambda request, _facts, _satisfied: (
                f"at least {hospitals} hospitals",
                str(request.participants),
                "Invite more hospitals to the job",
            ),
        ),
        _cohort(policy, own),
        _job_cap(policy, own),
        _duration(policy, own),
        _budget(policy, own),
    ]  # fmt: skip
    if policy.approval == "person":
        found.append(_approval(own))
    if policy.rules:
        from policies.odrl.gate import odrl_rules  # noqa: PLC0415 - only few policies have any

        found.extend(odrl_rules(policy))
    return tuple(found)


def _scope(
    code: str,
    basis: str,
    allowed: frozenset[str],
    check: Check,
    asked: Callable[[UsageRequest], tuple[str, ...]],
) -> Rule:
    bound = ", ".join(sorted(allowed))

    def words(request: UsageRequest, _facts: Facts, _satisfied: bool | None) -> Texts:
        names = asked(request)
        outside = [name for name in names if name not in allowed]
        remedy = f"Leave out {', '.join(outside)}, or ask the hospital" if outside else ""
        return bound, ", ".join(outside or names), remedy

    return Rule(code, basis, check, words)


def _purpose(policy: Policy, basis: str, allowed: frozenset[str]) -> Rule:
    """A part of an allowed purpose is allowed: Art. 53(1)(e)(ii) is a part of point (e)."""
    bound = ", ".join(sorted(policy.purposes)) + ", or a part of that"

    def words(request: UsageRequest, _facts: Facts, satisfied: bool | None) -> Texts:
        purpose = purposes.by_iri(request.purpose)
        name = purpose.name if purpose else request.purpose
        return bound, name, "" if satisfied else f"Leave out {name}, or ask the hospital"

    return Rule("policy.purpose", basis, lambda request, _facts: request.purpose in allowed, words)


def _period(policy: Policy, basis: str) -> Rule:
    start, end = policy.not_before, policy.not_after
    return Rule(
        "policy.period",
        basis,
        lambda _request, facts: start <= facts.now < end,
        lambda _request, facts, _satisfied: (
            f"{start:%Y-%m-%d} to {end:%Y-%m-%d}",
            f"{facts.now:%Y-%m-%d %H:%M} UTC",
            "Ask the hospital for a policy that is in force",
        ),
    )


def _cohort(policy: Policy, basis: str) -> Rule:
    least = policy.minimum_cohort
    return Rule(
        "policy.cohort",
        basis,
        lambda _request, facts: None if facts.persons is None else facts.persons >= least,
        lambda _request, _facts, satisfied: (
            f"at least {least} people in every fold",
            # The size itself is not written down: decisions are shown to others than the hospital.
            {None: "not counted", True: "enough", False: "too few"}[satisfied],
            "Ask for a wider cohort or a smaller held-out share",
        ),
    )


def _job_cap(policy: Policy, basis: str) -> Rule:
    """One job, planned as a whole: the best order counts (`policies.privacy.epsilon`)."""
    delta, cap = policy.budget.delta, policy.epsilon_per_job

    def words(_request: UsageRequest, facts: Facts, _satisfied: bool | None) -> Texts:
        planned = spell_epsilon(epsilon(facts.planned, delta))
        return (
            f"epsilon at most {cap} (delta {delta})",
            f"epsilon {planned}",
            "Plan fewer rounds or more noise",
        )

    return Rule("policy.epsilon-per-job", basis, keeps_to(cap, delta), words)


def _duration(policy: Policy, basis: str) -> Rule:
    longest = timedelta(hours=policy.hours_per_job)
    return Rule(
        "policy.hours-per-job",
        basis,
        lambda request, facts: request.not_after - facts.now <= longest,
        lambda request, _facts, _satisfied: (
            f"at most {policy.hours_per_job} hours",
            f"until {request.not_after:%Y-%m-%d %H:%M} UTC",
            "Set an earlier deadline",
        ),
    )


def _budget(policy: Policy, basis: str) -> Rule:
    budget = Budget(policy.budget.epsilon, policy.budget.delta)
    index, limit = budget.index, budget.limit
    return Rule(
        "policy.budget",
        basis,
        lambda _request, facts: facts.spent_dataset.rdp[index] + facts.planned.rdp[index] <= limit,
        lambda _request, facts, _satisfied: _account(budget, facts.spent_dataset, facts.planned),
    )


def _approval(basis: str) -> Rule:
    said: dict[bool | None, str] = {None: "nobody has answered yet", True: "yes", False: "no"}
    return Rule(
        "policy.approval",
        basis,
        lambda _request, facts: facts.approved,
        lambda _request, _facts, satisfied: (
            "a person at the hospital approves this permit's use of the dataset",
            said[satisfied],
            "Ask the hospital; nothing can be computed before it has answered",
        ),
    )


def _permit_budget_words(_request: UsageRequest, facts: Facts, _satisfied: bool | None) -> Texts:
    if facts.permit is None:
        return "a permit's budget", "no permit", "Ask for a permit"
    return _account(facts.permit.budget, facts.spent_permit, facts.planned)


@rule("ehds.art68.budget", "Regulation (EU) 2025/327, Art. 68(10)(h)", _permit_budget_words)
def _permit_budget(_request: UsageRequest, facts: Facts) -> bool:
    """Art. 68(10)(h), rule R17: all jobs under this permit stay within its own budget."""
    return facts.permit is not None and facts.permit.budget.admits(
        facts.spent_permit, facts.planned
    )


def _account(budget: Budget, spent: Cost, planned: Cost) -> Texts:
    before = spell_epsilon(budget.spent_epsilon(spent))
    after = spell_epsilon(budget.spent_epsilon(spent + planned))
    return (
        f"epsilon at most {budget.epsilon} (delta {budget.delta}) in all",
        f"epsilon {before} spent or reserved, {after} with this job",
        "Plan a job that costs less; what was spent does not come back",
    )
