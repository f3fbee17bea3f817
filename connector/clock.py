"""The wall clock, to the millisecond, in UTC: what decisions and log entries carry."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
