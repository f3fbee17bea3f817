"""Diff of two ODRL policies: counterexamples separate, and what random requests show was found."""

import random
from dataclasses import replace

import pytest
from gate_cases import any_policy, job, seeded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odrl_cases import odrl, operand, permission
from odrl_strategies import policies

from policies.change import Effect
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.odrl.compare import Question, _space, compare, contrasted
from policies.odrl.evaluate import evaluate
from policies.odrl.model import Policy
from policies.odrl.terms import ODRL

CALM = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
R = {"@id": "https://w3id.org/dpv/legal/eu/ehds#HealthcareScientificResearch"}
T = {"@id": "https://w3id.org/dpv/legal/eu/ehds#TrainTestAndEvaluateHealthAlgorithms"}


def check(old: Policy, new: Policy, **options: int) -> Effect:
    found = contrasted(old, new, **options)
    for one in (found, *found.changes):
        for case, allowed_now in ((one.widened, True), (one.tightened, False)):
            if case is not None:
                assert evaluate(new, case.request, case.facts).permitted is allowed_now
                assert evaluate(old, case.request, case.facts).permitted is not allowed_now
                assert (case.new is Verdict.ALLOW) is allowed_now
                assert (case.old is Verdict.ALLOW) is not allowed_now
    return found.effect


SAME_DAY = operand("dateTime", "gteq", "2030-01-01T00:00:00Z")
FEW = operand("count", "lt", 5)


@pytest.mark.parametrize(
    ("old", "new", "effect"),
    [
        (permission(FEW), permission(operand("count", "lteq", 4)), Effect.SAME),
        (permission(FEW), permission(operand("count", "lt", 6)), Effect.WIDENED),
        (
            permission(operand("commensal:epsilon", "lt", 5)),
            permission(operand("commensal:epsilon", "lteq", 4)),
            Effect.TIGHTENED,
        ),
        (permission(operand("purpose", "isA", R)), permission(operand("purpose", "eq", R)),
         Effect.TIGHTENED),
        (permission(operand("purpose", "isA", R)), permission(operand("purpose", "isA", T)),
         Effect.TIGHTENED),
        (permission(operand("purpose", "eq", R)), permission(operand("purpose", "eq", T)),
         Effect.BOTH),
        (permission(FEW), permission(FEW, assignee="urn:a"), Effect.TIGHTENED),
        (permission(assignee="urn:a"), permission(assignee="urn:b"), Effect.BOTH),
        (permission(target="urn:d"), permission(target="urn:e"), Effect.BOTH),
        (permission(action="use"), permission(action="distribute"), Effect.TIGHTENED),
        (
            permission(action="distribute", target="urn:d"),
            permission(action="transfer", target="urn:d"),
            Effect.BOTH,
        ),
        (
            permission({"and": {"@list": [SAME_DAY, FEW]}}),
            permission({"andSequence": {"@list": [SAME_DAY, FEW]}}),
            Effect.TIGHTENED,
        ),
        (
            permission({"or": {"@list": [SAME_DAY, FEW]}}),
            permission({"xone": {"@list": [SAME_DAY, FEW]}}),
            Effect.TIGHTENED,
        ),
        (
            permission(operand("payAmount", "lt", 5, unit="urn:eur")),
            permission(operand("payAmount", "lt", 5, unit="urn:usd")),
            Effect.BOTH,
        ),
        (
            permission(operand("event", "lt", {"@id": "urn:e"})),
            permission(operand("event", "lteq", {"@id": "urn:e"})),
            Effect.WIDENED,
        ),
        (
            permission(duty=[{"@id": "urn:duty", "action": "inform"}]), permission(),
            Effect.WIDENED,
        ),
        (
            permission(assignee={"source": "urn:staff", "@type": "PartyCollection",
                                 "refinement": operand("count", "lt", 5)}),
            permission(assignee={"source": "urn:staff", "@type": "PartyCollection"}),
            Effect.WIDENED,
        ),
        (
            permission(action={"rdf:value": {"@id": "odrl:use"}, "refinement": FEW}),
            permission(action="use"),
            Effect.WIDENED,
        ),
    ],
)  # fmt: skip
def test_one_rewritten_permission(old: dict, new: dict, effect: Effect) -> None:
    before, after = odrl([old]), odrl([new])
    assert check(before, after) is effect
    assert contrasted(before, after).exhaustive
    (change,) = compare(before, after)
    assert (change.path, change.effect) == ("$.permission[0]", effect)


