"""One pass over a log directory: what an auditor does, and what a writer does before it goes on.

Reads only, in bounded memory, and always ends. What vouches for what:

- `checkpoint`: signed, covers the settled entries. It vouches for `entries`; `hashes` (a leaf
  hash of 32 bytes per entry) names the entry that a wrong root alone cannot name.
- `journal`: the batches since, each with its own signed checkpoint. The writer acknowledges a
  batch once its record is durable, and only then writes its entries to `entries`. So an honest
  log never holds an entry that is not signed, whenever it stopped: anything past the last signed
  checkpoint was added by somebody else. An honest crash leaves two other traces, and in neither is
  an acknowledged entry lost: an unfinished record at the journal's end, and a tail of `entries`
  or `hashes` that is short or has zeros in it, which the journal repeats.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from connector.audit import journal as wal
from connector.audit.damage import (
    CHECKPOINT,
    ENTRIES,
    HASHES,
    JOURNAL,
    Damage,
    DamageError,
    classify,
    open_file,
)
from connector.audit.merkle import HASH_SIZE, Tree, leaf_hash, root_of
from connector.audit.note import MAX_BYTES, Checkpoint, open_checkpoint
from connector.errors import RemoteError
from connector.identity.keys import VerifyKey
from policies.errors import Error

OnEntry = Callable[[int, bytes], None]


@dataclass(frozen=True)
class State:
    """A sound log: the tree over every signed entry, its newest note, and how its files lag.

    `settled` entries lie under the checkpoint file, in the first `settled_bytes` of `entries`;
    `pending` are signed in the journal only; `lag` bytes of them and their hashes have not reached
    their files. `torn`: the journal ends in an append that was never acknowledged.
    """

    tree: Tree
    note: bytes
    settled: int
    settled_bytes: int
    pending: tuple[bytes, ...]
    torn: bool
    lag: int


class Scan:
    """A pass over the log in `directory`; `passed` grows by what was found in order."""

    def __init__(self, directory: Path, key: VerifyKey, on_entry: OnEntry | None = None) -> None:
        self.directory = directory
        self.passed: list[str] = []
        self.checkpoint = Checkpoint(key.name, 0, b"")
        self._key = key
        self._on_entry = on_entry
        self._meaning: DamageError | None = None
        self._suspect: int | None = None
        self._tree = Tree()
        self._offset = 0

    def run(self) -> State:
        """Check everything. Raises `DamageError` for the first entry that is wrong."""
        with (
            open_file(self.directory, ENTRIES) as entries,
            open_file(self.directory, HASHES) as hashes,
        ):
            # Lengths first, then journal, then checkpoint: a live writer signs before it writes,
            # so what is read later covers all that lay in the files earlier.
            lengths = [os.fstat(file.fileno()).st_size for file in (entries, hashes)]
            journal = self._read_journal()
            note = self._read_checkpoint()
            base = _base(journal, self._key, self.checkpoint.size)
            frames = wal.read_frames(entries)
            broken = self._stream(frames, hashes, base)
            middle = self._tree.copy()
            broken = broken or self._stream(frames, hashes, self.checkpoint.size - base)
            self._judge_settled(broken=broken)
            replayed = replay(middle, journal, self._key, self.checkpoint.size)
            pending = replayed.entries[self.checkpoint.size - base :]
            lag = self._judge_tails((entries, hashes), lengths, replayed, pending)
        self._judge_meaning(pending)
        ahead = bool(pending)
        return State(
            tree=replayed.tree if ahead else self._tree,
            note=replayed.note if ahead else note,
            settled=self.checkpoint.size,
            settled_bytes=self._offset,
            pending=pending,
            torn=replayed.torn,
            lag=lag,
        )

    def _read_journal(self) -> bytes:
        try:
            with (self.directory / JOURNAL).open("rb") as file:
                journal = file.read(wal.MAX_JOURNAL + 1)
        except FileNotFoundError:
            return b""
        if len(journal) > wal.MAX_JOURNAL:
            message = f"{JOURNAL} is longer than any that a writer leaves"
            raise DamageError(Damage.CHANGED, JOURNAL, None, message)
        return journal

    def _read_checkpoint(self) -> bytes:
        try:
            with (self.directory / CHECKPOINT).open("rb") as file:
                note = file.read(MAX_BYTES + 1)
            self.checkpoint = open_checkpoint(note, self._key)
        except FileNotFoundError as error:
            message = f"{CHECKPOINT} is missing: nothing vouches for the entries"
            raise DamageError(Damage.MISSING, CHECKPOINT, None, message) from error
        except RemoteError as error:
            message = f"{CHECKPOINT} is {Damage.FORGED}: {error.message}"
            raise DamageError(Damage.FORGED, CHECKPOINT, None, message) from error
        self.passed.append(f"{CHECKPOINT} carries the signature of {self._key.name}")
        return note

    def _stream(self, frames: Iterator[tuple[int, bytes]], hashes: BinaryIO, count: int) -> bool:
        """Take `count` more entries, fewer at the end; True if the rest cannot be framed."""
        append, read = self._tree.append, hashes.read
        try:
            for self._offset, entry in islice(frames, count):
                leaf = leaf_hash(entry)
                if leaf != read(HASH_SIZE) and self._suspect is None:
                    self._suspect = self._tree.size
                if self._on_entry and self._suspect is None:
                    self._consider(self._tree.size, entry)
                append(leaf)
        except wal.FrameError:
            return True
        return False

    def _consider(self, index: int, entry: bytes) -> None:
        if self._on_entry is None or self._meaning is not None:
            return
        try:
            self._on_entry(index, entry)
        except Error as error:
            message = f"entry {index} {Damage.MEANING}: {error.message}"
            self._meaning = DamageError(Damage.MEANING, ENTRIES, index, message)

    def _judge_settled(self, *, broken: bool) -> None:
        size, found = self.checkpoint.size, self._tree.size
        if found < size or self._tree.root() != self.checkpoint.root:
            raise self._settled_damage(broken=broken)
        self.passed.append(f"{size} entries hash to the signed root")
        if self._suspect is not None:
            message = f"the recorded hash of entry {self._suspect} in {HASHES} is wrong"
            raise DamageError(Damage.CHANGED, HASHES, self._suspect, message)
        self.passed.append(f"{size} recorded hashes agree with the entries")

    def _settled_damage(self, *, broken: bool) -> DamageError:
        size, found = self.checkpoint.size, self._tree.size
        first = found if self._suspect is None else self._suspect
        with open_file(self.directory, HASHES) as hashes:
            recorded_root = root_of(hashes.read(HASH_SIZE) for _ in range(size))
        if recorded_root == self.checkpoint.root:
            return classify(self.directory, first, size, broken=broken)
        if found < size:
            damage = Damage.CUT_OFF if broken else Damage.MISSING
            message = f"entry {first} is {damage}; {CHECKPOINT} covers {size} entries"
            return DamageError(damage, ENTRIES, first, message)
        if self._suspect is not None:
            message = f"entry {first} is {Damage.CHANGED}, and {HASHES} was changed as well"
            return DamageError(Damage.CHANGED, ENTRIES, first, message)
        message = (
            f"{CHECKPOINT} is genuine but not of these {size} entries: entries and hashes were "
            f"{Damage.REWRITTEN} together, or {CHECKPOINT} was replaced"
        )
        return DamageError(Damage.REWRITTEN, ENTRIES, None, message)

    def _judge_tails(
        self,
        files: tuple[BinaryIO, BinaryIO],
        lengths: Sequence[int],
        replayed: "Replayed",
        pending: tuple[bytes, ...],
    ) -> int:
        settled = self.checkpoint.size
        frames = [wal.frame([entry]) for entry in pending]
        tails = [
            _Tail(ENTRIES, files[0], self._offset, lengths[0], frames),
            _Tail(
                HASHES,
                files[1],
                settled * HASH_SIZE,
                lengths[1],
                [leaf_hash(entry) for entry in pending],
            ),
        ]
        total = settled + len(pending)
        for tail in tails:
            tail.check_end(total, torn=replayed.torn)
        lag = sum(tail.lag(settled) for tail in tails)
        if pending:
            self.passed.append(f"{len(pending)} entries after it are signed in {JOURNAL}")
        return lag

    def _judge_meaning(self, pending: tuple[bytes, ...]) -> None:
        for index, entry in enumerate(pending, self.checkpoint.size):
            self._consider(index, entry)
        if self._meaning is not None:
            raise self._meaning
        if self._on_entry is not None:
            self.passed.append("every entry keeps the rules of the log")


@dataclass(frozen=True)
class _Tail:
    """What follows the settled part of a file, against the parts that the journal owes it."""

    name: str
    file: BinaryIO
    start: int
    length: int
    owed: list[bytes]

    def check_end(self, total: int, *, torn: bool) -> None:
        if self.length <= self.start + sum(map(len, self.owed)):
            return
        message = f"{self.name} goes on at entry {total}, {Damage.UNSIGNED}"
        if torn:
            message += f"; the record of that entry in {JOURNAL} cannot be verified"
        raise DamageError(Damage.UNSIGNED, self.name, total, message)

    def lag(self, first: int) -> int:
        """Bytes that are not there yet; a power cut leaves gaps as zeros."""
        self.file.seek(self.start)
        lag = 0
        for index, part in enumerate(self.owed, first):
            found = self.file.read(len(part)).ljust(len(part), b"\0")
            if found == part:
                continue
            if any(byte not in (0, owed) for byte, owed in zip(found, part, strict=True)):
                message = f"entry {index} is {Damage.CHANGED} in {self.name}, not as in {JOURNAL}"
                raise DamageError(Damage.CHANGED, self.name, index, message)
            lag += sum(byte != owed for byte, owed in zip(found, part, strict=True))
        return lag


@dataclass(frozen=True)
class Replayed:
    """What a journal adds to a tree: entries vouched for, the newest note, an unfinished end."""

    tree: Tree
    entries: tuple[bytes, ...]
    note: bytes
    torn: bool


def replay(tree: Tree, journal: bytes, key: VerifyKey, settled: int) -> Replayed:
    """Follow the journal as far as its signatures carry; old records may lie beyond.

    Raises `DamageError` if a signed record follows one that does not verify: records become
    durable in order, so a crash can only tear the last.
    """
    entries: list[bytes] = []
    note, end = b"", 0
    records = wal.read_records(journal)
    for record in records:
        grown = tree.copy()
        for entry in record.entries:
            grown.append(leaf_hash(entry))
        signed = _signed(record.note, key)
        if signed is None or (signed.size, signed.root) != (grown.size, grown.root()):
            break
        tree, note, end = grown, record.note, record.end
        entries.extend(record.entries)
    for record in records:
        later = _signed(record.note, key)
        if later is not None and later.size > max(tree.size, settled):
            message = f"entry {tree.size} is {Damage.CHANGED} in {JOURNAL}"
            raise DamageError(Damage.CHANGED, JOURNAL, tree.size, message)
    return Replayed(tree, tuple(entries), note, not wal.ends_cleanly(journal, end))


def _base(journal: bytes, key: VerifyKey, settled: int) -> int:
    # A crash between settling and emptying the journal leaves records that are settled already.
    first = next(wal.read_records(journal), None)
    signed = _signed(first.note, key) if first else None
    if first is None or signed is None or not first.entries:
        return settled
    base = signed.size - len(first.entries)
    return base if 0 <= base <= settled else settled


def _signed(note: bytes, key: VerifyKey) -> Checkpoint | None:
    try:
        return open_checkpoint(note, key)
    except RemoteError:
        return None
