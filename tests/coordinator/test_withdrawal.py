"""A permit is taken back at the coordinator: logged once, jobs end, none begins."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr", reason="the transport is an optional dependency")

from desk import HDAB, NOW, Hospital, Road, hospitals, permit, silence, spec

from connector.audit import entries
from connector.audit.log import Log
from connector.audit.order import Order
from connector.audit.verify import verify
from connector.errors import LocalError
from connector.revocation import verify as verify_statement
from connector.store import JobRow, NoticeRow, Participant, ReleaseRow, RevocationRow
from coordinator import filing, releases, withdrawal
from coordinator.jobs import conduct
from coordinator.jobs.states import JobState
from coordinator.notices import Notices
from coordinator.office import Office, create
from coordinator.recorder import Recorder
from coordinator.service import Service
from coordinator.views import sentence


class Clock:
    now = NOW

    def __call__(self) -> Any:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def office(tmp_path: Path, clock: Clock) -> Iterator[Office]:
    paths = create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    paths.signing_key.unlink()
    HDAB.save(paths.signing_key)
    opened = replace(Office.open(tmp_path / "hdab"), clock=clock)
    opened.issue_permit(permit())
    opened.issue_permit(permit(id="permit-2"))
    yield opened
    opened.close()


@pytest.fixture
def recorder(office: Office) -> Iterator[Recorder]:
    with Log.open(office.paths.log, office.key) as log:
        made = Recorder(log, office.clock)
        filing.file_all(office, made)
        yield made
    assert verify(office.paths.log, HDAB.verify_key, Order("hdab").check).ok


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def withdrawals(office: Office, recorder: Recorder, said: list[str]) -> withdrawal.Withdrawals:
    return withdrawal.Withdrawals(office, recorder, said.append)


def logged(office: Office) -> list[Any]:
    with Log.open(office.paths.log, office.key) as log:
        return [entries.parse(content) for _, content in log.read()]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(LocalError) as refused:
        call()
    assert refused.value.remedy
    return refused.value.code


def test_it_counts_once_it_stands_in_the_log_with_the_signed_statement(
    office: Office, recorder: Recorder, withdrawals: withdrawal.Withdrawals, said: list[str]
) -> None:
    heard: list[entries.PermitRevoked] = []
    withdrawals.on_revoked(heard.append)
    withdrawal.revoke(office, "permit-1", "revoked", "non-compliance")
    assert recorder.stops(permit().digest) == ""
    withdrawals.take_effect()
    withdrawals.take_effect()
    (entry,) = heard
    assert recorder.stops(permit().digest) == "PERMIT_REVOKED"
    statement = verify_statement(entry.document, HDAB.verify_key)
    assert (statement.permit_id, statement.permit_digest) == ("permit-1", permit().digest)
    assert said == ["permit permit-1 is revoked (non-compliance)"]


def test_who_stopped_before_the_mark_finds_the_entry_and_writes_no_second_one(
    office: Office,
    withdrawals: withdrawal.Withdrawals,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    withdrawal.revoke(office, "permit-1", "suspended", "hearing")
    withdrawals.take_effect()
    with office.store.begin() as session:
        session.get_one(RevocationRow, "permit-1").logged = False
    written: list[entries.Entry] = []
    monkeypatch.setattr(recorder, "record", written.append)
    withdrawals.take_effect()
    assert written == []


def test_a_suspension_can_become_final_and_nothing_leads_back(office: Office) -> None:
    withdrawal.revoke(office, "permit-1", "suspended", "hearing")
    again = refusal(lambda: withdrawal.revoke(office, "permit-1", "suspended", "risk"))
    assert again == "PERMIT_SUSPENDED"
    withdrawal.revoke(office, "permit-1", "revoked", "court")
    for effect in ("revoked", "suspended"):
        code = refusal(partial(withdrawal.revoke, office, "permit-1", effect, "risk"))
        assert code == "PERMIT_REVOKED"
    unknown = refusal(lambda: withdrawal.revoke(office, "permit-9", "revoked", "court"))
    assert unknown == "PERMIT_UNKNOWN"


def test_no_job_is_taken_under_it_and_another_permit_goes_on(office: Office) -> None:
    withdrawal.revoke(office, "permit-1", "revoked", "risk")
    assert refusal(lambda: conduct.submit(office, spec(), "permit-1")) == "PERMIT_REVOKED"
    other = spec(id="job-2", permit_digest=permit(id="permit-2").digest)
    conduct.submit(office, other, "permit-2")


def test_a_result_cannot_be_approved_any_more_but_rejected(office: Office) -> None:
    conduct.submit(office, spec(), "permit-1")
    with office.store.begin() as session:
        session.get_one(JobRow, "job-1").state = JobState.FINISHED
        session.add(
            ReleaseRow(
                job_id="job-1", job_digest=spec().digest, state="held", subject_digest="s",
                label="", made_at=NOW,
            )
        )  # fmt: skip
    withdrawal.revoke(office, "permit-1", "revoked", "non-compliance")
    code = refusal(lambda: releases.review(office, "job-1", "Dr. A", approve=True))
    assert code == "PERMIT_REVOKED"
    releases.review(office, "job-1", "Dr. A", approve=False)


@pytest.mark.parametrize("kind", ["job-started", "labelled"])
def test_the_log_takes_nothing_under_it_afterwards(
    office: Office, recorder: Recorder, withdrawals: withdrawal.Withdrawals, kind: str
) -> None:
    started = entries.JobStarted(
        time=NOW, job=spec().digest, permit_digest=permit().digest, participants=("north",)
    )
    labelled = entries.Labelled(time=NOW, job=spec().digest, subject="s", label_digest="l")
    if kind == "labelled":
        recorder.record(started)
    withdrawal.revoke(office, "permit-1", "revoked", "court")
    withdrawals.take_effect()
    late = started if kind == "job-started" else labelled
    assert refusal(lambda: recorder.record(late)) == "PERMIT_REVOKED"


def conducted(office: Office, asked: dict[str, Hospital], road: Road, **how: Any) -> None:
    conduct.submit(office, spec(), "permit-1")
    with office.store.begin() as session:
        session.get_one(JobRow, "job-1").state = JobState.STARTING
    conduct.conduct(
        office, road, "job-1", [one.member for one in asked.values()],  # type: ignore[arg-type] # the stand-in
        how["record"], threading.Event(), halted=how["halted"],
    )  # fmt: skip


def test_a_job_under_way_ends_with_the_reason(office: Office, recorder: Recorder) -> None:
    asked, halted = hospitals(), []
    road = Road(asked.values())

    def take_back() -> None:
        if asked["south"].asked.count("training.logistic") == 1:
            halted.append("PERMIT_REVOKED")
            road.close()

    road.on_send = take_back
    conducted(
        office, asked, road, record=recorder.record, halted=lambda: halted[0] if halted else ""
    )
    assert conduct.state_of(office, "job-1") == (JobState.FAILED, "PERMIT_REVOKED")
    (*_, last) = conduct.events_since(office, "job-1", 0)
    assert sentence(last.kind, last.body) == (
        "the job is failed: the health data access body has revoked its permit (PERMIT_REVOKED)"
    )


def test_a_result_that_is_ready_at_that_moment_is_none(
    office: Office, recorder: Recorder, withdrawals: withdrawal.Withdrawals
) -> None:
    asked = hospitals()
    road = Road(asked.values())

    def take_back(one: Hospital, message: Any, reference: str) -> Any:
        withdrawal.revoke(office, "permit-1", "revoked", "court")
        withdrawals.take_effect()
        return one.honest(message, reference)

    asked["north"].answers["evaluation.logistic", 1] = take_back
    conducted(office, asked, road, record=recorder.record, halted=lambda: "")
    assert conduct.state_of(office, "job-1") == (JobState.FAILED, "PERMIT_REVOKED")
    with office.store.read() as session:
        assert session.get(ReleaseRow, "job-1") is None


@pytest.fixture
def service(office: Office, said: list[str]) -> Iterator[Service]:
    made = Service(office, said.append)
    yield made
    made._close_jobs()
    made._log.close()
    assert verify(office.paths.log, HDAB.verify_key, Order("hdab").check).ok


def test_a_job_that_waits_is_ended_by_the_desk(office: Office, service: Service) -> None:
    conduct.submit(office, spec(), "permit-1")
    withdrawal.revoke(office, "permit-1", "suspended", "risk")
    service._tick()
    assert conduct.state_of(office, "job-1") == (JobState.FAILED, "PERMIT_SUSPENDED")


@pytest.mark.parametrize(
    ("lasts", "code"), [(timedelta(days=1), "JOB_OVER"), (timedelta(days=50), "PERMIT_EXPIRED")]
)
def test_a_job_has_the_earlier_of_two_deadlines(office: Office, lasts: Any, code: str) -> None:
    conduct.submit(office, spec(not_after=NOW + lasts), "permit-1")
    assert withdrawal.deadline(office, "job-1") == (NOW + lasts, code)


def test_a_job_whose_permit_ends_is_halted_by_the_clock(service: Service, clock: Clock) -> None:
    class Run:
        closed = False

        def close(self) -> None:
            self.closed = True

    run = Run()
    service._runs["job-1"] = run  # type: ignore[assignment] # the stand-in
    service._deadlines["job-1"] = (NOW + timedelta(days=1), "PERMIT_EXPIRED")
    service._tick()
    assert not run.closed
    clock.now = NOW + timedelta(days=1)
    service._tick()
    assert run.closed
    assert service._halted["job-1"] == "PERMIT_EXPIRED"


class Fleet:
    """Which hospitals are there, and the road to them."""

    def __init__(self, asked: dict[str, Hospital]) -> None:
        self.asked = asked
        self.visit = 1
        self.opened = 0

    def visits(self) -> dict[int, int]:
        return {one.number: self.visit for one in self.asked.values() if not one.offline}

    def open_run(self) -> Road:
        self.opened += 1
        return Road(self.asked.values())


class Members:
    def __init__(self, asked: dict[str, Hospital]) -> None:
        self.asked = asked

    def members(self) -> list[Any]:
        return [one.member for one in self.asked.values()]


@pytest.fixture
def asked(office: Office) -> dict[str, Hospital]:
    found = hospitals()
    with office.store.begin() as session:
        for one in found.values():
            session.add(
                Participant(
                    name=one.name, signing_key=one.key.verify_key.vkey, fleet_key=one.name,
                    enrolled_at=NOW, not_after=NOW + timedelta(days=30), offers=[],
                )
            )  # fmt: skip
    return found


@pytest.fixture
def fleet(asked: dict[str, Hospital]) -> Fleet:
    return Fleet(asked)


@pytest.fixture
def notices(office: Office, fleet: Fleet, said: list[str], monkeypatch: Any) -> Notices:
    class AtOnce:
        def __init__(self, target: Any, args: Any, daemon: bool) -> None:
            del daemon
            self.call = partial(target, *args)

        def start(self) -> None:
            self.call()

    monkeypatch.setattr("coordinator.notices.threading.Thread", AtOnce)
    return Notices(office, fleet, Members(fleet.asked), said.append)  # type: ignore[arg-type] # stand-ins


def told(asked: dict[str, Hospital]) -> dict[str, int]:
    return {name: one.asked.count("revoke") for name, one in asked.items()}


def acknowledged(office: Office) -> set[str]:
    with office.store.read() as session:
        return {row.participant for row in session.query(NoticeRow)}


def test_every_hospital_is_told_by_the_signed_statement_until_it_says_so(
    office: Office,
    withdrawals: withdrawal.Withdrawals,
    notices: Notices,
    asked: dict[str, Hospital],
    fleet: Fleet,
) -> None:
    asked["east"].offline = True
    asked["south"].answers["revoke", 1] = silence
    notices.refresh()
    assert fleet.opened == 0, "nothing to tell, and nobody is bothered"
    withdrawal.revoke(office, "permit-1", "revoked", "court")
    notices.refresh()
    assert fleet.opened == 0, "it does not count yet"
    withdrawals.take_effect()
    for _ in range(3):
        notices.refresh()
    assert told(asked) == {"east": 0, "north": 1, "south": 1}, "who was silent is not pestered"
    assert acknowledged(office) == {"north"}
    fleet.visit, asked["east"].offline = 2, False
    notices.refresh()
    assert acknowledged(office) == set(asked)
    notices.refresh()
    assert told(asked) == {"east": 1, "north": 1, "south": 2}


def test_who_enrolled_anew_is_told_again_and_after_the_permits_end_nobody(
    office: Office,
    withdrawals: withdrawal.Withdrawals,
    notices: Notices,
    asked: dict[str, Hospital],
    clock: Clock,
) -> None:
    withdrawal.revoke(office, "permit-1", "revoked", "court")
    withdrawals.take_effect()
    notices.refresh()
    with office.store.begin() as session:
        session.get_one(Participant, "north").enrolled_at = NOW + timedelta(seconds=1)
    clock.now = NOW + timedelta(seconds=2)
    notices.refresh()
    assert told(asked) == {"east": 1, "north": 2, "south": 1}
    with office.store.begin() as session:
        session.get_one(Participant, "north").enrolled_at = NOW + timedelta(days=51)
        session.get_one(Participant, "north").not_after = NOW + timedelta(days=99)
    clock.now = NOW + timedelta(days=52)
    notices.refresh()
    assert told(asked)["north"] == 2


def test_a_revocation_after_a_suspension_is_told_too(
    office: Office, withdrawals: withdrawal.Withdrawals, notices: Notices, asked: Any
) -> None:
    for effect in ("suspended", "revoked"):
        withdrawal.revoke(office, "permit-1", effect, "court")
        withdrawals.take_effect()
        notices.refresh()
    assert set(told(asked).values()) == {2}
