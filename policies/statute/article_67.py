"""Art. 67: what an application must contain, as far as a machine can see it."""

from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Issuance


def ethics_reference_is_there(issuance: Issuance) -> Finding:
    """Art. 67(2)(j), rule R05: the ethics reference, where national law asks for one.

    Whether the use is ethical is a person's question: `policies.statute.people`.
    """
    needed = issuance.ethics_required
    satisfied = None if needed is None else not needed or bool(issuance.ethics_reference)
    return Finding(
        "R05",
        "ehds.art67.ethics",
        LAW + "Art. 67(2)(j)",
        Kind.DENY,
        "a reference of the ethical assessment, where national law asks for one",
        spell(satisfied, "there, or not needed", "missing"),
        satisfied,
        "Add the reference of the ethics committee's assessment",
    )
