"""Compact JWS (RFC 7515) in the one form that is taken here: EdDSA over Ed25519, or ES256.

PyJWT verifies and reads JWKs. Around it stands what it leaves open: one spelling, strict JSON, a
bound, and a key that knows its only algorithm (threats: `none`; HMAC with a public key as secret;
a key that travels in the token's own header, which is never looked at).
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt.utils import base64url_decode, base64url_encode

from connector.errors import RemoteError
from connector.identity.keys import Signer, VerifyKey
from policies import canonical
from policies.errors import PolicyError
from policies.odrl import strict

MAX_BYTES = 1 << 14
EDDSA, ES256 = "EdDSA", "ES256"
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_CURVES = {"Ed25519": ("OKP", EDDSA), "P-256": ("EC", ES256)}
_JWS = jwt.PyJWS(algorithms=[EDDSA, ES256])
Json = dict[str, Any]


@dataclass(frozen=True)
class PublicKey:
    """A key and the one algorithm that it verifies."""

    algorithm: str
    key: Ed25519PublicKey | ec.EllipticCurvePublicKey

    @classmethod
    def of(cls, key: VerifyKey) -> "PublicKey":
        """One of our own."""
        return cls(EDDSA, Ed25519PublicKey.from_public_bytes(key.public_bytes))

    @classmethod
    def from_jwk(cls, jwk: Json) -> "PublicKey":
        """Read a public JWK (RFC 7517, 8037). Raises `RemoteError` (JWK_UNSUPPORTED)."""
        kind, algorithm = _CURVES.get(str(jwk.get("crv")), ("", ""))
        members: Json = {name: jwk[name] for name in ("kty", "crv", "x", "y") if name in jwk}
        if (
            not kind or members.get("kty") != kind or "d" in jwk
            or jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig"
        ):  # fmt: skip
            raise _unsupported()
        try:
            key = jwt.PyJWK.from_dict(members, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _unsupported() from error
        if not isinstance(key, Ed25519PublicKey | ec.EllipticCurvePublicKey):
            raise _unsupported()
        return cls(algorithm, key)


@dataclass(frozen=True)
class Token:
    """A token that was read but not verified: nothing in it may be believed yet."""

    text: str
    header: Json
    payload: Json

    @property
    def kid(self) -> str | None:
        """Which key it says has signed it."""
        kid: str | None = self.header.get("kid")
        return kid

    @cached_property
    def digest(self) -> str:
        """Of the text."""
        return canonical.digest(self.text.encode())


def jwk(key: VerifyKey) -> Json:
    """Our public key as a JWK (RFC 8037)."""
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url_encode(key.public_bytes).decode()}


def sign(signer: Signer, payload: Json, *, kid: str, typ: str = "JWT") -> str:
    """A compact JWS by our own key, wherever that lies."""
    header = {"alg": EDDSA, "typ": typ, "kid": kid}
    signed = b".".join(base64url_encode(canonical.encode(part)) for part in (header, payload))
    return (signed + b"." + base64url_encode(signer.sign(signed))).decode()


def read(text: str, most: int = MAX_BYTES) -> Token:
    """Take a token apart. Raises `RemoteError`: TOKEN_MALFORMED, TOKEN_ALGORITHM."""
    if len(text) > most or not _COMPACT.fullmatch(text):
        raise malformed()
    header, payload, signature = text.split(".")
    token = Token(text, _object(header), _object(payload))
    _decode(signature)
    names = [token.header.get(name, "") for name in ("alg", "typ", "kid")]
    if not all(isinstance(name, str) for name in names) or {"crit", "b64"} & token.header.keys():
        raise malformed()
    if names[0] not in (EDDSA, ES256):
        raise RemoteError("TOKEN_ALGORITHM", "a token is not signed with EdDSA or ES256")
    return token


def verify(token: Token, key: PublicKey) -> None:
    """Raises `RemoteError`: TOKEN_ALGORITHM (not the key's), TOKEN_SIGNATURE."""
    if token.header["alg"] != key.algorithm:
        raise RemoteError("TOKEN_ALGORITHM", "a token names another algorithm than its key's")
    try:
        _JWS.decode_complete(token.text, key.key, algorithms=[key.algorithm])
    except jwt.PyJWTError as error:
        raise RemoteError("TOKEN_SIGNATURE", "a token is not signed by its issuer's key") from error


def malformed() -> RemoteError:
    """What no token looks like."""
    return RemoteError("TOKEN_MALFORMED", "a token cannot be read")


def _object(part: str) -> Json:
    try:
        value = strict.load(_decode(part))
    except PolicyError as error:
        raise malformed() from error
    if not isinstance(value, dict):
        raise malformed()
    return value


def _decode(part: str) -> bytes:
    try:
        content = base64url_decode(part)
    except ValueError as error:
        raise malformed() from error
    if base64url_encode(content).decode() != part:  # spare bits: another spelling of the same
        raise malformed()
    return content


def _unsupported() -> RemoteError:
    return RemoteError("JWK_UNSUPPORTED", "a key is neither Ed25519 nor P-256, or not readable")
