"""The few file operations that a log's durability rests on; tests put a breaking disk in place."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFullError(Exception):
    """No space: what was written so far can be taken back."""


class DiskBrokenError(Exception):
    """A write or a sync failed; what the disk holds is unknown until the log is opened again."""


class Disk:
    """Files by descriptor. Operations raise `DiskBrokenError`, or `DiskFullError` to go on from."""

    def open(self, path: Path) -> int:
        """A descriptor to read and write `path`, created for its owner only if it is not there."""
        with _failing():
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def write(self, file: int, offset: int, content: bytes) -> None:
        """Write all of `content` at `offset`."""
        remaining = memoryview(content)
        with _failing():
            while remaining:
                written = os.pwrite(file, remaining, offset)
                remaining, offset = remaining[written:], offset + written

    def truncate(self, file: int, length: int) -> None:
        """Cut the file to `length` bytes."""
        with _failing():
            os.ftruncate(file, length)

    def sync(self, file: int) -> None:
        """Return once content and length are durable. A failure is final, whatever its reason."""
        with _failing(final=True):
            os.fdatasync(file)

    def replace(self, source: Path, target: Path) -> None:
        """Give `source` the name of `target`, atomically."""
        with _failing(final=True):
            source.replace(target)

    def sync_directory(self, directory: Path) -> None:
        """Return once the names in `directory` are durable."""
        with _failing(final=True):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def close(self, file: int) -> None:
        """Let go of a descriptor."""
        with _failing(final=True):
            os.close(file)


@contextlib.contextmanager
def _failing(*, final: bool = False) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE and not final:
            raise DiskFullError from error
        raise DiskBrokenError(error.strerror) from error
