"""A candidate over past requests: counts, reasons, and memory that does not grow."""

from collections.abc import Iterator
from decimal import Decimal

from builders import policy
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_strategies import pairs, situations

from policies import engine
from policies.baseline import baseline
from policies.decision import Verdict
from policies.dry_run import Difference, dry_run
from policies.policy import Policy
from policies.request import Facts, UsageRequest

Past = tuple[UsageRequest, Facts, Verdict]


def decided(own: Policy, *asked: tuple[UsageRequest, Facts]) -> list[Past]:
    evaluate = engine.compile(own)
    return [(*case, evaluate(*case).verdict) for case in asked]


def test_the_policy_in_force_changes_nothing() -> None:
    past = decided(policy(), baseline(policy()), baseline(policy(), persons=3))
    found = dry_run(policy(), past)
    assert (found.same, found.refused, found.allowed, found.otherwise) == (2, 0, 0, 0)
    assert found.examples == ()


def test_what_would_be_refused_is_named_with_the_rules_of_the_candidate() -> None:
    case = baseline(policy())
    candidate = policy(minimum_cohort=200, columns=("age",))
    found = dry_run(candidate, decided(policy(), case))
    assert found.examples == (
        Difference(
            case[0].digest, Verdict.ALLOW, Verdict.DENY, ("policy.columns", "policy.cohort")
        ),
    )
    assert (found.refused, found.total) == (1, 1)
    assert found.by_rule == {"policy.columns": 1, "policy.cohort": 1}


def test_what_would_be_allowed_is_named_with_the_rules_that_refused_it() -> None:
    case = baseline(policy(), epsilon=Decimal("1.5"))
    candidate = policy(epsilon_per_job="2.0")
    found = dry_run(candidate, decided(policy(), case), current=policy())
    assert found.allowed == 1
    assert found.examples[0].rules == ("policy.epsilon-per-job",)
    assert dry_run(candidate, decided(policy(), case)).examples[0].rules == ()


def test_a_request_that_would_wait_for_a_person_counts_as_refused() -> None:
    found = dry_run(policy(approval="person"), decided(policy(), baseline(policy())))
    assert found.refused == 1
    assert found.examples[0].new is Verdict.UNDETERMINED
    assert found.examples[0].rules == ("policy.approval",)


def test_one_refusal_for_another_is_neither_refused_nor_allowed() -> None:
    uncounted = baseline(policy(), persons=None)
    found = dry_run(policy(columns=("age",)), decided(policy(), uncounted))
    assert (found.refused, found.allowed, found.otherwise) == (0, 0, 1)


def test_only_the_first_examples_are_kept() -> None:
    case = baseline(policy())

    def past() -> Iterator[Past]:
        for _ in range(500):
            yield *case, Verdict.ALLOW

    found = dry_run(policy(minimum_cohort=101), past(), examples=3)
    assert found.refused == 500
    assert len(found.examples) == 3
    assert found.by_rule == {"policy.cohort": 500}


@given(pairs(), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_the_counts_are_those_of_deciding_each_request_with_both(
    both: tuple[Policy, Policy], seed: int
) -> None:
    old, new = both
    past = decided(old, *(one.ask() for one in situations(seed, 50)))
    found = dry_run(new, past, current=old)
    verdicts = [(was, one[2]) for was, one in zip((one[2] for one in past), decided(
        new, *(one[:2] for one in past)), strict=True)]  # fmt: skip
    allow = Verdict.ALLOW
    assert found.same == sum(a is b for a, b in verdicts)
    assert found.refused == sum(a is allow and b is not allow for a, b in verdicts)
    assert found.allowed == sum(b is allow and a is not allow for a, b in verdicts)
    assert found.total == len(past)
    assert all(one.rules for one in found.examples)
