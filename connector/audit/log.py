"""The append-only log of one participant: durable, signed, one writer.

Durability, in the order in which an append becomes true:

1. The batch's frames and the signed checkpoint after them are one record at the end of `journal`,
   made durable by one fdatasync. That is the acknowledgement: *acknowledged means signed*, and no
   window exists in which an entry is durable but could be changed unseen.
2. Only then are frames and leaf hashes written to `entries` and `hashes`, without a sync.
3. Settling, now and then and on closing: fsync `entries` and `hashes`, then `checkpoint` (temporary
   file, fsync, rename, fsync of the directory), then the journal starts again from its beginning.

A crash before 1 leaves a torn record: its signature cannot verify, it was never acknowledged, it is
cut off. A crash after 1 loses at most what 2 wrote, and the journal repeats it. A crash within 3
leaves old records in the journal that the checkpoint covers already. Opening follows the same
checks as an auditor (`scan.py`), repeats step 2 from the journal, and settles; whatever contradicts
a signature is refused: a node must not go on writing on a rewritten log.

An fsync that fails is final: the kernel may drop the pages and report success the next time
(fsyncgate, Rebello et al., USENIX ATC 2020). A full disk is not: the files go back to where they
were, the entries are refused, and later ones are welcome.

A log's origin and key name are the participant's name (see `note.py`): one log per key.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

from connector.audit import journal as wal
from connector.audit.damage import (
    CHECKPOINT,
    ENTRIES,
    HASHES,
    JOURNAL,
    KEY,
    DamageError,
    read_entries,
)
from connector.audit.disk import Disk, DiskBrokenError, DiskFullError
from connector.audit.files import SETTLE_BYTES, Files
from connector.audit.merkle import Tree, leaf_hash
from connector.audit.note import Checkpoint, sign_checkpoint
from connector.audit.scan import Scan, State
from connector.audit.verify import read_key
from connector.errors import LocalError
from connector.identity.keys import Signer

# Who only asks whether a node runs holds the lock for a moment.
_LOCK_SECONDS = 1.0


class _Batch:
    """One call's entries on their way: `first` once they are durable, `error` if refused."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.leaves = [leaf_hash(entry) for entry in entries]
        self.frames = wal.frame(entries)
        self.first = 0
        self.error: LocalError | None = None
        self.answered = False


