"""Art. 73: the secure processing environment, who is in it, what leaves it, what it writes down."""

from policies.statute.facts import IdentityAssurance, LogKind
from policies.statute.finding import LAW, Finding, Kind, all_of, at_least, spell, within
from policies.statute.moments import Admission, Egress, Supervision
from policies.statute.periods import add_months

ACCESS_LOG_MONTHS = 12  # Art. 73(1)(e): at least one year
# Our proposal for "as long as needed to audit": the permit, 18 months for results, one year more.
ACTIVITY_LOG_MONTHS = 18 + 12
_SUFFICIENT = frozenset({IdentityAssurance.SUBSTANTIAL, IdentityAssurance.HIGH})


def person_is_authorised(admission: Admission) -> Finding:
    """Art. 68(10)(d), 73(1)(a), (d), rule R06: a person of the permit, with an own identity."""
    actor = admission.actor
    satisfied: bool | None = None
    if actor is not None and actor.is_application:
        satisfied = True
    elif actor is not None and admission.permit_persons is not None:
        own = None if actor.shared is None else not actor.shared
        satisfied = all_of(actor.id in admission.permit_persons, own)
    return Finding(
        "R06",
        "ehds.art73.person",
        LAW + "Art. 68(10)(d) and 73(1)(a), (d)",
        Kind.DENY,
        "a natural person whom the permit lists, with an identity of their own",
        spell(satisfied, "listed, or a machine job", "not listed, or a shared identity"),
        satisfied,
        "Notify the health data access body of the person (Art. 67(2)(a))",
    )


def identity_is_assured(admission: Admission) -> Finding:
    """Art. 73(1)(d), TEHDAS2 M7.4 EHDSR-5, rule R06: eIDAS level substantial or high."""
    actor = admission.actor
    satisfied: bool | None = None
    if actor is not None and actor.is_application:
        satisfied = True
    elif actor is not None and actor.assurance is not None:
        satisfied = actor.assurance in _SUFFICIENT
    return Finding(
        "R06",
        "ehds.art73.assurance",
        LAW + "Art. 73(1)(d); TEHDAS2 M7.4, EHDSR-5",
        Kind.DENY,
        "assurance level substantial or high",
        spell(satisfied, "sufficient, or a machine job", "too low"),
        satisfied,
        "Log in with a stronger means of identification",
    )


def application_is_approved(admission: Admission) -> Finding:
    """TEHDAS2 M7.4 FCR-7, rule R06: a machine job's application was approved before."""
    actor = admission.actor
    satisfied: bool | None = None
    if actor is not None and not actor.is_application:
        satisfied = True
    elif actor is not None:
        satisfied, _ = within((actor.id,), admission.approved_applications)
    return Finding(
        "R06",
        "ehds.art73.application",
        LAW + "Art. 73(1)(d); TEHDAS2 M7.4, FCR-7",
        Kind.DENY,
        "an application that was approved before",
        spell(satisfied, "approved, or a person", "not approved"),
        satisfied,
        "Have the application approved",
    )


def output_kind_is_allowed(egress: Egress) -> Finding:
    """Art. 73(2), rule R16: the permit lists this kind of output."""
    asked = (egress.output,) if egress.output is not None else None
    satisfied, actual = within(asked, egress.permitted_outputs)
    return _hold("kind", "a kind of output that the permit lists", actual, satisfied)


def output_checks_passed(egress: Egress) -> Finding:
    """Art. 73(2), 61(4), rule R16: all tests that the policy asks for were passed."""
    checks = egress.checks
    satisfied, actual = within(
        checks.required if checks is not None else None,
        checks.passed if checks is not None else None,
    )
    return _hold("checks", "all required tests of anonymity passed", actual, satisfied)


