"""Our own credential service (DCP 1.0, section 5.4): a verifier asks who vouches for us.

An access token is a statement of ours that one verifier may read some scopes for five minutes. It
travels inside of our self-issued token, and comes back inside of the verifier's.
"""

import asyncio
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import RemoteError
from connector.identity import claims, credentials, jose
from connector.identity.claims import ACCESS_TYPE, Issuer
from connector.identity.did import DCP_CONTEXT, Resolver
from connector.identity.jose import Json, PublicKey
from connector.identity.presentations import SCOPE
from connector.identity.replays import Replays
from policies.errors import PolicyError
from policies.odrl import strict

ACCESS_LIFE = timedelta(minutes=5)
_TYPE = re.compile(r"org\.eclipse\.dspace\.dcp\.vc\.type:([A-Za-z0-9]{1,100})(?::read)?")
_Scope = Annotated[str, Field(max_length=300)]


class _Access(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    iss: str
    aud: str
    exp: Any
    scope: list[_Scope]


class _Query(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: str
    scope: Annotated[list[_Scope], Field(max_length=20)] | None = None
    presentationDefinition: Json | None = None  # noqa: N815 - the protocol's own spelling


def grant(issuer: Issuer, verifier: str, scopes: Iterable[str] = (SCOPE,)) -> str:
    """An access token for one verifier."""
    ends = issuer.clock() + ACCESS_LIFE
    payload = {
        "iss": issuer.did, "aud": verifier, "exp": int(ends.timestamp()), "scope": [*scopes],
    }  # fmt: skip
    return issuer.sign(payload, ACCESS_TYPE)


@dataclass(frozen=True)
class CredentialService:
    """`held` gives the credentials that we hold now, as JWTs."""

    issuer: Issuer
    resolver: Resolver
    replays: Replays
    held: Callable[[], Iterable[str]]

    async def answer(self, authorization: str | None, body: bytes) -> Json:
        """A PresentationResponseMessage for a PresentationQueryMessage.

        Raises `RemoteError`: QUERY_MALFORMED, QUERY_UNSUPPORTED (a presentation definition),
        ACCESS_DENIED, and those of tokens, dids and fetching.
        """
        now = self.issuer.clock()
        token, said = claims.read(claims.bearer(authorization), self.issuer.did, now)
        allowed = self._allowed(said.token, said.iss, now)
        document = await self.resolver.resolve(said.iss)
        jose.verify(token, document.key(token.kid, "capabilityInvocation"))
        claims.check_body(said, body)
        await asyncio.to_thread(self.replays.use, said.iss, said.jti, said.forgotten_at)
        asked = _scopes(body)
        if not set(map(_kind, asked)) <= allowed:
            raise _denied()
        wanted = set(map(_kind, asked))
        shown = [text for text in self.held() if wanted & credentials.read(jose.read(text)).types]
        return {
            "@context": [DCP_CONTEXT],
            "type": "PresentationResponseMessage",
            "presentation": [self._present(said.iss, shown, now)],
        }

    def _allowed(self, access: str | None, verifier: str, now: datetime) -> set[str]:
        """Which credential types our own access token opens, for that verifier alone."""
        try:
            token = jose.read(access or "")
            jose.verify(token, PublicKey.of(self.issuer.signer.verify_key))
            said = _Access.model_validate(token.payload)
            fits = (
                token.header.get("typ") == ACCESS_TYPE and said.iss == self.issuer.did
                and said.aud == verifier and int(said.exp) > now.timestamp()
            )  # fmt: skip
            kinds = set(map(_kind, said.scope))
        except (RemoteError, ValidationError, ValueError, TypeError) as error:
            raise _denied() from error
        if not fits:
            raise _denied()
        return kinds

    def _present(self, verifier: str, shown: list[str], now: datetime) -> str:
        moment, did = int(now.timestamp()), self.issuer.did
        return self.issuer.sign(
            {
                "iss": did, "sub": did, "aud": verifier, "jti": uuid.uuid4().urn,
                "iat": moment, "nbf": moment, "exp": moment + int(claims.LIFE.total_seconds()),
                "vp": {
                    "@context": ["https://www.w3.org/2018/credentials/v1"],
                    "type": ["VerifiablePresentation"], "holder": did,
                    "verifiableCredential": shown,
                },
            }
        )  # fmt: skip


def _scopes(body: bytes) -> list[str]:
    try:
        query = _Query.model_validate(strict.load(body))
    except (PolicyError, ValidationError) as error:
        raise _malformed() from error
    if query.type != "PresentationQueryMessage":
        raise _malformed()
    if query.presentationDefinition and query.scope is None:
        raise RemoteError("QUERY_UNSUPPORTED", "presentation definitions are not supported")
    if not query.scope or query.presentationDefinition is not None:
        raise _malformed()
    return query.scope


def _kind(scope: str) -> str:
    match = _TYPE.fullmatch(scope)
    if match is None:
        raise _denied()
    return match[1]


def _malformed() -> RemoteError:
    return RemoteError("QUERY_MALFORMED", "a presentation query cannot be read")


def _denied() -> RemoteError:
    return RemoteError("ACCESS_DENIED", "a verifier asks for what its access token does not open")
