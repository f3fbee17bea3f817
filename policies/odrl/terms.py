"""The ODRL 2.2 vocabulary as types, and the left operands that a health data space adds.

Source: W3C ODRL Vocabulary & Expression 2.2 (Recommendation of 2018-02-15). What is not named here
is not understood, and is an error where it is read; nothing is guessed from a similar name.

Our own left operands live under `COMMENSAL`, <https://w3id.org/commensal/odrl#>:
`epsilon`, `delta` (privacy cost of one job, a person added or removed), `budgetEpsilon` (of all
jobs on the dataset, this one included), `cohortSize` (people in the smallest fold),
`minParticipants` (hospitals in one sum), `outputKind`, `task`, `column`, `dataset` (names),
`approval` (what a person at the hospital said of the permit's use: `granted` or `refused`),
`algorithmDigest` and `permit` (`sha256:<hex>`), and for what learns `generationDepth` (0 is real),
`freshRealShare`, `freshRealWeight` (0 to 1), `realRows`, `unknownProvenance`, `licence` and
`dietRule`. What each is for a job at the gate says `policies.odrl.operands`, for a training mix
`policies.odrl.diet_operands`.
"""

from dataclasses import dataclass
from enum import StrEnum

from policies import purposes

ODRL = "http://www.w3.org/ns/odrl/2/"
XSD = "http://www.w3.org/2001/XMLSchema#"
DCT = "http://purl.org/dc/terms/"
CC = "http://creativecommons.org/ns#"
COMMENSAL = "https://w3id.org/commensal/odrl#"
PROFILE = "https://w3id.org/commensal/odrl"


class PolicyKind(StrEnum):
    """`Policy` without a subtype means Set (ODRL Information Model 2.1).

    Of the common vocabulary only Privacy, which is a policy like any other; a Request or an
    Assertion grants nothing, and a Ticket grants to whoever holds it.
    """

    SET = "Set"
    OFFER = "Offer"
    AGREEMENT = "Agreement"
    PRIVACY = "Privacy"


class Conflict(StrEnum):
    """Who wins when a permission and a prohibition both apply; unset means `INVALID`."""

    PERM = "perm"
    PROHIBIT = "prohibit"
    INVALID = "invalid"


class Operator(StrEnum):
    """The core operators. `TERM_LTEQ` is how the Dataspace Protocol's schema also spells lteq."""

    EQ = "eq"
    NEQ = "neq"
    GT = "gt"
    GTEQ = "gteq"
    LT = "lt"
    LTEQ = "lteq"
    TERM_LTEQ = "term-lteq"
    IS_A = "isA"
    HAS_PART = "hasPart"
    IS_PART_OF = "isPartOf"
    IS_ALL_OF = "isAllOf"
    IS_ANY_OF = "isAnyOf"
    IS_NONE_OF = "isNoneOf"


class LogicalOperator(StrEnum):
    """How the operands of a logical constraint combine."""

    AND = "and"
    OR = "or"
    XONE = "xone"
    AND_SEQUENCE = "andSequence"


ORDERED = frozenset(
    {Operator.GT, Operator.GTEQ, Operator.LT, Operator.LTEQ, Operator.TERM_LTEQ}
)  # fmt: skip
SET_BASED = frozenset(
    {Operator.IS_ALL_OF, Operator.IS_ANY_OF, Operator.IS_NONE_OF, Operator.HAS_PART}
)  # fmt: skip


class Kind(StrEnum):
    """The type of a value. An operand names those that it takes."""

    NUMBER = "number"
    INSTANT = "instant"
    DATE = "date"
    DURATION = "duration"
    IRI = "iri"
    TEXT = "text"


_NUMBER = frozenset({Kind.NUMBER})
_TIME = frozenset({Kind.INSTANT, Kind.DATE})
_DURATION = frozenset({Kind.DURATION})
_IRI = frozenset({Kind.IRI})
_TEXT = frozenset({Kind.TEXT})
_NAME = frozenset({Kind.IRI, Kind.TEXT})

