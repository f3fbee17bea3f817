"""Art. 62: fees, estimated before a permit begins."""

from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Admission, Issuance


def fee_is_accepted_at_issuance(issuance: Issuance) -> Finding:
    """Art. 62, rule R32: the estimate was accepted before the permit begins."""
    satisfied: bool | None = None
    if issuance.fee is not None and issuance.starts is not None:
        accepted = issuance.fee.accepted_at
        satisfied = (
            accepted is not None
            and issuance.fee.estimated_at <= accepted <= issuance.now
            and accepted <= issuance.starts
        )
    return _finding(satisfied)


def fee_is_accepted_at_admission(admission: Admission) -> Finding:
    """Art. 62, rule R32: the same, looked at when a job starts under the permit."""
    satisfied: bool | None = None
    permit = admission.facts.permit
    if admission.fee is not None and permit is not None:
        accepted = admission.fee.accepted_at
        satisfied = (
            accepted is not None
            and admission.fee.estimated_at <= accepted <= admission.now
            and accepted <= permit.not_before
        )
    return _finding(satisfied)


def _finding(satisfied: bool | None) -> Finding:
    return Finding(
        "R32",
        "ehds.art62.fee",
        LAW + "Art. 62",
        Kind.DENY,
        "an estimate of the fee, accepted before the permit begins",
        spell(satisfied, "accepted", "not accepted in time"),
        satisfied,
        "Accept the estimate, or withdraw the application",
    )
