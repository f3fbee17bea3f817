"""What happened under each permit, folded from a participant's log: the facts of its duties.

Pure. `cases` gathers a log's events by permit, `moments` puts each permit's facts as the statute
asks for them. Nothing depends on the order in which events are given; what is dated after `now` has
not happened yet.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Literal

from policies.history import (
    DELETION,
    FINDING,
    HOLDER,
    NONE,
    OUTCOME,
    PROVISION,
    REGISTER,
    RESULTS,
    Allowed,
    AnyEvent,
    Began,
    Consented,
    Done,
    Ended,
    Event,
    Extended,
    Issued,
    Released,
)
from policies.statute.facts import Deletion, SignificantFinding
from policies.statute.moments import Supervision
from policies.statute.periods import Clock

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Job:
    """One job's life. `ends` is its deadline."""

    allowed: Allowed
    released: datetime | None = None
    ended: datetime | None = None

    @property
    def end(self) -> datetime:
        """When its processing is completed: at its end, at its deadline at the latest."""
        return self.allowed.ends if self.ended is None else min(self.ended, self.allowed.ends)


@dataclass
class Case:
    """All that the log says of one permit, in order of time."""

    permit_id: str
    issued: Issued | None = None
    allowed: list[Allowed] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    records: list[Began | Extended | Done] = field(default_factory=list)
    consents: list[Consented] = field(default_factory=list)

    @property
    def has_begun(self) -> bool:
        """Whether anything is owed: a record about nothing that is known begins nothing."""
        began = any(isinstance(one, Began) for one in self.records)
        return self.issued is not None or bool(self.allowed) or began

    @property
    def permit_end(self) -> datetime:
        """The end of the permit, in the form in which it was used last; for an allowed one only."""
        return self.allowed[-1].permit.not_after

    @property
    def holder(self) -> Literal["hospital", "hdab"]:
        """Whose log it is."""
        return self.allowed[0].holder if self.allowed else "hdab"

    @property
    def released_jobs(self) -> tuple[str, ...]:
        """The jobs from which something can be published."""
        return tuple(name for name, job in self.jobs.items() if job.released is not None)

    def last_activity(self) -> datetime | None:
        """When something under the permit was last allowed or released."""
        times = [one.at for one in self.allowed]
        times += [job.released for job in self.jobs.values() if job.released is not None]
        return max(times, default=None)

    def dones(self, duty: str) -> list[Done]:
        """Every record that this duty was done, for whichever job."""
        return [one for one in self.records if isinstance(one, Done) and one.duty == duty]

    @cached_property
    def _done(self) -> Mapping[tuple[str, str], list[Done]]:
        found: dict[tuple[str, str], list[Done]] = {}
        for one in self.records:
            if isinstance(one, Done):
                found.setdefault((one.duty, one.job), []).append(one)
        return found

    def permit_dones(self, duty: str) -> list[Done]:
        """Those for the whole permit: what was done for one job is not done for all."""
        return self._done.get((duty, NONE), [])

    def deleted(self) -> Done | None:
        """The first deletion after which nothing was computed any more."""
        last = self.last_activity()
        return next(
            (one for one in self.permit_dones(DELETION) if last is None or one.at >= last), None
        )

    def done_for(self, duty: str, job: str) -> Done | None:
        """The first record for a job, or for the whole permit once that job was over.

        What was done before the job had shown anything is about something else.
        """
        life = self.jobs[job]
        own = (
            one for one in self._done.get((duty, job), ()) if one.at >= (life.released or _NEVER)
        )
        of_all = (one for one in self.permit_dones(duty) if one.at >= life.end)
        first = [one for one in (next(own, None), next(of_all, None)) if one is not None]
        return min(first, key=_order, default=None)

    def consents_to(self, permit_digest: str, dataset: str) -> list[Consented]:
        """A person's approvals of this very permit's use of a dataset, since the last refusal."""
        given: list[Consented] = []
        for one in self.consents:
            if (one.permit_digest, one.dataset) == (permit_digest, dataset):
                given = [*given, one] if one.given else []
        return given

    def begun(self, duty: str) -> list[Began]:
        """Every record that this duty begins."""
        return [one for one in self.records if isinstance(one, Began) and one.duty == duty]

    def extended_until(self, duty: str, job: str) -> date | None:
        """The latest day to which an authority moved a duty's end."""
        days = [
            one.until
            for one in self.records
            if isinstance(one, Extended) and one.duty == duty and one.job in (job, NONE)
        ]  # fmt: skip
        return max(days, default=None)

    def provided(self, duty: str) -> tuple[Clock, Event | None] | None:
        """The clock of putting data at disposal: a job that may use them is as good as a record."""
        begun = self.begun(duty)
        if not begun:
            return None
        dones: list[Event] = [*self.allowed, *self.permit_dones(duty)]
        done = min(dones, key=_order, default=None)
        extended = self.extended_until(duty, NONE) is not None
        return Clock(begun[0].at, done.at if done else None, extended), done

    def registered(self) -> tuple[Clock, Done | None] | None:
        """The clock of publishing the permit; it runs in the log of who issued it."""
        if self.issued is None:
            return None
        done = next(iter(self.permit_dones(REGISTER)), None)
        return Clock(self.issued.at, done.at if done else None), done

    def findings(self) -> list[tuple[Began | Done, Done | None]]:
        """Each significant finding with its notice: the first answers the first.

        A notice that answers none is a finding of its own, notified at once.
        """
        notices = self.dones(FINDING)
        pairs: list[tuple[Began | Done, Done | None]] = []
        for begun in self.begun(FINDING):
            notice = next((one for one in notices if _order(one) >= _order(begun)), None)
            if notice is not None:
                notices.remove(notice)
            pairs.append((begun, notice))
        return [*pairs, *((notice, notice) for notice in notices)]


