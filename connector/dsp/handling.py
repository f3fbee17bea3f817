"""What happens next by itself: per offer and per agreement automatic, held for a person, scripted.

A pure choice from what is known of a process. `person` holds where something is given away (a
request, a counter-offer, a transfer); what follows from a person's word, such as the last
confirmation, goes by itself.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from connector.dsp.judge import Moment
from connector.dsp.states import Kind, Role, Signal, State


class Step(BaseModel):
    """In this state, do that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: State
    signal: Signal


class Handling(BaseModel):
    """How the connector goes on. A process keeps the handling that it began with.

    A script is gone through in order; a state that its next step does not name is held.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["automatic", "person", "scripted"] = "person"
    script: Annotated[tuple[Step, ...], Field(max_length=50)] = ()


AUTOMATIC = Handling(mode="automatic")
PERSON = Handling(mode="person")

_Place = tuple[Kind, Role, State]
_N, _T, _C, _P = Kind.NEGOTIATION, Kind.TRANSFER, Role.CONSUMER, Role.PROVIDER

# It is this side's turn: what it does if all is well.
_NEXT: dict[_Place, Signal] = {
    (_N, _P, State.REQUESTED): Signal.AGREE,
    (_N, _P, State.ACCEPTED): Signal.AGREE,
    (_N, _P, State.VERIFIED): Signal.FINALIZE,
    (_N, _C, State.OFFERED): Signal.ACCEPT,
    (_N, _C, State.AGREED): Signal.VERIFY,
    (_T, _P, State.REQUESTED): Signal.START,
}
_PERSON_DECIDES = frozenset({
    (_N, _P, State.REQUESTED), (_N, _C, State.OFFERED), (_T, _P, State.REQUESTED),
})  # fmt: skip

# Policies are evaluated when a process comes here, and before this is done.
ON_ARRIVAL: dict[_Place, Moment] = {
    (_N, _P, State.REQUESTED): Moment.REQUEST,
    (_N, _C, State.OFFERED): Moment.REQUEST,
    (_T, _C, State.STARTED): Moment.TRANSFER,
}
BEFORE: dict[tuple[Kind, Role, Signal], Moment] = {
    (_N, _P, Signal.AGREE): Moment.AGREEMENT,
    (_N, _C, Signal.VERIFY): Moment.AGREEMENT,
    (_T, _P, Signal.START): Moment.TRANSFER,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Do `signal`; or, without one, hold for a person if `hold`, else wait for the peer."""

    signal: Signal | None = None
    hold: bool = False
    reasons: tuple[str, ...] = ()


def our_turn(kind: Kind, role: Role, state: State, handling: Handling, step: int) -> bool:
    """Whether anything is to be chosen now; `step` is how far its script has come."""
    place = (kind, role, state)
    return place in _NEXT or place in ON_ARRIVAL or _scripted(state, handling, step) is not None


def choose(
    kind: Kind, role: Role, state: State, handling: Handling, step: int, *, as_offered: bool
) -> Choice:
    """What to do in this state.

    `as_offered`: the terms on the table are this side's own. Others are for a person, and an
    agreement on other terms is none.
    """
    place = (kind, role, state)
    if handling.mode == "scripted":
        signal = _scripted(state, handling, step)
        return Choice(signal, hold=signal is None and place in _NEXT)
    if place not in _NEXT:
        return Choice()
    if _NEXT[place] is Signal.VERIFY and not as_offered:
        return Choice(Signal.TERMINATE, reasons=("the agreement is not what was negotiated",))
    if place in _PERSON_DECIDES and handling.mode == "person":
        return Choice(hold=True)
    if not as_offered and place in _PERSON_DECIDES and kind is Kind.NEGOTIATION:
        return Choice(hold=True, reasons=("the terms are not those of the offer",))
    return Choice(_NEXT[place])


def _scripted(state: State, handling: Handling, step: int) -> Signal | None:
    if handling.mode != "scripted" or step >= len(handling.script):
        return None
    following = handling.script[step]
    return following.signal if following.state is state else None
