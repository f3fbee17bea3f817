"""A decision in sentences for people, in the order in which they ask.

Verdict; what speaks against it, and what would make it pass; what is still unknown; what was
checked and holds; what follows from it; and the digests that say exactly what was decided on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from policies.decision import Constraint, Decision, Obligation, Verdict
from policies.engine import Outcome

_MOST_NAMES = 12
_PLACE = re.compile(r"\{(?:actual|bound)\}")


class Role(StrEnum):
    """What a line says, so that whoever prints it can set it apart."""

    VERDICT = "verdict"
    AGAINST = "against"
    REMEDY = "remedy"
    UNKNOWN = "unknown"
    HOLDS = "holds"
    OBLIGATION = "obligation"
    DIGEST = "digest"


@dataclass(frozen=True)
class Line:
    """A sentence without its full stop; `rule` is the code that stands for it, `basis` its source.

    `verdict` is set on the line of that role only.
    """

    role: Role
    text: str
    rule: str = ""
    basis: str = ""
    verdict: Verdict | None = None


# By rule: what is said when it fails, when it holds. Others are said by what was found and asked.
_SENTENCES = {
    "ehds.art53.purpose": (
        "the law does not list this purpose: {actual}",
        "the law lists the purpose: {actual}",
    ),
    "ehds.art54": (
        "not shown to be free of prohibited uses: {actual}",
        "the use is none that the law prohibits",
    ),
    "ehds.art68.permit": ("there is no permit in force: {actual}", "the permit is {actual}"),
    "ehds.art63.revoked": (
        "the permit is {actual}",
        "the permit is neither revoked nor suspended",
    ),
    "ehds.art68.period": (
        "the permit does not cover the time {actual}; it covers {bound}",
        "the permit covers the time, {bound}",
    ),
    "ehds.art68.use": (
        "the permit is for another data user or purpose",
        "the permit is for this data user and purpose",
    ),
    "ehds.art68.scope": (
        "the permit does not list all that is asked; {actual}",
        "the permit lists all that is asked",
    ),
    "ehds.art68.participants": (
        "{actual} hospitals take part; the permit asks for {bound}",
        "{actual} hospitals take part; the permit asks for {bound}",
    ),
    "ehds.art68.budget": (
        "the permit's privacy budget is not enough: {actual}; {bound}",
        "the permit's privacy budget is enough: {actual}; {bound}",
    ),
    "policy.dataset": (
        "the policy is for {bound}, not for {actual}",
        "the policy is for this dataset, {bound}",
    ),
    "policy.purpose": (
        "the policy does not allow the purpose {actual}; it allows {bound}",
        "the policy allows the purpose: {actual}",
    ),
    "policy.tasks": (
        "the policy does not allow these tasks: {actual}; it allows {bound}",
        "the policy allows the tasks: {actual}",
    ),
    "policy.columns": (
        "the policy does not allow these columns: {actual}; it allows {bound}",
        "the policy allows the columns: {actual}",
    ),
    "policy.outputs": (
        "the policy does not allow this output: {actual}; it allows {bound}",
        "the policy allows the output: {actual}",
    ),
    "policy.period": (
        "the policy is in force from {bound}, and not on {actual}",
        "the policy is in force, from {bound}",
    ),
    "policy.participants": (
        "{actual} hospitals take part; the policy asks for {bound}",
        "{actual} hospitals take part; the policy asks for {bound}",
    ),
    "policy.cohort": (
        "too few people; the policy asks for {bound}",
        "enough people; the policy asks for {bound}",
    ),
    "policy.epsilon-per-job": (
        "the job costs too much privacy: {actual}; the policy allows {bound}",
        "the job costs {actual}; the policy allows {bound}",
    ),
    "policy.hours-per-job": (
        "the job may run too long, {actual}; the policy allows {bound}",
        "the job runs {actual} at most; the policy allows {bound}",
    ),
    "policy.budget": (
        "the hospital's privacy budget is not enough: {actual}; {bound}",
        "the hospital's privacy budget is enough: {actual}; {bound}",
    ),
    "policy.approval": (
        "a person at the hospital has refused this permit's use of the dataset",
        "a person at the hospital has approved this permit's use of the dataset",
    ),
}
_UNKNOWN = {
    "policy.cohort": "whether there are enough people: nobody has counted yet; {bound} are asked",
    "policy.approval": "whether a person at the hospital approves: {actual}",
}


def explain(decided: Decision | Outcome) -> tuple[Line, ...]:
    """What was decided and why. Pure, and the same for the same decision."""
    decision = decided.decision() if isinstance(decided, Outcome) else decided
    return tuple(_lines(decision))


def _lines(decision: Decision) -> Iterator[Line]:
    yield Line(Role.VERDICT, _verdict(decision), verdict=decision.verdict)
    for constraint in _of(decision, satisfied=False):
        yield _line(Role.AGAINST, constraint)
        yield from _remedy(constraint)
    for constraint in _of(decision, satisfied=None):
        yield _line(Role.UNKNOWN, constraint)
        yield from _remedy(constraint)
    for constraint in _of(decision, satisfied=True):
        yield _line(Role.HOLDS, constraint)
    for obligation in decision.obligations:
        yield Line(Role.OBLIGATION, _duty(obligation), obligation.duty, obligation.basis)
    for name in ("policy", "permit", "request"):
        yield Line(Role.DIGEST, f"{name} {getattr(decision, name + '_digest')}")
    yield Line(Role.DIGEST, f"decided {decision.decided_at:%Y-%m-%d %H:%M:%S} UTC")


def _of(decision: Decision, *, satisfied: bool | None) -> Iterator[Constraint]:
    return (one for one in decision.constraints if one.satisfied is satisfied)


def _verdict(decision: Decision) -> str:
    against = len(decision.failed)
    unknown = sum(1 for _ in _of(decision, satisfied=None))
    rules = len(decision.constraints)
    if decision.verdict is Verdict.ALLOW:
        return f"allowed: all {_count(rules, 'rule')} hold"
    if decision.verdict is Verdict.DENY:
        return f"refused: {against} of {_count(rules, 'rule')} {_verb(against)} against it"
    return f"not decided: {_count(unknown, 'rule')} still {_lacks(unknown)} a fact"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _verb(number: int) -> str:
    return "speaks" if number == 1 else "speak"


def _lacks(number: int) -> str:
    return "lacks" if number == 1 else "lack"


def _line(role: Role, constraint: Constraint) -> Line:
    return Line(role, sentence(constraint), constraint.rule, constraint.basis)


def _remedy(constraint: Constraint) -> Iterator[Line]:
    if constraint.remedy:
        yield Line(Role.REMEDY, _shortened(constraint.remedy))


def sentence(constraint: Constraint) -> str:
    """One constraint in words."""
    words = {
        "{actual}": _shortened(constraint.actual),
        "{bound}": _shortened(constraint.bound),
    }
    # Not str.format: one pass, and what was asked may hold braces of its own.
    return _PLACE.sub(lambda place: words[place[0]], _pattern(constraint))


def _pattern(constraint: Constraint) -> str:
    rule = constraint.rule
    if rule.startswith("ehds.art54.") and constraint.satisfied is False:
        return "the law prohibits this use, whatever a permit or a policy says: {actual}"
    if constraint.satisfied is None:
        return _UNKNOWN.get(rule, "{actual}; asked is {bound}")
    against, holds = _SENTENCES.get(rule, ("{actual}; asked is {bound}",) * 2)
    return holds if constraint.satisfied else against


def _shortened(names: str) -> str:
    """The first of a long list: a decision repeats everything, a sentence need not."""
    listed = names.split(", ")
    if len(listed) <= _MOST_NAMES:
        return names
    return f"{', '.join(listed[:_MOST_NAMES])} and {len(listed) - _MOST_NAMES} more"


def _duty(obligation: Obligation) -> str:
    due = f", by {obligation.due:%Y-%m-%d}" if obligation.due else ""
    return f"{_PARTIES[obligation.party]}: {obligation.what}{due}"


_PARTIES = {
    "data-user": "the data user",
    "hdab": "the health data access body",
    "hospital": "the hospital",
}