_ODRL_OPERANDS = {
    "dateTime": _TIME,
    "purpose": _IRI,
    "event": _IRI,
    "recipient": _NAME,
    "spatial": _NAME,
    "spatialCoordinates": _TEXT,
    "elapsedTime": _DURATION,
    "delayPeriod": _DURATION,
    "meteredTime": _DURATION,
    "timeInterval": _DURATION,
    "language": _TEXT,
    "version": _TEXT,
    **dict.fromkeys(
        (
            "count", "percentage", "payAmount", "resolution",
            "absolutePosition", "absoluteSize", "absoluteSpatialPosition",
            "absoluteTemporalPosition", "relativePosition", "relativeSize",
            "relativeSpatialPosition", "relativeTemporalPosition",
        ),
        _NUMBER,
    ),
    **dict.fromkeys(
        (
            "deliveryChannel", "device", "fileFormat", "industry", "media", "product",
            "system", "systemDevice", "unitOfCount", "virtualLocation",
        ),
        _NAME,
    ),
}  # fmt: skip

_COMMENSAL_OPERANDS = {
    **dict.fromkeys(
        (
            "epsilon",
            "delta",
            "budgetEpsilon",
            "cohortSize",
            "minParticipants",
            "generationDepth",
            "freshRealShare",
            "freshRealWeight",
            "realRows",
            "unknownProvenance",
        ),
        _NUMBER,
    ),
    **dict.fromkeys(("algorithmDigest", "column", "approval", "dietRule", "permit"), _TEXT),
    **dict.fromkeys(("outputKind", "task", "dataset", "licence"), _NAME),
}

# The left operand's IRI, with the kinds of value that it takes.
LEFT_OPERANDS: dict[str, frozenset[Kind]] = {
    **{ODRL + name: kinds for name, kinds in _ODRL_OPERANDS.items()},
    **{COMMENSAL + name: kinds for name, kinds in _COMMENSAL_OPERANDS.items()},
}

DATE_TIME = ODRL + "dateTime"
PURPOSE = ODRL + "purpose"
EVENT = ODRL + "event"
RECIPIENT = ODRL + "recipient"
DELAY_PERIOD = ODRL + "delayPeriod"
ELAPSED_TIME = ODRL + "elapsedTime"
EPSILON = COMMENSAL + "epsilon"
DELTA = COMMENSAL + "delta"
BUDGET_EPSILON = COMMENSAL + "budgetEpsilon"
COHORT_SIZE = COMMENSAL + "cohortSize"
MIN_PARTICIPANTS = COMMENSAL + "minParticipants"
OUTPUT_KIND = COMMENSAL + "outputKind"
TASK = COMMENSAL + "task"
COLUMN = COMMENSAL + "column"
DATASET = COMMENSAL + "dataset"
APPROVAL = COMMENSAL + "approval"
PERMIT = COMMENSAL + "permit"

USE = ODRL + "use"
TRANSFER = ODRL + "transfer"

_IN_USE = (
    "acceptTracking", "aggregate", "annotate", "anonymize", "archive", "attribute", "compensate",
    "concurrentUse", "delete", "derive", "digitize", "distribute", "ensureExclusivity", "execute",
    "grantUse", "include", "index", "inform", "install", "modify", "move", "nextPolicy",
    "obtainConsent", "play", "present", "print", "read", "reproduce", "reviewPolicy", "stream",
    "synchronize", "textToSpeech", "transform", "translate", "uninstall", "watermark",
)  # fmt: skip
_CC_IN_USE = (
    "Attribution", "CommercialUse", "DerivativeWorks", "Distribution", "Notice", "Reproduction",
    "ShareAlike", "Sharing", "SourceCode",
)  # fmt: skip

# odrl:includedIn of the core vocabulary; the two roots are included in nothing.
INCLUDED_IN: dict[str, str | None] = {
    USE: None,
    TRANSFER: None,
    **{ODRL + name: USE for name in _IN_USE},
    **{CC + name: USE for name in _CC_IN_USE},
    ODRL + "display": ODRL + "play",
    ODRL + "extract": ODRL + "reproduce",
    ODRL + "give": TRANSFER,
    ODRL + "sell": TRANSFER,
}

# Deprecated spellings that the vocabulary declares to be exact matches (skos:exactMatch).
SAME_ACTION: dict[str, str] = {
    ODRL + "write": ODRL + "modify",
    ODRL + "writeTo": ODRL + "modify",
    ODRL + "append": ODRL + "modify",
    ODRL + "appendTo": ODRL + "modify",
    ODRL + "copy": ODRL + "reproduce",
    ODRL + "export": ODRL + "transform",
    ODRL + "license": ODRL + "grantUse",
    ODRL + "pay": ODRL + "compensate",
    ODRL + "attachPolicy": CC + "Notice",
    ODRL + "attachSource": CC + "SourceCode",
    ODRL + "commercialize": CC + "CommercialUse",
    ODRL + "share": CC + "Sharing",
    ODRL + "shareAlike": CC + "ShareAlike",
}


