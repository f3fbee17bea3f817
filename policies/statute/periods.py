"""Legal periods, counted as Regulation (EEC, Euratom) No 1182/71 counts them.

- Art. 3(1): the day of the event is not counted.
- Art. 3(2)(c): a period of months ends on the day with the event's number, or on the last day of
  a month that has no such day; weeks end on the same day of the week. The last day is included.
- Art. 3(3), (4): holidays and weekends count, but a period that would end on one ends on the next
  working day; not so periods counted back from a date.
- Art. 2(2): working days are all but public holidays, Sundays and Saturdays. Public holidays
  differ by Member State, so they are an argument.

Days are days of UTC.
"""

import calendar
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from policies.errors import PolicyError
from policies.statute.finding import Finding, Kind

_Day = TypeVar("_Day", date, datetime)

_DAY = timedelta(days=1)
_SATURDAY = 5
MAX_HOLIDAYS_IN_A_ROW = 366


class Unit(StrEnum):
    """The units in which the Regulation gives its periods."""

    MONTHS = "months"
    WEEKS = "weeks"
    WORKING_DAYS = "working days"


@dataclass(frozen=True)
class Period:
    """Such as three months, and the `article` that gives it."""

    count: int
    unit: Unit
    article: str

    def __str__(self) -> str:
        """As people say it."""
        return f"{self.count} {self.unit.value}"


@dataclass(frozen=True)
class Clock:
    """A duty's clock. `since` None: the event has not happened; `done` None: not done yet."""

    since: datetime | None
    done: datetime | None = None
    extended: bool = False

    def __post_init__(self) -> None:
        for moment in (self.since, self.done):
            if moment is not None:
                day(moment)


@dataclass(frozen=True)
class Today:
    """The time at which clocks are read, and the Member State's public holidays."""

    now: datetime
    holidays: AbstractSet[date]


def day(moment: datetime) -> date:
    """The day of UTC. Raises `PolicyError` (TIME_NAIVE): a time without a zone is not a moment."""
    if moment.tzinfo is None:
        raise PolicyError("TIME_NAIVE", "a time has no time zone", "Write it with its offset")
    return moment.astimezone(UTC).date()


def add_months(start: _Day, months: int) -> _Day:
    """The same day that many months later (earlier if negative), or that month's last day."""
    years, month = divmod(start.month - 1 + months, 12)
    year, month = start.year + years, month + 1
    last = calendar.monthrange(year, month)[1]
    return start.replace(year=year, month=month, day=min(start.day, last))


def is_working_day(when: date, holidays: AbstractSet[date]) -> bool:
    """Art. 2(2) of Regulation 1182/71."""
    return when.weekday() < _SATURDAY and when not in holidays


def last_day(period: Period, event: date, holidays: AbstractSet[date]) -> date:
    """The last day on which a duty that `event` started is still done in time."""
    if period.unit is Unit.WORKING_DAYS:
        end = event
        for _ in range(period.count):
            end = _next_working_day(end + _DAY, holidays)
        return end
    if period.unit is Unit.WEEKS:
        return _next_working_day(event + timedelta(weeks=period.count), holidays)
    return _next_working_day(add_months(event, period.count), holidays)


def _next_working_day(when: date, holidays: AbstractSet[date]) -> date:
    for _ in range(MAX_HOLIDAYS_IN_A_ROW):
        if is_working_day(when, holidays):
            return when
        when += _DAY
    raise PolicyError("HOLIDAYS", "a whole year has no working day", "Correct the holidays")


def in_time(
    rule: str,
    code: str,
    kind: Kind,
    period: Period,
    clock: Clock | None,
    today: Today,
    *,
    remedy: str,
    extended_until: date | None = None,
) -> Finding:
    """The finding of a clock: fulfilled or overdue when it is known, pending until its last day.

    `extended_until`: a later last day that an authority has set; an earlier one changes nothing.
    """
    due, satisfied, actual = None, None, "not known"
    if clock is not None and clock.since is None:
        satisfied, actual = True, "not begun"
    elif clock is not None and clock.since is not None:
        due = last_day(period, day(clock.since), today.holidays)
        due = max(due, extended_until or due)
        satisfied, actual = _state(due, clock.done, today.now)
    return Finding(
        rule, code, period.article, kind, f"within {period}", actual, satisfied, remedy, due
    )


def _state(due: date, done: datetime | None, now: datetime) -> tuple[bool | None, str]:
    # What is dated in the future has not happened yet (threat: a duty closed by a wrong date).
    if done is not None and done <= now:
        return (True, f"done {day(done)}") if day(done) <= due else (False, f"late, {day(done)}")
    return (None, f"due {due}") if day(now) <= due else (False, f"overdue since {due}")
