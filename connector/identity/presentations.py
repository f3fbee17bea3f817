"""The verifier of the Decentralized Claims Protocol 1.0, section 5: is this caller a member?

It asks the caller's own credential service for a membership credential, and believes it if the
holder presents it, an issuer of the configuration signed it, it is in force, and its issuer's
status list does not say otherwise. What cannot be found out is a no.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import RemoteError
from connector.identity import credentials, jose
from connector.identity.claims import SKEW, Issuer
from connector.identity.credentials import MEMBERSHIP, Credential, StatusEntry
from connector.identity.did import CREDENTIAL_SERVICE, DCP_CONTEXT, DidDocument, Resolver
from connector.identity.fetch import MAX_BYTES, Fetcher
from connector.identity.jose import Json, Token
from policies.errors import PolicyError
from policies.odrl import strict

SCOPE = f"org.eclipse.dspace.dcp.vc.type:{MEMBERSHIP}:read"
QUERY_PATH = "/presentations/query"
_VP, _VC = "data:application/vp+jwt,", "data:application/vc+jwt,"
_MAX_LIST_TOKEN = 1 << 19
_LIST_LIFE = timedelta(seconds=30)
_MOST_LISTS = 32
_PURPOSES = ("revocation", "suspension")
# Entry type -> the list's own type in its subject.
_LISTS = {
    "BitstringStatusListEntry": "BitstringStatusList",
    "StatusList2021Entry": "StatusList2021",
}


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: str
    presentation: Annotated[list[Any], Field(min_length=1, max_length=8)]


@dataclass(frozen=True)
class Standing:
    """A foreign participant's membership: of whom, by whom, with what further claims."""

    holder: str
    issuer: str
    claims: Json
    expires: datetime | None


