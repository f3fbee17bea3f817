"""Typed values of constraints: how they are spelt, and how they compare.

Numbers are exact decimals, instants carry a time zone, durations are those of XML Schema. A
spelling that would lose something (a float's tail, nanoseconds, a missing time zone) is refused
rather than rounded or assumed.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from policies.errors import PolicyError
from policies.odrl.terms import XSD, Iri, Kind, Operator

MAX_TEXT = 4096
MAX_STATEMENT = 32_768
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?")
_INSTANT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)"  # DSP leaves out seconds
)
_MIDNIGHT = re.compile(r"T24:00(?=(:00(\.0{1,6})?)?(Z|[+-]))")  # the end of that day
# A day of another offset is no day here: only UTC's own spellings.
_DATE = re.compile(r"\d{4}-\d\d-\d\d(Z|[+-]00:00)?")
_DURATION = re.compile(
    r"(-)?P(?=\d|T\d)(?:(\d{1,5})Y)?(?:(\d{1,6})M)?(?:(\d{1,7})D)?"
    r"(?:T(?=\d)(?:(\d{1,7})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:\.\d{1,6})?)S)?)?"
)
_IRI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20<>\"{}|\\^`\x7f-\x9f]+")
# XML Schema 1.0 part 2, 3.2.6.2: durations are ordered if they agree from all four of these.
_REFERENCES = (
    datetime(1696, 9, 1, tzinfo=UTC), datetime(1697, 2, 1, tzinfo=UTC),
    datetime(1903, 3, 1, tzinfo=UTC), datetime(1903, 7, 1, tzinfo=UTC),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Duration:
    """An xsd:duration: months (years are twelve of them) and seconds, both of the same sign."""

    months: int
    seconds: Decimal

    def added_to(self, start: datetime) -> datetime:
        """That much later. Raises OverflowError beyond the years 1 to 9999."""
        index = start.year * 12 + start.month - 1 + self.months
        year, month = divmod(index, 12)
        if not 1 <= year <= 9999:
            raise OverflowError("the year is out of range")
        first = start.replace(year=year, month=month + 1, day=1)
        last = (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        moved = first.replace(day=min(start.day, last.day))
        return moved + timedelta(microseconds=int(self.seconds * 1_000_000))


Value = Decimal | datetime | date | Duration | Iri | str

_NUMERIC = frozenset(
    XSD + name
    for name in (
        "integer", "decimal", "double", "float", "int", "long", "short", "byte",
        "nonNegativeInteger", "positiveInteger", "nonPositiveInteger", "negativeInteger",
        "unsignedInt", "unsignedLong", "unsignedShort", "unsignedByte",
    )
)  # fmt: skip
_DATATYPES = {
    XSD + "dateTime": Kind.INSTANT,
    XSD + "dateTimeStamp": Kind.INSTANT,
    XSD + "date": Kind.DATE,
    XSD + "duration": Kind.DURATION,
    XSD + "dayTimeDuration": Kind.DURATION,
    XSD + "yearMonthDuration": Kind.DURATION,
    XSD + "anyURI": Kind.IRI,
    XSD + "string": Kind.TEXT,
    **dict.fromkeys(_NUMERIC, Kind.NUMBER),
}


def seconds_of(microseconds: int) -> Decimal:
    """Microseconds as exact seconds."""
    return Decimal(microseconds).scaleb(-6)


def is_iri(text: str) -> bool:
    """Whether this is an absolute IRI, of at most `MAX_TEXT` characters."""
    return len(text) <= MAX_TEXT and _IRI.fullmatch(text) is not None


def kind_of(datatype: str) -> Kind | None:
    """The kind of value that an XML Schema datatype stands for; None if it is not known here."""
    return _DATATYPES.get(datatype)


def parse(text: str, kinds: Collection[Kind], path: str) -> Value:
    """Read a plain spelling as the one of `kinds` that it fits exactly.

    Raises `PolicyError` (ODRL_VALUE) that names the path and what was expected.
    """
    for kind in Kind:
        value = _PARSERS[kind](text) if kind in kinds else None
        if value is not None:
            return value
    expected = " or ".join(_EXPECTED[kind] for kind in Kind if kind in kinds)
    raise PolicyError(
        "ODRL_VALUE", f"{path} is {shorten(text)}, expected {expected}", "Correct that value"
    )


def spell(value: Value) -> tuple[str, str]:
    """The lexical form and the XML Schema datatype of a value (anyURI for an IRI)."""
    if isinstance(value, Decimal):
        whole = value == value.to_integral_value() and value.as_tuple().exponent == 0
        return str(value), XSD + ("integer" if whole else "decimal" if "E" not in str(value)
                                  else "double")  # fmt: skip
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z"), XSD + "dateTime"
    if isinstance(value, date):
        return value.isoformat(), XSD + "date"
    if isinstance(value, Duration):
        return _spell_duration(value), XSD + "duration"
    if isinstance(value, Iri):
        return value.value, XSD + "anyURI"
    return value, XSD + "string"


def shorten(text: str) -> str:
    """At most 60 characters of what was received, quoted: messages are shown and logged."""
    shown = repr(text[:50])[:57]
    return shown if len(text) <= 50 and len(repr(text)) <= 57 else shown + "..."


def equal(left: Value, right: Value) -> bool:
    """Equality within a type; an instant equals a date on that day (in UTC)."""
    if isinstance(left, datetime) and _is_day(right):
        return left.astimezone(UTC).date() == right
    if _is_day(left) and isinstance(right, datetime):
        return equal(right, left)
    return type(left) is type(right) and left == right


def order(left: Value, right: Value) -> int | None:
    """-1, 0 or 1; None if the two cannot be ordered (other types, or durations that overlap)."""
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return (left > right) - (left < right)
    if isinstance(left, datetime) and isinstance(right, datetime):
        return (left > right) - (left < right)
    if isinstance(left, Duration) and isinstance(right, Duration):
        return _order_durations(left, right)
    if isinstance(left, date) and isinstance(right, date):
        one, other = _day(left), _day(right)
        return (one > other) - (one < other)
    return None


def ordered(left: Value, operator: Operator, right: Value) -> bool | None:
    """Apply gt, gteq, lt or lteq; None if the two cannot be ordered."""
    sign = order(left, right)
    if sign is None:
        return None
    return {
        Operator.GT: sign > 0,
        Operator.GTEQ: sign >= 0,
        Operator.LT: sign < 0,
        Operator.LTEQ: sign <= 0,
        Operator.TERM_LTEQ: sign <= 0,
    }[operator]


def _is_day(value: Value) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def _day(value: date) -> date:
    return value.astimezone(UTC).date() if isinstance(value, datetime) else value


def _order_durations(left: Duration, right: Duration) -> int | None:
    if left.months == right.months:
        return (left.seconds > right.seconds) - (left.seconds < right.seconds)
    signs = set()
    for start in _REFERENCES:
        try:
            one, other = left.added_to(start), right.added_to(start)
        except OverflowError:
            return None
        signs.add((one > other) - (one < other))
    return signs.pop() if len(signs) == 1 else None


def _parse_number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) and text.isascii() else None


def _parse_instant(text: str) -> datetime | None:
    if not _INSTANT.fullmatch(text) or not text.isascii():
        return None
    start, moved = _MIDNIGHT.subn("T00:00", text)
    try:
        instant = datetime.fromisoformat(start) + timedelta(days=moved)
        instant.astimezone(UTC)  # an offset at the edge of the calendar has no UTC
    except (ValueError, OverflowError):
        return None
    return instant


def _parse_date(text: str) -> date | None:
    if not _DATE.fullmatch(text) or not text.isascii():
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _parse_duration(text: str) -> Duration | None:
    match = _DURATION.fullmatch(text)
    if match is None or not text.isascii():
        return None
    sign = -1 if match[1] else 1
    years, months, days, hours, minutes = (int(match[index] or 0) for index in range(2, 7))
    seconds = Decimal(match[7] or 0) + minutes * 60 + hours * 3600 + days * 86400
    return Duration(sign * (years * 12 + months), sign * seconds)


def _spell_duration(value: Duration) -> str:
    sign = "-" if value.months < 0 or value.seconds < 0 else ""
    seconds = abs(value.seconds)
    days, rest = divmod(seconds, 86400)
    months = f"{abs(value.months)}M" if value.months else ""
    day = f"{int(days)}D" if days else ""
    time = f"T{rest.normalize():f}S" if rest or not (months or day) else ""
    return f"{sign}P{months}{day}{time}"


def _parse_iri(text: str) -> Iri | None:
    return Iri(text) if is_iri(text) else None


def _parse_text(text: str) -> str | None:
    return text if 0 < len(text) <= MAX_TEXT else None


# In this order: text takes anything, so it comes last.
_PARSERS: dict[Kind, Callable[[str], Value | None]] = {
    Kind.NUMBER: _parse_number,
    Kind.INSTANT: _parse_instant,
    Kind.DATE: _parse_date,
    Kind.DURATION: _parse_duration,
    Kind.IRI: _parse_iri,
    Kind.TEXT: _parse_text,
}
_EXPECTED = {
    Kind.NUMBER: "a decimal number",
    Kind.INSTANT: "an instant with time zone (2030-01-31T00:00:00Z)",
    Kind.DATE: "a date (2030-01-31)",
    Kind.DURATION: "a duration (P6M)",
    Kind.IRI: "an absolute IRI",
    Kind.TEXT: f"text of 1 to {MAX_TEXT} characters",
}
