"""What a decision says of each rule: bound, what was found, and only what may be told."""

from typing import Any

import pytest
from builders import NOW, facts, permit, policy, request

from policies import engine, purposes
from policies.decision import Constraint, Decision
from policies.permit import Permit

ADVERTISING = purposes.by_name("advertising").iri


def said(rule: str, granted: Permit | None, **asked: Any) -> tuple[str, str]:
    decision = decide(granted, **asked)
    (line,) = (one for one in decision.constraints if one.rule == rule)
    return line.bound, line.actual


def decide(granted: Permit | None, **asked: Any) -> Decision:
    about = request(granted or permit(), **asked)
    return engine.compile(policy())(about, facts(granted)).decision()


def test_a_purpose_is_shown_by_its_label_or_as_unknown() -> None:
    rule = "ehds.art53.purpose"
    listed = ("one of points (a) to (f)", "scientific research related to health or care")
    assert said(rule, permit()) == listed
    assert said(rule, permit(), purpose="urn:x")[1] == "a purpose that is not known here"
    assert said("ehds.art54.c", permit(), purpose=ADVERTISING) == (
        "no use of Art. 54(a) to (e)",
        "advertising or marketing",
    )
    assert said("ehds.art54", permit(), purpose="urn:x")[1] == "a purpose that is not known here"


def test_a_prohibited_use_is_based_on_its_point() -> None:
    (line,) = (
        one for one in decide(permit(), purpose=ADVERTISING).constraints if "art54" in one.rule
    )
    assert line.basis == "Regulation (EU) 2025/327, Art. 54(c)"


def test_a_permit_is_shown_by_its_state_if_it_is_the_one_that_the_job_names() -> None:
    rule = "ehds.art68.permit"
    assert said(rule, permit(state="renewed"))[1] == "renewed"
    assert said(rule, None)[1] == "no valid signed permit"
    other = engine.compile(policy())(request(permit(id="permit-2")), facts(permit()))
    (line,) = (one for one in other.constraints if one.rule == rule)
    assert line.actual == "no valid signed permit"


def test_periods_are_shown_from_both_sides() -> None:
    rule = "ehds.art68.period"
    bound, actual = said(rule, permit())
    assert bound == "2026-11-21 to 2026-11-23"
    assert actual == f"{NOW:%Y-%m-%d %H:%M} to 2026-11-22 13:00 UTC"
    assert said(rule, None)[0] == "none"


def test_what_lies_outside_the_permit_is_named_up_to_twenty_names() -> None:
    rule = "ehds.art68.scope"
    assert said(rule, permit())[1] == "within"
    assert said(rule, None)[1] == "outside: everything"
    assert said(rule, permit(), columns=("age", "sex"))[1] == "outside: column sex"
    assert said(rule, permit(), output="table", tasks=("x",))[1] == "outside: task x, output table"
    many = tuple(f"c{index}" for index in range(30))
    names = said(rule, permit(), columns=many)[1]
    assert names == "outside: " + ", ".join(f"column c{index}" for index in range(20))


def test_hospitals_are_counted_against_the_permits_minimum() -> None:
    rule = "ehds.art68.participants"
    assert said(rule, permit()) == ("at least 2", "4")
    assert said(rule, None) == ("at least 1", "4")


def test_the_use_says_whether_it_is_the_permits() -> None:
    rule = "ehds.art68.use"
    assert said(rule, permit())[1] == "the same"
    assert said(rule, permit(data_user="somebody else"), data_user="x")[1] == "another one"


@pytest.mark.parametrize(
    ("changed", "rule", "actual", "remedy"),
    [
        ({"tasks": ("x",)}, "policy.tasks", "training.logistic",
         "Leave out training.logistic, or ask the hospital"),
        ({"columns": ("age",)}, "policy.columns", "died", "Leave out died, or ask the hospital"),
        ({"purposes": ("statistics",)}, "policy.purpose", "scientific-research",
         "Leave out scientific-research, or ask the hospital"),
    ],
)  # fmt: skip
def test_what_is_outside_a_policy_is_named_with_the_remedy(
    changed: dict[str, Any], rule: str, actual: str, remedy: str
) -> None:
    outcome = engine.compile(policy(**changed))(request(permit()), facts(permit()))
    (line,) = (one for one in outcome.constraints if one.satisfied is False)
    assert (line.rule, line.actual, line.remedy) == (rule, actual, remedy)


def test_what_holds_needs_no_remedy_in_a_policys_lists() -> None:
    lists = {"policy.dataset", "policy.purpose", "policy.tasks", "policy.columns", "policy.outputs"}
    lines: list[Constraint] = [one for one in decide(permit()).constraints if one.rule in lists]
    assert {one.rule for one in lines} == lists
    assert {one.remedy for one in lines} == {""}
