"""Opening a store upgrades its database, or leaves it as it was and says why."""

import logging
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from migrated import ROOT, Database, history
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from connector.errors import LocalError
from connector.migrations.revision import NEWEST, VERSION_TABLE
from connector.migrations.upgrade import upgrade
from connector.store import JobEvent, Participant, Store

FIRST = ("invitations", "job_events", "jobs", "participants", "permits", "releases")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOTE = """
with op.batch_alter_table("permits", recreate="{}") as permits:
    permits.add_column(sa.Column("note", sa.Text, nullable=False, server_default="none"))
"""
HALF = """
op.create_table("remarks", sa.Column("id", sa.Integer, primary_key=True))
op.execute("INSERT INTO remarks VALUES (1)")
op.add_column("permits", sa.Column("remark", sa.Text))
op.execute("UPDATE permits SET remark = 'half'")
"""


def refused(database: Database) -> LocalError:
    with pytest.raises(LocalError) as refusal:
        Store(database.url)
    return refusal.value


def test_an_empty_database_gets_all_tables_and_its_revision(database: Database) -> None:
    Store(database.url).close()
    assert {*FIRST, "dsp_outbox", "federated_words", "used_tokens"} <= set(database.columns())
    assert database.rows(VERSION_TABLE) == {VERSION_TABLE: [f'{{"version_num": "{NEWEST}"}}']}
    if database.file is not None:
        assert list(database.file.parent.glob("*.before-*")) == []


def test_a_database_of_the_first_version_is_taken_over_with_all_its_rows(
    database: Database,
) -> None:
    database.load_first_version()
    before = database.rows(*FIRST)
    assert all(before.values())
    with closing(Store(database.url)) as store:
        assert database.rows(*FIRST) == before
        with store.begin() as session:
            north = session.get_one(Participant, "hospital-north")
            assert north.offers == [{"dataset": "hospital-north/patients", "title": "Påtients"}]
            assert north.last_seen == NOW.replace(hour=13)
            event = JobEvent(job_id="job-1", time=NOW, kind="more", body={})
            session.add(event)
            session.flush()
            assert event.sequence == 3
            assert len(session.scalars(select(JobEvent)).all()) == 3


def test_opening_again_changes_nothing(database: Database) -> None:
    database.load_first_version()
    Store(database.url).close()
    before = database.state()
    Store(database.url).close()
    assert database.state() == before


@pytest.mark.sqlite
def test_a_copy_from_before_lies_beside_the_database(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert database.file is not None
    database.load_first_version()
    with closing(sqlite3.connect(database.file)) as connection:
        before = list(connection.iterdump())
    with caplog.at_level(logging.WARNING):
        Store(database.url).close()
    copy = database.file.with_name(f"store.db.before-{NEWEST}")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert str(copy) in caplog.text
    with closing(sqlite3.connect(copy)) as connection:
        assert list(connection.iterdump()) == before
    database.engine.dispose()
    assert {file.name for file in database.file.parent.iterdir()} == {"store.db", copy.name}


@pytest.mark.sqlite
def test_the_copy_can_be_put_back_and_be_upgraded_again(database: Database) -> None:
    assert database.file is not None
    database.load_first_version()
    before = database.rows(*FIRST)
    Store(database.url).close()
    database.engine.dispose()
    database.file.with_name(f"store.db.before-{NEWEST}").replace(database.file)
    assert VERSION_TABLE not in database.columns()
    Store(database.url).close()
    assert database.rows(*FIRST) == before


@pytest.mark.sqlite
def test_without_a_copy_there_is_no_upgrade(database: Database) -> None:
    assert database.file is not None
    database.load_first_version()
    before = database.state()
    taken = database.file.with_name(f"store.db.before-{NEWEST}")
    taken.mkdir()
    error = refused(database)
    assert error.code == "STORE_BACKUP"
    assert str(taken) in error.message
    assert database.state() == before
    assert not list(database.file.parent.glob(".*"))


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    Store(database.url).close()
    database.execute("UPDATE commensal_version SET version_num = '9000'")
    before = database.state()
    error = refused(database)
    assert error.code == "STORE_NEWER"
    assert "9000" in error.message
    assert NEWEST in error.message
    assert database.state() == before
    if database.file is not None:
        assert list(database.file.parent.glob("*.before-*")) == []


def test_a_table_of_somebody_else_is_not_taken_for_ours(database: Database) -> None:
    database.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, command TEXT)")
    database.execute("INSERT INTO jobs VALUES (1, 'print')")
    before = database.state()
    error = refused(database)
    assert error.code == "STORE_FOREIGN"
    assert "jobs" in error.message
    assert database.state() == before


def test_tables_of_somebody_else_with_other_names_are_no_obstacle(database: Database) -> None:
    database.execute("CREATE TABLE recipes (id INTEGER PRIMARY KEY)")
    Store(database.url).close()
    assert {"recipes", "jobs"} <= set(database.columns())


def test_several_migrations_run_in_their_order(database: Database, tmp_path: Path) -> None:
    database.load_first_version()
    second = "op.execute(\"UPDATE permits SET note = note || ' and more'\")"
    upgrade(database.engine, history(tmp_path, NOTE.format("auto"), second))
    (permit,) = database.rows("permits")["permits"]
    assert '"note": "none and more"' in permit
    assert "0003" in database.rows(VERSION_TABLE)[VERSION_TABLE][0]


@pytest.mark.parametrize("last", ["1 / 0", 'op.execute("SELECT * FROM nothing")'])
def test_a_migration_that_fails_in_the_middle_leaves_nothing(
    database: Database, tmp_path: Path, last: str
) -> None:
    database.load_first_version()
    upgrade(database.engine)
    before = database.state()
    scripts = history(tmp_path, NOTE.format("auto"), HALF + last)
    with pytest.raises((ZeroDivisionError, LocalError)) as failure:
        upgrade(database.engine, scripts)
    if isinstance(failure.value, LocalError):
        assert failure.value.code == "STORE_UPGRADE"
        assert "nothing" in failure.value.message
        assert "\n" not in failure.value.diagnostics()
    assert database.state() == before


def test_rows_that_would_refer_to_nothing_stop_the_upgrade(
    database: Database, tmp_path: Path
) -> None:
    database.load_first_version()
    upgrade(database.engine)
    before = database.state()
    with pytest.raises(LocalError) as refusal:
        upgrade(database.engine, history(tmp_path, 'op.execute("DELETE FROM permits")'))
    assert refusal.value.code == "STORE_UPGRADE"
    assert database.state() == before


@pytest.mark.sqlite
def test_a_table_that_sqlite_has_to_rebuild_keeps_what_refers_to_it(
    database: Database, tmp_path: Path
) -> None:
    database.load_first_version()
    upgrade(database.engine)
    before = database.rows("jobs", "job_events")
    upgrade(database.engine, history(tmp_path, NOTE.format("always")))
    assert database.rows("jobs", "job_events") == before
    assert "note" in database.columns()["permits"]
    with pytest.raises(IntegrityError):  # the connection watches references again
        database.execute("DELETE FROM permits")


def test_a_start_that_finds_nothing_to_do_imports_no_alembic(database: Database) -> None:
    Store(database.url).close()
    program = (
        "import sys\nfrom connector.store import Store\nStore(sys.argv[1]).close()\n"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, database.url], cwd=ROOT, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "False\n"
