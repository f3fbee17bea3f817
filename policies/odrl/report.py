"""The ODRL compliance report of an evaluation, in the FORCE vocabulary.

`https://w3id.org/force/compliance-report#`: a PolicyReport has one ruleReport per rule, which has a
premiseReport per condition and a conditionReport per duty. The vocabulary has two states for a
premise; what is unknown is reported as Unsatisfied, without the left operand's value. As in the
ODRL test suite, operator and right operand are repeated only where a constraint is satisfied.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from policies.errors import PolicyError
from policies.odrl import values
from policies.odrl.duties import DutyOutcome, Performance
from policies.odrl.evaluate import Evaluation, Premise, PremiseKind, RuleOutcome
from policies.odrl.graph import RDF_TYPE
from policies.odrl.model import LogicalConstraint, Permission
from policies.odrl.satisfy import Outcome, Satisfaction
from policies.odrl.terms import DCT, ODRL, XSD, Iri
from policies.odrl.values import Value

REPORT = "https://w3id.org/force/compliance-report#"

Triple = tuple[str, str, Value]


def report(evaluations: Sequence[Evaluation], *, uid: str, created: datetime) -> list[Triple]:
    """The report as triples, about all rules of one request to one policy.

    `uid` is the report's IRI, from which the IRIs of its parts are made; `created` the time of
    generation. Raises `PolicyError` (ODRL_VALUE) if there is nothing to report on.
    """
    if not evaluations:
        raise PolicyError("ODRL_VALUE", "a compliance report needs at least one evaluation")
    page = _Page(uid)
    first = evaluations[0]
    page.type(uid, "PolicyReport")
    page.add(uid, DCT + "created", created)
    page.add(uid, REPORT + "policy", Iri(first.policy.uid))
    page.add(uid, REPORT + "policyRequest", Iri(first.request.uid))
    for evaluation in evaluations:
        for rule in evaluation.rules:
            page.add(uid, REPORT + "ruleReport", Iri(_rule(page, rule, evaluation)))
    for duty in first.obligations:
        page.add(uid, REPORT + "ruleReport", Iri(_duty(page, duty)))
    return page.triples


def json_ld(triples: Sequence[Triple]) -> dict[str, object]:
    """The same triples as a JSON-LD document, one node per report."""
    nodes: dict[str, dict[str, object]] = {}
    for subject, predicate, value in triples:
        node = nodes.setdefault(subject, {"@id": subject})
        if predicate == RDF_TYPE and isinstance(value, Iri):
            node["@type"] = _short(value.value)
            continue
        entries = node.setdefault(_short(predicate), [])
        if isinstance(entries, list):
            entries.append(_json(value))
    prefixes = {"report": REPORT, "odrl": ODRL, "dct": DCT, "xsd": XSD}
    return {"@context": prefixes, "@graph": list(nodes.values())}


@dataclass(slots=True)
class _Page:
    uid: str
    triples: list[Triple] = field(default_factory=list)
    count: int = 0

    def mint(self) -> str:
        self.count += 1
        return f"{self.uid}#{self.count}"

    def type(self, subject: str, name: str) -> None:
        self.add(subject, RDF_TYPE, Iri(REPORT + name))

    def add(self, subject: str, predicate: str, value: Value) -> None:
        self.triples.append((subject, predicate, value))

    def state(self, subject: str, predicate: str, name: str) -> None:
        self.add(subject, REPORT + predicate, Iri(REPORT + name))


def _rule(page: _Page, outcome: RuleOutcome, evaluation: Evaluation) -> str:
    node = page.mint()
    allows = isinstance(outcome.rule, Permission)
    page.type(node, "PermissionReport" if allows else "ProhibitionReport")
    page.state(node, "attemptState", "Attempted")
    page.add(node, REPORT + "rule", Iri(outcome.uid))
    request = evaluation.request
    page.add(node, REPORT + "ruleRequest", Iri(request.rule_uid or request.uid))
    for premise in outcome.premises:
        page.add(node, REPORT + "premiseReport", Iri(_premise(page, premise)))
    for duty in outcome.duties:
        page.add(node, REPORT + "conditionReport", Iri(duty.record or _duty(page, duty)))
    page.state(node, "activationState", "Active" if outcome.active else "Inactive")
    return node


def _premise(page: _Page, premise: Premise) -> str:
    if premise.kind is PremiseKind.CONSTRAINT:
        return _constraint(page, premise.outcomes[0])
    node = page.mint()
    page.type(node, premise.kind.value)
    for outcome in premise.outcomes:
        page.add(node, REPORT + "premiseReport", Iri(_constraint(page, outcome)))
    page.state(node, "satisfactionState", _reported(premise.satisfaction))
    return node


def _constraint(page: _Page, outcome: Outcome) -> str:
    node = page.mint()
    constraint = outcome.constraint
    page.type(node, "ConstraintReport")
    if constraint.uid is not None:
        page.add(node, REPORT + "constraint", Iri(constraint.uid))
    if isinstance(constraint, LogicalConstraint):
        operator = Iri(ODRL + constraint.operator.value)
        page.add(node, REPORT + "constraintLogicalOperand", operator)
        for operand in outcome.operands:
            page.add(node, REPORT + "premiseReport", Iri(_constraint(page, operand)))
    else:
        for value in outcome.actual:
            page.add(node, REPORT + "constraintLeftOperand", value)
        if outcome.satisfaction is Satisfaction.SATISFIED:
            page.add(node, REPORT + "constraintOperator", Iri(ODRL + constraint.operator.value))
            right = constraint.right
            for bound in right if isinstance(right, tuple) else (right,):
                page.add(node, REPORT + "constraintRightOperand", bound)
    page.state(node, "satisfactionState", _reported(outcome.satisfaction))
    return node


def _duty(page: _Page, outcome: DutyOutcome) -> str:
    node = page.mint()
    page.type(node, "DutyReport")
    attempted = outcome.performance is Performance.PERFORMED
    page.state(node, "attemptState", "Attempted" if attempted else "NotAttempted")
    if outcome.duty.uid is not None:
        page.add(node, REPORT + "rule", Iri(outcome.duty.uid))
    page.state(node, "performanceState", outcome.performance.value)
    page.state(node, "deonticState", outcome.state.value)
    for consequence in outcome.consequences:
        page.add(node, REPORT + "conditionReport", Iri(consequence.record
                                                       or _duty(page, consequence)))  # fmt: skip
    return node


def _reported(satisfaction: Satisfaction) -> str:
    return "Satisfied" if satisfaction is Satisfaction.SATISFIED else "Unsatisfied"


def _short(iri: str) -> str:
    for prefix, namespace in (("report", REPORT), ("odrl", ODRL), ("dct", DCT)):
        if iri.startswith(namespace):
            return f"{prefix}:{iri.removeprefix(namespace)}"
    return iri


def _json(value: Value) -> object:
    text, datatype = values.spell(value)
    if isinstance(value, Iri):
        return {"@id": text}
    return text if isinstance(value, str) else {"@value": text, "@type": datatype}
