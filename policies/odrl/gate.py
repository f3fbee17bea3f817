"""A hospital's policy and the ODRL world: its rules at the gate, and the report of a decision."""

from policies.odrl.compile import rules
from policies.odrl.evaluate import evaluate
from policies.odrl.lower import lower
from policies.odrl.operands import operands
from policies.odrl.read import read
from policies.odrl.report import Triple, report
from policies.odrl.view import world_of
from policies.policy import Policy
from policies.privacy import Budget
from policies.request import Facts, UsageRequest
from policies.rule import Rule


def odrl_rules(policy: Policy) -> tuple[Rule, ...]:
    """The rules of `policy.rules`, privacy counted by the policy's own budget.

    Raises `PolicyError` (ODRL_*) if they cannot be read or inherit from another policy.
    """
    budget = Budget(policy.budget.epsilon, policy.budget.delta)
    return rules(read(policy.rules.encode(), {}), operands(budget.delta, budget), budget)


def compliance_report(policy: Policy, request: UsageRequest, facts: Facts) -> list[Triple]:
    """The same decision as an ODRL compliance report in the FORCE vocabulary (`odrl.report`).

    It is about the hospital's policy; the statute and the permit have no ODRL rules.
    """
    asked, world = world_of(policy, request, facts)
    name = f"{policy.digest[-16:]}-{request.digest[-16:]}"
    return report(
        [evaluate(lower(policy), asked, world)],
        uid=f"urn:commensal:report:{name}",
        created=facts.now,
    )
