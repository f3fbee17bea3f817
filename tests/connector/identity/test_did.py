"""did:web: our own document, and what is believed, remembered and never called."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from identities import Clock, Web, code, run

from connector.dsp.addresses import Addresses
from connector.errors import LocalError
from connector.identity import did, jose
from connector.identity.did import Resolver, address_of, parse
from connector.identity.fetch import MAX_BYTES, Fetcher
from connector.identity.keys import SigningKey

KEY = SigningKey("north", b"n" * 32)
OTHER = SigningKey("north", b"m" * 32)
DID = "did:web:north.example"
OURS = did.document(DID, KEY.verify_key, "https://north.example/dsp", "https://north.example/cs")
SPECS = Path(__file__).parents[4] / "shared" / "specs" / "dsp-2025-1"


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("did:web:north.example", "https://north.example/.well-known/did.json"),
        ("did:web:north.example%3A8443", "https://north.example:8443/.well-known/did.json"),
        ("did:web:hdab.example:members:north", "https://hdab.example/members/north/did.json"),
    ],
)
def test_a_did_says_where_its_document_lies(name: str, address: str) -> None:
    assert address_of(name) == address
    assert did.check_own(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "north", "did:key:z6Mk", "did:web:", "did:web:a/b", "did:web:a%2Fb", "did:web:a:..",
        "did:web:a:.", "did:web:a%3A0", "did:web:a%3a80", "did:web:a:80?x", "did:web:user@a",
        "did:web:a#k", "did:web:a:b%00", "did:web:a:" + "b" * 300, "did:web:-a", "did:web:a\n",
        "did:web:[::1]", "DID:web:a", "did:web:ä.example", "did:web:a::b",
    ],
)  # fmt: skip
def test_what_is_no_did_web_leads_nowhere(name: str) -> None:
    assert code(lambda: address_of(name)) == "DID_UNSUPPORTED"
    with pytest.raises(LocalError) as refusal:
        did.check_own(name)
    assert refusal.value.code == "DID_INVALID"


def test_our_document_reads_back_and_its_key_signs_tokens() -> None:
    read = parse(json.dumps(OURS).encode(), DID)
    token = jose.read(jose.sign(KEY, {}, kid=did.key_id(DID, KEY.verify_key)))
    for purpose in did._PURPOSES:
        jose.verify(token, read.key(token.kid, purpose))
        jose.verify(token, read.key(None, purpose))
    assert read.service("CredentialService") == "https://north.example/cs"
    assert read.service("CatalogService") == "https://north.example/dsp/catalog"
    assert read.service("DataService") == "https://north.example/.well-known/dspace-version"


@pytest.mark.skipif(not SPECS.exists(), reason="needs ../shared")
def test_our_catalogue_entry_is_one_of_the_dataspace_protocol() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    text = (SPECS / "common" / "did-service-schema.json").read_text()
    schema = json.loads(text)["definitions"]["DidService"]
    schema["properties"].pop("@context")
    services = {one["type"]: one for one in OURS["service"]}
    jsonschema.validate(services["CatalogService"], schema)
    example = json.loads((SPECS / "common/example/dataservice-did-service.json").read_text())
    # The published pattern refuses the published example; ours ends as the example does.
    assert example["serviceEndpoint"].endswith("/.well-known/dspace-version")
    assert services["DataService"]["serviceEndpoint"].endswith("/.well-known/dspace-version")


def changed(**fields: Any) -> bytes:
    return json.dumps({**OURS, **fields}).encode()


def test_a_document_about_somebody_else_is_refused() -> None:
    assert code(lambda: parse(json.dumps(OURS).encode(), "did:web:south.example")) == "DID_DIFFERS"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"null", b"{", b'{"id":"did:web:north.example","id":"x"}', b"\xff", b"[" * 9000,
        changed(verificationMethod=[OURS["verificationMethod"][0]] * 33),
        changed(verificationMethod={}), changed(service="x"), changed(id=7),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_read_is_refused(content: bytes) -> None:
    assert code(lambda: parse(content, DID)) == "DID_MALFORMED"


def test_a_key_counts_only_for_what_the_document_names_it_for() -> None:
    kid = did.key_id(DID, KEY.verify_key)
    document = parse(changed(capabilityInvocation=[]), DID)
    assert document.key(kid, "assertionMethod")
    assert code(lambda: document.key(kid, "capabilityInvocation")) == "DID_KEY"


def test_among_several_keys_a_token_must_name_its_own() -> None:
    method = OURS["verificationMethod"][0]
    second = {**method, "id": f"{DID}#second", "publicKeyJwk": jose.jwk(OTHER.verify_key)}
    names = [method["id"], "#second"]
    document = parse(changed(verificationMethod=[method, second], assertionMethod=names), DID)
    assert code(lambda: document.key(None, "assertionMethod")) == "DID_KEY"
    assert document.key("second", "assertionMethod") != document.key(
        method["id"], "assertionMethod"
    )
    for name in ("third", "did:web:south.example#second", ""):
        assert code(lambda name=name: document.key(name, "assertionMethod")) == "DID_KEY"
    twice = changed(verificationMethod=[method, {**second, "id": method["id"]}])
    assert code(lambda: parse(twice, DID)) == "DID_MALFORMED"


def test_another_participants_key_is_not_taken_over() -> None:
    method = OURS["verificationMethod"][0]
    for foreign in (
        {**method, "controller": "did:web:south.example"},
        {**method, "id": "did:web:south.example#k"},
        {**method, "publicKeyJwk": {"kty": "RSA"}},
    ):
        document = parse(changed(verificationMethod=[foreign]), DID)
        assert code(lambda document=document: document.key(None, "authentication")) == "DID_KEY"


def test_a_document_is_remembered_for_a_while_and_a_failure_for_a_moment() -> None:
    web, clock = Web(), Clock()
    resolver = Resolver(web, clock)
    assert code(lambda: run(resolver.resolve(DID))) == "FETCH_REFUSED"
    web.pages[address_of(DID)] = OURS
    assert code(lambda: run(resolver.resolve(DID))) == "FETCH_REFUSED"
    assert len(web.asked) == 1
    clock.now += timedelta(seconds=10)
    first = run(resolver.resolve(DID))
    web.pages[address_of(DID)] = {**OURS, "capabilityInvocation": []}
    clock.now += timedelta(minutes=5, seconds=-1)
    assert run(resolver.resolve(DID)) == first
    clock.now += timedelta(seconds=1)
    assert run(resolver.resolve(DID)) != first
    assert len(web.asked) == 3


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(did, "_MOST", 3)
    web = Web()
    resolver = Resolver(web, Clock())
    for number in range(5):
        assert code(lambda: run(resolver.resolve(f"did:web:n{number}.example"))) == "FETCH_REFUSED"  # noqa: B023 - run at once
    assert len(resolver._known) == 3


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",  # noqa: S104 - called, not listened on
        "localhost", "localhost%3A22",
    ],
)  # fmt: skip
def test_private_addresses_are_not_called(host: str) -> None:
    async def resolve() -> None:
        fetcher = Fetcher(Addresses())
        try:
            await Resolver(fetcher, Clock()).resolve(f"did:web:{host}")
        finally:
            await fetcher.close()

    assert code(lambda: run(resolve())) == "FETCH_FORBIDDEN"


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def peer(answer: Answer) -> AsyncIterator[int]:
    talks: list[asyncio.Task[Any]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())  # type: ignore[arg-type] - there is one
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*talks)


def resolved(answer: Answer) -> Any:
    async def work() -> Any:
        async with peer(answer) as port:
            return await resolve_at(port)

    return run(work())


async def resolve_at(port: int) -> Any:
    fetcher = Fetcher(Addresses(loopback=True))
    try:
        return await Resolver(fetcher, Clock()).resolve(f"did:web:localhost%3A{port}")
    finally:
        await fetcher.close()


def saying(head: str, body: bytes = b"") -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return answer


async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b" " * (1 << 14))
        await writer.drain()


def test_a_real_peer_is_asked_and_must_speak_of_itself() -> None:
    assert code(lambda: resolved(saying("200 OK", json.dumps(OURS).encode()))) == "DID_DIFFERS"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (saying("302 Found\r\nlocation: http://127.0.0.1:1/"), "FETCH_REDIRECTED"),
        (saying("308 Moved\r\nlocation: /elsewhere"), "FETCH_REDIRECTED"),
        (saying("404 Not Found"), "FETCH_REFUSED"),
        (saying("200 OK\r\ncontent-encoding: gzip", b"\x1f\x8b"), "FETCH_REFUSED"),
        (saying("200 OK", b" " * (MAX_BYTES + 1)), "FETCH_TOO_LARGE"),
        (endless, "FETCH_TOO_LARGE"),
        (saying("200 OK", b"<html>"), "DID_MALFORMED"),
        (saying("garbage"), "FETCH_FAILED"),
    ],
)
def test_a_peer_that_answers_something_else_is_refused(answer: Answer, expected: str) -> None:
    assert code(lambda: resolved(answer)) == expected


def test_a_peer_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connector.identity.fetch._TOTAL_SECONDS", 0.05)

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert code(lambda: run(resolve_at(port))) == "FETCH_FAILED"
