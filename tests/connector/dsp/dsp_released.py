"""A pair of connectors that have agreed on a released artefact, and started its transfer."""

import asyncio
import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import dsp_pair
import httpx
from dsp_pair import Pair, offer
from starlette.applications import Starlette

from connector.dsp import consumer, pulls
from connector.dsp.artefacts import Artefact, Pulled
from connector.dsp.desk import HTTP_PULL
from connector.dsp.handling import AUTOMATIC
from connector.dsp.messages import DataAddress
from connector.dsp.states import Kind
from connector.errors import LocalError

CONTENT = bytes(range(256)) * 4096  # a mebibyte: several chunks


def name_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Shelf:
    """An `Artefacts` of what a test has released."""

    contents: dict[str, bytes] = field(default_factory=dict)

    def release(self, content: bytes) -> str:
        self.contents[name_of(content)] = content
        return name_of(content)

    def find(self, digest: str) -> Artefact | None:
        content = self.contents.get(digest)
        if content is None:
            return None
        return Artefact(
            digest, len(CONTENT), "application/octet-stream", lambda: io.BytesIO(content)
        )


@dataclass
class Released:
    """`north` has released something, `hdab` has a started transfer of it."""

    pair: Pair
    shelf: Shelf
    app: Starlette
    digest: str
    transfer: str
    address: DataAddress
    pulled: list[Pulled]
    failing: list[LocalError]

    @property
    def token(self) -> str:
        return token_of(self.address)

    @property
    def path(self) -> str:
        return urlsplit(self.address.endpoint or "").path

    def pull(
        self, method: str = "GET", token: str | None = None, path: str = "", **headers: str
    ) -> httpx.Response:
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        said.setdefault("authorization", f"Bearer {self.token if token is None else token}")

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="https://x") as http:
                return await http.request(method, path or self.path, headers=said)

        return asyncio.run(ask())


def token_of(address: DataAddress) -> str:
    return {one.name: one.value for one in address.properties or ()}["authorization"]


def start(pair: Pair, digest: str, number: int = 1) -> tuple[str, DataAddress]:
    """Negotiate about a digest and start a transfer; north's pid and what hdab was told."""
    pair.offer(offer(f"urn:uuid:released-{number}"), dataset=digest)
    negotiation = consumer.request(
        pair.hdab.desk, "north", pair.north.desk.address, offer(f"urn:uuid:released-{number}"),
        digest, AUTOMATIC,
    )  # fmt: skip
    pair.settle()
    agreement = pair.hdab.row(negotiation).agreement
    pid = consumer.request_transfer(pair.hdab.desk, "north", agreement, HTTP_PULL)
    pair.settle()
    row = pair.hdab.row(pid)
    assert row.kind == Kind.TRANSFER
    assert row.peer_pid is not None
    return row.peer_pid, DataAddress.model_validate(row.data_address)


@contextmanager
def released(directory: Path) -> Iterator[Released]:
    shelf = Shelf()
    digest = shelf.release(CONTENT)
    pulled: list[Pulled] = []
    failing: list[LocalError] = []

    def record(event: Pulled) -> None:
        if failing:
            raise failing[0]
        pulled.append(event)

    with dsp_pair.pair(directory) as pair, ThreadPoolExecutor(2) as executor:
        routes = pulls.artefact_routes(pair.north.desk, shelf, executor, record)
        app = pair.north.surface.application(list(routes))
        transfer, address = start(pair, digest)
        yield Released(pair, shelf, app, digest, transfer, address, pulled, failing)
