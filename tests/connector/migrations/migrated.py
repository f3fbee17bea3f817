"""Databases to upgrade, and histories that go on where the real one ends."""

import importlib
import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData, inspect, literal_column, select, text
from sqlalchemy import table as named

from connector.migrations.revision import NEWEST, VERSION_TABLE
from connector.migrations.upgrade import HERE
from connector.store import Base, _engine

ROOT = Path(__file__).parents[3]
_WORDS = "federated_words"  # the databases' own kinds of table, which no model describes


@dataclass(frozen=True)
class Database:
    """A database of the test's own. `file` is SQLite's."""

    url: str
    file: Path | None
    engine: Engine

    def execute(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def load_first_version(self) -> None:
        """Fill it with what the version before this history left."""
        script = (Path(__file__).parent / f"version_0_1_0.{self.engine.name}.sql").read_text()
        if self.file is not None:
            with closing(sqlite3.connect(self.file)) as connection:
                connection.executescript(f"PRAGMA journal_mode = WAL; {script}")
            return
        with self.engine.begin() as server:
            server.connection.cursor().execute(script.encode())

    def rows(self, *tables: str) -> dict[str, list[str]]:
        """All rows of the tables, in a spelling that can be compared."""
        with self.engine.connect() as connection:
            found = {
                table: [
                    json.dumps(dict(row), default=str, sort_keys=True)
                    for row in connection.execute(
                        select(literal_column("*")).select_from(named(table))
                    ).mappings()
                ]
                for table in tables or inspect(connection).get_table_names()
            }
        return {table: sorted(rows) for table, rows in found.items()}

    def columns(self) -> dict[str, list[str]]:
        with self.engine.connect() as connection:
            tables = inspect(connection)
            return {
                name: [column["name"] for column in tables.get_columns(name)]
                for name in tables.get_table_names()
            }

    def state(self) -> Any:
        """All that an upgrade that fails must leave alone."""
        return self.columns(), self.rows()


def tables_of_the_models() -> MetaData:
    """The models of all modules that have some."""
    for package in ("connector", "coordinator", "node"):
        for file in (ROOT / package).rglob("*.py"):
            if re.search(r"^class \w+\(Base\)", file.read_text(), re.MULTILINE):
                name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
                importlib.import_module(name)
    return Base.metadata


def differences(database: Database, models: MetaData) -> list[Any]:
    """What would have to be done to the database to make it what the models say."""

    def described(_: Any, name: str | None, kind: str, *_more: Any) -> bool:
        return not (kind == "table" and (name or "").startswith(_WORDS))

    with database.engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "include_object": described}
        return compare_metadata(MigrationContext.configure(connection, opts=options), models)


def history(directory: Path, *bodies: str) -> Path:
    """The real scripts, and after them one for each body of an `upgrade()`."""
    scripts = directory / "100% made up"
    shutil.copytree(HERE, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    for number, body in enumerate(bodies, int(NEWEST) + 1):
        (scripts / "versions" / f"{number:04}_next.py").write_text(
            "import os, signal\nimport sqlalchemy as sa\nfrom alembic import op\n"
            f"revision, down_revision = '{number:04}', '{number - 1:04}'\n"
            "def upgrade():\n" + "".join(f"    {line}\n" for line in body.splitlines())
        )
    return scripts


def opened(url: str) -> Engine:
    return _engine(url)
