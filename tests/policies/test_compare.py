"""Policy diff: what it says is so, and what is so it says."""

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from builders import policy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy_strategies import pairs, situations

from policies import engine
from policies.change import Effect, is_exhaustive, walk
from policies.compare import PolicyComparison, compare, contrasted, example
from policies.decision import Verdict
from policies.odrl import terms
from policies.policy import Policy

SLOW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # fmt: skip
FEW = settings(SLOW, max_examples=15)


def rules(*permissions: dict[str, Any], **other: Any) -> str:
    return json.dumps(
        {
            "@context": ["http://www.w3.org/ns/odrl.jsonld", {"commensal": terms.COMMENSAL}],
            "@id": "urn:rules",
            "@type": "Set",
            "permission": list(permissions),
            **other,
        }
    )


def use(*constraints: tuple[str, str, Any], **other: Any) -> dict[str, Any]:
    names = ("leftOperand", "operator", "rightOperand")
    return {
        "action": "use",
        "constraint": [dict(zip(names, one, strict=True)) for one in constraints],
        **other,
    }


def check(old: Policy, new: Policy, found: PolicyComparison) -> None:
    """Every counterexample separates the two policies, in the direction that it is named for."""
    decide_old, decide_new = engine.compile(old), engine.compile(new)
    for one in (found, *found.changes):
        directions = one.widened is not None, one.tightened is not None
        assert (
            one.effect
            is {
                (True, True): Effect.BOTH,
                (True, False): Effect.WIDENED,
                (False, True): Effect.TIGHTENED,
                (False, False): Effect.SAME,
            }[directions]
        )
        for case, allowed_now in ((one.widened, True), (one.tightened, False)):
            if case is not None:
                verdicts = [decide(case.request, case.facts).verdict
                            for decide in (decide_old, decide_new)]  # fmt: skip
                assert verdicts == [case.old, case.new]
                assert (verdicts[0] is Verdict.ALLOW) is not allowed_now
                assert (verdicts[1] is Verdict.ALLOW) is allowed_now


LATER = policy().not_after + timedelta(days=1)


@pytest.mark.parametrize(
    ("path", "changed", "effect"),
    [
        ("dataset", {"dataset": "north/other"}, Effect.BOTH),
        ("purposes", {"purposes": ("scientific-research", "statistics")}, Effect.WIDENED),
        ("purposes", {"purposes": ("train-algorithms",)}, Effect.TIGHTENED),
        ("purposes", {"purposes": ("statistics",)}, Effect.BOTH),
        ("purposes", {"purposes": ("scientific-research", "train-devices")}, Effect.SAME),
        ("tasks", {"tasks": ("training.logistic", "training.mlp")}, Effect.WIDENED),
        ("columns", {"columns": ("age",)}, Effect.TIGHTENED),
        ("columns", {"columns": ("age", "bmi")}, Effect.BOTH),
        ("columns", {"columns": ("died", "age")}, Effect.SAME),
        ("outputs", {"outputs": ("model", "table")}, Effect.WIDENED),
        ("minimum_cohort", {"minimum_cohort": 99}, Effect.WIDENED),
        ("minimum_cohort", {"minimum_cohort": 101}, Effect.TIGHTENED),
        ("minimum_participants", {"minimum_participants": 2}, Effect.WIDENED),
        ("minimum_participants", {"minimum_participants": 4}, Effect.TIGHTENED),
        ("epsilon_per_job", {"epsilon_per_job": "1.000001"}, Effect.WIDENED),
        ("epsilon_per_job", {"epsilon_per_job": "0.999999"}, Effect.TIGHTENED),
        ("hours_per_job", {"hours_per_job": 169}, Effect.WIDENED),
        ("hours_per_job", {"hours_per_job": 167}, Effect.TIGHTENED),
        ("not_before", {"not_before": policy().not_before - timedelta(0, 0, 1)}, Effect.WIDENED),
        ("not_after", {"not_after": policy().not_after - timedelta(0, 0, 1)}, Effect.TIGHTENED),
        ("not_after", {"not_after": LATER}, Effect.WIDENED),
        ("approval", {"approval": "person"}, Effect.TIGHTENED),
        ("version", {"version": 2}, Effect.SAME),
        ("id", {"id": "north/other"}, Effect.SAME),
    ],
)
def test_each_field_alone_is_classified_and_shown(
    path: str, changed: dict[str, Any], effect: Effect
) -> None:
    old, new = policy(), policy(**changed)
    found = contrasted(old, new)
    check(old, new, found)
    assert [(one.path, one.effect) for one in found.changes] == [(path, effect)]
    assert found.effect is effect
    assert found.exhaustive


