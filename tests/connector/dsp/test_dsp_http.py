"""The endpoints: who may see what, and what becomes of everything that is not as it should be."""

import asyncio
import gzip
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dsp_pair
import httpx
import kit_wire
import pytest
from dsp_pair import DATASET, Pair, offer
from kit_wire import message, new_pid
from sqlalchemy import func, select

from connector.dsp import conduct, consumer, messages
from connector.dsp.addresses import Addresses
from connector.dsp.desk import FEDERATED_JOB
from connector.dsp.handling import AUTOMATIC, PERSON
from connector.dsp.judge import Moment, Refused
from connector.dsp.states import Signal, State
from connector.dsp.tables import ProcessRow
from connector.errors import LocalError, RemoteError

NORTH = "https://north.example/2025-1"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with dsp_pair.pair(tmp_path) as made:
        made.offer(offer())
        yield made


def asked(pid: str, **altered: Any) -> dict[str, Any]:
    policy = kit_wire.bare_policy("Offer", dsp_pair.OFFER, DATASET)
    request = message(
        "ContractRequestMessage", consumerPid=pid, offer=policy,
        callbackAddress="https://hdab.example/2025-1",
    )  # fmt: skip
    return request | altered


def held(pair: Pair) -> tuple[str, str]:
    """A negotiation that waits at north: its pids."""
    pair.offer(offer(), PERSON)
    pid = consumer.request(pair.hdab.desk, "north", NORTH, offer(), DATASET, AUTOMATIC)
    pair.settle()
    return pair.north.only(), pid


def termination(pids: tuple[str, str]) -> dict[str, Any]:
    kind = "ContractNegotiationTerminationMessage"
    return message(kind, providerPid=pids[0], consumerPid=pids[1])


def error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert not kit_wire.problems(answer.json())
    body: dict[str, Any] = answer.json()
    return body


# Who


def test_a_foreign_process_looks_exactly_like_one_that_does_not_exist(pair: Pair) -> None:
    pids = held(pair)
    for method, end, body in (("GET", "", None), ("POST", "/termination", termination(pids))):
        foreign = pair.ask(pair.north, method, f"/negotiations/{pids[0]}{end}", body, "spy")
        missing = pair.ask(pair.north, method, f"/negotiations/{new_pid()}{end}", body, "spy")
        error(foreign, 404, "DSP_UNKNOWN")
        assert foreign.content == missing.content
    assert pair.north.state(pids[0]) is State.REQUESTED


def test_a_negotiation_is_not_found_among_the_transfers(pair: Pair) -> None:
    pids = held(pair)
    error(pair.ask(pair.north, "GET", f"/transfers/{pids[0]}"), 404, "DSP_UNKNOWN")


def test_who_has_no_token_is_told_nothing(pair: Pair) -> None:
    pids = held(pair)
    more = {"headers": {"authorization": "Bearer forged"}}
    place = f"/negotiations/{pids[0]}"
    refused = pair.ask(pair.north, "GET", place, **more)
    assert error(refused, 404, "DSP_UNAUTHENTICATED")["consumerPid"] == messages.NO_PID
    error(pair.ask(pair.north, "POST", "/catalog/request", {}, **more), 401, "DSP_UNAUTHENTICATED")


def test_the_version_needs_no_token(pair: Pair) -> None:
    answer = asyncio.run(dsp_pair.call(pair.north, "GET", "/.well-known/dspace-version", None))
    assert answer.json()["protocolVersions"][0]["path"] == "/2025-1"
    assert not kit_wire.version_problems(answer.json())


def test_an_agreement_is_only_of_use_to_its_own_consumer(pair: Pair) -> None:
    consumer.request(pair.hdab.desk, "north", NORTH, offer(), DATASET, AUTOMATIC)
    pair.settle()
    request = message(
        "TransferRequestMessage", consumerPid=new_pid(), format=FEDERATED_JOB,
        agreementId=pair.north.row(pair.north.only()).agreement,
        callbackAddress="https://spy.example",
    )  # fmt: skip
    answer = pair.ask(pair.north, "POST", "/transfers/request", request, "spy")
    error(answer, 404, "DSP_UNKNOWN")
    assert pair.ask(pair.north, "POST", "/transfers/request", request).status_code == 201
    other = request | {"consumerPid": new_pid(), "format": "HttpData-PUSH"}
    error(pair.ask(pair.north, "POST", "/transfers/request", other), 400, "DSP_FORMAT")


