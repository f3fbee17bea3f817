"""Policies from RDF, by way of the same reader as JSON-LD.

A policy's graph is written out as the tree that `read.Reader` understands, so there is one set of
rules about what is accepted. Annotations (Dublin Core, RDFS, SKOS, FOAF) restrict nothing: they are
kept on the policy where they are Dublin Core, and left out elsewhere.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from policies.errors import PolicyError
from policies.odrl import terms, values
from policies.odrl.context import RDF_VALUE
from policies.odrl.graph import RDF, RDF_TYPE, RDFS, SKOS, iri, objects, subjects
from policies.odrl.model import Policy
from policies.odrl.read import Reader
from policies.odrl.strict import check, refusal, refuse
from policies.odrl.terms import DCT, ODRL, PolicyKind
from policies.odrl.world import closure

if TYPE_CHECKING:
    from rdflib import Graph
    from rdflib.term import Node

_MAX_NODES = 50_000
_MAX_DEPTH = 30

_RULES = frozenset({"permission", "prohibition", "obligation", "duty", "remedy", "consequence"})
_CONSTRAINTS = frozenset({"constraint", "refinement", "and", "or", "xone", "andSequence"})
_ENTITIES = frozenset({"target", "assigner", "assignee"})
# What an asset or a party says of the policy is inferred of all its rules (IM 2.2, 2.3).
_SAID_OF_POLICY = {
    "hasPolicy": "target", "assigneeOf": "assignee", "assignerOf": "assigner",
}  # fmt: skip
_ENTITY_TERMS = frozenset({RDF_TYPE, ODRL + "source", ODRL + "partOf", ODRL + "refinement"})
_ANNOTATIONS = (DCT, RDFS, SKOS, "http://purl.org/dc/elements/1.1/", "http://xmlns.com/foaf/0.1/")
_KINDS = ("Policy", *(kind.value for kind in PolicyKind))
_READER = Reader.of(lenient=True)


def policy_uids(graph: "Graph") -> list[str]:
    """The IRIs of all policies that a graph describes."""
    return subjects(graph, [ODRL + kind for kind in _KINDS])


def read_policy(graph: "Graph", uid: str) -> Policy:
    """Read one policy of a graph. Raises `PolicyError`, as `read.read` does."""
    tree = Tree(graph).policy(iri(uid))
    check(tree)
    return _READER.policy(tree)


class Tree:
    """Writes a node of a graph out as the JSON-LD tree below it."""

    def __init__(self, graph: "Graph") -> None:
        self._graph = graph
        self._budget = _MAX_NODES

    def policy(self, node: "Node") -> dict[str, object]:
        """The tree of a whole policy. Raises `PolicyError`: ODRL_CYCLE, ODRL_TOO_LARGE."""
        tree = self._tree(node, (), skip=tuple(one for one in _ANNOTATIONS if one != DCT))
        for relation, name in _SAID_OF_POLICY.items():
            said = sorted(self._graph.subjects(iri(ODRL + relation), node), key=str)
            stated = objects(self._graph, node, ODRL + name)
            nodes = list(dict.fromkeys([*stated, *said]))
            if said:
                tree[ODRL + name] = self._written(ODRL + name, nodes, (node,))
        return tree

    def value(self, node: "Node") -> object:
        """A literal, an IRI or a list as a JSON-LD value."""
        from rdflib.collection import Collection  # noqa: PLC0415 - an extra, needed by few
        from rdflib.term import Literal, URIRef  # noqa: PLC0415

        if isinstance(node, Literal):
            literal: dict[str, object] = {"@value": str(node)}
            if node.datatype is not None and str(node.datatype) != RDF + "langString":
                literal["@type"] = str(node.datatype)
            return literal
        if str(node) == RDF + "nil" or (node, iri(RDF + "first"), None) in self._graph:
            return {"@list": [self.value(item) for item in self._bounded(
                Collection(self._graph, node))]}  # fmt: skip
        if isinstance(node, URIRef):
            return {"@id": str(node)}
        raise refusal("ODRL_SYNTAX", "$", "has a blank node where a value belongs")

    def _tree(
        self, node: "Node", trail: tuple["Node", ...], *, skip: tuple[str, ...] = _ANNOTATIONS,
        only: frozenset[str] | None = None,
    ) -> dict[str, object]:  # fmt: skip
        self._budget -= 1
        if node in trail:
            refuse("ODRL_CYCLE", "$", f"leads back to itself at {values.shorten(str(node))}")
        if self._budget < 0 or len(trail) > _MAX_DEPTH:
            refuse("ODRL_TOO_LARGE", "$", "is a graph that is too large or too deep")
        tree: dict[str, object] = {}
        if self._is_named(node):
            tree["@id"] = str(node)
        for predicate in sorted(set(self._graph.predicates(node)), key=str):
            key = str(predicate)
            if key.startswith(skip) or (only is not None and key not in only):
                continue
            nodes = objects(self._graph, node, key)
            if key == RDF_TYPE:
                tree["@type"] = [str(item) for item in nodes]
            elif key == ODRL + "uid":
                if [str(item) for item in nodes] != [str(node)]:
                    refuse("ODRL_SYNTAX", "$", "has an odrl:uid that is not its own IRI")
            else:
                tree[key] = self._written(key, nodes, (*trail, node))
        return tree

    def _written(self, key: str, nodes: list["Node"], trail: tuple["Node", ...]) -> object:
        from rdflib.collection import Collection  # noqa: PLC0415 - an extra, needed by few

        name = key.removeprefix(ODRL)
        if name in _RULES | _CONSTRAINTS:
            items: list[Node] = []
            for item in nodes:
                if (item, iri(RDF + "first"), None) in self._graph:
                    items.extend(self._bounded(Collection(self._graph, item)))
                else:
                    items.append(item)
            return [self._tree(item, trail) for item in items]
        if name in _ENTITIES:
            return [self._tree(item, trail, only=_ENTITY_TERMS) for item in nodes]
        if name == "action":
            return [self._action(item, trail) for item in nodes]
        if name in ("leftOperand", "operator"):
            if len(nodes) != 1:
                refuse("ODRL_SYNTAX", "$", f"has a constraint with more than one {name}")
            return self.value(nodes[0])
        found = [self.value(item) for item in nodes]
        return found[0] if len(found) == 1 else found

    def _action(self, node: "Node", trail: tuple["Node", ...]) -> dict[str, object]:
        named = objects(self._graph, node, RDF_VALUE)
        if named:
            tree: dict[str, object] = {RDF_VALUE: self._action(named[0], (*trail, node))}
            refinements = objects(self._graph, node, ODRL + "refinement")
            if refinements:
                tree["refinement"] = self._written(ODRL + "refinement", refinements, (*trail, node))
            return tree
        if len(trail) > _MAX_DEPTH:
            refuse("ODRL_CYCLE", "$", "has an action that leads back to itself")
        tree = {"@id": str(node)}
        if not terms.is_core_action(str(node)):
            core = self._core_ancestor(str(node))
            if core is not None:
                tree["includedIn"] = core
        implied = objects(self._graph, node, ODRL + "implies")
        if implied:
            tree["implies"] = [str(item) for item in implied]
        return tree

    def _core_ancestor(self, action: str) -> str | None:
        included_in = iri(ODRL + "includedIn")
        parents = {
            str(subject): tuple(str(parent) for parent in self._graph.objects(subject, included_in))
            for subject in self._graph.subjects(included_in, None)
        }
        return next((one for one in closure(action, parents) if terms.is_core_action(one)), None)

    def _is_named(self, node: "Node") -> bool:
        from rdflib.term import BNode  # noqa: PLC0415 - an extra, needed by few

        return not isinstance(node, BNode)

    def _bounded(self, items: Iterable["Node"]) -> list["Node"]:
        found: list[Node] = []
        try:
            for item in items:
                self._budget -= 1
                if self._budget < 0:
                    refuse("ODRL_TOO_LARGE", "$", "has a list that is too long")
                found.append(item)
        except ValueError as error:  # rdflib: the list contains itself
            raise PolicyError("ODRL_CYCLE", "$ has a list that contains itself") from error
        return found
