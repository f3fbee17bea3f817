"""A connector that listens, in this process; its peer may be another process."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import uvicorn

from connector.dsp.addresses import Addresses
from connector.dsp.authentication import StaticTokens
from connector.dsp.client import PeerClient
from connector.dsp.desk import Desk
from connector.dsp.http import PATH, Surface
from connector.dsp.judge import Event, allow
from connector.dsp.offers import OfferedDatasets
from connector.dsp.outbox import Backoff, Worker
from connector.store import Store

BACKOFF = Backoff(longest=timedelta(milliseconds=500), patience=timedelta(minutes=2))


@dataclass
class Live:
    """A desk whose endpoints and worker run in a thread."""

    desk: Desk
    events: list[Event]


@contextmanager
def live(directory: Path, participant: str, counterparty: str) -> Iterator[Live]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
        store = Store(f"sqlite:///{directory / participant}.db")
        events: list[Event] = []
        addresses = Addresses(loopback=True)
        desk = Desk(
            participant=participant, address=address, store=store, judge=allow,
            record=events.append, check_address=addresses.check, pause=timedelta(0),
        )  # fmt: skip
        stop = threading.Event()
        thread = threading.Thread(
            target=lambda: asyncio.run(_serve(desk, addresses, counterparty, listener, stop))
        )
        thread.start()
        try:
            yield Live(desk, events)
        finally:
            stop.set()
            thread.join()
            store.close()


async def _serve(
    desk: Desk,
    addresses: Addresses,
    counterparty: str,
    listener: socket.socket,
    stop: threading.Event,
) -> None:
    tokens = StaticTokens("", counterparty)
    client = PeerClient(tokens, addresses)
    with ThreadPoolExecutor(16) as executor:
        worker = Worker(desk, client, executor, BACKOFF)
        surface = Surface(desk, tokens, OfferedDatasets(desk), executor, worker.wake)
        config = uvicorn.Config(
            surface.application(), log_level="error", lifespan="off", ws="none", access_log=False
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        working = asyncio.create_task(worker.run(0.1))
        await asyncio.to_thread(stop.wait)
        server.should_exit = True
        await serving
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        await client.close()
