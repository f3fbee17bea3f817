"""What a participant's log says of permits, jobs and duties: events, one small type each."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from policies.permit import Permit
from policies.policy import Policy

NONE = "none"  # the job of what concerns a whole permit
RESULTS = "ehds.art61.results"
ACKNOWLEDGEMENT = "ehds.art61.acknowledgement"
FINDING = "ehds.art61.finding"
DELETION = "ehds.art68.deletion"
PROVISION = "ehds.art68.provision"
HOLDER = "ehds.art60.holder"
REGISTER = "ehds.art57.register"
OUTCOME = "ehds.art57.results"
ACTIVITY_LOG = "ehds.art73.activity-log"

# What an authority can give more time for (Art. 60(2), 61(4)), and what begins by an entry alone.
EXTENDABLE = frozenset({HOLDER, RESULTS})
BEGUN_BY_ENTRY = frozenset({FINDING, HOLDER, PROVISION})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that stands in the log, at index `entry`."""

    at: datetime
    entry: int


@dataclass(frozen=True, slots=True)
class Issued(Event):
    """The access body issued a permit."""

    permit: Permit


@dataclass(frozen=True, slots=True)
class Allowed(Event):
    """A job was allowed under a permit, until `ends` at the latest.

    `duties`: codes of the obligations that the decision named, under the hospital's `policy`. In a
    coordinator's log a job that was started is an allowance; then there is no policy.
    """

    permit: Permit
    job: str
    ends: datetime
    holder: Literal["hospital", "hdab"] = "hospital"
    policy: Policy | None = None
    duties: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Released(Event):
    """Numbers of a job left the node, or a result of it was made."""

    job: str


@dataclass(frozen=True, slots=True)
class Ended(Event):
    """Nothing more is computed for a job."""

    job: str


@dataclass(frozen=True, slots=True)
class _About(Event):
    permit_id: str
    duty: str
    job: str


@dataclass(frozen=True, slots=True)
class Began(_About):
    """Somebody recorded that a duty begins; `days`: working days, where the law gives none."""

    days: int | None = None


@dataclass(frozen=True, slots=True)
class Extended(_About):
    """An authority gave more time: `until` is the new last day."""

    until: date


@dataclass(frozen=True, slots=True)
class Done(_About):
    """Somebody recorded that a duty was done."""


@dataclass(frozen=True, slots=True)
class Consented(Event):
    """A person at the hospital approved a permit's use of a dataset, or (not `given`) refused it.

    It is about the permit of that digest, not about others with its id.
    """

    permit_id: str
    permit_digest: str
    dataset: str
    given: bool


AnyEvent = Issued | Allowed | Released | Ended | Began | Extended | Done | Consented
