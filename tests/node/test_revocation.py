"""A permit is taken back: nothing more is computed, reserved or released under it."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gatehouse import NOW, WIDTH, Gatehouse, permit, spec

from connector import messages
from connector.audit import entries
from connector.audit.order import Order
from connector.audit.replay import Replay
from connector.audit.verify import verify
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.revocation import Revocation
from policies.permit import Permit

STRANGER = SigningKey("hdab", b"x" * 32)
TRAINING = "training.logistic"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    yield made
    made.close()
    assert verify(tmp_path / "log", made.key.verify_key, Order("north").check).ok
    replay = Replay(made.coordinator.verify_key)
    log = [(index, entry.encode()) for index, entry in enumerate(made.entries())]
    assert list(replay.run(log)) == []


def statement(granted: Permit, by: SigningKey, **changed: Any) -> str:
    known: dict[str, Any] = {
        "permit_id": granted.id,
        "permit_digest": granted.digest,
        "effect": "revoked",
        "reason": "non-compliance",
        "revoked_at": NOW,
    }
    return documents.sign(by, Revocation.model_validate(known | changed))


def revoke(house: Gatehouse, granted: Permit, **changed: Any) -> dict[str, Any]:
    by = changed.pop("by", house.coordinator)
    return house.send("revoke", {"statement": statement(granted, by, **changed)})


def kinds(house: Gatehouse) -> list[str]:
    return [entry.kind for entry in house.entries()]


@pytest.mark.parametrize(
    ("effect", "code"), [("revoked", "PERMIT_REVOKED"), ("suspended", "PERMIT_SUSPENDED")]
)
def test_a_permit_that_is_taken_back_ends_its_jobs_and_begins_no_other(
    house: Gatehouse, effect: str, code: str
) -> None:
    job = spec(permit())
    house.begin(job, permit())
    assert house.step(job, 1, TRAINING)["status"] == "ok"
    assert revoke(house, permit(), effect=effect)["status"] == "ok"
    revoked, ended = house.entries()[-2:]
    assert (revoked.permit_id, revoked.effect, revoked.actor) == (
        "permit-1", effect, house.coordinator.verify_key.vkey,
    )  # fmt: skip
    assert (ended.job, ended.reason) == (job.digest, code)
    assert house.worker.closed
    assert house.step(job, 2, TRAINING)["code"] == code
    again = house.begin(spec(permit(), id="job-2"), permit())
    assert again["rules"] == ["ehds.art63.revoked"]
    house.restart()
    assert house.step(job, 2, TRAINING)["code"] == code
    assert house.begin(spec(permit(), id="job-3"), permit())["rules"] == ["ehds.art63.revoked"]


def test_every_version_of_the_permit_is_meant_and_no_other_permit(house: Gatehouse) -> None:
    renewed, other = permit(state="renewed"), permit(id="permit-2")
    revoke(house, permit())
    assert house.begin(spec(renewed), renewed)["rules"] == ["ehds.art63.revoked"]
    assert house.begin(spec(other, id="job-2", epsilon="0.5"), other)["status"] == "ok"


def test_the_log_holds_what_proves_it(house: Gatehouse) -> None:
    revoke(house, permit())
    (entry,) = house.entries(entries.PermitRevoked)
    said = documents.verify(entry.document, Revocation, house.coordinator.verify_key)
    assert (said.permit_id, said.permit_digest) == (entry.permit_id, permit().digest)


def test_a_statement_that_another_key_signed_is_refused_and_logged(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    assert revoke(house, permit(), by=STRANGER)["code"] == "SIGNATURE_INVALID"
    assert house.entries()[-1].code == "SIGNATURE_INVALID"
    assert house.entries(entries.PermitRevoked) == []
    assert house.step(job, 1, TRAINING)["status"] == "ok"


def test_no_changed_byte_of_a_statement_takes_effect(house: Gatehouse) -> None:
    document = statement(permit(), house.coordinator)
    for place in range(len(document)):
        letter = "A" if document[place] != "A" else "B"
        with pytest.raises(RemoteError):
            house.gate.revoke(document[:place] + letter + document[place + 1 :])
    assert house.entries(entries.PermitRevoked) == []


@pytest.mark.parametrize("body", [{}, {"statement": ""}, {"statement": "x" * 5000}, {"other": "x"}])
def test_a_message_that_is_no_statement_is_refused(house: Gatehouse, body: dict[str, str]) -> None:
    assert house.send("revoke", body)["code"] == "MESSAGE_MALFORMED"


def test_the_same_word_twice_is_one_entry_and_a_suspension_can_become_final(
    house: Gatehouse,
) -> None:
    for effect in ("suspended", "suspended", "revoked", "suspended", "revoked"):
        assert revoke(house, permit(), effect=effect)["status"] == "ok"
    found = [entry.effect for entry in house.entries(entries.PermitRevoked)]
    assert found == ["suspended", "revoked"]


def test_a_clock_that_went_back_does_not_keep_a_permit_alive(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    house.now = NOW - timedelta(hours=2)
    assert revoke(house, permit())["status"] == "ok"
    assert house.entries()[-1].reason == "PERMIT_REVOKED"


def in_a_step(act: Callable[[], Any]) -> Callable[[str], Any]:
    """Another thread acts while a step is computed, which has a result all the same."""

    def compute(_task: str) -> dict[str, Any]:
        done = threading.Thread(target=act)
        done.start()
        done.join(timeout=30)
        assert not done.is_alive(), "it waits for the computation"
        return {"update": np.ones(WIDTH + 1, dtype=np.float32)}

    return compute


def test_a_computation_under_way_is_aborted_and_its_result_never_leaves(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    document = statement(permit(), house.coordinator)
    sealed = messages.seal(house.coordinator, "north", "revoke", {"statement": document})
    house.worker.result = in_a_step(lambda: house.gate.handle(sealed))
    answer = house.step(job, 1, TRAINING)
    assert (answer["status"], answer["code"]) == ("failed", "PERMIT_REVOKED")
    assert not answer["arrays"]
    assert house.worker.aborted
    assert kinds(house)[-4:] == ["reserved", "permit-revoked", "job-ended", "failed"]


def test_a_permit_that_ends_stops_what_is_computed_under_it(house: Gatehouse) -> None:
    granted = permit(not_after=NOW + timedelta(hours=1))
    job = spec(granted, not_after=granted.not_after)
    house.begin(job, granted)

    def pass_time() -> None:
        house.now = granted.not_after
        assert house.gate.expire()

    house.worker.result = in_a_step(pass_time)
    assert house.step(job, 1, TRAINING)["status"] == "failed"
    assert house.worker.aborted
    assert kinds(house)[-3:] == ["reserved", "job-ended", "failed"]
    assert house.entries()[-2].reason == "PERMIT_EXPIRED"


@pytest.mark.parametrize(
    ("ends", "reason"),
    [(NOW + timedelta(hours=1), "PERMIT_EXPIRED"), (NOW + timedelta(hours=2), "JOB_OVER")],
)
def test_a_job_ends_at_its_date_without_a_message_and_says_which(
    house: Gatehouse, ends: datetime, reason: str
) -> None:
    granted = permit(not_after=ends)
    job = spec(granted, not_after=NOW + timedelta(hours=1))
    house.begin(job, granted)
    assert not house.gate.expire()
    house.now = job.not_after
    assert house.gate.expire()
    assert house.entries()[-1].reason == reason
    assert house.worker.closed
    assert not house.gate.expire()


def test_a_node_that_was_off_at_the_end_writes_it_down_when_it_is_back(house: Gatehouse) -> None:
    granted = permit(not_after=NOW + timedelta(hours=1))
    house.begin(spec(granted, not_after=granted.not_after), granted)
    house.now = granted.not_after
    house.restart()
    assert house.gate.expire()
    assert house.entries()[-1].reason == "PERMIT_EXPIRED"


def test_a_worker_that_still_reads_records_is_interrupted(house: Gatehouse) -> None:
    interrupted = threading.Event()
    house.gate.interrupt_by(interrupted.set)
    document = statement(permit(), house.coordinator)

    def opening(*_: object) -> Any:
        house.gate.revoke(document)
        assert interrupted.is_set()
        raise LocalError("WORKER_DIED", "aborted")

    house.gate._open_worker = opening
    assert house.begin(spec(permit()), permit())["rules"] == ["ehds.art63.revoked"]
    assert house.entries(entries.Decided) == []


def test_records_that_are_read_all_the_same_are_not_computed_on(house: Gatehouse) -> None:
    document, openly = statement(permit(), house.coordinator), house.gate._open_worker

    def opening(*given: Any) -> Any:
        house.gate.revoke(document)
        return openly(*given)

    house.gate._open_worker = opening
    assert "ehds.art63.revoked" in house.begin(spec(permit()), permit())["rules"]
    assert house.worker.closed


def test_who_asked_to_hear_of_it_does_once(house: Gatehouse) -> None:
    heard: list[entries.PermitRevoked] = []
    house.gate.on_revoked(heard.append)
    revoke(house, permit())
    revoke(house, permit())
    assert [entry.permit_id for entry in heard] == ["permit-1"]
