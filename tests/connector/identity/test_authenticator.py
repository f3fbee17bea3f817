"""Who is let in: participants by the manifest, strangers by a membership, and nobody twice."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from identities import LIST, Somebody, World, code, run
from starlette.applications import Starlette

from connector.errors import RemoteError
from connector.identity import did, holder
from connector.identity.authenticator import Authenticator, Caller
from connector.identity.claims import LONGEST, Issuer, Request
from connector.identity.endpoints import credential_routes, did_route, status_route
from connector.identity.manifest import Manifest
from connector.identity.presentations import SCOPE

TARGET = "/dsp/catalog/request"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def listed(world: World) -> Manifest:
    return world.manifest(world.north.entry, world.south.entry)


@pytest.fixture
def guard(world: World, listed: Manifest) -> Authenticator:
    return world.authenticator(world.south, listed)


def call(guard: Authenticator, header: str, method: str = "POST", target: str = TARGET) -> Caller:
    return run(guard.caller(header, method, target))


def test_a_participant_is_known_by_the_manifest_and_nobody_is_asked(
    world: World, listed: Manifest, guard: Authenticator
) -> None:
    ours = world.authenticator(world.north, listed)
    world.web.pages.clear()
    caller = call(guard, ours.header(world.south.did, "POST", TARGET, b"{}"))
    assert (caller.did, caller.name) == (world.north.did, "north")
    caller.check_body(b"{}")
    assert code(lambda: caller.check_body(b"[]")) == "TOKEN_BODY"
    assert not world.web.asked


def test_a_participants_token_is_good_once_and_for_its_request(
    world: World, listed: Manifest, guard: Authenticator
) -> None:
    ours = world.authenticator(world.north, listed)
    header = ours.header(world.south.did, "POST", TARGET, b"{}")
    assert code(lambda: call(guard, header, "GET")) == "TOKEN_REQUEST"
    assert code(lambda: call(guard, header, target=TARGET + "?x")) == "TOKEN_REQUEST"
    call(guard, header)
    assert code(lambda: call(guard, header)) == "TOKEN_REPLAYED"
    unbound = f"Bearer {world.north.issuer.issue(world.south.did)}"
    assert code(lambda: call(guard, unbound)) == "TOKEN_UNBOUND"


def test_another_key_does_not_speak_for_a_participant(world: World, guard: Authenticator) -> None:
    thief = Issuer(world.north.did, world.mallory.key, world.clock)
    pretender = Authenticator(
        thief, guard.manifest, world.mallory.replays, world.mallory.resolver, None
    )
    header = pretender.header(world.south.did, "POST", TARGET, b"{}")
    assert code(lambda: call(guard, header)) == "TOKEN_SIGNATURE"


def test_a_forged_token_does_not_use_up_the_true_one(
    world: World, listed: Manifest, guard: Authenticator
) -> None:
    header = world.authenticator(world.north, listed).header(world.south.did, "POST", TARGET, b"{}")
    signed, _, signature = header.rpartition(".")
    forged = f"{signed}.{signature[::-1][2:]}AA"
    assert code(lambda: call(guard, forged)) in ("TOKEN_SIGNATURE", "TOKEN_MALFORMED")
    assert call(guard, header).name == "north"


def test_a_revoked_participant_is_refused_whatever_it_presents(world: World) -> None:
    entry = world.north.entry.model_copy(update={"state": "revoked"})
    listed = world.manifest(entry, world.south.entry)
    guard = world.authenticator(world.south, listed)
    access = holder.grant(world.north.issuer, world.south.did)
    header = f"Bearer {world.north.issuer.issue(world.south.did, access=access)}"
    assert code(lambda: call(guard, header)) == "TOKEN_UNBOUND"
    bound = world.authenticator(world.north, listed).header(world.south.did, "POST", TARGET, b"")
    assert code(lambda: call(guard, bound)) == "PARTICIPANT_REVOKED"


def test_a_participants_token_lives_for_five_minutes_at_most(
    world: World, guard: Authenticator
) -> None:
    moment = int(world.clock().timestamp())
    said = {
        "iss": world.north.did, "sub": world.north.did, "aud": world.south.did, "jti": "1",
        "iat": moment, "exp": moment + int(LONGEST.total_seconds()) + 1,
        "commensal_request": {"method": "POST", "target": TARGET, "body": "sha256:" + "0" * 64},
    }  # fmt: skip
    header = f"Bearer {world.north.issuer.sign(said)}"
    assert code(lambda: call(guard, header)) == "TOKEN_LIFE"


def test_without_a_list_in_force_nobody_is_let_in(world: World) -> None:
    def missing() -> Manifest:
        raise RemoteError("MANIFEST_EXPIRED", "the list of participants ended")

    guard = Authenticator(
        world.south.issuer, missing, world.south.replays, world.south.resolver,
        world.south.verifier(world.hdab.did),
    )  # fmt: skip
    header = f"Bearer {world.north.issuer.issue(world.south.did)}"
    assert code(lambda: call(guard, header)) == "MANIFEST_EXPIRED"


def stranger(world: World, who: Somebody, access: bool = True) -> str:
    """A header as a connector of another make sends it: unbound, with an access token."""
    token = holder.grant(who.issuer, world.south.did) if access else ""
    return f"Bearer {who.issuer.issue(world.south.did, access=token)}"


def test_a_stranger_with_a_membership_is_let_in_once_per_token(world: World) -> None:
    guard = world.authenticator(world.south, world.manifest(world.south.entry))
    header = stranger(world, world.north)
    caller = call(guard, header)
    assert (caller.did, caller.name) == (world.north.did, "")
    caller.check_body(b"whatever")
    assert code(lambda: call(guard, header)) == "TOKEN_REPLAYED"


def test_a_stranger_that_binds_its_token_is_held_to_it(world: World) -> None:
    listed = world.manifest(world.south.entry)
    guard = world.authenticator(world.south, listed)
    header = world.authenticator(world.north, listed).header(world.south.did, "POST", TARGET, b"{}")
    assert code(lambda: call(guard, header, "GET")) == "TOKEN_REQUEST"
    body = Request.of("POST", TARGET, b"{}")
    access = holder.grant(world.north.issuer, world.south.did)
    bound = f"Bearer {world.north.issuer.issue(world.south.did, body, access)}"
    assert code(lambda: call(guard, bound).check_body(b"[]")) == "TOKEN_BODY"


def test_a_stranger_without_a_membership_stays_outside(world: World) -> None:
    listed = world.manifest(world.south.entry)
    guard = world.authenticator(world.south, listed)
    assert code(lambda: call(guard, stranger(world, world.mallory))) == "CREDENTIAL_MISSING"
    assert code(lambda: call(guard, stranger(world, world.north, access=False))) == "ACCESS_MISSING"
    world.revoke(7)
    assert code(lambda: call(guard, stranger(world, world.north))) == "CREDENTIAL_REVOKED"
    closed = world.authenticator(world.south, listed, strangers=False)
    assert code(lambda: call(closed, stranger(world, world.north))) == "PARTICIPANT_UNKNOWN"


def test_nobody_is_asked_about_a_token_that_is_old_or_not_for_us(world: World) -> None:
    guard = world.authenticator(world.south, world.manifest(world.south.entry))
    header = stranger(world, world.north)
    misdirected = f"Bearer {world.north.issuer.issue(world.mallory.did)}"
    world.clock.now += timedelta(minutes=10)
    for refused in (header, misdirected, "Bearer a.b.c"):
        assert code(lambda refused=refused: call(guard, refused)).startswith("TOKEN_")
    assert not world.web.asked


# What is shown over HTTP


Ask = Callable[..., Response]


@pytest.fixture
def ask(world: World) -> Ask:
    signed = world.web.pages[LIST].decode()
    routes = [
        did_route(world.north.document),
        status_route("/v1/status", lambda: signed),
        *credential_routes(world.north.service, "/credentials"),
    ]
    transport = ASGITransport(Starlette(routes=routes))

    async def call(method: str, path: str, **more: Any) -> Response:
        async with AsyncClient(transport=transport, base_url="https://north.example") as client:
            return await client.request(method, path, **more)

    return lambda method, path, **more: run(call(method, path, **more))


def test_the_did_document_lies_where_its_id_says(world: World, ask: Ask) -> None:
    answer = ask("GET", "/.well-known/did.json")
    assert answer.headers["content-type"] == "application/did+json"
    assert did.parse(answer.content, world.north.did).service("CredentialService")


def test_a_credential_service_answers_over_http(world: World, ask: Ask) -> None:
    query = {"type": "PresentationQueryMessage", "scope": [SCOPE]}
    path = "/credentials/presentations/query"

    def asked(body: object = query, access: bool = True) -> tuple[int, dict[str, object]]:
        token = holder.grant(world.north.issuer, world.south.did) if access else ""
        header = f"Bearer {world.south.issuer.issue(world.north.did, access=token)}"
        answer = ask("POST", path, json=body, headers={"authorization": header})
        return answer.status_code, answer.json()

    status, answer = asked()
    assert (status, answer["type"]) == (200, "PresentationResponseMessage")
    assert asked(access=False) == (403, {"code": "ACCESS_DENIED"})
    assert asked({**query, "scope": []})[0] == 400
    definition = {"type": "PresentationQueryMessage", "presentationDefinition": {"id": "1"}}
    assert asked(definition)[0] == 501
    assert asked({**query, "more": "x" * (1 << 14)}) == (413, {"code": "QUERY_TOO_LARGE"})
    refused = ask("POST", path, json=query)
    assert (refused.status_code, refused.json()) == (401, {"code": "QUERY_UNAUTHENTICATED"})


def test_a_status_list_is_a_signed_statement(ask: Ask) -> None:
    answer = ask("GET", "/v1/status")
    assert answer.headers["content-type"].startswith("application/vc+jwt")
    assert answer.text.count(".") == 2
