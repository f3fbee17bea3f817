"""Runs the migrations that a database has not had: all of them, or none.

Each is a script in `versions/`, in one line of succession. There is no way down: see
docs/decisions/0011-one-history-of-the-schema.md.
"""

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from connector.errors import LocalError
from connector.migrations import backup, locks
from connector.migrations.revision import stored

HERE = Path(__file__).parent
_logger = logging.getLogger(__name__)


def upgrade(engine: Engine, scripts: Path = HERE, patience: float = locks.PATIENCE_SECONDS) -> None:
    """Bring a database to the newest schema of `scripts`, if no other process has by then.

    Raises `LocalError`: STORE_NEWER, STORE_FOREIGN (a table of somebody else has our name),
    STORE_BACKUP, STORE_UPGRADE; `SQLAlchemyError` if somebody keeps the lock for longer than
    `patience` seconds. Each leaves the database as it was.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    try:
        with locks.alone(engine, patience) as connection:
            _upgrade(connection, config)
    except SQLAlchemyError as error:
        if locks.is_held(error):
            raise
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).splitlines() or [""])[0]
        raise LocalError(
            "STORE_UPGRADE",
            f"the database could not be upgraded ({type(cause).__name__}: {reason})",
            "It is as it was; check its disk and its user's rights, and start again",
        ) from error


def _upgrade(connection: Connection, config: Config) -> None:
    history = ScriptDirectory.from_config(config)
    newest = history.get_current_head() or ""
    before = stored(connection)
    if before == newest:
        return
    if before is not None and before not in {one.revision for one in history.walk_revisions()}:
        raise LocalError(
            "STORE_NEWER",
            f"the database is of a newer version (schema {before}, this version has {newest})",
            "Run that version, or go back to the backup from before its upgrade",
        )
    kept = backup.keep(connection, newest) if connection.dialect.name == "sqlite" else None
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    _check_references(connection)
    if kept is not None:
        _logger.warning("the database was upgraded; a copy of it as it was before is in %s", kept)


def _check_references(connection: Connection) -> None:
    """What SQLite was not asked to watch during the upgrade (see `locks`)."""
    if connection.dialect.name != "sqlite":
        return
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if lost is not None:
        raise LocalError(
            "STORE_UPGRADE",
            f"the database could not be upgraded (rows of {lost[0]} refer to none of {lost[2]})",
            "It is as it was; it is damaged, or this version is: go back to a backup, or report it",
        )
