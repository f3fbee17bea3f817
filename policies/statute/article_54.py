"""Art. 54: uses that are prohibited, whatever a permit or a policy says."""

from policies import purposes
from policies.request import Facts, UsageRequest
from policies.rule import rule
from policies.statute.finding import LAW, Finding, Kind, spell, within
from policies.statute.moments import Admission, Issuance

_KNOWN = frozenset(purpose.iri for purpose in purposes.ALLOWED.values())


def _use_words(
    request: UsageRequest, _facts: Facts, _satisfied: bool | None
) -> tuple[str, str, str]:
    purpose = purposes.by_iri(request.purpose)
    return (
        "no use of Art. 54(a) to (e)",
        purpose.label if purpose else "a purpose that is not known here",
        "None: this use is prohibited by law",
    )


def _point(request: UsageRequest) -> str:
    purpose = purposes.by_iri(request.purpose)
    return f".{purpose.point}" if purpose else ""


@rule("ehds.art54", LAW + "Art. 54", _use_words, _point)
def use_is_not_prohibited(request: UsageRequest, _facts: Facts) -> bool:
    """Art. 54 points (a) to (e), rule R05: the declared purpose is not a prohibited use.

    A refusal's code names the point, such as `ehds.art54.c`. A purpose that nobody knows could be
    one of them.
    """
    return request.purpose in _KNOWN


# What an applicant declares not to do: points (a) to (e), and what recitals 62 and 73 add.
DECLARATIONS = frozenset({"a", "b", "c", "d", "e", "re-identification", "stigmatisation"})


def declaration_is_complete(moment: Admission | Issuance) -> Finding:
    """Art. 54, recitals 62 and 73, rule R05: a signed negative declaration for each letter."""
    declared = moment.declared_not_to
    satisfied, actual = within(DECLARATIONS, declared)
    return Finding(
        "R05",
        "ehds.art54.declaration",
        LAW + "Art. 54, recitals 62 and 73",
        Kind.DENY,
        "a signed declaration against each prohibited use",
        actual.replace("outside", "not declared"),
        satisfied,
        "Sign the declaration for each point",
    )


def output_use_is_not_prohibited(admission: Admission) -> Finding:
    """Art. 54, rule R05: the output is not for a use on the deny-list, such as marketing lists."""
    use, denied = admission.output_use, admission.prohibited_output_uses
    satisfied = None if use is None or denied is None else use not in denied
    return Finding(
        "R05",
        "ehds.art54.output",
        LAW + "Art. 54",
        Kind.DENY,
        "no use on the deny-list, such as scores of persons or marketing lists",
        spell(satisfied, "not on the list", "on the list"),
        satisfied,
        "None: an output for this use is not computed",
    )