def test_a_pending_or_ended_agreement_entitles_to_nothing(pair: Pair) -> None:
    pair.hdab.deny(Moment.AGREEMENT, "no")
    consumer.request(pair.hdab.desk, "north", NORTH, offer(), DATASET, AUTOMATIC)
    pair.settle()
    request = message(
        "TransferRequestMessage", consumerPid=new_pid(), format=FEDERATED_JOB,
        agreementId=pair.north.row(pair.north.only()).agreement,
        callbackAddress="https://hdab.example",
    )  # fmt: skip
    error(pair.ask(pair.north, "POST", "/transfers/request", request), 400, "DSP_AGREEMENT")


# What


def test_the_same_request_twice_is_one_process_and_another_under_its_id_is_none(pair: Pair) -> None:
    request = asked(new_pid())
    one = pair.ask(pair.north, "POST", "/negotiations/request", request)
    two = pair.ask(pair.north, "POST", "/negotiations/request", request | {"@id": new_pid()})
    assert one.status_code == two.status_code == 201
    assert one.json()["providerPid"] == two.json()["providerPid"]
    other = request | {"callbackAddress": "https://elsewhere.example"}
    error(pair.ask(pair.north, "POST", "/negotiations/request", other), 400, "DSP_PID_TAKEN")
    by_another = pair.ask(pair.north, "POST", "/negotiations/request", request, "spy")
    assert by_another.json()["providerPid"] != one.json()["providerPid"]


def test_a_message_repeated_under_its_id_is_answered_as_before_a_new_one_is_illegal(
    pair: Pair,
) -> None:
    pids = held(pair)
    ending = termination(pids)
    place = f"/negotiations/{pids[0]}/termination"
    for _ in range(3):
        assert pair.ask(pair.north, "POST", place, ending).json()["state"] == "TERMINATED"
    answer = pair.ask(pair.north, "POST", place, ending | {"@id": new_pid()})
    body = error(answer, 400, "DSP_STATE")
    assert (body["providerPid"], body["consumerPid"]) == pids


@pytest.mark.parametrize(
    ("end", "kind", "more", "code"),
    [
        ("agreement/verification", "ContractAgreementVerificationMessage", {}, "DSP_STATE"),
        ("events", "ContractNegotiationEventMessage", {"eventType": "FINALIZED"}, "DSP_STATE"),
        ("events", "ContractNegotiationEventMessage", {"eventType": "ACCEPTED"}, "DSP_STATE"),
        ("termination", "ContractNegotiationTerminationMessage", {"providerPid": "x"}, "DSP_PIDS"),
        ("termination", "ContractNegotiationTerminationMessage", {"consumerPid": "x"}, "DSP_PIDS"),
        ("termination", "TransferTerminationMessage", {}, "DSP_MALFORMED"),
        ("request", "ContractRequestMessage", {}, "DSP_MALFORMED"),
    ],
)
def test_what_is_illegal_here_is_an_error_and_changes_nothing(
    pair: Pair, end: str, kind: str, more: dict[str, str], code: str
) -> None:
    pids = held(pair)
    before = pair.north.row(pids[0]).version
    sent = message(kind, providerPid=pids[0], consumerPid=pids[1]) | more
    body = error(pair.ask(pair.north, "POST", f"/negotiations/{pids[0]}/{end}", sent), 400, code)
    assert (body["providerPid"], body["consumerPid"]) == pids
    assert pair.north.row(pids[0]).version == before
    (told,) = [event for event in pair.north.events if isinstance(event, Refused)]
    assert (told.caller, told.code) == ("hdab", code)


def test_a_request_for_what_is_not_there_or_not_understood(pair: Pair) -> None:
    unknown = asked(new_pid(), offer=kit_wire.bare_policy("Offer", "o", "north/other"))
    answer = pair.ask(pair.north, "POST", "/negotiations/request", unknown)
    body = error(answer, 404, "DSP_UNKNOWN")
    assert body["consumerPid"] == unknown["consumerPid"]
    strange = asked(new_pid())
    strange["offer"]["permission"][0]["invented"] = 1
    body = error(pair.ask(pair.north, "POST", "/negotiations/request", strange), 400, "DSP_POLICY")
    assert "permission[0].invented" in body["reason"][0]
    with pair.north.desk.store.read() as session:
        assert session.scalar(select(func.count()).select_from(ProcessRow)) == 0


