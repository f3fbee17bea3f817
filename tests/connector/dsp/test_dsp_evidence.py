"""The permit in offers and agreements: shown, bound, and found again on both sides."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import kit_wire
import pytest

from connector.dsp import evidence, journal, terms
from connector.dsp.judge import Moved, Refused
from connector.dsp.messages import (
    ContractAgreementMessage,
    ContractRequestMessage,
    TransferRequestMessage,
)
from connector.dsp.states import Kind, Role, Signal, State
from connector.identity import documents
from connector.identity.keys import SigningKey
from policies import purposes
from policies.errors import PolicyError
from policies.odrl import terms as odrl
from policies.odrl.model import Constraint, Policy
from policies.odrl.read import read_embedded
from policies.permit import Permit

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DATASET = "north/patients"
JOB = "sha256:" + "a" * 64
PERMIT = Permit(
    id="p-1", issuer="hdab", state="granted", data_user="a university", project="x",
    purpose=purposes.by_name("scientific-research").iri, datasets=(DATASET,), columns=("age",),
    tasks=("training.logistic", "training.mlp"), outputs=("model",), epsilon="3", delta="0.00001",
    minimum_participants=1, not_before=NOW, not_after=NOW + timedelta(days=3),
)  # fmt: skip
DOCUMENT = documents.sign(SigningKey("hdab", b"c" * 32), PERMIT)


def offer() -> Policy:
    bare = read_embedded({"@id": "urn:offer", "@type": "Offer", "permission": [{"action": "use"}]})
    return terms.offered(bare, DATASET)


def agreement() -> Policy:
    shown = evidence.bind(evidence.with_permit(offer(), DOCUMENT))
    return terms.agreed(shown, "urn:uuid:1", DATASET, ("north", "hdab"), NOW)


def test_the_permit_survives_a_message_and_is_no_part_of_the_terms() -> None:
    shown = evidence.with_permit(offer(), DOCUMENT)
    spelled = terms.spell(shown)
    read, _ = terms.read_offer(spelled)
    assert evidence.permit_document(read) == DOCUMENT
    assert evidence.shown_permit(spelled) == PERMIT.digest
    assert terms.same_terms(read, offer())


def test_an_agreement_binds_digest_purpose_tasks_budget_and_end_of_the_permit() -> None:
    (permission,) = agreement().permissions
    bound = {one.left: one.right for one in permission.constraints if isinstance(one, Constraint)}
    assert bound == {
        odrl.PERMIT: PERMIT.digest,
        odrl.PURPOSE: odrl.Iri(PERMIT.purpose),
        odrl.TASK: PERMIT.tasks,
        odrl.EPSILON: PERMIT.epsilon,
        odrl.DELTA: PERMIT.delta,
        odrl.DATE_TIME: PERMIT.not_after,
    }
    assert evidence.bound_permit(agreement()) == PERMIT.digest
    assert evidence.permit_document(agreement()) == DOCUMENT


def test_both_sides_come_to_the_same_agreement_and_nothing_is_bound_twice() -> None:
    received, _ = terms.read_agreement(terms.spell(agreement()))
    ours = evidence.bind(evidence.with_permit(offer(), DOCUMENT))
    assert terms.same_terms(received, ours)
    assert evidence.bind(ours) == ours


@pytest.mark.parametrize("document", ["", "no permit", "x" * 16_001, '{"payload": 1}'])
def test_what_shows_no_permit_is_agreed_on_as_it_stands(document: str) -> None:
    shown = evidence.with_permit(offer(), document) if document else offer()
    assert evidence.bind(shown) == shown
    assert evidence.bound_permit(shown) == ""
    assert evidence.shown_permit({"dct:license": document}) == ""


def test_two_permits_are_none() -> None:
    shown = evidence.with_permit(offer(), DOCUMENT)
    twice = replace(shown, metadata=shown.metadata * 2)
    assert evidence.permit_document(twice) == ""
    assert evidence.shown_permit(terms.spell(twice)) == ""


def test_evidence_is_bounded_where_a_policy_is_read() -> None:
    with pytest.raises(PolicyError, match="more than"):
        read_embedded(terms.spell(offer()) | {"dct:license": "x" * 32_769})


def test_a_transfer_names_its_job_in_a_valid_message() -> None:
    message = TransferRequestMessage(
        consumer_pid="urn:1", agreement_id="urn:2", format=evidence.ENDPOINT_TYPE,
        callback_address="https://hdab.example/2025-1", data_address=evidence.for_job(JOB),
    )  # fmt: skip
    assert evidence.job_of(message.spell()["dataAddress"]) == JOB


@pytest.mark.parametrize(
    "value", ["", "sha256:", "sha256:" + "A" * 64, "md5:" + "a" * 67, JOB + "a", "patient 4711"]
)
def test_what_is_no_digest_names_no_job(value: str) -> None:
    address = evidence.for_job("sha256:" + "0" * 64).spell()
    address["endpointProperties"][0]["value"] = value
    assert evidence.job_of(address) == ""
    assert evidence.job_of(None) == ""


def test_an_entry_says_codes_and_digests_but_nothing_in_a_peers_own_words() -> None:
    event = Moved(
        NOW, "urn:uuid:1", "their process\n", Kind.TRANSFER, Role.PROVIDER, "hdab", DATASET,
        "urn:2", None, State.REQUESTED, Signal.REQUEST, Role.CONSUMER,
        ("policy.budget", "because of Mrs Smith", "and Mr Smith"),
        terms.spell(agreement()), evidence.for_job(JOB).spell(),
    )  # fmt: skip
    entry = journal.entry_of(event)
    assert entry.model_dump(include={"permit_digest", "job", "before", "reasons"}) == {
        "permit_digest": PERMIT.digest, "job": JOB, "before": "",
        "reasons": ("policy.budget", "OTHER"),
    }  # fmt: skip
    assert "Smith" not in entry.encode().decode()
    assert entry.peer_process == "their?process?"


def test_a_refusal_of_a_stranger_is_an_entry() -> None:
    entry = journal.entry_of(Refused(NOW, "", "/negotiations/request", "DSP_UNAUTHENTICATED"))
    assert (entry.kind, entry.code) == ("contract-refused", "DSP_UNAUTHENTICATED")


@pytest.mark.skipif(not kit_wire.SPECS.is_dir(), reason="the official schemas are in ../shared")
def test_messages_that_carry_a_permit_or_a_job_are_valid_by_the_official_schemas() -> None:
    callback = "https://hdab.example/2025-1"
    shown = terms.spell(evidence.with_permit(offer(), DOCUMENT))
    sent = (
        ContractRequestMessage(consumer_pid="urn:1", offer=shown, callback_address=callback),
        ContractAgreementMessage(
            provider_pid="urn:2", consumer_pid="urn:1", agreement=terms.spell(agreement())
        ),
        TransferRequestMessage(
            consumer_pid="urn:1", agreement_id="urn:3", format=evidence.ENDPOINT_TYPE,
            callback_address=callback, data_address=evidence.for_job(JOB),
        ),
    )  # fmt: skip
    assert [kit_wire.problems(message.spell()) for message in sent] == [[], [], []]
