"""What can be known at a moment: the parts that `policies.statute.moments` is made of.

A part that is None is not known; an empty tuple or set is known to be empty.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from policies.errors import PolicyError
from policies.privacy import Budget
from policies.statute.periods import Clock


class ApplicantKind(StrEnum):
    """Art. 53(2): purposes (a) to (c) are for the first two, or on their behalf."""

    PUBLIC_BODY = "public body"
    UNION_INSTITUTION = "Union institution, body, office or agency"
    OTHER = "other"


@dataclass(frozen=True)
class Applicant:
    """Who asks. `mandate`: reference of a public body's mandate, if one was given."""

    kind: ApplicantKind
    mandate: str | None = None
    public_health_task: bool | None = None


class Question(StrEnum):
    """What no machine can decide: `policies.statute.people` asks a person."""

    NECESSITY = "necessity"
    QUALIFICATION = "qualification"
    DETRIMENT = "detriment"
    ETHICS = "ethics"
    PUBLIC_INTEREST = "public-interest"
    CLINICAL_SIGNIFICANCE = "clinical-significance"
    INTELLECTUAL_PROPERTY = "intellectual-property"


@dataclass(frozen=True)
class Assessment:
    """A person's answer to a question: `positive` lets it pass. The reason is theirs."""

    question: Question
    person: str
    positive: bool
    reason: str


@dataclass(frozen=True)
class OptOut:
    """A pseudonym's opt-out under Art. 71(1), and its reversal if there was one."""

    pseudonym: str
    effective: datetime
    revoked: datetime | None = None

    def __post_init__(self) -> None:
        if self.revoked is not None and self.revoked < self.effective:
            raise PolicyError("OPT_OUT_ORDER", "an opt-out was reversed before it took effect")


@dataclass(frozen=True)
class OptOuts:
    """A copy of the register: all events up to `complete_until`."""

    events: tuple[OptOut, ...]
    complete_until: datetime


@dataclass(frozen=True)
class Override:
    """A claim under Art. 71(4) that opt-outs need not be honoured."""

    national_law: str | None
    justification: str | None
    not_obtainable_otherwise: bool | None


class IdentityAssurance(StrEnum):
    """Assurance levels of Regulation (EU) No 910/2014, Art. 8(2)."""

    LOW = "low"
    SUBSTANTIAL = "substantial"
    HIGH = "high"


@dataclass(frozen=True)
class Actor:
    """Who acts at the node: one natural person, or an application (a machine job)."""

    id: str
    is_application: bool = False
    assurance: IdentityAssurance | None = None
    shared: bool | None = None


class DataFormat(StrEnum):
    """Art. 66(2) and (3)."""

    ANONYMISED = "anonymised"
    PSEUDONYMISED = "pseudonymised"


class KeyHolder(StrEnum):
    """Who holds what would undo a pseudonym (Art. 66(3))."""

    HDAB = "health data access body"
    TRUSTED_THIRD_PARTY = "trusted third party"
    NODE = "the node that computes"


class AccessPath(StrEnum):
    """A data permit (Art. 68), or an approved health data request (Art. 69)."""

    PERMIT = "permit"
    REQUEST = "request"


@dataclass(frozen=True)
class Scope:
    """What Art. 68(10)(a) specifies beyond datasets and columns. `cohort`: its digest."""

    categories: frozenset[str]
    regions: frozenset[str]
    since: date
    until: date
    cohort: str


@dataclass(frozen=True)
class NationalRule:
    """A stricter national rule for a category (Art. 51(4)), and whether it is met."""

    category: str
    met: bool | None


@dataclass(frozen=True)
class SecureSum:
    """What is known of a round's aggregation. `update` is the digest of names, types, shapes."""

    nodes: int
    clipping_norm: Decimal
    update: str
    persons: int


@dataclass(frozen=True)
class SecureSumLimits:
    """What the permit's specific conditions ask of a round (Art. 68(10)(h))."""

    minimum_nodes: int
    maximum_clipping_norm: Decimal
    update: str
    minimum_persons: int


@dataclass(frozen=True)
class Spending:
    """A budget (epsilon, delta), what counts as spent, and whether the plan is reserved."""

    permit_budget: Budget
    dataset_budget: Budget
    reserved: bool


@dataclass(frozen=True)
class Fee:
    """Art. 62: the estimate, and its acceptance by the applicant."""

    estimated_at: datetime
    accepted_at: datetime | None


class Duty(StrEnum):
    """Duties that one person must not hold together (Art. 55(3), 72)."""

    ASSESSOR = "assessor"
    PREPARER = "data preparer"
    REVIEWER = "output reviewer"
    ADMINISTRATOR = "environment administrator"


Duties = tuple[tuple[Duty, str], ...]


@dataclass(frozen=True)
class Extension:
    """A permit's extension under Art. 68(12)."""

    requested_at: datetime
    old_end: datetime
    new_end: datetime


@dataclass(frozen=True)
class Checks:
    """Measured properties of an output, and the limits that permit or policy set for them.

    `smallest_cell` and `smallest_difference` (from any earlier output) count persons;
    `largest_share` is one person's share of a cell, from 0 to 1.
    """

    passed: frozenset[str]
    required: frozenset[str]
    smallest_cell: int | None
    smallest_difference: int | None
    minimum_count: int
    largest_share: Decimal | None
    maximum_share: Decimal


@dataclass(frozen=True)
class ShapesReport:
    """The outcome of HealthDCAT-AP's shapes for non-public datasets, at a release."""

    conforms: bool
    release: str


@dataclass(frozen=True)
class LabelValue:
    """One value of a label and what supports it: a digest, a method, a date."""

    name: str
    evidence: str | None
    method: str | None
    measured_at: datetime | None


@dataclass(frozen=True)
class Label:
    """A label's values, and whether the health data access body has revoked it."""

    values: tuple[LabelValue, ...]
    revoked_at: datetime | None = None


class Media(StrEnum):
    """What a generated thing is; all but tables are named by Art. 50(2) of the AI Act."""

    AUDIO = "audio"
    IMAGE = "image"
    TABLE = "table"
    TEXT = "text"
    VIDEO = "video"


@dataclass(frozen=True)
class Revocation:
    """A permit's revocation or suspension as it reached the node. `stopped_at`: all jobs ended."""

    received_at: datetime
    stopped_at: datetime | None
    limit_seconds: int


@dataclass(frozen=True)
class Deletion:
    """What is left in the environment of an expired permit."""

    clock: Clock
    certificate: str | None = None
    kept: tuple[str, ...] | None = None
    keep_formula_asked: bool = False


class LogKind(StrEnum):
    """The logs that the law keeps for different times."""

    ACCESS = "access"
    ACTIVITY = "activity"
    AI_SYSTEM = "AI system"


@dataclass(frozen=True)
class LogDeletion:
    """Log entries that were deleted; `permit_end` is that of the permit that they concern."""

    kind: LogKind
    written_at: datetime
    deleted_at: datetime
    permit_end: datetime | None


@dataclass(frozen=True)
class SignificantFinding:
    """A finding on a person's health (Art. 58(3), 61(5)), by pseudonym only.

    `period_days` is the policy's: the law gives none.
    """

    clock: Clock
    forwarded_to_holder: Clock
    has_pseudonym_only: bool
    period_days: int
    wants_not_to_know: bool | None
    person_told: bool
