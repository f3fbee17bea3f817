"""Disks that fail in chosen ways, for the tests of what must survive it."""

import random
from pathlib import Path

from connector.audit.disk import Disk


class KilledError(BaseException):
    """The process is gone; nothing in it may catch this and go on."""


class CountingDisk(Disk):
    """Counts operations, syncs nothing for real (the tests' machine does not lose power)."""

    def __init__(self):
        self.operations = 0
        self.dead = False

    def _step(self):
        if self.dead:
            raise KilledError
        self.operations += 1

    def open(self, path):
        self._step()
        return super().open(path)

    def write(self, file, offset, content):
        self._step()
        super().write(file, offset, content)

    def truncate(self, file, length):
        self._step()
        super().truncate(file, length)

    def sync(self, file):
        del file
        self._step()

    def replace(self, source, target):
        self._step()
        super().replace(source, target)

    def sync_directory(self, directory):
        del directory
        self._step()


class KillingDisk(CountingDisk):
    """Kills the process at operation `at`; a write gets as far as `torn` (0 to 1) of its bytes."""

    def __init__(self, at, torn):
        super().__init__()
        self._at = at
        self._torn = torn

    def _step(self):
        super()._step()
        if self.operations == self._at:
            self.dead = True
            raise KilledError

    def write(self, file, offset, content):
        try:
            super().write(file, offset, content)
        except KilledError:
            if self.operations == self._at:
                Disk.write(self, file, offset, content[: int(len(content) * self._torn)])
            raise


class PowerCutDisk(KillingDisk):
    """Knows what is durable; `outage` builds a directory that a power cut could have left.

    What was not synced survives by sector or not, in any order; names since the last sync of the
    directory are old or new.
    """

    SECTOR = 64

    def __init__(self, directory, at):
        super().__init__(at, torn=1)
        self._directory = directory
        self._durable = {}
        self._names = {}

    def sync(self, file):
        super().sync(file)
        path = Path(f"/proc/self/fd/{file}").resolve()
        self._durable[path.stat().st_ino] = path.read_bytes()

    def sync_directory(self, directory):
        super().sync_directory(directory)
        if directory == self._directory:
            self._names = self._listed()

    def _listed(self):
        return {path.name: path.stat().st_ino for path in self._directory.iterdir()}

    def outage(self, target, seed):
        chance = random.Random(seed)  # noqa: S311 - a repeatable accident, no secret
        current = {path.stat().st_ino: path.read_bytes() for path in self._directory.iterdir()}
        listed = self._listed()
        target.mkdir()
        for name in sorted({*listed, *self._names} - {"lock"}):
            inode = chance.choice([listed.get(name), self._names.get(name)])
            if inode is not None:
                kept = self._durable.get(inode, b"")
                content = self._survive(chance, kept, current.get(inode, kept))
                (target / name).write_bytes(content)

    def _survive(self, chance, durable, current):
        length = chance.choice([len(durable), len(current)])
        content = bytearray(durable[:length].ljust(length, b"\0"))
        for start in range(0, length, self.SECTOR):
            if chance.random() < 0.5:
                sector = current[start : start + self.SECTOR][: length - start]
                content[start : start + len(sector)] = sector
        return bytes(content)
