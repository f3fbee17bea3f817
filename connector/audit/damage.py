"""What can be wrong with a log, and which kind of wrong it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from connector.audit.journal import FrameError, read_frames
from connector.audit.merkle import HASH_SIZE, leaf_hash
from connector.files import NotRegularError, open_regular

ENTRIES, HASHES, CHECKPOINT, JOURNAL, KEY = "entries", "hashes", "checkpoint", "journal", "key.pub"


_CHANGED = "is changed: it does not have its recorded hash"


class Damage(StrEnum):
    """What is wrong with the first entry that is."""

    CHANGED = "changed"
    MISSING = "missing"
    CUT_OFF = "cut off"
    INSERTED = "inserted"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    UNSIGNED = "added after the last signed checkpoint"
    REWRITTEN = "rewritten"
    FORGED = "not signed by the log's key"
    MEANING = "breaks a rule of the log"


@dataclass(frozen=True)
class Finding:
    """The first damage: its kind, the file, the entry where one can be named, in one sentence."""

    damage: Damage
    file: str
    entry: int | None
    message: str


class DamageError(Exception):
    """A pass over a log met damage and ended."""

    def __init__(self, damage: Damage, file: str, entry: int | None, message: str) -> None:
        super().__init__(message)
        self.finding = Finding(damage, file, entry, message)


def open_file(directory: Path, name: str) -> BinaryIO:
    """Open a file of the log. Raises `DamageError` where it is gone, or something else."""
    try:
        return open_regular(directory / name)
    except FileNotFoundError as error:
        message = f"{name} is missing, from entry 0 on"
        raise DamageError(Damage.MISSING, name, 0, message) from error
    except (NotRegularError, IsADirectoryError) as error:
        message = f"{name} is not a regular file"
        raise DamageError(Damage.CHANGED, name, None, message) from error


def read_entries(directory: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (index, entry) of the file `entries`, unverified, as far as whole entries go."""
    for index, (_, entry) in enumerate(frames_from(directory, 0)):
        yield index, entry


def frames_from(directory: Path, start: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset after the entry, entry) of `entries` from the byte `start` on, likewise."""
    with open_file(directory, ENTRIES) as file:
        file.seek(start)
        try:
            for end, entry in read_frames(file):
                yield start + end, entry
        except FrameError:
            return


def classify(directory: Path, index: int, size: int, *, broken: bool) -> DamageError:
    """The damage at entry `index`, told by `hashes` that are known to be the signed ones.

    `broken`: nothing after the entries that were found can be framed.
    """
    leaf = next(islice(_leaves(directory), index, None), None)
    if leaf is None and broken:
        return _at(index, Damage.CUT_OFF, "is cut off, or its length was changed")
    if leaf is None:
        others = "" if index == size - 1 else f", and so are all after it up to entry {size - 1}"
        return _at(index, Damage.MISSING, f"is missing{others}")
    source = _recorded_at(directory, size, leaf)
    recorded = _recorded(directory, index)
    rest = islice(_leaves(directory), index + 1, None)
    if source is None and next(rest, None) == _recorded(directory, index + 1):
        return _at(index, Damage.CHANGED, _CHANGED)
    rest = islice(_leaves(directory), index + 1, None)
    displaced = any(other == recorded for other in rest)
    return _at(index, *_moved(index, source, displaced=displaced))


def _moved(index: int, source: int | None, *, displaced: bool) -> tuple[Damage, str]:
    # `source`: where the entry that stands here belongs; `displaced`: the right one comes later.
    if source is None:
        if displaced:
            return Damage.INSERTED, "was inserted; the one that belongs there comes later"
        return Damage.CHANGED, _CHANGED
    if source < index:
        return Damage.DUPLICATED, f"is duplicated: a copy of entry {source} stands there"
    if displaced:
        return Damage.REORDERED, f"is reordered: entry {source} stands there"
    return Damage.MISSING, f"is missing: entry {source} stands there"


def _at(index: int, damage: Damage, what: str) -> DamageError:
    return DamageError(damage, ENTRIES, index, f"entry {index} {what}")


def _recorded(directory: Path, index: int) -> bytes:
    with open_file(directory, HASHES) as hashes:
        hashes.seek(index * HASH_SIZE)
        return hashes.read(HASH_SIZE)


def _recorded_at(directory: Path, size: int, leaf: bytes) -> int | None:
    with open_file(directory, HASHES) as hashes:
        return next((at for at in range(size) if hashes.read(HASH_SIZE) == leaf), None)


def _leaves(directory: Path) -> Iterator[bytes]:
    for _, entry in read_entries(directory):
        yield leaf_hash(entry)