def cases(history: Iterable[AnyEvent], now: datetime) -> tuple[Case, ...]:
    """One case for each permit, in the order in which the log first names them."""
    fold = _Fold()
    for event in sorted((one for one in history if one.at <= now), key=_order):
        fold.apply(event)
    return tuple(case for case in fold.known.values() if case.has_begun)


class _Fold:
    """Events in order of time, gathered by permit."""

    def __init__(self) -> None:
        self.known: dict[str, Case] = {}
        self._jobs: dict[str, list[Job]] = defaultdict(list)

    def apply(self, event: AnyEvent) -> None:
        """One more event."""
        match event:
            case Issued():
                issued = self._case(event.permit.id)
                issued.issued = issued.issued or event
            case Allowed():
                self._allow(event)
            case Released():
                for job in self._jobs[event.job]:
                    job.released = job.released or event.at
            case Ended():
                for job in self._jobs[event.job]:
                    job.ended = job.ended or event.at
            case Consented():
                self._case(event.permit_id).consents.append(event)
            case Began() | Extended() | Done():
                self._case(event.permit_id).records.append(event)

    def _allow(self, event: Allowed) -> None:
        allowed = self._case(event.permit.id)
        allowed.allowed.append(event)
        if event.job not in allowed.jobs:
            allowed.jobs[event.job] = Job(event)
            self._jobs[event.job].append(allowed.jobs[event.job])

    def _case(self, permit_id: str) -> Case:
        return self.known.setdefault(permit_id, Case(permit_id))


def moments(
    history: Iterable[AnyEvent], now: datetime, holidays: AbstractSet[date] = frozenset()
) -> tuple[tuple[str, str, Supervision], ...]:
    """What the statute asks at a permit's supervision, as far as the log knows it.

    (permit, job, moment): one for each job whose results can be published, or one for the permit.
    """
    return tuple(
        (case.permit_id, job, supervision(case, job, now, holidays))
        for case in cases(history, now)
        for job in case.released_jobs or (NONE,)
    )


def supervision(
    case: Case, job: str, now: datetime, holidays: AbstractSet[date] = frozenset()
) -> Supervision:
    """The facts of one permit, with the results of one of its jobs (`NONE`: without any)."""
    register, holder = case.registered(), case.provided(HOLDER)
    provision = case.provided(PROVISION)
    moment = Supervision(
        now=now,
        holidays=frozenset(holidays),
        deletion=_deletion(case),
        deleted_logs=(),  # a log from which something was removed does not verify
        results=Clock(None),
        register=register[0] if register else None,
        results_in_register=True,
        holder=holder[0] if holder else None,
        provision=provision[0] if provision else None,
        findings=_findings(case),
    )
    return moment if job == NONE else of_job(moment, case, job)


def of_job(moment: Supervision, case: Case, job: str) -> Supervision:
    """A permit's facts with those of the results of one of its jobs."""
    done = case.done_for(RESULTS, job)
    return replace(
        moment,
        # Art. 61(4): it runs from the completion of the processing.
        results=Clock(case.jobs[job].end, done.at if done else None),
        results_extended_until=case.extended_until(RESULTS, job),
        results_in_register=None if case.done_for(OUTCOME, job) is None else True,
    )


def _deletion(case: Case) -> Deletion | None:
    if not case.allowed:
        return None
    done = case.deleted()
    clock = Clock(case.permit_end, done.at if done else None)
    return Deletion(clock, "in the log" if done else None, kept=() if done else None)


def significant(begun: Began | Done, notice: Done | None) -> SignificantFinding | None:
    """A finding as the statute asks for it; None where nobody set a period for its notice."""
    days = begun.days if isinstance(begun, Began) else 0
    if days is None:
        return None
    return SignificantFinding(
        clock=Clock(begun.at, notice.at if notice else None),
        forwarded_to_holder=Clock(None),
        has_pseudonym_only=True,  # an entry holds a digest of the notice, nothing of the person
        period_days=days,
        wants_not_to_know=None,
        person_told=False,
    )


def _findings(case: Case) -> tuple[SignificantFinding, ...] | None:
    found = [significant(begun, notice) for begun, notice in case.findings()]
    known = tuple(one for one in found if one is not None)
    return known if len(known) == len(found) else None


def _order(event: Event) -> tuple[datetime, int]:
    return event.at, event.entry
