"""The gate's compiled rules against the evaluator, over the whole language of ODRL."""

from collections import Counter
from datetime import timedelta, timezone
from decimal import Decimal

import pytest
from gate_cases import DELTAS, MOMENT, any_constraint, any_policy, job, seeded, typed

from policies.odrl import terms
from policies.odrl.compile import rules
from policies.odrl.evaluate import evaluate
from policies.odrl.model import (
    Action,
    AnyConstraint,
    Constraint,
    LogicalConstraint,
    Permission,
    Policy,
    Scope,
)
from policies.odrl.operands import operands
from policies.odrl.satisfy import Satisfaction, Subject, satisfy
from policies.odrl.terms import LogicalOperator, Operator
from policies.odrl.view import world_of
from policies.policy import Policy as Typed
from policies.privacy import Budget
from policies.request import Facts, UsageRequest

_STATE = {
    Satisfaction.SATISFIED: True,
    Satisfaction.UNSATISFIED: False,
    Satisfaction.UNKNOWN: None,
}


# Whose delta and budget count; nothing else of a frame is looked at here.
FRAMES = tuple(typed(rng, *job(rng)) for rng in map(seeded, range(8)))


def at_the_gate(
    odrl: Policy, typed_policy: Typed, request: UsageRequest, facts: Facts
) -> bool | None:
    budget = Budget(typed_policy.budget.epsilon, typed_policy.budget.delta)
    known = operands(budget.delta, budget)
    states = [rule.check(request, facts) for rule in rules(odrl, known, budget)]
    return False if False in states else None if None in states else True


def atoms_of(constraint: AnyConstraint) -> list[Constraint]:
    if isinstance(constraint, Constraint):
        return [constraint]
    return [atom for one in constraint.operands for atom in atoms_of(one)]


@pytest.mark.slow
def test_compiled_rules_permit_exactly_what_the_evaluator_permits() -> None:
    rng = seeded(11)
    seen: Counter[bool | None] = Counter()
    for _ in range(4000):
        request, facts = job(rng)
        frame = rng.choice(FRAMES)
        odrl = any_policy(rng, request, facts)
        permitted = evaluate(odrl, *world_of(frame, request, facts)).permitted
        state = at_the_gate(odrl, frame, request, facts)
        assert (state is True) is permitted, odrl
        seen[state] += 1
    assert min(seen[True], seen[False], seen[None]) > 400, seen


@pytest.mark.slow
def test_a_constraint_has_the_same_three_values_in_both_whatever_the_operator() -> None:
    rng = seeded(12)
    scope = Scope((Action(terms.USE),))
    states: Counter[bool | None] = Counter()
    operators: Counter[str] = Counter()
    for _ in range(10_000):
        request, facts = job(rng)
        frame = rng.choice(FRAMES)
        constraint = any_constraint(rng, request, facts, 2)
        question, world = world_of(frame, request, facts)
        expected = _STATE[satisfy(constraint, Subject(world, question.context)).satisfaction]
        odrl = Policy("urn:p", permissions=(Permission(scope, (constraint,)),))
        assert at_the_gate(odrl, frame, request, facts) is expected, constraint
        states[expected] += 1
        if isinstance(constraint, LogicalConstraint):
            operators[constraint.operator] += 1
        operators.update(atom.operator for atom in atoms_of(constraint) if expected is not None)
    assert min(states.values()) > 1500
    assert all(operators[one] > 50 for one in (*LogicalOperator, *Operator)), operators


def test_epsilon_is_counted_at_the_same_delta_at_the_very_bound() -> None:
    rng = seeded(13)
    for delta in DELTAS:
        request, facts = job(rng)
        frame = next(one for one in FRAMES if one.budget.delta == delta)
        exact = operands(delta, None)[terms.EPSILON](request, facts)
        assert isinstance(exact, Decimal)
        for operator in (Operator.LTEQ, Operator.LT, Operator.EQ, Operator.GTEQ):
            for tenth in range(-12, 13):
                bound = Constraint(terms.EPSILON, operator, exact + Decimal(tenth) / 10**7)
                odrl = Policy(
                    "urn:p", permissions=(Permission(Scope((Action(terms.USE),)), (bound,)),)
                )
                expected = evaluate(odrl, *world_of(frame, request, facts)).permitted
                assert (at_the_gate(odrl, frame, request, facts) is True) is expected


def test_a_moment_decides_and_not_the_zone_it_is_written_in() -> None:
    request, facts = job(seeded(14))
    for step in (-1, 0, 1):
        moment = (facts.now + step * MOMENT).astimezone(timezone(timedelta(hours=5)))
        bound = Constraint(terms.DATE_TIME, Operator.LT, moment)
        odrl = Policy("urn:p", permissions=(Permission(Scope((Action(terms.USE),)), (bound,)),))
        assert at_the_gate(odrl, FRAMES[0], request, facts) is (step == 1)
