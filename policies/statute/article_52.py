"""Art. 52: data that intellectual property or trade secrets protect."""

from policies.statute.finding import LAW, Finding, Kind, within
from policies.statute.moments import Admission


def protected_columns_have_measures(admission: Admission) -> Finding:
    """Art. 52(2), (3), rule R13: a protected column only with a measure that the permit lists."""
    asked = None
    if admission.protected_columns is not None:
        asked = [name for name in admission.request.columns if name in admission.protected_columns]
    covered = admission.protected_columns_with_measures
    satisfied, actual = within(asked, covered if asked else frozenset())
    return Finding(
        "R13",
        "ehds.art52.measures",
        LAW + "Art. 52(2) and (3)",
        Kind.DENY,
        "protected columns only with the measures that the permit lists",
        actual,
        satisfied,
        "Leave the column out, or ask the health data access body to set a measure",
    )
