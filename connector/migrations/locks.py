"""One upgrade at a time: threads of a process, and processes that start at once.

The lock of both databases ends with the transaction, also when its process is killed.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

PATIENCE_SECONDS = 60.0
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_LOCK_NOT_AVAILABLE = "55P03"
_thread_lock = threading.Lock()  # Alembic's `op` is one for the whole process


@contextmanager
def alone(engine: Engine, patience: float = PATIENCE_SECONDS) -> Iterator[Connection]:
    """A transaction that no other upgrade of this database runs beside; all of it, or nothing.

    Raises `SQLAlchemyError`, for which `is_held` says yes, after `patience` seconds.
    """
    begin = _sqlite if engine.dialect.name == "sqlite" else _postgresql
    with _thread_lock, begin(engine, round(patience * 1000)) as connection:
        yield connection


def is_held(error: SQLAlchemyError) -> bool:
    """Whether a statement failed because somebody else holds a lock."""
    cause = getattr(error, "orig", None)
    return (
        getattr(cause, "sqlite_errorcode", None) in _LOCKED
        or getattr(cause, "sqlstate", None) == _LOCK_NOT_AVAILABLE
    )


@contextmanager
def _sqlite(engine: Engine, milliseconds: int) -> Iterator[Connection]:
    with engine.connect() as connection:
        driver = connection.connection.cursor()
        # SQLite changes a table by making another, and to drop the old one would count as deleting
        # what other tables refer to. This setting cannot be changed within a transaction.
        driver.execute("PRAGMA foreign_keys=OFF")
        (usual,) = driver.execute("PRAGMA busy_timeout").fetchone()
        driver.execute(f"PRAGMA busy_timeout={milliseconds}")
        try:
            with connection.begin():  # IMMEDIATE: nobody else writes from here on
                yield connection
        finally:
            driver.execute(f"PRAGMA busy_timeout={usual}")
            driver.execute("PRAGMA foreign_keys=ON")
            driver.close()


@contextmanager
def _postgresql(engine: Engine, milliseconds: int) -> Iterator[Connection]:
    with engine.begin() as connection:
        bound = text("SELECT set_config('lock_timeout', :bound, true)")
        connection.execute(bound, {"bound": str(milliseconds)})
        connection.exec_driver_sql(
            "SELECT pg_advisory_xact_lock(hashtextextended('commensal ' || current_schema(), 0))"
        )
        yield connection