def is_core_action(iri: str) -> bool:
    """Whether the ODRL vocabulary defines this action (with a place in the hierarchy)."""
    return iri in INCLUDED_IN or iri in SAME_ACTION


_HEALTH = "https://w3id.org/dpv/sector/health#"
_RESEARCH = purposes.DPV_EHDS + "HealthcareScientificResearch"

# Terms of DPV 2.3 `eu-ehds` that carry a purpose of Art. 53(1), with the next broader one.
# Points (e)(i) and (e)(ii) are kinds of scientific research by the text of Art. 53(1)(e); DPV does
# not say so, and gives only the term of the same name in its health sector vocabulary.
_POINTS = {
    "PublicInterestRelatedToHealth": (
        "PublicHealthSurveillance", "ProtectAgainstCrossBorderThreatsToHealth",
        "EnsureQualitySafetyHealthcare", "EnsureQualitySafetyMedicinalProducts",
        "EnsureQualitySafetyMedicalDevices",
    ),
    "PublicPolicyMaking": ("SupportAuthoritiesRegulatoryActivities",),
    "ProvideHealthcareOfficialStatistics": (),
    "ImproveHealthcareEducation": (),
    "HealthcareScientificResearch": (
        "DevelopPublicHealthProductsAndServices", "TrainTestAndEvaluateHealthAlgorithms",
    ),
    "TrainTestAndEvaluateHealthAlgorithms": (
        "TrainTestAndEvaluateMedicalDevicesAlgorithms", "TrainTestAndEvaluateAISystemsAlgorithms",
        "TrainTestAndEvaluateHealthAppsAlgorithms",
    ),
    "ImproveHealthcare": (),
}  # fmt: skip


def _broader() -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {}
    for name, narrower in _POINTS.items():
        iri = purposes.DPV_EHDS + name
        table[iri] = (*table.get(iri, ()), _HEALTH + name)
        for term in narrower:
            table[purposes.DPV_EHDS + term] = (iri, _HEALTH + term)
    for iri in (*table, *(purpose.iri for purpose in purposes.PROHIBITED.values())):
        table.setdefault(iri, ())
    advertising = purposes.PROHIBITED["advertising"].iri
    table[advertising] = ("https://w3id.org/dpv#Advertising", "https://w3id.org/dpv#Marketing")
    return table


# A purpose's IRI, with the IRIs of the next broader purposes.
BROADER_PURPOSES: dict[str, tuple[str, ...]] = _broader()

_DPV = "https://w3id.org/dpv#"
# Of DPV 2.0 itself (dpv/modules/purposes.ttl, skos:broader): research, what it is for, and what it
# is mostly told apart from. No purpose of EHDS hangs below these.
DPV_BROADER: dict[str, tuple[str, ...]] = {
    _DPV + name: tuple(_DPV + wide for wide in above)
    for name, above in {
        "AcademicResearch": ("ResearchAndDevelopment",),
        "ScientificResearch": ("ResearchAndDevelopment",),
        "CommercialResearch": ("CommercialPurpose", "ResearchAndDevelopment"),
        "NonCommercialResearch": ("NonCommercialPurpose", "ResearchAndDevelopment"),
        "ResearchAndDevelopment": ("Purpose",),
        "CommercialPurpose": ("Purpose",),
        "NonCommercialPurpose": ("Purpose",),
        "DataAltruism": ("PublicBenefit",),
        "ProvideOfficialStatistics": ("PublicBenefit",),
        "PublicPolicyMaking": ("PublicBenefit",),
        "PublicBenefit": ("Purpose",),
        "Advertising": ("Marketing",),
        "DirectMarketing": ("Marketing",),
        "PersonalisedAdvertising": ("Advertising", "Personalisation"),
        "TargetedAdvertising": ("PersonalisedAdvertising",),
        "Marketing": ("Purpose",),
        "Personalisation": ("Purpose",),
        "ServiceProvision": ("Purpose",),
    }.items()
}
_CLOSED = (purposes.DPV_EHDS, purposes.PROHIBITED_NAMESPACE)


def is_misspelt_purpose(iri: str) -> bool:
    """Whether an IRI lies in a namespace that we know, but names no purpose of it.

    A purpose of another vocabulary is fine: it is compared by its IRI alone.
    """
    return iri.startswith(_CLOSED) and iri not in BROADER_PURPOSES


@dataclass(frozen=True, slots=True)
class Iri:
    """An absolute IRI as a value, distinct from text that happens to look like one."""

    value: str
