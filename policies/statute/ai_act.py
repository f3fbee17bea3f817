"""Regulation (EU) 2024/1689, the AI Act, where it meets this connector."""

from policies.diet import DietReport
from policies.statute.facts import LogKind, Media
from policies.statute.finding import Finding, Kind, listed, spell, within
from policies.statute.moments import Admission, Egress, Publication, Supervision
from policies.statute.periods import add_months

AI_ACT = "Regulation (EU) 2024/1689, "
AI_LOG_MONTHS = 6  # Art. 19 and 26(6)
_TO_BE_MARKED = frozenset({Media.AUDIO, Media.IMAGE, Media.TEXT, Media.VIDEO})


def diet_is_balanced_at_admission(admission: Admission) -> Finding:
    """Art. 10(2)(f), rule R31: rules D1 to D10 of `policies.diet` for what a job trains on."""
    return _diet(admission.diet)


def diet_is_balanced_at_egress(egress: Egress) -> Finding:
    """Art. 10(2)(f), rule R31: the same, for a synthetic release or a model that leaves."""
    if egress.synthetic_or_model is False:
        return _found(True, "no release that could be learned from")
    return _diet(egress.diet)


def _diet(report: DietReport | None) -> Finding:
    if report is None:
        return _found(None, "not known")
    rules = tuple(finding.rule for finding in report.failed)
    return _found(report.balanced, f"open: {listed(rules)}" if rules else "balanced")


def _found(satisfied: bool | None, actual: str) -> Finding:
    return Finding(
        "R31",
        "ai-act.art10.diet",
        AI_ACT + "Art. 10(2)(f); our proposal, rules D1 to D10",
        Kind.DENY,
        "a balanced diet: depth, fresh real share, generation 0, lineage, real evaluation data",
        actual,
        satisfied,
        "Follow the plan of `policies.diet.plan`",
    )


def generated_media_are_marked(publication: Publication) -> Finding:
    """Art. 50(2), rule R34: generated audio, image, video and text are marked, machine-readably."""
    generated = publication.generated_media
    asked = None if generated is None else generated & _TO_BE_MARKED
    return _marked("media", asked, publication.marked_media, Kind.DENY)


def generated_tables_are_marked(publication: Publication) -> Finding:
    """Our proposal beside Art. 50(2), rule R34: synthetic tables are marked too."""
    generated = publication.generated_media
    asked = None if generated is None else generated - _TO_BE_MARKED
    return _marked("table", asked, publication.marked_media, Kind.ALERT)


def _marked(
    code: str, asked: frozenset[Media] | None, marked: frozenset[Media] | None, kind: Kind
) -> Finding:
    # Where nothing was generated it does not matter what is marked.
    satisfied, actual = within(asked, marked if asked else frozenset())
    return Finding(
        "R34",
        f"ai-act.art50.{code}",
        AI_ACT + "Art. 50(2)",
        kind,
        "what was generated is marked as artificial, in a form that machines read",
        actual.replace("outside", "not marked"),
        satisfied,
        "Mark it before it is published",
    )


def ai_logs_are_kept(supervision: Supervision) -> Finding:
    """Art. 12, 19, 26(6), rule R23: logs of an AI system are kept for at least six months."""
    satisfied: bool | None = None
    if supervision.deleted_logs is not None:
        satisfied = all(
            each.deleted_at >= add_months(each.written_at, AI_LOG_MONTHS)
            for each in supervision.deleted_logs
            if each.kind is LogKind.AI_SYSTEM
        )
    return Finding(
        "R23",
        "ai-act.art12.log",
        AI_ACT + "Art. 12, 19 and 26(6)",
        Kind.OBLIGE,
        "logs of AI systems are kept for at least six months",
        spell(satisfied, "kept", "deleted too early"),
        satisfied,
        "Restore the log from a witness or an archive, and report the gap",
    )
