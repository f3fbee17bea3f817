"""The privacy budget: a pure fold over the audit log. There is no second place that can disagree.

An admitted job holds its whole planned cost until it ends or its time is over; then it holds what
was reserved for it. A reservation is never given back: after a crash between reservation and
release it counts as spent.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import takewhile
from typing import Any

from connector.audit import entries
from connector.audit.standing import Standing
from connector.audit.sums import CostSum
from connector.jobs import JobSpec
from policies.decision import Verdict
from policies.permit import Permit
from policies.privacy import NOTHING, Cost, SampledGaussian
from policies.request import Facts


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
    settled: bool = False  # its time was over before the log's last entry
    held: Cost = NOTHING  # what it costs as far as the log goes

    def is_open(self, now: datetime) -> bool:
        """Whether further rounds may be answered."""
        return not self.ended and now < self.not_after

    @property
    def spent(self) -> Cost:
        """What has been reserved: folds are disjoint sets of people, so the larger one counts."""
        return _largest(self.reserved.values())

    @property
    def keys(self) -> tuple[tuple[str, ...], ...]:
        """The sums that it is part of: its dataset's, and that of its permit there."""
        return (self.dataset,), (self.dataset, self.permit_id)

    def cost(self, now: datetime) -> Cost:
        """The plan while the job is open, what was reserved once it is over."""
        return self.planned.maximum(self.spent) if self.is_open(now) else self.spent


class Ledger:
    """Accounts of all jobs, and what else the log remembers for decisions.

    `counts`: noisy number of people by (dataset, policy digest); `counting`: what that cost.
    `standing`: active policies, officers' answers about permits, and revocations.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, JobAccount] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.counting: dict[str, Cost] = {}
        self.memberships: set[str] = set()
        self.standing = Standing()
        self.last_time: datetime | None = None
        # What all jobs cost as far as the log goes, by dataset, and by dataset and permit.
        self._held: defaultdict[tuple[str, ...], CostSum] = defaultdict(CostSum)
        # When the time of jobs will be over, in that order.
        self._deadlines: list[tuple[datetime, str]] = []

    def apply(self, entry: Any) -> None:
        """Fold one log entry into the accounts; its time is not before the last one's."""
        self.last_time = entry.time
        self.standing.apply(entry)
        self._settle(entry.time)
        if isinstance(entry, entries.Decided) and entry.decision.verdict is Verdict.ALLOW:
            self._admit(entry)
        elif isinstance(entry, entries.Reserved):
            self._reserve(entry)
        elif isinstance(entry, entries.JobEnded) and entry.job in self.jobs:
            self._end(self.jobs[entry.job])
        elif isinstance(entry, entries.Counted):
            cost = SampledGaussian.from_json(entry.mechanism).cost
            self.counting[entry.dataset] = self.counting.get(entry.dataset, NOTHING) + cost
            self._held[(entry.dataset,)].replace(NOTHING, cost)
            self.counts[entry.dataset, entry.policy_digest] = entry.people
        elif isinstance(entry, entries.Enrolled):
            self.memberships.add(entry.membership_digest)

    def spent(self, dataset: str, now: datetime, *, without: str = "") -> Cost:
        """The cost that a dataset's people bear: counting them, and all jobs but one.

        `now` is not before the last entry's time.
        """
        return self._sum((dataset,), now, without)

    def spent_under(self, permit_id: str, dataset: str, now: datetime, without: str = "") -> Cost:
        """The part of it that one permit's jobs cost; an amended permit has a new id."""
        return self._sum((dataset, permit_id), now, without)

    def facts(
        self,
        spec: JobSpec,
        dataset: str,
        policy_digest: str,
        permit: Permit | None,
        now: datetime,
        *,
        approved: bool | None = None,
    ) -> Facts:
        """What a decision about a job at `now` rests on; the job's own cost so far left apart.

        `permit` is the verified one, or None; `approved` what a person answered about it
        (`connector.audit.standing`). Gate and auditor take the facts from here alone.
        """
        job = spec.digest
        return Facts(
            now=now,
            permit=permit,
            planned=spec.cost(),
            spent_dataset=self.spent(dataset, now, without=job),
            spent_permit=self.spent_under(permit.id if permit else "", dataset, now, job),
            persons=_persons(spec, self.counts.get((dataset, policy_digest))),
            approved=approved,
            revoked=permit is not None and self.standing.revoked(permit.id, permit.digest),
        )

    def contract_facts(self, dataset: str, permit: Permit | None, now: datetime) -> Facts:
        """What is known of a permit's use of a dataset before there is a job: it costs nothing."""
        return Facts(
            now=now,
            permit=permit,
            planned=NOTHING,
            spent_dataset=self.spent(dataset, now),
            spent_permit=self.spent_under(permit.id if permit else "", dataset, now),
            persons=None,
            revoked=permit is not None and self.standing.revoked(permit.id, permit.digest),
        )

    def _sum(self, key: tuple[str, ...], now: datetime, without: str) -> Cost:
        held = self._held.get(key)
        if held is None:
            return NOTHING
        over = {job for _, job in takewhile(lambda one: one[0] <= now, self._deadlines)}
        changes = [
            (account.held, NOTHING if job == without else account.spent)
            for job in (over | {without})
            if (account := self.jobs.get(job)) is not None and key in account.keys
        ]
        return held.changed(changes)

    def _admit(self, entry: entries.Decided) -> None:
        request = entry.request
        if request.job_digest in self.jobs:
            return
        account = JobAccount(
            dataset=request.dataset,
            permit_id=entry.permit_id,
            data_user=request.data_user,
            dataset_version=entry.dataset_version,
            planned=planned_cost(entry.planned),
            not_after=entry.job_not_after,
        )
        self.jobs[request.job_digest] = account
        insort(self._deadlines, (account.not_after, request.job_digest))
        self._hold(account)

    def _reserve(self, entry: entries.Reserved) -> None:
        account = self.jobs[entry.job]
        cost = SampledGaussian.from_json(entry.mechanism).cost
        account.reserved[entry.fold] = account.reserved.get(entry.fold, NOTHING) + cost
        account.answered.add((entry.round, entry.task))
        self._hold(account)

    def _end(self, account: JobAccount) -> None:
        account.ended = True
        self._hold(account)

    def _settle(self, now: datetime) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            account = self.jobs[self._deadlines.pop(0)[1]]
            account.settled = True
            self._hold(account)

    def _hold(self, account: JobAccount) -> None:
        over = account.ended or account.settled
        before, spent = account.held, account.spent
        account.held = spent if over else account.planned.maximum(spent)
        for key in account.keys:
            self._held[key].replace(before, account.held)


