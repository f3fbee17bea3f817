"""A copy of a SQLite database as it is before an upgrade: the only way back from one."""

import contextlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from connector.errors import LocalError
from connector.files import sync_directory


def keep(connection: Connection, revision: str) -> Path | None:
    """Copy the database beside itself, durably and for its owner only; returns where.

    `connection` holds the lock, so the copy is of the very state that the upgrade to `revision`
    begins with. A copy from an earlier attempt at the same is replaced. None: there is nothing to
    be kept, in memory or in an empty file. Raises `LocalError` (STORE_BACKUP).
    """
    place = _file(connection)
    if place is None or not connection.exec_driver_sql("SELECT 1 FROM sqlite_master").first():
        return None
    target = place.with_name(f"{place.name}.before-{revision}")
    temporary = place.with_name(f".{target.name}.new")
    try:
        _copy(place, temporary)
        temporary.replace(target)
        sync_directory(target.parent)
    except (OSError, sqlite3.Error) as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        reason = getattr(error, "strerror", None) or error
        raise LocalError(
            "STORE_BACKUP",
            f"the database must be copied to {target} before it is upgraded, which failed"
            f" ({reason})",
            "Make room on that disk, and let the program write there; nothing was changed",
        ) from error
    return target


def _file(connection: Connection) -> Path | None:
    for _, schema, file in connection.exec_driver_sql("PRAGMA database_list"):
        if schema == "main" and file:
            return Path(file)
    return None


def _copy(place: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
