"""A small web of participants: an access body, its members, a stranger; an adversary in between.

Everybody's code is the real one; only HTTP is a dictionary, which a test changes at will.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from connector.dsp.addresses import Addresses
from connector.errors import RemoteError
from connector.identity import credentials, did
from connector.identity.authenticator import Authenticator
from connector.identity.claims import Issuer
from connector.identity.did import Resolver
from connector.identity.fetch import Fetcher
from connector.identity.holder import CredentialService
from connector.identity.keys import SigningKey
from connector.identity.manifest import Entry, Manifest, succeed
from connector.identity.presentations import Verifier
from connector.identity.replays import Replays
from connector.store import Store
from policies import canonical
from policies.errors import Error

T = TypeVar("T")
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIST = "https://hdab.example/v1/status"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def code(work: Callable[[], Any]) -> str:
    """The code with which it is refused."""
    with pytest.raises(Error) as refusal:
        work()
    assert refusal.value.message
    return refusal.value.code


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


class Web(Fetcher):
    """Documents by URL; what is called is remembered."""

    def __init__(self) -> None:
        super().__init__(Addresses())
        self.pages: dict[str, Any] = {}
        self.asked: list[str] = []
        self.answering: dict[str, Callable[[str, bytes], Awaitable[Any]]] = {}

    async def _fetch(
        self, method: str, url: str, headers: dict[str, str], body: Any, most: int
    ) -> bytes:
        self.asked.append(url)
        if method == "POST" and url in self.answering:
            said = await self.answering[url](headers["authorization"], canonical.encode(body))
        elif method == "GET" and url in self.pages:
            said = self.pages[url]
        else:
            raise RemoteError("FETCH_REFUSED", "a peer answers with status 404")
        content = said if isinstance(said, bytes) else canonical.encode(said)
        if len(content) > most:
            raise RemoteError("FETCH_TOO_LARGE", "too large")
        return content


@dataclass
class Somebody:
    """A participant with everything that it runs."""

    name: str
    web: Web
    clock: Clock
    store: Store
    held: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.key = SigningKey(self.name, self.name.encode().ljust(32, b"."))
        self.did = f"did:web:{self.name}.example"
        self.issuer = Issuer(self.did, self.key, self.clock)
        self.resolver = Resolver(self.web, self.clock)
        self.replays = Replays(self.store, self.clock)
        self.service = CredentialService(
            self.issuer, self.resolver, self.replays, lambda: self.held
        )
        self.credentials = f"https://{self.name}.example/credentials"
        self.document = did.document(
            self.did, self.key.verify_key, f"https://{self.name}.example/dsp", self.credentials
        )
        self.web.pages[did.address_of(self.did)] = self.document
        self.web.answering[f"{self.credentials}/presentations/query"] = self.service.answer

    def verifier(self, *trusted: str) -> Verifier:
        return Verifier(self.issuer, self.web, self.resolver, frozenset(trusted), self.clock)

    @property
    def entry(self) -> Entry:
        return Entry(
            name=self.name, did=self.did, signing_key=self.key.verify_key.vkey,
            fingerprint="ab" * 32, state="active",
        )  # fmt: skip


class World:
    """`south` asks, `north` holds a membership that `hdab` issued, `mallory` is somebody else."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.web = Web()
        self.stores: list[Store] = []
        for name in ("hdab", "north", "south", "mallory"):
            store = Store(f"sqlite:///{directory / name}.db")
            self.stores.append(store)
            setattr(self, name, Somebody(name, self.web, self.clock, store))
        self.revoke()
        self.north.held.append(self.membership(self.north.did))

    hdab: Somebody
    north: Somebody
    south: Somebody
    mallory: Somebody

    def membership(self, subject: str, by: Somebody | None = None, index: int = 7) -> str:
        issuer = (by or self.hdab).issuer
        claims = {"memberOf": "hdab"}
        return credentials.issue(issuer, subject, claims, LIST, index, timedelta(days=30))

    def revoke(self, *indices: int) -> None:
        signed = credentials.issue_list(self.hdab.issuer, LIST, indices, timedelta(hours=1))
        self.web.pages[LIST] = signed.encode()

    def manifest(self, *members: Entry) -> Manifest:
        return succeed(None, "hdab", members, self.clock())

    def authenticator(
        self, who: Somebody, manifest: Manifest, *, strangers: bool = True
    ) -> Authenticator:
        verifier = who.verifier(self.hdab.did) if strangers else None
        return Authenticator(who.issuer, lambda: manifest, who.replays, who.resolver, verifier)

    def close(self) -> None:
        for store in self.stores:
            store.close()
