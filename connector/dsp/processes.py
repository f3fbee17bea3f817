"""Processes in the tables: found, begun, moved; and what follows, written in the same transaction.

Everything that changes a process goes through `move`, with the process locked: SQLite's
transactions exclude each other, on PostgreSQL the row is locked. A choice that was made without
the lock compares `version` before it counts.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from connector.dsp import handling
from connector.dsp.desk import Desk
from connector.dsp.judge import Moved
from connector.dsp.messages import (
    NO_PID,
    ContractNegotiation,
    Message,
    ProcessMessage,
    TransferProcess,
)
from connector.dsp.states import FINAL, Kind, Role, Signal, State, after, possible
from connector.dsp.tables import OutboxRow, ProcessRow
from connector.errors import LocalError, RemoteError


@dataclass(frozen=True)
class Draft:
    """A message of ours without context and process ids.

    `path` is below the process's address at the peer; for the `first` message, below the peer's.
    """

    type: str
    path: str
    fields: dict[str, Any] = field(default_factory=dict)
    first: bool = False


def new_id() -> str:
    """A fresh identifier."""
    return f"urn:uuid:{uuid.uuid4()}"


def digest(message: Message) -> str:
    """What a message says, whatever its own id: two of the same digest are one request."""
    content = message.model_dump(mode="json", by_alias=True, exclude={"id"})
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def unknown() -> RemoteError:
    """There is no such process, or it is not the caller's: one answer for both."""
    return RemoteError("DSP_UNKNOWN", "there is nothing of that name for you")


def find(session: Session, pid: str, caller: str) -> ProcessRow:
    """The caller's own process, locked. Raises `RemoteError` (DSP_UNKNOWN)."""
    row = session.get(ProcessRow, pid, with_for_update=True)
    if row is None or row.counterparty != caller:
        raise unknown()
    return row


def lock(session: Session, pid: str, version: int | None = None) -> ProcessRow:
    """A process for a change of ours. Raises `LocalError`: DSP_PROCESS_UNKNOWN, DSP_MOVED."""
    row = session.get(ProcessRow, pid, with_for_update=True)
    if row is None:
        raise missing(pid)
    if version is not None and row.version != version:
        raise moved(pid)
    return row


def missing(pid: str) -> LocalError:
    """No process of ours."""
    return LocalError("DSP_PROCESS_UNKNOWN", f"there is no process {pid}", "Look at the list")


def moved(pid: str) -> LocalError:
    """A decision was taken on what is no longer so."""
    return LocalError("DSP_MOVED", f"{pid} has moved on meanwhile", "Look at it again")


def adopt(session: Session, row: ProcessRow, peer_pid: str) -> bool:
    """Learn the peer's id of a process, unless it already stands for another one."""
    taken = session.scalar(
        select(ProcessRow.pid).where(
            ProcessRow.role == row.role, ProcessRow.kind == row.kind,
            ProcessRow.counterparty == row.counterparty, ProcessRow.peer_pid == peer_pid,
        )
    )  # fmt: skip
    if taken is None:
        row.peer_pid = peer_pid
    return taken in (None, row.pid)


def repeated(
    session: Session, kind: Kind, role: Role, caller: str, peer_pid: str, said: str
) -> ProcessRow | None:
    """The process that a first message has already begun, if its sender says the same again.

    Raises `RemoteError` (DSP_PID_TAKEN) if it says something else.
    """
    row = session.scalar(
        select(ProcessRow).where(
            ProcessRow.role == role, ProcessRow.kind == kind,
            ProcessRow.counterparty == caller, ProcessRow.peer_pid == peer_pid,
        )
    )  # fmt: skip
    if row is not None and row.request_digest != said:
        raise RemoteError("DSP_PID_TAKEN", "this process id already stands for another request")
    return row


def move(
    desk: Desk, session: Session, row: ProcessRow, signal: Signal, by: Role,
    reasons: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Change the state; the record is the last thing before the commit, so call this last.

    Raises `RemoteError` or `LocalError` (DSP_STATE), by whose error it is, and what the record
    raises.
    """
    kind, role = Kind(row.kind), Role(row.role)
    before = None if row.version == 0 else State(row.state)
    state = after(kind, before, signal, by)
    if state is None:
        raise _illegal(row, signal, by)
    if state in FINAL:
        row.token_digest, row.token_expires = "", None
    now = desk.clock()
    row.state, row.version, row.updated_at = state, row.version + 1, now
    row.held, row.reasons = False, list(reasons)
    session.flush()
    desk.record(
        Moved(
            now, row.pid, row.peer_pid or "", kind, role, row.counterparty, row.dataset,
            row.agreement, before, state, signal, by, reasons, row.offer, row.data_address,
        )
    )  # fmt: skip


def check_move(row: ProcessRow, signal: Signal, by: Role) -> State:
    """The state that would follow. Raises as `move`."""
    before = None if row.version == 0 else State(row.state)
    state = after(Kind(row.kind), before, signal, by)
    if state is None:
        raise _illegal(row, signal, by)
    return state


def _illegal(row: ProcessRow, signal: Signal, by: Role) -> LocalError | RemoteError:
    what = f"a {row.kind} in state {row.state} takes no {signal!s} of its {by!s}"
    if by != row.role:
        return RemoteError("DSP_STATE", what)
    can = ", ".join(possible(Kind(row.kind), State(row.state), by)) or "nothing"
    return LocalError("DSP_STATE", what, f"Possible now: {can}")


def post(desk: Desk, session: Session, row: ProcessRow, draft: Draft, state: State) -> None:
    """Put a message into the outbox; it leads to `state`, with the next version."""
    now = desk.clock()
    session.add(
        OutboxRow(
            pid=row.pid, version=row.version + 1, state=state, type=draft.type, path=draft.path,
            first=draft.first, fields=draft.fields, message_id=new_id(), due=now, written_at=now,
        )
    )  # fmt: skip


def follow_up(desk: Desk, session: Session, row: ProcessRow, state: State, version: int) -> None:
    """Put a choice into the outbox, if it is this side's turn in `state`."""
    if handling.our_turn(Kind(row.kind), Role(row.role), state, row.how, row.script_step):
        now = desk.clock()
        session.add(
            OutboxRow(
                pid=row.pid, version=version, state=state, due=now + desk.pause, written_at=now
            )
        )


def withdraw(session: Session, row: ProcessRow) -> None:
    """The peer has ended the process: what was still to be said or chosen is void."""
    session.execute(delete(OutboxRow).where(OutboxRow.pid == row.pid))


def answer(row: ProcessRow) -> ProcessMessage:
    """A process as it is told to the counter-party."""
    provider, consumer = row.pids
    kind = ContractNegotiation if row.kind == Kind.NEGOTIATION else TransferProcess
    return kind(
        provider_pid=provider or NO_PID, consumer_pid=consumer or NO_PID, state=State(row.state)
    )
