"""Duties that an allowance under a permit brings, and their life: pending, fulfilled, overdue.

By law and by the hospital's own rules. Pure. Every period is the statute's own: `follow` asks the
rules of `policies.statute` about each permit's facts, so that the list of duties and the
supervision of a permit cannot disagree. Public holidays differ by Member State: without them a last
day can only come earlier than the law has it, never later. Deadlines are the last second of their
day, in UTC.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from policies.cases import Case, cases, of_job, significant, supervision
from policies.decision import Obligation
from policies.history import (
    ACKNOWLEDGEMENT,
    ACTIVITY_LOG,
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
    Done,
    Event,
)
from policies.odrl.owed import Owed, owed, standing
from policies.odrl.world import DeonticState
from policies.permit import Permit
from policies.policy import Policy
from policies.statute import article_57, article_60, article_61, article_68, article_73
from policies.statute.finding import LAW, Finding
from policies.statute.moments import Supervision
from policies.statute.periods import Period, Unit, add_months, day, last_day

Party = Literal["data-user", "hdab", "hospital"]
_NO_HOLIDAYS: frozenset[date] = frozenset()


class State(StrEnum):
    """The life of a duty. One that was done late stays so."""

    OVERDUE = "overdue"
    PENDING = "pending"
    LATE = "fulfilled late"
    FULFILLED = "fulfilled"


@dataclass(frozen=True)
class TrackedDuty:
    """One duty of one permit (of one `job`, or of "none"), and where it stands.

    It began at `since` and is to be done by `due`, if a date follows. It was `done` by the log's
    entry of that index; None where time alone fulfils it.
    """

    duty: str
    party: Party
    what: str
    basis: str
    permit_id: str
    job: str
    state: State
    since: datetime
    due: datetime | None
    done: datetime | None = None
    entry: int | None = None


@dataclass(frozen=True)
class _Law:
    """What the law obliges to: fixed code, who, what, where it stands."""

    duty: str
    party: Party
    what: str
    basis: str


_RESULTS = _Law(
    RESULTS, "data-user", f"publish the results within {article_61.PUBLISH_RESULTS} of the end of "
    "the processing, with anonymous data only", article_61.PUBLISH_RESULTS.article,
)  # fmt: skip
_ACKNOWLEDGEMENT = _Law(
    ACKNOWLEDGEMENT, "data-user", "name the sources, the access body and the European Health Data "
    "Space in what is published", LAW + "Art. 61(4)",
)  # fmt: skip
_FINDING = _Law(
    FINDING, "data-user", "notify the access body of each finding that matters for a person's "
    "health, by pseudonym only", LAW + "Art. 61(5) and 58(3)",
)  # fmt: skip
_DELETION = _Law(
    DELETION, "hospital", f"delete what was made for the permit within {article_68.DELETE} of its "
    "end, with a certificate", article_68.DELETE.article,
)  # fmt: skip
_ACTIVITY_LOG = _Law(
    ACTIVITY_LOG, "hospital", "keep the log of access and activity until "
    f"{article_73.ACTIVITY_LOG_MONTHS} months after the permit's end", LAW + "Art. 73(1)(e)",
)  # fmt: skip
_OUTCOME = _Law(
    OUTCOME, "hdab", "show in the public register who used which data, what for, and what came of "
    "it", LAW + "Art. 58(1)(f) and (g)",
)  # fmt: skip
_REGISTER = _Law(
    REGISTER, "hdab", f"publish the permit in the public register within "
    f"{article_57.PUBLISH_DECISION}", article_57.PUBLISH_DECISION.article,
)  # fmt: skip
_HOLDER = _Law(
    HOLDER, "hospital", f"put the data at the access body's disposal within "
    f"{article_60.PUT_AT_DISPOSAL}", article_60.PUT_AT_DISPOSAL.article,
)  # fmt: skip
_PROVISION = _Law(
    PROVISION, "hdab", f"make the data available to the data user within {article_68.PROVIDE}",
    article_68.PROVIDE.article,
)  # fmt: skip
_BROUGHT = (_RESULTS, _ACKNOWLEDGEMENT, _FINDING, _DELETION, _ACTIVITY_LOG, _OUTCOME)

# What an entry of the log can say was done.
RECORDABLE = frozenset(
    {RESULTS, ACKNOWLEDGEMENT, FINDING, DELETION, OUTCOME, REGISTER, HOLDER, PROVISION}
)


def obligations(permit: Permit, policy: Policy) -> tuple[Obligation, ...]:
    """What an allowance under this permit obliges to: by law, then by the policy's rules in ODRL.

    A date is named where it is certain now; a period that begins later stands in the words. Raises
    `PolicyError` if the rules cannot be read.
    """
    return _by_law(permit.not_after) + _by_rules(permit, policy)


@lru_cache(maxsize=256)
def _by_law(permit_end: datetime) -> tuple[Obligation, ...]:
    due = {DELETION: _end_of(last_day(article_68.DELETE, day(permit_end), _NO_HOLIDAYS))}
    return tuple(
        Obligation(duty=law.duty, party=law.party, what=law.what, basis=law.basis,
                   due=due.get(law.duty))
        for law in _BROUGHT
    )  # fmt: skip


def _by_rules(permit: Permit, policy: Policy) -> tuple[Obligation, ...]:
    return tuple(
        Obligation(duty=one.code, party=_party(one), what=one.what, basis=_named(policy),
                   due=one.due(None))
        for one in _owed(permit, policy)
    )  # fmt: skip


def _owed(permit: Permit, policy: Policy) -> tuple[Owed, ...]:
    if not policy.rules:
        return ()
    return owed(policy.id, policy.rules, policy.dataset, permit.data_user, permit.purpose)


def _party(one: Owed) -> Party:
    return "hospital" if one.by_assigner else "data-user"


def _named(policy: Policy) -> str:
    return f"policy {policy.id} version {policy.version}"


def follow(
    history: Iterable[AnyEvent], now: datetime, holidays: AbstractSet[date] = _NO_HOLIDAYS
) -> tuple[TrackedDuty, ...]:
    """Every duty that has begun by `now`, of every permit in the log, what is overdue first.

    Raises `PolicyError` (TIME_NAIVE; or if a policy's rules cannot be read).
    """
    found: list[TrackedDuty] = []
    for case in cases(history, now):
        found += _lawful(case, now, holidays)
        found += _agreed(case, now)
    order = list(State)
    return tuple(sorted(found, key=lambda one: (order.index(one.state), _last(one.due))))


def _last(due: datetime | None) -> datetime:
    return due or datetime.max.replace(tzinfo=UTC)


def _lawful(case: Case, now: datetime, holidays: AbstractSet[date]) -> Iterator[TrackedDuty]:
    moment = supervision(case, NONE, now, holidays)
    for law, rule, clocked in (
        (_REGISTER, article_57.decision_is_published, case.registered()),
        (_HOLDER, article_60.holder_provides_in_time, case.provided(HOLDER)),
        (_PROVISION, article_68.data_are_provided_in_time, case.provided(PROVISION)),
    ):
        if clocked is not None:
            clock, done = clocked
            yield _judged(law, case, clock.since or now, rule(moment), done)
    if case.allowed:
        law = replace(_DELETION, party=case.holder)
        finding = article_68.data_are_deleted(moment)
        yield _judged(law, case, case.permit_end, finding, case.deleted())
        yield _kept(case, now)
    for begun, notice in case.findings():
        yield _noticed(case, moment, begun, notice)
    for job in case.released_jobs:
        yield from _published(case, of_job(moment, case, job), job)


def _judged(
    law: _Law, case: Case, since: datetime, finding: Finding, done: Event | None, job: str = NONE
) -> TrackedDuty:
    """A duty as the statute's own rule finds it."""
    state = _state(finding.satisfied, done)
    return _tracked(law, case, job, since, state, due=finding.due, done=done)


def _state(satisfied: bool | None, done: Event | None) -> State:
    if satisfied is None:
        return State.PENDING
    if satisfied:
        return State.FULFILLED
    return State.OVERDUE if done is None else State.LATE


def _tracked(
    law: _Law,
    case: Case,
    job: str,
    since: datetime,
    state: State,
    *,
    due: date | None = None,
    done: Event | None = None,
) -> TrackedDuty:
    return TrackedDuty(
        law.duty, law.party, law.what, law.basis, case.permit_id, job, state, since,
        due=None if due is None else _end_of(due),
        done=None if done is None else done.at,
        entry=None if done is None else done.entry,
    )  # fmt: skip


def _kept(case: Case, now: datetime) -> TrackedDuty:
    """A log from which nothing can be taken keeps itself: this duty ends with its time."""
    until = add_months(case.permit_end, article_73.ACTIVITY_LOG_MONTHS)
    state = State.FULFILLED if now >= until else State.PENDING
    law = replace(_ACTIVITY_LOG, party=case.holder)
    tracked = _tracked(law, case, NONE, case.allowed[0].at, state)
    return replace(tracked, due=until, done=until if now >= until else None)


def _noticed(
    case: Case, moment: Supervision, begun: Began | Done, notice: Done | None
) -> TrackedDuty:
    found = significant(begun, notice)
    if found is None:  # nobody has set a period, so no notice is late
        state = State.PENDING if notice is None else State.FULFILLED
        return _tracked(_FINDING, case, begun.job, begun.at, state, done=notice)
    finding = article_61.significant_findings_are_notified(replace(moment, findings=(found,)))
    period = Period(found.period_days, Unit.WORKING_DAYS, finding.article)
    due = last_day(period, day(begun.at), moment.holidays)
    state = _state(finding.satisfied, notice)
    return _tracked(_FINDING, case, begun.job, begun.at, state, due=due, done=notice)


def _published(case: Case, moment: Supervision, job: str) -> Iterator[TrackedDuty]:
    """What follows from a job that has shown something."""
    end = case.jobs[job].end
    finding = article_61.results_are_published(moment)
    published = case.done_for(RESULTS, job)
    yield _judged(_RESULTS, case, end, finding, published, job)
    due = finding.due if published is None else min(finding.due or date.max, day(published.at))
    named = case.done_for(ACKNOWLEDGEMENT, job)
    state = _against(due, named, moment.now)
    yield _tracked(_ACKNOWLEDGEMENT, case, job, end, state, due=due, done=named)
    shown = case.done_for(OUTCOME, job)
    state = State.PENDING if shown is None else State.FULFILLED
    yield _tracked(_OUTCOME, case, job, end, state, done=shown)


def _against(due: date | None, done: Event | None, now: datetime) -> State:
    """A duty without a period of its own: done with the publication that it belongs to."""
    late = due is not None and day(done.at if done else now) > due
    if done is None:
        return State.OVERDUE if late else State.PENDING
    return State.LATE if late else State.FULFILLED


def _agreed(case: Case, now: datetime) -> Iterator[TrackedDuty]:
    """Duties of the hospital's own rules; each begins with the first decision that named it."""
    seen: set[str] = set()
    for allowed in case.allowed:
        policy = allowed.policy
        for one in _owed(allowed.permit, policy) if policy is not None else ():
            if one.code in allowed.duties and one.code not in seen and policy is not None:
                seen.add(one.code)
                yield from _followed(case, policy, one, allowed, now)


def _followed(
    case: Case, policy: Policy, one: Owed, agreed: Allowed, now: datetime
) -> Iterator[TrackedDuty]:
    records: dict[int, Event] = {done.entry: done for done in case.permit_dones(one.code)}
    if one.asks_consent:
        given = case.consents_to(agreed.permit.digest, policy.dataset)
        records = {each.entry: each for each in given} | records
    found = standing(one, agreed.at, ((done.entry, done.at) for done in records.values()), now)
    state = State.PENDING
    if found.state is DeonticState.FULFILLED:
        state = State.FULFILLED
    elif found.state is DeonticState.VIOLATED:
        state = State.LATE if found.performed else State.OVERDUE
    done = None if found.by is None else records[found.by]
    law = _Law(one.code, _party(one), one.what, _named(policy))
    tracked = _tracked(law, case, NONE, agreed.at, state, done=done)
    yield replace(tracked, due=one.due(agreed.at))
    if state in (State.OVERDUE, State.LATE):
        for consequence in one.consequences:
            yield from _followed(case, policy, consequence, agreed, now)


def _end_of(last: date) -> datetime:
    return datetime.combine(last, time(23, 59, 59), tzinfo=UTC)
