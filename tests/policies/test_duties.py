"""The life of each duty: what begins it, both sides of its last second, what fulfils it."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest
from builders import permit, policy
from casebook import (
    BEGIN,
    DAY,
    END,
    JOB_END,
    PERMIT,
    POLICY,
    SECOND,
    allowed,
    at,
    began,
    done,
    end_of,
    ended,
    extended,
    job,
    released,
)
from hypothesis import given
from hypothesis import strategies as st

from policies import history, statute
from policies.cases import moments
from policies.duties import RECORDABLE, State, TrackedDuty, follow, obligations
from policies.history import (
    ACKNOWLEDGEMENT,
    ACTIVITY_LOG,
    DELETION,
    FINDING,
    HOLDER,
    OUTCOME,
    PROVISION,
    REGISTER,
    RESULTS,
)
from policies.statute.finding import DutyState

ISSUED = history.Issued(BEGIN, 0, PERMIT)


def tracked(
    events: list[Any], duty: str, now: datetime, job: str | None = None
) -> TrackedDuty | None:
    found = [
        one for one in follow(events, now) if one.duty == duty and job in (None, one.job)
    ]  # fmt: skip
    assert len(found) <= 1
    return found[0] if found else None


def state(events: list[Any], duty: str, now: datetime, job: str | None = None) -> State | None:
    found = tracked(events, duty, now, job)
    return None if found is None else found.state


# What begins the duty, its last second, and with which code.
LIVES: list[Any] = [
    pytest.param(DELETION, [allowed()], end_of(2033, 6, 2), id="deletion"),
    pytest.param(RESULTS, job(), end_of(2033, 12, 2), id="results"),
    pytest.param(ACKNOWLEDGEMENT, job(), end_of(2033, 12, 2), id="acknowledgement"),
    pytest.param(REGISTER, [ISSUED], end_of(2032, 2, 16), id="register"),
    pytest.param(HOLDER, [allowed(), began(HOLDER, BEGIN + DAY)], None, id="holder-at-once"),
    pytest.param(PROVISION, [ISSUED, began(PROVISION, BEGIN)], end_of(2032, 3, 5), id="provision"),
    pytest.param(
        FINDING, [allowed(), began(FINDING, BEGIN, days=5)], end_of(2032, 1, 12), id="finding"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("duty", "events", "last"), LIVES)
def test_each_duty_has_a_life_with_a_last_second(
    duty: str, events: list[Any], last: datetime | None
) -> None:
    if last is None:
        assert state(events, duty, END) is State.FULFILLED
        return
    found = tracked(events, duty, last)
    assert found is not None
    assert (found.state, found.due, found.done) == (State.PENDING, last, None)
    assert state(events, duty, last + SECOND) is State.OVERDUE
    in_time, late = done(duty, last), done(duty, last + SECOND)
    fulfilled = tracked([*events, in_time], duty, last + DAY)
    assert fulfilled is not None
    assert fulfilled.state is State.FULFILLED
    assert (fulfilled.done, fulfilled.entry) == (last, in_time.entry)
    assert state([*events, late], duty, last + SECOND) is State.LATE
    # Before it was recorded it was not done, whatever the log says later.
    assert state([*events, late], duty, last) is State.PENDING


@pytest.mark.parametrize(("duty", "events", "last"), LIVES)
def test_no_duty_begins_before_its_trigger(duty: str, events: list[Any], last: Any) -> None:
    del last
    trigger = events[1] if duty in (RESULTS, ACKNOWLEDGEMENT) else events[-1]
    before = [one for one in events if one is not trigger]
    assert state(before, duty, END) is None
    assert state(events, duty, trigger.at - SECOND) is None


@pytest.mark.parametrize(("duty", "events", "last"), LIVES)
def test_the_law_and_the_list_agree_at_both_sides_of_each_deadline(
    duty: str, events: list[Any], last: datetime | None
) -> None:
    last = last or END
    words = {
        State.PENDING: DutyState.PENDING, State.FULFILLED: DutyState.FULFILLED,
        State.OVERDUE: DutyState.OVERDUE, State.LATE: DutyState.OVERDUE,
    }  # fmt: skip
    compared = 0
    for records in ([], [done(duty, last)], [done(duty, last + SECOND)]):
        for now in (last - DAY, last, last + SECOND, last + DAY):
            log = [*events, *records]
            ((_, _, moment),) = moments(log, now)
            by_law = {one.code: one for one in statute.evaluate(moment)}
            for one in follow(log, now):
                finding = by_law.get(one.duty)
                if one.duty in (ACTIVITY_LOG, OUTCOME) or finding is None:
                    continue
                assert finding.duty is words[one.state], (one.duty, now)
                if finding.due is not None:
                    assert one.due is not None
                    assert one.due.date() == finding.due
                assert one.basis == finding.article
                compared += 1
    assert compared or duty == ACKNOWLEDGEMENT


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (at(2030, 8, 31), end_of(2031, 2, 28)),
        (at(2031, 8, 31), end_of(2032, 3, 1)),  # 29 February is a Sunday: the next working day
        (at(2027, 8, 29), end_of(2028, 2, 29)),
        (at(2028, 2, 29), end_of(2028, 8, 29)),
        (at(2030, 3, 31), end_of(2030, 9, 30)),
        (at(2030, 8, 31, 23), end_of(2031, 2, 28)),
    ],
)
def test_six_months_end_with_the_month_where_it_is_shorter(end: datetime, last: datetime) -> None:
    granted = permit(not_before=end - 300 * DAY, not_after=end)
    events = [allowed(end - 200 * DAY, permit=granted, ends=end - DAY)]
    found = tracked(events, DELETION, last)
    assert found is not None
    assert (found.state, found.due) == (State.PENDING, last)
    assert state(events, DELETION, last + SECOND) is State.OVERDUE
    (shown,) = (one for one in obligations(granted, POLICY) if one.duty == DELETION)
    assert shown.due == last


def test_a_holiday_gives_one_day_more_and_only_where_it_is_known() -> None:
    events, last = [allowed()], end_of(2033, 6, 2)
    holidays = frozenset({last.date()})
    (found,) = (one for one in follow(events, last + SECOND, holidays) if one.duty == DELETION)
    assert (found.state, found.due) == (State.PENDING, end_of(2033, 6, 3))


def test_done_twice_counts_once_and_the_first_time() -> None:
    first, second = done(DELETION, END + DAY), done(DELETION, END + 2 * DAY)
    found = tracked([allowed(), second, first], DELETION, END + 3 * DAY)
    assert found is not None
    assert (found.state, found.entry) == (State.FULFILLED, first.entry)
    late = done(DELETION, end_of(2033, 6, 2) + DAY)
    assert state([allowed(), first, late], DELETION, late.at) is State.FULFILLED


def test_what_was_deleted_before_the_last_job_has_to_be_deleted_again() -> None:
    early = done(DELETION, BEGIN + 2 * DAY)
    assert state([allowed(), early], DELETION, END) is State.FULFILLED
    for later in (allowed(BEGIN + 3 * DAY, job="sha256:b"), released(BEGIN + 3 * DAY)):
        assert state([allowed(), early, later], DELETION, END) is State.PENDING
        again = done(DELETION, END + DAY)
        assert state([allowed(), early, later, again], DELETION, END + DAY) is State.FULFILLED


def test_results_are_of_the_job_that_they_are_about() -> None:
    later = at(2032, 6, 20)
    log = [*job(), *job("sha256:b", later)]
    assert state(log, RESULTS, later, "sha256:a") is State.PENDING
    one = [*log, done(RESULTS, later, "sha256:a")]
    assert state(one, RESULTS, later, "sha256:a") is State.FULFILLED
    assert state(one, RESULTS, later, "sha256:b") is State.PENDING
    # A publication about the permit covers the jobs that were over by then.
    early = [*log, done(RESULTS, later - SECOND)]
    assert state(early, RESULTS, later, "sha256:a") is State.FULFILLED
    assert state(early, RESULTS, later, "sha256:b") is State.PENDING
    assert state([*log, done(RESULTS, later)], RESULTS, later, "sha256:b") is State.FULFILLED


def test_nothing_can_be_published_before_it_was_released() -> None:
    first = BEGIN + DAY
    before = [*job(), done(RESULTS, first - SECOND, "sha256:a")]
    assert state(before, RESULTS, JOB_END) is State.PENDING
    assert state([*job(), done(RESULTS, first, "sha256:a")], RESULTS, JOB_END) is State.FULFILLED


def test_a_job_that_released_nothing_owes_no_results() -> None:
    assert state([allowed(), ended()], RESULTS, END) is None


def test_processing_ends_at_the_jobs_deadline_at_the_latest() -> None:
    deadline = JOB_END + 30 * DAY
    open_ended = [allowed(), released()]
    late = [*open_ended, ended(deadline + DAY)]
    for log in (open_ended, late):
        found = tracked(log, RESULTS, END)
        assert found is not None
        assert (found.since, found.due) == (deadline, end_of(2034, 1, 2))


def test_more_time_for_results_counts_only_forward_and_for_its_job() -> None:
    last, until = end_of(2033, 12, 2), date(2034, 6, 2)
    log = [*job(), extended(RESULTS, until)]
    found = tracked(log, RESULTS, last + SECOND)
    assert found is not None
    assert (found.state, found.due) == (State.PENDING, end_of(2034, 6, 2))
    assert state(log, RESULTS, end_of(2034, 6, 2) + SECOND) is State.OVERDUE
    assert state([*job(), extended(RESULTS, date(2033, 1, 1))], RESULTS, last) is State.PENDING
    other = [*job(), extended(RESULTS, until, job="sha256:b")]
    assert state(other, RESULTS, last + SECOND) is State.OVERDUE


def test_more_time_for_the_holder_is_three_months_more() -> None:
    log = [ISSUED, began(HOLDER, BEGIN)]
    assert state(log, HOLDER, end_of(2032, 4, 5)) is State.PENDING
    assert state(log, HOLDER, end_of(2032, 4, 5) + SECOND) is State.OVERDUE
    log.append(extended(HOLDER, date(2032, 4, 6), BEGIN + DAY))
    assert state(log, HOLDER, end_of(2032, 7, 5)) is State.PENDING
    assert state(log, HOLDER, end_of(2032, 7, 5) + SECOND) is State.OVERDUE


def test_nobody_can_extend_a_deletion() -> None:
    log = [allowed(), extended(DELETION, date(2040, 1, 1))]
    assert state(log, DELETION, end_of(2033, 6, 2) + SECOND) is State.OVERDUE


def test_a_publication_without_its_sources_is_overdue_the_day_after() -> None:
    published = done(RESULTS, at(2032, 8, 2))
    log = [*job(), published]
    assert state(log, ACKNOWLEDGEMENT, end_of(2032, 8, 2)) is State.PENDING
    assert state(log, ACKNOWLEDGEMENT, end_of(2032, 8, 2) + SECOND) is State.OVERDUE
    assert state([*log, done(ACKNOWLEDGEMENT, published.at)], ACKNOWLEDGEMENT, END) is (
        State.FULFILLED
    )


def test_the_log_is_kept_by_itself_until_its_time_is_over() -> None:
    until = at(2035, 6, 2)
    found = tracked([allowed()], ACTIVITY_LOG, until - SECOND)
    assert found is not None
    assert (found.state, found.due) == (State.PENDING, until)
    assert state([allowed()], ACTIVITY_LOG, until) is State.FULFILLED


def test_each_significant_finding_has_its_own_notice() -> None:
    first, second = began(FINDING, BEGIN, days=5), began(FINDING, BEGIN + DAY, days=5)
    notice = done(FINDING, BEGIN + 2 * DAY)
    found = [
        one.state
        for one in follow([allowed(), first, second, notice], BEGIN + 2 * DAY)
        if one.duty == FINDING
    ]
    assert sorted(found) == [State.FULFILLED, State.PENDING]


def test_a_notice_of_a_finding_that_nobody_recorded_stands_for_both() -> None:
    notice = done(FINDING, BEGIN + DAY)
    found = tracked([allowed(), notice], FINDING, BEGIN + DAY)
    assert found is not None
    assert (found.state, found.entry) == (State.FULFILLED, notice.entry)
    # A notice does not answer a finding that came after it.
    after = began(FINDING, BEGIN + 2 * DAY, days=5)
    states = [one.state for one in follow([allowed(), notice, after], END) if one.duty == FINDING]
    assert sorted(states) == [State.FULFILLED, State.OVERDUE]


def test_a_finding_without_a_period_is_pending_until_it_is_notified() -> None:
    log = [allowed(), began(FINDING, BEGIN)]
    found = tracked(log, FINDING, END)
    assert found is not None
    assert (found.state, found.due) == (State.PENDING, None)
    assert state([*log, done(FINDING, END)], FINDING, END) is State.FULFILLED
    ((_, _, moment),) = moments(log, END)
    assert moment.findings is None  # not known, so the law does not call it notified


def test_permits_do_not_fulfil_each_others_duties() -> None:
    other = permit(id="permit-2", not_before=BEGIN, not_after=END)
    log = [allowed(), allowed(permit=other, job="sha256:b"), done(DELETION, END)]
    states = {one.permit_id: one.state for one in follow(log, END) if one.duty == DELETION}
    assert states == {"permit-1": State.FULFILLED, "permit-2": State.PENDING}
    assert follow([done(DELETION, END)], END) == ()


def test_an_amended_permit_moves_the_end_and_one_with_a_new_id_has_its_own() -> None:
    longer = permit(not_before=BEGIN, not_after=END + 100 * DAY, state="amended")
    log = [allowed(), allowed(BEGIN + DAY, permit=longer, job="sha256:b")]
    for order in (log, log[::-1]):
        found = tracked(order, DELETION, END)
        assert found is not None
        assert found.due == end_of(2033, 9, 12)
    renewed = permit(id="permit-1b", not_before=BEGIN, not_after=END + 100 * DAY, state="renewed")
    log = [allowed(), allowed(BEGIN + DAY, permit=renewed, job="sha256:b")]
    due = {one.permit_id: one.due for one in follow(log, END) if one.duty == DELETION}
    assert due == {"permit-1": end_of(2033, 6, 2), "permit-1b": end_of(2033, 9, 12)}


def test_the_access_bodys_log_has_the_access_bodys_duties() -> None:
    log = [ISSUED, *job(holder="hdab", policy=None)]
    parties = {one.duty: one.party for one in follow(log, END)}
    assert parties[REGISTER] == parties[DELETION] == parties[ACTIVITY_LOG] == "hdab"
    assert parties[RESULTS] == "data-user"


def test_what_is_overdue_comes_first_and_then_what_is_due_first() -> None:
    found = follow([*job(), began(FINDING, JOB_END, days=1)], end_of(2033, 6, 2) + SECOND)
    assert [one.duty for one in found[:3]] == [FINDING, DELETION, RESULTS]
    assert [one.state for one in found[:3]] == [State.OVERDUE, State.OVERDUE, State.PENDING]


STORY = [
    *job(), *job("sha256:b", at(2032, 9, 1)), began(FINDING, BEGIN, days=5),
    began(FINDING, BEGIN + DAY), done(FINDING, at(2032, 3, 1)), extended(RESULTS, date(2034, 1, 1)),
    done(RESULTS, at(2032, 10, 1)), done(RESULTS, at(2032, 11, 1), "sha256:b"),
    done(DELETION, END), done(DELETION, END + DAY), began(HOLDER, BEGIN), ISSUED,
    done(REGISTER, BEGIN + DAY), done(ACKNOWLEDGEMENT, at(2033, 1, 1)),
]  # fmt: skip


@given(told=st.permutations(STORY), days=st.integers(-1, 1200))
def test_the_order_in_which_events_are_told_changes_nothing(told: list[Any], days: int) -> None:
    now = BEGIN + days * DAY
    assert follow(told, now) == follow(STORY, now)


@given(days=st.integers(0, 1200), more=st.integers(0, 1200))
def test_what_was_fulfilled_in_time_stays_so(days: int, more: int) -> None:
    closed = [one for one in STORY if not isinstance(one, history.Done) or one.duty != DELETION]
    closed += [done(DELETION, END)]
    earlier, later = BEGIN + days * DAY, BEGIN + (days + more) * DAY

    def fulfilled(now: datetime) -> set[tuple[str, str, int | None]]:
        return {
            (one.duty, one.job, one.entry)
            for one in follow(closed, now)
            if one.state is State.FULFILLED and one.entry is not None and one.duty != HOLDER
        }

    # A deletion is undone by a later job, which here ends before it.
    assert fulfilled(earlier) <= fulfilled(later)


def test_an_allowance_names_its_duties_with_the_dates_that_are_certain() -> None:
    shown = {one.duty: one for one in obligations(PERMIT, POLICY)}
    assert list(shown) == [
        RESULTS, ACKNOWLEDGEMENT, FINDING, DELETION, ACTIVITY_LOG, OUTCOME
    ]  # fmt: skip
    assert [one.duty for one in shown.values() if one.due] == [DELETION]
    assert shown[DELETION].due == end_of(2033, 6, 2)
    assert "18 months" in shown[RESULTS].what
    assert shown[RESULTS].basis == "Regulation (EU) 2025/327, Art. 61(4)"
    assert obligations(PERMIT, policy(version=2)) == obligations(PERMIT, POLICY)


def test_every_duty_but_keeping_a_log_can_be_recorded_as_done() -> None:
    log = [ISSUED, *job(), began(PROVISION, BEGIN), began(HOLDER, BEGIN), began(FINDING, BEGIN)]
    codes = {one.duty for one in follow(log, END + timedelta(days=400))}
    assert codes == RECORDABLE | {ACTIVITY_LOG}


def test_a_demand_for_data_runs_before_any_job_was_allowed() -> None:
    log = [began(HOLDER, BEGIN)]
    assert state(log, HOLDER, end_of(2032, 4, 5) + SECOND) is State.OVERDUE
    assert [one.duty for one in follow(log, END)] == [HOLDER]
    assert state([*log, allowed(at(2032, 4, 5))], HOLDER, END) is State.FULFILLED
    assert state([*log, allowed(at(2032, 4, 6))], HOLDER, END) is State.LATE