def fold(log: Iterable[Any]) -> Ledger:
    """The ledger after a sequence of entries."""
    ledger = Ledger()
    for entry in log:
        ledger.apply(entry)
    return ledger


def planned_cost(planned: Iterable[entries.Planned]) -> Cost:
    """The cost of a plan: steps on one fold add up, disjoint folds compose in parallel."""
    steps = ((step.fold, tuple(sorted(step.mechanism.items())), step.times) for step in planned)
    return _planned_cost(tuple(steps))


@lru_cache(maxsize=1024)
def _planned_cost(planned: tuple[tuple[str, tuple[tuple[str, Any], ...], int], ...]) -> Cost:
    folds: dict[str, Cost] = {}
    for fold, mechanism, times in planned:
        cost = SampledGaussian.from_json(dict(mechanism)).cost
        for _ in range(times):
            folds[fold] = folds.get(fold, NOTHING) + cost
    return _largest(folds.values())


def _persons(spec: JobSpec, counted: int | None) -> int | None:
    """Expected size of the job's smallest fold.

    Never the fold's true size: a coordinator that chooses salts and columns would read from the
    answers who is in the dataset.
    """
    if counted is None:
        return None
    shares = [1 - spec.holdout, spec.holdout] if spec.evaluation_rounds else [1 - spec.holdout]
    return int(counted * min(shares))


def _largest(costs: Iterable[Cost]) -> Cost:
    largest = NOTHING
    for cost in costs:
        largest = largest.maximum(cost)
    return largest
