"""Art. 53: the purposes for which health data may be processed for secondary use."""

from policies import purposes
from policies.request import Facts, UsageRequest
from policies.rule import rule
from policies.statute.facts import ApplicantKind
from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Admission, Issuance

_ALLOWED = frozenset(purpose.iri for purpose in purposes.ALLOWED.values())


def _purpose_words(
    request: UsageRequest, _facts: Facts, _satisfied: bool | None
) -> tuple[str, str, str]:
    purpose = purposes.by_iri(request.purpose)
    return (
        "one of points (a) to (f)",
        purpose.label if purpose else "a purpose that is not known here",
        "Apply for a permit for one of the purposes of Art. 53(1)",
    )


@rule("ehds.art53.purpose", LAW + "Art. 53(1)", _purpose_words)
def purpose_is_allowed(request: UsageRequest, _facts: Facts) -> bool:
    """Art. 53(1), rule R03: the purpose is one of points (a) to (f)."""
    return request.purpose in _ALLOWED


_FOR_PUBLIC_BODIES = frozenset({"a", "b", "c"})


def points_of(iris: tuple[str, ...] | None) -> tuple[str | None, ...]:
    """The points of Art. 53(1) that purposes fall under; None for one that is not of the law."""
    found = (purposes.by_iri(iri) for iri in iris or ())
    return tuple(
        purpose.point if purpose is not None and purpose.name in purposes.ALLOWED else None
        for purpose in found
    )


def purposes_are_listed(issuance: Issuance) -> Finding:
    """Art. 53(1), 68(10)(b), rule R03: a permit names purposes of points (a) to (f), and one."""
    points = points_of(issuance.purposes)
    satisfied = None not in points if points else None
    return Finding(
        "R03",
        "ehds.art53.purposes",
        LAW + "Art. 53(1) and 68(10)(b)",
        Kind.DENY,
        "purposes of points (a) to (f)",
        spell(satisfied, "listed", "a purpose that is not listed"),
        satisfied,
        "Name purposes of Art. 53(1) only",
    )


def actor_may_pursue(moment: Admission | Issuance) -> Finding:
    """Art. 53(2), rule R04: purposes (a) to (c) for public bodies, or on their mandate."""
    points = points_of(moment.purposes)
    applicant = moment.applicant
    satisfied: bool | None = None
    if points and not _FOR_PUBLIC_BODIES.intersection(points):
        satisfied = True
    elif points and applicant is not None:
        satisfied = applicant.kind is not ApplicantKind.OTHER or bool(applicant.mandate)
    return Finding(
        "R04",
        "ehds.art53.actor",
        LAW + "Art. 53(2)",
        Kind.DENY,
        "purposes (a) to (c): a public body, a Union institution, or their mandate",
        spell(satisfied, "entitled", "neither, and without a mandate"),
        satisfied,
        "Show the mandate of a public body, or apply for another purpose",
    )
