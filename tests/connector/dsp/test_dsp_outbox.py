"""The outbox: patient, in order, and indifferent to kills and to answers that get lost."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dsp_pair
import pytest
from dsp_pair import DATASET, Json, Pair, offer
from sqlalchemy import delete, select

from connector.dsp import conduct, consumer, handling, outbox
from connector.dsp.handling import AUTOMATIC, PERSON
from connector.dsp.judge import Moment, Undelivered
from connector.dsp.outbox import _AT_ONCE_PER_PEER, Backoff, Reply, Worker
from connector.dsp.states import Signal, State
from connector.dsp.tables import OutboxRow, ProcessRow
from connector.errors import LocalError

NORTH = "https://north.example/2025-1"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with dsp_pair.pair(tmp_path) as made:
        made.offer(offer())
        yield made


def negotiate(pair: Pair) -> str:
    return consumer.request(pair.hdab.desk, "north", NORTH, offer(), DATASET, AUTOMATIC)


def answering(status: int) -> dsp_pair.Fault:
    return lambda _: Reply(status)


@pytest.mark.parametrize("status", [0, 404, 408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_with_the_same_id(pair: Pair, status: int) -> None:
    wire = pair.wires["hdab"]
    wire.faults = [answering(status)] * 3
    pid = negotiate(pair)
    pair.settle()
    assert pair.hdab.state(pid) is State.FINALIZED
    first = wire.sent[:4]
    assert len({message["@id"] for message in first}) == 1
    assert first[0] == first[3]


def test_pauses_double_up_to_the_longest_and_are_jittered() -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=10))
    assert [backoff.pause(n, 1.0).total_seconds() for n in range(6)] == [1, 2, 4, 8, 10, 10]
    assert backoff.pause(10_000, 0.0) == timedelta(seconds=5)


def test_a_message_waits_for_its_pause(pair: Pair) -> None:
    pair.wires["hdab"].faults = [answering(503)]
    negotiate(pair)
    assert pair.step() == 1
    assert pair.step() == 0
    pair.clock.forward(milliseconds=99)
    assert pair.step() == 0
    pair.clock.forward(milliseconds=1)
    assert pair.step() == 1


@pytest.mark.parametrize("side", ["hdab", "north"])
def test_lost_answers_change_nothing_because_repetitions_are_recognised(
    pair: Pair, side: str
) -> None:
    pair.wires[side].lost_answers = 2
    pid = negotiate(pair)
    pair.settle()
    path = ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]
    assert pair.hdab.moves() == path
    assert pair.north.moves() == path
    assert pair.hdab.state(pid) is State.FINALIZED


@pytest.mark.parametrize("ahead", [False, True])
def test_a_peer_that_recognises_no_repetition_is_asked_for_its_state(
    pair: Pair, ahead: bool
) -> None:
    negotiate(pair)
    pair.step()
    pair.clock.forward(seconds=1)
    pair.step()  # north chooses to agree
    pair.wires["north"].lost_answers = 1
    pair.clock.forward(seconds=1)
    pair.step()
    if ahead:  # hdab has verified; its message has not reached north yet
        pair.wires["hdab"].faults = [answering(503)] * 2
        pair.clock.forward(milliseconds=60)
        asyncio.run(pair.hdab.worker.step())
    expected = State.VERIFIED if ahead else State.AGREED
    assert pair.hdab.state(pair.hdab.only()) is expected
    pair.wires["north"].faults = [answering(400)]
    pair.clock.forward(seconds=1)
    asyncio.run(pair.north.worker.step())
    assert pair.north.pending() == 0
    assert pair.north.state(pair.north.only()) is State.AGREED
    pair.settle()
    assert pair.north.state(pair.north.only()) is State.FINALIZED


@pytest.mark.parametrize("status", [301, 400, 401, 403, 410])
def test_what_is_refused_ends_the_process_and_the_peer_is_told(pair: Pair, status: int) -> None:
    pair.wires["north"].faults = [answering(status)]
    pid = negotiate(pair)
    pair.settle()
    (told,) = [event for event in pair.north.events if isinstance(event, Undelivered)]
    assert (told.message, told.code) == ("ContractAgreementMessage", f"HTTP_{status}")
    assert pair.north.state(pair.north.only()) is State.TERMINATED
    assert pair.hdab.state(pid) is State.TERMINATED


def test_a_first_message_that_is_refused_leaves_nobody_to_tell(pair: Pair) -> None:
    pair.wires["hdab"].faults = [answering(400)]
    pid = negotiate(pair)
    pair.settle()
    assert pair.hdab.state(pid) is State.TERMINATED
    assert len(pair.wires["hdab"].sent) == 1


def test_silence_is_borne_for_as_long_as_the_patience_lasts(pair: Pair) -> None:
    pair.wires["hdab"].faults = [answering(0)] * 10_000
    pid = negotiate(pair)
    pair.clock.forward(hours=23)
    pair.step()
    assert pair.hdab.state(pid) is State.REQUESTED
    pair.clock.forward(hours=2)
    pair.step()
    assert pair.hdab.state(pid) is State.TERMINATED
    assert pair.hdab.pending() == 0


def test_a_first_answer_that_names_no_process_counts_as_none(pair: Pair) -> None:
    pair.wires["hdab"].faults = [answering(200), answering(201)]
    pid = negotiate(pair)
    pair.settle()
    assert len([m for m in pair.wires["hdab"].sent if m["@type"] == "ContractRequestMessage"]) == 3
    assert pair.hdab.state(pid) is State.FINALIZED


def test_a_peer_cannot_give_one_id_to_two_processes(pair: Pair) -> None:
    answer = Reply(201, "urn:uuid:same", "x", State.REQUESTED)
    pair.wires["hdab"].faults = [lambda _: answer, lambda _: answer]
    negotiate(pair)
    negotiate(pair)
    pair.step()
    with pair.hdab.desk.store.read() as session:
        known = [row.peer_pid for row in session.scalars(select(ProcessRow))]
    assert sorted(known, key=str) == [None, "urn:uuid:same"]


def test_what_was_said_first_arrives_first_though_it_needs_several_attempts(pair: Pair) -> None:
    wire = pair.wires["hdab"]
    wire.faults = [answering(503)] * 4
    pid = negotiate(pair)
    conduct.act(pair.hdab.desk, pid, Signal.TERMINATE)
    pair.settle()
    kinds = [message["@type"] for message in wire.sent]
    assert kinds == ["ContractRequestMessage"] * 5 + ["ContractNegotiationTerminationMessage"]
    assert pair.north.state(pair.north.only()) is State.TERMINATED


def test_another_worker_on_the_same_database_goes_on_where_one_was_killed(pair: Pair) -> None:
    pid = negotiate(pair)
    for side in (pair.north, pair.hdab):
        side.worker = Worker(side.desk, pair.wires[side.name], None, jitter=lambda: 1.0)
    pair.settle()
    assert pair.hdab.state(pid) is State.FINALIZED


@pytest.mark.parametrize("after", range(1, 9))
def test_a_kill_between_delivery_and_its_mark_repeats_the_message_only(
    pair: Pair, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The worker dies before it can settle; a new one finds the row as it was.
    settled = 0
    original = Worker._settle

    def settle(self: Worker, *arguments: object) -> None:
        nonlocal settled
        settled += 1
        if settled != after:
            original(self, *arguments)  # type: ignore[arg-type]  # what it was called with

    monkeypatch.setattr(Worker, "_settle", settle)
    pid = negotiate(pair)
    pair.settle()
    path = ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]
    assert pair.hdab.moves() == pair.north.moves() == path
    assert pair.hdab.state(pid) is State.FINALIZED


def test_what_was_still_to_be_said_is_void_when_the_peer_ends_the_process(pair: Pair) -> None:
    pair.offer(offer(), PERSON)
    pid = negotiate(pair)
    pair.settle()
    theirs = pair.north.only()
    pair.wires["north"].faults = [answering(503)] * 100
    conduct.act(pair.north.desk, theirs, Signal.OFFER)
    pair.step()
    conduct.act(pair.hdab.desk, pid, Signal.TERMINATE)
    pair.settle(rounds=20)
    assert pair.north.pending() == 0
    assert pair.north.state(theirs) is State.TERMINATED


def test_numbers_are_not_used_again_for_other_rows(pair: Pair) -> None:
    desk = pair.hdab.desk
    pid = negotiate(pair)

    def numbers() -> list[int]:
        with desk.store.read() as session:
            return list(session.scalars(select(OutboxRow.sequence)))

    before = numbers()
    desk.transact(lambda session: session.execute(delete(OutboxRow)) and None)
    conduct.act(desk, pid, Signal.TERMINATE)
    assert min(numbers()) > max(before)


def test_a_choice_made_on_an_old_state_does_not_count(pair: Pair) -> None:
    pid = negotiate(pair)
    pair.step()
    north, theirs = pair.north, pair.north.only()
    with north.desk.store.read() as session:
        sequence = session.scalars(select(OutboxRow.sequence)).one()
    original = north.desk.judge

    def judge_slowly(question):  # type: ignore[no-untyped-def]  # a Question, and a Verdict
        if question.moment is Moment.REQUEST:
            conduct.act(north.desk, theirs, Signal.OFFER)
        return original(question)

    object.__setattr__(north.desk, "judge", judge_slowly)
    conduct.consider(north.desk, theirs, sequence)
    assert north.state(theirs) is State.OFFERED
    pair.settle()
    assert pair.hdab.state(pid) is State.FINALIZED


def test_a_peer_that_never_answers_leaves_places_for_others(pair: Pair) -> None:
    silent = asyncio.Event()
    delivered: list[str] = []
    served = asyncio.Event()

    class Client:
        async def post(self, counterparty: str, url: str, message: Json) -> Reply:
            del url, message
            delivered.append(counterparty)
            if counterparty == "spy":
                await silent.wait()
            served.set()
            return Reply(0)

        async def get(self, counterparty: str, url: str) -> Reply:
            raise AssertionError((counterparty, url))

    desk = pair.hdab.desk
    for _ in range(_AT_ONCE_PER_PEER * 4):
        consumer.request(desk, "spy", "https://spy.example", offer(), DATASET, AUTOMATIC)
    consumer.request(desk, "north", NORTH, offer(), DATASET, AUTOMATIC)

    async def story() -> None:
        running = asyncio.create_task(Worker(desk, Client()).run(poll_seconds=0.01))
        await asyncio.wait_for(served.wait(), 30)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
    assert "north" in delivered
    assert delivered.count("spy") <= _AT_ONCE_PER_PEER


def test_choices_that_are_nobodys_turn_are_not_written(pair: Pair) -> None:
    assert not handling.our_turn(
        handling.Kind.NEGOTIATION, handling.Role.CONSUMER, State.REQUESTED, AUTOMATIC, 0
    )
    negotiate(pair)
    assert pair.hdab.pending() == 1  # the message alone


def test_trouble_of_ours_leaves_the_item_and_a_defect_ends_the_worker(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_TROUBLE_SECONDS", 0.0)
    pid = negotiate(pair)
    failures: list[Exception] = [LocalError("LOG_FULL", "full", "Make room"), KeyError("defect")]

    def settle(*_: object) -> None:
        raise failures.pop(0)

    monkeypatch.setattr(Worker, "_settle", settle)
    with pytest.raises(KeyError):
        asyncio.run(Worker(pair.hdab.desk, pair.wires["hdab"]).run(poll_seconds=0.01))
    assert failures == []
    assert pair.hdab.pending() == 1
    assert pair.hdab.state(pid) is State.REQUESTED
