"""How processes go on: by a message of the peer, by an action of ours, or by the choice between.

Load, transition, commit, answer; what follows stands in the outbox of the same transaction. Judges
are asked between transactions, about a process as it was; if it has moved meanwhile, their verdict
is not used.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.dsp import consumer, handling, processes, provider, terms
from connector.dsp.desk import Desk
from connector.dsp.handling import Choice
from connector.dsp.judge import Answer, Moment, Question, Verdict
from connector.dsp.messages import (
    ContractOfferMessage,
    ContractRequestMessage,
    Incoming,
    Message,
    ProcessMessage,
    TransferRequestMessage,
    reasons_of,
    signal_of,
)
from connector.dsp.processes import Draft
from connector.dsp.states import FINAL, Kind, Role, Signal, State, possible
from connector.dsp.tables import OutboxRow, ProcessRow
from connector.errors import LocalError, RemoteError
from policies.odrl.model import Policy

_ALLOWED = Verdict(Answer.ALLOW)
MAX_HELD = 1000
_ATTEMPTS = 5


def begin(
    desk: Desk,
    caller: str,
    message: ContractRequestMessage | ContractOfferMessage | TransferRequestMessage,
) -> Message:
    """Take the first message of a process; the answer. Raises `RemoteError`, `LocalError`."""

    def work(session: Session) -> Message:
        match message:
            case ContractRequestMessage():
                row = provider.begin_negotiation(desk, session, caller, message)
            case ContractOfferMessage():
                row = consumer.begin_negotiation(desk, session, caller, message)
            case _:
                row = provider.begin_transfer(desk, session, caller, message)
        return processes.answer(row)

    return desk.transact(work)


def receive(desk: Desk, caller: str, pid: str, message: Incoming) -> Message:
    """Take a message for one of our processes; the answer.

    One that is repeated (by its own `@id` and content) changes nothing and is answered as before.
    Raises `RemoteError`: DSP_UNKNOWN, DSP_PIDS, DSP_STATE, DSP_POLICY, DSP_AGREEMENT.
    """

    def work(session: Session) -> Message:
        row = processes.find(session, pid, caller)
        _check_pids(session, row, message)
        said = f"{message.id}:{processes.digest(message)}"[:80] if message.id else ""
        if not said or said != row.last_message:
            _take(desk, session, row, message, said)
        return processes.answer(row)

    return desk.transact(work)


def look(desk: Desk, caller: str, pid: str, kind: Kind) -> ProcessMessage:
    """The caller's own process. Raises `RemoteError` (DSP_UNKNOWN)."""
    with desk.store.read() as session:
        row = session.get(ProcessRow, pid)
        if row is None or row.counterparty != caller or row.kind != kind:
            raise processes.unknown()
        return processes.answer(row)


def _take(desk: Desk, session: Session, row: ProcessRow, message: Incoming, said: str) -> None:
    kind, role, _ = row.place
    signal = signal_of(message)
    if _kind_of(message) is not kind:
        raise RemoteError("DSP_STATE", f"a {kind!s} takes no {message.type}")
    state = processes.check_move(row, signal, role.other)
    if role is Role.PROVIDER:
        provider.takes(desk, session, row, message)
    else:
        consumer.takes(desk, session, row, message)
    if signal is Signal.TERMINATE:
        _void(session, row)
    if state in FINAL:
        processes.withdraw(session, row)
    else:
        processes.follow_up(desk, session, row, state, row.version + 1)
    row.last_message = said
    reasons = reasons_of(getattr(message, "reason", None))
    processes.move(desk, session, row, signal, role.other, reasons)


def _check_pids(session: Session, row: ProcessRow, message: Incoming) -> None:
    provider_pid, consumer_pid = message.provider_pid, message.consumer_pid  # type: ignore[union-attr]  # a transfer request begins a process and never comes here
    ours, theirs = (
        (provider_pid, consumer_pid) if row.role == Role.PROVIDER else (consumer_pid, provider_pid)
    )
    if ours == row.pid and row.peer_pid is None and theirs:
        # The peer is quicker than its own answer to our first message.
        processes.adopt(session, row, theirs)
    if ours != row.pid or theirs != row.peer_pid:
        raise RemoteError("DSP_PIDS", "the process ids of the message are not of one process")


def _kind_of(message: Incoming) -> Kind:
    return Kind.TRANSFER if message.type.startswith("Transfer") else Kind.NEGOTIATION


