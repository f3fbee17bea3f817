"""Membership by credential: two of ours convince each other, and each way to cheat has its code."""

import base64
import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from identities import LIST, NOW, Somebody, World, code, run

from connector.identity import credentials, did, holder, jose
from connector.identity.did import DCP_CONTEXT, DidDocument
from connector.identity.presentations import SCOPE, Standing, Verifier
from policies import canonical


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def asked(world: World, who: Somebody, verifier: Verifier | None = None) -> Standing:
    """`south` asks `who`, who has given it access."""

    async def work() -> Standing:
        document = await world.south.resolver.resolve(who.did)
        access = holder.grant(who.issuer, world.south.did)
        return await (verifier or world.south.verifier(world.hdab.did)).standing(document, access)

    return run(work())


def test_a_member_presents_its_credential_and_is_believed(world: World) -> None:
    standing = asked(world, world.north)
    assert (standing.holder, standing.issuer) == (world.north.did, world.hdab.did)
    assert standing.claims["memberOf"] == "hdab"
    assert standing.expires == NOW + timedelta(days=30)


def test_who_holds_no_credential_is_no_member(world: World) -> None:
    assert code(lambda: asked(world, world.mallory)) == "CREDENTIAL_MISSING"


def test_an_issuer_that_is_not_trusted_counts_for_nothing(world: World) -> None:
    world.mallory.held.append(world.membership(world.mallory.did, by=world.mallory))
    assert code(lambda: asked(world, world.mallory)) == "CREDENTIAL_ISSUER"
    nobody = world.south.verifier()
    assert code(lambda: asked(world, world.north, nobody)) == "CREDENTIAL_ISSUER"


def test_a_membership_elsewhere_does_no_harm(world: World) -> None:
    world.north.held.append(world.membership(world.north.did, by=world.mallory))
    assert asked(world, world.north).issuer == world.hdab.did


def test_somebody_elses_credential_is_not_ones_own(world: World) -> None:
    world.mallory.held.append(world.membership(world.north.did))
    assert code(lambda: asked(world, world.mallory)) == "CREDENTIAL_SUBJECT"


def test_a_credential_with_a_forged_issuer_is_refused(world: World) -> None:
    payload = spelled(jose.read(world.membership(world.mallory.did)).payload)  # says hdab
    world.mallory.held[:] = [world.mallory.issuer.sign(payload)]
    assert code(lambda: asked(world, world.mallory)) == "DID_KEY"
    pretended = did.key_id(world.hdab.did, world.hdab.key.verify_key)
    world.mallory.held[:] = [jose.sign(world.mallory.key, payload, kid=pretended)]
    assert code(lambda: asked(world, world.mallory)) == "TOKEN_SIGNATURE"


def test_an_expired_and_an_early_credential_are_refused(world: World) -> None:
    early = world.clock.now
    world.clock.now = early + timedelta(days=30)
    world.revoke()
    assert code(lambda: asked(world, world.north)) == "CREDENTIAL_EXPIRED"
    world.north.held[:] = [world.membership(world.north.did)]
    world.clock.now = early
    assert code(lambda: asked(world, world.north)) == "CREDENTIAL_EARLY"


def test_a_revoked_credential_is_refused_within_the_life_of_the_list(world: World) -> None:
    verifier = world.south.verifier(world.hdab.did)
    asked(world, world.north, verifier)
    world.revoke(6, 8)
    world.clock.now += timedelta(seconds=30)
    asked(world, world.north, verifier)
    world.revoke(7)
    world.clock.now += timedelta(seconds=29)
    asked(world, world.north, verifier)
    world.clock.now += timedelta(seconds=1)
    assert code(lambda: asked(world, world.north, verifier)) == "CREDENTIAL_REVOKED"


def test_a_list_that_cannot_be_had_is_not_an_empty_one(world: World) -> None:
    del world.web.pages[LIST]
    assert code(lambda: asked(world, world.north)) == "FETCH_REFUSED"


