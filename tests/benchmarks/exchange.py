"""How long three nodes take to answer, over loopback TLS, and what an idle node costs.

    python tests/benchmarks/exchange.py

The nodes are processes of their own and echo what they receive. Prints medians of 50 exchanges.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

sys.path.insert(0, str(Path(__file__).parents[2]))

from connector.flower import keys
from connector.flower.server import FleetServer
from connector.flower.web import WebServer
from connector.identity import certificates

NODES = 3
_ROOT = str(Path(__file__).parents[2])
IDLE_SECONDS = 10.0
_PATIENCE_SECONDS = 60.0


# A node loads the client's half of the protocol only, as `commensal node run` does.
_NODE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from connector.flower.client import FleetClient
directory, number, address = Path(sys.argv[2]), sys.argv[3], sys.argv[4]
client = FleetClient(
    address,
    root_certificates=(directory / "ca.pem").read_bytes(),
    private_key=(directory / f"{number}.key").read_bytes(),
)
client.connect()
with client:
    while (message := client.receive(60.0)) is not None:
        client.reply(message, message.payload)
"""


@contextmanager
def _served(fleet: FleetServer, directory: Path) -> Iterator[str]:
    certificates.create_authority(directory, "bench", datetime.now(UTC))
    certificates.renew_server_certificate(directory, "127.0.0.1", datetime.now(UTC))
    config = uvicorn.Config(
        fleet.app,
        host="127.0.0.1",
        port=0,
        ssl_certfile=directory / "server.pem",
        ssl_keyfile=str(directory / "server.key"),
        log_config=None,
        lifespan="off",
        ws="none",
    )
    server = WebServer(config, fleet)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _nodes(
    fleet: FleetServer, directory: Path, address: str
) -> Iterator[tuple[list[int], list[subprocess.Popen[bytes]]]]:
    ids, processes = [], []
    for number in range(NODES):
        private_key = keys.generate()
        (directory / f"{number}.key").write_bytes(private_key)
        ids.append(fleet.register(keys.public_bytes(private_key), f"hospital-{number}"))
        command = [sys.executable, "-c", _NODE, _ROOT, str(directory), str(number), address]
        processes.append(subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}))
    try:
        while not fleet.online().issuperset(ids):
            time.sleep(0.05)
        yield ids, processes
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def exchange_seconds(fleet: FleetServer, nodes: list[int], size: int, count: int = 50) -> float:
    """Median seconds from sending `size` bytes to every node to having all their answers."""
    taken = []
    payload = os.urandom(size)
    with fleet.open_run() as run:
        for _ in range(count):
            began = time.perf_counter()
            sent = [run.send(node_id, payload) for node_id in nodes]
            if not run.wait(sent, _PATIENCE_SECONDS):
                raise TimeoutError("a node did not answer")
            replies = run.replies(sent)
            taken.append(time.perf_counter() - began)
            if any(reply.payload != payload for reply in replies.values()):
                raise RuntimeError("a node answered something else")
    return statistics.median(taken)


def _cost(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Processor seconds used so far and resident megabytes."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    resident = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return ticks / os.sysconf("SC_CLK_TCK"), resident / 1e6


def main() -> None:
    """Print the table."""
    fleet = FleetServer()
    with tempfile.TemporaryDirectory(prefix="exchange-") as name:
        directory = Path(name)
        with (
            _served(fleet, directory) as address,
            _nodes(fleet, directory, address) as (nodes, processes),
        ):
            before, _ = _cost(processes[0])
            time.sleep(IDLE_SECONDS)
            after, resident = _cost(processes[0])
            share = 100 * (after - before) / IDLE_SECONDS
            print(f"an idle node: {share:.2f} % of a core, {resident:.0f} MB resident")
            exchange_seconds(fleet, nodes, 100, count=5)
            for size in (100, 100_000, 4_000_000):
                seconds = exchange_seconds(fleet, nodes, size, count=50 if size < 1e6 else 10)
                print(f"{NODES} nodes, {size:>9,} bytes each way: {seconds * 1000:7.1f} ms")
                print(f"    a node then has {_cost(processes[0])[1]:.0f} MB resident")


if __name__ == "__main__":
    main()
