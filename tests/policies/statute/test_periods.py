"""Legal periods: every count against a calendar, both sides of every last day."""

import calendar
import time
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.errors import PolicyError
from policies.statute.finding import DutyState, Finding, Kind
from policies.statute.periods import (
    Clock,
    Period,
    Today,
    Unit,
    add_months,
    day,
    in_time,
    is_working_day,
    last_day,
)

NONE: frozenset[date] = frozenset()
DAYS = st.dates(date(2025, 1, 1), date(2060, 1, 1))


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        (date(2032, 1, 15), 1, date(2032, 2, 15)),
        (date(2032, 1, 31), 1, date(2032, 2, 29)),
        (date(2033, 1, 31), 1, date(2033, 2, 28)),
        (date(2032, 2, 29), 12, date(2033, 2, 28)),
        (date(2032, 2, 29), 48, date(2036, 2, 29)),
        (date(2032, 8, 31), 6, date(2033, 2, 28)),
        (date(2032, 12, 1), 1, date(2033, 1, 1)),
        (date(2032, 11, 30), 1, date(2032, 12, 30)),
        (date(2032, 1, 31), -1, date(2031, 12, 31)),
        (date(2032, 3, 31), -1, date(2032, 2, 29)),
        (date(2032, 5, 5), 0, date(2032, 5, 5)),
    ],
)
def test_months_end_on_the_same_day_or_the_months_last(start: date, months: int, end: date) -> None:
    assert add_months(start, months) == end


@given(DAYS, st.integers(-200, 200))
def test_months_are_counted_by_the_calendar(start: date, months: int) -> None:
    end = add_months(start, months)
    assert (end.year - start.year) * 12 + end.month - start.month == months
    assert end.day == min(start.day, calendar.monthrange(end.year, end.month)[1])


def test_months_keep_the_time_of_day() -> None:
    start = datetime(2032, 1, 31, 23, 59, 59, tzinfo=UTC)
    assert add_months(start, 1) == datetime(2032, 2, 29, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "working"),
    [
        (date(2032, 6, 4), True),
        (date(2032, 6, 5), False),
        (date(2032, 6, 6), False),
        (date(2032, 6, 7), True),
        (date(2032, 6, 8), False),
    ],
)
def test_weekends_and_holidays_are_no_working_days(when: date, working: bool) -> None:
    assert is_working_day(when, frozenset({date(2032, 6, 8)})) is working


@pytest.mark.parametrize(
    ("count", "holidays", "end"),
    [
        (1, NONE, date(2032, 6, 3)),
        (2, NONE, date(2032, 6, 4)),
        (3, NONE, date(2032, 6, 7)),
        (3, frozenset({date(2032, 6, 7)}), date(2032, 6, 8)),
        (30, NONE, date(2032, 7, 14)),
    ],
)
def test_working_days_begin_the_day_after_the_event(
    count: int, holidays: frozenset[date], end: date
) -> None:
    assert last_day(Period(count, Unit.WORKING_DAYS, ""), date(2032, 6, 2), holidays) == end


@given(DAYS, st.integers(1, 40), st.sets(DAYS, max_size=5))
def test_a_period_of_working_days_holds_so_many(event: date, count: int, free: set[date]) -> None:
    holidays = frozenset(free)
    end = last_day(Period(count, Unit.WORKING_DAYS, ""), event, holidays)
    between = (event + timedelta(days=n) for n in range(1, (end - event).days + 1))
    assert sum(is_working_day(each, holidays) for each in between) == count
    assert is_working_day(end, holidays)


@pytest.mark.parametrize(
    ("period", "event", "end"),
    [
        (Period(3, Unit.MONTHS, ""), date(2032, 3, 2), date(2032, 6, 2)),
        (Period(3, Unit.MONTHS, ""), date(2032, 3, 5), date(2032, 6, 7)),  # over a Saturday
        (Period(3, Unit.MONTHS, ""), date(2032, 3, 8), date(2032, 6, 9)),  # over a holiday
        (Period(4, Unit.WEEKS, ""), date(2032, 5, 5), date(2032, 6, 2)),
        (Period(4, Unit.WEEKS, ""), date(2032, 5, 9), date(2032, 6, 7)),  # over a Sunday
    ],
)
def test_a_period_does_not_end_on_a_free_day(period: Period, event: date, end: date) -> None:
    assert last_day(period, event, frozenset({date(2032, 6, 8)})) == end


