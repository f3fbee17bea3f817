"""The scripts: one line of succession, and at its end the tables that the models describe."""

import ast
from collections.abc import Callable

import pytest
from alembic.script import ScriptDirectory
from migrated import Database, differences, tables_of_the_models
from sqlalchemy import Column, Integer, MetaData, Table

from connector.migrations.revision import NEWEST
from connector.migrations.upgrade import HERE, upgrade

SCRIPTS = sorted((HERE / "versions").glob("0*.py"))


def test_a_database_made_by_the_migrations_is_what_the_models_say(database: Database) -> None:
    upgrade(database.engine)
    assert differences(database, tables_of_the_models()) == []


def test_so_is_one_of_the_version_before_them(database: Database) -> None:
    database.load_first_version()
    upgrade(database.engine)
    assert differences(database, tables_of_the_models()) == []


def _with_a_table(models: MetaData) -> None:
    Table("more", models, Column("id", Integer, primary_key=True))


def _with_a_column(models: MetaData) -> None:
    models.tables["dsp_offers"].append_column(Column("more", Integer))


def _without_an_index(models: MetaData) -> None:
    models.tables["dsp_outbox"].indexes.pop()


def _with_a_duty(models: MetaData) -> None:
    models.tables["federated_catalogues"].c.crawled_at.nullable = False


@pytest.mark.parametrize("change", [_with_a_table, _with_a_column, _without_an_index, _with_a_duty])
def test_a_model_that_changes_without_a_migration_is_noticed(
    database: Database, change: Callable[[MetaData], None]
) -> None:
    upgrade(database.engine)
    changed = MetaData()
    for table in tables_of_the_models().tables.values():
        table.to_metadata(changed)
    change(changed)
    assert len(differences(database, changed)) == 1


@pytest.mark.sqlite
def test_sqlite_uses_numbers_once_where_the_models_say_so(database: Database) -> None:
    upgrade(database.engine)
    made = database.engine.connect()
    with made:
        found = made.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        once = {name for name, sql in found if "AUTOINCREMENT" in (sql or "")}
    models = tables_of_the_models().tables.values()
    assert once == {t.name for t in models if t.dialect_options["sqlite"]["autoincrement"]}
    assert once


def test_the_scripts_are_one_line_of_succession_and_the_last_is_the_newest() -> None:
    history = ScriptDirectory(HERE)
    line = [script.revision for script in history.walk_revisions()]
    assert history.get_heads() == [NEWEST]
    assert line == [f"{number:04}" for number in range(len(SCRIPTS), 0, -1)]
    assert [script.name[:4] for script in SCRIPTS] == sorted(line)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_means_the_same_for_ever(script) -> None:
    """It imports nothing of ours that changes later, and offers no way down."""
    tree = ast.parse(script.read_text())
    imported = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
        for alias in node.names
    } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}  # fmt: skip
    assert imported <= {"alembic", "sqlalchemy", "connector.errors"}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert "upgrade" in functions
    assert "downgrade" not in functions
