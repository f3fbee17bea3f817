"""Art. 78: the data quality and utility label (with Art. 60(4))."""

from policies.statute.finding import LAW, Finding, Kind, listed, spell
from policies.statute.moments import Publication


def label_is_there(publication: Publication) -> Finding:
    """Art. 78(2), rule R29: publicly funded data carry a label."""
    satisfied: bool | None = None
    if publication.label is not None or publication.publicly_funded is False:
        satisfied = True
    elif publication.label_is_absent and publication.publicly_funded:
        satisfied = False
    return _finding(
        "label", "Art. 78(2)", "a label, where public money paid for the data",
        spell(satisfied, "there, or not needed", "missing"), satisfied,
        "Compute the label and have it signed",
    )  # fmt: skip


def label_values_have_evidence(publication: Publication) -> Finding:
    """Art. 60(4), rule R29: each value has evidence, a method and a date not in the future."""
    label = publication.label
    bare: tuple[str, ...] = ()
    satisfied: bool | None = True if publication.label_is_absent else None
    if label is not None:
        bare = tuple(
            value.name
            for value in label.values
            if not (
                value.evidence
                and value.method
                and value.measured_at is not None
                and value.measured_at <= publication.now
            )
        )
        satisfied = not bare
    return _finding(
        "evidence", "Art. 60(4) and 78(3)", "each value has evidence, a method and a date",
        spell(satisfied, "each has, or no label", f"without: {listed(bare)}"), satisfied,
        "Measure the value again, or show it as not measured",
    )  # fmt: skip


def label_is_not_revoked(publication: Publication) -> Finding:
    """Art. 78(4), rule R29: a label that the body has revoked is not shown."""
    label = publication.label
    satisfied: bool | None = True if publication.label_is_absent else None
    if label is not None:
        satisfied = label.revoked_at is None or label.revoked_at > publication.now
    return _finding(
        "revoked", "Art. 78(4)", "a label that is not revoked",
        spell(satisfied, "not revoked, or no label", "revoked"), satisfied,
        "Correct what was inaccurate and apply for a new label",
    )  # fmt: skip


def _finding(
    code: str, article: str, bound: str, actual: str, satisfied: bool | None, remedy: str
) -> Finding:
    return Finding(
        "R29", f"ehds.art78.{code}", LAW + article, Kind.DENY, bound, actual, satisfied, remedy
    )
