"""Art. 60: duties of health data holders, as clocks."""

from policies.statute.finding import LAW, Finding, Kind
from policies.statute.moments import Supervision
from policies.statute.periods import Period, Unit, in_time

PUT_AT_DISPOSAL = Period(3, Unit.MONTHS, LAW + "Art. 60(2)")
PUT_AT_DISPOSAL_EXTENDED = Period(6, Unit.MONTHS, LAW + "Art. 60(2)")
CHECK_METADATA = Period(12, Unit.MONTHS, LAW + "Art. 60(3)")


def holder_provides_in_time(supervision: Supervision) -> Finding:
    """Art. 60(2), rule R27: three months after the body asks, six if it extended."""
    clock = supervision.holder
    extended = clock is not None and clock.extended
    return in_time(
        "R27",
        "ehds.art60.holder",
        Kind.ALERT,
        PUT_AT_DISPOSAL_EXTENDED if extended else PUT_AT_DISPOSAL,
        clock,
        supervision.today,
        remedy="Put the data at the disposal of the health data access body",
    )


def metadata_is_checked_yearly(supervision: Supervision) -> Finding:
    """Art. 60(3), rule R27: the dataset's description is checked once a year."""
    return in_time(
        "R27",
        "ehds.art60.metadata",
        Kind.ALERT,
        CHECK_METADATA,
        supervision.metadata_check,
        supervision.today,
        remedy="Check that the dataset's description in the catalogue is still true",
    )
