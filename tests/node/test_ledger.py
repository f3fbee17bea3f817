"""The budget as a fold: nothing is forgotten, nothing is counted twice, nothing comes back."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from bookkeeping import LATER, MECHANISMS, NOW, Plan, decided, ended, reserved
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from connector.audit import entries
from connector.audit.ledger import Ledger, fold, planned_cost
from policies.decision import Verdict
from policies.privacy import NOTHING, Cost


def total(costs: Iterable[Cost]) -> Cost:
    return sum(costs, NOTHING)


def at_most(less: Cost, more: Cost) -> bool:
    return all(a <= b * (1 + 1e-12) for a, b in zip(less.rdp, more.rdp, strict=True))


QUIET, LOUD = MECHANISMS[2], MECHANISMS[0]
PLAN: Plan = {"train": (LOUD, 3), "holdout": (QUIET, 1)}


def test_an_empty_log_has_cost_nothing() -> None:
    assert fold([]).spent("north/patients", NOW) == NOTHING
    assert fold([]).last_time is None


def test_an_admitted_job_holds_its_whole_plan() -> None:
    ledger = fold([decided("job-1", PLAN)])
    assert ledger.spent("north/patients", NOW) == total([LOUD.cost] * 3).maximum(QUIET.cost)
    assert ledger.last_time == NOW


def test_folds_are_disjoint_people_so_the_larger_one_counts() -> None:
    both = planned_cost(decided("j", PLAN).planned)
    train = planned_cost(decided("j", {"train": PLAN["train"]}).planned)
    test = planned_cost(decided("j", {"holdout": PLAN["holdout"]}).planned)
    assert both == train.maximum(test) == train
    many = {"train": (QUIET, 1), "holdout": (LOUD, 9)}
    assert planned_cost(decided("j", many).planned) == total([LOUD.cost] * 9)
    log = [
        decided("j", PLAN),
        reserved("j", "train", LOUD),
        reserved("j", "holdout", QUIET),
        ended("j"),
    ]
    assert fold(log).spent("north/patients", NOW) == LOUD.cost.maximum(QUIET.cost)


def test_steps_on_one_fold_add_up() -> None:
    twice = [
        entries.Planned(fold="train", mechanism=LOUD.to_json(), times=2),
        entries.Planned(fold="train", mechanism=QUIET.to_json(), times=1),
    ]
    assert planned_cost(twice) == LOUD.cost + LOUD.cost + QUIET.cost


def test_an_ended_job_falls_from_its_plan_to_what_was_reserved() -> None:
    log: list[Any] = [decided("job-1", PLAN), reserved("job-1", "train", LOUD)]
    assert fold(log).spent("north/patients", NOW) == total([LOUD.cost] * 3)
    log.append(ended("job-1"))
    assert fold(log).spent("north/patients", NOW) == LOUD.cost


def test_a_job_whose_time_is_over_falls_in_the_same_way() -> None:
    until = NOW + timedelta(days=1)
    ledger = fold([decided("job-1", PLAN, until=until), reserved("job-1", "train", LOUD)])
    before, plan = until - timedelta(milliseconds=1), total([LOUD.cost] * 3)
    assert ledger.spent("north/patients", before) == plan
    assert ledger.spent("north/patients", until) == LOUD.cost
    assert not ledger.jobs["job-1"].is_open(until)


def test_an_ended_job_does_not_open_again() -> None:
    log = [decided("job-1", PLAN), ended("job-1"), decided("job-1", PLAN)]
    ledger = fold(log)
    assert not ledger.jobs["job-1"].is_open(NOW)
    assert ledger.spent("north/patients", NOW) == NOTHING


def test_jobs_that_are_over_leave_exactly_what_was_reserved_for_them() -> None:
    log: list[Any] = [decided(f"job-{number}", PLAN) for number in range(7)]
    log += [ended(f"job-{number}") for number in range(7)]
    assert fold(log).spent("north/patients", NOW) == NOTHING
    log.insert(7, reserved("job-3", "train", QUIET))
    assert fold(log).spent("north/patients", NOW) == QUIET.cost
    assert fold(log).spent("north/patients", NOW, without="job-3") == NOTHING


def test_time_that_passed_in_the_log_counts_as_time_that_passed_since() -> None:
    until = NOW + timedelta(days=1)
    log: list[Any] = [decided(f"job-{number}", PLAN, until=until) for number in range(3)]
    log.append(reserved("job-1", "train", LOUD))
    log.append(decided("later", {"train": (QUIET, 1)}, time=until, until=LATER))
    ledger = fold(log)
    assert ledger.spent("north/patients", until) == LOUD.cost + QUIET.cost
    assert ledger.spent("north/patients", until, without="job-1") == QUIET.cost
    assert ledger.spent("north/patients", until, without="job-0") == LOUD.cost + QUIET.cost
    assert ledger.spent("north/patients", LATER) == LOUD.cost
    ledger.apply(reserved("job-0", "train", LOUD))
    assert ledger.spent_under("permit-1", "north/patients", LATER) == LOUD.cost + LOUD.cost


def test_a_reservation_after_the_end_counts_all_the_same() -> None:
    log = [decided("job-1", PLAN), ended("job-1"), reserved("job-1", "train", LOUD)]
    assert fold(log).spent("north/patients", NOW) == LOUD.cost


def test_more_than_was_planned_counts_as_what_it_is() -> None:
    log: list[Any] = [decided("job-1", {"train": (QUIET, 1)})]
    log += [reserved("job-1", "train", LOUD, number) for number in (1, 2)]
    assert fold(log).spent("north/patients", NOW) == LOUD.cost + LOUD.cost


def test_a_job_that_is_decided_again_is_counted_once() -> None:
    once, twice = [decided("job-1", PLAN)], [decided("job-1", PLAN), decided("job-1", PLAN)]
    assert fold(twice).jobs == fold(once).jobs
    larger = fold([decided("job-1", PLAN), decided("job-1", {"train": (QUIET, 1)})])
    assert larger.jobs == fold(once).jobs, "the plan is the one that was admitted"


@pytest.mark.parametrize("verdict", [Verdict.DENY, Verdict.UNDETERMINED])
def test_what_was_not_allowed_costs_nothing(verdict: Verdict) -> None:
    ledger = fold([decided("job-1", PLAN, verdict)])
    assert ledger.jobs == {}
    assert ledger.spent("north/patients", NOW) == NOTHING


def test_a_reservation_without_an_account_is_not_passed_over() -> None:
    with pytest.raises(KeyError):
        fold([decided("job-1", PLAN, Verdict.DENY), reserved("job-1", "train", LOUD)])


def test_entries_of_other_kinds_and_ends_of_unknown_jobs_change_nothing() -> None:
    log: list[Any] = [decided("job-1", PLAN), ended("job-2")]
    log += [
        entries.Incident(time=NOW, code="X"),
        entries.Refused(time=NOW, job="job-1", code="X"),
        entries.Failed(time=NOW, job="job-1", round=1, task="t", code="X"),
    ]
    assert fold(log).jobs == fold(log[:1]).jobs


def test_datasets_permits_and_one_job_are_told_apart() -> None:
    ledger = fold(
        [
            decided("a", {"train": (LOUD, 1)}),
            decided("b", {"train": (QUIET, 1)}, permit="permit-2"),
            decided("c", {"train": (LOUD, 2)}, dataset="north/others"),
        ]
    )
    here = "north/patients"
    assert ledger.spent(here, NOW) == LOUD.cost + QUIET.cost
    assert ledger.spent_under("permit-1", here, NOW) == LOUD.cost
    assert ledger.spent_under("permit-2", here, NOW) == QUIET.cost
    assert ledger.spent_under("permit-3", here, NOW) == NOTHING
    assert ledger.spent(here, NOW, without="a") == QUIET.cost
    assert ledger.spent_under("permit-1", here, NOW, without="a") == NOTHING
    assert ledger.spent("north/others", NOW) == LOUD.cost + LOUD.cost
    assert ledger.spent("south/patients", NOW) == NOTHING


def test_answered_steps_are_remembered() -> None:
    log = [decided("j", PLAN), reserved("j", "train", LOUD, 2), reserved("j", "holdout", QUIET, 2)]
    assert fold(log).jobs["j"].answered == {(2, "training.logistic"), (2, "evaluation.logistic")}


class Budget(RuleBasedStateMachine):
    """Any order of admissions, reservations and ends, against the plainest possible bookkeeping."""

    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Any] = []
        self.ledger = Ledger()
        self.plans: dict[str, Plan] = {}
        self.taken: dict[str, dict[str, int]] = {}
        self.over: set[str] = set()

    def write(self, entry: Any, *, may_fall: bool = False) -> None:
        before = self.ledger.spent("north/patients", NOW)
        self.log.append(entry)
        self.ledger.apply(entry)
        after = self.ledger.spent("north/patients", NOW)
        assert may_fall or at_most(before, after), "spent came back"

    @rule(
        target=jobs,
        train=st.tuples(st.sampled_from(MECHANISMS), st.integers(1, 4)),
        holdout=st.none() | st.tuples(st.sampled_from(MECHANISMS), st.integers(1, 3)),
        verdict=st.sampled_from([Verdict.ALLOW, Verdict.ALLOW, Verdict.DENY]),
    )
    def decide(self, train: Any, holdout: Any, verdict: Verdict) -> str:
        job = f"job-{len(self.log)}"
        plan: Plan = {"train": train} | ({"holdout": holdout} if holdout else {})
        self.write(decided(job, plan, verdict))
        if verdict is Verdict.ALLOW:
            self.plans[job], self.taken[job] = plan, {}
        return job

    @rule(job=jobs)
    def decide_again(self, job: str) -> None:
        if job in self.plans:
            self.write(decided(job, {"train": (LOUD, 1000)}))

    @rule(job=jobs, fold_name=st.sampled_from(["train", "holdout"]))
    def reserve(self, job: str, fold_name: str) -> None:
        mechanism, times = self.plans.get(job, {}).get(fold_name, (LOUD, 0))
        number = self.taken.get(job, {}).get(fold_name, 0) + 1
        if number <= times and job not in self.over:
            self.taken[job][fold_name] = number
            self.write(reserved(job, fold_name, mechanism, number))

    @rule(job=jobs)
    def end(self, job: str) -> None:
        if job in self.plans:
            self.over.add(job)
        self.write(ended(job), may_fall=True)

    def reserved_of(self, job: str) -> Cost:
        largest = NOTHING
        for name, count in self.taken[job].items():
            largest = largest.maximum(total([self.plans[job][name][0].cost] * count))
        return largest

    def planned_of(self, job: str) -> Cost:
        largest = NOTHING
        for mechanism, times in self.plans[job].values():
            largest = largest.maximum(total([mechanism.cost] * times))
        return largest

    @invariant()
    def restarting_changes_nothing(self) -> None:
        assert fold(self.log).jobs == self.ledger.jobs
        written = [entries.parse(entry.encode()) for entry in self.log]
        assert fold(written).jobs == self.ledger.jobs

    @invariant()
    def spent_is_what_the_plain_bookkeeping_says(self) -> None:
        expected = total(
            self.reserved_of(job) if job in self.over else self.planned_of(job)
            for job in self.plans
        )
        assert self.ledger.spent("north/patients", NOW).rdp == pytest.approx(
            expected.rdp, rel=1e-12
        )
        over = total(self.reserved_of(job) for job in self.plans)
        assert self.ledger.spent("north/patients", LATER).rdp == pytest.approx(over.rdp, rel=1e-12)

    @invariant()
    def jobs_together_never_cost_more_than_their_plans(self) -> None:
        plans = total(self.planned_of(job) for job in self.plans)
        for moment in (NOW, LATER):
            assert at_most(self.ledger.spent("north/patients", moment), plans)
        spent_if_over = self.ledger.spent("north/patients", LATER)
        assert at_most(spent_if_over, self.ledger.spent("north/patients", NOW))


Budget.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestBudget = Budget.TestCase
