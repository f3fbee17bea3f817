"""Two connectors in one process, with one clock: their endpoints are real, the wire is a function.

Every message on the wire is judged by the official schema of its type, where ../shared is there.
The wire can lose a message, lose an answer, or answer by itself.
"""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import kit_wire
from sqlalchemy import create_engine, func, select, text

from connector.dsp import client, offers
from connector.dsp.authentication import SignedTokens
from connector.dsp.desk import FEDERATED_JOB, HTTP_PULL, Desk
from connector.dsp.handling import AUTOMATIC, Handling
from connector.dsp.http import Surface
from connector.dsp.judge import Answer, Event, Moment, Moved, Question, Verdict
from connector.dsp.outbox import Backoff, Reply, Worker
from connector.dsp.states import State
from connector.dsp.tables import OutboxRow, ProcessRow
from connector.identity.keys import SigningKey
from connector.store import Store
from policies.odrl.model import Policy
from policies.odrl.read import read_embedded

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DATABASE = os.environ.get("COMMENSAL_TEST_DATABASE", "")
KEYS = {name: SigningKey(name, name.encode().ljust(32, b".")) for name in ("north", "hdab", "spy")}
DATASET = "north/patients"
OFFER = "urn:uuid:offer-1"
Json = dict[str, Any]


def offer(uid: str = OFFER, **constraint: Any) -> Policy:
    """An offer as a catalogue has it."""
    permission: Json = {"action": "use"}
    if constraint:
        permission["constraint"] = [constraint]
    return read_embedded({"@id": uid, "@type": "Offer", "permission": [permission]})


def until(year: str) -> Json:
    right = {"@value": f"{year}-01-01T00:00:00Z", "@type": "xsd:dateTime"}
    return {"leftOperand": "odrl:dateTime", "operator": "lt", "rightOperand": right}


@dataclass
class Clock:
    """Tells the same time until it is moved."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Side:
    """A participant with its desk, endpoints and worker."""

    name: str
    desk: Desk
    surface: Surface
    worker: Worker
    tokens: SignedTokens
    events: list[Event]
    verdicts: dict[Moment, Verdict]
    questions: list[Question]

    def state(self, pid: str) -> State:
        return State(self.row(pid).state)

    def row(self, pid: str) -> ProcessRow:
        with self.desk.store.read() as session:
            row = session.get(ProcessRow, pid)
            assert row is not None
            session.expunge_all()
            return row

    def only(self) -> str:
        """The pid of its only process."""
        with self.desk.store.read() as session:
            return session.scalars(select(ProcessRow.pid)).one()

    def pending(self) -> int:
        with self.desk.store.read() as session:
            return session.scalar(select(func.count()).select_from(OutboxRow)) or 0

    def moves(self) -> list[str]:
        return [str(event.after) for event in self.events if isinstance(event, Moved)]

    def deny(self, moment: Moment, *reasons: str) -> None:
        self.verdicts[moment] = Verdict(Answer.DENY, reasons)

    def hold(self, moment: Moment, *reasons: str) -> None:
        self.verdicts[moment] = Verdict(Answer.HOLD, reasons)


# What to do with the next message instead of delivering it; None: deliver.
Fault = Callable[[Json], Reply | None]


@dataclass
class Wire:
    """Carries messages from one side to the other's application."""

    sender: str
    sides: dict[str, Side]
    sent: list[Json] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    lost_answers: int = 0

    async def post(self, counterparty: str, url: str, message: Json) -> Reply:
        assert not kit_wire.problems(message), kit_wire.problems(message)
        self.sent.append(message)
        fault = self.faults.pop(0)(message) if self.faults else None
        if fault is not None:
            return fault
        reply = await self._exchange("POST", counterparty, url, message)
        if self.lost_answers:
            self.lost_answers -= 1
            return Reply(0)
        return reply

    async def get(self, counterparty: str, url: str) -> Reply:
        return await self._exchange("GET", counterparty, url, None)

    async def _exchange(
        self, method: str, counterparty: str, url: str, message: Json | None
    ) -> Reply:
        side = self.sides[counterparty]
        assert url.startswith(side.desk.address), url
        header = self.sides[self.sender].tokens.header(counterparty)
        answer = await call(side, method, urlsplit(url).path, message, header)
        assert not kit_wire.problems(answer.json()), answer.text
        self.statuses.append(answer.status_code)
        return client._reply(answer.status_code, answer.content)


