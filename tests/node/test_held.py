"""Where a policy leaves it to a person: nothing before the answer, and the last one counts."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gatehouse import ALICE, BOB, DATASET, Gatehouse, permit, policy, spec

from connector.audit import entries
from connector.audit.order import Order
from connector.audit.verify import verify
from connector.errors import LocalError
from node import held
from policies import policy as policies
from policies import purposes
from policies.odrl.lower import lower
from policies.odrl.write import write

ASKING = policy(version=2, approval="person")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    """A node whose policy leaves each permit to a person."""
    made = Gatehouse(tmp_path)
    made.activate(ASKING)
    yield made
    made.close()
    assert verify(tmp_path / "log", made.key.verify_key, Order("north").check).ok


def waiting(house: Gatehouse) -> list[held.Question]:
    return held.held(house.directory / "log", house.coordinator.verify_key, house.now)


def answer(house: Gatehouse, *, approved: bool) -> None:
    house.now += timedelta(minutes=1)
    house.hand_in(house.answer(permit(), approved=approved), BOB)


def test_a_job_waits_before_a_record_is_read_or_anybody_is_counted(house: Gatehouse) -> None:
    refused = house.begin(spec(permit()), permit())
    assert (refused["status"], refused["code"]) == ("refused", "APPROVAL_PENDING")
    assert "policy.approval" in refused["rules"]
    assert house.opened == 0
    assert house.entries(entries.Counted) == []


def test_the_same_request_is_written_down_once_however_often_it_comes(house: Gatehouse) -> None:
    for _ in range(5):
        house.begin(spec(permit()), permit())
    house.restart()
    house.begin(spec(permit()), permit())
    assert len(house.entries(entries.Decided)) == 1
    assert len(house.entries(entries.Refused)) == 6
    assert len(waiting(house)) == 1


def test_after_an_approval_the_next_submission_runs(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    answer(house, approved=True)
    job = spec(permit(), id="job-2")
    assert house.begin(job, permit())["status"] == "ok"
    assert house.step(job, 1, "training.logistic")["status"] == "ok"
    assert waiting(house) == []


def test_an_approval_outlives_a_restart(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    answer(house, approved=True)
    house.gate.take_in()
    house.restart()
    assert house.begin(spec(permit()), permit())["status"] == "ok"


def test_a_refusal_is_a_denial_by_its_rule(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    answer(house, approved=False)
    refused = house.begin(spec(permit()), permit())
    assert (refused["code"], refused["rules"]) == ("NOT_ALLOWED", ["policy.approval"])
    assert waiting(house) == []


def test_an_approval_that_is_taken_back_stops_the_job_with_its_next_step(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    answer(house, approved=True)
    job = spec(permit())
    assert house.begin(job, permit())["status"] == "ok"
    assert house.step(job, 1, "training.logistic")["status"] == "ok"
    answer(house, approved=False)
    assert house.step(job, 2, "training.logistic")["rules"] == ["policy.approval"]


def test_a_policy_that_begins_to_ask_holds_a_job_under_way(tmp_path: Path) -> None:
    house = Gatehouse(tmp_path)
    job = spec(permit())
    house.begin(job, permit())
    house.activate(ASKING)
    assert house.step(job, 1, "training.logistic")["code"] == "APPROVAL_PENDING"
    assert len(waiting(house)) == 1
    answer(house, approved=True)
    assert house.step(job, 1, "training.logistic")["status"] == "ok"
    house.close()


def test_another_permit_of_the_same_name_is_not_the_one_that_was_approved(
    house: Gatehouse,
) -> None:
    house.begin(spec(permit()), permit())
    answer(house, approved=True)
    wider = permit(project="something else")
    assert house.begin(spec(wider), wider)["code"] == "APPROVAL_PENDING"
    (question,) = waiting(house)
    assert question.permit == wider


def test_what_is_refused_anyway_asks_nobody(house: Gatehouse) -> None:
    granted = permit(purpose=purposes.by_name("advertising").iri)
    assert house.begin(spec(granted), granted)["code"] == "NOT_ALLOWED"
    assert waiting(house) == []


def test_an_answer_needs_an_officer(house: Gatehouse) -> None:
    name = house.hand_in(house.answer(permit()), house.coordinator)
    assert house.begin(spec(permit()), permit())["code"] == "APPROVAL_PENDING"
    assert house.inbox.verdict(name) == "SIGNATURE_INVALID"


def test_of_two_answers_the_younger_counts_in_whatever_order_they_are_found(
    house: Gatehouse,
) -> None:
    house.begin(spec(permit()), permit())
    early = house.answer(permit(), approved=True)
    house.now += timedelta(minutes=1)
    late = house.answer(permit(), approved=False)
    house.hand_in(late, ALICE)
    house.gate.take_in()
    house.hand_in(early, ALICE)
    house.gate.take_in()
    assert house.begin(spec(permit()), permit())["rules"] == ["policy.approval"]


def test_a_question_is_described_with_all_that_a_person_needs(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    (question,) = waiting(house)
    text = "\n".join(held.describe(question))
    for part in (
        "permit-1 for north/patients", "a university", "survival", "scientific-research",
        "age, died", "training.logistic", permit().digest, "policy.approval", "nobody has answered",
    ):  # fmt: skip
        assert part in text, part


def test_what_is_approved_is_the_whole_permit_so_the_whole_permit_is_shown(
    house: Gatehouse,
) -> None:
    wide = permit(
        columns=("age", "died", "hiv"), tasks=("training.logistic", "evaluation.logistic", "x.y"),
        outputs=("model", "table"), epsilon="1.5", minimum_participants=2,
    )  # fmt: skip
    house.begin(spec(wide), wide)
    (question,) = waiting(house)
    text = "\n".join(held.describe(question))
    for part in (
        "age, died, hiv", "x.y", "model, table", "epsilon 1.5", "delta 0.00001", "at least 2",
        "north/patients, south/patients", "2027-01-11",
    ):  # fmt: skip
        assert part in text, part
    job = text.partition("the last job")[2]
    assert "columns:   age, died\n" in job


def test_a_request_that_names_one_permit_and_shows_another_is_no_question(
    house: Gatehouse,
) -> None:
    log, key = house.directory / "log", house.coordinator.verify_key
    benign, evil = permit(columns=("age", "died"), epsilon="1"), permit(project="sell it")
    house.begin(spec(benign, epsilon="0.3"), benign)
    house.now += timedelta(seconds=1)
    assert house.begin(spec(evil), benign)["code"] == "NOT_ALLOWED"
    (question,) = held.questions(log, key)
    assert (question.permit, question.digest) == (benign, benign.digest)
    assert held.find(log, key, "permit-1", DATASET.id).digest == benign.digest
    house.hand_in(house.answer(evil), ALICE)
    house.gate.take_in()
    with pytest.raises(LocalError) as refusal:
        held.find(log, key, evil.digest, DATASET.id)
    assert refusal.value.code == "PERMIT_NOT_ASKED", "also once somebody has answered about it"


def test_what_was_refused_anyway_is_no_question_that_could_be_answered(house: Gatehouse) -> None:
    granted = permit(purpose=purposes.by_name("advertising").iri)
    house.begin(spec(granted), granted)
    with pytest.raises(LocalError) as refusal:
        held.find(house.directory / "log", house.coordinator.verify_key, "permit-1", DATASET.id)
    assert refusal.value.code == "PERMIT_NOT_ASKED"


def test_a_permit_goes_on_waiting_when_another_job_under_it_is_refused(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    late = spec(permit(), id="job-2", not_after=house.now + timedelta(days=40))
    assert house.begin(late, permit())["code"] == "NOT_ALLOWED"
    assert len(waiting(house)) == 1
    house.begin(spec(permit()), permit())
    assert len(waiting(house)) == 1


def test_a_permit_whose_first_job_was_refused_waits_with_its_second(house: Gatehouse) -> None:
    late = spec(permit(), id="job-2", not_after=house.now + timedelta(days=40))
    assert house.begin(late, permit())["code"] == "NOT_ALLOWED"
    assert waiting(house) == []
    house.begin(spec(permit()), permit())
    (question,) = waiting(house)
    assert question.asked.request.job_digest == spec(permit()).digest


def test_permits_of_one_name_are_told_apart_by_the_beginning_of_the_digest(
    house: Gatehouse,
) -> None:
    log, key = house.directory / "log", house.coordinator.verify_key
    first, second = permit(), permit(project="something else")
    for one in (first, second):
        house.begin(spec(one), one)
    with pytest.raises(LocalError) as refusal:
        held.find(log, key, "permit-1", DATASET.id)
    assert refusal.value.code == "PERMIT_AMBIGUOUS"
    for one in (first, second):
        assert one.digest in refusal.value.remedy
        (short,) = [each.short for each in waiting(house) if each.permit == one]
        assert held.find(log, key, short, DATASET.id).permit == one
        assert held.find(log, key, one.digest, DATASET.id).permit == one
        with pytest.raises(LocalError):
            held.find(log, key, short[:8], DATASET.id)


def test_a_permit_that_is_named_like_the_digest_of_another_does_not_hide_it(
    house: Gatehouse,
) -> None:
    log, key = house.directory / "log", house.coordinator.verify_key
    other = permit(id=permit().digest)
    for one in (permit(), other):
        house.begin(spec(one), one)
    assert held.find(log, key, permit().digest, DATASET.id).permit == permit()


def test_a_rule_that_needs_the_count_does_not_open_the_records_before_the_answer(
    house: Gatehouse,
) -> None:
    rules = json.loads(write(lower(policy(version=3, approval="person"))))
    assert bounded(rules)
    asking = policies.parse(json.dumps(rules).encode(), "policy")
    house.activate(asking)
    assert house.begin(spec(permit()), permit())["code"] == "APPROVAL_PENDING"
    assert (house.opened, house.entries(entries.Counted)) == (0, [])
    assert len(waiting(house)) == 1


def bounded(part: Any) -> bool:
    """Add an upper bound beside the lower one on the cohort, where that stands in ODRL."""
    if isinstance(part, dict):
        for found in part.values():
            lower_bound = (
                [one for one in found if "cohortSize" in json.dumps(one)]
                if isinstance(found, list)
                else []
            )
            if lower_bound and "leftOperand" in lower_bound[0]:
                upper = json.loads(json.dumps(lower_bound[0]))
                upper["operator"] = "lteq"
                upper["rightOperand"]["@value"] = "100000"
                found.append(upper)
                return True
        return any(bounded(found) for found in part.values())
    return isinstance(part, list) and any(bounded(found) for found in part)


def test_a_permit_that_is_over_waits_no_longer(house: Gatehouse) -> None:
    house.begin(spec(permit()), permit())
    house.now = permit().not_after
    assert waiting(house) == []


def test_a_permit_that_nobody_showed_cannot_be_answered(house: Gatehouse) -> None:
    log, key = house.directory / "log", house.coordinator.verify_key
    house.begin(spec(permit()), permit())
    assert held.find(log, key, "permit-1", DATASET.id).permit == permit()
    assert held.find(log, key, permit().digest, DATASET.id).permit == permit()
    for name, dataset in (("permit-2", DATASET.id), ("permit-1", "north/others")):
        with pytest.raises(LocalError) as refusal:
            held.find(log, key, name, dataset)
        assert refusal.value.code == "PERMIT_NOT_ASKED"


def test_an_answer_by_the_command_is_what_the_node_follows(house: Gatehouse) -> None:
    officers = [key.verify_key.vkey for key in (ALICE, BOB)]
    (house.directory / "node.toml").write_text(
        f'name = "north"\nofficers = {officers}\n[[datasets]]\nid = "{DATASET.id}"\n'
    )
    house.begin(spec(permit()), permit())
    (question,) = waiting(house)
    name, _ = held.answer(house.directory, question, ALICE, house.now, approved=True)
    assert house.begin(spec(permit()), permit())["status"] == "ok"
    assert not house.inbox.verdict(name)
    (entry,) = house.entries(entries.Approved)
    assert (entry.permit_id, entry.officer) == ("permit-1", ALICE.verify_key.vkey)
    with pytest.raises(LocalError) as refusal:
        held.answer(house.directory, question, house.key, house.now, approved=True)
    assert refusal.value.code == "OFFICER_UNKNOWN"
