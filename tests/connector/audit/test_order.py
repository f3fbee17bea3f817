"""What must hold between entries: decision, reservation, release; and time never goes back."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from logbook import JOB, REQUEST, SPEC, after, decided, decision, one_of_each, released, reserved

from connector.audit import entries
from connector.audit.order import Order, planned
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.privacy import SampledGaussian

OTHER = "sha256:" + "f" * 64
EVALUATION: dict[str, Any] = {
    "task": "evaluation.logistic",
    "fold": "holdout",
    "mechanism": SampledGaussian(Decimal(10)).to_json(),
}


def check(log: Iterable[entries.Entry]) -> None:
    order = Order()
    for index, entry in enumerate(log):
        order.check(index, entry.encode())


def broken(log: list[entries.Entry]) -> str:
    """The sentence about the last entry; those before it must be in order."""
    check(log[:-1])
    with pytest.raises(PolicyError) as refusal:
        check(log)
    assert refusal.value.code == "LOG_ORDER"
    return refusal.value.message


def test_a_log_in_order_passes() -> None:
    check(
        [
            decided(0),
            reserved(1),
            released(2),
            reserved(3, round=2),
            released(3, round=2),
            reserved(4, round=3, **EVALUATION),
            released(5, round=3, task="evaluation.logistic"),
            entries.JobEnded(time=after(6), job=JOB, reason="finished"),
        ]
    )


def test_every_kind_of_entry_passes() -> None:
    check(one_of_each())


def test_a_time_before_the_one_before_is_found() -> None:
    later = entries.Incident(time=after(1), code="X")
    assert "earlier" in broken([later, entries.Incident(time=after(0), code="X")])


def test_equal_times_are_in_order() -> None:
    check([entries.Incident(time=after(1), code="X")] * 2)


def test_a_reservation_needs_a_decision() -> None:
    assert "no decision allowed" in broken([reserved()])


@pytest.mark.parametrize(
    ("satisfied", "verdict"), [((False,), Verdict.DENY), ((None,), Verdict.UNDETERMINED)]
)
def test_a_decision_that_does_not_allow_does_not_entitle(
    satisfied: tuple[bool | None, ...], verdict: Verdict
) -> None:
    denied = decided(decision=decision(*satisfied, verdict=verdict))
    assert "no decision allowed" in broken([denied, reserved()])


def test_a_decision_entitles_its_own_job_only() -> None:
    assert "no decision allowed" in broken([decided(), reserved(job=OTHER)])


@pytest.mark.parametrize("satisfied", [(False,), (True, False), (True, None), ()])
def test_a_verdict_that_the_constraints_do_not_give_is_found(
    satisfied: tuple[bool | None, ...],
) -> None:
    forged = decided(decision=decision(*satisfied, verdict=Verdict.ALLOW))
    assert "constraints do not give" in broken([forged])


def test_a_decision_about_another_request_is_found() -> None:
    forged = decided(
        decision=decision(True, verdict=Verdict.ALLOW, request_digest="sha256:00"), request=REQUEST
    )
    assert "another request" in broken([forged])


@pytest.mark.parametrize(
    "changed",
    [
        {"mechanism": SampledGaussian(Decimal(10_000), Decimal("0.5"), 2).to_json()},
        {"mechanism": SampledGaussian(Decimal("1.5"), Decimal("0.5"), 1).to_json()},
        {"fold": "holdout"},
        {"dataset": "north/other"},
        {"round": 4},
        {"task": "training.mlp"},
        {"task": "evaluation.logistic"},
    ],
)
def test_a_reservation_is_what_the_specification_says(changed: dict[str, Any]) -> None:
    assert "something else" in broken([decided(), reserved(**changed)])


@pytest.mark.parametrize(
    "changed",
    [
        {"planned": ()},
        {"planned": planned(SPEC)[:1]},
        {"job_not_after": SPEC.not_after + timedelta(days=1)},
    ],
)
def test_an_allowance_holds_what_the_specification_costs(changed: dict[str, Any]) -> None:
    assert "another cost or deadline" in broken([decided(**changed)])


def test_a_job_is_allowed_once() -> None:
    ended = entries.JobEnded(time=after(1), job=JOB, reason="finished")
    assert "second time" in broken([decided(), ended, decided(2)])


def test_a_reservation_after_the_deadline_is_found() -> None:
    late = int((SPEC.not_after - after(0)).total_seconds())
    check([decided(), reserved(late - 1)])
    assert "deadline" in broken([decided(), reserved(late)])


def test_a_decision_of_another_moment_is_found() -> None:
    forged = decided(decision=decision(True, verdict=Verdict.ALLOW, decided_at=after(5)))
    assert "another time" in broken([forged])


def test_a_release_is_of_the_dataset_that_was_reserved() -> None:
    log = [decided(), reserved(), released(dataset="north/other")]
    assert "without a reservation" in broken(log)


def test_a_step_is_reserved_once() -> None:
    assert "second time" in broken([decided(), reserved(), reserved(1)])


def test_a_job_that_is_over_reserves_nothing() -> None:
    ended = entries.JobEnded(time=after(1), job=JOB, reason="finished")
    assert "is over" in broken([decided(), ended, reserved(2)])


def test_a_decision_about_another_job_than_it_shows_is_found() -> None:
    other = SPEC.model_copy(update={"rounds": 2, "evaluation_rounds": ()})
    forged = decided(specification=other.encode().decode())
    assert "another job" in broken([forged])


@pytest.mark.parametrize("changed", [{"round": 2}, {"task": "evaluation.logistic"}, {"job": OTHER}])
def test_a_release_needs_the_reservation_of_its_own_step(changed: dict[str, object]) -> None:
    assert "without a reservation" in broken([decided(), reserved(), released(**changed)])


def test_a_release_before_its_reservation_is_found() -> None:
    assert "without a reservation" in broken([decided(), released()])


def test_a_step_is_released_once() -> None:
    assert "second time" in broken([decided(), reserved(), released(), released(1)])


def test_what_is_no_entry_is_found() -> None:
    with pytest.raises(PolicyError) as refusal:
        Order().check(0, b'{"kind":"gossip"}')
    assert refusal.value.code == "ENTRY_INVALID"
