"""Requests and states of the world from RDF.

Requests: `odrl:Request` with permissions (a constraint `operand eq value` states a context), or the
newer `sotw:EvaluationRequest`. States of the world are those of the ODRL test suite; wider facts
are given by what the state includes. Hierarchies and memberships are definitions and no facts of
one state: they are read from the whole graph, and from the policy's.

    [ odrl:leftOperand odrl:count ; odrl:rightOperand 3 ; dct:issued "..." ]  a value, since when
    ex:alice odrl:partOf ex:staff ; odrl:industry ex:health              memberships, attributes
    [ odrl:action odrl:inform ; odrl:assignee ex:alice ; dct:issued "..." ]   what was performed
    ex:launch commensal:startedAt "..." ; commensal:endedAt "..."             an event
    ex:x a ex:Kind ; skos:broader ex:y ; odrl:includedIn odrl:use             concepts, actions
    <state> commensal:agreedAt "..."                                          start of the clocks
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from policies.odrl import inherit, terms, values
from policies.odrl.constraints import Constraints
from policies.odrl.context import PLAIN, RDF_VALUE
from policies.odrl.graph import RDF_TYPE, RDFS, SKOS, iri, objects, one, subjects
from policies.odrl.nodes import Nodes
from policies.odrl.rdf import Tree
from policies.odrl.report import REPORT
from policies.odrl.strict import refuse
from policies.odrl.terms import COMMENSAL, DCT, ODRL, Kind
from policies.odrl.world import DeonticState, DutyRecord, Performed, Request, Values, World

if TYPE_CHECKING:
    from rdflib import Graph
    from rdflib.term import Node

SOTW = "https://w3id.org/force/sotw#"
EXAMPLE = "http://example.org/"
CURRENT_TIME = "http://example.com/request/currentTime"
_READER = Constraints(Nodes(PLAIN))


def request_uids(graph: "Graph") -> list[str]:
    """The IRIs of all requests that a graph describes."""
    return subjects(graph, [ODRL + "Request", SOTW + "EvaluationRequest"])


def read_requests(graph: "Graph", uid: str) -> list[Request]:
    """Read a request: one entry per permission that it asks for. Raises `PolicyError`."""
    node = iri(uid)
    if (node, iri(RDF_TYPE), iri(SOTW + "EvaluationRequest")) in graph:
        return [_evaluation_request(graph, node)]
    rules = objects(graph, node, ODRL + "permission")
    if not rules or objects(graph, node, ODRL + "prohibition"):
        refuse("ODRL_SYNTAX", "$", "is a request that asks for no permission")
    return [_rule_request(graph, node, rule) for rule in rules]


def read_world(graph: "Graph", uid: str, policies: "Graph | None" = None) -> World:
    """Read a state of the world: the facts about everything that it includes.

    `policies` is the graph of the policy, which may define hierarchies and memberships too. Raises
    `PolicyError`: ODRL_VALUE, ODRL_CYCLE (a collection that is part of itself).
    """
    state = iri(uid)
    included = [
        *objects(graph, state, EXAMPLE + "includes"), *objects(graph, state, SOTW + "includes")
    ]  # fmt: skip
    everything = included or list(dict.fromkeys(graph.subjects()))
    return _World(graph, everything, state, policies).read()


def _evaluation_request(graph: "Graph", node: "Node") -> Request:
    parameters = objects(graph, node, SOTW + "requestParameter")
    context, units = _stated(graph, parameters, _feature)
    return Request(
        uid=str(node),
        action=one(graph, node, SOTW + "requestedAction"),
        assignee=one(graph, node, SOTW + "requestingParty"),
        target=one(graph, node, SOTW + "requestedTarget"),
        context=context,
        units=units,
    )


def _rule_request(graph: "Graph", node: "Node", rule: "Node") -> Request:
    actions = objects(graph, rule, ODRL + "action")
    stated = list(objects(graph, rule, ODRL + "constraint"))
    action = str(actions[0]) if actions else None
    if actions and objects(graph, actions[0], RDF_VALUE):
        stated.extend(objects(graph, actions[0], ODRL + "refinement"))
        action = one(graph, actions[0], RDF_VALUE)
    context, units = _stated(graph, stated, _statement)
    return Request(
        uid=str(node),
        rule_uid=str(rule),
        action=action,
        assignee=one(graph, rule, ODRL + "assignee"),
        assigner=one(graph, rule, ODRL + "assigner"),
        target=one(graph, rule, ODRL + "target"),
        context=context,
        units=units,
    )


def _stated(
    graph: "Graph", nodes: Iterable["Node"], read: "Callable[[Graph, Node], tuple[str, Values]]"
) -> tuple[dict[str, Values], dict[str, str]]:
    """What a requester says of each operand, and in which unit."""
    context: dict[str, Values] = {}
    units: dict[str, str | None] = {}
    for node in nodes:
        operand, found = read(graph, node)
        unit = one(graph, node, ODRL + "unit")
        if units.setdefault(operand, unit) != unit:
            refuse("ODRL_VALUE", "$", "states one operand in more than one unit")
        context[operand] = (*context.get(operand, ()), *found)
    return context, {operand: unit for operand, unit in units.items() if unit is not None}


def _statement(graph: "Graph", node: "Node") -> tuple[str, Values]:
    """`operand eq value` as a fact. Any other operator would not say what the value is."""
    operator = one(graph, node, ODRL + "operator")
    if operator not in (None, ODRL + "eq"):
        refuse("ODRL_VALUE", "$", "states a fact with an operator other than odrl:eq")
    operand = one(graph, node, ODRL + "leftOperand") or ""
    return operand, _operand_values(graph, operand, objects(graph, node, ODRL + "rightOperand"))


def _feature(graph: "Graph", node: "Node") -> tuple[str, Values]:
    feature = one(graph, node, SOTW + "describesFeature") or ""
    name = feature.removeprefix(SOTW)
    operand = feature
    if name != feature:
        operand = ODRL + {"TemporalData": "dateTime"}.get(name, name[:1].lower() + name[1:])
    return operand, _operand_values(graph, operand, objects(graph, node, SOTW + "value"))


def _operand_values(graph: "Graph", operand: str, nodes: Iterable["Node"]) -> Values:
    if operand not in terms.LEFT_OPERANDS:
        refuse("ODRL_TERM", "$", f"states an operand that is not known: {values.shorten(operand)}")
    tree = Tree(graph)
    found: list[values.Value] = []
    for item in nodes:
        value = _READER.right_operand(tree.value(item), terms.LEFT_OPERANDS[operand], "$")
        found.extend(value if isinstance(value, tuple) else (value,))
    return tuple(found)


class _World:
    """Collects the facts about the included nodes, and about all that they are part of."""

    def __init__(
        self, graph: "Graph", included: list["Node"], state: "Node", policies: "Graph | None"
    ) -> None:
        self._graph = graph
        self._defining = [graph] if policies is None or policies is graph else [graph, policies]
        self._included = included
        self._state = state

    def read(self) -> World:
        part_of = self._relation(ODRL + "partOf", inverse=(ODRL + "hasPart",))
        inherit.refuse_cycle(part_of, "$", "partOf")
        operands: dict[str, Values] = {}
        since: dict[str, datetime] = {}
        units: dict[str, str] = {}
        for node in self._included:
            for operand, found in self._facts(node):
                operands[operand] = (*operands.get(operand, ()), *found)
                issued = self._time(node, DCT + "issued")
                if issued is not None:
                    since[operand] = issued
                unit = one(self._graph, node, ODRL + "unit")
                if unit is not None:
                    units[operand] = unit
        now = self._now(operands.pop(terms.DATE_TIME, ()))
        return World(
            now=now, operands=operands, units=units, since=since,
            attributes=self._attributes(), part_of=part_of,
            broader=self._broader(),
            included_in=self._actions(),
            implies=self._relation(ODRL + "implies"),
            events=self._events(), performed=self._performed(), records=self._records(),
            agreed_at=self._time(self._state, COMMENSAL + "agreedAt"),
        )  # fmt: skip

    def _now(self, stated: Values) -> datetime | None:
        for node in self._included:
            if str(node) in (CURRENT_TIME, SOTW + "currentTime"):
                return self._time(node, DCT + "issued")
        if len(stated) > 1:
            refuse("ODRL_VALUE", "$", "gives more than one current time")
        return next((value for value in stated if isinstance(value, datetime)), None)

    def _facts(self, node: "Node") -> Iterable[tuple[str, Values]]:
        if objects(self._graph, node, ODRL + "leftOperand"):
            yield _statement(self._graph, node)
        if objects(self._graph, node, SOTW + "describesFeature"):
            yield _feature(self._graph, node)

    def _relation(
        self, *predicates: str, inverse: tuple[str, ...] = ()
    ) -> dict[str, tuple[str, ...]]:
        """From each node to the next ones; `inverse` are the relations that say it backwards."""
        pairs = {
            (str(subject), str(target))
            for graph in self._defining
            for name in predicates
            for subject, target in graph.subject_objects(iri(name))
        } | {
            (str(target), str(subject))
            for graph in self._defining
            for name in inverse
            for subject, target in graph.subject_objects(iri(name))
        }
        table: dict[str, tuple[str, ...]] = {}
        for narrow, wide in sorted(pairs):
            table[narrow] = (*table.get(narrow, ()), wide)
        return table

    def _broader(self) -> dict[str, tuple[str, ...]]:
        table = self._relation(
            RDF_TYPE, SKOS + "broader", SKOS + "broaderTransitive", RDFS + "subClassOf",
            DCT + "isPartOf",
            inverse=(SKOS + "narrower", SKOS + "narrowerTransitive", DCT + "hasPart"),
        )  # fmt: skip
        names = sorted({*table, *terms.DPV_BROADER})
        return {name: (*table.get(name, ()), *terms.DPV_BROADER.get(name, ())) for name in names}

    def _actions(self) -> dict[str, tuple[str, ...]]:
        # ODRL's own actions are placed by ODRL, unless the state itself includes them.
        included = {str(node) for node in self._included}
        return {
            name: wider
            for name, wider in self._relation(ODRL + "includedIn").items()
            if name in included or not terms.is_core_action(name)
        }

    def _attributes(self) -> dict[str, dict[str, Values]]:
        table: dict[str, dict[str, Values]] = {}
        for node in self._included:
            found = self._operands_of(node)
            if found:
                table[str(node)] = found
        return table

    def _operands_of(self, node: "Node") -> dict[str, Values]:
        named = dict.fromkeys(str(predicate) for predicate in self._graph.predicates(node))
        return {
            name: _operand_values(self._graph, name, objects(self._graph, node, name))
            for name in named
            if name in terms.LEFT_OPERANDS
        }

    def _performed(self) -> tuple[Performed, ...]:
        found = []
        for node in self._included:
            action = one(self._graph, node, ODRL + "action")
            at = self._time(node, DCT + "issued")
            if action is None or at is None:
                continue
            party = one(self._graph, node, ODRL + "assignee")
            target = one(self._graph, node, ODRL + "target")
            found.append(Performed(action, at, party, target, self._operands_of(node)))
        return tuple(found)

    def _records(self) -> tuple[DutyRecord, ...]:
        # Reports nest as ours do: of a policy, of its rules, of their duties and consequences.
        nodes = dict.fromkeys(self._included)
        pending = list(nodes)
        while pending:
            node = pending.pop()
            below = [
                *objects(self._graph, node, REPORT + "ruleReport"),
                *objects(self._graph, node, REPORT + "conditionReport"),
            ]
            pending.extend(one for one in below if one not in nodes)
            nodes.update(dict.fromkeys(below))
        found = []
        for node in nodes:
            duty = one(self._graph, node, REPORT + "rule")
            state = one(self._graph, node, REPORT + "deonticState")
            if duty is None or state is None:
                continue
            name = state.removeprefix(REPORT)
            if name not in {one.value for one in DeonticState}:
                refuse("ODRL_VALUE", "$", "records a duty in a state that is not known")
            found.append(DutyRecord(str(node), duty, DeonticState(name)))
        return tuple(found)

    def _events(self) -> dict[str, tuple[datetime, datetime]]:
        table = {}
        for node in self._included:
            start = self._time(node, COMMENSAL + "startedAt")
            if start is not None:
                table[str(node)] = (start, self._time(node, COMMENSAL + "endedAt") or start)
        return table

    def _time(self, node: "Node", predicate: str) -> datetime | None:
        text = one(self._graph, node, predicate)
        if text is None:
            return None
        value = values.parse(text, {Kind.INSTANT}, "$")
        return value if isinstance(value, datetime) else None
