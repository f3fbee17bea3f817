"""The list of the people who have opted out: a text file, one identifier per line, in UTF-8."""

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from connector.errors import LocalError
from node.data.identifiers import identifier

MAX_BYTES = 1 << 28
# A table's line would be taken for one long identifier, which nobody has.
_OF_A_TABLE = frozenset('",;\t')


def read(path: Path, file: BinaryIO) -> frozenset[str]:
    """The identifiers, in the form of `node.data.identifiers`; blank lines are skipped.

    Lines end with LF or CRLF, nothing else. Raises `LocalError` (OPT_OUTS_UNREADABLE): a list that
    cannot be read is not an empty list, and a line that cannot be understood opts nobody out.
    """
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _unreadable(path, f"has more than {MAX_BYTES} bytes")
    text = None
    with suppress(UnicodeDecodeError):  # which holds the file's bytes
        text = content.decode("utf-8-sig")
    if text is None:
        raise _unreadable(path, "is not UTF-8 text")
    lines = enumerate(text.split("\n"), start=1)
    return frozenset(found for number, line in lines if (found := _person(path, number, line)))


def _person(path: Path, number: int, line: str) -> str | None:
    line = line.removesuffix("\r")
    found = None
    with suppress(ValueError):
        found = identifier(line)
    if found is not None and (found.strip("'") != found or not _OF_A_TABLE.isdisjoint(line)):
        found = None
    if found is None:
        raise _unreadable(path, f"has no plain identifier in line {number}")
    return found


def _unreadable(path: Path, problem: str) -> LocalError:
    return LocalError(
        "OPT_OUTS_UNREADABLE",
        f"the list of opt-outs {path} {problem}",
        "Save it as UTF-8 text with one identifier per line: no heading, quotes, further fields or"
        " numbers in scientific notation",
    )
