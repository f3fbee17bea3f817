"""Art. 61: duties of health data users."""

from policies.statute.finding import LAW, Finding, Kind, all_of, spell, within
from policies.statute.moments import Admission, Egress, Publication, Supervision
from policies.statute.periods import Period, Unit, in_time

PUBLISH_RESULTS = Period(18, Unit.MONTHS, LAW + "Art. 61(4)")
_FINDING = LAW + "Art. 61(5) and 58(3)"


def recipients_are_parties(moment: Admission | Egress) -> Finding:
    """Art. 61(2), rule R07: nobody receives anything who is not a party to the permit."""
    satisfied, actual = within(moment.recipients, moment.permit_parties)
    return Finding(
        "R07",
        "ehds.art61.recipients",
        LAW + "Art. 61(2)",
        Kind.DENY,
        "recipients are parties to the permit",
        actual,
        satisfied,
        "Have the recipient named in the permit, or leave them out",
    )


def linked_data_are_in_the_permit(admission: Admission) -> Finding:
    """Art. 61(3), 67(2)(f), rule R19: joins only to brought-in data that the permit lists."""
    satisfied, actual = within(admission.linked_datasets, admission.permit_linked_datasets)
    return Finding(
        "R19",
        "ehds.art61.linkage",
        LAW + "Art. 61(3) and 67(2)(f)",
        Kind.DENY,
        "joins only to data that the permit lists",
        actual,
        satisfied,
        "Apply for an amendment that lists the data to be linked",
    )


def queries_do_not_single_out(admission: Admission) -> Finding:
    """Art. 61(3), rule R19: not too many queries that differ by few persons."""
    count, limit = admission.similar_queries, admission.similar_queries_limit
    satisfied = None if count is None or limit is None else count <= limit
    return Finding(
        "R19",
        "ehds.art61.pattern",
        LAW + "Art. 61(3)",
        Kind.ALERT,
        f"at most {limit} queries that differ by few persons",
        spell(satisfied, "within", "a pattern that can single out a person"),
        satisfied,
        "A person looks at the queries of this permit",
    )


def results_are_published(supervision: Supervision) -> Finding:
    """Art. 61(4), rule R24: within 18 months of completion, or until the extended date."""
    return in_time(
        "R24",
        "ehds.art61.results",
        Kind.OBLIGE,
        PUBLISH_RESULTS,
        supervision.results,
        supervision.today,
        remedy="Publish the results, or ask the health data access body for more time",
        extended_until=supervision.results_extended_until,
    )


def publication_is_anonymous(publication: Publication) -> Finding:
    """Art. 61(4), rule R24: only what came out through the review of Art. 73(2) is published."""
    satisfied = True if publication.is_result is False else publication.released_through_review
    return Finding(
        "R24",
        "ehds.art61.anonymous",
        LAW + "Art. 61(4)",
        Kind.HOLD,
        "results that left through the review of Art. 73(2)",
        spell(satisfied, "reviewed, or no results", "not reviewed"),
        satisfied,
        "Ask for the review of the output first",
    )


def publication_acknowledges(publication: Publication) -> Finding:
    """Art. 61(4), rule R24: it names the sources and the European Health Data Space."""
    satisfied = all_of(publication.acknowledges_sources, publication.acknowledges_ehds)
    if publication.is_result is False:
        satisfied = True
    return Finding(
        "R24",
        "ehds.art61.acknowledgement",
        LAW + "Art. 61(4)",
        Kind.OBLIGE,
        "an acknowledgement of the sources and of the European Health Data Space",
        spell(satisfied, "there, or no results", "missing"),
        satisfied,
        "Add the acknowledgement",
    )


def publication_has_a_lay_summary(publication: Publication) -> Finding:
    """Recital 66, rule R24: a summary that everybody understands."""
    satisfied = True if publication.is_result is False else publication.lay_summary
    return Finding(
        "R24",
        "ehds.art61.summary",
        LAW + "recital 66",
        Kind.OBLIGE,
        "a lay summary",
        spell(satisfied, "there, or no results", "missing"),
        satisfied,
        "Add a summary in plain words",
    )


def significant_findings_are_notified(supervision: Supervision) -> Finding:
    """Art. 61(5), 58(3), rule R25: user to body to holder, by pseudonym, within the policy's days.

    The law gives no period; `SignificantFinding.period_days` is the policy's.
    """
    clocks = [
        in_time(
            "R25", "ehds.art61.finding", Kind.OBLIGE,
            Period(finding.period_days, Unit.WORKING_DAYS, _FINDING), clock,
            supervision.today, remedy="",
        )
        for finding in supervision.findings or ()
        for clock in (finding.clock, finding.forwarded_to_holder)
    ]  # fmt: skip
    due = [clock.due for clock in clocks if clock.satisfied is None and clock.due is not None]
    satisfied = None
    if supervision.findings is not None:
        pseudonymous = all(finding.has_pseudonym_only for finding in supervision.findings)
        satisfied = all_of(pseudonymous, *(clock.satisfied for clock in clocks))
    return Finding(
        "R25",
        "ehds.art61.finding",
        _FINDING,
        Kind.OBLIGE,
        "significant findings reach the body and the holder, by pseudonym, in time",
        spell(satisfied, "notified, or none", "late, or with more than a pseudonym"),
        satisfied,
        "Notify the health data access body, by pseudonym only",
        min(due, default=None) if satisfied is None else None,
    )


def wish_not_to_know_is_honoured(supervision: Supervision) -> Finding:
    """Art. 58(3), rule R25: nobody is told who does not want to know, or was not asked."""
    told = [each for each in supervision.findings or () if each.person_told]
    satisfied = None
    if supervision.findings is not None:
        satisfied = all(finding.wants_not_to_know is False for finding in told)
    return Finding(
        "R25",
        "ehds.art58.not-to-know",
        LAW + "Art. 58(3)",
        Kind.DENY,
        "nobody is told against their wish",
        spell(satisfied, "honoured", "somebody was told who did not want to know, or not asked"),
        satisfied,
        "Ask the holder before a person is told",
    )