@pytest.mark.parametrize(
    ("path", "budget", "effect"),
    [
        ("budget.epsilon", {"epsilon": "2.000001", "delta": "0.00001"}, Effect.WIDENED),
        ("budget.epsilon", {"epsilon": "1.999999", "delta": "0.00001"}, Effect.TIGHTENED),
        ("budget.delta", {"epsilon": "2.0", "delta": "0.0001"}, Effect.WIDENED),
        ("budget.delta", {"epsilon": "2.0", "delta": "0.000001"}, Effect.TIGHTENED),
    ],
)
def test_each_part_of_the_budget_is_classified_and_shown(
    path: str, budget: dict[str, str], effect: Effect
) -> None:
    old, new = policy(), policy(budget=budget)
    found = contrasted(old, new)
    check(old, new, found)
    assert [(one.path, one.effect) for one in found.changes] == [(path, effect)]


def test_every_field_of_a_policy_is_compared() -> None:
    new = policy(
        id="b", version=2, dataset="a/b", purposes=("statistics",), tasks=("t",), columns=("c",),
        outputs=("o",), minimum_cohort=7, minimum_participants=1, epsilon_per_job="0.5",
        hours_per_job=3, budget={"epsilon": "1", "delta": "0.0001"}, not_before=LATER,
        not_after=LATER + timedelta(days=9), approval="person", rules=rules(use()),
    )  # fmt: skip
    paths = {one.path.partition(".")[0] for one in compare(policy(), new)}
    assert paths == set(Policy.model_fields)


def test_an_equal_policy_has_no_changes() -> None:
    found = contrasted(policy(), policy())
    assert (found.changes, found.effect, found.exhaustive) == ((), Effect.SAME, True)


def test_a_sentence_names_the_field_both_values_and_the_effect() -> None:
    (change,) = compare(policy(), policy(minimum_cohort=50))
    assert change.sentence == (
        "minimum_cohort, from 100 to 50: allows requests that were not allowed before"
    )
    assert change.widened is not None
    assert change.widened.facts.persons is not None
    assert 50 <= change.widened.facts.persons < 100


def test_a_change_that_another_hides_is_not_called_wider() -> None:
    hidden = policy(minimum_cohort=50, not_after=policy().not_before)
    effects = {one.path: one.effect for one in compare(policy(), hidden)}
    assert effects == {"minimum_cohort": Effect.SAME, "not_after": Effect.TIGHTENED}


@given(pairs())
@SLOW
def test_every_counterexample_separates_random_policies(both: tuple[Policy, Policy]) -> None:
    check(*both, contrasted(*both))


@given(pairs(with_rules=True))
@FEW
def test_every_counterexample_separates_random_policies_with_rules(
    both: tuple[Policy, Policy],
) -> None:
    check(*both, contrasted(*both, limit=1000))


@given(pairs(), st.integers(0, 2**32))
@FEW
def test_what_random_requests_show_the_search_found_as_well(
    both: tuple[Policy, Policy], seed: int
) -> None:
    old, new = map(engine.compile, both)
    found = contrasted(*both)
    for case in (one.ask() for one in situations(seed)):
        was, is_now = (decide(*case).verdict is Verdict.ALLOW for decide in (old, new))
        assert is_now <= was or found.widened is not None
        assert was <= is_now or found.tightened is not None


@given(pairs(with_rules=True), st.integers(0, 2**32))
@FEW
def test_policies_with_rules_reported_equivalent_agree_on_random_requests(
    both: tuple[Policy, Policy], seed: int
) -> None:
    old, new = map(engine.compile, both)
    found = contrasted(*both, limit=2000)
    for case in (one.ask() for one in situations(seed)):
        was, is_now = (decide(*case).verdict is Verdict.ALLOW for decide in (old, new))
        assert is_now <= was or found.widened is not None
        assert was <= is_now or found.tightened is not None


RESEARCH = {"@id": "https://w3id.org/dpv/legal/eu/ehds#HealthcareScientificResearch"}


