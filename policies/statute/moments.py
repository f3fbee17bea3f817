"""The moments at which the law asks its questions, and what is known then.

A fact that is None is not known, and a rule that needs it is not satisfied (fail closed). An empty
tuple or set is a known fact: there is none. Numbers that the law leaves open (k, epsilon, shares,
limits) come in with the moment, from the permit or the policy.
"""

from dataclasses import dataclass
from datetime import date, datetime

from policies.diet import DietReport
from policies.request import Facts, UsageRequest
from policies.statute.facts import (
    AccessPath,
    Actor,
    Applicant,
    Assessment,
    Checks,
    DataFormat,
    Deletion,
    Duties,
    Extension,
    Fee,
    KeyHolder,
    Label,
    LogDeletion,
    Media,
    NationalRule,
    OptOuts,
    Override,
    Revocation,
    Scope,
    SecureSum,
    SecureSumLimits,
    ShapesReport,
    SignificantFinding,
    Spending,
)
from policies.statute.periods import Clock, Today, day


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

    @property
    def today(self) -> Today:
        """What clocks are read against."""
        return Today(self.now, self.holidays)


Moment = Admission | Issuance | Egress | Publication | Supervision
