"""The durable outbox: choices are made and messages delivered, in order for each process.

A message stands in the table from the transaction that moved its process until its peer has taken
it (2xx); a kill in between means that it is sent again, with the same `@id`. 404, 409, 408, 425,
429, 5xx and silence are tried again with growing, jittered pauses for as long as the patience
lasts. What a peer refuses otherwise may be what it took before a crash of ours: its state is asked
for, and if that is where the message leads, or beyond, the message has arrived. Else the process
is terminated.

One worker per database. Nothing here sleeps but `run`; `step` does what is due and returns.
"""

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, aliased

from connector.dsp import conduct, processes
from connector.dsp.desk import Desk
from connector.dsp.judge import Undelivered
from connector.dsp.messages import CONTEXT
from connector.dsp.states import FINAL, Kind, Role, Signal, State, after, has_passed
from connector.dsp.tables import OutboxRow, ProcessRow
from policies.errors import Error

_RANDOM = random.SystemRandom()
_logger = logging.getLogger(__name__)
T = TypeVar("T")
_AGAIN = frozenset({404, 408, 409, 425, 429})
_AT_ONCE = 64
_AT_ONCE_PER_PEER = 24
_TROUBLE_SECONDS = 1.0
_GATHER_SECONDS = 0.005


@dataclass(frozen=True)
class Reply:
    """What a peer said: an HTTP status (0: nothing), and the process of which its body speaks."""

    status: int
    provider_pid: str = ""
    consumer_pid: str = ""
    state: str = ""

    @property
    def taken(self) -> bool:
        """Whether the peer has the message."""
        return 200 <= self.status < 300


class Client(Protocol):
    """How messages travel; see `client.PeerClient`."""

    async def post(self, counterparty: str, url: str, message: dict[str, Any]) -> Reply:
        """Deliver a message; never raises for what a peer or the network does."""

    async def get(self, counterparty: str, url: str) -> Reply:
        """Ask for a process."""


@dataclass(frozen=True)
class Backoff:
    """The n-th pause is `first * 2**n`, at most `longest`, times a random share of at least 1/2."""

    first: timedelta = timedelta(milliseconds=100)
    longest: timedelta = timedelta(minutes=5)
    patience: timedelta = timedelta(hours=24)

    def pause(self, attempts: int, share: float) -> timedelta:
        """After that many attempts; `share` is random, from 0 to 1."""
        whole = min(self.first * (1 << min(attempts, 30)), self.longest)
        return whole * (0.5 + share / 2)


@dataclass(frozen=True)
class _Due:
    """The head of one process's queue."""

    sequence: int
    pid: str
    counterparty: str
    choice: bool


@dataclass(frozen=True)
class _Delivery:
    url: str
    status_url: str
    counterparty: str
    message: dict[str, Any]
    kind: Kind
    state: State
    ending: bool
    first: bool


