"""Two connectors, from the first request to the end of a transfer, in every way it can go."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import dsp_pair
import pytest
from dsp_pair import DATASET, OFFER, Pair, offer, until
from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.dsp import conduct, consumer, provider, terms
from connector.dsp.desk import FEDERATED_JOB, HTTP_PULL
from connector.dsp.handling import AUTOMATIC, PERSON, Handling, Step
from connector.dsp.judge import Moment, Moved
from connector.dsp.states import Role, Signal, State
from connector.dsp.tables import AgreementRow, ProcessRow
from connector.errors import LocalError
from policies.odrl.model import Policy

HDAB = "https://hdab.example/2025-1"
NORTH = "https://north.example/2025-1"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with dsp_pair.pair(tmp_path) as made:
        made.offer(offer())
        yield made


def negotiate(pair: Pair, policy: Policy | None = None, how: Handling = AUTOMATIC) -> str:
    return consumer.request(pair.hdab.desk, "north", NORTH, policy or offer(), DATASET, how)


def agreed(pair: Pair) -> str:
    """The id of an agreement in force."""
    negotiate(pair)
    pair.settle()
    with pair.hdab.desk.store.read() as session:
        return session.scalars(select(AgreementRow.id)).one()


def transfer(pair: Pair, name: str = FEDERATED_JOB) -> str:
    pid = consumer.request_transfer(pair.hdab.desk, "north", agreed(pair), name)
    pair.settle()
    return pid


def peer(pair: Pair, pid: str) -> str:
    """North's pid of hdab's process."""
    found = pair.hdab.row(pid).peer_pid
    assert found is not None
    return found


def test_an_offer_is_agreed_on_verified_and_finalized_by_itself(pair: Pair) -> None:
    pid = negotiate(pair)
    pair.settle()
    path = ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]
    assert pair.hdab.moves() == path
    assert pair.north.moves() == path
    assert pair.north.row(peer(pair, pid)).peer_pid == pid


def test_both_sides_hold_the_same_agreement_and_it_names_them(pair: Pair) -> None:
    uid = agreed(pair)
    rows = []
    for side, role, other in ((pair.north, "provider", "hdab"), (pair.hdab, "consumer", "north")):
        with side.desk.store.read() as session:
            row = session.get_one(AgreementRow, (role, other, uid))
            rows.append((row.policy, row.state, row.dataset))
    assert rows[0] == rows[1]
    policy, state, dataset = rows[0]
    assert (state, dataset) == ("in-force", DATASET)
    assert (policy["assigner"], policy["assignee"]) == ("north", "hdab")
    assert policy["target"] == DATASET


def test_the_policy_is_asked_at_every_moment_by_whom_it_concerns(pair: Pair) -> None:
    transfer(pair)
    assert [one.moment for one in pair.north.questions] == ["request", "agreement", "transfer"]
    assert [one.moment for one in pair.hdab.questions] == ["agreement", "transfer"]
    assert {one.counterparty for one in pair.north.questions} == {"hdab"}


def test_a_denied_request_ends_with_the_reasons_at_both_sides(pair: Pair) -> None:
    pair.north.deny(Moment.REQUEST, "ehds.art54.c")
    pid = negotiate(pair)
    pair.settle()
    assert pair.hdab.state(pid) is State.TERMINATED
    assert pair.hdab.row(pid).reasons == ["ehds.art54.c"]
    assert pair.north.moves() == ["REQUESTED", "TERMINATED"]


def test_a_consumer_whose_policy_denies_the_agreement_terminates_it(pair: Pair) -> None:
    pair.hdab.deny(Moment.AGREEMENT, "not on these terms")
    pid = negotiate(pair)
    pair.settle()
    assert pair.north.state(peer(pair, pid)) is State.TERMINATED
    with pair.north.desk.store.read() as session:
        assert session.scalars(select(AgreementRow.state)).all() == ["ended"]


def test_what_the_policy_holds_waits_for_a_person_with_its_view(pair: Pair) -> None:
    pair.north.hold(Moment.REQUEST, "the permit is from another country")
    pid = negotiate(pair)
    pair.settle()
    (item,) = conduct.held(pair.north.desk)
    assert item.reasons == ("the permit is from another country",)
    assert item.options == (Signal.OFFER, Signal.AGREE, Signal.TERMINATE)
    assert (item.counterparty, item.dataset, item.role) == ("hdab", DATASET, Role.PROVIDER)
    assert pair.hdab.state(pid) is State.REQUESTED


def test_a_held_offer_goes_on_when_a_person_agrees_and_only_then(pair: Pair) -> None:
    pair.offer(offer(), PERSON)
    pid = negotiate(pair)
    pair.settle()
    (item,) = conduct.held(pair.north.desk)
    conduct.act(pair.north.desk, item.pid, Signal.AGREE, version=item.version)
    pair.settle()
    assert pair.hdab.state(pid) is State.FINALIZED
    assert conduct.held(pair.north.desk) == []


def test_a_person_decides_on_what_was_seen_or_not_at_all(pair: Pair) -> None:
    pair.offer(offer(), PERSON)
    pid = negotiate(pair)
    pair.settle()
    (item,) = conduct.held(pair.north.desk)
    conduct.act(pair.hdab.desk, pid, Signal.TERMINATE, ("no longer needed",))
    pair.settle()
    with pytest.raises(LocalError, match="moved on") as caught:
        conduct.act(pair.north.desk, item.pid, Signal.AGREE, version=item.version)
    assert caught.value.code == "DSP_MOVED"


def test_a_person_cannot_agree_to_what_the_policy_denies(pair: Pair) -> None:
    pair.offer(offer(), PERSON)
    negotiate(pair)
    pair.settle()
    pair.north.deny(Moment.AGREEMENT, "ehds.art53")
    with pytest.raises(LocalError, match="policy denies") as caught:
        conduct.act(pair.north.desk, pair.north.only(), Signal.AGREE)
    assert caught.value.code == "DSP_DENIED"
    assert pair.north.state(pair.north.only()) is State.REQUESTED


def test_other_terms_than_those_of_the_offer_are_for_a_person(pair: Pair) -> None:
    negotiate(pair, offer(**until("2040")))
    pair.settle()
    (item,) = conduct.held(pair.north.desk)
    assert item.reasons == ("the terms are not those of the offer",)
    assert item.offer.permissions[0].constraints


def test_a_counter_offer_is_answered_by_an_offer_and_accepted(pair: Pair) -> None:
    pid = negotiate(pair, offer(**until("2040")))
    pair.settle()
    conduct.act(pair.north.desk, peer(pair, pid), Signal.OFFER)
    pair.settle()
    # What came back is not what was asked for: hdab's own person decides.
    (item,) = conduct.held(pair.hdab.desk)
    assert Signal.ACCEPT in item.options
    conduct.act(pair.hdab.desk, pid, Signal.REQUEST, offer=offer(**until("2030")))
    pair.settle()
    conduct.act(pair.north.desk, peer(pair, pid), Signal.OFFER)
    pair.settle()
    conduct.act(pair.hdab.desk, pid, Signal.ACCEPT)
    pair.settle()
    assert pair.hdab.moves() == [
        "REQUESTED", "OFFERED", "REQUESTED", "OFFERED", "ACCEPTED", "AGREED", "VERIFIED",
        "FINALIZED",
    ]  # fmt: skip


def test_an_agreement_on_other_terms_than_negotiated_is_terminated(pair: Pair) -> None:
    pair.offer(offer(), PERSON)
    pid = negotiate(pair)
    pair.settle()

    # North's table is altered behind the protocol's back: a provider that does not keep its word.
    def alter(session: Session) -> None:
        row = session.get_one(ProcessRow, pair.north.only())
        row.offer = terms.spell(terms.offered(offer(**until("2027")), DATASET))

    pair.north.desk.transact(alter)
    conduct.act(pair.north.desk, pair.north.only(), Signal.AGREE)
    pair.settle()
    assert pair.hdab.state(pid) is State.TERMINATED
    assert pair.hdab.row(pid).reasons == ["the agreement is not what was negotiated"]


def test_a_provider_can_begin_and_an_offer_nobody_asked_for_is_held(pair: Pair) -> None:
    pid = provider.offer_to(pair.north.desk, "hdab", HDAB, OFFER)
    pair.settle()
    (item,) = conduct.held(pair.hdab.desk)
    assert (item.state, item.dataset) == (State.OFFERED, DATASET)
    conduct.act(pair.hdab.desk, item.pid, Signal.ACCEPT)
    pair.settle()
    assert pair.north.state(pid) is State.FINALIZED
    assert pair.hdab.state(item.pid) is State.FINALIZED


def test_a_federated_job_starts_without_an_address(pair: Pair) -> None:
    pid = transfer(pair)
    assert pair.hdab.state(pid) is State.STARTED
    assert pair.hdab.row(pid).data_address is None
    assert "dataAddress" not in pair.wires["north"].sent[-1]


def test_a_pull_comes_with_a_token_of_which_only_the_digest_is_kept(pair: Pair) -> None:
    pid = transfer(pair, HTTP_PULL)
    address = pair.hdab.row(pid).data_address
    assert address is not None
    properties = {one["name"]: one["value"] for one in address["endpointProperties"]}
    row = pair.north.row(peer(pair, pid))
    assert row.token_digest == hashlib.sha256(properties["authorization"].encode()).hexdigest()
    assert row.token_expires is not None
    assert row.token_expires - row.updated_at == pair.north.desk.token_life
    assert address["endpoint"] == f"{NORTH}/artefacts/{row.pid}"
    conduct.act(pair.north.desk, row.pid, Signal.TERMINATE)
    assert pair.north.row(row.pid).token_digest == ""


def test_a_transfer_is_suspended_resumed_and_completed_by_either_side(pair: Pair) -> None:
    pid = transfer(pair)
    theirs = peer(pair, pid)
    for side, process, signal in (
        (pair.north, theirs, Signal.SUSPEND), (pair.hdab, pid, Signal.START),
        (pair.hdab, pid, Signal.SUSPEND), (pair.north, theirs, Signal.START),
        (pair.hdab, pid, Signal.COMPLETE),
    ):  # fmt: skip
        conduct.act(side.desk, process, signal)
        pair.settle()
        assert pair.north.state(theirs) is pair.hdab.state(pid)
    assert pair.north.state(theirs) is State.COMPLETED


def test_a_consumer_whose_policy_denies_the_start_terminates_the_transfer(pair: Pair) -> None:
    pair.hdab.deny(Moment.TRANSFER, "the permit has expired")
    pid = transfer(pair)
    assert pair.north.state(peer(pair, pid)) is State.TERMINATED
    assert pair.north.row(peer(pair, pid)).reasons == ["the permit has expired"]


def test_only_an_agreement_in_force_entitles_to_a_transfer(pair: Pair) -> None:
    with pytest.raises(LocalError) as caught:
        consumer.request_transfer(pair.hdab.desk, "north", "urn:uuid:invented", FEDERATED_JOB)
    assert caught.value.code == "DSP_AGREEMENT_UNKNOWN"


def test_a_script_is_followed_to_its_end_and_what_it_does_not_name_is_held(pair: Pair) -> None:
    steps = (Step(state=State.REQUESTED, signal=Signal.OFFER),)
    pair.offer(offer(), Handling(mode="scripted", script=steps))
    negotiate(pair)
    pair.settle()
    assert pair.north.moves() == ["REQUESTED", "OFFERED", "ACCEPTED"]
    (item,) = conduct.held(pair.north.desk)
    assert item.state is State.ACCEPTED


def test_every_message_of_the_protocol_was_on_the_wire_and_valid(pair: Pair) -> None:
    pid = negotiate(pair, offer(**until("2040")))
    pair.settle()
    conduct.act(pair.north.desk, peer(pair, pid), Signal.OFFER)
    pair.settle()
    conduct.act(pair.hdab.desk, pid, Signal.ACCEPT)
    pair.settle()
    agreement = pair.hdab.row(pid).agreement
    for ending in (Signal.COMPLETE, Signal.TERMINATE):
        started = consumer.request_transfer(pair.hdab.desk, "north", agreement, HTTP_PULL)
        pair.settle()
        for signal in (Signal.SUSPEND, Signal.START, ending):
            conduct.act(pair.north.desk, peer(pair, started), signal, ("because",))
            pair.settle()
    other = negotiate(pair)
    conduct.act(pair.hdab.desk, other, Signal.TERMINATE)
    pair.settle()
    sent = {message["@type"] for wire in pair.wires.values() for message in wire.sent}
    assert sent == {
        "ContractRequestMessage", "ContractOfferMessage", "ContractNegotiationEventMessage",
        "ContractAgreementMessage", "ContractAgreementVerificationMessage",
        "ContractNegotiationTerminationMessage", "TransferRequestMessage", "TransferStartMessage",
        "TransferSuspensionMessage", "TransferCompletionMessage", "TransferTerminationMessage",
    }  # fmt: skip
    assert set(pair.wires["north"].statuses + pair.wires["hdab"].statuses) == {200, 201}


def test_a_record_that_fails_takes_the_transition_back(pair: Pair) -> None:
    pid = negotiate(pair)
    full = LocalError("LOG_FULL", "the log is full", "Make room")

    def fail(_: object) -> None:
        raise full

    object.__setattr__(pair.hdab.desk, "record", fail)
    with pytest.raises(LocalError, match="the log is full"):
        conduct.act(pair.hdab.desk, pid, Signal.TERMINATE)
    assert pair.hdab.state(pid) is State.REQUESTED
    assert pair.hdab.pending() == 1


def test_the_record_says_who_moved_what_and_why(pair: Pair) -> None:
    pair.north.deny(Moment.REQUEST, "ehds.art54.a")
    pid = negotiate(pair)
    pair.settle()
    told = [event for event in pair.hdab.events if isinstance(event, Moved)][-1]
    assert (told.pid, told.counterparty, told.before, told.after) == (
        pid, "north", State.REQUESTED, State.TERMINATED,
    )  # fmt: skip
    assert (told.by, told.signal, told.reasons) == (
        Role.PROVIDER, Signal.TERMINATE, ("ehds.art54.a",),
    )  # fmt: skip
