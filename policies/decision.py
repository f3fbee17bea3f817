"""The outcome of evaluating a request, with every constraint that was looked at."""

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime

from policies.document import Document
from policies.permit import Name


class Verdict(StrEnum):
    """`UNDETERMINED` means that a constraint still lacks a fact; it never entitles to anything."""

    ALLOW = "allow"
    DENY = "deny"
    UNDETERMINED = "undetermined"


class Constraint(Document):
    """One constraint: what it asks (`bound`), what was found (`actual`), and the remedy.

    `rule` is a fixed code that may be told to anyone, e.g. `ehds.art54`; `basis` says where the
    rule comes from. `satisfied` is None when a fact is missing.
    """

    rule: Name
    basis: str
    bound: str
    actual: str
    satisfied: bool | None
    remedy: str = ""


class Obligation(Document):
    """What an allowance obliges to: `duty` is a fixed code, `due` None where no date follows."""

    duty: Name
    party: Literal["data-user", "hdab", "hospital"]
    what: str
    basis: str
    due: AwareDatetime | None


class Decision(Document):
    """Verdict with all constraints: those that hold and all that do not, not only the first."""

    verdict: Verdict
    decided_at: AwareDatetime
    policy_digest: Name
    request_digest: Name
    permit_digest: Name
    constraints: tuple[Constraint, ...]
    obligations: tuple[Obligation, ...] = ()

    @property
    def failed(self) -> tuple[Constraint, ...]:
        """The constraints that speak against it."""
        return tuple(c for c in self.constraints if c.satisfied is False)


def verdict_of(constraints: tuple[Constraint, ...]) -> Verdict:
    """DENY if any fails; UNDETERMINED if any is unknown, or if there is none; else ALLOW."""
    outcomes = [constraint.satisfied for constraint in constraints]
    if False in outcomes:
        return Verdict.DENY
    if not outcomes or None in outcomes:
        return Verdict.UNDETERMINED
    return Verdict.ALLOW
