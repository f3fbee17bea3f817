"""Reads the catalogues of all nodes; one that fails or hangs costs the others nothing."""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from connector.dsp.addresses import Addresses
from connector.dsp.authentication import SignedTokens
from connector.dsp.client import PeerClient
from connector.store import Store
from coordinator.config import Peer
from coordinator.federation import history, pages
from coordinator.federation.history import Changes
from coordinator.federation.pages import Fetcher
from coordinator.office import Office
from policies.errors import Error

_AT_ONCE = 8
_NODE_SECONDS = 600.0


@dataclass(frozen=True)
class Outcome:
    """What became of one node's catalogue: its changes, or the problem."""

    participant: str
    changes: Changes | None = None
    problem: Error | None = None


class Crawler:
    """`fetcher` fetches pages; `clock` says when."""

    def __init__(self, fetcher: Fetcher, store: Store, clock: Callable[[], datetime]) -> None:
        self._fetcher = fetcher
        self._store = store
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def crawl(self, peers: Iterable[Peer]) -> list[Outcome]:
        """Read every catalogue; records of nodes that are no peers any more are withdrawn."""
        asked = list(peers)
        outcomes = await asyncio.gather(*(self._one(peer) for peer in asked))
        names = {peer.participant for peer in asked}
        for name in await asyncio.to_thread(history.strangers, self._store, names):
            outcomes.append(await self._apply(name, None))
        return outcomes

    async def _one(self, peer: Peer) -> Outcome:
        async with self._turns:
            return await self._apply(peer.participant, peer.address)

    async def _apply(self, participant: str, address: str | None) -> Outcome:
        """Without an address there is nothing to be read, and all has gone."""
        try:
            before = await asyncio.to_thread(history.known, self._store, participant)
            seen = {}
            if address is not None:
                seen = await self._read(participant, address, before)
            changes = await asyncio.to_thread(
                history.apply, self._store, participant, before, seen, self._clock()
            )
        except Error as error:
            return Outcome(participant, problem=await self._noted(participant, error))
        return Outcome(participant, changes)

    async def _read(self, participant: str, address: str, before: history.Known) -> pages.Seen:
        try:
            async with asyncio.timeout(_NODE_SECONDS):
                return await pages.read(self._fetcher, participant, address, before.digests)
        except TimeoutError as error:
            raise pages.slow(participant, _NODE_SECONDS) from error

    async def _noted(self, participant: str, error: Error) -> Error:
        if error.code == "CRAWL_OVERTAKEN":
            return error
        try:
            await asyncio.to_thread(
                history.note_problem, self._store, participant, error.code, self._clock()
            )
        except Error as worse:
            return worse
        return error


async def crawl(office: Office) -> list[Outcome]:
    """Read the catalogues of the peers in `coordinator.toml`, in the coordinator's own name.

    The operator has named these addresses, so they may be private. A node's certificate may be
    from any authority that this machine trusts, or from this coordinator's own.
    """
    peers = office.config.peers
    hosts = frozenset(_host(peer.address) for peer in peers)
    tls = ssl.create_default_context()
    tls.load_verify_locations(office.paths.identity / "ca.pem")
    tokens = SignedTokens(office.key, lambda _: None, office.clock)
    client = PeerClient(tokens, Addresses(allowed=hosts), tls)
    try:
        return await Crawler(client, office.store, office.clock).crawl(peers)
    finally:
        await client.close()


def _host(address: str) -> str:
    """As `Addresses.allowed` spells it."""
    parts = urlsplit(address)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