def test_a_list_that_is_old_or_somebody_elses_is_refused(world: World) -> None:
    world.clock.now += timedelta(hours=1)
    assert code(lambda: asked(world, world.north)) == "CREDENTIAL_EXPIRED"
    by_mallory = credentials.issue_list(world.mallory.issuer, LIST, (), timedelta(hours=1))
    world.web.pages[LIST] = by_mallory.encode()
    assert code(lambda: asked(world, world.north)) == "STATUS_ISSUER"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"type": "NewStatusList"}, "STATUS_UNSUPPORTED"),
        ({"statusPurpose": "message"}, "STATUS_UNSUPPORTED"),
        ({"statusPurpose": "suspension"}, "STATUS_MALFORMED"),
        ({"type": "StatusList2021Entry"}, "STATUS_MALFORMED"),
        ({"statusListIndex": "131072"}, "STATUS_MALFORMED"),
        ({"statusListIndex": "-1"}, "CREDENTIAL_MALFORMED"),
        ({"statusListCredential": "https://elsewhere.example/list"}, "FETCH_REFUSED"),
    ],
)
def test_a_status_that_cannot_be_found_out_is_a_no(
    world: World, changed: dict[str, Any], expected: str
) -> None:
    payload = jose.read(world.membership(world.north.did)).payload
    payload["vc"]["credentialStatus"] |= changed
    world.north.held[:] = [world.hdab.issuer.sign(spelled(payload))]
    assert code(lambda: asked(world, world.north)) == expected


def spelled(value: Any) -> Any:
    """Numbers as they were before they were read."""
    return json.loads(json.dumps(value, default=int))


def test_a_compressed_bomb_is_no_list() -> None:
    bomb = gzip.compress(bytes(credentials.MAX_LIST_BYTES + 1))
    encoded = "u" + base64.urlsafe_b64encode(bomb).decode().rstrip("=")
    assert code(lambda: credentials.bit(encoded, 0)) == "STATUS_MALFORMED"


@pytest.mark.parametrize("encoded", ["", "u", "uAAAA", "u!", "uH4sIAAAAAAAA", "H4s"])
def test_what_is_no_list_has_no_bits(encoded: str) -> None:
    assert code(lambda: credentials.bit(encoded, 0)) == "STATUS_MALFORMED"


def test_the_first_bit_is_the_highest() -> None:
    def packed(content: bytes) -> str:
        return base64.urlsafe_b64encode(gzip.compress(content)).decode().rstrip("=")

    assert credentials.bit(packed(b"\x80"), 0)  # StatusList2021 has no multibase mark
    assert credentials.bit("u" + packed(b"\x00\x01"), 15)
    assert not credentials.bit("u" + packed(b"\x7f\xfe"), 0)
    assert code(lambda: credentials.bit("u" + packed(b"\xff"), 8)) == "STATUS_MALFORMED"


def answering(world: World, presentation: Any, who: Somebody | None = None) -> None:
    """`north` answers with that, whatever it is asked."""

    async def answer(_: str, __: bytes) -> Any:
        return {
            "@context": [DCP_CONTEXT], "type": "PresentationResponseMessage",
            "presentation": presentation,
        }  # fmt: skip

    url = f"{(who or world.north).credentials}/presentations/query"
    world.web.answering[url] = answer


def presented(world: World, by: Somebody | None = None, **changed: Any) -> str:
    moment = int(NOW.timestamp())
    known: dict[str, Any] = {
        "iss": world.north.did, "sub": world.north.did, "aud": world.south.did,
        "jti": "1", "iat": moment, "exp": moment + 60,
        "vp": {"type": "VerifiablePresentation", "verifiableCredential": world.north.held},
    }  # fmt: skip
    said = {name: value for name, value in (known | changed).items() if value is not None}
    return (by or world.north).issuer.sign(said)


