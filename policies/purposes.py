"""What Regulation (EU) 2025/327 says of secondary use: purposes, prohibited uses, categories.

Allowed purposes (Art. 53) and categories of data (Art. 51) carry the IRIs of the W3C Data Privacy
Vocabulary 2.3, extension `eu-ehds`. That vocabulary has no terms for Art. 54, so these are minted
here, under `PROHIBITED_NAMESPACE`. Where it has several terms for one point of Art. 53(1), the
first stands for the point and the others are narrower.
"""

from dataclasses import dataclass
from datetime import date

from policies.errors import PolicyError

DPV_EHDS = "https://w3id.org/dpv/legal/eu/ehds#"
PROHIBITED_NAMESPACE = "https://w3id.org/commensal/ehds/prohibited#"


@dataclass(frozen=True)
class Purpose:
    """What the data would be used for: `name` for people, `iri` for documents, `article` of law.

    `broader` is the name of the purpose of which this one is a part, or None.
    """

    name: str
    iri: str
    article: str
    label: str
    broader: str | None = None

    @property
    def point(self) -> str:
        """The point of Art. 53(1) or 54, such as `e` or `e.ii`."""
        return self.article[self.article.index("(") :].removeprefix("(1)")[1:-1].replace(")(", ".")


def _allowed(name: str, term: str, point: str, label: str, broader: str | None = None) -> Purpose:
    return Purpose(name, DPV_EHDS + term, f"Art. 53(1){point}", label, broader)


def _prohibited(name: str, term: str, point: str, label: str) -> Purpose:
    return Purpose(name, PROHIBITED_NAMESPACE + term, f"Art. 54{point}", label)


