"""Art. 87 to 91: where data are stored and processed, and who receives them elsewhere.

Which countries are in the Union, have an adequacy decision or are designated changes: the lists
are the permit's and the policy's.
"""

from policies.statute.finding import LAW, Finding, Kind, spell, within
from policies.statute.moments import Admission, Egress


def locations_are_permitted(admission: Admission) -> Finding:
    """Art. 87, rule R20: stored and processed in the Union or where an adequacy decision is."""
    # A job that names no place has not said where it runs: not known, hence not satisfied.
    satisfied, actual = within(admission.locations or None, admission.permitted_locations)
    return Finding(
        "R20",
        "ehds.art87.location",
        LAW + "Art. 87",
        Kind.DENY,
        "storage and processing in the Union, or where an adequacy decision is",
        actual,
        satisfied,
        "Process the data at a permitted location",
    )


def recipient_countries_are_permitted(moment: Admission | Egress) -> Finding:
    """Art. 90, 91, rule R20: recipients outside the Union only in designated countries."""
    satisfied, actual = within(moment.recipient_countries, moment.permitted_countries)
    return Finding(
        "R20",
        "ehds.art90.recipient",
        LAW + "Art. 90 and 91",
        Kind.DENY,
        "recipients in the Union or in a designated country",
        actual,
        satisfied,
        "Leave out the recipient, or wait until the country is designated",
    )


def small_populations_stay(moment: Admission | Egress) -> Finding:
    """Art. 88, rule R20: data of few or scattered persons are not sent to a third country."""
    satisfied: bool | None = None
    if moment.small_population is False or moment.recipient_countries == ():
        satisfied = True
    elif moment.small_population is not None and moment.recipient_countries is not None:
        satisfied = False
    return Finding(
        "R20",
        "ehds.art88.population",
        LAW + "Art. 88",
        Kind.DENY,
        "no transfer to a third country of data of few or scattered persons",
        spell(satisfied, "none", "a transfer"),
        satisfied,
        "Keep the result in the Union",
    )