async def call(
    side: Side, method: str, path: str, message: Json | None, authorization: str = "", **more: Any
) -> httpx.Response:
    """A request to one side's application."""
    transport = httpx.ASGITransport(side.surface.application(), raise_app_exceptions=False)
    headers = {"authorization": authorization} | more.pop("headers", {})
    async with httpx.AsyncClient(transport=transport, base_url="https://peer.example") as http:
        return await http.request(method, path, json=message, headers=headers, **more)


@dataclass
class Pair:
    """`north` provides a dataset, `hdab` wants it."""

    clock: Clock
    north: Side
    hdab: Side
    wires: dict[str, Wire]

    def settle(self, rounds: int = 200) -> None:
        """Carry out all that follows, moving the clock as often as nothing is due."""
        for _ in range(rounds):
            if not self.step():
                if not self.north.pending() + self.hdab.pending():
                    return
                self.clock.forward(seconds=0.1)
        raise AssertionError("it does not come to rest")

    def step(self) -> int:
        async def both() -> int:
            return await self.north.worker.step() + await self.hdab.worker.step()

        return asyncio.run(both())

    def ask(
        self, side: Side, method: str, path: str, message: Json | None = None,
        caller: str = "hdab", **more: Any,
    ) -> httpx.Response:  # fmt: skip
        """A request of `caller` to one side."""
        tokens = SignedTokens(KEYS[caller], lambda name: KEYS[name].verify_key, self.clock)
        header = tokens.header(side.name)
        return asyncio.run(call(side, method, f"/2025-1{path}", message, header, **more))

    def offer(self, policy: Policy, handling: Handling = AUTOMATIC, dataset: str = DATASET) -> None:
        """Put an offer into north's catalogue."""
        formats = (FEDERATED_JOB, HTTP_PULL)
        self.north.desk.transact(lambda s: offers.put(s, dataset, policy, formats, handling))


@contextmanager
def pair(directory: Path) -> Iterator[Pair]:
    """Both sides, each with a database of its own."""
    clock = Clock()
    sides: dict[str, Side] = {}
    wires = {name: Wire(name, sides) for name in ("north", "hdab")}
    with (
        ThreadPoolExecutor(4) as executor,
        _store(directory, "north") as north,
        _store(directory, "hdab") as hdab,
    ):
        for name, store in (("north", north), ("hdab", hdab)):
            sides[name] = _side(name, store, clock, wires[name], executor)
        yield Pair(clock, sides["north"], sides["hdab"], wires)


def _side(name: str, store: Store, clock: Clock, wire: Wire, executor: ThreadPoolExecutor) -> Side:
    events: list[Event] = []
    verdicts: dict[Moment, Verdict] = {}
    questions: list[Question] = []

    def judge(question: Question) -> Verdict:
        questions.append(question)
        return verdicts.get(question.moment, Verdict(Answer.ALLOW))

    desk = Desk(
        participant=name, address=f"https://{name}.example/2025-1", store=store, judge=judge,
        record=events.append, check_address=lambda _: None, clock=clock,
        pause=timedelta(milliseconds=50),
    )  # fmt: skip
    tokens = SignedTokens(KEYS[name], lambda who: KEYS[who].verify_key, clock)
    surface = Surface(desk, tokens, offers.OfferedDatasets(desk, page=2), executor, lambda: None)
    worker = Worker(desk, wire, executor, Backoff(), jitter=lambda: 1.0)
    return Side(name, desk, surface, worker, tokens, events, verdicts, questions)


@contextmanager
def _store(directory: Path, name: str) -> Iterator[Store]:
    """SQLite, or a schema of its own on the PostgreSQL server that the environment names."""
    if not DATABASE:
        store = Store(f"sqlite:///{directory / name}.db")
        yield store
        store.close()
        return
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_engine(DATABASE)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    store = Store(f"{DATABASE}?options=-csearch_path%3D{schema}")
    yield store
    store.close()
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()
