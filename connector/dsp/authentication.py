"""Who is calling, and how this side says who it is.

`SignedTokens`: a JWT (RFC 7519) signed with the participant's Ed25519 key (EdDSA, RFC 8037), for
one audience, for a minute, used once. `StaticTokens`: an opaque text, in the conformance profile
only.
"""

import base64
import binascii
import hmac
import json
import secrets
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import RemoteError
from connector.identity.keys import Signer, VerifyKey

LIFE = timedelta(seconds=60)
SKEW = timedelta(seconds=60)
_MAX_TOKEN = 4096
_MAX_SEEN = 100_000
_HEADER = {"alg": "EdDSA", "typ": "JWT"}


class Authentication(Protocol):
    """Both directions."""

    def caller(self, authorization: str | None) -> str:
        """The participant behind a request. Raises `RemoteError` (DSP_UNAUTHENTICATED)."""

    def header(self, audience: str) -> str:
        """The Authorization header of a request to `audience`."""


class StaticTokens:
    """Everybody is `counterparty`, who sends `token` verbatim; with an empty one, whatever comes.

    For the conformance profile, which listens on this machine only.
    """

    def __init__(self, token: str, counterparty: str) -> None:
        self._token = token
        self._counterparty = counterparty

    def caller(self, authorization: str | None) -> str:
        """See `Authentication`."""
        if self._token and not hmac.compare_digest(
            (authorization or "").encode(), self._token.encode()
        ):
            raise _unauthenticated()
        return self._counterparty

    def header(self, audience: str) -> str:
        """See `Authentication`."""
        del audience
        return self._token or "commensal-conformance"


_Text = Annotated[str, Field(min_length=1, max_length=255)]
_Seconds = Annotated[int, Field(ge=0, le=1 << 40)]


class _Claims(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    iss: _Text
    sub: _Text
    aud: _Text
    jti: _Text
    iat: _Seconds
    exp: _Seconds


class SignedTokens:
    """Short-lived tokens of our own key; those of others by the keys that `key_of` knows.

    `key_of` is called for every request, in the server's own thread: it must not wait.
    """

    def __init__(
        self,
        key: Signer,
        key_of: Callable[[str], VerifyKey | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._key = key
        self._key_of = key_of
        self._clock = clock
        self._seen: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def header(self, audience: str) -> str:
        """See `Authentication`."""
        now = int(self._clock().timestamp())
        claims = {
            "iss": self._key.name, "sub": self._key.name, "aud": audience,
            "jti": secrets.token_urlsafe(16), "iat": now, "exp": now + int(LIFE.total_seconds()),
        }  # fmt: skip
        signed = f"{_encode(_HEADER)}.{_encode(claims)}"
        return f"Bearer {signed}.{_base64(self._key.sign(signed.encode()))}"

    def caller(self, authorization: str | None) -> str:
        """See `Authentication`; the reason of a refusal is not told."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or len(token) > _MAX_TOKEN or token.count(".") != 2:
            raise _unauthenticated()
        signed, _, signature = token.rpartition(".")
        header, claims = _read(signed)
        key = self._key_of(claims.iss)
        if (
            header.get("alg") != _HEADER["alg"]
            or "crit" in header
            or key is None
            or key.name != claims.iss
            or not key.verify(_unbase64(signature), signed.encode())
        ):
            raise _unauthenticated()
        self._check(claims)
        return claims.iss

    def _check(self, claims: _Claims) -> None:
        now = int(self._clock().timestamp())
        skew, longest = int(SKEW.total_seconds()), int((LIFE + SKEW).total_seconds())
        if (
            claims.sub != claims.iss
            or claims.aud != self._key.name
            or claims.exp + skew <= now
            or claims.iat - skew > now
            or claims.exp - claims.iat > longest
        ):
            raise _unauthenticated()
        self._use(claims, now, skew)

    def _use(self, claims: _Claims, now: int, skew: int) -> None:
        with self._lock:
            if len(self._seen) >= _MAX_SEEN:
                self._seen = {one: end for one, end in self._seen.items() if end > now}
            name = (claims.iss, claims.jti)
            if self._seen.get(name, 0) > now or len(self._seen) >= _MAX_SEEN:
                raise _unauthenticated()
            self._seen[name] = claims.exp + skew


def _read(signed: str) -> tuple[dict[str, Any], _Claims]:
    header, _, claims = signed.partition(".")
    try:
        parsed = json.loads(_unbase64(header))
        if not isinstance(parsed, dict):
            raise _unauthenticated()
        return parsed, _Claims.model_validate_json(_unbase64(claims))
    except (ValidationError, ValueError, RecursionError) as error:
        raise _unauthenticated() from error


def _encode(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    """The inverse, and of exactly one spelling."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _unauthenticated() from error
    if _base64(content) != text:
        raise _unauthenticated()
    return content


def _unauthenticated() -> RemoteError:
    return RemoteError("DSP_UNAUTHENTICATED", "the caller's token is not valid here")
