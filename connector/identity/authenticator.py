"""Who is behind a request, and how ours say who we are: where tokens, the manifest and DCP meet.

A participant of the manifest is known by the key that stands there, its tokens are bound to their
requests, and no address is asked for anything. Anybody else is resolved by did:web and has to
present a membership of a trusted issuer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from connector.errors import RemoteError
from connector.identity import claims, holder, jose
from connector.identity.claims import LONGEST, Issuer, Request, SelfIssued
from connector.identity.did import Resolver
from connector.identity.jose import PublicKey, Token
from connector.identity.keys import VerifyKey
from connector.identity.manifest import Entry, Manifest
from connector.identity.presentations import Verifier
from connector.identity.replays import Replays


@dataclass(frozen=True)
class Caller:
    """An authenticated caller. `name` is empty for one that is in no manifest of ours."""

    did: str
    name: str
    _claims: SelfIssued

    def check_body(self, body: bytes) -> None:
        """To be called with the bytes as received, before they are parsed or unpacked.

        Raises `RemoteError` (TOKEN_BODY).
        """
        claims.check_body(self._claims, body)


@dataclass(frozen=True)
class Authenticator:
    """Both directions. `verifier` None: nobody from outside of the manifest is let in.

    `manifest` raises where none is in force; then nobody is let in: a caller could be one that
    was revoked.
    """

    issuer: Issuer
    manifest: Callable[[], Manifest]
    replays: Replays
    resolver: Resolver
    verifier: Verifier | None

    def header(self, audience: str, method: str, target: str, body: bytes) -> str:
        """The Authorization header of our request to the did `audience`."""
        request = Request.of(method, target, body)
        access = "" if self._entry(audience) else holder.grant(self.issuer, audience)
        return f"Bearer {self.issuer.issue(audience, request, access)}"

    async def caller(self, authorization: str | None, method: str, target: str) -> Caller:
        """Who calls; to be asked before a body is read. `target` is path and query, in public form.

        Raises `RemoteError`: those of `claims`, PARTICIPANT_REVOKED, PARTICIPANT_UNKNOWN,
        TOKEN_REPLAYED, TOKEN_FLOOD, and those of dids, `Verifier` and the manifest; `LocalError`
        of the store. A peer is told none of these codes: they are for the log.
        """
        text = claims.bearer(authorization)
        token, said = claims.read(text, self.issuer.did, self.issuer.clock())
        entry = self._entry(said.iss)
        claims.check_request(said, method, target, required=entry is not None)
        if entry is None:
            await self._check_stranger(token, said)
        else:
            self._check_participant(entry, token, said)
            await self._use(said)
        return Caller(said.iss, entry.name if entry is not None else "", said)

    def _check_participant(self, entry: Entry, token: Token, said: SelfIssued) -> None:
        if entry.state != "active":
            raise RemoteError("PARTICIPANT_REVOKED", f"{entry.name} takes no longer part")
        claims.check_times(said, self.issuer.clock(), LONGEST)
        jose.verify(token, PublicKey.of(VerifyKey.parse(entry.signing_key)))

    async def _check_stranger(self, token: Token, said: SelfIssued) -> None:
        if self.verifier is None:
            raise RemoteError("PARTICIPANT_UNKNOWN", "a caller is not on the list of participants")
        document = await self.resolver.resolve(said.iss)
        jose.verify(token, document.key(token.kid, "capabilityInvocation"))
        await self._use(said)
        await self.verifier.standing(document, said.token)

    async def _use(self, said: SelfIssued) -> None:
        await asyncio.to_thread(self.replays.use, said.iss, said.jti, said.forgotten_at)

    def _entry(self, did: str) -> Entry | None:
        return self.manifest().by_did.get(did)