class Verifier:
    """Lives in one event loop. `trusted`: the dids whose membership credentials count."""

    def __init__(
        self,
        issuer: Issuer,
        fetcher: Fetcher,
        resolver: Resolver,
        trusted: frozenset[str],
        clock: Callable[[], datetime],
    ) -> None:
        self._issuer = issuer
        self._fetcher = fetcher
        self._resolver = resolver
        self._trusted = trusted
        self._clock = clock
        self._lists: OrderedDict[str, tuple[datetime, Token]] = OrderedDict()

    async def standing(self, holder: DidDocument, access: str | None) -> Standing:
        """Ask `holder` for a membership credential and check it; `access` came in its token.

        Raises `RemoteError`: ACCESS_MISSING, DID_SERVICE, DID_KEY, PRESENTATION_MALFORMED,
        PRESENTATION_HOLDER, PRESENTATION_AUDIENCE, PRESENTATION_EXPIRED, CREDENTIAL_MISSING,
        CREDENTIAL_SUBJECT, CREDENTIAL_ISSUER, CREDENTIAL_EXPIRED, CREDENTIAL_EARLY,
        CREDENTIAL_REVOKED, STATUS_UNSUPPORTED, STATUS_MALFORMED, STATUS_ISSUER, and those of
        tokens, dids and fetching.
        """
        if access is None:
            raise RemoteError("ACCESS_MISSING", "a token gives no access to a credential")
        found: Standing | None = None
        memberships = 0
        for presentation in await self._query(holder, access):
            for text in self._presented(presentation, holder):
                token = jose.read(text, MAX_BYTES)
                credential = credentials.read(token)
                if MEMBERSHIP not in credential.types:
                    continue  # nobody asked for it
                memberships += 1
                if credential.issuer in self._trusted:  # a holder may be a member elsewhere too
                    found = await self._member(token, credential, holder.id)
        if found is None and memberships:
            raise RemoteError(
                "CREDENTIAL_ISSUER",
                "a membership is issued by nobody who is trusted here",
                "List its did among the trusted issuers, if it is to count",
            )
        if found is None:
            raise RemoteError("CREDENTIAL_MISSING", "a participant presents no membership")
        return found

    async def _query(self, holder: DidDocument, access: str) -> list[Any]:
        endpoint = holder.service(CREDENTIAL_SERVICE) + QUERY_PATH
        query = {"@context": [DCP_CONTEXT], "type": "PresentationQueryMessage", "scope": [SCOPE]}
        token = self._issuer.issue(holder.id, access=access)
        content = await self._fetcher.post(endpoint, query, f"Bearer {token}")
        try:
            response = _Response.model_validate(strict.load(content))
        except (PolicyError, ValidationError) as error:
            raise _malformed() from error
        if response.type != "PresentationResponseMessage":
            raise _malformed()
        return response.presentation

    def _presented(self, presentation: Any, holder: DidDocument) -> list[str]:
        """The credentials in a presentation that the holder made for us."""
        token = jose.read(_text(presentation, _VP), MAX_BYTES)
        inner = token.payload.get("id")
        jose.verify(token, holder.key(token.kid, "capabilityInvocation"))
        if isinstance(inner, str) and inner.startswith(_VP):
            # EDC puts the enveloped presentation into a token of its own.
            token = jose.read(inner.removeprefix(_VP), MAX_BYTES)
            jose.verify(token, holder.key(token.kid, "capabilityInvocation"))
        self._check_presentation(token, holder.id)
        content = token.payload.get("vp", token.payload)
        listed = content.get("verifiableCredential") if isinstance(content, dict) else None
        if not isinstance(listed, list) or len(listed) > 16:
            raise _malformed()
        return [_text(one, _VC) for one in listed]

    def _check_presentation(self, token: Token, holder: str) -> None:
        claims, now = token.payload, self._clock()
        made = {claims[name] for name in ("iss", "sub", "holder") if _is_text(claims, name)}
        if made != {holder}:
            raise RemoteError("PRESENTATION_HOLDER", "a presentation is another participant's")
        audience = claims.get("aud")
        # Version 2.0 as EDC makes it has neither; it came from the holder's own service, to us.
        if "vp" in claims or audience is not None:
            audience = (
                audience[0] if isinstance(audience, list) and len(audience) == 1 else audience
            )
            if audience != self._issuer.did:
                raise RemoteError("PRESENTATION_AUDIENCE", "a presentation is for somebody else")
        try:
            expires = int(claims["exp"]) if "vp" in claims or "exp" in claims else None
        except (KeyError, TypeError, ValueError) as error:
            raise _malformed() from error
        moment = now.timestamp()
        if expires is not None and expires + SKEW.total_seconds() <= moment:
            raise RemoteError("PRESENTATION_EXPIRED", "a presentation is too old")

    async def _member(self, token: Token, credential: Credential, holder: str) -> Standing:
        if not credential.subjects or {one.get("id") for one in credential.subjects} != {holder}:
            raise RemoteError("CREDENTIAL_SUBJECT", "a credential is about somebody else")
        document = await self._resolver.resolve(credential.issuer)
        jose.verify(token, document.key(token.kid, "assertionMethod"))
        credential.check_times(self._clock())
        for entry in credential.statuses:
            await self._check_status(entry, credential)
        return Standing(holder, credential.issuer, credential.subjects[0], credential.expires)

    async def _check_status(self, entry: StatusEntry, credential: Credential) -> None:
        if entry.type not in _LISTS or entry.purpose not in _PURPOSES:
            raise RemoteError("STATUS_UNSUPPORTED", "a credential's status cannot be looked up")
        listed = await self._list(entry.address, credential.issuer)
        subjects = listed.subjects
        if (
            len(subjects) != 1
            or subjects[0].get("type") != _LISTS[entry.type]
            or subjects[0].get("statusPurpose") != entry.purpose
            or not isinstance(subjects[0].get("encodedList"), str)
        ):
            raise RemoteError("STATUS_MALFORMED", "a status list is another than was asked for")
        if credentials.bit(subjects[0]["encodedList"], entry.index):
            raise RemoteError("CREDENTIAL_REVOKED", f"a credential is in {entry.purpose}")

    async def _list(self, address: str, issuer: str) -> Credential:
        """A status list, by the credential's own issuer, as it was at most 30 s ago."""
        until, token = self._lists.get(address, (self._clock(), None))
        if token is None or until <= self._clock():
            accept = "application/vc+jwt, application/jwt, application/json, text/plain"
            content = await self._fetcher.get(address, accept, _MAX_LIST_TOKEN)
            token = jose.read(
                content.decode("ascii", "replace").strip().strip('"'), _MAX_LIST_TOKEN
            )
        listed = credentials.read(token)
        if listed.issuer != issuer:
            raise RemoteError("STATUS_ISSUER", "a status list is another issuer's")
        document = await self._resolver.resolve(issuer)
        jose.verify(token, document.key(token.kid, "assertionMethod"))
        listed.check_times(self._clock())
        if until <= self._clock():
            self._lists[address] = (self._clock() + _LIST_LIFE, token)
            if len(self._lists) > _MOST_LISTS:
                self._lists.popitem(last=False)
        return listed


def _text(value: Any, prefix: str) -> str:
    """A JWT, plain or as the `data:` id of an envelope."""
    text = value.get("id") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise _malformed()
    return text.removeprefix(prefix)


def _is_text(claims: Json, name: str) -> bool:
    if name in claims and not isinstance(claims[name], str):
        raise _malformed()
    return name in claims


def _malformed() -> RemoteError:
    return RemoteError("PRESENTATION_MALFORMED", "a presentation cannot be read")
