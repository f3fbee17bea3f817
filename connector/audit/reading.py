"""A log's entries for a reader without its key: unverified, but all that it says it holds.

Threat: a log that is cut off or destroyed passes for a short one, in which nothing is wrong.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from connector.audit import journal as wal
from connector.audit.damage import (
    CHECKPOINT,
    ENTRIES,
    JOURNAL,
    Damage,
    DamageError,
    open_file,
)
from connector.audit.note import MAX_BYTES, Checkpoint
from connector.errors import LocalError, RemoteError


def read_log(directory: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (index, entry) of a log, live or closed: the settled ones, then the journal's.

    Raises `LocalError` (LOG_DAMAGED), at its end where entries are missing or bytes left over.
    """
    try:
        yield from _entries(directory)
    except DamageError as error:
        raise LocalError(
            "LOG_DAMAGED",
            f"the log in {directory} cannot be read as a whole: {error}",
            f"Run `commensal audit verify {directory}` to see what is wrong",
        ) from error


def _entries(directory: Path) -> Iterator[tuple[int, bytes]]:
    with open_file(directory, ENTRIES) as file:
        # Length, journal, checkpoint: as in `scan.py`, what is read later covers what lay there.
        length = os.fstat(file.fileno()).st_size
        journal = _read_journal(directory)
        settled = _read_size(directory)
        pending = _pending(journal, settled)
        found = end = 0
        with suppress(wal.FrameError):
            for _, entry in islice(wal.read_frames(file), settled):
                yield found, entry
                found, end = found + 1, end + 2 + len(entry)
    if found < settled:
        message = f"{CHECKPOINT} covers {settled} entries, and entry {found} is {Damage.CUT_OFF}"
        raise DamageError(Damage.CUT_OFF, ENTRIES, found, message)
    yield from enumerate(pending, settled)
    total, end = settled + len(pending), end + len(wal.frame(pending))
    if length > end:
        message = f"{ENTRIES} goes on at entry {total}, {Damage.UNSIGNED}"
        raise DamageError(Damage.UNSIGNED, ENTRIES, total, message)


def _read_journal(directory: Path) -> bytes:
    if not (directory / JOURNAL).exists():  # as `scan.py` takes it
        return b""
    with open_file(directory, JOURNAL) as file:
        return file.read(wal.MAX_JOURNAL)


def _read_size(directory: Path) -> int:
    with open_file(directory, CHECKPOINT) as file:
        size = _size(file.read(MAX_BYTES))
    if size is None:
        raise DamageError(Damage.CHANGED, CHECKPOINT, None, f"{CHECKPOINT} does not hold one")
    return size


def _pending(journal: bytes, settled: int) -> tuple[bytes, ...]:
    """The entries that `journal` holds after the `settled` ones."""
    entries: list[bytes] = []
    base = size = settled
    for record in wal.read_records(journal):
        after = _size(record.note)
        if after is None or not record.entries:
            break  # an append that was never acknowledged
        before = after - len(record.entries)
        if not entries and 0 <= before <= settled:
            base = size = before
        if before != size:
            break
        entries.extend(record.entries)
        size = after
    return tuple(entries[settled - base :])


def _size(note: bytes) -> int | None:
    """The number of entries that a checkpoint says it covers; its signature is not checked."""
    text, _, _ = note.decode(errors="replace").rpartition("\n\n")
    try:
        return Checkpoint.parse(f"{text}\n").size
    except RemoteError:
        return None
