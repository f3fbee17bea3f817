"""Which schema a database has, told by one look, and whether that is this version's.

Alembic is imported only where there is something to do: almost every start finds nothing.
"""

from sqlalchemy import Connection, Engine, inspect

NEWEST = "0001"
VERSION_TABLE = "commensal_version"


def ensure(engine: Engine) -> None:
    """Bring the schema to this version's.

    Raises `LocalError` (see `upgrade.upgrade`), `SQLAlchemyError` for a database that cannot be
    read or whose lock somebody keeps.
    """
    # Nothing is changed by looking, so no writer is waited for.
    with engine.connect().execution_options(reading=True) as connection:
        if stored(connection) == NEWEST:
            return
    from connector.migrations.upgrade import upgrade  # noqa: PLC0415 - imports Alembic

    upgrade(engine)


def stored(connection: Connection) -> str | None:
    """The revision that the database says it has; None if it has never had one."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    rows = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 - ours
    # Only one is ever written; several are read as one that no version knows.
    return "+".join(sorted(rows.scalars())) or None
