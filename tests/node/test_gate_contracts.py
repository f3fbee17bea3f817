"""A gate that asks for contracts: no job without one, and none that outlives it."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gatehouse import DATASET, Gatehouse, permit, spec

from connector.audit import entries
from connector.errors import LocalError
from node.gate import Gate

JOB, PERMIT = spec(permit()), permit()


def moved(kind: str, after: str, **changed: Any) -> entries.ContractMoved:
    job = JOB.digest if kind == "transfer" else ""
    known: dict[str, Any] = {
        "time": PERMIT.not_before, "process": f"urn:{kind}", "process_kind": kind,
        "counterparty": "hdab", "dataset": DATASET.id, "agreement": "urn:a", "role": "provider",
        "permit_digest": PERMIT.digest, "job": job, "before": "", "after": after, "by": "provider",
    }  # fmt: skip
    return entries.ContractMoved(**(known | changed))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gatehouse]:
    usual = Gate.__init__
    monkeypatch.setattr(Gate, "__init__", lambda gate, **how: usual(gate, by_contract=True, **how))
    made = Gatehouse(tmp_path)
    yield made
    made.close()
    times = [entry.time for entry in made.entries()]
    assert times == sorted(times)


def begin(house: Gatehouse) -> dict[str, Any]:
    return house.begin(JOB, PERMIT)


def contract(house: Gatehouse) -> None:
    house.gate.record(moved("negotiation", "FINALIZED"))
    house.gate.record(moved("transfer", "STARTED"))


def test_no_job_starts_without_an_agreement_and_a_started_transfer(house: Gatehouse) -> None:
    assert begin(house)["code"] == "AGREEMENT_MISSING"
    house.gate.record(moved("negotiation", "FINALIZED"))
    assert begin(house)["code"] == "TRANSFER_NOT_STARTED"
    assert house.opened == 0, "no record is read for it"
    house.gate.record(moved("transfer", "STARTED"))
    assert begin(house)["status"] == "ok"
    assert house.step(JOB, 1, "training.logistic")["status"] == "ok"


def test_a_restarted_node_knows_its_contracts_from_the_log(house: Gatehouse) -> None:
    contract(house)
    assert begin(house)["status"] == "ok"
    house.restart()
    assert house.step(JOB, 1, "training.logistic")["status"] == "ok"


def test_a_suspended_transfer_stops_the_job_until_it_is_started_again(house: Gatehouse) -> None:
    contract(house)
    begin(house)
    house.gate.record(moved("transfer", "SUSPENDED"))
    assert house.step(JOB, 1, "training.logistic")["code"] == "TRANSFER_NOT_STARTED"
    house.gate.sweep()
    assert house.worker.closed
    house.gate.record(moved("transfer", "STARTED"))
    assert house.step(JOB, 1, "training.logistic")["status"] == "ok"


def test_a_terminated_transfer_ends_the_job_and_gives_back_its_plan(house: Gatehouse) -> None:
    contract(house)
    begin(house)
    house.gate.record(moved("transfer", "TERMINATED"))
    assert house.entries()[-1].reason == "TRANSFER_TERMINATED"
    assert house.gate.ledger.jobs[JOB.digest].ended
    assert house.step(JOB, 1, "training.logistic")["status"] == "refused"
    assert not house.entries(entries.Reserved)


def test_what_is_being_computed_when_a_transfer_ends_is_aborted_and_not_released(
    house: Gatehouse,
) -> None:
    contract(house)
    begin(house)
    started = threading.Event()

    def compute(_task: str) -> dict[str, Any]:
        started.set()
        ending.join()
        assert house.worker.aborted
        raise LocalError("WORKER_DIED", "aborted")

    def end() -> None:
        started.wait()
        house.gate.record(moved("transfer", "TERMINATED"))

    ending = threading.Thread(target=end)
    house.worker.result = compute
    ending.start()
    assert house.step(JOB, 1, "training.logistic")["status"] == "failed"
    assert not house.entries(entries.Released)
    assert len(house.entries(entries.Reserved)) == 1, "what was begun stays spent"


def test_a_result_that_is_ready_just_after_the_end_does_not_leave(house: Gatehouse) -> None:
    contract(house)
    begin(house)
    usual = house.worker.call

    def compute(*arguments: Any) -> dict[str, Any]:
        house.gate.record(moved("transfer", "SUSPENDED"))
        return usual(*arguments)

    house.worker.call = compute  # type: ignore[method-assign] # the stand-in's own
    assert house.step(JOB, 1, "training.logistic")["code"] == "TRANSFER_NOT_STARTED"
    assert not house.entries(entries.Released)


def test_an_entry_that_was_made_before_a_contract_moved_does_not_go_back_in_time(
    house: Gatehouse,
) -> None:
    house.now += timedelta(seconds=5)
    house.gate.record(moved("negotiation", "FINALIZED"))
    house.now -= timedelta(seconds=3)
    house.gate.record(moved("transfer", "STARTED"))
    assert house.entries()[-1].time == house.entries()[-2].time


def test_a_gate_without_contracts_asks_for_none(tmp_path: Path) -> None:
    house = Gatehouse(tmp_path)
    assert begin(house)["status"] == "ok"
    house.close()
