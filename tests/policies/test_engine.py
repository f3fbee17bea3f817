"""Each constraint from both sides, and what a decision says."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from builders import NOW, facts, permit, policy, request

from policies import engine, purposes
from policies.decision import Verdict, verdict_of
from policies.privacy import SampledGaussian, epsilon
from policies.request import Facts, UsageRequest


def failed(rules: engine.Evaluate, asked: UsageRequest, known: Facts) -> set[str]:
    outcome = rules(asked, known)
    decision = outcome.decision()
    assert decision.verdict is outcome.verdict is verdict_of(decision.constraints)
    assert {constraint.rule for constraint in decision.failed} == set(outcome.failed)
    return set(outcome.failed)


def test_a_request_that_fits_everything_is_allowed() -> None:
    granted = permit()
    decision = engine.compile(policy())(request(granted), facts(granted)).decision()
    assert decision.verdict is Verdict.ALLOW
    assert all(constraint.satisfied for constraint in decision.constraints)
    assert decision.policy_digest == policy().digest
    assert decision.request_digest == request(granted).digest


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("detrimental-decision", "a"),
        ("discrimination", "b"),
        ("advertising", "c"),
        ("harmful-product", "d"),
        ("unethical", "e"),
    ],
)
def test_a_prohibited_use_is_denied_by_its_point_whatever_the_permit_says(
    name: str, point: str
) -> None:
    purpose = purposes.by_name(name).iri
    granted = permit(purpose=purpose)
    rules = failed(engine.compile(policy()), request(granted, purpose=purpose), facts(granted))
    assert rules == {"ehds.art53.purpose", f"ehds.art54.{point}", "policy.purpose"}


def test_a_purpose_that_nobody_knows_is_denied() -> None:
    granted = permit(purpose="urn:something")
    rules = failed(
        engine.compile(policy()), request(granted, purpose="urn:something"), facts(granted)
    )
    assert rules == {"ehds.art53.purpose", "ehds.art54", "policy.purpose"}


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"state": "revoked"}, "ehds.art68.permit"),
        ({"state": "expired"}, "ehds.art68.permit"),
        ({"not_after": NOW}, "ehds.art68.period"),
        ({"not_after": NOW + timedelta(minutes=59)}, "ehds.art68.period"),
        ({"not_before": NOW + timedelta(seconds=1)}, "ehds.art68.period"),
        ({"data_user": "somebody else"}, "ehds.art68.use"),
        ({"datasets": ("north/other",)}, "ehds.art68.scope"),
        ({"columns": ("age",)}, "ehds.art68.scope"),
        ({"tasks": ("training.mlp",)}, "ehds.art68.scope"),
        ({"outputs": ("table",)}, "ehds.art68.scope"),
        ({"minimum_participants": 5}, "ehds.art68.participants"),
        ({"epsilon": "0.1"}, "ehds.art68.budget"),
    ],
)
def test_a_permit_that_does_not_cover_the_job_is_named(changed: dict[str, Any], rule: str) -> None:
    granted = permit(**changed)
    assert failed(engine.compile(policy()), request(granted), facts(granted)) == {rule}


@pytest.mark.parametrize("state", ["granted", "amended", "renewed"])
def test_three_states_of_a_permit_entitle(state: str) -> None:
    granted = permit(state=state)
    assert not failed(engine.compile(policy()), request(granted), facts(granted))


def test_a_permit_is_in_force_from_its_first_moment_to_before_its_last() -> None:
    end = NOW + timedelta(milliseconds=1)
    granted = permit(not_before=NOW, not_after=end)
    assert not failed(engine.compile(policy()), request(granted, not_after=end), facts(granted))


def test_a_permit_must_list_every_hospital_that_is_counted() -> None:
    granted = permit()
    asked = request(granted, datasets=("north/flchain", "made/up", "as/well", "and/too"))
    assert failed(engine.compile(policy()), asked, facts(granted)) == {"ehds.art68.scope"}


def test_two_datasets_of_one_hospital_are_one_hospital() -> None:
    datasets = ("north/flchain", "north/heart", "north/lung", "north/liver")
    granted = permit(datasets=datasets)
    rules = failed(engine.compile(policy()), request(granted, datasets=datasets), facts(granted))
    assert rules == {"ehds.art68.participants", "policy.participants"}


def test_a_permit_that_was_taken_back_does_not_entitle_whatever_it_says() -> None:
    granted = permit()
    outcome = engine.compile(policy())(request(granted), facts(granted, revoked=True))
    assert outcome.failed == ("ehds.art63.revoked",)
    (constraint,) = [one for one in outcome.constraints if one.rule == "ehds.art63.revoked"]
    assert constraint.actual == "revoked or suspended"
    assert "Art. 63(3)" in constraint.basis


def test_without_a_verified_permit_everything_that_rests_on_it_fails() -> None:
    rules = failed(engine.compile(policy()), request(permit()), facts(None))
    assert rules == {
        "ehds.art68.permit",
        "ehds.art68.period",
        "ehds.art68.use",
        "ehds.art68.scope",
        "ehds.art68.participants",
        "ehds.art68.budget",
    }


def test_another_permit_than_the_job_names_does_not_entitle() -> None:
    granted = permit()
    asked = request(permit(id="permit-2"))
    assert failed(engine.compile(policy()), asked, facts(granted)) == {"ehds.art68.permit"}


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"purposes": ("statistics",)}, "policy.purpose"),
        ({"dataset": "north/other"}, "policy.dataset"),
        ({"tasks": ("training.mlp",)}, "policy.tasks"),
        ({"columns": ("age",)}, "policy.columns"),
        ({"outputs": ("table",)}, "policy.outputs"),
        ({"minimum_cohort": 101}, "policy.cohort"),
        ({"minimum_participants": 5}, "policy.participants"),
        ({"epsilon_per_job": "0.1"}, "policy.epsilon-per-job"),
        ({"not_after": NOW}, "policy.period"),
        ({"not_before": NOW + timedelta(seconds=1)}, "policy.period"),
    ],
)
def test_what_the_hospital_does_not_allow_is_named(changed: dict[str, Any], rule: str) -> None:
    granted = permit()
    assert failed(engine.compile(policy(**changed)), request(granted), facts(granted)) == {rule}


@pytest.mark.parametrize(
    "changed",
    [
        {"minimum_participants": 4},
        {"minimum_cohort": 100},
        {"not_before": NOW},
        {"not_after": NOW + timedelta(microseconds=1)},
    ],
)
def test_a_bound_itself_is_within(changed: dict[str, Any]) -> None:
    granted = permit()
    evaluate = engine.compile(policy(**changed))
    assert not failed(evaluate, request(granted), facts(granted, persons=100))


def test_a_job_may_not_hold_its_cost_for_longer_than_the_policy_says() -> None:
    granted = permit()
    evaluate = engine.compile(policy(hours_per_job=1))
    assert not failed(evaluate, request(granted), facts(granted))
    longer = request(granted, not_after=NOW + timedelta(hours=1, milliseconds=1))
    assert failed(evaluate, longer, facts(granted)) == {"policy.hours-per-job"}


def test_all_that_is_wrong_is_said_not_only_the_first() -> None:
    granted = permit(columns=("age",))
    own = policy(columns=("age",), minimum_cohort=101, minimum_participants=5)
    assert failed(engine.compile(own), request(granted), facts(granted)) == {
        "ehds.art68.scope",
        "policy.columns",
        "policy.cohort",
        "policy.participants",
    }


def test_what_was_spent_before_counts() -> None:
    granted = permit(epsilon="100")
    evaluate = engine.compile(policy(epsilon_per_job="2.0"))
    half = SampledGaussian(Decimal(3)).cost
    assert not failed(evaluate, request(granted), facts(granted, planned=half))
    known = facts(granted, planned=half, spent_dataset=half)
    assert failed(evaluate, request(granted), known) == {"policy.budget"}


def test_what_was_spent_under_the_permit_counts_by_itself() -> None:
    granted = permit(epsilon="2")
    evaluate = engine.compile(
        policy(epsilon_per_job="2.0", budget={"epsilon": "9", "delta": "0.00001"})
    )
    half = SampledGaussian(Decimal(3)).cost
    known = facts(granted, planned=half, spent_permit=half, spent_dataset=half)
    assert failed(evaluate, request(granted), known) == {"ehds.art68.budget"}


def test_a_cohort_that_was_not_counted_never_entitles() -> None:
    granted = permit()
    outcome = engine.compile(policy())(request(granted), facts(granted, persons=None))
    assert outcome.verdict is Verdict.UNDETERMINED
    assert not outcome.failed
    assert outcome.open == ("policy.cohort",)


def test_a_cohort_that_was_not_counted_does_not_hide_a_denial() -> None:
    granted = permit(state="revoked")
    decision = engine.compile(policy())(request(granted), facts(granted, persons=None))
    assert decision.verdict is Verdict.DENY


def test_no_constraints_are_no_permission() -> None:
    assert verdict_of(()) is Verdict.UNDETERMINED


def test_a_decision_does_not_tell_the_size_of_the_cohort() -> None:
    granted = permit()
    evaluate = engine.compile(policy())
    for fewer, more in ((3, 99), (100, 98_765)):
        few, many = (
            evaluate(request(granted), facts(granted, persons=count)).decision()
            for count in (fewer, more)
        )
        assert few == many


def test_every_failed_constraint_has_a_remedy() -> None:
    own = policy(tasks=("x",), columns=("y",), minimum_cohort=999, minimum_participants=99)
    decision = engine.compile(own)(request(permit()), facts(None)).decision()
    assert decision.failed
    assert all(constraint.remedy for constraint in decision.failed)


def test_the_same_question_gets_the_same_answer() -> None:
    granted = permit()
    first = engine.compile(policy())(request(granted), facts(granted)).decision()
    assert engine.compile(policy())(request(granted), facts(granted)).decision() == first


def test_a_part_of_an_allowed_purpose_is_allowed_and_a_broader_one_is_not() -> None:
    part, whole = (
        purposes.by_name(name).iri for name in ("train-ai-systems", "scientific-research")
    )
    for allowed, asked, rules in (
        ("scientific-research", part, set()),
        ("train-ai-systems", whole, {"policy.purpose"}),
    ):
        granted = permit(purpose=asked)
        evaluate = engine.compile(policy(purposes=(allowed,)))
        assert failed(evaluate, request(granted, purpose=asked), facts(granted)) == rules


def test_a_job_may_pursue_a_part_of_its_permits_purpose_but_not_more() -> None:
    part = purposes.by_name("train-algorithms").iri
    granted = permit()
    assert not failed(engine.compile(policy()), request(granted, purpose=part), facts(granted))
    narrow = permit(purpose=part)
    rules = failed(
        engine.compile(policy()), request(narrow, purpose=permit().purpose), facts(narrow)
    )
    assert rules == {"ehds.art68.use"}


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(None, Verdict.UNDETERMINED), (True, Verdict.ALLOW), (False, Verdict.DENY)],
)
def test_a_policy_can_ask_for_a_persons_approval(answer: bool | None, verdict: Verdict) -> None:
    granted = permit()
    outcome = engine.compile(policy(approval="person"))(
        request(granted), facts(granted, approved=answer)
    )
    assert outcome.verdict is verdict
    assert (*outcome.failed, *outcome.open) == (() if answer else ("policy.approval",))
    assert verdict_of(outcome.constraints) is verdict


@pytest.mark.parametrize("cap", ["0.31", "0.2", "0.05", "1.0", "3"])
def test_the_cap_on_a_job_is_the_epsilon_that_is_shown(cap: str) -> None:
    granted = permit(epsilon="90")
    own = policy(epsilon_per_job=cap, budget={"epsilon": "90", "delta": "0.00001"})
    evaluate = engine.compile(own)
    for noise in range(1, 60):
        planned = SampledGaussian(Decimal(noise), Decimal("0.5"), 3).cost
        over = epsilon(planned, Decimal("0.00001")) > Decimal(cap)
        rules = failed(evaluate, request(granted), facts(granted, planned=planned))
        assert rules == ({"policy.epsilon-per-job"} if over else set())