def test_an_address_that_is_not_to_be_called_is_refused_at_once(pair: Pair) -> None:
    object.__setattr__(pair.north.desk, "check_address", Addresses().check)
    request = asked(new_pid(), callbackAddress="https://169.254.169.254/latest")
    error(pair.ask(pair.north, "POST", "/negotiations/request", request), 400, "DSP_CALLBACK")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused(pair: Pair, kind: str) -> None:
    more = {"content": b"{}", "headers": {"content-type": kind}}
    answer = pair.ask(pair.north, "POST", "/negotiations/request", **more)
    error(answer, 415, "DSP_MEDIA_TYPE")


def _posted(pair: Pair, content: bytes, coding: str = "identity") -> httpx.Response:
    headers = {"content-type": "application/json", "content-encoding": coding}
    return pair.ask(pair.north, "POST", "/negotiations/request", content=content, headers=headers)


def test_a_compressed_message_is_read_and_a_bomb_is_not(pair: Pair) -> None:
    content = json.dumps(asked(new_pid())).encode()
    assert _posted(pair, gzip.compress(content), "gzip").status_code == 201
    bomb = gzip.compress(b" " * (64 << 20))
    assert len(bomb) < messages.MAX_BYTES
    error(_posted(pair, bomb, "gzip"), 413, "DSP_TOO_LARGE")
    error(_posted(pair, gzip.compress(content)[:-4], "gzip"), 400, "DSP_MALFORMED")
    error(_posted(pair, gzip.compress(content) * 2, "gzip"), 400, "DSP_MALFORMED")
    error(_posted(pair, content, "gzip"), 400, "DSP_MALFORMED")
    error(_posted(pair, content, "br"), 415, "DSP_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b" " * (messages.MAX_BYTES + 1), 413, "DSP_TOO_LARGE"),
        (b"[" * 500_000, 400, "DSP_MALFORMED"),
        (b'{"@type": "ContractRequestMessage", "@type": "x"}', 400, "DSP_MALFORMED"),
        (b"", 400, "DSP_MALFORMED"),
        (b"\x00", 400, "DSP_MALFORMED"),
    ],
    ids=["huge", "deep", "duplicated", "empty", "nul"],
)
def test_garbage_is_an_error_of_the_protocol(
    pair: Pair, content: bytes, status: int, code: str
) -> None:
    error(_posted(pair, content), status, code)


@pytest.mark.parametrize("pid", ["%00", "%E2%82%AC", "x" * 5000, "%2F", "..%2Fcatalog"])
def test_strange_ids_are_unknown(pair: Pair, pid: str) -> None:
    assert pair.ask(pair.north, "GET", f"/negotiations/{pid}").status_code == 404
    assert pair.ask(pair.north, "GET", f"/catalog/datasets/{pid}").status_code == 404


def test_wrong_methods_and_places_are_errors_of_the_protocol(pair: Pair) -> None:
    error(pair.ask(pair.north, "PUT", "/negotiations/x"), 405, "DSP_NO_SUCH_PLACE")
    answer = pair.ask(pair.north, "GET", "/transfers/x/y/z")
    assert error(answer, 404, "DSP_NO_SUCH_PLACE")["@type"] == "TransferError"


def test_a_full_log_or_a_lost_database_is_our_failure_and_says_no_more(pair: Pair) -> None:
    def fail(_: object) -> None:
        raise LocalError("LOG_FULL", "/var/log is full", "Make room")

    object.__setattr__(pair.north.desk, "record", fail)
    answer = pair.ask(pair.north, "POST", "/negotiations/request", asked(new_pid()))
    body = error(answer, 503, "LOG_FULL")
    assert "/var/log" not in answer.text
    assert body["reason"] == ["this connector cannot answer now"]
    assert answer.headers["retry-after"] == "1"


def test_a_defect_of_ours_is_a_500_that_tells_nothing(pair: Pair) -> None:
    def break_down(_: object) -> None:
        raise RuntimeError("secret of the record")

    object.__setattr__(pair.north.desk, "record", break_down)
    answer = pair.ask(pair.north, "POST", "/negotiations/request", asked(new_pid()))
    error(answer, 500, "DSP_FAILED")
    assert "secret" not in answer.text


def test_strangers_cannot_fill_the_log(pair: Pair) -> None:
    more = {"headers": {"authorization": ""}}
    for _ in range(100):
        pair.ask(pair.north, "GET", "/negotiations/x", **more)
    assert len([event for event in pair.north.events if isinstance(event, Refused)]) == 60
    pair.clock.forward(minutes=2)
    pair.ask(pair.north, "GET", "/negotiations/x", **more)
    assert len(pair.north.events) == 61