def test_a_year_without_a_working_day_is_an_error() -> None:
    start = date(2032, 6, 2)
    almost = frozenset(start + timedelta(days=n) for n in range(365))
    assert last_day(Period(0, Unit.WEEKS, ""), start, almost) == date(2033, 6, 2)
    with pytest.raises(PolicyError) as caught:
        last_day(Period(0, Unit.WEEKS, ""), start, almost | {date(2033, 6, 2)})
    assert caught.value.code == "HOLIDAYS"


def test_a_day_is_one_of_utc_and_needs_a_zone() -> None:
    assert day(datetime.fromisoformat("2032-06-02T00:30:00+02:00")) == date(2032, 6, 1)
    naive = datetime(2032, 6, 2)  # noqa: DTZ001 - that it has no zone is what is tested
    for build in (lambda: day(naive), lambda: Clock(naive), lambda: Clock(None, naive)):
        with pytest.raises(PolicyError) as caught:
            build()
        assert caught.value.code == "TIME_NAIVE"


@pytest.mark.parametrize("zone", ["EAST-13", "WEST+11"])
def test_a_day_does_not_depend_on_where_the_machine_stands(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert day(datetime(2032, 6, 2, 12, tzinfo=UTC)) == date(2032, 6, 2)
    finally:
        monkeypatch.undo()
        time.tzset()


SINCE = datetime(2032, 6, 2, 12, tzinfo=UTC)
LAST = datetime(2032, 6, 30, 23, 59, 59, tzinfo=UTC)
AFTER = datetime(2032, 7, 1, tzinfo=UTC)


def found(clock: Clock | None, now: datetime, until: date | None = None) -> Finding:
    period = Period(4, Unit.WEEKS, "Art. 0")
    return in_time(
        "R00", "code", Kind.OBLIGE, period, clock, Today(now, NONE),
        remedy="remedy", extended_until=until,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("clock", "now", "satisfied", "duty"),
    [
        (None, AFTER, None, DutyState.UNKNOWN),
        (Clock(None), AFTER, True, DutyState.FULFILLED),
        (Clock(SINCE), SINCE, None, DutyState.PENDING),
        (Clock(SINCE), LAST, None, DutyState.PENDING),
        (Clock(SINCE), AFTER, False, DutyState.OVERDUE),
        (Clock(SINCE, LAST), LAST, True, DutyState.FULFILLED),
        (Clock(SINCE, LAST), AFTER, True, DutyState.FULFILLED),
        (Clock(SINCE, AFTER), AFTER, False, DutyState.OVERDUE),
        (Clock(SINCE, AFTER), LAST, None, DutyState.PENDING),
        (Clock(SINCE, AFTER + timedelta(days=1)), AFTER, False, DutyState.OVERDUE),
    ],
)
def test_a_duty_is_pending_until_its_last_second_and_then_overdue(
    clock: Clock | None, now: datetime, satisfied: bool | None, duty: DutyState
) -> None:
    finding = found(clock, now)
    assert (finding.satisfied, finding.duty) == (satisfied, duty)
    begun = clock is not None and clock.since is not None
    assert finding.due == (LAST.date() if begun else None)
    assert (finding.article, finding.bound) == ("Art. 0", "within 4 weeks")


def test_an_authority_can_set_a_later_last_day_and_not_an_earlier() -> None:
    assert found(Clock(SINCE), AFTER, AFTER.date()).satisfied is None
    assert found(Clock(SINCE), AFTER + timedelta(days=1), AFTER.date()).satisfied is False
    assert found(Clock(SINCE), LAST, SINCE.date()).satisfied is None
