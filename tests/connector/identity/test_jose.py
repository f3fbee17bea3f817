"""Tokens: one spelling, two algorithms, and the key decides which."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from identities import code
from jwt.utils import base64url_encode

from connector.identity import jose
from connector.identity.jose import PublicKey
from connector.identity.keys import SigningKey

KEY = SigningKey("north", b"n" * 32)
PUBLIC = PublicKey.of(KEY.verify_key)
CLAIMS = {"iss": "did:web:north.example", "exp": 1}
TOKEN = jose.sign(KEY, CLAIMS, kid="did:web:north.example#k")
EC = ec.derive_private_key(7, ec.SECP256R1())
EC_PUBLIC = PublicKey.from_jwk(json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key())))


def spelled(header: Any, payload: Any = CLAIMS, signature: bytes = b"s") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64url_encode(part).decode() for part in parts)


def refused(text: str, key: PublicKey = PUBLIC) -> str:
    return code(lambda: jose.verify(jose.read(text), key))


def test_another_implementation_believes_our_tokens_and_the_other_way_round() -> None:
    public = Ed25519PrivateKey.from_private_bytes(b"n" * 32).public_key()
    options: Any = {"verify_exp": False}
    assert jwt.decode(TOKEN, public, algorithms=["EdDSA"], options=options) == CLAIMS
    private = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
    jose.verify(jose.read(jwt.encode(CLAIMS, private, "EdDSA")), PUBLIC)
    jose.verify(jose.read(jwt.encode(CLAIMS, EC, "ES256")), EC_PUBLIC)


def test_no_changed_character_of_a_token_passes() -> None:
    for place, character in enumerate(TOKEN):
        for other in {"A", "b", "_", ".", "="} - {character}:
            changed = TOKEN[:place] + other + TOKEN[place + 1 :]
            assert refused(changed) in ("TOKEN_MALFORMED", "TOKEN_ALGORITHM", "TOKEN_SIGNATURE")


def test_a_token_without_a_signature_is_refused_in_every_spelling_of_none() -> None:
    for name in ("none", "None", "NONE", "", None):
        text = spelled({"alg": name, "kid": "k"})
        assert refused(text) in ("TOKEN_ALGORITHM", "TOKEN_MALFORMED")
    head, payload, _ = spelled({"alg": "none"}).split(".")
    assert refused(f"{head}.{payload}.") == "TOKEN_MALFORMED"


@pytest.mark.parametrize("form", ["raw", "pem"])
def test_a_public_key_is_no_secret_for_an_hmac(form: str) -> None:
    secret = KEY.verify_key.public_bytes
    if form == "pem":
        public = Ed25519PrivateKey.from_private_bytes(b"n" * 32).public_key()
        secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = spelled({"alg": "HS256"}).rpartition(".")[0]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signed.encode(), secret
    )
    assert refused(f"{signed}.{base64url_encode(signature).decode()}") == "TOKEN_ALGORITHM"


def test_a_key_verifies_its_own_algorithm_only() -> None:
    assert refused(jwt.encode(CLAIMS, EC, "ES256")) == "TOKEN_ALGORITHM"
    assert refused(TOKEN, EC_PUBLIC) == "TOKEN_ALGORITHM"


def test_another_key_is_refused() -> None:
    assert refused(TOKEN, PublicKey.of(SigningKey("north", b"m" * 32).verify_key)) == (
        "TOKEN_SIGNATURE"
    )


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "EdDSA", "crit": ["exp"]}, {"alg": "EdDSA", "b64": False},
        {"alg": "EdDSA", "kid": 7}, {"alg": ["EdDSA"]}, [], "EdDSA", {"alg": "EdDSA", "typ": {}},
    ],
)  # fmt: skip
def test_headers_that_mean_something_else_are_refused(header: Any) -> None:
    assert refused(spelled(header)) in ("TOKEN_MALFORMED", "TOKEN_ALGORITHM")


def test_a_name_that_stands_twice_is_refused() -> None:
    _, payload, signature = TOKEN.split(".")
    header = base64url_encode(b'{"alg":"EdDSA","alg":"EdDSA"}').decode()
    assert refused(f"{header}.{payload}.{signature}") == "TOKEN_MALFORMED"


def test_deep_and_long_tokens_are_refused_before_they_are_parsed() -> None:
    _, _, signature = TOKEN.split(".")
    deep = base64url_encode(b"[" * 5000).decode()
    assert refused(f"{deep}.{deep}.{signature}") == "TOKEN_MALFORMED"
    assert refused("A" * (jose.MAX_BYTES + 1)) == "TOKEN_MALFORMED"


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    "changed",
    [
        {"crv": "Ed448"}, {"kty": "oct"}, {"kty": "EC"}, {"d": "AAAA"}, {"alg": "ES256"},
        {"use": "enc"}, {"x": "AAAA"}, {"x": 7}, {"crv": "P-256"}, {"crv": ["Ed25519"]},
    ],
)  # fmt: skip
def test_keys_of_another_kind_are_refused(changed: dict[str, Any]) -> None:
    form = jose.jwk(KEY.verify_key) | changed
    assert code(lambda: PublicKey.from_jwk(form)) == "JWK_UNSUPPORTED"


def test_a_point_that_is_not_on_its_curve_is_no_key() -> None:
    form = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key()))
    off = {**form, "y": form["x"]}
    assert code(lambda: PublicKey.from_jwk(off)) == "JWK_UNSUPPORTED"
