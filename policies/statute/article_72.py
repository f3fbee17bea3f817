"""Art. 72: the simplified procedure with a trusted health data holder."""

from policies.statute.finding import LAW, Finding, Kind
from policies.statute.moments import Supervision
from policies.statute.periods import Period, Unit, in_time

ASSESS = Period(2, Unit.MONTHS, LAW + "Art. 72(5)")
DECIDE_ON_PROPOSAL = Period(2, Unit.MONTHS, LAW + "Art. 72(5)")


def trusted_holder_assesses_in_time(supervision: Supervision) -> Finding:
    """Art. 72(5), rule R27: the trusted holder proposes a decision within two months."""
    return in_time(
        "R27",
        "ehds.art72.assessment",
        Kind.ALERT,
        ASSESS,
        supervision.trusted_holder_assessment,
        supervision.today,
        remedy="Assess the application and propose a decision",
    )


def body_decides_on_proposal_in_time(supervision: Supervision) -> Finding:
    """Art. 72(5), rule R27: the body decides within two months of it, and is not bound by it."""
    return in_time(
        "R27",
        "ehds.art72.decision",
        Kind.ALERT,
        DECIDE_ON_PROPOSAL,
        supervision.trusted_holder_decision,
        supervision.today,
        remedy="Decide on the trusted holder's proposal",
    )
