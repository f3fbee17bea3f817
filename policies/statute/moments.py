"""The moments at which the law asks its questions, and what is known then.

A fact that is None is not known, and a rule that needs it is not satisfied (fail closed). An empty
tuple or set is a known fact: there is none. Numbers that the law leaves open (k, epsilon, shares,
limits) come in with the moment, from the permit or the policy.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from policies.diet import DietReport
from policies.errors import PolicyError
from policies.privacy import Budget
from policies.request import Facts, UsageRequest
from policies.statute.periods import Clock, day


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
class Admission:
    """A job stands at a node's gate, with what the node knows beyond the engine's facts."""

    request: UsageRequest
    facts: Facts
    path: AccessPath | None = None
    newest_permit_digest: str | None = None
    revoked_at: datetime | None = None
    revocations_known_until: datetime | None = None
    revocations_maximum_age_seconds: int | None = None
    applicant: Applicant | None = None
    actor: Actor | None = None
    permit_persons: frozenset[str] | None = None
    approved_applications: frozenset[str] | None = None
    recipients: tuple[str, ...] | None = None
    permit_parties: frozenset[str] | None = None
    declared_not_to: frozenset[str] | None = None
    output_use: str | None = None
    prohibited_output_uses: frozenset[str] | None = None
    scope: Scope | None = None
    permit_scope: Scope | None = None
    other_legal_basis: str | None = None
    national_rules: tuple[NationalRule, ...] | None = None
    data_format: DataFormat | None = None
    pseudonymisation_justified: str | None = None
    direct_identifiers: frozenset[str] | None = None
    key_holder: KeyHolder | None = None
    opt_outs: OptOuts | None = None
    decided_at: datetime | None = None
    persons_in_view: frozenset[str] | None = None
    smallest_count: int | None = None
    protected_columns: frozenset[str] | None = None
    protected_columns_with_measures: frozenset[str] | None = None
    code: tuple[str, ...] | None = None
    approved_code: frozenset[str] | None = None
    spending: Spending | None = None
    secure_sum: SecureSum | None = None
    secure_sum_limits: SecureSumLimits | None = None
    linked_datasets: tuple[str, ...] | None = None
    permit_linked_datasets: frozenset[str] | None = None
    similar_queries: int | None = None
    similar_queries_limit: int | None = None
    locations: tuple[str, ...] | None = None
    permitted_locations: frozenset[str] | None = None
    recipient_countries: tuple[str, ...] | None = None
    permitted_countries: frozenset[str] | None = None
    small_population: bool | None = None
    claims_override: bool | None = None
    override: Override | None = None
    diet: DietReport | None = None
    fee: Fee | None = None
    assessments: tuple[Assessment, ...] = ()

    def __post_init__(self) -> None:
        day(self.facts.now)

    @property
    def now(self) -> datetime:
        """When it is decided."""
        return self.facts.now

    @property
    def purposes(self) -> tuple[str, ...]:
        """The IRI of the one purpose that the job names."""
        return (self.request.purpose,)

    @property
    def categories(self) -> frozenset[str] | None:
        """The points of Art. 51(1) that the data belong to."""
        return self.scope.categories if self.scope is not None else None


@dataclass(frozen=True)
class Extension:
    """A permit's extension under Art. 68(12)."""

    requested_at: datetime
    old_end: datetime
    new_end: datetime


@dataclass(frozen=True)
class Issuance:
    """A health data access body is about to issue a permit or to approve a request."""

    now: datetime
    purposes: tuple[str, ...] | None = None
    applicant: Applicant | None = None
    starts: datetime | None = None
    ends: datetime | None = None
    extensions: tuple[Extension, ...] | None = None
    declared_not_to: frozenset[str] | None = None
    ethics_required: bool | None = None
    ethics_reference: str | None = None
    categories: frozenset[str] | None = None
    other_legal_basis: str | None = None
    national_rules: tuple[NationalRule, ...] | None = None
    data_format: DataFormat | None = None
    pseudonymisation_justified: str | None = None
    claims_override: bool | None = None
    override: Override | None = None
    fee: Fee | None = None
    duties: Duties | None = None
    assessments: tuple[Assessment, ...] = ()

    def __post_init__(self) -> None:
        day(self.now)


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
class Egress:
    """A result is about to leave the secure processing environment."""

    now: datetime
    path: AccessPath | None = None
    output: str | None = None
    permitted_outputs: frozenset[str] | None = None
    recipients: tuple[str, ...] | None = None
    permit_parties: frozenset[str] | None = None
    recipient_countries: tuple[str, ...] | None = None
    permitted_countries: frozenset[str] | None = None
    small_population: bool | None = None
    checks: Checks | None = None
    requested_by: str | None = None
    reviewers: tuple[str, ...] | None = None
    minimum_reviewers: int | None = None
    synthetic_or_model: bool | None = None
    documented: frozenset[str] | None = None
    documentation_is_anonymous: bool | None = None
    diet: DietReport | None = None
    duties: Duties | None = None
    assessments: tuple[Assessment, ...] = ()

    def __post_init__(self) -> None:
        day(self.now)


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
class Publication:
    """A dataset's record, a label or results are about to be made public."""

    now: datetime
    is_dataset_record: bool | None = None
    shapes: ShapesReport | None = None
    pinned_release: str | None = None
    publicly_funded: bool | None = None
    label: Label | None = None
    label_is_absent: bool | None = None
    is_result: bool | None = None
    released_through_review: bool | None = None
    acknowledges_sources: bool | None = None
    acknowledges_ehds: bool | None = None
    lay_summary: bool | None = None
    generated_media: frozenset[Media] | None = None
    marked_media: frozenset[Media] | None = None

    def __post_init__(self) -> None:
        day(self.now)


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


@dataclass(frozen=True)
class Supervision:
    """A permit's life over time: clocks, duties, logs, revocations. None: not known."""

    now: datetime
    holidays: frozenset[date]
    revocation: Revocation | None = None
    revocations_known_until: datetime | None = None
    revocations_maximum_age_seconds: int | None = None
    deletion: Deletion | None = None
    entries_without_actor: int | None = None
    deleted_logs: tuple[LogDeletion, ...] | None = None
    results: Clock | None = None
    results_extended_until: date | None = None
    register: Clock | None = None
    results_in_register: bool | None = None
    measures_in_register: bool | None = None
    completion: Clock | None = None
    holder: Clock | None = None
    decision: Clock | None = None
    accelerated: bool | None = None
    provision: Clock | None = None
    trusted_holder_assessment: Clock | None = None
    trusted_holder_decision: Clock | None = None
    metadata_check: Clock | None = None
    findings: tuple[SignificantFinding, ...] | None = None
    assessments: tuple[Assessment, ...] = ()

    def __post_init__(self) -> None:
        day(self.now)


Moment = Admission | Issuance | Egress | Publication | Supervision
