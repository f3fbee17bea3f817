"""What one rule of law found: a verdict with its reasons, and what follows from it."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from policies.decision import Constraint

LAW = "Regulation (EU) 2025/327, "


class Kind(StrEnum):
    """What follows when a rule is not satisfied.

    DENY refuses; FILTER leaves out persons or columns; OBLIGE is a duty with a date; ALERT tells
    somebody; HOLD waits for a check or a review; ROUTE asks a person what no machine can decide.
    """

    DENY = "deny"
    FILTER = "filter"
    OBLIGE = "oblige"
    ALERT = "alert"
    HOLD = "hold"
    ROUTE = "route"


_IN_THE_WAY = frozenset({Kind.DENY, Kind.FILTER, Kind.HOLD, Kind.ROUTE})


class DutyState(StrEnum):
    """The life of a duty. UNKNOWN: a fact is missing from which its date would follow."""

    FULFILLED = "fulfilled"
    PENDING = "pending"
    OVERDUE = "overdue"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """One rule (`R01` to `R34`), its fixed `code`, what it asks and what was found.

    `satisfied` is None when a fact is missing, or when a duty is not due yet: then `due` says
    when, its last day included. `bound` and `actual` hold no personal data and no exact count of
    persons: findings are logged and shown.
    """

    rule: str
    code: str
    article: str
    kind: Kind
    bound: str
    actual: str
    satisfied: bool | None
    remedy: str
    due: date | None = None

    @property
    def stands_in_the_way(self) -> bool:
        """Fail closed: these kinds hold up what was asked unless they are known to be satisfied."""
        return self.kind in _IN_THE_WAY and self.satisfied is not True

    @property
    def duty(self) -> DutyState:
        """The state of an OBLIGE or a clock."""
        if self.satisfied is None:
            return DutyState.PENDING if self.due is not None else DutyState.UNKNOWN
        return DutyState.FULFILLED if self.satisfied else DutyState.OVERDUE

    @property
    def constraint(self) -> Constraint:
        """The same as one line of a `Decision`."""
        return Constraint(
            rule=self.code,
            basis=self.article,
            bound=self.bound,
            actual=self.actual,
            satisfied=self.satisfied,
            remedy=self.remedy,
        )

    @classmethod
    def of(cls, rule: str, kind: Kind, constraint: Constraint) -> "Finding":
        """A constraint that an engine's rule returned, as a finding."""
        return cls(
            rule, constraint.rule, constraint.basis, kind,
            constraint.bound, constraint.actual, constraint.satisfied, constraint.remedy,
        )  # fmt: skip


def spell(satisfied: bool | None, yes: str, no: str) -> str:
    """What was found, in words."""
    if satisfied is None:
        return "not known"
    return yes if satisfied else no


def listed(names: tuple[str, ...]) -> str:
    """At most twenty names, so that a finding stays short whatever was asked."""
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def within(
    asked: Iterable[str] | None, allowed: AbstractSet[str] | None
) -> tuple[bool | None, str]:
    """Whether all that is asked is allowed, and what is not."""
    if asked is None or allowed is None:
        return None, "not known"
    outside = tuple(sorted(name for name in asked if name not in allowed))
    return (False, "outside: " + listed(outside)) if outside else (True, "within")


def at_least(actual: int | None, bound: int | None) -> bool | None:
    """Whether a count reaches its bound; None if either is not known."""
    return None if actual is None or bound is None else actual >= bound


def all_of(*outcomes: bool | None) -> bool | None:
    """False if one is; None if one is not known; else True."""
    if False in outcomes:
        return False
    return None if None in outcomes else True
