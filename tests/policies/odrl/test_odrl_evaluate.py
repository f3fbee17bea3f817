"""Decisions beyond the suite's cases: what is unknown, several values, and what is reported."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from policies.errors import PolicyError
from policies.odrl import terms
from policies.odrl.duties import follow
from policies.odrl.evaluate import evaluate
from policies.odrl.facts import read_requests
from policies.odrl.graph import parse_turtle
from policies.odrl.model import (
    Action,
    Asset,
    Constraint,
    Duty,
    LogicalConstraint,
    Party,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.odrl.rdf import policy_uids, read_policy
from policies.odrl.read import read
from policies.odrl.report import REPORT, json_ld, report
from policies.odrl.satisfy import Satisfaction, Subject, satisfy
from policies.odrl.terms import COMMENSAL, ODRL, Conflict, Iri, LogicalOperator, Operator
from policies.odrl.values import Duration
from policies.odrl.world import DeonticState, Performed, Request, World

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
USE = Scope((Action(terms.USE),))
COLUMN = COMMENSAL + "column"
ASK = Request("urn:request", ODRL + "read", "urn:lab", "urn:data")
GENOME = Constraint(COLUMN, Operator.IS_ANY_OF, ("genome",))
LISTED = Constraint(COLUMN, Operator.IS_ANY_OF, ("age", "sex"))


def columns(*names):
    return World(now=NOW, operands={COLUMN: names} if names else {})


def policy(*, allow=(), forbid=(), conflict=None, **more):
    return Policy(
        "urn:policy",
        permissions=(Permission(USE, tuple(allow)),),
        prohibitions=(Prohibition(USE, tuple(forbid)),) if forbid else (),
        conflict=conflict,
        **more,
    )


def test_a_prohibition_that_may_apply_stops_everything_although_it_is_not_active():
    outcome = evaluate(policy(forbid=[GENOME]), ASK, columns())
    prohibition = outcome.rules[1]
    assert (prohibition.active, prohibition.undetermined) == (False, True)
    assert outcome.rules[0].active is False
    assert not outcome.permitted


def test_a_prohibition_that_is_known_not_to_apply_stops_nothing():
    assert evaluate(policy(forbid=[GENOME]), ASK, columns("age")).permitted


def test_a_permission_must_hold_for_every_value_and_a_prohibition_applies_for_any():
    rules = policy(allow=[LISTED], forbid=[GENOME], conflict=Conflict.PROHIBIT)
    assert evaluate(rules, ASK, columns("age", "sex")).permitted
    mixed = evaluate(rules, ASK, columns("age", "genome"))
    assert [rule.active for rule in mixed.rules] == [False, True]


def test_what_the_requester_says_does_not_override_what_the_world_knows():
    claim = Request("urn:r", ODRL + "read", context={COLUMN: ("age",), terms.DATE_TIME: (NOW,)})
    early = Constraint(terms.DATE_TIME, Operator.LT, NOW)
    assert evaluate(policy(allow=[LISTED]), claim, World(now=NOW)).permitted
    assert not evaluate(policy(allow=[LISTED]), claim, columns("genome")).permitted
    assert not evaluate(policy(allow=[early]), claim, World(now=NOW + timedelta(1))).permitted


def test_a_request_without_target_or_party_gets_nothing_that_is_tied_to_one():
    tied = Policy(
        "urn:p", permissions=(Permission(Scope(targets=(Asset("urn:data"),))),)
    )  # fmt: skip
    assert evaluate(tied, ASK, World()).permitted
    outcome = evaluate(tied, Request("urn:r", ODRL + "read"), World())
    assert outcome.rules[0].applies is Satisfaction.UNKNOWN
    assert not outcome.permitted


def test_a_shared_target_stands_in_for_a_permission_and_adds_to_a_prohibition():
    shared = Scope(targets=(Asset("urn:data"),))
    own = Scope((Action(terms.USE),), targets=(Asset("urn:other"),))
    both = Policy(
        "urn:p", permissions=(Permission(USE), Permission(own)),
        prohibitions=(Prohibition(own),), scope=shared,
    )  # fmt: skip
    states = [rule.applies for rule in evaluate(both, ASK, World()).rules]
    assert states == [Satisfaction.SATISFIED, Satisfaction.UNSATISFIED, Satisfaction.SATISFIED]


def test_an_assigner_counts_when_the_request_names_one():
    scope = Scope((Action(terms.USE),), assigners=(Party("urn:hospital"),))
    offered = Policy("urn:p", permissions=(Permission(scope),))
    for assigner, permitted in ((None, True), ("urn:hospital", True), ("urn:stranger", False)):
        request = Request("urn:r", ODRL + "read", assigner=assigner)
        assert evaluate(offered, request, World()).permitted is permitted


def test_a_policy_that_was_replaced_permits_nothing():
    old = policy(metadata=((terms.DCT + "isReplacedBy", Iri("urn:new")),))
    outcome = evaluate(old, ASK, World())
    assert (outcome.permitted, outcome.rules[0].active) == (False, False)
    assert outcome.void == "the policy was replaced by another"


def test_contradiction_without_strategy_makes_the_policy_void_and_says_so():
    outcome = evaluate(policy(forbid=[GENOME]), ASK, columns("genome"))
    assert not outcome.permitted
    assert "contradict" in outcome.void
    assert {rule.overruled for rule in outcome.rules} == {"the policy is void"}
    kept = evaluate(policy(forbid=[GENOME], conflict=Conflict.PERM), ASK, columns("genome"))
    assert kept.permitted


def test_inherited_rules_are_needed_to_decide():
    child = policy(inherits=("urn:parent",))
    with pytest.raises(PolicyError) as caught:
        evaluate(child, ASK, World())
    assert caught.value.code == "ODRL_TERM"
    parent = Policy("urn:parent", prohibitions=(Prohibition(USE),), conflict=Conflict.PROHIBIT)
    assert not evaluate(child, ASK, World(), {"urn:parent": parent}).permitted


@pytest.mark.parametrize(
    ("operator", "right", "found", "holds"),
    [
        (Operator.EQ, "age", ("age",), True), (Operator.EQ, "age", ("age", "sex"), False),
        (Operator.NEQ, "age", ("sex",), True), (Operator.NEQ, "age", ("sex", "age"), False),
        (Operator.EQ, ("age", "sex"), ("sex", "age"), True),
        (Operator.EQ, ("age", "sex"), ("sex",), False),
        (Operator.NEQ, ("age", "sex"), ("sex",), True),
        (Operator.IS_ALL_OF, ("age", "sex"), ("sex", "age", "bmi"), True),
        (Operator.IS_ALL_OF, ("age", "sex"), ("sex",), False),
        (Operator.IS_NONE_OF, ("age", "sex"), ("bmi",), True),
        (Operator.IS_NONE_OF, ("age", "sex"), ("bmi", "sex"), False),
        (Operator.HAS_PART, "age", ("sex", "age"), True), (Operator.HAS_PART, "age", (), None),
        (Operator.IS_PART_OF, "vitals", ("pulse",), True),
        (Operator.IS_PART_OF, "vitals", ("age",), False),
        (Operator.IS_A, "measurement", ("pulse",), True),
        (Operator.HAS_PART, "pulse", ("vitals",), True),
    ],
)  # fmt: skip
def test_operators_over_sets_of_values(operator, right, found, holds):
    world = World(
        operands={COLUMN: found},
        part_of={"pulse": ("vitals",)},
        broader={"pulse": ("measurement",)},
    )
    state = satisfy(Constraint(COLUMN, operator, right), Subject(world)).satisfaction
    expected = {True: Satisfaction.SATISFIED, False: Satisfaction.UNSATISFIED}
    assert state is expected.get(holds, Satisfaction.UNKNOWN)


@pytest.mark.parametrize("operator", [Operator.LTEQ, Operator.TERM_LTEQ])
def test_both_spellings_of_at_most(operator):
    bound = Constraint(COMMENSAL + "epsilon", operator, Decimal(1))
    for value, state in (("1", Satisfaction.SATISFIED), ("1.001", Satisfaction.UNSATISFIED)):
        world = World(operands={bound.left: (Decimal(value),)})
        assert satisfy(bound, Subject(world)).satisfaction is state


def test_a_month_and_thirty_days_cannot_be_ordered_and_so_satisfy_nothing():
    month = Constraint(terms.ELAPSED_TIME, Operator.LTEQ, Duration(1, Decimal(0)))
    for days, state in ((27, "Satisfied"), (30, "Unknown"), (32, "Unsatisfied")):
        world = World(now=NOW, agreed_at=NOW - timedelta(days))
        outcome = satisfy(month, Subject(world))
        assert outcome.satisfaction.value == state
        assert bool(outcome.reason) is (state == "Unknown")


def test_unknown_operands_in_logical_constraints_follow_three_valued_logic():
    unknown = Constraint(ODRL + "count", Operator.LT, Decimal(5))
    true, false = GENOME, Constraint(COLUMN, Operator.EQ, "age")
    world = columns("genome")

    def state(operator, *operands):
        return satisfy(LogicalConstraint(operator, operands), Subject(world)).satisfaction

    assert state(LogicalOperator.OR, unknown, true) is Satisfaction.SATISFIED
    assert state(LogicalOperator.OR, unknown, false) is Satisfaction.UNKNOWN
    assert state(LogicalOperator.AND, unknown, false) is Satisfaction.UNSATISFIED
    assert state(LogicalOperator.AND, unknown, true) is Satisfaction.UNKNOWN
    assert state(LogicalOperator.XONE, unknown, true, true) is Satisfaction.UNSATISFIED
    assert state(LogicalOperator.XONE, unknown, true) is Satisfaction.UNKNOWN
    assert state(LogicalOperator.AND_SEQUENCE, true, unknown) is Satisfaction.UNKNOWN


def test_duties_are_pending_until_done_or_overdue():
    deadline = Constraint(terms.DATE_TIME, Operator.LTEQ, NOW)
    duty = Duty(Scope((Action(ODRL + "delete"),)), (deadline,))
    done = Performed(ODRL + "delete", NOW, "urn:lab")

    def state(offset, *performed):
        world = World(now=NOW + timedelta(offset), performed=performed)
        return follow(duty, ASK, world).state

    assert state(0) is DeonticState.NON_SET
    assert state(1) is DeonticState.VIOLATED
    assert state(1, done) is DeonticState.FULFILLED
    assert state(-1, done) is DeonticState.NON_SET


def test_pending_duties_are_those_of_active_permissions_and_obligations():
    duty, other = (Duty(Scope((Action(ODRL + name),))) for name in ("inform", "delete"))
    rules = Policy(
        "urn:p",
        permissions=(
            Permission(USE, (), (duty,)), Permission(Scope((Action(ODRL + "sell"),)), (), (duty,)),
        ),
        obligations=(other,),
    )  # fmt: skip
    assert [one.duty for one in evaluate(rules, ASK, World(now=NOW)).pending] == [duty, other]


def test_the_report_gives_operator_and_bound_where_satisfied_and_no_value_where_unknown():
    rules = policy(allow=[LISTED, Constraint(ODRL + "count", Operator.LT, Decimal(5))])
    evaluation = evaluate(rules, ASK, columns("age"))
    triples = report([evaluation], uid="urn:report", created=NOW)
    nodes = {}
    for subject, predicate, value in triples:
        nodes.setdefault(subject, {}).setdefault(predicate.removeprefix(REPORT), []).append(value)
    constraints = [node for node in nodes.values() if "satisfactionState" in node][1:]
    assert [node["satisfactionState"] for node in constraints] == [
        [Iri(REPORT + "Satisfied")], [Iri(REPORT + "Unsatisfied")],
    ]  # fmt: skip
    assert constraints[0]["constraintLeftOperand"] == ["age"]
    assert constraints[0]["constraintRightOperand"] == ["age", "sex"]
    assert "constraintLeftOperand" not in constraints[1]
    assert nodes["urn:report"][terms.DCT + "created"] == [NOW]
    rule = nodes["urn:report#1"]
    assert rule["rule"] == [Iri("urn:policy#permission-0")]
    assert rule["activationState"] == [Iri(REPORT + "Inactive")]


def test_the_report_as_json_ld_names_every_node_once():
    evaluation = evaluate(policy(allow=[LISTED]), ASK, columns("age"))
    document = json_ld(report([evaluation], uid="urn:report", created=NOW))
    graph = document["@graph"]
    assert len({node["@id"] for node in graph}) == len(graph) == 4
    assert graph[0]["@type"] == "report:PolicyReport"
    assert graph[0]["dct:created"] == [
        {"@value": "2026-11-22T12:00:00Z", "@type": terms.XSD + "dateTime"}
    ]


def test_turtle_and_json_ld_of_one_policy_give_the_same_model():
    turtle = b"""@prefix odrl: <http://www.w3.org/ns/odrl/2/> . @prefix ex: <http://example.org/> .
    ex:p a odrl:Offer ; odrl:assigner ex:h ; odrl:conflict odrl:perm ; odrl:permission [
      odrl:action [ rdf:value odrl:print ; odrl:refinement [ odrl:leftOperand odrl:resolution ;
        odrl:operator odrl:lteq ; odrl:rightOperand 1200 ] ] ;
      odrl:target [ a odrl:AssetCollection ; odrl:source ex:all ] ;
      odrl:constraint [ odrl:andSequence (
        [ odrl:leftOperand odrl:purpose ; odrl:operator odrl:isA ;
        odrl:rightOperand ex:b ] [ odrl:leftOperand odrl:language ; odrl:operator odrl:isAnyOf ;
        odrl:rightOperand ( "de" "fr" ) ] ) ] ] ."""
    prefix = b"@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .\n"
    graph = parse_turtle(prefix + turtle, "test")
    assert policy_uids(graph) == ["http://example.org/p"]
    document = b"""{"@context": ["http://www.w3.org/ns/odrl.jsonld", {"ex": "http://example.org/"}],
    "@type": "Offer", "uid": "ex:p", "assigner": "ex:h", "conflict": "perm", "permission": [{
      "action": {"rdf:value": "print", "refinement": {"leftOperand": "resolution",
        "operator": "lteq", "rightOperand": 1200}},
      "target": {"@type": "AssetCollection", "source": "ex:all"},
      "constraint": {"andSequence": [{"leftOperand": "purpose", "operator": "isA",
        "rightOperand": "ex:b"}, {"leftOperand": "language", "operator": "isAnyOf",
        "rightOperand": ["de", "fr"]}]}}]}"""
    assert read_policy(graph, "http://example.org/p") == read(document)


@pytest.mark.parametrize(
    ("turtle", "code"),
    [
        ("ex:c odrl:and ex:c .", "ODRL_CYCLE"),
        ("ex:c odrl:and ( ex:d ) . ex:d odrl:or ex:c .", "ODRL_CYCLE"),
        ("ex:c odrl:leftOperand ex:mood ; odrl:operator odrl:eq ; odrl:rightOperand 1 .",
         "ODRL_TERM"),
        ("ex:c odrl:leftOperand odrl:count ; odrl:rightOperand 1 ; odrl:operator odrl:eq,odrl:lt.",
         "ODRL_SYNTAX"),
        ("ex:c odrl:leftOperand odrl:count ; odrl:rightOperand 1 ; odrl:surprise 1 .",
         "ODRL_TERM"),
        ('ex:c odrl:leftOperand odrl:count ; odrl:operator odrl:lt ; odrl:rightOperand "x"^^ex:y.',
         "ODRL_VALUE"),
        ("\n".join(f"ex:c{n or ''} odrl:and ex:c{n + 1} , ex:d{n + 1} . ex:d{n + 1} odrl:and"
                   f" ex:c{n + 2} , ex:d{n + 2} ." for n in range(25)), "ODRL_TOO_LARGE"),
    ],
    ids=range(7),
)  # fmt: skip
def test_a_graph_that_is_not_a_policy_is_refused(turtle, code):
    prefixes = (
        "@prefix odrl: <http://www.w3.org/ns/odrl/2/> . @prefix ex: <http://example.org/> .\n"
        "ex:p a odrl:Set ; odrl:permission ex:r .\n"
        "ex:r odrl:action odrl:use ; odrl:constraint ex:c .\n"
    )
    graph = parse_turtle((prefixes + turtle).encode(), "test")
    with pytest.raises(PolicyError) as caught:
        read_policy(graph, "http://example.org/p")
    assert caught.value.code == code


def test_the_newer_form_of_requests_is_read():
    graph = parse_turtle(
        b"""@prefix sotw: <https://w3id.org/force/sotw#> . @prefix ex: <http://example.org/> .
        @prefix odrl: <http://www.w3.org/ns/odrl/2/> .
        ex:r a sotw:EvaluationRequest ; sotw:requestedAction odrl:read ;
          sotw:requestingParty ex:alice ; sotw:requestedTarget ex:x ; sotw:requestParameter
            [ sotw:value "2026-11-22T12:00:00Z" ; sotw:describesFeature sotw:TemporalData ] ,
            [ sotw:value ex:care ; sotw:describesFeature sotw:Purpose ] .""",
        "test",
    )
    assert read_requests(graph, "http://example.org/r") == [
        Request(
            "http://example.org/r", ODRL + "read", "http://example.org/alice", "http://example.org/x",
            context={terms.DATE_TIME: (NOW,), terms.PURPOSE: (Iri("http://example.org/care"),)},
        )
    ]  # fmt: skip
