"""Where two readings of a policy are possible, compiled rules and evaluator take the same one."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from builders import NOW, facts, permit, policy, request

from policies.decision import Verdict
from policies.engine import Compiled
from policies.errors import PolicyError
from policies.odrl import compile as compiler
from policies.odrl import evaluate as reference
from policies.odrl.model import (
    Action,
    Asset,
    Constraint,
    Duty,
    LogicalConstraint,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.odrl.naming import dataset_iri
from policies.odrl.operands import operands
from policies.odrl.satisfy import Satisfaction
from policies.odrl.terms import (
    ELAPSED_TIME,
    ODRL,
    OUTPUT_KIND,
    TASK,
    USE,
    LogicalOperator,
    Operator,
)
from policies.odrl.values import Duration
from policies.odrl.view import world_of
from policies.privacy import Budget
from policies.request import UsageRequest

OWN = policy()
BUDGET = Budget(OWN.budget.epsilon, OWN.budget.delta)
SCOPE = Scope((Action(USE),), (Asset(dataset_iri(OWN.dataset)),))


def both(odrl: Policy, asked: UsageRequest) -> tuple[Verdict, bool]:
    rules = compiler.rules(odrl, operands(BUDGET.delta, BUDGET), BUDGET)
    known = facts(permit())
    outcome = Compiled("a policy", rules, lambda _permit: ())(asked, known)
    question, world = world_of(OWN, asked, known)
    return outcome.verdict, reference.evaluate(odrl, question, world).permitted


@pytest.mark.parametrize("minutes", [30, 90])
def test_how_long_a_job_takes_is_no_clock_of_a_duty(minutes: int) -> None:
    bound = Constraint(ELAPSED_TIME, Operator.LTEQ, Duration(0, Decimal(minutes * 60)))
    duty = Duty(Scope((Action(ODRL + "delete"),)), (bound,))
    odrl = Policy("urn:p", permissions=(Permission(SCOPE, duties=(duty,)),))
    hour = request(permit(), not_after=NOW + timedelta(hours=1))
    assert both(odrl, hour) == (Verdict.ALLOW, True)


@pytest.mark.parametrize(("minutes", "permitted"), [(30, False), (60, True)])
def test_how_long_a_job_takes_is_a_constraint_of_its_permission(
    minutes: int, permitted: bool
) -> None:
    bound = Constraint(ELAPSED_TIME, Operator.LTEQ, Duration(0, Decimal(minutes * 60)))
    odrl = Policy("urn:p", permissions=(Permission(SCOPE, (bound,)),))
    hour = request(permit(), not_after=NOW + timedelta(hours=1))
    assert both(odrl, hour) == (Verdict.ALLOW if permitted else Verdict.DENY, permitted)


@pytest.mark.parametrize(
    ("tasks", "output", "verdict"),
    [
        (("first",), "table", Verdict.ALLOW),
        (("other",), "model", Verdict.ALLOW),
        (("first",), "model", Verdict.DENY),
        (("first", "other"), "model", Verdict.UNDETERMINED),
        (("first", "other"), "table", Verdict.UNDETERMINED),
    ],
)
def test_xone_over_several_values_permits_nothing_that_only_some_of_them_satisfy(
    tasks: tuple[str, ...], output: str, verdict: Verdict
) -> None:
    either = LogicalConstraint(
        LogicalOperator.XONE,
        (
            Constraint(TASK, Operator.EQ, "first"),
            LogicalConstraint(
                LogicalOperator.AND, (Constraint(OUTPUT_KIND, Operator.EQ, "model"),)
            ),
        ),
    )
    odrl = Policy("urn:p", permissions=(Permission(SCOPE, (either,)),))
    asked = request(permit(), tasks=tasks, output=output)
    assert both(odrl, asked) == (verdict, verdict is Verdict.ALLOW)
    question, world = world_of(OWN, asked, facts(permit()))
    (premise,) = reference.evaluate(odrl, question, world).rules[0].premises[-1:]
    assert (premise.satisfaction is Satisfaction.UNKNOWN) is (verdict is Verdict.UNDETERMINED)


def test_a_target_that_is_no_iri_is_refused_since_it_would_be_about_nothing() -> None:
    plain = replace(SCOPE, targets=(Asset("north/flchain"),))
    for odrl in (
        Policy("urn:p", permissions=(Permission(plain),)),
        Policy("urn:p", permissions=(Permission(SCOPE),), prohibitions=(Prohibition(plain),)),
    ):
        with pytest.raises(PolicyError) as caught:
            compiler.rules(odrl, operands(BUDGET.delta, BUDGET), BUDGET)
        assert caught.value.code == "ODRL_VALUE"
        assert "urn:commensal:dataset:north/flchain" in caught.value.remedy