# Catalogue


def test_a_catalogue_is_paged_by_links_in_both_directions(pair: Pair) -> None:
    for name in ("a", "b", "c", "d"):
        pair.offer(offer(f"urn:uuid:offer-{name}"), dataset=f"north/{name}")
    place, seen, links = "/catalog/request", [], {}
    for _ in range(3):
        answer = pair.ask(pair.north, "POST", place, message("CatalogRequestMessage"))
        assert not kit_wire.problems(answer.json())
        seen.append([dataset["@id"] for dataset in answer.json()["dataset"]])
        links = _links(answer)
        place = links.get("next", "")
    assert seen == [["north/a", "north/b"], ["north/c", "north/d"], [DATASET]]
    assert "next" not in links
    back = pair.ask(pair.north, "GET", links["previous"])
    assert [dataset["@id"] for dataset in back.json()["dataset"]] == seen[1]
    assert set(_links(back)) == {"next", "previous"}
    first = pair.ask(pair.north, "GET", _links(back)["previous"])
    assert [dataset["@id"] for dataset in first.json()["dataset"]] == seen[0]
    assert set(_links(first)) == {"next"}


def _links(answer: httpx.Response) -> dict[str, str]:
    found = re.findall(r'<https://north.example/2025-1(.*?)>; rel="(\w+)"', answer.headers["link"])
    return {relation: unquote(place) for place, relation in found}


def test_an_empty_catalogue_has_no_datasets_and_is_valid(pair: Pair) -> None:
    pair.north.deny(Moment.CATALOGUE)
    answer = pair.ask(pair.north, "POST", "/catalog/request", message("CatalogRequestMessage"))
    assert "dataset" not in answer.json()
    assert not kit_wire.problems(answer.json())
    error(pair.ask(pair.north, "GET", f"/catalog/datasets/{DATASET}"), 404, "DSP_UNKNOWN")


def test_filters_and_invented_continuations_are_refused(pair: Pair) -> None:
    filtered = message("CatalogRequestMessage", filter=[{"a": 1}])
    error(pair.ask(pair.north, "POST", "/catalog/request", filtered), 400, "DSP_FILTER")
    place = "/catalog/request?continuation=invented"
    error(pair.ask(pair.north, "GET", place), 400, "DSP_CONTINUATION")


def test_a_dataset_is_valid_and_large_answers_are_compressed(pair: Pair) -> None:
    dataset = pair.ask(pair.north, "GET", f"/catalog/datasets/{DATASET}")
    assert dataset.json()["@type"] == "Dataset"
    assert not kit_wire.problems(dataset.json())
    for number in range(20):
        pair.offer(offer(f"urn:uuid:{number}"))
    answer = pair.ask(pair.north, "GET", f"/catalog/datasets/{DATASET}")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["hasPolicy"]) == 21


# At once


def test_the_same_request_many_times_at_once_is_one_process(pair: Pair) -> None:
    request = messages.parse(json.dumps(asked(new_pid())).encode(), messages.ContractRequestMessage)
    answers: list[Any] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        answers.append(conduct.begin(pair.north.desk, "hdab", request))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer.provider_pid for answer in answers}) == 1
    assert len(answers) == 8
    assert pair.north.moves() == ["REQUESTED"]


@pytest.mark.parametrize("round_", range(5))
def test_contradicting_words_at_once_leave_one_history(pair: Pair, round_: int) -> None:
    del round_
    pids = held(pair)
    north = pair.north
    start = threading.Barrier(3)
    errors: list[str] = []

    def run(work: Any) -> None:
        start.wait()
        try:
            work()
        except (LocalError, RemoteError) as caught:
            errors.append(caught.code)

    ending = messages.parse(
        json.dumps(termination(pids)).encode(), messages.ContractNegotiationTerminationMessage
    )
    works = [
        lambda: conduct.receive(north.desk, "hdab", pids[0], ending),
        lambda: conduct.act(north.desk, pids[0], Signal.AGREE),
        lambda: conduct.act(north.desk, pids[0], Signal.OFFER),
    ]
    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The peer's word ends it in any case; of our two at most one came before.
    assert north.state(pids[0]) is State.TERMINATED
    assert north.row(pids[0]).version == len(north.moves()) <= 3
    assert len(errors) == 4 - len(north.moves())
    assert set(errors) <= {"DSP_MOVED", "DSP_STATE"}
    assert north.pending() == 0
