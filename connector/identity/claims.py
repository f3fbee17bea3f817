"""Self-issued tokens in the form of the Decentralized Claims Protocol 1.0, section 4.3.

A JWT says who calls (`iss` = `sub`, a did:web), whom (`aud`), once (`jti`), now (`iat`, `exp`).
Ours also says for which request: `commensal_request` holds method, target and the digest of the
body, so that whoever sees a token can use it for nothing else. It is checked wherever it is
present, and has to be present between participants of one manifest.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from connector.errors import RemoteError
from connector.identity import jose
from connector.identity.did import MAX_DID, key_id
from connector.identity.jose import Json, Token
from connector.identity.keys import Signer
from policies import canonical

LIFE = timedelta(seconds=60)
LONGEST = timedelta(minutes=5)
LONGEST_OF_OTHERS = timedelta(minutes=10)
SKEW = timedelta(seconds=30)
REQUEST = "commensal_request"
ACCESS_TYPE = "commensal-access+jwt"


class Request(BaseModel):
    """What a token is good for. `target`: path and query, as the caller calls them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,16}$")]
    target: Annotated[str, Field(pattern=r"^/[\x21-\x7e]*$", max_length=2000)]
    body: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]

    @classmethod
    def of(cls, method: str, target: str, body: bytes) -> "Request":
        """The request as it goes over the wire (a body before it is unpacked)."""
        return cls(method=method, target=target, body=canonical.digest(body))


def _single(audience: object) -> object:
    # Several audiences: the first could use the token at the second (threat: relay).
    return audience[0] if isinstance(audience, list) and len(audience) == 1 else audience


_Seconds = Annotated[Decimal, Field(ge=0, le=1 << 40)]
_Did = Annotated[str, Field(min_length=1, max_length=MAX_DID)]


class SelfIssued(BaseModel):
    """The claims of a self-issued token; others are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    iss: _Did
    sub: _Did
    aud: Annotated[_Did, BeforeValidator(_single)]
    jti: Annotated[str, Field(min_length=1, max_length=255)]
    iat: _Seconds
    exp: _Seconds
    nbf: _Seconds | None = None
    token: Annotated[str, Field(min_length=1, max_length=jose.MAX_BYTES)] | None = None
    request: Request | None = Field(default=None, alias=REQUEST)

    @property
    def forgotten_at(self) -> datetime:
        """From when on it is refused for its age."""
        return datetime.fromtimestamp(int(self.exp) + 1, UTC) + SKEW


@dataclass(frozen=True)
class Issuer:
    """Makes tokens in our own name."""

    did: str
    signer: Signer
    clock: Callable[[], datetime]

    @property
    def kid(self) -> str:
        """The name of our key."""
        return key_id(self.did, self.signer.verify_key)

    def issue(self, audience: str, request: Request | None = None, access: str = "") -> str:
        """A token for one call of `audience`; `access` lets it ask for our credentials."""
        now = int(self.clock().timestamp())
        payload: Json = {
            "iss": self.did, "sub": self.did, "aud": audience, "jti": secrets.token_urlsafe(16),
            "iat": now, "exp": now + int(LIFE.total_seconds()),
        }  # fmt: skip
        if access:
            payload["token"] = access
        if request is not None:
            payload[REQUEST] = request.model_dump()
        return self.sign(payload)

    def sign(self, payload: Json, typ: str = "JWT") -> str:
        """Any statement of ours as a JWT."""
        return jose.sign(self.signer, payload, kid=self.kid, typ=typ)


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header. Raises `RemoteError` (TOKEN_MISSING)."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise RemoteError("TOKEN_MISSING", "a request carries no bearer token")
    return token


def read(text: str, audience: str, now: datetime) -> tuple[Token, SelfIssued]:
    """All that can be said against a token before its issuer's key is known.

    Nothing is fetched for a token that is old, or not for us. Raises `RemoteError`:
    TOKEN_MALFORMED, TOKEN_ALGORITHM, TOKEN_SUBJECT, TOKEN_AUDIENCE, TOKEN_EXPIRED, TOKEN_EARLY,
    TOKEN_LIFE.
    """
    token = jose.read(text)
    # A presentation is signed by the same key for the same audience: it is no token.
    if token.header.get("typ", "JWT").upper() != "JWT" or {"vp", "vc"} & token.payload.keys():
        raise jose.malformed()
    try:
        claims = SelfIssued.model_validate(token.payload)
    except ValidationError as error:
        raise jose.malformed() from error
    if claims.sub != claims.iss:
        raise RemoteError("TOKEN_SUBJECT", "a token's issuer and subject differ")
    if claims.aud != audience:
        raise RemoteError("TOKEN_AUDIENCE", "a token is for somebody else")
    check_times(claims, now, LONGEST_OF_OTHERS)
    return token, claims


def check_times(claims: SelfIssued, now: datetime, longest: timedelta) -> None:
    """Raises `RemoteError`: TOKEN_EXPIRED, TOKEN_EARLY, TOKEN_LIFE."""
    moment, skew = Decimal(int(now.timestamp())), int(SKEW.total_seconds())
    if claims.exp + skew <= moment:
        raise RemoteError("TOKEN_EXPIRED", "a token is too old", "Compare both clocks")
    if max(claims.iat, claims.nbf or 0) - skew > moment:
        raise RemoteError("TOKEN_EARLY", "a token is not valid yet", "Compare both clocks")
    if not 0 < claims.exp - claims.iat <= int(longest.total_seconds()):
        raise RemoteError("TOKEN_LIFE", "a token lives for too long")


def check_request(claims: SelfIssued, method: str, target: str, *, required: bool) -> None:
    """Raises `RemoteError`: TOKEN_UNBOUND, TOKEN_REQUEST."""
    bound = claims.request
    if bound is None:
        if required:
            raise RemoteError("TOKEN_UNBOUND", "a token does not say for which request it is")
        return
    if (bound.method, bound.target) != (method, target):
        raise RemoteError("TOKEN_REQUEST", "a token is for another request")


def check_body(claims: SelfIssued, body: bytes) -> None:
    """Raises `RemoteError` (TOKEN_BODY)."""
    if claims.request is not None and claims.request.body != canonical.digest(body):
        raise RemoteError("TOKEN_BODY", "a token is for another body")