ALLOWED = {
    purpose.name: purpose
    for purpose in (
        _allowed(
            "public-health", "PublicInterestRelatedToHealth", "(a)",
            "public interest in the areas of public or occupational health",
        ),
        _allowed(
            "public-health-surveillance", "PublicHealthSurveillance", "(a)",
            "public health surveillance", "public-health",
        ),
        _allowed(
            "cross-border-threats", "ProtectAgainstCrossBorderThreatsToHealth", "(a)",
            "protection against serious cross-border threats to health", "public-health",
        ),
        _allowed(
            "healthcare-safety", "EnsureQualitySafetyHealthcare", "(a)",
            "quality and safety of healthcare", "public-health",
        ),
        _allowed(
            "medicine-safety", "EnsureQualitySafetyMedicinalProducts", "(a)",
            "quality and safety of medicinal products", "public-health",
        ),
        _allowed(
            "device-safety", "EnsureQualitySafetyMedicalDevices", "(a)",
            "quality and safety of medical devices", "public-health",
        ),
        _allowed("policymaking", "PublicPolicyMaking", "(b)", "policymaking and regulation"),
        _allowed(
            "regulatory-activities", "SupportAuthoritiesRegulatoryActivities", "(b)",
            "support of authorities in their regulatory tasks", "policymaking",
        ),
        _allowed("statistics", "ProvideHealthcareOfficialStatistics", "(c)", "official statistics"),
        _allowed("education", "ImproveHealthcareEducation", "(d)", "education in health"),
        _allowed(
            "scientific-research", "HealthcareScientificResearch", "(e)",
            "scientific research related to health or care",
        ),
        _allowed(
            "product-development", "DevelopPublicHealthProductsAndServices", "(e)(i)",
            "development and innovation for products or services", "scientific-research",
        ),
        _allowed(
            "train-algorithms", "TrainTestAndEvaluateHealthAlgorithms", "(e)(ii)",
            "training, testing and evaluation of algorithms", "scientific-research",
        ),
        _allowed(
            "train-ai-systems", "TrainTestAndEvaluateAISystemsAlgorithms", "(e)(ii)",
            "training, testing and evaluation of algorithms in AI systems", "train-algorithms",
        ),
        _allowed(
            "train-devices", "TrainTestAndEvaluateMedicalDevicesAlgorithms", "(e)(ii)",
            "training, testing and evaluation of algorithms in medical devices",
            "train-algorithms",
        ),
        _allowed(
            "train-health-apps", "TrainTestAndEvaluateHealthAppsAlgorithms", "(e)(ii)",
            "training, testing and evaluation of algorithms in digital health applications",
            "train-algorithms",
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


def is_within(narrow: str, wide: str) -> bool:
    """Whether the purpose named `narrow` is `wide` or a part of it; False for unknown names."""
    purpose = ALLOWED.get(narrow)
    while purpose is not None and purpose.name != wide:
        purpose = ALLOWED.get(purpose.broader) if purpose.broader else None
    return purpose is not None


def _within() -> dict[str, frozenset[str]]:
    return {
        wide.iri: frozenset(
            narrow.iri for narrow in ALLOWED.values() if is_within(narrow.name, wide.name)
        )
        for wide in ALLOWED.values()
    }


_IRIS_WITHIN = _within()


def iris_within(wide: str) -> frozenset[str]:
    """The IRIs of an allowed purpose and of all its parts; a purpose not known here is itself."""
    return _IRIS_WITHIN.get(wide) or frozenset({wide})


# Art. 105: chapter IV applies from the first, points (b), (f), (g), (m) and (p) from the second.
APPLIES_FROM = date(2029, 3, 26)
APPLIES_LATER_FROM = date(2031, 3, 26)
_LATER = frozenset("bfgmp")
_NATIONAL = frozenset("fgiq")


@dataclass(frozen=True)
class Category:
    """A minimum category of Art. 51(1): its `point`, and the vocabulary's terms for it.

    `iris` holds the terms, widest first. `stricter_national_rules` says whether Member States may
    add safeguards (Art. 51(4)).
    """

    point: str
    label: str
    iris: tuple[str, ...]

    @property
    def applies_from(self) -> date:
        """The first day on which it must be made available (Art. 105)."""
        return APPLIES_LATER_FROM if self.point in _LATER else APPLIES_FROM

    @property
    def stricter_national_rules(self) -> bool:
        """Art. 51(4): points (f), (g), (i) and (q)."""
        return self.point in _NATIONAL


def _category(point: str, label: str, *terms: str) -> Category:
    return Category(point, label, tuple(DPV_EHDS + term for term in terms))


CATEGORIES = {
    category.point: category
    for category in (
        _category("a", "electronic health records", "EHRData"),
        _category(
            "b", "determinants of health",
            "SocioeconomicHealthDeterminant", "EnvironmentalHealthDeterminant",
            "BehaviouralHealthDeterminant",
        ),
        _category(
            "c", "aggregated needs, resources, access and expenditure",
            "HealthcareNeedsAggregatedData", "HealthcareResourcesAggregatedData",
            "HealthcareProvisionAggregatedData", "HealthcareFinancingAggregatedData",
        ),
        _category("d", "pathogens", "PathogenData"),
        _category(
            "e", "administrative data, dispensation, claims and reimbursement",
            "HealthAdminData", "DispensationAdminData", "ClaimAdminData", "ReimbursementAdminData",
        ),
        _category("f", "genetic, epigenomic and genomic data", "GenomicData", "EpigenomicData"),
        _category(
            "g", "other molecular data",
            "ProteomicData", "TranscriptomicData", "MetabolomicData", "LipidomicData",
        ),
        _category(
            "h", "data generated by medical devices", "PersonGeneratedMedicalDeviceData"
        ),
        _category("i", "data from wellness applications", "PersonGeneratedWellnessAppData"),
        _category("j", "professional status of health professionals", "HealthProfessionalData"),
        _category("k", "population-based registries", "PublicHealthRegistryData"),
        _category(
            "l", "medical and mortality registries",
            "MedicalRegistryData", "MortalityRegistryData", "DiseaseRegistryData",
        ),
        _category(
            "m", "clinical trials, studies, investigations and performance studies",
            "ClinicalTrialsData", "ClinicalStudiesData", "ClinicalInvestigationsData",
            "PerformanceStudiesData",
        ),
        _category("n", "other data from medical devices", "MedicalDevicesData"),
        _category(
            "o", "registries of medicinal products and medical devices",
            "MedicinalProductsRegistryData", "MedicalDevicesRegistryData",
        ),
        _category(
            "p", "research cohorts, questionnaires and surveys after first publication",
            "ResearchCohortData", "HealthQuestionnaire", "HealthSurvey",
        ),
        _category("q", "biobanks and associated databases", "BiobankData"),
    )
}  # fmt: skip

_CATEGORY_BY_IRI = {iri: category for category in CATEGORIES.values() for iri in category.iris}


def category_by_iri(iri: str) -> Category | None:
    """The category of Art. 51(1) that a term of the vocabulary belongs to, or None."""
    return _CATEGORY_BY_IRI.get(iri)