class Log:
    """A log that is open for writing. Thread-safe; close it, or use it as a context manager.

    `recovered` says in words what the last writer left behind and how it was put right.
    """

    def __init__(self, directory: Path, key: Signer, disk: Disk | None = None) -> None:
        """Open the log in `directory`, or create it.

        Raises `LocalError`: LOG_LOCKED (another writer), LOG_TAMPERED (names the entry),
        LOG_OTHER_KEY, LOG_UNWRITABLE, LOG_FULL, LOG_BROKEN.
        """
        self.recovered: tuple[str, ...] = ()
        self._directory = directory
        self._key = key
        self._files = Files(directory, disk or Disk())
        self._turn = threading.Condition()
        self._queue: deque[_Batch] = deque()
        self._committing = False
        self._refusal: Callable[[], LocalError] | None = None
        self._tree = Tree()
        self._note = b""
        self._lock = _lock(directory)
        try:
            self._start()
        except BaseException:
            self._release()
            raise

    @classmethod
    def open(cls, directory: Path, key: Signer) -> Self:
        """Open or create the log in `directory`."""
        return cls(directory, key)

    @property
    def origin(self) -> str:
        """The name that the log's checkpoints carry: the participant's."""
        return self._key.name

    def __len__(self) -> int:
        return self._tree.size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def root(self) -> bytes:
        """The Merkle root over every acknowledged entry."""
        return self._head()[0].root()

    def checkpoint(self) -> bytes:
        """The signed checkpoint over every acknowledged entry."""
        return self._head()[1]

    def read(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield (index, entry) from `start` on, of all that was acknowledged before the call.

        Raises `LocalError` (LOG_TAMPERED) at its end if what it read is not what was signed
        (threat: a budget folded from a log that was changed under a running node).
        """
        tree, _ = self._head()
        return self._read(start, tree.size, tree.root())

    def append(self, entries: Sequence[bytes]) -> range:
        """Append entries of 1 to 65,535 bytes, all or none; returns their indices once durable.

        Threads that append at once share one fdatasync. Raises `LocalError`: ENTRY_SIZE,
        LOG_FULL (nothing is lost; later appends are welcome), LOG_BROKEN, LOG_CLOSED (final).
        """
        if not entries:
            return range(len(self), len(self))
        batch = _Batch(_checked(entries))
        with self._turn:
            self._check_usable()
            self._queue.append(batch)
        while group := self._next_group(batch):
            self._lead(group)
        if batch.error is not None:
            raise batch.error
        return range(batch.first, batch.first + len(batch.leaves))

    def close(self) -> None:
        """Settle and let go of the log. Closing twice does nothing."""
        with self._turn:
            while self._committing:
                self._turn.wait()
            try:
                if self._refusal is None:
                    self._settle_at_last()
            finally:
                self._refusal = _closed
                self._release()

    def _settle_at_last(self) -> None:
        # The journal holds all that is not settled: where this fails, opening repeats it.
        with contextlib.suppress(DiskFullError, DiskBrokenError):
            if self._files.unsettled:
                self._files.settle(self._note)
            self._files.empty_journal()

    def _head(self) -> tuple[Tree, bytes]:
        with self._turn:
            self._check_usable()
            return self._tree, self._note

    def _check_usable(self) -> None:
        if self._refusal is not None:
            raise self._refusal()

    def _next_group(self, mine: _Batch) -> list[_Batch]:
        """Batches for the caller to write, or none once its own is answered.

        Whoever finds nobody writing leads: it takes what waits, in order, up to one record.
        """
        with self._turn:
            while self._committing and not mine.answered:
                self._turn.wait()
            if mine.answered:
                return []
            group: list[_Batch] = []
            size = 0
            while self._queue and size + len(self._queue[0].frames) <= wal.MAX_BATCH:
                group.append(self._queue.popleft())
                size += len(group[-1].frames)
            self._committing = True
            return group

    def _lead(self, group: list[_Batch]) -> None:
        refusal: Callable[[], LocalError] | None = _broken
        try:
            refusal = self._refusal or self._commit(group)
        finally:
            # An interrupt inside a write leaves the files unknown, like a failed one.
            with self._turn:
                if refusal is not None and refusal is not _full:
                    self._refusal = refusal
                for batch in group:
                    batch.error = refusal() if refusal else None
                    batch.answered = True
                self._committing = False
                self._turn.notify_all()

    def _commit(self, group: list[_Batch]) -> Callable[[], LocalError] | None:
        """Make a group durable, or say why it is refused."""
        tree = self._tree.copy()
        for batch in group:
            batch.first = tree.size
            for leaf in batch.leaves:
                tree.append(leaf)
        note = sign_checkpoint(Checkpoint(self.origin, tree.size, tree.root()), self._key)
        frames = b"".join(batch.frames for batch in group)
        try:
            if self._files.unsettled >= SETTLE_BYTES:
                self._files.settle(self._note)
            self._files.commit(frames, b"".join(leaf for b in group for leaf in b.leaves), note)
        except DiskFullError:
            return _full
        except DiskBrokenError:
            return _broken
        with self._turn:
            self._tree, self._note = tree, note
        return None

    def _start(self) -> None:
        try:
            if self._is_new():
                self._create()
            else:
                self._recover()
        except DamageError as error:
            raise LocalError(
                "LOG_TAMPERED",
                f"the audit log in {self._directory} is not as it was signed: {error}",
                "Keep the files as evidence, and restore the log from a backup",
            ) from error
        except DiskFullError as error:
            raise _full() from error
        except DiskBrokenError as error:
            raise _broken() from error

    def _is_new(self) -> bool:
        # Also one whose creation was cut short: no checkpoint yet, and no entry anywhere.
        if (self._directory / CHECKPOINT).exists():
            return False
        paths = [self._directory / name for name in (ENTRIES, HASHES)]
        if any(path.exists() and path.stat().st_size for path in paths):
            return False
        journal = self._directory / JOURNAL
        if not journal.exists():
            return True
        with journal.open("rb") as file:
            return wal.ends_cleanly(file.read(len(wal.END)), 0)

    def _create(self) -> None:
        self._files.open()
        self._files.reserve_journal()
        self._note = sign_checkpoint(Checkpoint(self.origin, 0, self._tree.root()), self._key)
        self._files.place(KEY, f"{self._key.verify_key.vkey}\n".encode())
        self._files.place(CHECKPOINT, self._note)
        self._files.sync_parent()

    def _recover(self) -> None:
        named = read_key(self._directory)
        if named is not None and named != self._key.verify_key:
            raise LocalError(
                "LOG_OTHER_KEY",
                f"the audit log in {self._directory} belongs to another key of {named.name}",
                "Use that key, or start a new data directory",
            )
        state = Scan(self._directory, self._key.verify_key).run()
        self._tree, self._note = state.tree, state.note
        self._files.open()
        if named is None:
            self._files.place(KEY, f"{self._key.verify_key.vkey}\n".encode())
        self._files.restore(state)
        self.recovered = _told(state)

    def _read(self, start: int, size: int, root: bytes) -> Iterator[tuple[int, bytes]]:
        tree = Tree()
        with contextlib.suppress(DamageError):
            for index, entry in islice(read_entries(self._directory), size):
                tree.append(leaf_hash(entry))
                if index >= start:
                    yield index, entry
        if tree.root() != root:
            raise LocalError(
                "LOG_TAMPERED",
                f"the audit log in {self._directory} was changed while it was open",
                f"Stop, and run `commensal audit verify {self._directory}` to see which entry",
            )

    def _release(self) -> None:
        self._files.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _checked(entries: Sequence[bytes]) -> Sequence[bytes]:
    if not all(0 < len(entry) <= wal.MAX_ENTRY for entry in entries):
        raise LocalError(
            "ENTRY_SIZE",
            f"a log entry must have 1 to {wal.MAX_ENTRY} bytes",
            "Log a large thing by its digest",
        )
    if sum(len(entry) + 2 for entry in entries) > wal.MAX_BATCH:
        raise LocalError(
            "ENTRY_SIZE", f"one append exceeds {wal.MAX_BATCH} bytes", "Append fewer at a time"
        )
    return entries


def _lock(directory: Path) -> int:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LocalError(
            "LOG_UNWRITABLE",
            f"cannot write an audit log in {directory} ({error.strerror})",
            "Check the path and its owner",
        ) from error
    deadline = time.monotonic() + _LOCK_SECONDS
    while not _is_locked(lock):
        if time.monotonic() >= deadline:
            os.close(lock)
            raise LocalError(
                "LOG_LOCKED",
                f"another process is writing the audit log in {directory}",
                "Stop it first: a log has one writer",
            )
        time.sleep(_LOCK_SECONDS / 50)
    return lock


def _is_locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _told(state: State) -> tuple[str, ...]:
    told = []
    if state.torn:
        told.append("cut off an append that was never acknowledged")
    if state.pending:
        told.append(f"entries settled from the journal, as signed: {len(state.pending)}")
    return tuple(told)


def _full() -> LocalError:
    return LocalError(
        "LOG_FULL", "the disk of the audit log is full; nothing was lost", "Make space, try again"
    )


def _broken() -> LocalError:
    return LocalError(
        "LOG_BROKEN",
        "the disk of the audit log failed; nothing more is written",
        "Check the disk, then restart: the log recovers all that was acknowledged",
    )


def _closed() -> LocalError:
    return LocalError("LOG_CLOSED", "the audit log is closed", "Open it again")
