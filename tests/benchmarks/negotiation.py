"""Whole negotiations between two connectors over HTTP, and what an idle connector costs.

    python tests/benchmarks/negotiation.py

Each connector is a process of its own with a database of its own. A negotiation is four exchanges:
request, agreement, verification, finalized; every state is durable before its answer. SQLite;
PostgreSQL as well if COMMENSAL_TEST_DATABASE names one.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from sqlalchemy import create_engine, func, select, text

_ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(_ROOT))

from connector.dsp import conformance, offers
from connector.dsp.addresses import Addresses
from connector.dsp.desk import HTTP_PULL, Desk
from connector.dsp.handling import AUTOMATIC
from connector.dsp.http import PATH
from connector.dsp.judge import allow
from connector.dsp.states import State
from connector.dsp.tables import ProcessRow
from connector.store import Store

DATASET = "benchmark/patients"
MESSAGES = 4
TOGETHER = 200
ALONE = 20
_STARTS = 5
_PATIENCE_SECONDS = 120.0

# What `commensal conformance serve` does, with a database by URL.
_SERVER = """
import asyncio, socket, sys
sys.path.insert(0, sys.argv[1])
from connector.dsp import conformance
from connector.store import Store
with socket.create_server(("127.0.0.1", int(sys.argv[3]))) as listener:
    asyncio.run(conformance._serve(listener, Store(sys.argv[2]), "", lambda _: None))
"""
# A connector without the profile's pause, whose every process goes by itself.
_PEER = """
import asyncio, socket, sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
sys.path.insert(0, sys.argv[1])
import uvicorn
from starlette.responses import Response
from starlette.routing import Route
from connector.dsp import conformance, consumer
from connector.dsp.addresses import Addresses
from connector.dsp.authentication import StaticTokens
from connector.dsp.client import PeerClient
from connector.dsp.desk import Desk
from connector.dsp.handling import AUTOMATIC
from connector.dsp.http import PATH, Surface
from connector.dsp.judge import allow
from connector.dsp.offers import OfferedDatasets
from connector.dsp.outbox import Worker
from connector.store import Store

async def main():
    addresses, tokens = Addresses(loopback=True), StaticTokens("", sys.argv[5])
    with socket.create_server(("127.0.0.1", int(sys.argv[3]))) as listener:
        desk = Desk(
            participant=sys.argv[4], address=f"http://127.0.0.1:{sys.argv[3]}{PATH}",
            store=Store(sys.argv[2]), judge=allow, record=lambda _: None,
            check_address=addresses.check, pause=timedelta(0),
        )
        client = PeerClient(tokens, addresses)
        with ThreadPoolExecutor(16) as executor:
            worker = Worker(desk, client, executor)
            surface = Surface(desk, tokens, OfferedDatasets(desk), executor, worker.wake)
            policy = conformance.use("urn:uuid:offer")

            def begin(peer):
                consumer.request(desk, sys.argv[5], peer, policy, "benchmark/patients", AUTOMATIC)
                worker_loop.call_soon_threadsafe(worker.wake)

            worker_loop = asyncio.get_running_loop()

            async def negotiate(request):
                peer = f"http://127.0.0.1:{request.path_params['port']}{PATH}"
                for _ in range(request.path_params["count"]):
                    executor.submit(begin, peer)
                return Response(status_code=202)

            begins = Route("/begin/{port:int}/{count:int}", negotiate, methods=["POST"])
            web = uvicorn.Server(uvicorn.Config(
                surface.application([begins]), log_level="error", lifespan="off", ws="none",
                access_log=False,
            ))
            await asyncio.gather(web.serve(sockets=[listener]), worker.run(0.05))