def act(
    desk: Desk, pid: str, signal: Signal, reasons: tuple[str, ...] = (),
    *, offer: Policy | None = None, version: int | None = None,
) -> State:  # fmt: skip
    """Do something on this side, a person's word or a program's; the new state.

    The policy is asked as if it went by itself; where it holds for a person, this is the person's
    word. With `version` it counts for the process as it was seen; without, for whatever it is now.
    Raises `LocalError`: DSP_PROCESS_UNKNOWN, DSP_STATE, DSP_DENIED, DSP_MOVED.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _act(desk, pid, signal, reasons, offer, version)
        except LocalError as error:
            if error.code != "DSP_MOVED" or version is not None:
                raise
    raise processes.moved(pid)


def _act(
    desk: Desk, pid: str, signal: Signal, reasons: tuple[str, ...], offer: Policy | None,
    version: int | None,
) -> State:  # fmt: skip
    row = as_it_is(desk, pid)
    if version is not None and row.version != version:
        raise processes.moved(pid)
    processes.check_move(row, signal, Role(row.role))
    verdict = _before(desk, row, signal)
    if verdict.answer is Answer.DENY:
        raise LocalError("DSP_DENIED", f"the policy denies it: {'; '.join(verdict.reasons)}")

    def work(session: Session) -> State:
        locked = processes.lock(session, pid, row.version)
        _do(desk, session, locked, signal, reasons, offer)
        return State(locked.state)

    return desk.transact(work)


def as_it_is(desk: Desk, pid: str) -> ProcessRow:
    """A process of ours, detached. Raises `LocalError` (DSP_PROCESS_UNKNOWN)."""
    with desk.store.read() as session:
        row = session.get(ProcessRow, pid)
        session.expunge_all()
    if row is None:
        raise processes.missing(pid)
    return row


def consider(desk: Desk, pid: str, sequence: int) -> None:
    """Make the choice that stands in the outbox, and take it out."""
    with desk.store.read() as session:
        item = session.get(OutboxRow, sequence)
        row = session.get(ProcessRow, pid)
        session.expunge_all()
    if item is None or row is None:
        return
    choice = _choose(desk, row) if row.version == item.version else Choice()

    def work(session: Session) -> None:
        locked = processes.lock(session, pid)
        pending = session.get(OutboxRow, sequence)
        if pending is None:
            return
        session.delete(pending)
        if locked.version != item.version:
            return  # it has moved; whoever moved it has said what follows
        if choice.signal is not None:
            locked.script_step += 1
            _do(desk, session, locked, choice.signal, choice.reasons, None)
        elif choice.hold:
            locked.held, locked.reasons = True, list(choice.reasons)

    desk.transact(work)


def _choose(desk: Desk, row: ProcessRow) -> Choice:
    kind, role, state = row.place
    arrival = handling.ON_ARRIVAL.get((kind, role, state))
    verdict = _ask(desk, row, arrival) if arrival else _ALLOWED
    choice = handling.choose(kind, role, state, row.how, row.script_step, as_offered=row.as_offered)
    if verdict.answer is Answer.ALLOW and choice.signal is not None:
        verdict = _before(desk, row, choice.signal)
    if verdict.answer is Answer.DENY:
        return Choice(Signal.TERMINATE, reasons=verdict.reasons)
    if verdict.answer is Answer.HOLD:
        return Choice(hold=True, reasons=verdict.reasons)
    return choice


def _before(desk: Desk, row: ProcessRow, signal: Signal) -> Verdict:
    moment = handling.BEFORE.get((Kind(row.kind), Role(row.role), signal))
    return _ask(desk, row, moment) if moment else _ALLOWED


def _ask(desk: Desk, row: ProcessRow, moment: Moment) -> Verdict:
    return desk.judge(
        Question(
            moment=moment, role=Role(row.role), counterparty=row.counterparty,
            dataset=row.dataset, policy=terms.stored(row.offer), pid=row.pid,
            agreement=row.agreement, format=row.format, data_address=row.data_address,
        )
    )  # fmt: skip


def _do(
    desk: Desk, session: Session, row: ProcessRow, signal: Signal, reasons: tuple[str, ...],
    offer: Policy | None,
) -> None:  # fmt: skip
    """Carry out an action of ours: its message goes to the outbox, the state moves."""
    kind, role, _ = row.place
    state = processes.check_move(row, signal, role)
    draft = _ending(kind, signal, reasons)
    if draft is None and role is Role.PROVIDER:
        draft = provider.makes(desk, session, row, signal, offer)
    elif draft is None:
        draft = consumer.makes(row, signal, offer)
    if signal is Signal.TERMINATE:
        _void(session, row)
    processes.post(desk, session, row, draft, state)
    processes.move(desk, session, row, signal, role, reasons)


def terminate(desk: Desk, session: Session, row: ProcessRow, reasons: tuple[str, ...]) -> None:
    """End a locked process whose state allows it, and tell the peer."""
    _do(desk, session, row, Signal.TERMINATE, reasons, None)


def _ending(kind: Kind, signal: Signal, reasons: tuple[str, ...]) -> Draft | None:
    """Messages that both roles send in the same words."""
    fields = {"code": "POLICY", "reason": list(reasons)} if reasons else {}
    match kind, signal:
        case Kind.NEGOTIATION, Signal.TERMINATE:
            return Draft("ContractNegotiationTerminationMessage", "termination", fields)
        case Kind.TRANSFER, Signal.TERMINATE:
            return Draft("TransferTerminationMessage", "termination", fields)
        case Kind.TRANSFER, Signal.SUSPEND:
            return Draft("TransferSuspensionMessage", "suspension", fields)
        case Kind.TRANSFER, Signal.COMPLETE:
            return Draft("TransferCompletionMessage", "completion")
        case _:
            return None


def _void(session: Session, row: ProcessRow) -> None:
    if row.kind == Kind.NEGOTIATION:
        provider.enforce(session, row, "ended")


@dataclass(frozen=True, slots=True)
class Held:
    """A process that waits for a person; `options` is what can be said. Decide with `act`."""

    pid: str
    version: int
    kind: Kind
    role: Role
    counterparty: str
    state: State
    dataset: str
    agreement: str
    offer: Policy
    reasons: tuple[str, ...]
    since: datetime
    options: tuple[Signal, ...]


def held(desk: Desk, limit: int = MAX_HELD) -> list[Held]:
    """What waits for a person, oldest first, with what the policy says of it."""
    query = select(ProcessRow).where(ProcessRow.held).order_by(ProcessRow.updated_at).limit(limit)
    with desk.store.read() as session:
        return [_as_held(row) for row in session.scalars(query)]


def _as_held(row: ProcessRow) -> Held:
    kind, role, state = row.place
    return Held(
        row.pid, row.version, kind, role, row.counterparty, state, row.dataset, row.agreement,
        terms.stored(row.offer), tuple(row.reasons), row.updated_at, possible(kind, state, role),
    )  # fmt: skip
