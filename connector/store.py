"""State in tables: SQLite by default (WAL, full sync), PostgreSQL by URL, one code for both.

What must be provable stands in the audit log; these tables are what a program needs to go on.
Tables are made and changed by `connector.migrations` only, those of other modules too.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Engine,
    ForeignKey,
    Integer,
    String,
    Text,
    TypeDecorator,
    create_engine,
    event,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from connector.errors import LocalError
from connector.migrations import revision
from connector.migrations.locks import is_held


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC; SQLite forgets time zones, so they are put back when read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times, store UTC."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are stored with their zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables."""


class Participant(Base):
    """An enrolled hospital: its public keys and the offers that it last described."""

    __tablename__ = "participants"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    signing_key: Mapped[str] = mapped_column(Text)
    fleet_key: Mapped[str] = mapped_column(Text)
    enrolled_at: Mapped[datetime] = mapped_column(UtcDateTime)
    not_after: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    offers: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)


class InvitationRow(Base):
    """A one-time token, by its digest."""

    __tablename__ = "invitations"

    token_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    participant: Mapped[str] = mapped_column(String(63))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)


class PermitRow(Base):
    """An issued permit in its signed form."""

    __tablename__ = "permits"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    digest: Mapped[str] = mapped_column(String(80), unique=True)
    document: Mapped[str] = mapped_column(Text)
    issued_at: Mapped[datetime] = mapped_column(UtcDateTime)
    logged: Mapped[bool] = mapped_column(default=False)


class RevocationRow(Base):
    """The access body's last word that a permit counts no more, signed (`connector.revocation`)."""

    __tablename__ = "revocations"

    permit_id: Mapped[str] = mapped_column(ForeignKey("permits.id"), primary_key=True)
    effect: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(40))
    document: Mapped[str] = mapped_column(Text)
    revoked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    logged: Mapped[bool] = mapped_column(default=False)


class NoticeRow(Base):
    """A hospital's node has said that it knows of a revocation."""

    __tablename__ = "notices"

    permit_id: Mapped[str] = mapped_column(ForeignKey("revocations.permit_id"), primary_key=True)
    participant: Mapped[str] = mapped_column(String(63), primary_key=True)
    effect: Mapped[str] = mapped_column(String(20))
    acknowledged_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobRow(Base):
    """A job and its state (see `coordinator.jobs.states`)."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(120), primary_key=True)
    digest: Mapped[str] = mapped_column(String(80), unique=True)
    permit_id: Mapped[str] = mapped_column(ForeignKey("permits.id"))
    specification: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(20), index=True)
    reason: Mapped[str] = mapped_column(String(120), default="")
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime)


class JobEvent(Base):
    """What happened in a job, in order; people watch this."""

    __tablename__ = "job_events"

    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    time: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(40))
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


class ReleaseRow(Base):
    """A result: held until a person has reviewed it (Art. 73(2)), then approved."""

    __tablename__ = "releases"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    job_digest: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(20))
    subject_digest: Mapped[str] = mapped_column(String(80))
    label: Mapped[str] = mapped_column(Text)
    reviewer: Mapped[str] = mapped_column(String(120), default="")
    logged: Mapped[bool] = mapped_column(default=True)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Store:
    """One database. Sessions are short; each `begin` is one transaction."""

    def __init__(self, url: str) -> None:
        """Open the database, and upgrade it if it is from before this version.

        Raises `LocalError`: STORE_DRIVER_MISSING, STORE_UNREACHABLE, STORE_BUSY, and those of
        `migrations.upgrade`.
        """
        with ExitStack() as undo:
            try:
                self._engine = _engine(url)
                undo.callback(self._engine.dispose)
                revision.ensure(self._engine)
            except SQLAlchemyError as error:
                raise _unopened(error) from error
            undo.pop_all()
        # Nothing that changes goes through here, so no writer is waited for.
        self._reading = self._engine.execution_options(reading=True)

    @contextmanager
    def begin(self, conflict: LocalError | None = None) -> Iterator[Session]:
        """A transaction: committed at the end of the block, rolled back by an exception.

        `conflict` is raised when another transaction has just written the same key, which a look
        at the beginning of this one cannot exclude on every database.

        Do not nest two: the inner one would wait for the outer. Raises `LocalError`: STORE_BUSY
        when somebody holds the database's lock for too long, STORE_FAILED when the database does
        fail (a full disk, a lost server).
        """
        with (
            _translated(conflict),
            Session(self._engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that changes nothing: it waits for no writer. Errors as in `begin`."""
        with _translated(), Session(self._reading, autoflush=False) as session:
            yield session

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()


@contextmanager
def _translated(conflict: LocalError | None = None) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        if is_held(error):
            raise _busy() from error
        cause = getattr(error, "orig", None) or error
        if isinstance(error, IntegrityError) and conflict is not None:
            raise conflict from error
        raise LocalError(
            "STORE_FAILED",
            f"the database failed ({type(cause).__name__}: {cause})",
            "Check its disk and that it runs",
        ) from error


def _unopened(error: SQLAlchemyError) -> LocalError:
    if is_held(error):
        return _busy()
    return LocalError(
        "STORE_UNREACHABLE",
        f"cannot open the database ({type(error).__name__})",
        "Check `database` in the configuration, and that the server runs",
    )


def _busy() -> LocalError:
    return LocalError(
        "STORE_BUSY",
        "another process holds the database's lock",
        "End what holds it: a copy, a repair, a shell on the database",
    )


def _engine(url: str) -> Engine:
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except ImportError as error:
        raise LocalError(
            "STORE_DRIVER_MISSING",
            f"the database's driver is not installed ({error.name})",
            "Install it (for PostgreSQL: psycopg), or take the default database",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    # SQLite has no row locks: what is read in order to be changed must be locked from the
    # beginning (threat: two enrolments that both find one token unused).
    reading = connection.get_execution_options().get("reading")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
