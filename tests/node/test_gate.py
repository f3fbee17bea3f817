"""Admit, reserve, compute, release: every way in and every way to be turned away."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gatehouse import DATASET, NOW, Gatehouse, failing, permit, policy, spec

from connector import messages
from connector.audit import entries
from connector.audit.order import Order
from connector.audit.verify import verify
from connector.errors import LocalError
from connector.identity.keys import SigningKey
from connector.schema import Column
from policies import purposes
from policies.decision import Verdict

STRANGER = SigningKey("hdab", b"x" * 32)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    yield made
    made.close()
    order = Order()
    assert verify(tmp_path / "log", made.key.verify_key, order.check).ok


def last(house: Gatehouse) -> Any:
    return house.entries()[-1]


def test_a_permitted_job_runs_and_each_step_is_reserved_before_it_is_released(
    house: Gatehouse,
) -> None:
    job = spec(permit())
    assert house.begin(job, permit())["status"] == "ok"
    for number, task in (
        (1, "training.logistic"),
        (2, "training.logistic"),
        (2, "evaluation.logistic"),
    ):
        answer = house.step(job, number, task)
        assert answer["status"] == "ok"
        assert set(answer["arrays"]) == {"update" if task.startswith("training") else "histogram"}
    assert house.send("end", {"job": job.digest, "reason": "finished"})["status"] == "ok"
    kinds = [entry.kind for entry in house.entries()]
    assert kinds == [
        "policy-activated", "decided", "reserved", "released", "reserved", "released",
        "reserved", "released", "job-ended",
    ]  # fmt: skip
    assert house.worker.closed


def test_what_is_released_is_logged_as_it_was_sent(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    body = {"job": job.digest, "round": 1, "task": "training.logistic"}
    arrays = {"parameters": np.zeros(2, np.float32)}
    sealed = messages.seal(house.coordinator, "north", "step", body, arrays)
    answer = house.gate.handle(sealed)
    assert answer is not None
    released = last(house)
    assert released.message == messages.digest(answer)
    assert (released.size, released.destination) == (len(answer), "hdab")


def test_the_reservation_is_durable_before_the_worker_is_called(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())

    def look(_task: str) -> dict[str, Any]:
        assert last(house).kind == "reserved"
        return {"update": np.zeros(2, np.float32)}

    house.worker.result = look
    assert house.step(job, 1, "training.logistic")["status"] == "ok"


def test_an_advertising_job_is_refused_by_its_article_before_any_record_is_read(
    house: Gatehouse,
) -> None:
    granted = permit(purpose=purposes.by_name("advertising").iri)
    answer = house.begin(spec(granted), granted)
    assert (answer["status"], answer["code"]) == ("refused", "NOT_ALLOWED")
    assert "ehds.art54.c" in answer["rules"]
    assert house.opened == 0
    decided, refused = house.entries()[-2:]
    assert decided.decision.verdict is Verdict.DENY
    assert tuple(c.rule for c in decided.decision.failed) == refused.rules


def test_a_permit_that_somebody_else_signed_is_no_permit(house: Gatehouse) -> None:
    answer = house.begin(spec(permit()), permit(), signer=STRANGER)
    assert "ehds.art68.permit" in answer["rules"]


def test_a_job_that_costs_more_than_is_left_is_refused_before_anything_is_computed(
    house: Gatehouse,
) -> None:
    granted = permit()
    first = spec(granted, epsilon="1")
    house.begin(first, granted)
    house.step(first, 1, "training.logistic")
    for number in range(2, 9):
        answer = house.begin(spec(granted, epsilon="1", id=f"job-{number}"), granted)
        if answer["status"] == "refused":
            break
    assert set(answer["rules"]) == {"policy.budget", "ehds.art68.budget"}
    assert house.worker.calls == 1
    assert number > 2, "the second job of this size still fits"


def test_a_job_that_ended_early_counts_only_what_was_reserved(house: Gatehouse) -> None:
    granted = permit()
    job = spec(granted, rounds=10)
    house.begin(job, granted)
    house.step(job, 1, "training.logistic")
    planned = house.gate.ledger.spent(DATASET.id, NOW)
    house.send("end", {"job": job.digest, "reason": "finished"})
    spent = house.gate.ledger.spent(DATASET.id, NOW)
    assert 0 < spent.rdp[0] < planned.rdp[0]


def test_a_restart_forgets_nothing(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.step(job, 1, "training.logistic")
    before = house.gate.ledger.spent(DATASET.id, NOW)
    house.restart()
    assert house.gate.ledger.spent(DATASET.id, NOW) == before
    assert house.step(job, 1, "training.logistic")["code"] == "STEP_ALREADY_ANSWERED"
    assert house.step(job, 2, "training.logistic")["status"] == "ok"


def test_a_crash_between_reservation_and_release_leaves_the_cost_spent(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())

    class Killed(BaseException):
        pass

    def killed(_task: str) -> dict[str, Any]:
        raise Killed

    house.worker.result = killed
    with pytest.raises(Killed):
        house.step(job, 1, "training.logistic")
    house.restart()
    account = house.gate.ledger.jobs[job.digest]
    assert account.answered == {(1, "training.logistic")}
    assert account.spent.rdp[0] > 0
    house.worker.result = None
    assert house.step(job, 1, "training.logistic")["code"] == "STEP_ALREADY_ANSWERED"


@pytest.mark.parametrize(
    ("number", "task", "code"),
    [
        (3, "training.logistic", "STEP_UNKNOWN"),
        (1, "evaluation.logistic", "STEP_UNKNOWN"),
        (1, "training.mlp", "STEP_UNKNOWN"),
    ],
)
def test_a_step_that_was_not_agreed_is_refused(
    house: Gatehouse, number: int, task: str, code: str
) -> None:
    job = spec(permit())
    house.begin(job, permit())
    assert house.step(job, number, task)["code"] == code
    assert house.worker.calls == 0
    assert house.gate.ledger.jobs[job.digest].spent.rdp[0] == 0


def test_steps_are_answered_in_order_and_once(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    assert house.step(job, 2, "training.logistic")["status"] == "ok"
    assert house.step(job, 2, "training.logistic")["code"] == "STEP_ALREADY_ANSWERED"
    assert house.step(job, 1, "training.logistic")["code"] == "STEP_ALREADY_ANSWERED"


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"parameters": np.zeros(3, np.float32)},
        {"parameters": np.zeros(2, np.float64)},
        {"parameters": np.array([np.nan, 0], np.float32)},
        {"parameters": np.array([np.inf, 0], np.float32)},
        {"parameters": np.zeros(2, np.float32), "more": np.zeros(1, np.float32)},
    ],
)
def test_arrays_that_are_not_declared_cost_nothing(house: Gatehouse, arrays: Any) -> None:
    job = spec(permit())
    house.begin(job, permit())
    assert house.step(job, 1, "training.logistic", arrays)["code"] == "ARRAYS_MALFORMED"
    assert house.worker.calls == 0
    assert not house.entries(entries.Reserved)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"update": np.zeros(3, np.float32)},
        {"update": np.zeros(2, np.float64)},
        {"update": np.array([np.nan, 0], np.float32)},
        {"update": np.zeros(2, np.float32), "records": np.zeros(1000, np.float32)},
        {"records": np.zeros(2, np.float32)},
    ],
)
def test_a_result_that_is_not_declared_never_leaves(house: Gatehouse, result: Any) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.worker.result = lambda _task: result
    answer = house.step(job, 1, "training.logistic")
    assert (answer["status"], answer["code"], answer["arrays"]) == (
        "failed",
        "RESULT_MALFORMED",
        {},
    )
    assert not house.entries(entries.Released)
    assert last(house).kind == "failed"


def test_an_exceptions_text_never_leaves_and_is_not_logged(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.worker.result = failing("TASK_FAILED")
    answer = house.step(job, 1, "training.logistic")
    assert answer["code"] == "TASK_FAILED"
    assert "4711" not in str(answer)
    assert all(b"4711" not in entry.encode() for entry in house.entries())


def test_a_cohort_that_is_too_small_is_refused(house: Gatehouse) -> None:
    house.worker.people = 9
    answer = house.begin(spec(permit()), permit())
    assert answer["rules"] == ["policy.cohort"]
    assert house.worker.closed


def test_a_permit_that_ends_stops_the_job_in_its_next_round(house: Gatehouse) -> None:
    granted = permit(not_after=NOW + timedelta(hours=1))
    job = spec(granted)
    house.begin(job, granted)
    assert house.step(job, 1, "training.logistic")["status"] == "ok"
    house.now = NOW + timedelta(hours=1)
    answer = house.step(job, 2, "training.logistic")
    assert (answer["code"], answer["rules"]) == ("NOT_ALLOWED", ["ehds.art68.period"])
    assert house.worker.calls == 1


def test_a_tightened_policy_stops_a_job_after_a_restart(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.own_policy = policy(version=2, columns=("died",))
    house.restart()
    assert house.step(job, 1, "training.logistic")["rules"] == ["policy.columns"]
    assert [e.policy.version for e in house.entries(entries.PolicyActivated)] == [1, 2]


def test_a_job_over_its_time_is_refused_and_its_worker_ends(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.now = job.not_after
    assert house.step(job, 1, "training.logistic")["code"] == "JOB_OVER"
    house.gate.sweep()
    assert house.worker.closed
    assert house.begin(job, permit())["code"] == "JOB_OVER"


def test_a_clock_that_went_back_decides_nothing(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.now = NOW - timedelta(hours=2)
    assert house.step(job, 1, "training.logistic")["code"] == "CLOCK_WENT_BACK"
    assert house.begin(spec(permit(), id="job-2"), permit())["code"] == "CLOCK_WENT_BACK"


def test_starting_twice_is_starting_once(house: Gatehouse) -> None:
    job = spec(permit())
    assert house.begin(job, permit())["status"] == "ok"
    assert house.begin(job, permit())["status"] == "ok"
    assert len(house.entries(entries.Decided)) == 1


def test_other_bounds_than_the_hospital_declares_are_refused(house: Gatehouse) -> None:
    job = spec(permit())
    narrow = Column.model_validate(
        {"name": "age", "kind": "numeric", "minimum": "0", "maximum": "1"}
    )
    features = job.features.model_copy(update={"columns": (narrow,)})
    assert house.begin(spec(permit(), features=features), permit())["code"] == "SCHEMA_MISMATCH"


def test_a_dataset_that_is_not_held_here_is_refused(house: Gatehouse) -> None:
    granted = permit(datasets=("north/other", "south/patients"))
    job = spec(granted, datasets=("north/other", "south/patients"))
    assert house.begin(job, granted)["code"] == "DATASET_UNKNOWN"


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("dance", {}, "MESSAGE_KIND_UNKNOWN"),
        ("start", {}, "MESSAGE_MALFORMED"),
        ("start", {"permit": "{}", "specification": "{}"}, "JOB_MALFORMED"),
        ("start", {"permit": "{}", "specification": "x" * 50_000}, "JOB_TOO_LARGE"),
        ("start", {"permit": "{}", "specification": "{}", "more": 1}, "MESSAGE_MALFORMED"),
        ("step", {"job": "sha256:00", "round": 1, "task": "training.logistic"}, "JOB_NOT_ADMITTED"),
        ("step", {"job": "sha256:00", "round": -1, "task": "t"}, "MESSAGE_MALFORMED"),
        ("step", {"job": "x" * 500, "round": 1, "task": "t"}, "MESSAGE_MALFORMED"),
        ("end", {"job": 7, "reason": "x"}, "MESSAGE_MALFORMED"),
    ],
)
def test_a_message_that_is_wrong_gets_a_code(
    house: Gatehouse, kind: str, body: dict[str, Any], code: str
) -> None:
    answer = house.send(kind, body)
    assert (answer["status"], answer["code"]) == ("refused", code)
    assert last(house).code == code


def test_a_message_that_the_coordinator_did_not_sign_is_refused(house: Gatehouse) -> None:
    assert house.send("describe", {}, sender=STRANGER)["code"] == "SIGNATURE_INVALID"


def test_a_message_for_another_hospital_is_refused(house: Gatehouse) -> None:
    assert house.send("describe", {}, to="south")["code"] == "MESSAGE_MISDIRECTED"


def test_no_changed_byte_of_a_message_is_acted_upon(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    body = {"job": job.digest, "round": 1, "task": "training.logistic"}
    arrays = {"parameters": np.zeros(2, np.float32)}
    sealed = messages.seal(house.coordinator, "north", "step", body, arrays)
    house.gate._rate = replace_rate()
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert house.deliver(bytes(changed))["code"] == "SIGNATURE_INVALID"
    assert house.worker.calls == 0


def replace_rate() -> Any:
    class Unlimited:
        def admits(self, _now: Any) -> bool:
            return True

    return Unlimited()


def test_a_flood_is_met_with_silence_and_does_not_fill_the_log(tmp_path: Path) -> None:
    house = Gatehouse(tmp_path, rate=5)
    sealed = messages.seal(STRANGER, "north", "describe", {})
    answers = [house.gate.handle(sealed) for _ in range(20)]
    assert [answer is not None for answer in answers] == [True] * 5 + [False] * 15
    assert len(house.entries(entries.Refused)) == 5
    house.now += timedelta(minutes=1)
    assert house.gate.handle(sealed) is not None
    house.close()


def test_an_offer_says_what_is_allowed_but_not_what_is_left(house: Gatehouse) -> None:
    (offer,) = house.send("describe", {})["offers"]
    assert offer["dataset"] == "north/patients"
    assert "budget" not in offer["policy"]
    assert offer["policy"]["epsilon_per_job"] == "1"


def test_the_parallel_folds_of_a_job_cost_the_larger_one() -> None:
    job = spec(permit())
    alone = replace_evaluation(job)
    assert job.cost() == alone.cost()


def replace_evaluation(job: Any) -> Any:
    return job.model_copy(update={"evaluation_rounds": ()})


def test_a_bug_refuses_and_tells_nothing(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())

    def stumble(_task: str) -> dict[str, Any]:
        raise ZeroDivisionError("PATIENT 4711")

    house.worker.result = stumble
    answer = house.step(job, 1, "training.logistic")
    assert (answer["status"], answer["code"]) == ("refused", "NODE_ERROR")
    assert "4711" not in str(answer)
    assert all(b"4711" not in entry.encode() for entry in house.entries())
    assert house.entries(entries.Incident)
    assert house.gate.ledger.jobs[job.digest].spent.rdp[0] > 0, "what was reserved stays spent"


def test_a_full_disk_refuses_before_anything_is_computed(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = spec(permit())
    house.begin(job, permit())

    def full(_contents: Any) -> range:
        raise LocalError("LOG_FULL", "no space")

    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", full)
        assert house.step(job, 1, "training.logistic")["code"] == "LOG_FULL"
    assert house.worker.calls == 0
    assert house.step(job, 1, "training.logistic")["status"] == "ok"


def test_a_log_that_broke_stops_the_node(house: Gatehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    job = spec(permit())
    house.begin(job, permit())

    def broken(_contents: Any) -> range:
        raise LocalError("LOG_BROKEN", "fsync failed")

    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", broken)
        with pytest.raises(LocalError, match="fsync failed"):
            house.step(job, 1, "training.logistic")
    assert house.worker.calls == 0


def test_only_so_many_jobs_run_at_once(house: Gatehouse) -> None:
    granted = permit()
    for number in range(4):
        quiet = spec(granted, epsilon="0.1", id=f"job-{number}")
        assert house.begin(quiet, granted)["status"] == "ok"
    one_more = spec(granted, epsilon="0.1", id="job-4")
    assert house.begin(one_more, granted)["code"] == "NODE_BUSY"
    house.send("end", {"job": quiet.digest, "reason": "finished"})
    assert house.begin(one_more, granted)["status"] == "ok"


def test_a_message_to_a_gate_that_lost_its_dataset_is_refused(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.gate._admission.holdings.clear()
    assert house.step(job, 1, "training.logistic")["code"] == "DATASET_UNKNOWN"


def test_the_decision_can_be_replayed_from_the_log_alone(house: Gatehouse) -> None:
    from connector.identity import documents  # noqa: PLC0415 - as above
    from connector.jobs import parse_spec  # noqa: PLC0415 - as above
    from policies import engine  # noqa: PLC0415 - what an auditor has, and nothing else
    from policies.permit import Permit  # noqa: PLC0415 - as above
    from policies.privacy import NOTHING  # noqa: PLC0415 - as above
    from policies.request import Facts  # noqa: PLC0415 - as above

    house.begin(spec(permit()), permit())
    activated, decided = house.entries()
    again = engine.compile(activated.policy)(
        decided.request,
        Facts(
            now=decided.decision.decided_at,
            permit=documents.verify(decided.permit_document, Permit, house.coordinator.verify_key),
            planned=parse_spec(decided.specification.encode()).cost(),
            spent_dataset=NOTHING,
            spent_permit=NOTHING,
            persons=activated.policy.minimum_cohort,
        ),
    )
    assert again == decided.decision
