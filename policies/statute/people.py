"""What a person decides, because no machine can: each question with its reason.

A rule here never guesses. Until a person has answered it is not known, and it stands in the way;
one negative answer outweighs any number of positive ones.
"""

from policies.statute.facts import Assessment, Question
from policies.statute.finding import LAW, Finding, Kind
from policies.statute.moments import Egress, Issuance, Supervision

Assessed = Issuance | Egress | Supervision

REASONS = {
    Question.NECESSITY: "what is necessary and proportionate depends on the whole project",
    Question.QUALIFICATION: "expertise is judged from a person's record, not from a field",
    Question.DETRIMENT: "what a decision will do to a person or a group lies in the future",
    Question.ETHICS: "national ethical provisions are applied by a committee",
    Question.PUBLIC_INTEREST: "how important a public interest is must be weighed",
    Question.CLINICAL_SIGNIFICANCE: "what a finding means for a person is for a clinician",
    Question.INTELLECTUAL_PROPERTY: "how serious a risk to a secret is must be weighed",
}

_ANSWERED = {
    True: "a person agreed, or there is nothing to ask",
    False: "a person refused",
    None: "waits for a person",
}


def answer(assessments: tuple[Assessment, ...], question: Question) -> bool | None:
    """What persons have said: False if one is against, None if none with a name and a reason."""
    answers = [
        each.positive
        for each in assessments
        if each.question is question and each.person and each.reason
    ]
    return all(answers) if answers else None


def use_is_necessary(issuance: Issuance) -> Finding:
    """Art. 68(1)(b), rule R08: necessity and proportionality."""
    return _routed("R08", "Art. 66(1) and 68(1)(b)", Question.NECESSITY, issuance)


def applicant_is_qualified(issuance: Issuance) -> Finding:
    """Art. 68(1)(d), rule R04: the applicant's qualification and expertise."""
    return _routed("R04", "Art. 68(1)(d)", Question.QUALIFICATION, issuance)


def use_is_not_detrimental(moment: Issuance | Egress) -> Finding:
    """Art. 54(a), rule R05: no decision detrimental to a person or a group follows."""
    return _routed("R05", "Art. 54(a)", Question.DETRIMENT, moment)


def use_is_ethical(issuance: Issuance) -> Finding:
    """Art. 54(e), rule R05: no conflict with ethical provisions of national law."""
    return _routed("R05", "Art. 54(e) and 67(2)(j)", Question.ETHICS, issuance)


def public_interest_is_important(issuance: Issuance) -> Finding:
    """Art. 71(4), rule R11: the reasons of public interest are important; asked if claimed."""
    asked = issuance.claims_override is not False
    return _routed("R11", "Art. 71(4)", Question.PUBLIC_INTEREST, issuance, asked=asked)


def secrets_are_safe(issuance: Issuance) -> Finding:
    """Art. 52(5), rule R13: no serious risk to intellectual property or trade secrets."""
    return _routed("R13", "Art. 52(5)", Question.INTELLECTUAL_PROPERTY, issuance)


def finding_is_significant(supervision: Supervision) -> Finding:
    """Art. 58(3), 61(5), rule R25: a clinician looks at each finding before a person is told."""
    asked = supervision.findings is None or bool(supervision.findings)
    return _routed(
        "R25", "Art. 58(3) and 61(5)", Question.CLINICAL_SIGNIFICANCE, supervision, asked=asked
    )


def _routed(
    rule: str, article: str, question: Question, moment: Assessed, *, asked: bool = True
) -> Finding:
    satisfied = answer(moment.assessments, question) if asked else True
    return Finding(
        rule,
        f"ehds.person.{question.value}",
        LAW + article,
        Kind.ROUTE,
        f"a person has looked at it: {REASONS[question]}",
        _ANSWERED[satisfied],
        satisfied,
        "Ask a person who may decide this, and record the answer with its reason",
    )
