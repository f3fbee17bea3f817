"""What a node offers, and how the hospital's engine judges contracts."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gatehouse import ALICE, DATASET, Gatehouse, permit, policy
from pydantic import ValidationError

from connector.audit import entries
from connector.authoring.spool import Inbox
from connector.dsp import evidence, terms
from connector.dsp.judge import Answer, Moment, Question, Verdict
from connector.dsp.settings import NodeDataspace
from connector.dsp.states import Role
from connector.identity import certificates, documents
from connector.identity.keys import SigningKey
from node import held
from node.dataspace import Identity, Judge, NodeConnector, offer_of
from policies.odrl import model
from policies.odrl import terms as odrl
from policies.odrl.lower import lower
from policies.odrl.write import write
from policies.permit import Permit
from policies.policy import Policy

JOB = "sha256:" + "a" * 64
OFFER = terms.offered(offer_of(policy()), DATASET.id)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    yield made
    made.close()


def shown(house: Gatehouse, granted: Permit, signer: SigningKey | None = None) -> model.Policy:
    return evidence.with_permit(OFFER, documents.sign(signer or house.coordinator, granted))


def ask(
    house: Gatehouse, on: model.Policy, moment: Moment = Moment.REQUEST, **more: Any
) -> Verdict:
    person = more.pop("person", False)
    judge = more.pop("judge", None) or Judge(house.gate, lambda: house.now, person=person)
    return judge(Question(moment, Role.PROVIDER, "hdab", DATASET.id, on, "urn:uuid:1", **more))


def bounds(offer: model.Policy) -> set[str]:
    return {one.left for each in offer.permissions for one in each.constraints}


def test_an_offer_tells_every_bound_but_the_whole_budget_and_can_be_sent() -> None:
    offer = offer_of(policy())
    assert odrl.BUDGET_EPSILON not in bounds(offer)
    assert {odrl.PURPOSE, odrl.TASK, odrl.COLUMN, odrl.EPSILON, odrl.COHORT_SIZE} <= bounds(offer)
    assert terms.read_offer(terms.spell(OFFER)) == (OFFER, DATASET.id)


def test_an_offer_does_not_tell_the_rules_of_a_policy_in_odrl() -> None:
    rules = write(lower(policy())).decode()
    assert offer_of(policy(rules=rules)) == offer_of(policy())


def test_another_version_of_a_policy_is_another_offer() -> None:
    assert offer_of(policy()).uid != offer_of(policy(version=2)).uid


def test_a_permit_within_the_policy_is_allowed_and_others_are_denied_with_rules(
    house: Gatehouse,
) -> None:
    assert ask(house, shown(house, permit())).answer is Answer.ALLOW
    wrong = permit(tasks=("training.mlp",))
    assert ask(house, shown(house, wrong)) == Verdict(Answer.DENY, ("policy.tasks",))
    over = permit(not_after=permit().not_before + timedelta(seconds=1))
    assert "ehds.art68.period" in ask(house, shown(house, over)).reasons


def test_without_a_permit_that_the_coordinator_signed_there_is_no_contract(
    house: Gatehouse,
) -> None:
    assert ask(house, OFFER) == Verdict(Answer.DENY, ("PERMIT_MISSING",))
    forged = shown(house, permit(), SigningKey("hdab", b"x" * 32))
    verdict = ask(house, forged)
    assert verdict.answer is Answer.DENY
    assert "ehds.art68.permit" in verdict.reasons


def test_without_an_active_policy_nothing_is_offered(house: Gatehouse) -> None:
    question = Question(Moment.CATALOGUE, Role.PROVIDER, "hdab", "north/none", OFFER)
    judge = Judge(house.gate, lambda: house.now, person=False)
    assert judge(question).answer is Answer.DENY
    assert judge(replace(question, dataset=DATASET.id)).answer is Answer.ALLOW
    house.now = policy().not_after
    assert judge(replace(question, dataset=DATASET.id)).answer is Answer.DENY


def test_a_transfer_needs_a_job_and_an_agreement_that_binds_the_permit(house: Gatehouse) -> None:
    on = shown(house, permit())
    assert ask(house, on, Moment.TRANSFER).reasons == ("JOB_MISSING",)
    job = evidence.for_job(JOB).spell()
    assert ask(house, on, Moment.TRANSFER, data_address=job).reasons == ("PERMIT_NOT_BOUND",)
    bound = evidence.bind(on)
    assert ask(house, bound, Moment.TRANSFER, data_address=job).answer is Answer.ALLOW


def test_who_leaves_it_to_a_person_is_asked_once_shown_and_obeyed(house: Gatehouse) -> None:
    granted = permit()
    judge = Judge(house.gate, lambda: house.now, person=True)
    on = shown(house, granted)
    for _ in range(3):
        assert ask(house, on, judge=judge).answer is Answer.HOLD
    assert len(house.entries(entries.ContractJudged)) == 1, (
        "what is said again is not written again"
    )

    log, key = house.directory / "log", house.coordinator.verify_key
    (question,) = held.held(log, key, house.now)
    assert (question.permit, question.dataset) == (granted, DATASET.id)
    assert any("over the Dataspace Protocol" in line for line in held.describe(question))

    house.hand_in(house.answer(granted), ALICE)
    house.gate.take_in()
    assert ask(house, on, judge=judge).answer is Answer.ALLOW
    assert not held.held(log, key, house.now)

    house.now += timedelta(seconds=1)
    house.hand_in(house.answer(granted, approved=False), ALICE)
    house.gate.take_in()
    assert ask(house, on, judge=judge) == Verdict(Answer.DENY, ("policy.approval",))
    assert not Inbox(house.directory / "inbox").waiting()


def test_a_policy_that_asks_a_person_holds_under_either_handling(tmp_path: Path) -> None:
    own: Policy = policy(approval="person")
    house = Gatehouse(tmp_path, own_policy=own)
    assert ask(house, shown(house, permit())) == Verdict(Answer.HOLD, ("policy.approval",))
    house.close()


TABLE = {"address": "https://dsp.north.example", "listen": "127.0.0.1:8443", "tls": "proxy"}


def test_the_table_of_the_dataspace_is_read() -> None:
    settings = NodeDataspace.model_validate(TABLE)
    assert settings.root == "https://dsp.north.example/2025-1"
    assert settings.place == ("127.0.0.1", 8443)
    assert settings.handling == "automatic"


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "http://dsp.north.example"},
        {"address": "https://dsp.north.example/path"},
        {"address": "https://user@dsp.north.example"},
        {"listen": "8443"},
        {"listen": "0.0.0.0:99999"},
        {"tls": "none"},
        {"tls": {"certificate": "a.pem"}},
        {"handling": "never"},
        {"unknown": 1},
    ],
)
def test_a_table_that_is_not_understood_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NodeDataspace.model_validate(TABLE | changed)


def moved(kind: str, after: str, **changed: Any) -> entries.ContractMoved:
    known: dict[str, Any] = {
        "time": permit().not_before, "process": f"urn:{kind}", "process_kind": kind,
        "counterparty": "hdab", "dataset": DATASET.id, "agreement": "urn:a", "role": "provider",
        "permit_digest": permit().digest, "before": "", "after": after, "by": "provider",
    }  # fmt: skip
    return entries.ContractMoved(**(known | changed))


def test_contracts_whose_tables_were_lost_entitle_no_more(house: Gatehouse, tmp_path: Path) -> None:
    house.gate.record(moved("negotiation", "FINALIZED"))
    house.gate.record(moved("transfer", "STARTED", job=JOB))
    assert house.gate.contracts.lacks("hdab", permit().digest, DATASET.id, JOB) == ""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    certificates.create_authority(tmp_path, "hdab", house.now)
    connector = NodeConnector(
        NodeDataspace.model_validate(TABLE | {"listen": listen}), tmp_path,
        Identity(house.key, house.coordinator.verify_key), house.gate, lambda: house.now,
        say=house.said.append, on_end=lambda: None, authority=tmp_path / "ca.pem",
    )  # fmt: skip
    connector.start()
    try:
        assert house.gate.contracts.lacks("hdab", permit().digest, DATASET.id, JOB)
        assert house.entries(entries.ContractMoved)[-1].reasons == ("NOT_KEPT",)
        assert house.entries(entries.AgreementEnded)[-1].reasons == ("NOT_KEPT",)
    finally:
        connector.close()
    assert connector.trouble is None
