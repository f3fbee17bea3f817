"""One policy, two spellings: fields and ODRL give the same answer, and lead back to each other."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from gate_cases import (
    COLUMNS,
    COSTS,
    MOMENT,
    NOW,
    another,
    any_policy,
    job,
    seeded,
    simple_policy,
    typed,
)

from policies import engine, purposes
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.odrl import terms
from policies.odrl.evaluate import evaluate
from policies.odrl.inherit import placed
from policies.odrl.lower import lower
from policies.odrl.model import Action, Asset, Permission, Prohibition, Scope
from policies.odrl.model import Policy as Odrl
from policies.odrl.naming import dataset_iri, dataset_name, policy_iri, policy_name
from policies.odrl.operands import OPERANDS, operands
from policies.odrl.read import read
from policies.odrl.satisfy import Satisfaction
from policies.odrl.terms import LEFT_OPERANDS
from policies.odrl.values import Duration
from policies.odrl.view import world_of
from policies.odrl.write import write
from policies.policy import Policy, parse
from policies.privacy import NOTHING, Budget
from policies.request import Facts, UsageRequest

POLICIES, JOBS_EACH = 1000, 10
_VERDICT = {
    Satisfaction.SATISFIED: Verdict.ALLOW,
    Satisfaction.UNSATISFIED: Verdict.DENY,
    Satisfaction.UNKNOWN: Verdict.UNDETERMINED,
}


def by_fields(policy: Policy, request: UsageRequest, facts: Facts) -> Verdict:
    states = [rule.check(request, facts) for rule in engine.policy_rules(policy)]
    return (
        Verdict.DENY if False in states else Verdict.UNDETERMINED if None in states
        else Verdict.ALLOW
    )  # fmt: skip


@pytest.mark.slow
def test_ten_thousand_jobs_get_the_same_verdict_from_the_fields_and_from_their_odrl() -> None:
    rng = seeded(1)
    seen = dict.fromkeys(Verdict, 0)
    for _ in range(POLICIES):
        request, facts = first = job(rng)
        policy = typed(rng, request, facts)
        lowered = lower(policy)
        for _ in range(JOBS_EACH):
            expected = by_fields(policy, request, facts)
            found = evaluate(lowered, *world_of(policy, request, facts))
            assert _VERDICT[found.rules[0].applies] is expected
            assert found.permitted is (expected is Verdict.ALLOW)
            seen[expected] += 1
            request, facts = another(rng, *first)
    assert all(count > POLICIES / 10 for count in seen.values()), seen


@pytest.mark.slow
def test_rules_of_its_own_are_joined_with_the_fields() -> None:
    rng = seeded(2)
    permitted = 0
    for index in range(1500):
        request, facts = job(rng)
        plain = typed(rng, request, facts)
        make = simple_policy if index % 3 else any_policy
        text = write(make(rng, request, facts)).decode()
        policy = plain.model_copy(update={"rules": text, "dataset": request.dataset})
        expected = by_fields(policy, request, facts)
        found = evaluate(lower(policy), *world_of(policy, request, facts)).permitted
        assert found is (expected is Verdict.ALLOW)
        permitted += found
    assert permitted > 50


def test_rules_that_name_no_dataset_are_about_this_one_and_prohibitions_keep_theirs() -> None:
    request, facts = job(seeded(3))
    policy = typed(seeded(3), request, facts)
    use = (Action(terms.USE),)
    other = Scope(use, (Asset("urn:other"),))
    rules = Odrl("urn:p", permissions=(Permission(Scope(use)),), prohibitions=(Prohibition(other),))
    joined = lower(policy.model_copy(update={"rules": write(rules).decode()}))
    assert joined.uid == policy_iri(policy.id)
    (permission,) = joined.permissions
    assert permission.scope.targets == (Asset(dataset_iri(policy.dataset)),)
    assert [placed(one, joined.scope).scope for one in joined.prohibitions] == [other]


def test_the_fields_come_back_from_the_written_odrl() -> None:
    rng = seeded(4)
    for _ in range(300):
        policy = typed(rng, *job(rng))
        text = write(lower(policy))
        again = parse(b"\n " + text, "p.json")
        assert again.model_copy(update={"rules": ""}) == policy
        assert again.rules.encode() == b"\n " + text
        assert lower(again) == lower(policy) == read(text)


@pytest.mark.parametrize("text", ["{", "{}", '{"@context": "urn:x"}'])
def test_rules_that_cannot_be_read_cannot_be_lowered(text: str) -> None:
    policy = typed(seeded(5), *job(seeded(5)))
    with pytest.raises(PolicyError, match=r"^\$"):
        lower(policy.model_copy(update={"rules": text}))


def test_the_hierarchy_of_purposes_is_the_same_in_both() -> None:
    rng = seeded(6)
    request, facts = job(rng)
    for wide in purposes.ALLOWED.values():
        base = typed(rng, request, facts)
        policy = base.model_copy(update={"purposes": (wide.name,), "dataset": request.dataset})
        for narrow in purposes.ALLOWED.values():
            asked = request.model_copy(update={"purpose": narrow.iri})
            found = evaluate(lower(policy), *world_of(policy, asked, facts))
            premise = next(
                one for one in found.rules[0].premises
                if one.outcomes and one.outcomes[0].constraint.left == terms.PURPOSE  # type: ignore[union-attr]  # atoms
            )  # fmt: skip
            expected = purposes.is_within(narrow.name, wide.name)
            assert (premise.satisfaction is Satisfaction.SATISFIED) is expected


@pytest.mark.parametrize("text", ["north/a", "a", "x:y", "https://h.example/d#1", "urn:a:b"])
def test_a_name_comes_back_from_its_iri(text: str) -> None:
    assert dataset_name(dataset_iri(text)) == text
    assert policy_name(policy_iri(text)) == text
    assert dataset_iri(text).startswith(("https://", "urn:"))


def test_every_operand_of_the_vocabulary_has_a_meaning_or_is_not_known() -> None:
    request, facts = job(seeded(7))
    assert OPERANDS.keys() == LEFT_OPERANDS.keys()
    assert operands(Decimal("0.1"), None).keys() == LEFT_OPERANDS.keys()
    known = {iri for iri, accessor in OPERANDS.items() if accessor(request, facts) is not None}
    assert terms.PURPOSE in known
    assert not known & {terms.EPSILON, terms.BUDGET_EPSILON, terms.DELTA, terms.EVENT}
    assert operands(Decimal("0.1"), None)[terms.BUDGET_EPSILON](request, facts) is None


def test_the_time_that_a_job_may_take_is_exact_also_when_it_is_over() -> None:
    request, facts = job(seeded(8))
    late = request.model_copy(update={"not_after": NOW - timedelta(seconds=1) - MOMENT})
    elapsed = OPERANDS[terms.ELAPSED_TIME](late, facts)
    assert elapsed == Duration(0, Decimal("-1.000001"))


def test_every_dataset_of_the_job_counts_this_one_too() -> None:
    request, facts = job(seeded(9))
    alone = request.model_copy(update={"dataset": "north/a", "datasets": ("south/a",)})
    assert OPERANDS[terms.DATASET](alone, facts) == ("north/a", "south/a")


def test_the_spent_budget_never_contradicts_the_filter_at_its_bound() -> None:
    request, facts = job(seeded(10))
    delta = Decimal("0.00001")
    for planned in COSTS:
        known = replace(facts, planned=planned, spent_dataset=NOTHING)
        exact = Budget(Decimal(2), delta).spent_epsilon(planned)
        for tenth in range(-12, 13):
            bound = exact + Decimal(tenth) / 10**7
            budget = Budget(bound, delta)
            spent = operands(delta, budget)[terms.BUDGET_EPSILON](request, known)
            assert isinstance(spent, Decimal)
            assert (spent <= bound) is budget.admits(NOTHING, planned)


def test_columns_are_asked_for_all_at_once() -> None:
    request, facts = job(seeded(11))
    every = request.model_copy(update={"columns": COLUMNS})
    assert OPERANDS[terms.COLUMN](every, facts) == COLUMNS
