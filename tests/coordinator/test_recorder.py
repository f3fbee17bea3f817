"""One log, many writers: times never go back, and what is written once is written once."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from desk import NOW, permit, spec

from connector.audit import entries
from connector.audit.log import Log
from connector.audit.order import Order
from connector.errors import LocalError
from connector.store import JobRow, PermitRow, ReleaseRow
from coordinator import filing
from coordinator.jobs import conduct
from coordinator.jobs.conduct import Ending
from coordinator.jobs.states import JobState
from coordinator.office import Office, create
from coordinator.recorder import Recorder


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    opened = replace(Office.open(tmp_path / "hdab"), clock=lambda: NOW)
    opened.issue_permit(permit())
    yield opened
    opened.close()


@pytest.fixture
def log(office: Office) -> Iterator[Log]:
    with Log.open(office.paths.log, office.key) as opened:
        yield opened


def incident(time: datetime = NOW) -> entries.Incident:
    return entries.Incident(time=time, code="TEST")


def written(log: Log) -> list[entries.Entry]:
    order = Order("hdab")
    found = []
    for index, content in log.read():
        order.check(index, content)
        found.append(entries.parse(content))
    return found


def kinds(log: Log) -> list[str]:
    return [type(entry).__name__ for entry in written(log)]


def test_entries_that_were_made_early_are_stamped_when_they_are_written(log: Log) -> None:
    lock, moments = threading.Lock(), iter(range(1000))

    def clock() -> datetime:
        with lock:
            return NOW + timedelta(seconds=next(moments))

    recorder = Recorder(log, clock)

    def job() -> None:
        for _ in range(20):
            recorder.record(incident(NOW - timedelta(days=1)))

    threads = [threading.Thread(target=job) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = [entry.time for entry in written(log)]
    assert len(set(times)) == 80
    assert min(times) == NOW


def test_a_clock_that_went_back_repeats_the_last_time_even_after_a_restart(office: Office) -> None:
    with Log.open(office.paths.log, office.key) as log:
        Recorder(log, lambda: NOW).record(incident())
    with Log.open(office.paths.log, office.key) as log:
        recorder = Recorder(log, lambda: NOW - timedelta(hours=1))
        recorder.record(incident())
        assert [entry.time for entry in written(log)] == [NOW, NOW]


def test_what_no_reader_would_take_is_not_written(log: Log) -> None:
    recorder = Recorder(log, lambda: NOW)
    unreadable = incident().model_copy(update={"code": "not a name"})
    with pytest.raises(Exception, match="not a valid log entry"):
        recorder.record(unreadable)
    recorder.record(incident())
    assert len(written(log)) == 1


def test_permits_and_reviews_are_logged_once_even_if_the_mark_was_lost(
    office: Office, log: Log
) -> None:
    recorder = Recorder(log, office.clock)
    conduct.submit(office, spec(), "permit-1")
    with office.store.begin() as session:
        session.add(
            ReleaseRow(
                job_id="job-1", job_digest=spec().digest, state="approved", subject_digest="s",
                label="", reviewer="Dr. A", logged=False, made_at=NOW,
            )
        )  # fmt: skip
    filing.file_all(office, recorder)
    filing.file_all(office, recorder)
    assert kinds(log) == ["PermitIssued", "Reviewed"]
    for again in (recorder, Recorder(log, office.clock)):
        with office.store.begin() as session:  # a crash between the entry and the mark
            session.get_one(PermitRow, "permit-1").logged = False
            session.get_one(ReleaseRow, "job-1").logged = False
        filing.file_all(office, again)
        with office.store.read() as session:
            assert session.get_one(PermitRow, "permit-1").logged
            assert session.get_one(ReleaseRow, "job-1").logged
    assert kinds(log) == ["PermitIssued", "Reviewed"]


def test_a_permit_that_cannot_be_logged_is_not_marked(
    office: Office, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_found: list[bytes]) -> None:
        raise LocalError("LOG_FULL", "the disk is full")

    recorder = Recorder(log, office.clock)
    with monkeypatch.context() as broken:
        broken.setattr(log, "append", full)
        with pytest.raises(LocalError):
            filing.file_all(office, recorder)
    with office.store.read() as session:
        assert not session.get_one(PermitRow, "permit-1").logged
    filing.file_all(office, recorder)
    assert kinds(log) == ["PermitIssued"]


def test_an_end_that_was_not_logged_is_logged_by_the_next_start(office: Office, log: Log) -> None:
    recorder = Recorder(log, office.clock)
    conduct.submit(office, spec(), "permit-1")
    started = entries.JobStarted(
        time=NOW, job=spec().digest, permit_digest=permit().digest, participants=()
    )
    recorder.record(started)
    with office.store.begin() as session:
        session.get_one(JobRow, "job-1").state = JobState.RUNNING

    def full(_entry: entries.Entry) -> None:
        raise LocalError("LOG_FULL", "the disk is full")

    conduct.finish(office, "job-1", Ending(JobState.FAILED, "TOO_FEW_HOSPITALS"), full)
    again = Recorder(log, office.clock)
    filing.file_ends(office, again)
    filing.file_ends(office, again)
    assert kinds(log) == ["JobStarted", "JobEnded"]
    (end,) = [entry for entry in written(log) if isinstance(entry, entries.JobEnded)]
    assert (end.job, end.reason) == (spec().digest, "TOO_FEW_HOSPITALS")


def test_a_job_that_still_runs_has_no_end(office: Office, log: Log) -> None:
    recorder = Recorder(log, office.clock)
    conduct.submit(office, spec(), "permit-1")
    recorder.record(
        entries.JobStarted(
            time=NOW, job=spec().digest, permit_digest=permit().digest, participants=()
        )
    )
    filing.file_ends(office, recorder)
    assert kinds(log) == ["JobStarted"]
