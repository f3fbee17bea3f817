"""The request that a policy just allows, and each thing moved past its bound."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from builders import policy
from hypothesis import given, settings
from policy_strategies import policies

from policies import engine
from policies.baseline import PLAIN, SAMPLED, baseline, cost_of, edge
from policies.decision import Verdict
from policies.policy import Policy
from policies.privacy import NOTHING, epsilon

DELTA = Decimal("0.00001")


@given(policies)
@settings(max_examples=60, deadline=None)
def test_the_baseline_of_a_policy_with_a_period_is_allowed(one: Policy) -> None:
    outcome = engine.compile(one)(*baseline(one))
    late = one.not_after <= one.not_before
    assert (outcome.verdict is Verdict.ALLOW) is not late, outcome.failed


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"dataset": "north/other"}, "policy.dataset"),
        ({"purpose": "statistics"}, "policy.purpose"),
        ({"tasks": ("training.mlp",)}, "policy.tasks"),
        ({"columns": ("age", "name")}, "policy.columns"),
        ({"output": "table"}, "policy.outputs"),
        ({"participants": 2}, "policy.participants"),
        ({"persons": 99}, "policy.cohort"),
        ({"hours": 169}, "policy.hours-per-job"),
        ({"epsilon": Decimal("1.000001")}, "policy.epsilon-per-job"),
        ({"spent": Decimal("1.9")}, "policy.budget"),
        ({"now": policy().not_after}, "policy.period"),
    ],
)
def test_each_change_past_its_bound_fails_its_own_rule_alone(
    changed: dict[str, Any], rule: str
) -> None:
    assert engine.compile(policy())(*baseline(policy(), **changed)).failed == (rule,)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, Verdict.ALLOW),
        ({"approved": False}, Verdict.DENY),
        ({"approved": None}, Verdict.UNDETERMINED),
        ({"persons": None}, Verdict.UNDETERMINED),
    ],
)
def test_what_a_person_or_a_count_says_decides(changed: dict[str, Any], verdict: Verdict) -> None:
    own = policy(approval="person")
    assert engine.compile(own)(*baseline(own, **changed)).verdict is verdict


def test_a_cost_is_the_dearest_of_at_most_that_epsilon() -> None:
    for target in (Decimal("0.1"), Decimal(1), Decimal("7.5")):
        assert epsilon(cost_of(target, DELTA), DELTA) == target


def test_below_the_fixed_part_of_the_conversion_only_nothing_is_cheap_enough() -> None:
    assert cost_of(Decimal("0.001"), DELTA) == NOTHING


@pytest.mark.parametrize("kind", [PLAIN, SAMPLED])
def test_an_edge_lies_between_what_fits_and_what_does_not(kind: Any) -> None:
    found = edge(lambda cost: epsilon(cost, DELTA) <= 1, kind)
    assert found is not None
    assert epsilon(found[0], DELTA) <= 1 < epsilon(found[1], DELTA)


def test_there_is_no_edge_where_nothing_fits_or_everything_does() -> None:
    assert edge(lambda _cost: False) is None
    assert edge(lambda _cost: True) is None


def test_two_hospitals_are_never_one_and_the_same() -> None:
    request, _ = baseline(policy(dataset="hospital-1/patients"), participants=7)
    assert request.participants == 7


def test_the_permit_lasts_as_long_as_the_job() -> None:
    request, facts = baseline(policy(hours_per_job=24 * 366), hours=24 * 366)
    assert facts.permit is not None
    assert facts.permit.not_after > request.not_after == facts.now + timedelta(days=366)
