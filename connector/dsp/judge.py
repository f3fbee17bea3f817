"""The two seams of the protocol: who decides (a `Judge`), and who is told (a `Record`).

The protocol core carries out; what a policy means is decided by whoever runs the connector. A
judge is asked outside of any transaction and may take its time; a record is called inside of the
transaction, last before the commit, and its error takes the change back: what cannot be written
down does not happen.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from connector.dsp.states import Kind, Role, Signal, State
from policies.odrl.model import Policy


class Moment(StrEnum):
    """When a policy is evaluated."""

    CATALOGUE = "catalogue"
    REQUEST = "request"
    AGREEMENT = "agreement"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class Question:
    """May the counter-party have (or give us) this, on these terms?

    `policy` is what lies on the table: an offer, from the agreement on an Agreement. `pid` is empty
    at the catalogue, `agreement` and `format` before there is one.
    """

    moment: Moment
    role: Role
    counterparty: str
    dataset: str
    policy: Policy
    pid: str = ""
    agreement: str = ""
    format: str = ""
    data_address: Mapping[str, Any] | None = None


class Answer(StrEnum):
    """HOLD: a person must decide."""

    ALLOW = "allow"
    DENY = "deny"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reasons; those of a denial are sent to the counter-party."""

    answer: Answer
    reasons: tuple[str, ...] = ()


Judge = Callable[[Question], Verdict]


def allow(_: Question) -> Verdict:
    """The judge of the conformance profile."""
    return Verdict(Answer.ALLOW)


@dataclass(frozen=True, slots=True)
class Moved:
    """A process has changed its state; `before` is None at its beginning.

    `offer` is the policy on the table as messages spell it, `data_address` what a transfer is for.
    """

    time: datetime
    pid: str
    peer_pid: str
    kind: Kind
    role: Role
    counterparty: str
    dataset: str
    agreement: str
    before: State | None
    after: State
    signal: Signal
    by: Role
    reasons: tuple[str, ...]
    offer: Mapping[str, Any] = field(default_factory=dict)
    data_address: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A request of a peer was answered with an error and changed nothing. `caller` may be empty."""

    time: datetime
    caller: str
    place: str
    code: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A message was given up: the peer refuses it, or does not answer for too long."""

    time: datetime
    pid: str
    counterparty: str
    message: str
    code: str


Event = Moved | Refused | Undelivered
Record = Callable[[Event], None]
