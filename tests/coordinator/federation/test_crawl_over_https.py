"""The commands against a node that serves its described datasets over HTTPS, page by page."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner, Result

from connector.clock import utc_now
from connector.dsp import catalog
from connector.dsp.authentication import SignedTokens
from connector.dsp.catalog import DescribedDatasets, Offering
from connector.dsp.desk import FEDERATED_JOB, Desk
from connector.dsp.handling import AUTOMATIC
from connector.dsp.healthdcat import banded, describe
from connector.dsp.healthdcat_documents import DatasetDescription, Measured
from connector.dsp.healthdcat_jsonld import Service, dataset
from connector.dsp.http import PATH, Surface
from connector.dsp.judge import allow
from connector.identity import certificates
from connector.identity.keys import SigningKey
from connector.schema import Column, Schema
from connector.store import Store
from coordinator.cli import coordinator
from coordinator.config import Paths
from coordinator.office import Office, create
from policies.odrl.model import Action, Party, Permission, Policy, Scope
from policies.odrl.terms import ODRL, PolicyKind

TITLES = ("Kidney function", "Kidney transplants", "Hearts", "Lungs", "Kidneys of children")
FORMATS = (FEDERATED_JOB,)


@dataclass
class Node:
    """Serves while it is in use."""

    desk: Desk

    def show(self, name: str, title: str, *assignees: str) -> None:
        declared = DatasetDescription(id=name, title=title, description=f"About {title.lower()}.")
        columns = Schema(columns=(Column(name="creatinine", kind="binary"),))
        record = describe(declared, Measured(columns=columns, persons=banded(4321, 100)))
        service = Service(id="urn:service", url=self.desk.address)
        policy = Policy(
            f"urn:offer:{name}", PolicyKind.OFFER,
            permissions=(Permission(Scope(actions=(Action(ODRL + "use"),))),),
            scope=Scope(assignees=tuple(Party(one) for one in assignees)),
        )  # fmt: skip
        offering = Offering(policy, FORMATS, AUTOMATIC)
        node = dataset(record, service, FORMATS)
        self.desk.transact(lambda session: catalog.publish(session, node, [offering], utc_now()))

    def withdraw(self, name: str) -> None:
        self.desk.transact(lambda session: catalog.withdraw(session, name))


@contextmanager
def serving(directory: Path, identity: Path, key: SigningKey, known: SigningKey) -> Iterator[Node]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        closing(Store(f"sqlite:///{directory / 'node.db'}")) as store,
        ThreadPoolExecutor(4) as executor,
    ):
        desk = Desk(
            participant=key.name, address=f"https://127.0.0.1:{listener.getsockname()[1]}{PATH}",
            store=store, judge=allow, record=lambda _: None, check_address=lambda _: None,
        )  # fmt: skip
        keys = {known.name: known.verify_key}
        tokens = SignedTokens(key, keys.get, utc_now)
        surface = Surface(desk, tokens, DescribedDatasets(desk, page=2), executor, lambda: None)
        server = uvicorn.Server(
            uvicorn.Config(
                surface.application(), log_level="error", lifespan="off", access_log=False,
                ws="none",
                ssl_certfile=identity / "server.pem", ssl_keyfile=str(identity / "server.key"),
            )
        )  # fmt: skip
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            yield Node(desk)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    paths = create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    certificates.renew_server_certificate(paths.identity, "127.0.0.1", datetime.now(UTC))
    ours, theirs = SigningKey.load(paths.signing_key), SigningKey.generate("north")
    with serving(tmp_path, paths.identity, theirs, ours) as node:
        configure(paths, node.desk.address)
        for number, title in enumerate(TITLES):
            node.show(f"north/{number}", title)
        node.show("north/secret", "Kidneys for somebody else", "east")
        yield node


def configure(paths: Paths, address: str, name: str = "north") -> None:
    with paths.config.open("a") as file:
        file.write(f'[[peers]]\nparticipant = "{name}"\naddress = "{address}"\n')


def run(tmp_path: Path, *words: str) -> Result:
    verb, *rest = words
    arguments = ["catalogue", verb, str(tmp_path / "hdab"), *rest]
    return CliRunner().invoke(coordinator, arguments, catch_exceptions=False)


def test_what_a_node_shows_this_coordinator_is_crawled_searched_and_remembered(
    tmp_path: Path, node: Node
) -> None:
    crawled = run(tmp_path, "crawl")
    assert crawled.output == "north: 5 new, 0 changed, 0 withdrawn, 0 as before\n"
    found = run(tmp_path, "search", "kidney", "child").output
    assert found.startswith("north/4: Kidneys of children\n    at north; about 4300 people")
    assert "secret" not in run(tmp_path, "search", "kidneys").output
    node.show("north/0", "Liver function")
    node.withdraw("north/1")
    crawled = run(tmp_path, "crawl")
    assert crawled.output == "north: 0 new, 1 changed, 1 withdrawn, 3 as before\n"
    assert "north/1" not in run(tmp_path, "search", "creatinine").output
    lines = run(tmp_path, "history", "north/0").output.splitlines()
    assert ["replaced" in line for line in lines] == [True, False]
    assert "Liver function" in lines[1]
    (line,) = run(tmp_path, "history", "north/1").output.splitlines()
    assert "withdrawn" in line


@pytest.mark.usefixtures("node")
def test_a_node_that_is_not_reached_is_a_line_and_the_exit_code(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "hdab")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    configure(paths, f"https://127.0.0.1:{closed}/2025-1", "south")
    crawled = run(tmp_path, "crawl")
    assert crawled.exit_code == 1
    assert "north: 5 new" in crawled.output
    assert "! south: a peer does not answer" in crawled.output


@pytest.mark.usefixtures("node")
def test_a_node_under_another_name_is_not_taken_for_this_one(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "hdab")
    paths.config.write_text(paths.config.read_text().replace('"north"', '"south"'))
    crawled = run(tmp_path, "crawl")
    assert crawled.exit_code == 1
    assert "! south: south answers with status 401" in crawled.output


@pytest.mark.usefixtures("node")
def test_a_running_coordinator_crawls_by_itself(tmp_path: Path) -> None:
    pytest.importorskip("flwr", reason="the transport is an optional dependency")
    from coordinator.service import Service  # noqa: PLC0415 - needs the optional dependency

    said: list[str] = []
    heard = asyncio.Event()

    def say(line: str) -> None:
        said.append(line)
        heard.set()

    with closing(Office.open(tmp_path / "hdab")) as office:
        service = Service(office, say)

        async def first_crawl() -> None:
            crawling = asyncio.create_task(service._crawl())
            await asyncio.wait_for(heard.wait(), 60)
            crawling.cancel()

        asyncio.run(first_crawl())
        service._close_jobs()
        service._log.close()
    assert said == ["north: 5 new, 0 changed, 0 withdrawn, 0 as before"]


def test_without_peers_there_is_nobody_to_ask(tmp_path: Path) -> None:
    create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    assert "[[peers]]" in run(tmp_path, "crawl").output
    assert "nothing is found" in run(tmp_path, "search", "kidney").output


def test_a_directory_alone_still_shows_the_offers(tmp_path: Path) -> None:
    create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    for words in (["catalogue"], ["catalogue", "offers"]):
        shown = CliRunner().invoke(coordinator, [*words, str(tmp_path / "hdab")])
        assert "nothing is on offer" in shown.output
        assert shown.exit_code == 0
