"""The privacy budget: a pure fold over the audit log. There is no second place that can disagree.

An admitted job holds its whole planned cost until it ends or its time is over; then it holds what
was reserved for it. A reservation is never given back: after a crash between reservation and
release it counts as spent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.audit import entries
from policies.decision import Verdict
from policies.privacy import NOTHING, Cost, SampledGaussian


@dataclass
class JobAccount:
    """What one job may cost and has cost so far in one dataset. `answered` holds (round, task)."""

    dataset: str
    permit_id: str
    data_user: str
    dataset_version: str
    planned: Cost
    not_after: datetime
    reserved: dict[str, Cost] = field(default_factory=dict)
    answered: set[tuple[int, str]] = field(default_factory=set)
    ended: bool = False

    def is_open(self, now: datetime) -> bool:
        """Whether further rounds may be answered."""
        return not self.ended and now < self.not_after

    @property
    def spent(self) -> Cost:
        """What has been reserved: folds are disjoint sets of people, so the larger one counts."""
        return _largest(self.reserved.values())

    def cost(self, now: datetime) -> Cost:
        """The plan while the job is open, what was reserved once it is over."""
        return self.planned.maximum(self.spent) if self.is_open(now) else self.spent


class Ledger:
    """Accounts of all jobs, and what else the log remembers for decisions.

    `counts`: noisy number of people by (dataset, policy digest); `counting`: what that cost.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, JobAccount] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.counting: dict[str, Cost] = {}
        self.memberships: set[str] = set()
        self.last_time: datetime | None = None

    def apply(self, entry: Any) -> None:
        """Fold one log entry into the accounts."""
        self.last_time = entry.time
        if isinstance(entry, entries.Decided) and entry.decision.verdict is Verdict.ALLOW:
            self._admit(entry)
        elif isinstance(entry, entries.Reserved):
            account = self.jobs[entry.job]
            cost = SampledGaussian.from_json(entry.mechanism).cost
            account.reserved[entry.fold] = account.reserved.get(entry.fold, NOTHING) + cost
            account.answered.add((entry.round, entry.task))
        elif isinstance(entry, entries.JobEnded) and entry.job in self.jobs:
            self.jobs[entry.job].ended = True
        elif isinstance(entry, entries.Counted):
            cost = SampledGaussian.from_json(entry.mechanism).cost
            self.counting[entry.dataset] = self.counting.get(entry.dataset, NOTHING) + cost
            self.counts[entry.dataset, entry.policy_digest] = entry.people
        elif isinstance(entry, entries.Enrolled):
            self.memberships.add(entry.membership_digest)

    def spent(self, dataset: str, now: datetime, *, without: str = "") -> Cost:
        """The cost that a dataset's people bear: counting them, and all jobs but one."""
        counting = self.counting.get(dataset, NOTHING)
        return sum(self._costs(dataset, now, without, None), counting)

    def spent_under(self, permit_id: str, dataset: str, now: datetime, without: str = "") -> Cost:
        """The part of it that one permit's jobs cost; an amended permit has a new id."""
        return sum(self._costs(dataset, now, without, permit_id), NOTHING)

    def _costs(
        self, dataset: str, now: datetime, without: str, permit_id: str | None
    ) -> Iterator[Cost]:
        for job, account in self.jobs.items():
            if (
                account.dataset == dataset
                and job != without
                and permit_id in (None, account.permit_id)
            ):
                yield account.cost(now)

    def _admit(self, entry: entries.Decided) -> None:
        request = entry.request
        if request.job_digest in self.jobs:
            return
        self.jobs[request.job_digest] = JobAccount(
            dataset=request.dataset,
            permit_id=entry.permit_id,
            data_user=request.data_user,
            dataset_version=entry.dataset_version,
            planned=planned_cost(entry.planned),
            not_after=entry.job_not_after,
        )


def fold(log: Iterable[Any]) -> Ledger:
    """The ledger after a sequence of entries."""
    ledger = Ledger()
    for entry in log:
        ledger.apply(entry)
    return ledger


def planned_cost(planned: Iterable[entries.Planned]) -> Cost:
    """The cost of a plan: steps on one fold add up, disjoint folds compose in parallel."""
    folds: dict[str, Cost] = {}
    for step in planned:
        mechanism = SampledGaussian.from_json(step.mechanism)
        for _ in range(step.times):
            folds[step.fold] = folds.get(step.fold, NOTHING) + mechanism.cost
    return _largest(folds.values())


def _largest(costs: Iterable[Cost]) -> Cost:
    largest = NOTHING
    for cost in costs:
        largest = largest.maximum(cost)
    return largest
