"""compile(policy) -> evaluate(request, facts) -> Decision. Pure: time and facts are arguments.

The statute comes first, then the permit's budget, then the hospital's own policy. All constraints
are evaluated, so that a decision names everything that stands in the way. Fail closed: what is not
named is not allowed, and a missing fact never counts as satisfied.
"""

from collections.abc import Callable
from datetime import timedelta

from policies import purposes
from policies.decision import Constraint, Decision, verdict_of
from policies.policy import Policy
from policies.privacy import Budget, Cost, epsilon, spell_epsilon
from policies.request import Facts, UsageRequest
from policies.statute import RULES

Rule = Callable[[UsageRequest, Facts], Constraint]
Evaluate = Callable[[UsageRequest, Facts], Decision]


def compile(policy: Policy) -> Evaluate:  # noqa: A001 - the word that the field uses for this
    """Turn a policy into a function from request and facts to a decision."""
    rules: tuple[Rule, ...] = (*RULES, _permit_budget, *_policy_rules(policy))
    policy_digest = policy.digest

    def evaluate(request: UsageRequest, facts: Facts) -> Decision:
        constraints = tuple(rule(request, facts) for rule in rules)
        return Decision(
            verdict=verdict_of(constraints),
            decided_at=facts.now,
            policy_digest=policy_digest,
            request_digest=request.digest,
            permit_digest=request.permit_digest,
            constraints=constraints,
        )

    return evaluate


def _policy_rules(policy: Policy) -> tuple[Rule, ...]:
    return (
        _scope(
            "policy.dataset",
            policy,
            lambda request: (request.dataset,),
            frozenset({policy.dataset}),
        ),
        _scope("policy.purpose", policy, _purpose_name, frozenset(policy.purposes)),
        _scope("policy.tasks", policy, lambda request: request.tasks, frozenset(policy.tasks)),
        _scope(
            "policy.columns", policy, lambda request: request.columns, frozenset(policy.columns)
        ),
        _scope(
            "policy.outputs", policy, lambda request: (request.output,), frozenset(policy.outputs)
        ),
        _period(policy),
        _participants(policy),
        _cohort(policy),
        _job_cap(policy),
        _duration(policy),
        _budget(policy),
    )


def _purpose_name(request: UsageRequest) -> tuple[str]:
    purpose = purposes.by_iri(request.purpose)
    return (purpose.name if purpose else request.purpose,)


def _scope(
    rule: str,
    policy: Policy,
    asked: Callable[[UsageRequest], tuple[str, ...]],
    allowed: frozenset[str],
) -> Rule:
    bound = ", ".join(sorted(allowed))

    def evaluate(request: UsageRequest, _facts: Facts) -> Constraint:
        names = asked(request)
        outside = [name for name in names if name not in allowed]
        return Constraint(
            rule=rule,
            basis=f"policy {policy.id} version {policy.version}",
            bound=bound,
            actual=", ".join(outside or names),
            satisfied=not outside,
            remedy=f"Leave out {', '.join(outside)}, or ask the hospital" if outside else "",
        )

    return evaluate


def _period(policy: Policy) -> Rule:
    def evaluate(_request: UsageRequest, facts: Facts) -> Constraint:
        return Constraint(
            rule="policy.period",
            basis=f"policy {policy.id} version {policy.version}",
            bound=f"{policy.not_before:%Y-%m-%d} to {policy.not_after:%Y-%m-%d}",
            actual=f"{facts.now:%Y-%m-%d %H:%M} UTC",
            satisfied=policy.not_before <= facts.now < policy.not_after,
            remedy="Ask the hospital for a policy that is in force",
        )

    return evaluate


def _participants(policy: Policy) -> Rule:
    def evaluate(request: UsageRequest, _facts: Facts) -> Constraint:
        return Constraint(
            rule="policy.participants",
            basis=f"policy {policy.id} version {policy.version}",
            bound=f"at least {policy.minimum_participants} hospitals",
            actual=str(request.participants),
            satisfied=request.participants >= policy.minimum_participants,
            remedy="Invite more hospitals to the job",
        )

    return evaluate


def _cohort(policy: Policy) -> Rule:
    def evaluate(_request: UsageRequest, facts: Facts) -> Constraint:
        enough = None if facts.persons is None else facts.persons >= policy.minimum_cohort
        return Constraint(
            rule="policy.cohort",
            basis=f"policy {policy.id} version {policy.version}",
            bound=f"at least {policy.minimum_cohort} people in every fold",
            # The size itself is not written down: decisions are shown to others than the hospital.
            actual={None: "not counted", True: "enough", False: "too few"}[enough],
            satisfied=enough,
            remedy="Ask for a wider cohort or a smaller held-out share",
        )

    return evaluate


def _job_cap(policy: Policy) -> Rule:
    def evaluate(_request: UsageRequest, facts: Facts) -> Constraint:
        planned = epsilon(facts.planned, policy.budget.delta)
        return Constraint(
            rule="policy.epsilon-per-job",
            basis=f"policy {policy.id} version {policy.version}",
            bound=f"epsilon at most {policy.epsilon_per_job} (delta {policy.budget.delta})",
            actual=f"epsilon {spell_epsilon(planned)}",
            satisfied=planned <= policy.epsilon_per_job,
            remedy="Plan fewer rounds or more noise",
        )

    return evaluate


def _duration(policy: Policy) -> Rule:
    longest = timedelta(hours=policy.hours_per_job)

    def evaluate(request: UsageRequest, facts: Facts) -> Constraint:
        return Constraint(
            rule="policy.hours-per-job",
            basis=f"policy {policy.id} version {policy.version}",
            bound=f"at most {policy.hours_per_job} hours",
            actual=f"until {request.not_after:%Y-%m-%d %H:%M} UTC",
            satisfied=request.not_after - facts.now <= longest,
            remedy="Set an earlier deadline",
        )

    return evaluate


def _budget(policy: Policy) -> Rule:
    budget = Budget(policy.budget.epsilon, policy.budget.delta)

    def evaluate(_request: UsageRequest, facts: Facts) -> Constraint:
        return _within(
            "policy.budget", f"policy {policy.id} version {policy.version}",
            budget, facts.spent_dataset, facts.planned,
        )  # fmt: skip

    return evaluate


def _permit_budget(_request: UsageRequest, facts: Facts) -> Constraint:
    """Art. 68(10)(h), rule R17: all jobs under this permit stay within its own budget."""
    basis = "Regulation (EU) 2025/327, Art. 68(10)(h)"
    if facts.permit is None:
        return Constraint(
            rule="ehds.art68.budget", basis=basis, bound="a permit's budget",
            actual="no permit", satisfied=False, remedy="Ask for a permit",
        )  # fmt: skip
    budget = Budget(facts.permit.epsilon, facts.permit.delta)
    return _within("ehds.art68.budget", basis, budget, facts.spent_permit, facts.planned)


def _within(rule: str, basis: str, budget: Budget, spent: Cost, planned: Cost) -> Constraint:
    before = spell_epsilon(budget.spent_epsilon(spent))
    after = spell_epsilon(budget.spent_epsilon(spent + planned))
    return Constraint(
        rule=rule,
        basis=basis,
        bound=f"epsilon at most {budget.epsilon} (delta {budget.delta}) in all",
        actual=f"epsilon {before} spent or reserved, {after} with this job",
        satisfied=budget.admits(spent, planned),
        remedy="Plan a job that costs less; what was spent does not come back",
    )