def cells_are_large_enough(egress: Egress) -> Finding:
    """Art. 73(2), rule R16: every cell counts at least k persons."""
    checks = egress.checks
    satisfied = at_least(checks.smallest_cell, checks.minimum_count) if checks else None
    return _hold(
        "cell", "at least k persons in every cell", spell(satisfied, "enough", "too few"), satisfied
    )


def no_person_dominates(egress: Egress) -> Finding:
    """Art. 73(2), rule R16: no person makes up more than the allowed share of a cell."""
    checks = egress.checks
    satisfied: bool | None = None
    if checks is not None and checks.largest_share is not None:
        satisfied = checks.largest_share <= checks.maximum_share
    return _hold(
        "dominance",
        "no person dominates a cell",
        spell(satisfied, "none does", "one does"),
        satisfied,
    )


def outputs_cannot_be_subtracted(egress: Egress) -> Finding:
    """Art. 73(2), rule R16: it differs from every earlier output by no person, or by at least k."""
    checks = egress.checks
    satisfied: bool | None = None
    if checks is not None and checks.smallest_difference is not None:
        satisfied = (
            checks.smallest_difference == 0 or checks.smallest_difference >= checks.minimum_count
        )
    return _hold(
        "difference",
        "no difference of fewer than k persons from an earlier output",
        spell(satisfied, "none", "a difference that singles out few persons"),
        satisfied,
    )


def output_is_reviewed(egress: Egress) -> Finding:
    """Art. 73(2), rule R16: as many reviewers as the policy asks, none of whom asked for it."""
    satisfied: bool | None = None
    if egress.reviewers is not None and egress.requested_by is not None:
        others = frozenset(egress.reviewers) - {egress.requested_by}
        satisfied = at_least(len(others), egress.minimum_reviewers)
    return _hold(
        "review",
        f"{egress.minimum_reviewers} reviewers other than who asks",
        spell(satisfied, "reviewed", "too few reviewers"),
        satisfied,
    )


def _hold(code: str, bound: str, actual: str, satisfied: bool | None) -> Finding:
    return Finding(
        "R16", f"ehds.art73.{code}", LAW + "Art. 73(2) and 61(4)", Kind.HOLD,
        bound, actual, satisfied, "Hold the output until it is checked and reviewed, or coarsen it",
    )  # fmt: skip


def access_is_logged(supervision: Supervision) -> Finding:
    """Art. 73(1)(e), rule R23: every entry of the log names who acted."""
    count = supervision.entries_without_actor
    satisfied = None if count is None else count == 0
    return _log("actor", "every entry names its actor", satisfied)


def access_logs_are_kept(supervision: Supervision) -> Finding:
    """Art. 73(1)(e), rule R23: access logs are kept for at least one year."""
    satisfied: bool | None = None
    if supervision.deleted_logs is not None:
        satisfied = all(
            each.deleted_at >= add_months(each.written_at, ACCESS_LOG_MONTHS)
            for each in supervision.deleted_logs
            if each.kind is LogKind.ACCESS
        )
    return _log("access-log", "access logs are kept for at least one year", satisfied)


def activity_logs_are_kept(supervision: Supervision) -> Finding:
    """Art. 73(1)(e), (3), rule R23: activity logs last for the audit (period: our proposal)."""
    satisfied: bool | None = None
    if supervision.deleted_logs is not None:
        satisfied = all_of(
            *(
                None
                if each.permit_end is None
                else each.deleted_at >= add_months(each.permit_end, ACTIVITY_LOG_MONTHS)
                for each in supervision.deleted_logs
                if each.kind is LogKind.ACTIVITY
            )
        )
    return _log("activity-log", "activity logs are kept 30 months beyond the permit", satisfied)


def _log(code: str, bound: str, satisfied: bool | None) -> Finding:
    return Finding(
        "R23", f"ehds.art73.{code}", LAW + "Art. 73(1)(e)", Kind.OBLIGE,
        bound, spell(satisfied, "kept", "broken"), satisfied,
        "Restore the log from a witness or an archive, and report the gap",
    )  # fmt: skip
