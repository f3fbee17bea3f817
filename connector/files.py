"""Files that are there whole or not at all, and files that can be read to their end."""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content`, so that neither a reader nor a crash ever sees half of it.

    Temporary file in the same directory, fsync, rename, fsync of the directory.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Return once the names in `directory` are durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class NotRegularError(OSError):
    """There is something at the path, and it is not a regular file."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading: a FIFO could block for ever, a device never end.

    Raises `NotRegularError`, `IsADirectoryError` and what `open` raises.
    """
    return open(path, "rb", opener=_regular)


def _regular(path: str, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket, or a device without a driver
            raise NotRegularError(errno.EINVAL, "it is not a regular file", path) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # `open` refuses the latter itself
        return descriptor
    os.close(descriptor)
    raise NotRegularError(errno.EINVAL, "it is not a regular file", path)