class Worker:
    """Carries out what stands in the outbox."""

    def __init__(
        self,
        desk: Desk,
        client: Client,
        executor: Executor | None = None,
        backoff: Backoff | None = None,
        jitter: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._desk = desk
        self._client = client
        self._executor = executor
        self._backoff = backoff or Backoff()
        self._jitter = jitter
        self._wake = asyncio.Event()
        self._busy: dict[str, str] = {}  # pid -> counterparty
        self._defect: BaseException | None = None

    def wake(self) -> None:
        """There is something new; from the event loop's own thread."""
        self._wake.set()

    async def step(self) -> int:
        """Carry out what is due now, each process's first item; how many there were."""
        heads, _ = await self._call(self._look, 0.0, {})
        await asyncio.gather(*(self._carry(head) for head in heads))
        return len(heads)

    async def run(self, poll_seconds: float = 0.5) -> None:
        """Work until cancelled: looks when woken, when something is done, and at every poll.

        A defect of ours ends it: whoever runs it must not go on without it.
        """
        tasks: set[asyncio.Task[None]] = set()
        try:
            while self._defect is None:
                # Several who wake it at once are one.
                await asyncio.sleep(_GATHER_SECONDS)
                self._wake.clear()
                delay = await self._launch(tasks, poll_seconds)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), delay)
            raise self._defect
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _launch(self, tasks: set[asyncio.Task[None]], longest: float) -> float:
        if len(self._busy) >= _AT_ONCE:
            return longest
        try:
            heads, delay = await self._call(self._look, longest, dict(self._busy))
        except Error as error:
            _logger.warning("the outbox waits: %s", error.diagnostics())
            return longest
        for head in heads:
            if self._has_room(head):
                self._busy[head.pid] = head.counterparty
                task = asyncio.create_task(self._carry_once(head))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        return delay

    def _has_room(self, head: _Due) -> bool:
        # Threat: a peer that never answers takes all places.
        peers = Counter(self._busy.values())
        return (
            head.pid not in self._busy
            and peers.total() < _AT_ONCE
            and peers[head.counterparty] < _AT_ONCE_PER_PEER
        )

    async def _carry_once(self, head: _Due) -> None:
        try:
            await self._carry(head)
        except Error as error:
            # A full log, a locked database, a judge that cannot: the item stays where it is.
            _logger.warning("%s waits: %s", head.pid, error.diagnostics())
            await asyncio.sleep(_TROUBLE_SECONDS)
        except Exception as defect:  # noqa: BLE001 - `run` raises it
            self._defect = defect
        finally:
            del self._busy[head.pid]
            self._wake.set()

    async def _carry(self, head: _Due) -> None:
        if head.choice:
            await self._call(conduct.consider, self._desk, head.pid, head.sequence)
            return
        delivery = await self._call(self._prepare, head.sequence)
        if delivery is None:
            return
        reply = await self._client.post(delivery.counterparty, delivery.url, delivery.message)
        if not reply.taken and not _is_passing(reply) and delivery.status_url:
            found = await self._client.get(delivery.counterparty, delivery.status_url)
            if found.taken and _has_arrived(delivery, found):
                reply = found
        await self._call(self._settle, head.sequence, delivery, reply)

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)

    # In the store

    def _look(self, longest: float, busy: dict[str, str]) -> tuple[list[_Due], float]:
        """What is due, and in how many seconds the next item will be."""
        earlier = aliased(OutboxRow)
        blocked = (
            select(earlier.sequence)
            .where(earlier.pid == OutboxRow.pid, earlier.sequence < OutboxRow.sequence)
            .exists()
        )
        peers = Counter(busy.values())
        full = [peer for peer, count in peers.items() if count >= _AT_ONCE_PER_PEER]
        query = (
            select(
                OutboxRow.sequence, OutboxRow.pid, ProcessRow.counterparty, OutboxRow.type,
                OutboxRow.due,
            )
            .join(ProcessRow, ProcessRow.pid == OutboxRow.pid)
            .where(
                ~blocked, OutboxRow.pid.not_in(busy), ProcessRow.counterparty.not_in(full)
            )
            .order_by(OutboxRow.due)
            .limit(_AT_ONCE + 1 - len(busy))
        )  # fmt: skip
        now = self._desk.clock()
        with self._desk.store.read() as session:
            rows = list(session.execute(query))
        due = [_Due(one[0], one[1], one[2], not one[3]) for one in rows if one[4] <= now]
        later = [one[4] for one in rows if one[4] > now]
        return due, min([longest, *((at - now).total_seconds() for at in later[:1])])

    def _prepare(self, sequence: int) -> _Delivery | None:
        with self._desk.store.read() as session:
            item = session.get(OutboxRow, sequence)
            row = session.get(ProcessRow, item.pid) if item is not None else None
            if item is None or row is None:
                return None
            return _delivery(item, row)

    def _settle(self, sequence: int, delivery: _Delivery, reply: Reply) -> None:
        self._desk.transact(lambda session: self._account(session, sequence, delivery, reply))

    def _account(self, session: Session, sequence: int, delivery: _Delivery, reply: Reply) -> None:
        item = session.get(OutboxRow, sequence)
        if item is None:
            return  # the peer has ended the process meanwhile
        row = processes.lock(session, item.pid)
        theirs = reply.provider_pid if row.role == Role.CONSUMER else reply.consumer_pid
        if reply.taken and row.peer_pid is None and theirs:
            processes.adopt(session, row, theirs)
        now = self._desk.clock()
        garbled = reply.taken and row.peer_pid is None
        if reply.taken and not garbled:
            session.delete(item)
            if row.version == item.version:
                self._continue(session, row)
        elif (garbled or _is_passing(reply)) and now - item.written_at < self._backoff.patience:
            item.due = now + self._backoff.pause(item.attempts, self._jitter())
            item.attempts += 1
        else:
            self._give_up(session, row, item, delivery, reply)

    def _continue(self, session: Session, row: ProcessRow) -> None:
        if row.state not in FINAL:
            processes.follow_up(self._desk, session, row, State(row.state), row.version)

    def _give_up(
        self, session: Session, row: ProcessRow, item: OutboxRow, delivery: _Delivery, reply: Reply
    ) -> None:
        """The peer will not have it: end the process, and say so if there is anybody to hear."""
        code = f"HTTP_{reply.status}" if reply.status else "SILENCE"
        message = item.type
        session.execute(delete(OutboxRow).where(OutboxRow.pid == row.pid))
        reasons = (f"{message} was not taken ({code})",)
        if after(Kind(row.kind), State(row.state), Signal.TERMINATE, Role(row.role)) is not None:
            if delivery.first or delivery.ending or reply.status == 0:
                processes.move(self._desk, session, row, Signal.TERMINATE, Role(row.role), reasons)
            else:
                conduct.terminate(self._desk, session, row, reasons)
        self._desk.record(Undelivered(self._desk.clock(), row.pid, row.counterparty, message, code))


def _has_arrived(delivery: _Delivery, found: Reply) -> bool:
    known = {state.value: state for state in State}
    state = known.get(found.state)
    return state is not None and has_passed(delivery.kind, delivery.state, state)


def _is_passing(reply: Reply) -> bool:
    return reply.status == 0 or reply.status in _AGAIN or reply.status >= 500


def _delivery(item: OutboxRow, row: ProcessRow) -> _Delivery:
    provider_pid, consumer_pid = row.pids
    message: dict[str, Any] = {"@context": [CONTEXT], "@type": item.type, "@id": item.message_id}
    if item.first:
        message["providerPid" if row.role == Role.PROVIDER else "consumerPid"] = row.pid
    else:
        message |= {"providerPid": provider_pid, "consumerPid": consumer_pid}
    plural = "negotiations" if row.kind == Kind.NEGOTIATION else "transfers"
    own = f"{row.callback}/{plural}/{quote(row.peer_pid or '', safe=':')}" if row.peer_pid else ""
    return _Delivery(
        url=f"{row.callback}/{item.path}" if item.first else f"{own}/{item.path}",
        status_url=own,
        counterparty=row.counterparty,
        message=message | item.fields,
        kind=Kind(row.kind),
        state=State(item.state),
        ending=item.state == State.TERMINATED,
        first=item.first,
    )
