"""Small files that are whole or absent, whatever happens while they are written."""

import os
import secrets
from pathlib import Path

from connector.errors import LocalError


def write_durably(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file: after a crash it holds the old content or the new one, never half of it.

    Temporary file, fsync, rename, fsync of the directory. `mode` is what the umask may narrow.
    Raises `LocalError` (FILE_UNWRITABLE).
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise LocalError(
            "FILE_UNWRITABLE",
            f"cannot write {path} ({error.strerror})",
            "Check the path, its owner and the disk",
        ) from error


def _sync_directory(directory: Path) -> None:
    """A rename is durable once the directory that names the file is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
