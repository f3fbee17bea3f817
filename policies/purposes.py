"""Purposes of secondary use (Art. 53) and prohibited uses (Art. 54) of Regulation (EU) 2025/327.

Allowed purposes carry the IRIs of the W3C Data Privacy Vocabulary 2.3, extension `eu-ehds`. That
vocabulary has no terms for Art. 54, so these are minted here, under `PROHIBITED_NAMESPACE`.
"""

from dataclasses import dataclass

from policies.errors import PolicyError

DPV_EHDS = "https://w3id.org/dpv/legal/eu/ehds#"
PROHIBITED_NAMESPACE = "https://w3id.org/commensal/ehds/prohibited#"


@dataclass(frozen=True)
class Purpose:
    """What the data would be used for: `name` for people, `iri` for documents, `article` of law."""

    name: str
    iri: str
    article: str
    label: str


def _allowed(name: str, term: str, point: str, label: str) -> Purpose:
    return Purpose(name, DPV_EHDS + term, f"Art. 53(1){point}", label)


def _prohibited(name: str, term: str, point: str, label: str) -> Purpose:
    return Purpose(name, PROHIBITED_NAMESPACE + term, f"Art. 54{point}", label)


ALLOWED = {
    purpose.name: purpose
    for purpose in (
        _allowed(
            "public-health", "PublicInterestRelatedToHealth", "(a)",
            "public interest in the areas of public or occupational health",
        ),
        _allowed("policymaking", "PublicPolicyMaking", "(b)", "policymaking and regulation"),
        _allowed("statistics", "ProvideHealthcareOfficialStatistics", "(c)", "official statistics"),
        _allowed("education", "ImproveHealthcareEducation", "(d)", "education in health"),
        _allowed(
            "scientific-research", "HealthcareScientificResearch", "(e)",
            "scientific research related to health or care",
        ),
        _allowed(
            "product-development", "DevelopPublicHealthProductsAndServices", "(e)(i)",
            "development and innovation for products or services",
        ),
        _allowed(
            "train-algorithms", "TrainTestAndEvaluateHealthAlgorithms", "(e)(ii)",
            "training, testing and evaluation of algorithms",
        ),
        _allowed("improve-care", "ImproveHealthcare", "(f)", "improvement of the delivery of care"),
    )
}  # fmt: skip

PROHIBITED = {
    purpose.name: purpose
    for purpose in (
        _prohibited(
            "detrimental-decision", "DetrimentalDecision", "(a)",
            "decisions detrimental to a person or a group",
        ),
        _prohibited(
            "discrimination", "JobInsuranceOrCreditDiscrimination", "(b)",
            "worse terms in jobs, insurance or credit",
        ),
        _prohibited("advertising", "AdvertisingOrMarketing", "(c)", "advertising or marketing"),
        _prohibited("harmful-product", "HarmfulProduct", "(d)", "harmful products or services"),
        _prohibited(
            "unethical", "ConflictWithNationalEthicalProvisions", "(e)",
            "conflict with ethical provisions of national law",
        ),
    )
}  # fmt: skip

_BY_IRI = {purpose.iri: purpose for purpose in (*ALLOWED.values(), *PROHIBITED.values())}


def by_iri(iri: str) -> Purpose | None:
    """The purpose that an IRI names, allowed or prohibited; None when it is not known here."""
    return _BY_IRI.get(iri)


def by_name(name: str) -> Purpose:
    """The purpose of that short name. Raises `PolicyError` (PURPOSE_UNKNOWN)."""
    purpose = ALLOWED.get(name) or PROHIBITED.get(name)
    if purpose is None:
        known = ", ".join((*ALLOWED, *PROHIBITED))
        raise PolicyError("PURPOSE_UNKNOWN", f"{name!r} is not a purpose", f"Use one of: {known}")
    return purpose
