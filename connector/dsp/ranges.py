"""One range of bytes of a content that never changes (RFC 9110, section 14)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

# As many digits as any file has.
_ONE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.ASCII | re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes from `first` on; `whole` if nobody asked for less."""

    first: int
    size: int
    whole: bool = False


def asked(headers: Mapping[str, str], size: int, etag: str) -> Part | None:
    """What a GET asks for of `size` bytes; None if there is nothing there (416).

    Several ranges, other units and what cannot be read are no range (14.2 allows that: the answer
    is the whole). So is a range of another content than the one with `etag` (If-Range, 13.1.5).
    """
    whole = Part(0, size, whole=True)
    found = _ONE.fullmatch(headers.get("range", ""))
    if found is None or headers.get("if-range", etag) != etag:
        return whole
    start, end, last = found.groups()
    if last is not None:
        length = min(int(last), size)
        return Part(size - length, length) if length else None
    first = int(start)
    final = min(int(end), size - 1) if end else size - 1
    if end and int(end) < first:
        return whole  # not a range at all
    return Part(first, final - first + 1) if first < size else None


def content_range(part: Part, size: int) -> str:
    """The Content-Range of a 206."""
    return f"bytes {part.first}-{part.first + part.size - 1}/{size}"


def read_content_range(text: str) -> tuple[Part, int] | None:
    """The part and the size of the whole that a 206 claims; None for what says nothing sensible."""
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None:
        return None
    first, last, size = map(int, found.groups())
    return (Part(first, last - first + 1), size) if first <= last < size else None
