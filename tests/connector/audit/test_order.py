"""What must hold between entries: decision, reservation, release; and time never goes back."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from logbook import (
    ALICE,
    BOB,
    JOB,
    POLICY,
    REQUEST,
    SPEC,
    activated,
    after,
    answered,
    decided,
    decision,
    one_of_each,
    recorded,
    released,
    reserved,
)

from connector.audit import entries
from connector.audit.order import Order, planned
from connector.identity.keys import SigningKey
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.privacy import SampledGaussian

OTHER = "sha256:" + "f" * 64
EVALUATION: dict[str, Any] = {
    "task": "evaluation.logistic",
    "fold": "holdout",
    "mechanism": SampledGaussian(Decimal(10)).to_json(),
}


def check(log: Iterable[entries.Entry], *, first: entries.Entry | None = None) -> None:
    """A log that begins with the activation of the policy that decides in it."""
    order = Order("north")
    for index, entry in enumerate([first or activated(), *log]):
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
    check(one_of_each()[1:], first=one_of_each()[0])


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
        Order("north").check(0, b'{"kind":"gossip"}')
    assert refusal.value.code == "ENTRY_INVALID"


@pytest.mark.parametrize(
    "officers",
    [(ALICE,), (ALICE, SigningKey("alice", b"z" * 32)), (ALICE, SigningKey("alan", b"a" * 32))],
    ids=["one", "one name", "one key"],
)
def test_a_policy_is_activated_by_two_people_with_two_keys(
    officers: tuple[SigningKey, ...],
) -> None:
    newer = POLICY.model_copy(update={"version": 2})
    assert "fewer officers" in broken([activated(1, *officers, policy=newer)])


MALLORY = SigningKey("mallory", b"m" * 32)
OTHERS = activated(1, ALICE, MALLORY, policy=POLICY.model_copy(update={"version": 2}))


@pytest.mark.parametrize(
    "changed",
    [
        {"policy": POLICY.model_copy(update={"version": 2, "minimum_cohort": 1}).model_dump()},
        {"examples": "sha256:f"},
        {"signed_at": after(0) + timedelta(milliseconds=1)},
        {"officers": OTHERS.officers},
        {"signatures": OTHERS.signatures},
        {"signatures": OTHERS.signatures[::-1]},
        {"signatures": activated(1).signatures},
        {"officers": (), "signatures": ()},
        {"officers": ("alice", "bob")},
        {"signatures": OTHERS.signatures[:1]},
    ],
)
def test_what_two_officers_signed_cannot_be_made_up_or_changed_by_who_writes_the_log(
    changed: dict[str, Any],
) -> None:
    newer = POLICY.model_copy(update={"version": 2})
    check([activated(1, policy=newer)])
    forged = {**activated(1, policy=newer).model_dump(), **changed}
    broken([entries.PolicyActivated.model_validate(forged)])


@pytest.mark.parametrize(
    ("entry", "changed"),
    [
        (answered(1, approved=False), {"approved": True}),
        (answered(1), {"dataset": "north/other"}),
        (answered(1), {"permit_digest": "sha256:02"}),
        (answered(1), {"permit_id": "permit-2"}),
        (answered(1), {"officer": BOB.verify_key.vkey}),
        (answered(1), {"signature": answered(2).signature}),
        (recorded("done", 1), {"duty": "ehds.art68.deletion"}),
        (recorded("done", 1), {"evidence": "sha256:" + "1" * 64}),
        (recorded("done", 1), {"job": JOB}),
        (recorded("began", 1, days=5), {"days": None}),
        (recorded("extended", 1, until=after(0).date()), {"until": after(10**6).date()}),
        (recorded("done", 1), {"actor": ALICE.verify_key.vkey}),
    ],
)
def test_answers_and_records_bear_the_signature_of_what_they_say(
    entry: entries.Entry, changed: dict[str, Any]
) -> None:
    check([entry])
    forged = type(entry).model_validate({**entry.model_dump(), **changed})
    assert "does not carry the signature" in broken([forged])


def test_what_was_signed_for_another_node_does_not_count_here() -> None:
    assert "does not carry" in broken([answered(1, node="south")])
    assert "does not carry" in broken([recorded("done", 1, node="south")])


def test_a_log_whose_signatures_are_of_others_than_the_officers_that_are_known_is_found() -> None:
    log = [activated(), answered(1, BOB)]
    order = Order("north", [ALICE.verify_key, BOB.verify_key])
    for index, entry in enumerate(log):
        order.check(index, entry.encode())
    assert list(order.signers) == [ALICE.verify_key, BOB.verify_key]
    assert "the officers that you named" in " ".join(order.passed)
    for known in ([ALICE], [MALLORY], [ALICE, SigningKey("bob", b"z" * 32)]):
        with pytest.raises(PolicyError, match="did not name"):
            Order("north", [key.verify_key for key in known]).check(0, log[0].encode())
    assert "the keys that the log names" in " ".join(Order("north").passed)


def test_what_was_signed_earlier_undoes_nothing() -> None:
    check([activated(2, policy=POLICY.model_copy(update={"version": 2}))])
    old = activated(0, policy=POLICY.model_copy(update={"id": "north/other", "version": 9}))
    late = old.model_copy(update={"time": after(3)})
    assert "no later" in broken([late])
    again = answered(1).model_copy(update={"time": after(3)})
    assert "no later" in broken([answered(2, approved=False), again])


def test_nothing_is_signed_after_it_stands_in_the_log() -> None:
    early = answered(5).model_copy(update={"time": after(1)})
    assert "after it was written" in broken([early])


@pytest.mark.parametrize("version", [1, 2])
def test_the_version_of_a_policy_only_rises(version: int) -> None:
    newer, again = (POLICY.model_copy(update={"version": one}) for one in (2, version))
    assert "not newer" in broken([activated(1, policy=newer), activated(2, policy=again)])


def test_another_policy_has_its_own_versions() -> None:
    other = POLICY.model_copy(update={"id": "north/other"})
    again = POLICY.model_copy(update={"version": 2})
    check([activated(1, policy=other), activated(2, policy=again)])
    old = activated(3, policy=POLICY)
    assert "not newer" in broken([activated(1, policy=other), old]), "a former one comes back"


def test_a_decision_rests_on_the_policy_that_is_active() -> None:
    newer = POLICY.model_copy(update={"version": 2})
    check([decided()])
    assert "not active" in broken([activated(1, policy=newer), decided(2)])


def test_a_decision_without_an_active_policy_is_found() -> None:
    other = POLICY.model_copy(update={"dataset": "north/other"})
    with pytest.raises(PolicyError, match="not active"):
        check([decided()], first=activated(policy=other))


@pytest.mark.parametrize("answers", [(), (False,), (True, False)])
def test_where_a_person_decides_nothing_is_allowed_without_the_last_answer(
    answers: tuple[bool, ...],
) -> None:
    asking = activated(policy=POLICY.model_copy(update={"approval": "person"}))
    made = decision(True, verdict=Verdict.ALLOW, policy_digest=asking.policy.digest)
    with pytest.raises(PolicyError, match="should have approved"):
        check([*said(*answers), decided(decision=made)], first=asking)
    check([*said(*answers, True), decided(decision=made)], first=asking)


@pytest.mark.parametrize("changed", [{"dataset": "north/other"}, {"permit_digest": "sha256:02"}])
def test_an_approval_is_of_one_dataset_and_of_one_permits_content(changed: dict[str, Any]) -> None:
    asking = activated(policy=POLICY.model_copy(update={"approval": "person"}))
    made = decision(True, verdict=Verdict.ALLOW, policy_digest=asking.policy.digest)
    with pytest.raises(PolicyError, match="should have approved"):
        check([answered(**changed), decided(decision=made)], first=asking)


def said(*answers: bool) -> list[entries.Entry]:
    """Answers, one signed after the other."""
    return [
        answered(approved=one, issued_at=after(number - 9)) for number, one in enumerate(answers)
    ]
