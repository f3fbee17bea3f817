"""Every endpoint with everything bad: the protocol's error, an entry, and nothing changed."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dsp_pair
import dsp_released
import httpx
import kit_wire
import pytest
from dsp_pair import DATASET, KEYS, OFFER, Pair, Side, offer
from dsp_released import Released
from kit_wire import bare_policy, message, new_pid
from sqlalchemy import select

from connector.dsp import consumer, http
from connector.dsp.authentication import SignedTokens
from connector.dsp.handling import AUTOMATIC, PERSON
from connector.dsp.judge import Refused, Undelivered
from connector.dsp.messages import MAX_BYTES, NO_PID
from connector.dsp.outbox import Reply
from connector.dsp.states import Kind, State
from connector.dsp.tables import AgreementRow, OutboxRow, ProcessRow
from connector.identity.keys import SigningKey

NORTH = "https://north.example/2025-1"
ENDPOINTS = [*http._FIRST, *(f"/{kind}s/{{}}/{end}" for kind, end in http._LATER)]


@pytest.fixture
def released(tmp_path: Path) -> Iterator[Released]:
    """north has a transfer that is started, and a negotiation that waits for a person."""
    with dsp_released.released(tmp_path) as made:
        pair = made.pair
        pair.offer(offer(), PERSON)
        consumer.request(pair.hdab.desk, "north", NORTH, offer(), DATASET, AUTOMATIC)
        pair.settle()
        pair.north.events.clear()
        yield made


def waiting(side: Side) -> str:
    """The negotiation that is not over."""
    with side.desk.store.read() as session:
        return session.scalars(
            select(ProcessRow.pid).where(
                ProcessRow.kind == Kind.NEGOTIATION, ProcessRow.state == State.REQUESTED
            )
        ).one()


def everything(pair: Pair) -> list[list[Any]]:
    """All rows of both sides."""
    found = []
    for side in (pair.north, pair.hdab):
        with side.desk.store.read() as session:
            for table in (ProcessRow, AgreementRow, OutboxRow):
                rows = session.execute(select(*table.__table__.columns)).all()
                found.append(sorted(map(repr, rows)))
    return found


@dataclass(frozen=True)
class Place:
    """An endpoint of north's, and a message that it would take if all were well, or nearly."""

    path: str
    body: dict[str, Any]


def at(released: Released, endpoint: str) -> Place:
    north = released.pair.north
    pid = released.transfer if endpoint.startswith("/transfers") else waiting(north)
    kind = next(
        kind.__name__
        for path, kind in [
            *http._FIRST.items(),
            *((f"/{kind}s/{{}}/{end}", later) for (kind, end), later in http._LATER.items()),
        ]
        if path == endpoint
    )
    policy = bare_policy("Offer", OFFER, DATASET)
    body = message(kind, providerPid=pid, consumerPid=north.row(pid).peer_pid)
    if endpoint in http._FIRST:
        ours = "providerPid" if endpoint.endswith("offers") else "consumerPid"
        body |= {"callbackAddress": "https://hdab.example/2025-1", ours: new_pid()}
        body.pop("consumerPid" if ours == "providerPid" else "providerPid")
    body |= {
        "ContractRequestMessage": {"offer": policy},
        "ContractOfferMessage": {"offer": policy},
        "ContractAgreementMessage": {"agreement": bare_policy("Agreement", new_pid(), DATASET)},
        "ContractNegotiationEventMessage": {"eventType": "ACCEPTED"},
        "TransferRequestMessage": {
            "agreementId": north.row(released.transfer).agreement, "format": "HttpData-PULL",
        },
    }.get(kind, {})  # fmt: skip
    return Place(endpoint.format(pid), body)


def sent(released: Released, place: Place, content: bytes, **headers: str) -> httpx.Response:
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    said.setdefault("content-type", "application/json")
    pair = released.pair
    return pair.ask(pair.north, "POST", place.path, content=content, headers=said)


def duplicated(body: dict[str, Any]) -> bytes:
    return b'{"@type": "x", ' + json.dumps(body).encode()[1:]


