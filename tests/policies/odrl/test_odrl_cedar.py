"""The engine against Cedar, an independent one, on the fragment that both can express."""

import json
from collections import Counter

import cedar_text
import cedarpy
import pytest
from gate_cases import Cases, another, job, seeded, simple_policy, typed

from policies import engine
from policies.odrl.compile import rules
from policies.odrl.evaluate import evaluate
from policies.odrl.operands import operands
from policies.odrl.view import world_of
from policies.privacy import Budget
from policies.request import Facts, UsageRequest
from policies.rule import Rule

POLICIES, JOBS_EACH = 1000, 10
ENTITIES = cedarpy.Entities.from_json_str(json.dumps(cedar_text.ENTITIES))
Job = tuple[UsageRequest, Facts]


def jobs(rng: Cases, first: Job) -> list[Job]:
    return [first, *(another(rng, *first) for _ in range(JOBS_EACH - 1))]


def by_cedar(text: str, requests: list[dict[str, object]]) -> list[bool]:
    results = cedarpy.is_authorized_batch(requests, text, ENTITIES)
    for result in results:
        assert not result.diagnostics.errors
    return [result.decision is cedarpy.Decision.Allow for result in results]


def by_rules(found: tuple[Rule, ...], asked: list[Job]) -> list[bool]:
    return [all(rule.check(*one) is True for rule in found) for one in asked]


@pytest.mark.slow
def test_ten_thousand_jobs_get_cedars_verdict_from_typed_policies() -> None:
    rng = seeded(21)
    seen: Counter[bool] = Counter()
    for _ in range(POLICIES):
        first = job(rng)
        policy = typed(rng, *first)
        asked = jobs(rng, first)
        expected = by_cedar(
            cedar_text.fields(policy), [cedar_text.request_of(policy, *one) for one in asked]
        )
        assert by_rules(engine.policy_rules(policy), asked) == expected
        seen.update(expected)
    assert min(seen.values()) > POLICIES, seen


@pytest.mark.slow
def test_ten_thousand_jobs_get_cedars_verdict_from_odrl_policies() -> None:
    rng = seeded(22)
    seen: Counter[bool] = Counter()
    frames = [typed(rng, *job(rng)) for _ in range(8)]
    for index in range(POLICIES):
        first = job(rng)
        frame, odrl = rng.choice(frames), simple_policy(rng, *first)
        budget = Budget(frame.budget.epsilon, frame.budget.delta)
        asked = jobs(rng, first)
        expected = by_cedar(
            cedar_text.rules(odrl), [cedar_text.request_of(frame, *one) for one in asked]
        )
        assert by_rules(rules(odrl, operands(budget.delta, budget), budget), asked) == expected
        if index % 10 == 0:  # the evaluator itself, as well
            assert [evaluate(odrl, *world_of(frame, *one)).permitted for one in asked] == expected
        seen.update(expected)
    assert min(seen.values()) > POLICIES, seen
