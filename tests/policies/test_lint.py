"""Each thing that a check of a hospital's policy must find, and that it is silent otherwise."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from builders import NOW
from builders import policy as any_policy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_strategies import pairs, situations
from test_compare import RESEARCH, rules, use

from policies import engine
from policies.decision import Verdict
from policies.lint import lint
from policies.policy import Policy
from policies.remark import Catalogue, Remark

CATALOGUE = Catalogue(
    {
        "training.logistic": frozenset({"model"}),
        "training.mlp": frozenset({"model"}),
        "statistics.count": frozenset({"table"}),
    }
)
LAST = NOW + timedelta(days=30)
TINY = {"epsilon": "0.0001", "delta": "0.00001"}


def policy(**changed: Any) -> Policy:
    return any_policy(**{"not_after": LAST, **changed})


def said(remarks: tuple[Remark, ...]) -> list[tuple[str, str, str]]:
    return [(one.severity.value, one.code, one.path) for one in remarks]


def test_a_sound_policy_is_met_with_silence() -> None:
    assert lint(policy(), NOW, CATALOGUE) == ()


def test_sound_rules_are_met_with_silence() -> None:
    own = policy(rules=rules(use(("purpose", "isA", RESEARCH), ("commensal:epsilon", "lteq", 1))))
    assert lint(own, NOW, CATALOGUE) == ()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"not_after": policy().not_before}, ("error", "DATES_CONTRADICT", "not_after")),
        ({"not_after": NOW}, ("error", "PERIOD_OVER", "not_after")),
        ({"hours_per_job": 31 * 24 + 1}, ("warning", "HOURS_BEYOND_PERIOD", "hours_per_job")),
        ({"budget": TINY}, ("error", "PRIVACY_BUDGET_TOO_SMALL", "budget")),
        (
            {"budget": {"epsilon": "1", "delta": "1e-13"}, "epsilon_per_job": "0.5"},
            ("error", "PRIVACY_DELTA", "budget"),
        ),
        ({"epsilon_per_job": "0.005"}, ("error", "PRIVACY_BUDGET_TOO_SMALL", "epsilon_per_job")),
        ({"epsilon_per_job": "2.1"}, ("warning", "EPSILON_ABOVE_BUDGET", "epsilon_per_job")),
        (
            {"budget": {"epsilon": "11", "delta": "0.00001"}},
            ("warning", "EPSILON_LARGE", "budget.epsilon"),
        ),
        (
            {"budget": {"epsilon": "2", "delta": "0.011"}},
            ("warning", "DELTA_LARGE", "budget.delta"),
        ),
        ({"minimum_cohort": 1}, ("warning", "ALWAYS_TRUE", "minimum_cohort")),
        (
            {"minimum_participants": 1},
            ("warning", "PARTICIPANTS_ONE", "minimum_participants"),
        ),
        (
            {"minimum_participants": 1, "outputs": ("table",), "tasks": ("statistics.count",)},
            ("warning", "ALWAYS_TRUE", "minimum_participants"),
        ),
        ({"columns": ("age", "died", "age")}, ("warning", "DUPLICATE_CONSTRAINT", "columns[2]")),
        (
            {"purposes": ("scientific-research", "train-devices")},
            ("warning", "PURPOSE_COVERED", "purposes[1]"),
        ),
        (
            {"tasks": ("training.logistic", "training.magic")},
            ("warning", "TASK_UNKNOWN", "tasks[1]"),
        ),
        ({"outputs": ("model", "video")}, ("warning", "OUTPUT_UNKNOWN", "outputs[1]")),
        ({"outputs": ("model", "table")}, ("warning", "OUTPUT_WITHOUT_TASK", "outputs[1]")),
    ],
)
def test_each_fault_of_a_field_is_found_and_nothing_else(
    changed: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    assert said(lint(policy(**changed), NOW, CATALOGUE)) == [expected]


def test_the_bounds_themselves_are_no_fault() -> None:
    at_bounds = policy(
        epsilon_per_job="2.0", budget={"epsilon": "2.0", "delta": "0.01"}, hours_per_job=31 * 24,
        minimum_participants=2,
    )  # fmt: skip
    assert lint(at_bounds, NOW, CATALOGUE) == ()


def test_outputs_that_no_task_makes_leave_nothing_to_compute() -> None:
    found = said(lint(policy(outputs=("table",)), NOW, CATALOGUE))
    assert ("error", "NOTHING_TO_COMPUTE", "tasks") in found


def test_tasks_that_may_come_one_day_are_no_fault_but_are_said() -> None:
    found = said(lint(policy(tasks=("training.tree",)), NOW, CATALOGUE))
    assert ("warning", "NOTHING_TO_COMPUTE", "tasks") in found
    assert {severity for severity, _, _ in found} == {"warning"}


def test_what_was_not_told_is_not_judged() -> None:
    unknown = policy(
        tasks=("x",), outputs=("y",), not_before=NOW - timedelta(days=40), not_after=NOW
    )
    assert lint(unknown, None) == ()


def test_the_cheapest_job_of_the_catalogue_decides_whether_a_budget_is_too_small() -> None:
    from policies.baseline import cost_of  # noqa: PLC0415 - for this case alone

    dear = replace(CATALOGUE, cheapest=cost_of(policy().epsilon_per_job * 3, policy().budget.delta))
    codes = [(one.code, one.path) for one in lint(policy(), NOW, dear)]
    assert codes == [
        ("PRIVACY_BUDGET_TOO_SMALL", "budget.epsilon"),
        ("PRIVACY_BUDGET_TOO_SMALL", "epsilon_per_job"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", ("error", "ODRL_SYNTAX", "rules")),
        (rules(use()), ("warning", "ALWAYS_ALLOWS", "rules.permission[0]")),
        (
            rules(use(("commensal:cohortSize", "lt", 100))),
            ("error", "NEVER_ALLOWS", "rules"),
        ),
        (
            rules(use(("purpose", "isA", {"@id": "https://w3id.org/dpv/legal/eu/ehds#ImproveHealthcare"}))),
            ("error", "NEVER_ALLOWS", "rules"),
        ),
        (
            rules(use(("dateTime", "gteq", "2040-01-01T00:00:00Z"))),
            ("error", "NEVER_ALLOWS", "rules"),
        ),
    ],
)  # fmt: skip
def test_rules_are_checked_in_their_place_and_against_the_fields(
    text: str, expected: tuple[str, str, str]
) -> None:
    assert said(lint(policy(rules=text), NOW, CATALOGUE)) == [expected]


def test_an_operand_that_no_gate_knows_is_named() -> None:
    found = lint(policy(rules=rules(use(("spatial", "eq", "EU")))), NOW, CATALOGUE)
    assert said(found) == [
        ("warning", "OPERAND_UNKNOWN", "rules"),
        ("error", "NEVER_ALLOWS", "rules"),
    ]
    assert "spatial" in found[0].sentence


def test_every_remark_has_a_sentence_and_a_remedy() -> None:
    bad = policy(
        tasks=("x", "x"), outputs=("y",), minimum_cohort=1, minimum_participants=1,
        epsilon_per_job="3", rules=rules(use(("dateTime", "lt", "2020-01-01T00:00:00Z"))),
    )  # fmt: skip
    found = lint(bad, NOW, CATALOGUE)
    assert len(found) > 6
    assert all(one.sentence and one.remedy for one in found)


@given(pairs(with_rules=True), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_random_request_is_allowed_by_a_policy_that_is_said_to_allow_nothing(
    both: tuple[Policy, Policy], seed: int
) -> None:
    for one in both:
        if "NEVER_ALLOWS" in [each.code for each in lint(one, None)]:
            evaluate = engine.compile(one)
            verdicts = {evaluate(*each.ask()).verdict for each in situations(seed)}
            assert Verdict.ALLOW not in verdicts
