"""Art. 77: the dataset's description in the catalogue (with Art. 60(3))."""

from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Publication


def record_is_valid(publication: Publication) -> Finding:
    """Art. 60(3), 77(4), rule R28: passes HealthDCAT-AP's shapes at the pinned release."""
    satisfied: bool | None = None
    shapes = publication.shapes
    if publication.is_dataset_record is False:
        satisfied = True
    elif shapes is not None and publication.pinned_release is not None:
        satisfied = shapes.conforms and shapes.release == publication.pinned_release
    return Finding(
        "R28",
        "ehds.art77.record",
        LAW + "Art. 60(3) and 77(4); Implementing Regulation (EU) 2026/2098",
        Kind.DENY,
        f"conforms to HealthDCAT-AP {publication.pinned_release}, non-public",
        spell(satisfied, "conforms, or no record", "does not conform, or at another release"),
        satisfied,
        "Correct the record; the shapes' report names each field",
    )
