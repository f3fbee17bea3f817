"""A decision in sentences: in the order in which people ask, complete, and never misleading."""

from datetime import UTC, datetime
from typing import Any

import pytest
from builders import NOW, facts, permit, policy, request
from hypothesis import given
from hypothesis import strategies as st

from policies import engine
from policies.decision import Constraint, Decision, Obligation, Verdict
from policies.explain import Line, Role, explain, sentence


def decided(**changed: Any) -> engine.Outcome:
    known = {name: changed.pop(name) for name in ("persons", "approved") if name in changed}
    granted = permit()
    return engine.compile(policy(approval="person"))(
        request(granted, **changed), facts(granted, **({"approved": True} | known))
    )


def texts(lines: tuple[Line, ...], role: Role) -> list[str]:
    return [line.text for line in lines if line.role is role]


def test_the_verdict_comes_first_and_the_rest_in_the_order_of_the_questions() -> None:
    lines = explain(decided(columns=("age", "sex"), persons=None))
    order = list(dict.fromkeys(line.role for line in lines if line.role is not Role.REMEDY))
    assert order == [Role.VERDICT, Role.AGAINST, Role.UNKNOWN, Role.HOLDS, Role.DIGEST]
    assert [line.verdict for line in lines if line.verdict] == [Verdict.DENY]
    assert lines[0].text.startswith("refused: 2 of ")  # the permit's scope, and the policy's


def test_every_rule_is_said_exactly_once_in_the_place_of_its_outcome() -> None:
    outcome = decided(columns=("age", "sex"), tasks=("statistics.count",), persons=None)
    places = {False: Role.AGAINST, None: Role.UNKNOWN, True: Role.HOLDS}
    expected = [(one.rule, places[one.satisfied]) for one in outcome.constraints]
    said = [(line.rule, line.role) for line in explain(outcome) if line.role in places.values()]
    assert sorted(said) == sorted(expected)


def test_what_would_make_it_pass_follows_what_speaks_against_it() -> None:
    lines = explain(decided(columns=("age", "sex")))
    place = next(i for i, line in enumerate(lines) if line.rule == "policy.columns")
    assert lines[place].text == (
        "the policy does not allow these columns: sex; it allows age, died"
    )
    assert lines[place].basis == "policy north/research version 1"
    assert lines[place + 1] == Line(Role.REMEDY, "Leave out sex, or ask the hospital")


def test_an_allowance_says_what_it_obliges_to() -> None:
    lines = explain(decided())
    assert lines[0].text == f"allowed: all {len(decided().constraints)} rules hold"
    duties = [line for line in lines if line.role is Role.OBLIGATION]
    assert duties
    assert all(line.rule and line.basis for line in duties)
    assert not texts(lines, Role.AGAINST) + texts(lines, Role.REMEDY)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"persons": None}, "not decided: 1 rule still lacks a fact"),
        ({"persons": None, "approved": None}, "not decided: 2 rules still lack a fact"),
        ({"persons": 1}, "refused: 1 of {} rules speaks against it"),
        ({"persons": 1, "approved": None}, "refused: 1 of {} rules speaks against it"),
    ],
)
def test_the_verdict_is_one_sentence(changed: dict[str, Any], verdict: str) -> None:
    outcome = decided(**changed)
    assert explain(outcome)[0].text == verdict.format(len(outcome.constraints))


def test_a_decision_from_a_log_is_explained_as_the_outcome_was() -> None:
    outcome = decided(columns=("sex",))
    logged = Decision.decode(outcome.decision().encode())
    assert explain(logged) == explain(outcome)


def test_the_digests_of_all_that_it_rests_on_are_there() -> None:
    decision = decided().decision()
    digests = texts(explain(decision), Role.DIGEST)
    for digest in (decision.policy_digest, decision.permit_digest, decision.request_digest):
        assert any(digest in text for text in digests)
    assert f"decided {NOW:%Y-%m-%d %H:%M:%S} UTC" in digests


def test_a_duty_names_its_party_and_its_day() -> None:
    duty = Obligation(
        duty="ehds.art61.publish", party="hdab", what="publish it", basis="Art. 61",
        due=datetime(2027, 5, 6, tzinfo=UTC),
    )  # fmt: skip
    decision = decided().decision().model_copy(update={"obligations": (duty,)})
    (line,) = [line for line in explain(decision) if line.role is Role.OBLIGATION]
    assert line.text == "the health data access body: publish it, by 2027-05-06"


def constraint(rule: str, satisfied: bool | None, **changed: str) -> Constraint:
    known = {"basis": "b", "bound": "BOUND", "actual": "ACTUAL"} | changed
    return Constraint(rule=rule, satisfied=satisfied, **known)


@pytest.mark.parametrize("satisfied", [True, False, None])
def test_a_rule_that_has_no_words_of_its_own_is_said_all_the_same(satisfied: bool | None) -> None:
    assert sentence(constraint("odrl.something", satisfied)) == "ACTUAL; asked is BOUND"


def test_a_long_list_is_shortened() -> None:
    names = ", ".join(f"c{number}" for number in range(100))
    said = sentence(constraint("policy.columns", satisfied=False, bound=names))
    assert said.endswith("c10, c11 and 88 more")


def test_a_prohibited_use_is_said_to_be_one_whatever_its_point() -> None:
    said = sentence(constraint("ehds.art54.c", satisfied=False))
    assert said == "the law prohibits this use, whatever a permit or a policy says: ACTUAL"


@given(st.text(), st.text())
def test_what_was_asked_is_repeated_as_it_is(actual: str, bound: str) -> None:
    said = sentence(constraint("odrl.x", satisfied=False, actual=actual, bound=bound))
    if actual.count(", ") < 12 and bound.count(", ") < 12:
        assert said == f"{actual}; asked is {bound}"


def test_every_rule_of_the_engine_has_words_of_its_own() -> None:
    for changed in ({}, {"columns": ("sex",)}):
        for one in decided(**changed).constraints:
            assert "asked is" not in sentence(one), one.rule