def test_a_presentation_as_other_implementations_make_it_is_believed(world: World) -> None:
    answering(world, [presented(world)])
    assert asked(world, world.north).holder == world.north.did


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"aud": "did:web:mallory.example"}, "PRESENTATION_AUDIENCE"),
        ({"aud": None}, "PRESENTATION_AUDIENCE"),
        ({"iss": "did:web:mallory.example"}, "PRESENTATION_HOLDER"),
        ({"iss": None, "sub": None}, "PRESENTATION_HOLDER"),
        ({"iss": 7}, "PRESENTATION_MALFORMED"),
        ({"exp": int(NOW.timestamp()) - 31}, "PRESENTATION_EXPIRED"),
        ({"exp": None}, "PRESENTATION_MALFORMED"),
        ({"exp": "soon"}, "PRESENTATION_MALFORMED"),
        ({"vp": {"verifiableCredential": []}}, "CREDENTIAL_MISSING"),
        ({"vp": {}}, "PRESENTATION_MALFORMED"),
        ({"vp": []}, "PRESENTATION_MALFORMED"),
        ({"vp": {"verifiableCredential": [7]}}, "PRESENTATION_MALFORMED"),
        ({"vp": {"verifiableCredential": ["a"] * 17}}, "PRESENTATION_MALFORMED"),
        ({"vp": {"verifiableCredential": ["a.b.c"]}}, "TOKEN_MALFORMED"),
    ],
)
def test_each_wrong_presentation_has_its_own_refusal(
    world: World, changed: dict[str, Any], expected: str
) -> None:
    answering(world, [presented(world, **changed)])
    assert code(lambda: asked(world, world.north)) == expected


@pytest.mark.parametrize("answer", [[], [7], ["a.b.c"], [{}], "text", None, ["x"] * 9])
def test_an_answer_that_holds_no_presentation_is_refused(world: World, answer: Any) -> None:
    answering(world, answer)
    assert code(lambda: asked(world, world.north)) in ("PRESENTATION_MALFORMED", "TOKEN_MALFORMED")


def test_a_presentation_by_another_key_is_refused(world: World) -> None:
    answering(world, [presented(world, by=world.mallory)])
    assert code(lambda: asked(world, world.north)) == "DID_KEY"


def test_version_two_in_edcs_envelope_is_believed(world: World) -> None:
    payload = jose.read(world.membership(world.north.did)).payload
    version_two = {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "type": ["VerifiableCredential", credentials.MEMBERSHIP],
        "issuer": {"id": world.hdab.did}, "validFrom": "2026-11-01T00:00:00Z",
        "validUntil": "2026-12-01T00:00:00Z", "credentialSubject": [{"id": world.north.did}],
        "credentialStatus": [payload["vc"]["credentialStatus"]],
    }  # fmt: skip
    signed = world.hdab.issuer.sign(spelled(version_two), "vc+jwt")
    inner = world.north.issuer.sign(
        {
            "type": "VerifiablePresentation", "holder": world.north.did,
            "verifiableCredential": [
                {"type": "EnvelopedVerifiableCredential", "id": f"data:application/vc+jwt,{signed}"}
            ],
        },
        "vp+jwt",
    )  # fmt: skip
    envelope = {
        "type": "EnvelopedVerifiablePresentation", "id": f"data:application/vp+jwt,{inner}",
    }  # fmt: skip
    for answer in (envelope, world.north.issuer.sign(envelope)):
        answering(world, [answer])
        assert asked(world, world.north).expires is not None
    world.revoke(7)
    world.clock.now += timedelta(seconds=30)
    assert code(lambda: asked(world, world.north)) == "CREDENTIAL_REVOKED"


def test_a_holder_with_a_p256_key_is_believed(world: World) -> None:
    """As Java connectors and the conformance kit are: ES256, and a status without a list."""
    key = ec.derive_private_key(9, ec.SECP256R1())
    name = "did:web:java.example"
    form = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    method = {"id": f"{name}#key-1", "type": "JsonWebKey2020", "publicKeyJwk": form}
    document = {
        "id": name, "verificationMethod": [method], "capabilityInvocation": [method["id"]],
        "service": [{"id": "cs", "type": "CredentialService", "serviceEndpoint": "https://java.example/cs/"}],
    }  # fmt: skip
    java = did.parse(json.dumps(document).encode(), name)
    moment = int(NOW.timestamp())
    said = {
        "iss": name, "sub": name, "aud": world.south.did, "exp": moment + 300,
        "vp": {"verifiableCredential": [world.membership(name)]},
    }  # fmt: skip
    text = jwt.encode(said, key, "ES256", headers={"kid": f"{name}#key-1"})

    async def answer(_: str, __: bytes) -> Any:
        return {"type": "PresentationResponseMessage", "presentation": [text]}

    world.web.answering["https://java.example/cs/presentations/query"] = answer
    verifier = world.south.verifier(world.hdab.did)
    assert run(verifier.standing(java, "opaque")).holder == name


