"""Art. 57 and 58: what the health data access body tells the public."""

from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Supervision
from policies.statute.periods import Period, Unit, in_time

PUBLISH_DECISION = Period(30, Unit.WORKING_DAYS, LAW + "Art. 57(1)(j)(iii)")


def decision_is_published(supervision: Supervision) -> Finding:
    """Art. 57(1)(j)(iii), rule R26: permit, approval or refusal within 30 working days."""
    return in_time(
        "R26",
        "ehds.art57.register",
        Kind.OBLIGE,
        PUBLISH_DECISION,
        supervision.register,
        supervision.today,
        remedy="Publish the decision, a refusal with its reasons, in the public register",
    )


def results_are_registered(supervision: Supervision) -> Finding:
    """Art. 58(1)(f), (g), rule R26: who got which data for what, and what came out of it."""
    return _registered(
        supervision.results_in_register, "results", "Art. 58(1)(f) and (g)", "the outcome"
    )


def measures_are_registered(supervision: Supervision) -> Finding:
    """Art. 57(1)(j), rule R26: measures for non-compliance are public."""
    return _registered(
        supervision.measures_in_register, "measures", "Art. 57(1)(j)", "measures that were taken"
    )


def _registered(done: bool | None, code: str, article: str, what: str) -> Finding:
    return Finding(
        "R26",
        f"ehds.art57.{code}",
        LAW + article,
        Kind.OBLIGE,
        f"the public register shows {what}, or there is none",
        spell(done, "shown, or none", "not shown"),
        done,
        f"Publish {what} in the public register",
    )
