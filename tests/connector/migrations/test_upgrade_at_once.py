"""Two that start at once, one that is killed, one that holds the lock."""

import functools
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from migrated import ROOT, Database, history, opened
from sqlalchemy import inspect

from connector.errors import LocalError
from connector.migrations import locks
from connector.migrations import upgrade as upgrading
from connector.migrations.revision import VERSION_TABLE
from connector.migrations.upgrade import upgrade
from connector.store import PermitRow, Store

PROGRAM = """
import sys
from pathlib import Path
from connector.migrations.upgrade import upgrade
from connector.store import _engine
print("ready", flush=True)
sys.stdin.readline()
upgrade(_engine(sys.argv[1]), Path(sys.argv[2]))
"""
COUNTED = """
with open({!r}, "a") as runs:
    runs.write("run\\n")
op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))
"""
KILLED = """
op.add_column("permits", sa.Column("note", sa.Text))
op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))
os.kill(os.getpid(), signal.SIGKILL)
"""


def start(database: Database, scripts: Path) -> "subprocess.Popen[str]":
    """A process that is about to upgrade."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, database.url, str(scripts)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@contextmanager
def held(database: Database):
    """Another connection upgrades, and takes its time."""
    engine = opened(database.url)
    begin = locks._sqlite if engine.name == "sqlite" else locks._postgresql
    with begin(engine, 60_000):
        yield
    engine.dispose()


def test_of_processes_that_start_at_once_one_migrates_and_all_go_on(
    database: Database, tmp_path: Path
) -> None:
    database.load_first_version()
    runs = tmp_path / "runs"
    scripts = history(tmp_path, COUNTED.format(str(runs)))
    processes = [start(database, scripts) for _ in range(3)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert runs.read_text() == "run\n"
    assert "notes" in database.columns()
    if database.file is not None:
        (copy,) = database.file.parent.glob("*.before-*")
        with closing(sqlite3.connect(copy)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        assert ("permits",) in tables
        assert ("notes",) not in tables


@pytest.mark.parametrize("alike", [True, False], ids=["one database", "four databases"])
@pytest.mark.sqlite
def test_of_threads_that_start_at_once_none_disturbs_another(tmp_path: Path, alike: bool) -> None:
    runs = tmp_path / "runs"
    scripts = history(tmp_path, COUNTED.format(str(runs)))
    files = {thread: tmp_path / f"{0 if alike else thread}.db" for thread in range(4)}
    barrier = threading.Barrier(4)

    def work(thread: int) -> set[str]:
        engine = opened(f"sqlite:///{files[thread]}")
        barrier.wait()
        upgrade(engine, scripts)
        made = set(inspect(engine).get_table_names())
        engine.dispose()
        return made

    with ThreadPoolExecutor(4) as executor:
        made = list(executor.map(work, files))
    assert all({"notes", "jobs"} <= tables for tables in made)
    assert runs.read_text() == "run\n" * len(set(files.values()))


def test_a_process_that_is_killed_in_the_middle_leaves_nothing(
    database: Database, tmp_path: Path
) -> None:
    database.load_first_version()
    upgrade(database.engine)
    before = database.state()
    process = start(database, history(tmp_path, KILLED))
    process.communicate("\n", timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert database.state() == before
    (tmp_path / "later").mkdir()
    upgrade(database.engine, history(tmp_path / "later", KILLED.replace("os.kill", "print")))
    assert "notes" in database.columns()
    assert "note" in database.columns()["permits"]


def test_a_lock_that_is_not_given_back_is_waited_for_no_longer_than_patience(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.load_first_version()
    monkeypatch.setattr(upgrading, "upgrade", functools.partial(upgrade, patience=0.05))
    with held(database), pytest.raises(LocalError) as refusal:
        Store(database.url)
    assert refusal.value.code == "STORE_BUSY"
    assert VERSION_TABLE not in database.columns()
    Store(database.url).close()


def test_a_database_that_needs_no_upgrade_opens_while_its_lock_is_held(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(database.url).close()
    monkeypatch.setattr(upgrading, "upgrade", None)
    with held(database):
        store = Store(database.url)
        with store.read() as session:
            assert session.get(PermitRow, "none") is None
        store.close()
