"""Art. 55: segregation of functions (with Art. 72)."""

from policies.statute.facts import Duties, Duty
from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Egress, Issuance


def duties_are_segregated_at_issuance(issuance: Issuance) -> Finding:
    """Art. 55(3), rule R33: who assesses an application holds no other duty."""
    return _segregated(issuance.duties, frozenset({Duty.ASSESSOR}))


def duties_are_segregated_at_egress(egress: Egress) -> Finding:
    """Art. 55(3), 72, rule R33: assessor, preparer, reviewer, administrator are four persons."""
    return _segregated(egress.duties, frozenset(Duty))


def _segregated(duties: Duties | None, needed: frozenset[Duty]) -> Finding:
    held: dict[str, Duty] = {}
    shared = False
    for duty, person in duties or ():
        shared = shared or held.setdefault(person, duty) is not duty
    satisfied: bool | None = False if shared else None
    if not shared and needed <= set(held.values()):
        satisfied = True
    return Finding(
        "R33",
        "ehds.art55.segregation",
        LAW + "Art. 55(3) and 72",
        Kind.DENY,
        "no person holds two of: " + ", ".join(duty.value for duty in Duty),
        spell(satisfied, "segregated", "one person holds two"),
        satisfied,
        "Name another person for one of the duties",
    )
