"""The life of negotiations and transfers as tables of transitions (DSP 2025-1).

`after` is all there is: what it does not know is illegal, and changes nothing. Where the
specification's prose and its diagrams differ on who may terminate (prose: either side, in every
state that is not final), the prose counts.
"""

from enum import StrEnum


class Role(StrEnum):
    """Which side of a process somebody is."""

    CONSUMER = "consumer"
    PROVIDER = "provider"

    @property
    def other(self) -> "Role":
        """The counter-party's."""
        return Role.PROVIDER if self is Role.CONSUMER else Role.CONSUMER


class Kind(StrEnum):
    """What is going on between two participants."""

    NEGOTIATION = "negotiation"
    TRANSFER = "transfer"


class State(StrEnum):
    """The states of both kinds of process, as the protocol spells them."""

    REQUESTED = "REQUESTED"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    AGREED = "AGREED"
    VERIFIED = "VERIFIED"
    FINALIZED = "FINALIZED"
    STARTED = "STARTED"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    TERMINATED = "TERMINATED"


class Signal(StrEnum):
    """What moves a process. Sent by either side; a message on the wire, an action at home."""

    REQUEST = "request"
    OFFER = "offer"
    ACCEPT = "accept"
    AGREE = "agree"
    VERIFY = "verify"
    FINALIZE = "finalize"
    START = "start"
    SUSPEND = "suspend"
    COMPLETE = "complete"
    TERMINATE = "terminate"


FINAL = frozenset({State.FINALIZED, State.COMPLETED, State.TERMINATED})

_C, _P = Role.CONSUMER, Role.PROVIDER
_EITHER = (_C, _P)

# (from, signal, by whom) -> to; from None begins a process.
_Table = dict[tuple[State | None, Signal, Role], State]


def _table(rows: list[tuple[State | None, Signal, tuple[Role, ...], State]]) -> _Table:
    return {(old, signal, by): new for old, signal, sides, new in rows for by in sides}


_NEGOTIATION = _table([
    (None, Signal.REQUEST, (_C,), State.REQUESTED),
    (None, Signal.OFFER, (_P,), State.OFFERED),
    (State.REQUESTED, Signal.OFFER, (_P,), State.OFFERED),
    (State.REQUESTED, Signal.AGREE, (_P,), State.AGREED),
    (State.OFFERED, Signal.REQUEST, (_C,), State.REQUESTED),
    (State.OFFERED, Signal.ACCEPT, (_C,), State.ACCEPTED),
    (State.ACCEPTED, Signal.AGREE, (_P,), State.AGREED),
    (State.AGREED, Signal.VERIFY, (_C,), State.VERIFIED),
    (State.VERIFIED, Signal.FINALIZE, (_P,), State.FINALIZED),
    (State.REQUESTED, Signal.TERMINATE, _EITHER, State.TERMINATED),
    (State.OFFERED, Signal.TERMINATE, _EITHER, State.TERMINATED),
    (State.ACCEPTED, Signal.TERMINATE, _EITHER, State.TERMINATED),
    (State.AGREED, Signal.TERMINATE, _EITHER, State.TERMINATED),
    (State.VERIFIED, Signal.TERMINATE, _EITHER, State.TERMINATED),
])  # fmt: skip

_TRANSFER = _table([
    (None, Signal.REQUEST, (_C,), State.REQUESTED),
    (State.REQUESTED, Signal.START, (_P,), State.STARTED),
    (State.REQUESTED, Signal.TERMINATE, _EITHER, State.TERMINATED),
    (State.STARTED, Signal.SUSPEND, _EITHER, State.SUSPENDED),
    (State.STARTED, Signal.COMPLETE, _EITHER, State.COMPLETED),
    (State.STARTED, Signal.TERMINATE, _EITHER, State.TERMINATED),
    (State.SUSPENDED, Signal.START, _EITHER, State.STARTED),
    (State.SUSPENDED, Signal.TERMINATE, _EITHER, State.TERMINATED),
])  # fmt: skip

TRANSITIONS = {Kind.NEGOTIATION: _NEGOTIATION, Kind.TRANSFER: _TRANSFER}


def after(kind: Kind, state: State | None, signal: Signal, by: Role) -> State | None:
    """The state that follows; None if `by` may not do that in this state."""
    return TRANSITIONS[kind].get((state, signal, by))


def possible(kind: Kind, state: State, by: Role) -> tuple[Signal, ...]:
    """What `by` may do in this state, in the order of `Signal`."""
    return tuple(signal for signal in Signal if (state, signal, by) in TRANSITIONS[kind])


def has_passed(kind: Kind, reached: State, state: State) -> bool:
    """Whether who is in `state` has been in `reached`: it is there, or where only that leads."""
    return state is reached or (
        state in _following(kind, reached) and reached not in _following(kind, state)
    )


def _following(kind: Kind, state: State) -> set[State]:
    """All states that can come after this one."""
    found: set[State] = set()
    pending = {state}
    while pending:
        steps = {new for (old, _, _), new in TRANSITIONS[kind].items() if old in pending}
        pending = steps - found
        found |= steps
    return found
