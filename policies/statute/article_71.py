"""Art. 71: the right to opt out, as of the day of a decision."""

from datetime import datetime

from policies.statute.article_53 import points_of
from policies.statute.facts import ApplicantKind, OptOut, OptOuts, Question
from policies.statute.finding import LAW, Finding, Kind, all_of, spell
from policies.statute.moments import Admission, Issuance
from policies.statute.people import answer

_FOR_PUBLIC_BODIES = frozenset({"a", "b", "c"})
_RESEARCH = frozenset({"e", "e.i", "e.ii"})


def is_opted_out(event: OptOut, decided_at: datetime) -> bool:
    """Whether an opt-out binds a decision: it took effect before, and was not reversed before.

    A reversal in the very moment of the decision came too late; so did an opt-out.
    """
    standing = event.revoked is None or event.revoked >= decided_at
    return event.effective < decided_at and standing


def excluded(register: OptOuts, decided_at: datetime) -> frozenset[str]:
    """Art. 71(1), (3): the pseudonyms to leave out under a decision of that moment.

    What happens after the decision changes nothing, so a job that is run again sees the same
    persons.
    """
    return frozenset(
        event.pseudonym for event in register.events if is_opted_out(event, decided_at)
    )


def opt_outs_are_filtered(admission: Admission) -> Finding:
    """Art. 71(1), (3), rule R10: who opted out before the decision is not in the view.

    Holds for permits and for requests, and for training a synthesiser. Before the view is opened
    (`persons_in_view` None) it holds if the register is known up to the decision: the filter then
    is `excluded`. The number is shown in a band, for a small one could point at a person.
    """
    register, decided_at = admission.opt_outs, admission.decided_at
    satisfied: bool | None = None
    actual = "not known"
    if override_is_lawful(admission).satisfied and admission.claims_override:
        satisfied, actual = True, "overridden under Art. 71(4)"
    elif register is not None and decided_at is not None:
        if register.complete_until >= decided_at:
            out = excluded(register, decided_at)
            satisfied = not out & (admission.persons_in_view or frozenset())
            actual = _banded(len(out), admission.smallest_count)
            actual += " to leave out" if satisfied else " to leave out, some are in the view"
        else:
            actual = "the register ends before the decision"
    return Finding(
        "R10",
        "ehds.art71.opt-out",
        LAW + "Art. 71(1) and (3)",
        Kind.FILTER,
        "nobody who had opted out when the permit or the request was decided",
        actual,
        satisfied,
        "Fetch the register of opt-outs up to the decision, and leave these persons out",
    )


def override_is_lawful(moment: Admission | Issuance) -> Finding:
    """Art. 71(4), rule R11: opt-outs are set aside only on all of the law's conditions.

    A national law; a public body with a task in public health, or one mandated by it; purposes (a)
    to (c), or research that a person found important for the public interest; data not obtainable
    otherwise; and a justification. If nothing is claimed, there is nothing to allow.
    """
    claim, applicant = moment.override, moment.applicant
    satisfied: bool | None = None
    if moment.claims_override is False:
        satisfied = True
    elif moment.claims_override and claim is not None and applicant is not None:
        satisfied = all_of(
            bool(claim.national_law),
            bool(claim.justification),
            claim.not_obtainable_otherwise,
            applicant.kind is not ApplicantKind.OTHER or bool(applicant.mandate),
            applicant.public_health_task,
            _purposes_allow(moment),
        )
    return Finding(
        "R11",
        "ehds.art71.override",
        LAW + "Art. 71(4)",
        Kind.DENY,
        "no override, or all conditions of Art. 71(4)",
        spell(satisfied, "none, or all conditions", "a condition is missing"),
        satisfied,
        "Honour the opt-outs",
    )


def _purposes_allow(moment: Admission | Issuance) -> bool | None:
    outcomes: list[bool | None] = []
    for point in points_of(moment.purposes):
        if point in _FOR_PUBLIC_BODIES:
            outcomes.append(True)
        elif point in _RESEARCH:
            outcomes.append(answer(moment.assessments, Question.PUBLIC_INTEREST))
        else:
            outcomes.append(False)
    return all_of(*outcomes) if outcomes else None


def _banded(count: int, smallest: int | None) -> str:
    if smallest is None:
        return "some or none"
    return f"fewer than {smallest}" if count < smallest else f"at least {smallest}"
