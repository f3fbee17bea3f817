"""A catalogue request over HTTP: 10, 1,000 and 10,000 offers, filtered for one participant.

    python tests/benchmarks/catalogue.py

One dataset with a full record per offer; a tenth of the offers are for the participant that asks,
the others for somebody else. SQLite; PostgreSQL as well if COMMENSAL_TEST_DATABASE names one.
EDC was published to need 5.9 s for ten assets on PostgreSQL.
"""

import asyncio
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
import uvicorn
from sqlalchemy import create_engine, text

sys.path.insert(0, str(Path(__file__).parents[2]))

from connector.dsp import catalog
from connector.dsp.authentication import StaticTokens
from connector.dsp.catalog import DescribedDatasets, Offering
from connector.dsp.desk import FEDERATED_JOB, Desk
from connector.dsp.handling import AUTOMATIC
from connector.dsp.healthdcat import banded, describe
from connector.dsp.healthdcat_documents import DatasetDescription, Measured
from connector.dsp.healthdcat_jsonld import Service, dataset
from connector.dsp.http import PATH, Surface
from connector.dsp.judge import allow
from connector.dsp.messages import CatalogRequestMessage
from connector.schema import Column, Schema
from connector.store import Store
from policies.odrl.model import Action, Party, Permission, Policy, Scope
from policies.odrl.terms import ODRL, PolicyKind

COUNTS = (10, 1_000, 10_000)
_COLUMNS = 20
_SHARE = 10  # one offer in that many is for the participant that asks
_RUNS = 20
_WHOLE_RUNS = 5
_TOGETHER = 500  # datasets in a transaction


@dataclass(frozen=True)
class Figures:
    """Median seconds of a page, plain and packed, and of all pages, and what those hold."""

    page: float
    packed: float
    whole: float
    datasets: int
    pages: int
    size: int


@contextmanager
def _database(url: str) -> Iterator[str]:
    """A database of its own: a file, or a schema."""
    if not url:
        with tempfile.TemporaryDirectory(prefix="catalogue-") as name:
            yield f"sqlite:///{name}/node.db"
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


def _fill(desk: Desk, count: int) -> None:
    schema = Schema(
        columns=tuple(
            Column(
                name=f"column_{number}", kind="numeric", minimum=Decimal(0), maximum=Decimal(100),
                unit="mg/dL", description="Measured in the laboratory at admission",
            )
            for number in range(_COLUMNS)
        )
    )  # fmt: skip
    service = Service(id=f"{desk.address}#service", url=desk.address)
    measured = Measured(columns=schema, persons=banded(4321, 100), records=banded(4321, 100))
    permission = Permission(Scope(actions=(Action(ODRL + "use"),)))
    for start in range(0, count, _TOGETHER):

        def publish(session: object, start: int = start) -> None:
            for number in range(start, min(count, start + _TOGETHER)):
                name = f"hospital/{number:05}"
                declared = DatasetDescription(
                    id=name, title=f"Dataset {number}", keywords=("kidney", "survival"),
                    description="Admissions with laboratory values and survival. " * 4,
                )  # fmt: skip
                node = dataset(describe(declared, measured), service, (FEDERATED_JOB,))
                audience = "asker" if number % _SHARE == 0 else "somebody"
                policy = Policy(
                    f"urn:offer:{number}", PolicyKind.OFFER, permissions=(permission,),
                    scope=Scope(assignees=(Party(audience),)),
                )  # fmt: skip
                offering = Offering(policy, (FEDERATED_JOB,), AUTOMATIC)
                catalog.publish(session, node, [offering], datetime.now(UTC))

        desk.transact(publish)


@contextmanager
def _served(url: str, count: int) -> Iterator[str]:
    with (
        # With its protocol: asyncio disables Nagle's algorithm for no other.
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener,
        closing(Store(url)) as store,
        ThreadPoolExecutor(4) as executor,
    ):
        listener.bind(("127.0.0.1", 0))
        desk = Desk(
            participant="hospital", address=f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}",
            store=store, judge=allow, record=lambda _: None, check_address=lambda _: None,
        )  # fmt: skip
        _fill(desk, count)
        tokens = StaticTokens("", "asker")
        surface = Surface(desk, tokens, DescribedDatasets(desk), executor, lambda: None)
        server = uvicorn.Server(
            uvicorn.Config(
                surface.application(), log_level="error", lifespan="off", access_log=False,
                ws="none",
            )
        )  # fmt: skip
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            yield f"{desk.address}/catalog/request"
        finally:
            server.should_exit = True
            thread.join()


def _whole(client: httpx.Client, url: str) -> tuple[int, int, int]:
    """Follow the pages: datasets, pages, bytes."""
    datasets = pages = size = 0
    following = url
    while following:
        answer = client.post(following, json=CatalogRequestMessage().spell())
        answer.raise_for_status()
        datasets += len(answer.json().get("dataset", ()))
        pages += 1
        size += len(answer.content)
        following = answer.links.get("next", {}).get("url", "")
    return datasets, pages, size


def measure(database: str, count: int) -> Figures:
    """Ask a catalogue of `count` offers, of which one in ten is for the asker."""
    with (
        _database(database) as url,
        _served(url, count) as address,
        httpx.Client(timeout=60, trust_env=False) as client,
    ):

        def page(coding: str) -> None:
            headers = {"accept-encoding": coding}
            message = CatalogRequestMessage().spell()
            client.post(address, json=message, headers=headers).raise_for_status()

        client.headers["accept-encoding"] = "identity"
        found = _whole(client, address)
        return Figures(
            _median(lambda: page("identity"), _RUNS),
            _median(lambda: page("gzip"), _RUNS),
            _median(lambda: _whole(client, address), _WHOLE_RUNS),
            *found,
        )


def _median(work: Callable[[], object], runs: int) -> float:
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print the table."""
    databases = {"SQLite": "", "PostgreSQL": os.environ.get("COMMENSAL_TEST_DATABASE", "")}
    for name, url in databases.items():
        if name == "PostgreSQL" and not url:
            print("PostgreSQL: COMMENSAL_TEST_DATABASE names none")
            continue
        for count in COUNTS:
            found = measure(url, count)
            print(
                f"{name:10} {count:6,} offers: a page {found.page * 1000:6.1f} ms, "
                f"packed {found.packed * 1000:6.1f} ms; all {found.datasets:,} that may be seen, "
                f"{found.pages} pages, {found.size / 1e6:.2f} MB: {found.whole * 1000:7.1f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