@pytest.mark.parametrize(
    ("old", "new", "path", "effect"),
    [
        ("", rules(use(("commensal:cohortSize", "gteq", 200))), "rules", Effect.TIGHTENED),
        (rules(use(("commensal:cohortSize", "gteq", 200))), "", "rules", Effect.WIDENED),
        (
            rules(use(("commensal:epsilon", "lteq", "0.5"))),
            rules(use(("commensal:epsilon", "lt", "0.5"))),
            "rules.permission[0]",
            Effect.TIGHTENED,
        ),
        (
            rules(use(("recipient", "eq", "a university"))),
            rules(use(("recipient", "isAnyOf", ["a university", "another"]))),
            "rules.permission[0]",
            Effect.WIDENED,
        ),
        (
            rules(use(("purpose", "isA", RESEARCH))),
            rules(use(("purpose", "eq", RESEARCH))),
            "rules.permission[0]",
            Effect.TIGHTENED,
        ),
        (
            rules(use(("elapsedTime", "lteq", "PT24H"))),
            rules(use(("elapsedTime", "lteq", "P1D"))),
            "rules.permission[0]",
            None,
        ),
        (
            rules(use(assignee="urn:a")),
            rules(use(assignee="urn:b")),
            "rules.permission[0]",
            Effect.BOTH,
        ),
        (
            rules(use()),
            rules(use(), use(("commensal:minParticipants", "gteq", 9))),
            "rules.permission[1]",
            Effect.SAME,
        ),
        (
            rules(use()),
            rules(use(), conflict="prohibit", prohibition=[use(("commensal:column", "eq", "age"))]),
            "rules.prohibition[0]",
            Effect.TIGHTENED,
        ),
    ],
)
def test_rules_in_odrl_are_compared_one_by_one(
    old: str, new: str, path: str, effect: Effect | None
) -> None:
    one, other = policy(rules=old), policy(rules=new)
    found = contrasted(one, other)
    check(one, other, found)
    effects = {change.path: change.effect for change in found.changes}
    assert effects.get(path) is effect


def test_each_partner_is_tried_without_the_others() -> None:
    one, other = (
        policy(minimum_participants=1, rules=rules(use(("commensal:dataset", "isNoneOf", names))))
        for names in (["south/a"], ["south/a", "east/b"])
    )
    found = contrasted(one, other)
    check(one, other, found)
    assert found.effect is Effect.TIGHTENED


def test_more_columns_than_a_permit_lists_are_no_request_and_not_exhaustive() -> None:
    names = [[f"c{place}" for place in range(start, start + 600)] for start in (0, 600)]
    many = rules(*(use(("commensal:column", "isAllOf", each)) for each in names))
    assert not contrasted(policy(), policy(rules=many)).exhaustive
    assert example(policy(rules=many))[0] is None


def test_many_bounds_on_costs_are_not_all_combined_and_that_is_said() -> None:
    lefts = ("commensal:epsilon", "commensal:budgetEpsilon")
    many = rules(*(use(*((left, "lteq", size) for left in lefts)) for size in range(1, 20)))
    assert not contrasted(policy(), policy(rules=many)).exhaustive


def test_a_search_that_was_cut_short_says_so() -> None:
    many = rules(*(use(("commensal:cohortSize", "gteq", size)) for size in range(100, 110)))
    assert not contrasted(policy(rules=many), policy(rules=many), limit=50).exhaustive


def test_what_was_cut_short_is_never_called_proven() -> None:
    one = policy(rules=rules(use(("commensal:cohortSize", "gteq", 5))))
    other = policy(rules=rules(use(("commensal:cohortSize", "gteq", 6))))
    (change,) = contrasted(one, other, limit=50).changes
    assert change.sentence.endswith("changes no decision, as far as was searched")


def test_an_example_of_a_policy_is_allowed_by_it() -> None:
    own = policy(rules=rules(use(("recipient", "eq", "a university"))))
    case, sure = example(own)
    assert case is not None
    assert sure
    assert engine.compile(own)(*case).verdict is Verdict.ALLOW


def test_a_policy_that_allows_nothing_has_no_example() -> None:
    assert example(policy(not_after=policy().not_before)) == (None, True)


def test_the_walk_reaches_every_combination_if_it_may() -> None:
    dimensions = [[lambda state, place=place, value=value: {**state, place: value}  # type: ignore[misc]
                   for value in range(size)] for place, size in enumerate((2, 3, 4))]  # fmt: skip
    reached = {
        tuple(state.values()) for state in walk([dict.fromkeys(range(3), 0)], dimensions, 99)
    }
    assert len(reached) == 24
    assert is_exhaustive(dimensions, 1, 99)
    assert not is_exhaustive(dimensions, 1, 50)
    assert len(list(walk([dict.fromkeys(range(3), 0)], dimensions, 50))) == 50


def test_a_dearer_job_is_shown_by_its_cost() -> None:
    (change,) = compare(policy(), policy(epsilon_per_job="2.0"))
    assert change.widened is not None
    (case, facts) = change.widened.request, change.widened.facts
    constraints = engine.compile(policy())(case, facts).failed
    assert constraints == ("policy.epsilon-per-job",)
    assert facts.spent_dataset.rdp[0] == Decimal(0)
