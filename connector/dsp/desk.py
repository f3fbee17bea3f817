"""One participant's side of the protocol: name, store, clock, judge, and its transactions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.orm import Session

from connector.clock import utc_now
from connector.dsp.handling import PERSON, Handling
from connector.dsp.judge import Event, Judge
from connector.dsp.transactions import Transactions
from connector.store import Store
from policies.odrl.model import Policy

T = TypeVar("T")


def _as_offered(offer: Policy) -> Policy:
    return offer


FEDERATED_JOB = "commensal:FederatedJob"
HTTP_PULL = "HttpData-PULL"
FORMATS = frozenset({FEDERATED_JOB, HTTP_PULL})


@dataclass(frozen=True)
class Desk:
    """What the handlers of both roles need.

    `address` is this connector's own protocol address, which peers are told as their callback.
    `check_address` raises `RemoteError` (DSP_CALLBACK) for an address that is not to be called.
    `pause` lies between an answer and what follows it by itself. `formats` None: any name.
    `unsolicited` is how offers are handled that nobody here has asked for. `bind` says what an
    agreement on an offer says: both sides must come to the same.
    """

    participant: str
    address: str
    store: Store
    judge: Judge
    record: Callable[[Event], None]
    check_address: Callable[[str], None]
    clock: Callable[[], datetime] = utc_now
    pause: timedelta = timedelta(milliseconds=50)
    formats: frozenset[str] | None = FORMATS
    token_life: timedelta = timedelta(minutes=10)
    unsolicited: Handling = PERSON
    bind: Callable[[Policy], Policy] = _as_offered
    transactions: Transactions = field(init=False)

    def __post_init__(self) -> None:
        """One group of writers per desk."""
        object.__setattr__(self, "transactions", Transactions(self.store))

    def transact(self, work: Callable[[Session], T]) -> T:
        """Run `work` in a transaction; see `Transactions.run`."""
        return self.transactions.run(work)
