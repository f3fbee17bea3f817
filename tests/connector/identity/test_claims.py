"""Self-issued tokens: who, to whom, now, once, for this request."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from identities import NOW, Clock, code
from jwt.utils import base64url_decode

from connector.identity import claims, jose, replays
from connector.identity.claims import LIFE, LONGEST_OF_OTHERS, SKEW, Issuer, Request
from connector.identity.keys import SigningKey
from connector.identity.replays import Replays
from connector.store import Store
from policies.odrl import strict

NORTH, SOUTH = "did:web:north.example", "did:web:south.example"
CLOCK = Clock()
ISSUER = Issuer(NORTH, SigningKey("north", b"n" * 32), CLOCK)
REQUEST = Request.of("POST", "/dsp/catalog/request?x=1", b"{}")


def issued(**changed: Any) -> str:
    moment = int(NOW.timestamp())
    known = {
        "iss": NORTH, "sub": NORTH, "aud": SOUTH, "jti": "1", "iat": moment, "exp": moment + 60,
    }  # fmt: skip
    said = {name: value for name, value in (known | changed).items() if value is not None}
    return ISSUER.sign(said)


def refused(text: str) -> str:
    return code(lambda: claims.read(text, SOUTH, NOW))


def test_a_token_of_ours_has_the_claims_of_the_protocol_and_no_more_than_a_minute() -> None:
    text = ISSUER.issue(SOUTH, REQUEST, access="opaque")
    payload = strict.load(base64url_decode(text.split(".")[1]))
    assert isinstance(payload, dict)
    assert payload.keys() == {
        "iss", "sub", "aud", "jti", "iat", "exp", "token", "commensal_request",
    }  # fmt: skip
    token, said = claims.read(text, SOUTH, NOW)
    assert said.iss == said.sub == NORTH
    assert said.exp - said.iat == Decimal(LIFE.total_seconds())
    assert timedelta(minutes=5) >= LIFE
    assert said.token == "opaque"  # noqa: S105 - no password
    assert token.kid == ISSUER.kid
    assert said.request == REQUEST


def test_two_tokens_never_have_the_same_jti() -> None:
    made = {claims.read(ISSUER.issue(SOUTH), SOUTH, NOW)[1].jti for _ in range(50)}
    assert len(made) == 50


MOMENT = int(NOW.timestamp())
LEEWAY = int(SKEW.total_seconds())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"aud": NORTH}, "TOKEN_AUDIENCE"),
        ({"aud": [SOUTH, NORTH]}, "TOKEN_MALFORMED"),
        ({"aud": []}, "TOKEN_MALFORMED"),
        ({"sub": SOUTH}, "TOKEN_SUBJECT"),
        ({"iat": MOMENT - 90, "exp": MOMENT - LEEWAY}, "TOKEN_EXPIRED"),
        ({"iat": MOMENT + LEEWAY + 1, "exp": MOMENT + 100}, "TOKEN_EARLY"),
        ({"nbf": MOMENT + 1_000_000}, "TOKEN_EARLY"),
        ({"exp": MOMENT + int(LONGEST_OF_OTHERS.total_seconds()) + 1}, "TOKEN_LIFE"),
        ({"exp": MOMENT}, "TOKEN_LIFE"),
        ({"vp": {}}, "TOKEN_MALFORMED"),
        ({"vc": {}}, "TOKEN_MALFORMED"),
        ({"exp": str(MOMENT + 60)}, "TOKEN_MALFORMED"),
        ({"exp": True}, "TOKEN_MALFORMED"),
        ({"iat": -1}, "TOKEN_MALFORMED"),
        ({"exp": 1 << 50}, "TOKEN_MALFORMED"),
        ({"jti": ""}, "TOKEN_MALFORMED"),
        ({"jti": 7}, "TOKEN_MALFORMED"),
        ({"jti": "a" * 256}, "TOKEN_MALFORMED"),
        ({"iss": "a" * 256, "sub": "a" * 256}, "TOKEN_MALFORMED"),
        ({"commensal_request": {}}, "TOKEN_MALFORMED"),
        ({"commensal_request": REQUEST.model_dump() | {"more": 1}}, "TOKEN_MALFORMED"),
        *(({name: None}, "TOKEN_MALFORMED") for name in ("iss", "sub", "aud", "jti", "iat", "exp")),
    ],
)
def test_each_claim_has_its_own_refusal(changed: dict[str, Any], expected: str) -> None:
    claims.read(issued(), SOUTH, NOW)
    assert refused(issued(**changed)) == expected


def test_a_single_audience_may_stand_in_a_list() -> None:
    assert claims.read(issued(aud=[SOUTH]), SOUTH, NOW)[1].aud == SOUTH


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    token = issued(iat=MOMENT - 60, exp=MOMENT)
    claims.read(token, SOUTH, NOW + SKEW - timedelta(seconds=1))
    assert code(lambda: claims.read(token, SOUTH, NOW + SKEW)) == "TOKEN_EXPIRED"


def test_another_kind_of_statement_by_the_same_key_is_no_token() -> None:
    said = {"iss": NORTH, "sub": NORTH, "aud": SOUTH, "jti": "1", "iat": MOMENT, "exp": MOMENT + 9}
    assert refused(ISSUER.sign(said, typ=claims.ACCESS_TYPE)) == "TOKEN_MALFORMED"
    assert refused(ISSUER.sign(said, typ="vp+jwt")) == "TOKEN_MALFORMED"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/dsp/catalog/request?x=1"), ("POST", "/dsp/catalog/request"),
        ("POST", "/dsp/catalog/request?x=2"), ("POST", "/dsp/negotiations/request"), ("post", "/"),
    ],
)  # fmt: skip
def test_a_token_is_good_for_its_own_request_only(method: str, target: str) -> None:
    _, said = claims.read(ISSUER.issue(SOUTH, REQUEST), SOUTH, NOW)
    claims.check_request(said, REQUEST.method, REQUEST.target, required=True)
    for required in (True, False):
        refusal = code(
            lambda required=required: claims.check_request(said, method, target, required=required)
        )
        assert refusal == "TOKEN_REQUEST"


def test_a_token_is_good_for_its_own_body_only() -> None:
    _, said = claims.read(ISSUER.issue(SOUTH, REQUEST), SOUTH, NOW)
    claims.check_body(said, b"{}")
    for body in (b"", b"{} ", b"[]"):
        assert code(lambda body=body: claims.check_body(said, body)) == "TOKEN_BODY"


def test_a_token_that_names_no_request_is_for_strangers_only() -> None:
    _, said = claims.read(ISSUER.issue(SOUTH), SOUTH, NOW)
    claims.check_request(said, "GET", "/any", required=False)
    claims.check_body(said, b"any")
    assert code(lambda: claims.check_request(said, "GET", "/any", required=True)) == "TOKEN_UNBOUND"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_a_request_without_a_bearer_token_is_refused(header: str | None) -> None:
    assert code(lambda: claims.bearer(header)) == "TOKEN_MISSING"
    assert claims.bearer("bearer abc") == "abc"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'tokens.db'}")
    yield opened
    opened.close()


def test_a_token_is_taken_once_also_by_a_process_that_started_anew(store: Store) -> None:
    clock = Clock()
    ends = NOW + timedelta(minutes=2)
    Replays(store, clock).use(NORTH, "1", ends)
    for again in (Replays(store, clock), Replays(store, clock)):
        assert code(lambda again=again: again.use(NORTH, "1", ends)) == "TOKEN_REPLAYED"
    Replays(store, clock).use(SOUTH, "1", ends)
    Replays(store, clock).use(NORTH, "2", ends)


def test_what_has_expired_is_forgotten_and_what_has_not_is_kept(store: Store) -> None:
    clock = Clock()
    kept = Replays(store, clock)
    kept.use(NORTH, "short", NOW + timedelta(seconds=90))
    kept.use(NORTH, "long", NOW + timedelta(minutes=9))
    clock.now += timedelta(seconds=90)
    assert code(lambda: kept.use(NORTH, "long", NOW)) == "TOKEN_REPLAYED"
    with store.read() as session:
        assert session.query(replays.UsedToken).count() == 1


def test_one_participant_does_not_fill_the_memory_of_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "MOST_OF_ONE", 3)
    clock = Clock()
    kept = Replays(store, clock)
    ends = NOW + timedelta(seconds=70)
    for number in range(3):
        kept.use(NORTH, str(number), ends)
    assert code(lambda: kept.use(NORTH, "3", ends)) == "TOKEN_FLOOD"
    assert code(lambda: Replays(store, clock).use(NORTH, "3", ends)) == "TOKEN_FLOOD"
    kept.use(SOUTH, "3", ends)
    clock.now += timedelta(seconds=70)
    kept.use(NORTH, "3", ends + timedelta(minutes=1))


def test_a_token_is_refused_for_its_age_from_when_it_is_forgotten() -> None:
    text = issued()
    _, said = claims.read(text, SOUTH, NOW)
    assert code(lambda: claims.read(text, SOUTH, said.forgotten_at)) == "TOKEN_EXPIRED"
    assert jose.read(text).kid == ISSUER.kid
