"""The running coordinator's desk, without its port: ticks, and jobs that are lost."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="the transport is an optional dependency")

from desk import NOW, permit, spec

from connector.errors import LocalError
from connector.store import JobRow, PermitRow
from coordinator import service as running
from coordinator.jobs import conduct
from coordinator.jobs.states import JobState
from coordinator.office import Office, create
from coordinator.service import Service
from coordinator.views import follow


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    opened = replace(Office.open(tmp_path / "hdab"), clock=lambda: NOW)
    opened.issue_permit(permit())
    yield opened
    opened.close()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def service(office: Office, said: list[str]) -> Iterator[Service]:
    made = Service(office, said.append)
    yield made
    made._close_jobs()
    made._log.close()


def at(office: Office, state: JobState) -> None:
    with office.store.begin() as session:
        session.get_one(JobRow, "job-1").state = state


def ended(error: BaseException | None = None) -> "Future[None]":
    future: Future[None] = Future()
    if error is None:
        future.cancel()
    else:
        future.set_exception(error)
    return future


@pytest.mark.sqlite
def test_a_locked_database_is_said_once_and_does_not_end_the_coordinator(
    office: Office, service: Service, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    conduct.submit(office, spec(), "permit-1")
    with office.store.read() as session:
        session.connection().exec_driver_sql("PRAGMA busy_timeout = 0")
    holder = sqlite3.connect(office.paths.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        service._patient_tick()
    assert len(said) == 1
    assert "lock" in said[0]
    with monkeypatch.context() as later:
        later.setattr(running, "_BUSY_SECONDS", -1.0)
        with pytest.raises(LocalError) as refusal:
            service._patient_tick()
        assert refusal.value.code == "STORE_BUSY"
    holder.close()
    service._patient_tick()
    assert said[1:] == ["the database can be written again"]
    with office.store.read() as session:
        assert session.get_one(PermitRow, "permit-1").logged


def test_an_idle_coordinator_writes_nothing_and_waits_for_nobody(
    office: Office, service: Service, said: list[str]
) -> None:
    service._patient_tick()
    holder = sqlite3.connect(office.paths.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        service._patient_tick()
    finally:
        holder.close()
    assert said == []


@pytest.mark.parametrize(
    ("future", "reason"),
    [
        (ended(), "COORDINATOR_STOPPED"),
        (ended(TypeError("a bug")), "COORDINATOR_ERROR"),
        (ended(LocalError("STORE_BUSY", "locked")), "STORE_BUSY"),
    ],
)
def test_a_job_whose_thread_could_not_end_it_is_ended_by_the_desk(
    office: Office, service: Service, future: "Future[None]", reason: str
) -> None:
    service._patient_tick()
    conduct.submit(office, spec(), "permit-1")
    at(office, JobState.RUNNING)
    service._ended("job-1", future)
    service._patient_tick()
    assert conduct.state_of(office, "job-1") == (JobState.FAILED, reason)
    assert service._lost == {}


def test_a_job_that_has_a_final_state_keeps_it(office: Office, service: Service) -> None:
    service._patient_tick()
    conduct.submit(office, spec(), "permit-1")
    at(office, JobState.FINISHED)
    service._ended("job-1", ended(TypeError("after its end")))
    service._patient_tick()
    assert conduct.state_of(office, "job-1")[0] == JobState.FINISHED
    assert service._lost == {}


def test_noting_an_end_never_fails(service: Service) -> None:
    def gone(_line: str) -> None:
        raise BrokenPipeError

    service._say = gone
    service._ended("job-1", ended(TypeError("a bug")))
    assert service._lost == {"job-1": "COORDINATOR_ERROR"}
    service._lost.clear()


def test_watching_a_job_ends_with_its_state_whatever_became_of_the_event(office: Office) -> None:
    conduct.submit(office, spec(), "permit-1")
    at(office, JobState.FAILED)
    (event,) = follow(office, "job-1")
    assert (event.kind, event.body["state"]) == ("ended", "failed")
