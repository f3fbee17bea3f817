"""The files of a log, and the order in which they become durable (argued in `log.py`)."""

import contextlib
from pathlib import Path

from connector.audit import journal as wal
from connector.audit.damage import CHECKPOINT, ENTRIES, HASHES, JOURNAL
from connector.audit.disk import Disk, DiskBrokenError, DiskFullError
from connector.audit.merkle import HASH_SIZE, leaf_hash
from connector.audit.scan import State

# The journal is settled beyond this; with one more batch it stays far below wal.MAX_JOURNAL.
SETTLE_BYTES = 1 << 20
_RESERVED_BYTES = SETTLE_BYTES + (1 << 16)


class Files:
    """`entries`, `hashes` and `journal` open for writing at their ends.

    Every operation raises what `Disk` raises.
    """

    def __init__(self, directory: Path, disk: Disk) -> None:
        self._directory = directory
        self._disk = disk
        self._open: dict[str, int] = {}
        self._ends = {ENTRIES: 0, HASHES: 0, JOURNAL: 0}

    @property
    def unsettled(self) -> int:
        """Bytes in the journal."""
        return self._ends[JOURNAL]

    def open(self) -> None:
        """Open the three files, creating those that are not there."""
        for name in self._ends:
            self._open[name] = self._disk.open(self._directory / name)

    def restore(self, state: State) -> None:
        """Take up where `state` found the files; repeat the journal into them and settle."""
        self._ends = {
            ENTRIES: state.settled_bytes,
            HASHES: state.settled * HASH_SIZE,
            JOURNAL: 0,
        }
        if state.pending:
            hashes = b"".join(leaf_hash(entry) for entry in state.pending)
            self._derive(wal.frame(state.pending), hashes)
            self.settle(state.note)
        self.reserve_journal()

    def reserve_journal(self) -> None:
        """Fill the settled journal with zeros, so that appends overwrite and need no new blocks."""
        self._disk.write(self._open[JOURNAL], 0, bytes(_RESERVED_BYTES))
        self._disk.sync(self._open[JOURNAL])

    def empty_journal(self) -> None:
        """Leave no settled records behind when the log is closed."""
        self._disk.truncate(self._open[JOURNAL], 0)

    def commit(self, frames: bytes, hashes: bytes, note: bytes) -> None:
        """Make one batch durable, or leave everything as it was (`DiskFullError`)."""
        before = dict(self._ends)
        try:
            record = wal.encode_record(frames, note)
            self._write(JOURNAL, record + wal.END)
            self._ends[JOURNAL] -= len(wal.END)
            self._disk.sync(self._open[JOURNAL])
            self._derive(frames, hashes)
        except DiskFullError:
            # Journal last: until then it covers what the other files may hold. The signature
            # that is taken back with it was never shown to anybody.
            for name in (ENTRIES, HASHES):
                self._disk.truncate(self._open[name], before[name])
                self._disk.sync(self._open[name])
            self._disk.write(self._open[JOURNAL], before[JOURNAL], wal.END)
            self._disk.sync(self._open[JOURNAL])
            self._ends = before
            raise

    def settle(self, note: bytes) -> None:
        """Let the checkpoint cover all of `entries`, and begin the journal again."""
        for name in (ENTRIES, HASHES):
            self._disk.sync(self._open[name])
        self.place(CHECKPOINT, note)
        self._disk.write(self._open[JOURNAL], 0, wal.END)
        self._ends[JOURNAL] = 0

    def place(self, name: str, content: bytes) -> None:
        """Put a whole small file in place, or leave the old one."""
        temporary = self._directory / f"{name}.tmp"
        file = self._disk.open(temporary)
        try:
            self._disk.truncate(file, 0)
            self._disk.write(file, 0, content)
            self._disk.sync(file)
        finally:
            self._disk.close(file)
        self._disk.replace(temporary, self._directory / name)
        self._disk.sync_directory(self._directory)

    def sync_parent(self) -> None:
        """Make the directory itself durable."""
        self._disk.sync_directory(self._directory.parent)

    def close(self) -> None:
        """Let go of the files."""
        for file in self._open.values():
            with contextlib.suppress(DiskBrokenError):
                self._disk.close(file)
        self._open.clear()

    def _derive(self, frames: bytes, hashes: bytes) -> None:
        self._write(ENTRIES, frames)
        self._write(HASHES, hashes)

    def _write(self, name: str, content: bytes) -> None:
        self._disk.write(self._open[name], self._ends[name], content)
        self._ends[name] += len(content)
