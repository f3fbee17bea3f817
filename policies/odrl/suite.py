"""Runs ODRL test cases in the format of SolidLab's ODRL-Test-Suite, any directory of them.

`ex:TestCase { ex:policy, ex:request, ex:sotw, ex:expectedReport }` in Turtle. What a case refers to
is looked up in the case's own file first, then in all files below the directory; each file is its
own graph, because states of the world reuse IRIs.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from policies.errors import PolicyError
from policies.odrl import facts, rdf
from policies.odrl.evaluate import evaluate
from policies.odrl.graph import RDF_TYPE, iri, load_turtle, one, subjects
from policies.odrl.model import Policy
from policies.odrl.report import REPORT, Triple, report
from policies.odrl.terms import DCT, Iri
from policies.odrl.world import Request, World

if TYPE_CHECKING:
    from rdflib import Graph

_CASE = facts.EXAMPLE + "TestCase"
_MAX_FILES = 5000
_RULE_REPORTS = frozenset({"PermissionReport", "ProhibitionReport"})
_PREMISES = frozenset({"TargetReport", "PartyReport", "ActionReport"})
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

Facts = Counter[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case went. `error` is the code of the `PolicyError` that ended it, with its message.

    `activation`: every rule has the expected state. `constraints`: every constraint the expected
    satisfaction. `premises`: so do target, party and action.
    """

    case: str
    title: str
    activation: bool
    constraints: bool
    premises: bool
    expected: tuple[str, ...] = ()
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether all three agree with the expected report."""
        return self.activation and self.constraints and self.premises


def run_cases(directory: Path) -> list[CaseResult]:
    """Run every test case below a directory, in the order of file names.

    A case that cannot be read is a result with an error, not an end. Raises `PolicyError`
    (ODRL_TOO_LARGE, ODRL_SYNTAX) if the directory as a whole cannot be read.
    """
    paths = sorted(directory.rglob("*.ttl"))
    if len(paths) > _MAX_FILES:
        raise PolicyError("ODRL_TOO_LARGE", f"more than {_MAX_FILES} Turtle files in a suite")
    library = _Library({path: load_turtle(path) for path in paths})
    return [
        _run(library, path, case)
        for path, graph in library.graphs.items()
        for case in subjects(graph, [_CASE])
    ]


class _Library:
    """All graphs of a suite, and in which of them each thing is described."""

    def __init__(self, graphs: dict[Path, "Graph"]) -> None:
        self.graphs = graphs
        self._described: dict[str, list[Path]] = {}
        for path, graph in graphs.items():
            for subject in set(graph.subjects(iri(RDF_TYPE), None)):
                self._described.setdefault(str(subject), []).append(path)

    def graph_of(self, uid: str, near: Path) -> "Graph":
        places = self._described.get(uid, [])
        if not places:
            raise PolicyError("ODRL_SYNTAX", "a test case refers to something that is not there")
        return self.graphs[near if near in places else places[0]]

    def policies(self, policy: Policy, near: Path) -> Mapping[str, Policy]:
        """The policies that one inherits from, as far as they are here."""
        known: dict[str, Policy] = {}
        pending = list(policy.inherits)
        while pending:
            uid = pending.pop()
            if uid in known or uid not in self._described:
                continue
            known[uid] = rdf.read_policy(self.graph_of(uid, near), uid)
            pending.extend(known[uid].inherits)
        return known


def _run(library: _Library, path: Path, case: str) -> CaseResult:
    graph = library.graphs[path]
    node = iri(case)
    title = one(graph, node, DCT + "title") or ""
    try:
        wanted = _expected(library, path, case)
        found = facts_of(_produced(library, path, case))
    except PolicyError as error:
        return CaseResult(case, title, False, False, False, (), f"{error.code}: {error.message}")
    return CaseResult(
        case, title,
        activation=wanted.rules == found.rules,
        constraints=not wanted.constraints - found.constraints,
        premises=wanted.premises == found.premises,
        expected=tuple(sorted(fact[-1] for fact in wanted.rules.elements())),
    )  # fmt: skip


def _reference(graph: "Graph", case: str, name: str) -> str:
    uid = one(graph, iri(case), facts.EXAMPLE + name)
    if uid is None:
        raise PolicyError("ODRL_SYNTAX", f"a test case has no ex:{name}")
    return uid


def _produced(library: _Library, path: Path, case: str) -> list[Triple]:
    graph = library.graphs[path]
    uid = _reference(graph, case, "policy")
    policy = rdf.read_policy(library.graph_of(uid, path), uid)
    request = _reference(graph, case, "request")
    requests: list[Request] = facts.read_requests(library.graph_of(request, path), request)
    state = _reference(graph, case, "sotw")
    world: World = facts.read_world(
        library.graph_of(state, path), state, library.graph_of(uid, path)
    )
    known = library.policies(policy, path)
    evaluations = [evaluate(policy, one, world, known) for one in requests]
    return report(evaluations, uid=case + "-report", created=world.now or _EPOCH)


def _expected(library: _Library, path: Path, case: str) -> "_Facts":
    graph = library.graphs[path]
    uid = _reference(graph, case, "expectedReport")
    return facts_of(_below(library.graph_of(uid, path), uid))


def _below(graph: "Graph", uid: str) -> Iterator[Triple]:
    """The triples of an expected report. One report in a file owns all of the file's nodes."""
    reports = subjects(graph, [REPORT + "PolicyReport"])
    sole = len(reports) == 1
    pending, seen = [iri(uid)], set()
    if sole:
        # The published suite has reports whose premises are named by the wrong IRI (065).
        pending.extend(set(graph.subjects(iri(RDF_TYPE), None)))
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        for predicate, value in graph.predicate_objects(node):
            yield str(node), str(predicate), Iri(str(value))
            if str(predicate) in (REPORT + "ruleReport", REPORT + "premiseReport"):
                pending.append(value)


@dataclass(frozen=True, slots=True)
class _Facts:
    rules: Facts
    constraints: Facts
    premises: Facts


def facts_of(triples: Iterator[Triple] | list[Triple]) -> _Facts:
    """What two reports are compared by: states, without the IRIs of the reports' own nodes."""
    nodes: dict[str, dict[str, str]] = {}
    for subject, predicate, value in triples:
        text = value.value if isinstance(value, Iri) else str(value)
        name = "type" if predicate == RDF_TYPE else predicate.removeprefix(REPORT)
        nodes.setdefault(subject, {})[name] = text.removeprefix(REPORT)
    rules, constraints, premises = Facts(), Facts(), Facts()
    for node in nodes.values():
        kind, state = node.get("type", ""), node.get("satisfactionState", "")
        if kind in _RULE_REPORTS:
            rule = node.get("rule", "")
            rules[kind, rule, node.get("ruleRequest", ""), node.get("activationState", "")] += 1
        elif kind in _PREMISES:
            premises[kind, state] += 1
        elif kind == "ConstraintReport":
            constraints[node.get("constraint", ""), state] += 1
    return _Facts(rules, constraints, premises)