def test_a_caller_that_gives_no_access_is_not_asked(world: World) -> None:
    document = DidDocument(world.north.did, {}, {}, {})
    verifier = world.south.verifier(world.hdab.did)
    world.web.asked.clear()
    assert code(lambda: run(verifier.standing(document, None))) == "ACCESS_MISSING"
    assert code(lambda: run(verifier.standing(document, "token"))) == "DID_SERVICE"
    assert not world.web.asked


# The holder's side


def query(**changed: Any) -> bytes:
    known = {"@context": [DCP_CONTEXT], "type": "PresentationQueryMessage", "scope": [SCOPE]}
    said = {name: value for name, value in (known | changed).items() if value is not None}
    return canonical.encode(said)


def shown(world: World, by: Somebody, access: str, body: bytes | None = None) -> Any:
    token = by.issuer.issue(world.north.did, access=access)
    return run(world.north.service.answer(f"Bearer {token}", query() if body is None else body))


def test_a_scope_may_be_spelled_with_and_without_the_right_to_read(world: World) -> None:
    access = holder.grant(world.north.issuer, world.south.did)
    for scope in (SCOPE, SCOPE.removesuffix(":read")):
        answer = shown(world, world.south, access, query(scope=[scope]))
        said = jose.read(answer["presentation"][0], 1 << 16).payload
        assert said["vp"]["verifiableCredential"] == world.north.held
        assert said["aud"] == world.south.did


def test_an_access_token_is_for_the_verifier_that_got_it(world: World) -> None:
    access = holder.grant(world.north.issuer, world.south.did)
    assert code(lambda: shown(world, world.mallory, access)) == "ACCESS_DENIED"


def test_an_access_token_ends(world: World) -> None:
    access = holder.grant(world.north.issuer, world.south.did)
    world.clock.now += holder.ACCESS_LIFE
    assert code(lambda: shown(world, world.south, access)) == "ACCESS_DENIED"


def test_an_access_token_that_we_did_not_make_opens_nothing(world: World) -> None:
    forged = holder.grant(world.south.issuer, world.south.did)
    other = world.north.issuer.issue(world.south.did)  # ours, but another kind of statement
    for access in (forged, other, "faketoken", "a.b.c"):
        assert code(lambda access=access: shown(world, world.south, access)) == "ACCESS_DENIED"
    assert code(lambda: shown(world, world.south, "")) == "ACCESS_DENIED"


def test_an_access_token_opens_its_scopes_only(world: World) -> None:
    access = holder.grant(world.north.issuer, world.south.did)
    for scope in ("org.eclipse.dspace.dcp.vc.type:Secret:read", "org.eclipse.dspace.dcp.vc.id:1"):
        for scopes in ([scope], [SCOPE, scope]):
            body = query(scope=scopes)
            assert code(lambda body=body: shown(world, world.south, access, body)) == (
                "ACCESS_DENIED"
            )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "QUERY_MALFORMED"),
        (query(scope=[]), "QUERY_MALFORMED"),
        (query(scope=None), "QUERY_MALFORMED"),
        (query(scope="x"), "QUERY_MALFORMED"),
        (query(scope=[SCOPE] * 21), "QUERY_MALFORMED"),
        (query(type="Other"), "QUERY_MALFORMED"),
        (query(scope=None, presentationDefinition={}), "QUERY_MALFORMED"),
        (query(presentationDefinition={"id": "1"}), "QUERY_MALFORMED"),
        (query(scope=None, presentationDefinition={"id": "1"}), "QUERY_UNSUPPORTED"),
    ],
)
def test_a_query_that_is_none_is_refused(world: World, body: bytes, expected: str) -> None:
    access = holder.grant(world.north.issuer, world.south.did)
    assert code(lambda: shown(world, world.south, access, body)) == expected


def test_a_verifiers_token_is_used_once(world: World) -> None:
    access = holder.grant(world.north.issuer, world.south.did)
    token = f"Bearer {world.south.issuer.issue(world.north.did, access=access)}"
    run(world.north.service.answer(token, query()))
    assert code(lambda: run(world.north.service.answer(token, query()))) == "TOKEN_REPLAYED"


def test_a_stranger_without_access_makes_us_call_nobody(world: World) -> None:
    world.web.asked.clear()
    assert code(lambda: shown(world, world.mallory, "faketoken")) == "ACCESS_DENIED"
    assert not world.web.asked
