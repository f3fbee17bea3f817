"""A job from its submission to a final state, whatever happens on the way."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from desk import HDAB, NAMES, NOW, Hospital, Notes, Road, hospitals, permit, refuse, silence, spec

from connector.audit import entries
from connector.errors import LocalError
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.store import JobRow, PermitRow
from coordinator import releases
from coordinator.jobs import conduct
from coordinator.jobs.states import TRANSITIONS, JobState
from coordinator.office import Office, create

TRAIN = "training.logistic"


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    paths = create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    paths.signing_key.unlink()
    SigningKey("hdab", b"c" * 32).save(paths.signing_key)  # the key that the hospitals know
    opened = replace(Office.open(tmp_path / "hdab"), clock=lambda: NOW)
    assert opened.key.verify_key == HDAB.verify_key
    opened.issue_permit(permit())
    yield opened
    opened.close()


def enter(office: Office, state: JobState, **changed: Any) -> None:
    made = spec(**changed)
    conduct.submit(office, made, "permit-1")
    with office.store.begin() as session:
        session.get_one(JobRow, made.id).state = state


def conducted(
    office: Office,
    asked: dict[str, Hospital],
    *,
    road: Road | None = None,
    record: Callable[[entries.Entry], None] | None = None,
    stopping: threading.Event | None = None,
) -> tuple[tuple[JobState, str], Notes]:
    notes, road = Notes(), road or Road(asked.values())
    enter(office, JobState.STARTING)
    conduct.conduct(
        office,
        road,  # type: ignore[arg-type] # the stand-in
        "job-1",
        [hospital.member for hospital in asked.values()],
        record or notes.record,
        stopping or threading.Event(),
    )
    assert road.closed
    return conduct.state_of(office, "job-1"), notes


def told(office: Office) -> list[str]:
    return [event.kind for event in conduct.events_since(office, "job-1", 0)]


def test_a_job_in_which_all_is_well_ends_with_a_held_result(office: Office) -> None:
    asked = hospitals()
    state, notes = conducted(office, asked)
    assert state == (JobState.FINISHED, "")
    assert told(office) == ["accepted"] * 3 + ["round"] * 3 + ["evaluation", "ended"]
    label = releases.read_label(office, "job-1")
    assert [source.rounds_answered for source in label.ingredients.sources] == [3, 3, 3]
    assert [type(entry).__name__ for entry in notes.log[-2:]] == ["Labelled", "JobEnded"]
    assert notes.log[-1].reason == "finished"
    assert all(hospital.asked[-1] == "end" for hospital in asked.values())


def test_hospitals_that_the_job_does_not_name_are_not_asked(office: Office) -> None:
    asked = hospitals(*NAMES, "west")
    conducted(office, asked)
    assert asked["west"].asked == []


def test_a_job_that_too_few_accept_is_refused(office: Office) -> None:
    asked = hospitals()
    for name in ("east", "north"):
        asked[name].answers["start", 1] = refuse("NOT_ALLOWED", "ehds.art54.c")
    state, notes = conducted(office, asked)
    assert state == (JobState.REFUSED, "TOO_FEW_HOSPITALS")
    assert told(office) == ["declined", "declined", "accepted", "ended"]
    assert asked["south"].asked == ["start", "end"], "who accepted is told that it is over"
    assert notes.entries(entries.JobEnded)[-1].reason == "TOO_FEW_HOSPITALS"
    with pytest.raises(LocalError):
        releases.read_label(office, "job-1")


def test_a_job_that_too_few_finish_fails_without_a_result(office: Office) -> None:
    asked = hospitals()
    for name in ("east", "north"):
        asked[name].answers[TRAIN, 2] = silence
    state, _ = conducted(office, asked)
    assert state == (JobState.FAILED, "TOO_FEW_HOSPITALS")
    assert told(office)[-3:] == ["left-out", "left-out", "ended"]
    assert asked["south"].asked[-1] == "end"
    with pytest.raises(LocalError):
        releases.read_label(office, "job-1")


def test_a_job_that_is_stopped_fails_and_says_so(office: Office) -> None:
    asked, stopping = hospitals(), threading.Event()
    road = Road(asked.values())

    def stop() -> None:
        if asked["south"].asked.count(TRAIN) == 1:
            stopping.set()
            road.close()

    road.on_send = stop
    state, notes = conducted(office, asked, road=road, stopping=stopping)
    assert state == (JobState.FAILED, "COORDINATOR_STOPPED")
    assert notes.entries(entries.JobEnded)[-1].reason == "COORDINATOR_STOPPED"
    assert told(office)[-1] == "ended"


def test_a_finished_job_stays_finished_when_its_end_cannot_be_told(office: Office) -> None:
    asked = hospitals()
    road = Road(asked.values())

    def stop() -> None:
        if asked["south"].asked[-1:] == ["evaluation.logistic"]:
            road.close()

    road.on_send = stop
    state, notes = conducted(office, asked, road=road)
    assert state == (JobState.FINISHED, "")
    assert len(notes.entries(entries.JobEnded)) == 1


def test_a_log_that_cannot_be_written_fails_the_job(office: Office) -> None:
    asked, written = hospitals(), []

    def full(entry: entries.Entry) -> None:
        if len(written) == 5:
            raise LocalError("LOG_FULL", "the disk is full")
        written.append(entry)

    state, _ = conducted(office, asked, record=full)
    assert state == (JobState.FAILED, "LOG_FULL")
    assert told(office)[-1] == "ended"
    with pytest.raises(LocalError):
        releases.read_label(office, "job-1")


def test_a_job_whose_log_fails_at_its_end_keeps_its_state(office: Office) -> None:
    notes = Notes()

    def full(entry: entries.Entry) -> None:
        if isinstance(entry, entries.JobEnded):
            raise LocalError("LOG_FULL", "the disk is full")
        notes.record(entry)

    state, _ = conducted(office, hospitals(), record=full)
    assert state == (JobState.FINISHED, "")


def test_a_bug_still_tells_the_hospitals_that_the_job_is_over(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hospitals()

    def bug(*_: Any) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(releases, "make", bug)
    with pytest.raises(TypeError):
        conducted(office, asked)
    assert all(hospital.asked[-1] == "end" for hospital in asked.values())


def test_a_permit_that_was_changed_in_the_table_fails_the_job_by_its_code(office: Office) -> None:
    with office.store.begin() as session:
        row = session.get_one(PermitRow, "permit-1")
        row.document = documents.sign(SigningKey("hdab", b"x" * 32), permit())
    asked = hospitals()
    assert conducted(office, asked)[0] == (JobState.FAILED, "SIGNATURE_INVALID")
    assert asked["east"].asked == []


def test_state_event_and_release_of_an_end_come_together_or_not_at_all(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: Any, **__: Any) -> None:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(conduct, "JobEvent", crash)  # between the state and the event
        broken.setattr(conduct, "tell", lambda *_: None)
        with pytest.raises(Crash):
            conducted(office, hospitals())
    assert conduct.state_of(office, "job-1") == (JobState.RUNNING, "")
    with pytest.raises(LocalError) as refusal:
        releases.read_label(office, "job-1")
    assert refusal.value.code == "RELEASE_UNKNOWN"


def test_every_state_that_was_seen_is_one_of_the_table(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[JobState] = [JobState.STARTING]
    move = conduct.move

    def watch(session: Any, job_id: str, to: JobState, reason: str = "") -> None:
        assert to in TRANSITIONS[seen[-1]]
        seen.append(to)
        move(session, job_id, to, reason)

    monkeypatch.setattr(conduct, "move", watch)
    conducted(office, hospitals())
    assert seen == [JobState.STARTING, JobState.RUNNING, JobState.FINISHED]


@pytest.mark.parametrize("state", JobState)
def test_only_jobs_that_were_under_way_are_ended_at_a_restart(
    office: Office, state: JobState
) -> None:
    enter(office, state)
    notes = Notes()
    conduct.fail_interrupted(office, notes.record)
    interrupted = state in {JobState.STARTING, JobState.RUNNING}
    found, reason = conduct.state_of(office, "job-1")
    assert found == (JobState.FAILED if interrupted else state)
    assert reason == ("COORDINATOR_STOPPED" if interrupted else "")
    assert told(office) == (["ended"] if interrupted else [])
    assert [entry.reason for entry in notes.entries(entries.JobEnded)] == (
        ["COORDINATOR_STOPPED"] if interrupted else []
    )


def test_a_job_is_submitted_once(office: Office) -> None:
    conduct.submit(office, spec(), "permit-1")
    assert conduct.state_of(office, "job-1") == (JobState.SUBMITTED, "")
    assert conduct.specification(office, "job-1") == spec()
    for again in (spec(), spec(rounds=5)):
        with pytest.raises(LocalError) as refusal:
            conduct.submit(office, again, "permit-1")
        assert refusal.value.code == "JOB_EXISTS"
    assert conduct.specification(office, "job-1") == spec()


def test_events_come_in_order_and_once(office: Office) -> None:
    conduct.submit(office, spec(), "permit-1")
    for number in range(5):
        conduct.tell(office, "job-1", "round", {"round": number})
    first = conduct.events_since(office, "job-1", 0)
    assert [event.body["round"] for event in first] == [0, 1, 2, 3, 4]
    assert conduct.events_since(office, "job-1", first[2].sequence)[0].body == {"round": 3}
    assert conduct.events_since(office, "job-1", first[-1].sequence) == []
    assert conduct.events_since(office, "job-2", 0) == []


def test_an_unknown_job_says_so(office: Office) -> None:
    with pytest.raises(LocalError) as refusal:
        conduct.state_of(office, "job-2")
    assert refusal.value.code == "JOB_UNKNOWN"