def test_conflict_decides_only_where_rules_meet() -> None:
    both = odrl([permission()], [permission(FEW)], conflict="prohibit")
    assert check(both, replace(both, conflict=None)) is Effect.SAME
    perm = odrl([permission()], [permission(FEW)], conflict="perm")
    found = contrasted(both, perm)
    assert [(one.path, one.effect) for one in found.changes] == [("$.conflict", Effect.WIDENED)]


def test_the_order_of_rules_is_no_change() -> None:
    one, other = permission(FEW), permission(SAME_DAY)
    assert compare(odrl([one, other]), odrl([other, one])) == ()


def test_a_removed_permission_is_shown_by_what_it_allowed() -> None:
    both = odrl([permission(FEW, target="urn:d"), permission(action="delete", target="urn:d")])
    (change,) = compare(both, odrl([permission(FEW, target="urn:d")]))
    assert (change.path, change.new, change.effect) == ("$.permission[1]", "", Effect.TIGHTENED)
    assert change.tightened is not None
    assert change.tightened.request.action == ODRL + "delete"


def test_what_is_inherited_is_compared_as_well() -> None:
    parent = odrl([permission()], uid="urn:parent")
    child = replace(odrl([permission(FEW)]), inherits=("urn:parent",))
    found = contrasted(odrl([permission(FEW)]), child, known={"urn:parent": parent})
    assert found.effect is Effect.WIDENED
    with pytest.raises(PolicyError):
        contrasted(child, child)


STAFF, INTERNS, EXTERNALS = (
    permission(assignee={"@id": f"urn:{name}", "@type": "PartyCollection"}, target="urn:t")
    for name in ("staff", "interns", "externals")
)


def test_a_member_of_some_collections_but_not_of_all_is_tried() -> None:
    old = odrl([STAFF], [INTERNS], conflict="prohibit")
    new = odrl([STAFF], [INTERNS, EXTERNALS], conflict="prohibit")
    assert check(old, new) is Effect.TIGHTENED


def test_what_was_not_tried_in_every_combination_is_not_called_exhaustive() -> None:
    many = [permission(assignee=f"urn:{number}") for number in range(5)]
    assert not contrasted(odrl(many), odrl(many[:4])).exhaustive


def test_three_sets_at_once_are_tried() -> None:
    asked = [
        operand("commensal:column", "isAllOf", ["a", "b"]),
        operand("commensal:column", "isAllOf", ["c"]),
        operand("commensal:column", "isNoneOf", ["d"]),
    ]
    refused = operand("commensal:column", "isNoneOf", ["c"])
    old, new = odrl([permission(*asked)]), odrl([permission(*asked, refused)])
    assert check(old, new) is Effect.TIGHTENED


def test_a_comparison_of_many_rules_tries_less_and_says_so() -> None:
    many = [permission(operand("count", "lteq", number)) for number in range(600)]
    found = contrasted(odrl(many), odrl(many[1:]))
    assert found.tried < 200
    assert not found.exhaustive


@given(policies(), policies())
@settings(max_examples=6, deadline=None, suppress_health_check=CALM)
def test_every_counterexample_separates_two_random_policies(old: Policy, new: Policy) -> None:
    check(replace(old, inherits=()), replace(new, inherits=()), limit=200)


SEEDS = st.integers(0, 2**32)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_every_counterexample_separates_two_policies_about_the_same_job(seed: int) -> None:
    rng = seeded(seed)
    asked = job(rng)
    check(any_policy(rng, *asked), any_policy(rng, *asked), limit=300)


@given(SEEDS)
@settings(max_examples=12, deadline=None)
def test_what_random_questions_show_an_exhaustive_search_found_as_well(seed: int) -> None:
    rng = seeded(seed)
    old = any_policy(rng, *job(rng))
    new = _simpler(old, rng)
    found = contrasted(old, new, limit=3000)
    _, dimensions = _space((old, new))
    for _ in range(300):
        question = Question()
        for moves in dimensions:
            question = rng.choice(moves)(question)
        case = question.ask()
        was, is_now = evaluate(old, *case).permitted, evaluate(new, *case).permitted
        assert is_now <= was or found.widened or not found.exhaustive
        assert was <= is_now or found.tightened or not found.exhaustive


def _simpler(policy: Policy, rng: random.Random) -> Policy:
    """The same with one constraint less, or one prohibition."""
    if policy.prohibitions and rng.random() < 0.5:
        return replace(policy, prohibitions=policy.prohibitions[1:])
    index = rng.randrange(len(policy.permissions))
    rule = policy.permissions[index]
    simpler = replace(rule, constraints=rule.constraints[1:])
    rest = policy.permissions
    return replace(policy, permissions=(*rest[:index], simpler, *rest[index + 1 :]))