def deep(body: dict[str, Any]) -> bytes:
    text = json.dumps(body | {"offer": "?"})
    return text.replace('"?"', '{"permission": ' + "[" * 50_000 + "]" * 50_000 + "}").encode()


def huge(body: dict[str, Any]) -> bytes:
    return json.dumps(body | {"filler": "x" * MAX_BYTES}).encode()


BAD: dict[str, tuple[Callable[[dict[str, Any]], bytes], dict[str, str], int]] = {
    "plain text": (lambda body: json.dumps(body).encode(), {"content_type": "text/plain"}, 415),
    "no type": (lambda body: json.dumps(body).encode(), {"content_type": ""}, 415),
    "packed": (lambda body: json.dumps(body).encode(), {"content_encoding": "br"}, 415),
    "huge": (huge, {}, 413),
    "deep": (deep, {}, 400),
    "duplicated": (duplicated, {}, 400),
    "cut": (lambda body: json.dumps(body).encode()[:-1], {}, 400),
    "list": (lambda body: json.dumps([body]).encode(), {}, 400),
    "another context": (lambda body: json.dumps(body | {"@context": ["x"]}).encode(), {}, 400),
    "another message": (lambda body: json.dumps(body | {"@type": "Catalog"}).encode(), {}, 400),
    "no number": (lambda body: json.dumps(body)[:-1].encode() + b', "a": NaN}', {}, 400),
    "not text": (lambda body: json.dumps(body)[:-1].encode() + b', "a": "\xff"}', {}, 400),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_bad_message_is_answered_by_the_protocols_error_and_changes_nothing(
    released: Released, endpoint: str
) -> None:
    before, north = everything(released.pair), released.pair.north
    for name, (spoil, headers, status) in BAD.items():
        north.events.clear()
        place = at(released, endpoint)
        answer = sent(released, place, spoil(place.body), **headers)
        assert answer.status_code == status, (name, answer.text)
        _is_an_error(answer, endpoint)
        (event,) = north.events
        assert isinstance(event, Refused)
        assert (event.caller, event.code) == ("hdab", answer.json()["code"])
    assert everything(released.pair) == before


def _is_an_error(answer: httpx.Response, endpoint: str) -> None:
    transfer = endpoint.startswith("/transfers")
    kind = "TransferError" if transfer else "ContractNegotiationError"
    assert answer.json()["@type"] == kind
    assert not kit_wire.problems(answer.json())


@pytest.mark.parametrize("endpoint", ENDPOINTS[len(http._FIRST) :])
def test_nobody_moves_anothers_process_or_learns_that_it_exists(
    released: Released, endpoint: str
) -> None:
    pair = released.pair
    before, place = everything(pair), at(released, endpoint)
    foreign = pair.ask(pair.north, "POST", place.path, place.body, "spy")
    missing = pair.ask(pair.north, "POST", endpoint.format(new_pid()), place.body, "spy")
    own = pair.ask(pair.north, "POST", endpoint.format(new_pid()), place.body)
    assert foreign.status_code == 404
    assert foreign.content == missing.content == own.content
    assert foreign.headers == missing.headers
    assert everything(pair) == before
    assert [event.code for event in pair.north.events if isinstance(event, Refused)] == [
        "DSP_UNKNOWN"
    ] * 3


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_token_that_was_used_is_none(released: Released, endpoint: str) -> None:
    pair = released.pair
    place = at(released, endpoint)
    token = _token("hdab", pair)
    looked = asyncio.run(
        dsp_pair.call(pair.north, "POST", "/2025-1/catalog/request", _catalogue(), token)
    )
    assert looked.status_code == 200
    before = everything(pair)
    again = asyncio.run(
        dsp_pair.call(pair.north, "POST", f"/2025-1{place.path}", place.body, token)
    )
    assert (again.status_code, again.json()["code"]) == (404, "DSP_UNAUTHENTICATED")
    _is_an_error(again, endpoint)
    assert again.json()["providerPid"] == again.json()["consumerPid"] == NO_PID
    assert everything(pair) == before
    (event,) = pair.north.events
    assert isinstance(event, Refused)
    assert (event.caller, event.code) == ("", "DSP_UNAUTHENTICATED")


def _token(name: str, pair: Pair, key: SigningKey | None = None) -> str:
    tokens = SignedTokens(key or KEYS[name], lambda who: KEYS[who].verify_key, pair.clock)
    return tokens.header("north")


def _catalogue() -> dict[str, Any]:
    return message("CatalogRequestMessage")


def test_a_peer_that_changes_its_key_is_nobody_until_the_new_one_is_known(
    released: Released, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = released.pair
    place = at(released, "/negotiations/{}/termination")
    fresh = SigningKey("hdab", b"another key of hdab".ljust(32, b"."))
    before = everything(pair)

    def say(key: SigningKey) -> httpx.Response:
        header = _token("hdab", pair, key)
        call = dsp_pair.call(pair.north, "POST", f"/2025-1{place.path}", place.body, header)
        return asyncio.run(call)

    refused = say(fresh)
    assert (refused.status_code, refused.json()["code"]) == (404, "DSP_UNAUTHENTICATED")
    assert everything(pair) == before
    assert [type(event) for event in pair.north.events] == [Refused]
    old = KEYS["hdab"]
    monkeypatch.setitem(KEYS, "hdab", fresh)
    assert say(old).status_code == 404
    assert everything(pair) == before
    assert say(fresh).json()["state"] == "TERMINATED"


ILLEGAL = {
    "/negotiations/{}/agreement/verification", "/negotiations/{}/events",
    "/negotiations/{}/offers", "/negotiations/{}/agreement", "/negotiations/{}/request",
    "/transfers/{}/start",
}  # fmt: skip


@pytest.mark.parametrize("endpoint", sorted(ILLEGAL))
def test_a_message_in_the_wrong_state_is_an_error_that_names_the_process(
    released: Released, endpoint: str
) -> None:
    pair, place = released.pair, at(released, endpoint)
    if endpoint in ("/negotiations/{}/request", "/negotiations/{}/offers"):
        place.body.pop("callbackAddress", None)
    before = everything(pair)
    answer = pair.ask(pair.north, "POST", place.path, place.body)
    assert (answer.status_code, answer.json()["code"]) == (400, "DSP_STATE"), answer.text
    _is_an_error(answer, endpoint)
    assert answer.json()["providerPid"] == place.body["providerPid"]
    assert everything(pair) == before


# What a peer answers


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 410, 422])
def test_a_peer_that_points_elsewhere_or_refuses_ends_the_process_with_an_entry(
    tmp_path: Path, status: int
) -> None:
    with dsp_pair.pair(tmp_path) as pair:
        pair.offer(offer())
        pair.wires["hdab"].faults = [lambda _: Reply(status)]
        pid = consumer.request(pair.hdab.desk, "north", NORTH, offer(), DATASET, AUTOMATIC)
        pair.settle()
        assert pair.hdab.state(pid) is State.TERMINATED
        assert len([event for event in pair.hdab.events if isinstance(event, Undelivered)]) == 1
        with pair.north.desk.store.read() as session:
            assert session.scalars(select(ProcessRow.pid)).all() == []


@pytest.mark.parametrize("said", ["FINALIZED", "TERMINATED", "STARTED", "garbage", ""])
def test_what_a_peer_claims_in_an_answer_does_not_move_a_process(tmp_path: Path, said: str) -> None:
    with dsp_pair.pair(tmp_path) as pair:
        pair.offer(offer())
        pair.wires["hdab"].faults = [lambda _: Reply(201, "urn:theirs", NO_PID, said)]
        pid = consumer.request(pair.hdab.desk, "north", NORTH, offer(), DATASET, AUTOMATIC)
        pair.step()
        assert pair.hdab.state(pid) is State.REQUESTED
        with pair.hdab.desk.store.read() as session:
            assert session.scalars(select(AgreementRow.id)).all() == []
