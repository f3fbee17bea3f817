"""What is asked, and the state of the world in which it is asked: the facts of an evaluation.

Everything is an argument: the time, memberships, values of operands, what was done and when. What
is not in here is not known, and what is not known satisfies nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from policies.odrl import terms
from policies.odrl.values import Value

_MAX_CLOSURE = 10_000
Values = tuple[Value, ...]


class DeonticState(StrEnum):
    """Where a duty stands, in the words of the FORCE vocabulary (`NonSet`: nothing known yet)."""

    NON_SET = "NonSet"
    FULFILLED = "Fulfilled"
    VIOLATED = "Violated"


@dataclass(frozen=True, slots=True)
class Request:
    """One rule of a request: who (`assignee`) asks to exercise `action` on `target`.

    `context` are values that the requester states for left operands (a purpose), `units` the IRIs
    of their units; what the world knows itself is believed before them. `uid` names the request,
    `rule_uid` its rule (they may be the same).
    """

    uid: str
    action: str | None = None
    assignee: str | None = None
    target: str | None = None
    assigner: str | None = None
    rule_uid: str | None = None
    context: Mapping[str, Values] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Performed:
    """An action that was exercised at `at`: what duties are checked against.

    `values` are the operands of that exercise (the amount that was paid).
    """

    action: str
    at: datetime
    party: str | None = None
    target: str | None = None
    values: Mapping[str, Values] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DutyRecord:
    """An earlier report about a duty, which is believed as it stands."""

    uid: str
    duty: str
    state: DeonticState


@dataclass(frozen=True, slots=True)
class World:
    """The state of the world.

    `now` is the value of odrl:dateTime. `operands` maps another left operand's IRI to its value, or
    values (all columns asked for); `units` to the IRI of its unit; `since` to when it came to be.
    `attributes` are operands of single parties and assets, for refinements. `part_of` and `broader`
    lead from an IRI to the next collections and broader concepts (or types), `included_in` and
    `implies` from action to actions. `events` are periods. `agreed_at` is when the clocks of
    elapsedTime and delayPeriod started.
    """

    now: datetime | None = None
    operands: Mapping[str, Values] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    part_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    broader: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    included_in: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    implies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    events: Mapping[str, tuple[datetime, datetime]] = field(default_factory=dict)
    performed: tuple[Performed, ...] = ()
    records: tuple[DutyRecord, ...] = ()
    agreed_at: datetime | None = None

    def collections(self, iri: str) -> frozenset[str]:
        """Every collection that this IRI is part of, directly or through others, and itself."""
        return frozenset(closure(iri, self.part_of))

    def concepts(self, iri: str) -> frozenset[str]:
        """This concept and all broader ones (purposes of EHDS; what the world adds)."""
        return frozenset(closure(iri, self.broader, terms.BROADER_PURPOSES))


def closure(start: str, *tables: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Everything that the tables lead to from `start`, and itself; cycles end, size is bounded."""
    seen = {start}
    pending = [start]
    while pending and len(seen) < _MAX_CLOSURE:
        name = pending.pop()
        yield name
        for table in tables:
            fresh = [target for target in table.get(name, ()) if target not in seen]
            seen.update(fresh)
            pending.extend(fresh)
