"""Admit, reserve, compute, release: every way in and every way to be turned away."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import gatehouse
import numpy as np
import pytest
from gatehouse import ALICE, BOB, DATASET, NOW, Gatehouse, failing, permit, policy, spec

from connector import messages
from connector.audit import entries
from connector.audit.ledger import Ledger
from connector.audit.order import Order
from connector.audit.verify import verify
from connector.errors import LocalError
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.jobs import parse_spec
from connector.protocol import Terms
from connector.schema import Column
from policies import engine, purposes
from policies import policy as policies
from policies.decision import Verdict
from policies.odrl.lower import lower
from policies.odrl.write import write
from policies.permit import Permit
from policies.privacy import NOTHING
from policies.request import Facts

STRANGER = SigningKey("hdab", b"x" * 32)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    yield made
    made.close()
    order = Order("north")
    assert verify(tmp_path / "log", made.key.verify_key, order.check).ok


def refusing(code: str, text: str) -> Callable[[Any], range]:
    def append(_contents: Any) -> range:
        raise LocalError(code, text)

    return append


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
        "policy-activated", "counted", "decided", "reserved", "released", "reserved", "released",
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
    house.activate(policy(version=2, minimum_cohort=80))  # of about 200 people, 50 are held out
    answer = house.begin(spec(permit()), permit())
    assert answer["rules"] == ["policy.cohort"]
    assert house.worker.closed


def test_a_permit_that_ends_stops_the_job_in_its_next_round(house: Gatehouse) -> None:
    granted = permit(not_after=NOW + timedelta(hours=1))
    job = spec(granted, not_after=NOW + timedelta(hours=1))
    house.begin(job, granted)
    assert house.step(job, 1, "training.logistic")["status"] == "ok"
    house.now = NOW + timedelta(hours=1)
    assert house.step(job, 2, "training.logistic")["code"] == "JOB_OVER"
    assert house.worker.calls == 1


def test_a_policy_that_ends_stops_the_job_in_its_next_round(house: Gatehouse) -> None:
    house.activate(policy(version=2, not_after=NOW + timedelta(minutes=30)))
    job = spec(permit())
    house.begin(job, permit())
    assert house.step(job, 1, "training.logistic")["status"] == "ok"
    house.now = NOW + timedelta(minutes=30)
    answer = house.step(job, 2, "training.logistic")
    assert (answer["code"], answer["rules"]) == ("NOT_ALLOWED", ["policy.period"])
    assert house.worker.calls == 1


def test_a_tightened_policy_stops_a_job_at_once_and_after_a_restart(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.hand_in(house.activation(policy(version=2, columns=("died",))), ALICE, BOB)
    assert house.step(job, 1, "training.logistic")["rules"] == ["policy.columns"]
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


def test_a_column_that_the_dataset_does_not_have_is_refused_whatever_the_policy_lists(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = spec(permit())
    house.begin(job, permit())
    fewer = gatehouse.DATASET.model_copy(update={"columns": gatehouse.DATASET.columns[1:]})
    monkeypatch.setattr(gatehouse, "DATASET", fewer)
    house.restart()
    assert house.begin(spec(permit(), id="job-2"), permit())["code"] == "SCHEMA_MISMATCH"
    assert house.step(job, 1, "training.logistic")["code"] == "SCHEMA_MISMATCH"


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
        def admits(self) -> bool:
            return True

    return Unlimited()


def test_a_flood_is_met_with_silence_and_does_not_fill_the_log(tmp_path: Path) -> None:
    house = Gatehouse(tmp_path, rate=5)
    sealed = messages.seal(STRANGER, "north", "describe", {})
    answers = [house.gate.handle(sealed) for _ in range(20)]
    assert [answer is not None for answer in answers] == [True] * 5 + [False] * 15
    assert len(house.entries(entries.Refused)) == 5
    house.now -= timedelta(days=30)
    assert house.gate.handle(sealed) is None, "the wall clock does not count"
    house.seconds = 60
    assert house.gate.handle(sealed) is not None
    house.close()


def test_an_offer_says_what_is_allowed_but_not_what_is_left(house: Gatehouse) -> None:
    (offer,) = house.send("describe", {})["offers"]
    assert offer["dataset"] == "north/patients"
    assert "budget" not in offer["policy"]
    assert offer["policy"]["epsilon_per_job"] == "1"


def test_an_offer_of_a_policy_in_odrl_does_not_tell_its_rules(house: Gatehouse) -> None:
    in_odrl = policies.parse(write(lower(policy(version=2))), "policy")
    assert "budgetEpsilon" in in_odrl.rules
    house.activate(in_odrl)
    (offer,) = house.send("describe", {})["offers"]
    assert set(offer["policy"]) == set(Terms.model_fields)
    assert "budget" not in json.dumps(offer)


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
    assert (answer["status"], answer["code"]) == ("failed", "NODE_ERROR")
    assert "4711" not in str(answer)
    assert all(b"4711" not in entry.encode() for entry in house.entries())
    assert last(house).kind == "failed"
    assert house.worker.closed
    assert house.gate.ledger.jobs[job.digest].spent.rdp[0] > 0, "what was reserved stays spent"


def test_a_full_disk_refuses_before_anything_is_computed(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = spec(permit())
    house.begin(job, permit())

    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", refusing("LOG_FULL", "no space"))
        assert house.step(job, 1, "training.logistic")["code"] == "LOG_FULL"
    assert house.worker.calls == 0
    assert house.step(job, 1, "training.logistic")["status"] == "ok"


def test_a_full_disk_stops_no_node_whatever_it_is_asked(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = spec(permit())
    house.begin(job, permit())

    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", refusing("LOG_FULL", "no space"))
        assert house.step(job, 99, "training.logistic")["code"] == "LOG_FULL"
        assert house.send("dance", {})["code"] == "LOG_FULL"
        assert house.send("describe", {}, sender=STRANGER)["code"] == "LOG_FULL"
    assert house.step(job, 1, "training.logistic")["status"] == "ok"


def test_a_log_that_broke_stops_the_node(house: Gatehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    job = spec(permit())
    house.begin(job, permit())

    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", refusing("LOG_BROKEN", "fsync failed"))
        with pytest.raises(LocalError, match="fsync failed"):
            house.step(job, 1, "training.logistic")
    assert house.worker.calls == 0


def test_workers_are_a_cache_and_a_fifth_job_is_no_obstacle(house: Gatehouse) -> None:
    granted = permit()
    jobs = [spec(granted, epsilon="0.1", id=f"job-{number}") for number in range(5)]
    for job in jobs:
        assert house.begin(job, granted)["status"] == "ok"
    assert len(house.gate._workers) == 4
    assert house.opened == 5
    assert house.step(jobs[0], 1, "training.logistic")["status"] == "ok"
    assert house.opened == 6
    assert house.step(jobs[0], 2, "training.logistic")["status"] == "ok"
    assert house.opened == 6


def test_the_answers_about_cohorts_rest_on_one_noisy_count_that_is_paid_for(
    house: Gatehouse,
) -> None:
    granted = permit()
    for number in range(5):
        house.begin(spec(granted, epsilon="0.1", id=f"job-{number}"), granted)
        house.worker.everybody = 0  # whatever the records are by now
    (counted,) = house.entries(entries.Counted)
    assert 80 < counted.people < 320  # six deviations of 20
    assert house.gate.ledger.counting[DATASET.id].rdp[0] > 0
    empty = house.gate.ledger.spent_under("permit-1", DATASET.id, NOW)
    whole = house.gate.ledger.spent(DATASET.id, NOW)
    assert whole.rdp[0] > empty.rdp[0], "the count is the dataset's cost, not the permit's"


def test_a_new_policy_counts_anew_and_pays_again(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    once = house.gate.ledger.counting[DATASET.id]
    house.activate(policy(version=2))
    house.begin(spec(permit(), epsilon="0.1", id="job-2"), permit())
    assert house.gate.ledger.counting[DATASET.id] == once + once


def test_a_job_under_way_goes_on_under_a_new_policy_that_allows_it(house: Gatehouse) -> None:
    job = spec(permit(), epsilon="0.5")
    house.begin(job, permit())
    assert house.step(job, 1, "training.logistic")["status"] == "ok"
    house.activate(policy(version=2))
    assert house.step(job, 2, "training.logistic")["status"] == "ok"
    assert len(house.entries(entries.Counted)) == 2


def test_records_that_changed_end_the_job_here(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    assert house.step(job, 1, "training.logistic")["status"] == "ok"
    house.worker.changed = True
    assert house.step(job, 2, "training.logistic")["status"] == "ok", "touched, but the same"
    house.worker.changed, house.worker.content = True, "somebody opted out"
    assert house.step(job, 2, "evaluation.logistic")["code"] == "DATASET_CHANGED"
    assert house.worker.calls == 2
    house.restart()
    assert house.step(job, 2, "evaluation.logistic")["code"] == "DATASET_CHANGED"


def test_the_log_commits_to_the_records_without_their_digest(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    (decision,) = house.entries(entries.Decided)
    assert decision.dataset_version.startswith("hmac-sha256:")
    assert decision.dataset_version == house.key.commitment("as admitted")
    assert decision.dataset_version != house.coordinator.commitment("as admitted")


def test_what_is_wrong_with_the_records_is_not_told(house: Gatehouse) -> None:
    def unreadable(*_: Any) -> Any:
        raise LocalError("VALUE_UNREADABLE", "row 4711 of patients.csv")

    house.gate._open_worker = unreadable
    answer = house.begin(spec(permit()), permit())
    assert (answer["code"], answer["rules"]) == ("DATASET_UNAVAILABLE", [])


@pytest.mark.parametrize("text", ["[" * 100, "]" * 100, '"[' * 100])
def test_no_text_of_a_job_can_end_the_log(house: Gatehouse, text: str) -> None:
    granted = permit(data_user=text, project=text)
    assert house.begin(spec(granted), granted)["status"] == "ok"
    assert "ehds.art68.use" in house.begin(spec(granted, purpose=text), granted)["rules"]
    house.restart()
    assert len(house.entries(entries.Decided)) == 2


def test_an_entry_that_nobody_could_read_is_never_written(house: Gatehouse) -> None:
    granted = permit(datasets=(*(f"h{n}/{'x' * 100}" for n in range(100)), "north/patients"))
    job = spec(granted, datasets=granted.datasets)
    before = len(house.entries())
    answer = house.begin(job, granted)
    assert answer["status"] in ("ok", "refused")
    house.restart()
    assert len(house.entries()) > before
    house.gate.sweep()


def test_a_decision_that_cannot_be_logged_leaves_no_worker(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", refusing("LOG_FULL", "no space"))
        assert house.begin(spec(permit()), permit())["code"] == "LOG_FULL"
    assert house.worker.closed
    house.gate.sweep()


def test_a_permit_that_is_amended_has_its_own_budget_but_not_the_datasets(
    house: Gatehouse,
) -> None:
    first = permit(state="granted")
    again = permit(state="renewed")
    house.begin(spec(first, id="job-1"), first)
    house.begin(spec(again, epsilon="0.9", id="job-2"), again)
    spent = house.gate.ledger.spent_under("permit-1", DATASET.id, NOW)
    assert spent == house.gate.ledger.jobs[spec(first, id="job-1").digest].planned + (
        house.gate.ledger.jobs[spec(again, epsilon="0.9", id="job-2").digest].planned
    )


def test_stopping_ends_what_is_being_computed(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    house.gate.abort()
    assert house.worker.aborted


def test_a_message_to_a_gate_that_lost_its_dataset_is_refused(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.gate._admission.datasets.clear()
    assert house.step(job, 1, "training.logistic")["code"] == "DATASET_UNKNOWN"


def test_the_decision_can_be_replayed_from_the_log_alone(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    activated, counted, decided = house.entries()
    job = parse_spec(decided.specification.encode())
    ledger = Ledger()
    ledger.apply(counted)
    again = engine.compile(activated.policy)(
        decided.request,
        Facts(
            now=decided.decision.decided_at,
            permit=documents.verify(decided.permit_document, Permit, house.coordinator.verify_key),
            planned=job.cost(),
            spent_dataset=ledger.spent(DATASET.id, NOW),
            spent_permit=NOTHING,
            persons=int(counted.people * min(job.holdout, 1 - job.holdout)),
        ),
    )
    assert again.decision() == decided.decision
