"""One of each moment at which everything is lawful and known; each test changes one thing."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from policies import purposes
from policies.diet import DietFinding, DietReport
from policies.permit import Permit
from policies.privacy import NOTHING, Budget, SampledGaussian
from policies.request import Facts, UsageRequest
from policies.statute import facts as known
from policies.statute.moments import Admission, Egress, Issuance, Publication, Supervision
from policies.statute.periods import Clock

NOW = datetime(2032, 6, 2, 12, tzinfo=UTC)  # a Wednesday; every category of Art. 51 applies
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
RESEARCH = purposes.by_name("scientific-research").iri
STATISTICS = purposes.by_name("statistics").iri
EDUCATION = purposes.by_name("education").iri
ADVERTISING = purposes.by_name("advertising").iri

PERMIT = Permit.model_validate(
    {
        "id": "permit-1",
        "issuer": "hdab",
        "state": "granted",
        "data_user": "a university",
        "project": "survival",
        "purpose": RESEARCH,
        "datasets": ("north/flchain", "south/flchain"),
        "columns": ("age", "died"),
        "tasks": ("training.logistic",),
        "outputs": ("model",),
        "epsilon": "1",
        "delta": "0.00001",
        "minimum_participants": 2,
        "not_before": NOW - DAY,
        "not_after": NOW + DAY,
    }
)
REQUEST = UsageRequest.model_validate(
    {
        "job_digest": "sha256:00",
        "permit_digest": PERMIT.digest,
        "data_user": "a university",
        "purpose": RESEARCH,
        "dataset": "north/flchain",
        "datasets": ("north/flchain", "south/flchain"),
        "columns": ("age", "died"),
        "tasks": ("training.logistic",),
        "output": "model",
        "not_after": NOW + timedelta(hours=1),
    }
)
FACTS = Facts(
    now=NOW,
    permit=PERMIT,
    planned=SampledGaussian(Decimal(20)).cost,
    spent_dataset=NOTHING,
    spent_permit=NOTHING,
    persons=100,
)
BALANCED = DietReport((DietFinding("D1", "", "", True, ""),), 0, None, None, None, None, None)
SCOPE = known.Scope(
    frozenset({"a", "l"}), frozenset({"SE11"}), date(2020, 1, 1), date(2030, 12, 31), "sha256:c0"
)
ACTOR = known.Actor("person-7", assurance=known.IdentityAssurance.SUBSTANTIAL, shared=False)
MACHINE = known.Actor("app-1", is_application=True)
APPLICANT = known.Applicant(known.ApplicantKind.OTHER)
OVERRIDE = known.Override("law 12", "because", not_obtainable_otherwise=True)
BODY = known.Applicant(known.ApplicantKind.PUBLIC_BODY, public_health_task=True)
ALL_DECLARED = frozenset({"a", "b", "c", "d", "e", "re-identification", "stigmatisation"})
DUTIES = tuple((duty, duty.value) for duty in known.Duty)
ASSESSMENTS = tuple(
    known.Assessment(question, "Ada", positive=True, reason="looked at")
    for question in known.Question
)
CHECKS = known.Checks(
    passed=frozenset({"membership", "copies"}),
    required=frozenset({"membership"}),
    smallest_cell=10,
    smallest_difference=10,
    minimum_count=10,
    largest_share=Decimal("0.5"),
    maximum_share=Decimal("0.5"),
)
DOCUMENTED = frozenset(
    {"original", "result", "process", "privacy-measures", "quality-and-risk", "compliance"}
)
DONE = Clock(since=NOW - 2 * DAY, done=NOW - DAY)


def opt_out(pseudonym: str, effective: datetime, revoked: datetime | None = None) -> known.OptOut:
    return known.OptOut(pseudonym, effective, revoked)


_ADMISSION = Admission(
    request=REQUEST,
    facts=FACTS,
    path=known.AccessPath.PERMIT,
    newest_permit_digest=PERMIT.digest,
    revocations_known_until=NOW - SECOND,
    revocations_maximum_age_seconds=60,
    applicant=APPLICANT,
    actor=ACTOR,
    permit_persons=frozenset({"person-7"}),
    approved_applications=frozenset({"app-1"}),
    recipients=("a university",),
    permit_parties=frozenset({"a university"}),
    declared_not_to=ALL_DECLARED,
    output_use="model",
    prohibited_output_uses=frozenset({"marketing-list"}),
    scope=SCOPE,
    permit_scope=SCOPE,
    data_format=known.DataFormat.ANONYMISED,
    direct_identifiers=frozenset({"name"}),
    opt_outs=known.OptOuts((), complete_until=NOW - DAY),
    decided_at=NOW - DAY,
    smallest_count=10,
    protected_columns=frozenset(),
    protected_columns_with_measures=frozenset(),
    code=("sha256:aa",),
    approved_code=frozenset({"sha256:aa"}),
    spending=known.Spending(
        Budget(Decimal(1), Decimal("0.00001")),
        Budget(Decimal(1), Decimal("0.00001")),
        reserved=True,
    ),
    secure_sum=known.SecureSum(3, Decimal(1), "sha256:f0", 50),
    secure_sum_limits=known.SecureSumLimits(3, Decimal(1), "sha256:f0", 50),
    linked_datasets=(),
    permit_linked_datasets=frozenset(),
    similar_queries=3,
    similar_queries_limit=3,
    locations=("SE",),
    permitted_locations=frozenset({"SE", "FI"}),
    recipient_countries=(),
    permitted_countries=frozenset({"CH"}),
    small_population=False,
    claims_override=False,
    diet=BALANCED,
    fee=known.Fee(NOW - 3 * DAY, NOW - 2 * DAY),
)
_ISSUANCE = Issuance(
    now=NOW,
    purposes=(RESEARCH,),
    applicant=APPLICANT,
    starts=NOW,
    ends=NOW + DAY,
    extensions=(),
    declared_not_to=ALL_DECLARED,
    ethics_required=False,
    categories=frozenset({"a"}),
    data_format=known.DataFormat.ANONYMISED,
    claims_override=False,
    fee=known.Fee(NOW - DAY, NOW),
    duties=DUTIES,
    assessments=ASSESSMENTS,
)
_EGRESS = Egress(
    now=NOW,
    path=known.AccessPath.PERMIT,
    output="model",
    permitted_outputs=frozenset({"model"}),
    recipients=("a university",),
    permit_parties=frozenset({"a university"}),
    recipient_countries=(),
    permitted_countries=frozenset(),
    small_population=False,
    checks=CHECKS,
    requested_by="Cem",
    reviewers=("Ada", "Bo"),
    minimum_reviewers=2,
    synthetic_or_model=True,
    documented=DOCUMENTED,
    documentation_is_anonymous=True,
    diet=BALANCED,
    duties=DUTIES,
    assessments=ASSESSMENTS,
)
LABEL_VALUE = known.LabelValue("missing", "sha256:01", "counted", NOW)
LABEL = known.Label((LABEL_VALUE,))
_PUBLICATION = Publication(
    now=NOW,
    is_dataset_record=True,
    shapes=known.ShapesReport(True, "8"),
    pinned_release="8",
    publicly_funded=True,
    label=LABEL,
    label_is_absent=False,
    is_result=True,
    released_through_review=True,
    acknowledges_sources=True,
    acknowledges_ehds=True,
    lay_summary=True,
    generated_media=frozenset(),
    marked_media=frozenset(),
)
_SUPERVISION = Supervision(
    now=NOW,
    holidays=frozenset(),
    revocation=None,
    revocations_known_until=NOW,
    revocations_maximum_age_seconds=60,
    deletion=known.Deletion(DONE, certificate="sha256:ce", kept=()),
    entries_without_actor=0,
    deleted_logs=(),
    results=DONE,
    register=DONE,
    results_in_register=True,
    measures_in_register=True,
    completion=DONE,
    holder=DONE,
    decision=DONE,
    accelerated=False,
    provision=DONE,
    trusted_holder_assessment=DONE,
    trusted_holder_decision=DONE,
    metadata_check=DONE,
    findings=(),
    assessments=ASSESSMENTS,
)


def admission(**changed: Any) -> Admission:
    """`request` and `facts` take the fields to change in them."""
    if "request" in changed:
        changed["request"] = REQUEST.model_copy(update=changed["request"])
    if "facts" in changed:
        changed["facts"] = replace(FACTS, **changed["facts"])
    return replace(_ADMISSION, **changed)


def issuance(**changed: Any) -> Issuance:
    return replace(_ISSUANCE, **changed)


def egress(**changed: Any) -> Egress:
    return replace(_EGRESS, **changed)


def publication(**changed: Any) -> Publication:
    return replace(_PUBLICATION, **changed)


def supervision(**changed: Any) -> Supervision:
    return replace(_SUPERVISION, **changed)


def purpose(iri: str) -> dict[str, str]:
    return {"purpose": iri}