asyncio.run(main())
"""


@dataclass(frozen=True)
class Figures:
    """Seconds of one negotiation alone, negotiations a second of many at once."""

    alone: float
    rate: float


@dataclass(frozen=True)
class Cost:
    """Median seconds from the command to the first answer; resident megabytes then."""

    start: float
    at_rest: float


@contextmanager
def _database(url: str) -> Iterator[str]:
    """A database of its own: a file, or a schema."""
    if not url:
        with tempfile.TemporaryDirectory(prefix="negotiation-") as name:
            yield f"sqlite:///{name}/connector.db"
        return
    engine, schema = create_engine(url), f"bench_{uuid.uuid4().hex}"
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        yield f"{url}?options=-csearch_path%3D{schema}"
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


@contextmanager
def _process(script: str, url: str, port: int, *names: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A connector that answers."""
    command = [sys.executable, "-c", script, str(_ROOT), url, str(port), *names]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        place = f"http://127.0.0.1:{port}/.well-known/dspace-version"
        while True:
            with suppress(httpx.TransportError):
                httpx.get(place, trust_env=False).raise_for_status()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("a connector does not start")
            time.sleep(0.005)
        yield process
    finally:
        process.kill()
        process.wait()


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _desk(url: str, participant: str, port: int, stack: ExitStack) -> Desk:
    """A hand in a connector's database."""
    return Desk(
        participant=participant, address=f"http://127.0.0.1:{port}{PATH}",
        store=stack.enter_context(closing(Store(url))), judge=allow, record=lambda _: None,
        check_address=Addresses(loopback=True).check,
    )  # fmt: skip


def measure(database: str) -> Figures:
    """Negotiate: one after the other, then many at once."""
    with ExitStack() as stack:
        urls = [stack.enter_context(_database(database)) for _ in range(2)]
        ports = [_port(), _port()]
        north = _desk(urls[0], "north", ports[0], stack)
        hdab = _desk(urls[1], "hdab", ports[1], stack)
        policy = conformance.use("urn:uuid:offer")
        north.transact(lambda s: offers.put(s, DATASET, policy, (HTTP_PULL,), AUTOMATIC))
        stack.enter_context(_process(_PEER, urls[0], ports[0], "north", "hdab"))
        stack.enter_context(_process(_PEER, urls[1], ports[1], "hdab", "north"))

        def begin(count: int = 1) -> None:
            place = f"http://127.0.0.1:{ports[1]}/begin/{ports[0]}/{count}"
            httpx.post(place, trust_env=False).raise_for_status()

        def wait(count: int) -> None:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            done = select(func.count()).where(ProcessRow.state == State.FINALIZED)
            while True:
                with hdab.store.read() as session:
                    if (session.scalar(done) or 0) >= count:
                        return
                if time.monotonic() > deadline:
                    raise TimeoutError("a negotiation was lost")
                time.sleep(0.005)

        begin()
        wait(1)  # connections are open
        taken = []
        for number in range(ALONE):
            began = time.perf_counter()
            begin()
            wait(number + 2)
            taken.append(time.perf_counter() - began)
        began = time.perf_counter()
        begin(TOGETHER)
        wait(1 + ALONE + TOGETHER)
        return Figures(statistics.median(taken), TOGETHER / (time.perf_counter() - began))


def cost(database: str) -> Cost:
    """Start the conformance server: on an empty database, then again."""
    starts, resident = [], 0.0
    with _database(database) as url:
        for _ in range(_STARTS):
            began = time.perf_counter()
            with _process(_SERVER, url, _port()) as process:
                starts.append(time.perf_counter() - began)
                resident = _resident(process)
    return Cost(statistics.median(starts), resident)


def _resident(process: "subprocess.Popen[bytes]") -> float:
    fields = Path(f"/proc/{process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Print the table."""
    databases = {"SQLite": "", "PostgreSQL": os.environ.get("COMMENSAL_TEST_DATABASE", "")}
    for name, url in databases.items():
        if name == "PostgreSQL" and not url:
            print("PostgreSQL: COMMENSAL_TEST_DATABASE names none")
            continue
        spent, found = cost(url), measure(url)
        print(
            f"{name:10} start to first answer {spent.start:.2f} s, {spent.at_rest:.0f} MB resident",
            flush=True,
        )
        print(
            f"{'':10} a negotiation alone {found.alone * 1000:.0f} ms; {TOGETHER} at once "
            f"{found.rate:.0f} a second, that is {found.rate * MESSAGES:.0f} round trips",
            flush=True,
        )


if __name__ == "__main__":
    main()
