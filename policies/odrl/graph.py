"""Reading RDF: a graph from Turtle, and what a node says.

rdflib is imported when it is first needed (extra `rdf`); only its Turtle parser is used, which
fetches nothing.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from policies.errors import PolicyError
from policies.odrl import values
from policies.odrl.strict import refuse

if TYPE_CHECKING:
    from rdflib import Graph
    from rdflib.term import Node

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDF_TYPE = RDF + "type"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
MAX_BYTES = 4 << 20


def parse_turtle(content: bytes, name: str) -> "Graph":
    """Parse Turtle of at most 4 MiB. Raises `PolicyError`: ODRL_SYNTAX, ODRL_TOO_LARGE."""
    import rdflib  # noqa: PLC0415 - an extra, needed by few

    # Values are judged by `values`, in the spelling that was written: rdflib would normalise some
    # away (nanoseconds), and log the others with their text.
    rdflib.NORMALIZE_LITERALS = False
    logging.getLogger("rdflib.term").disabled = True
    if len(content) > MAX_BYTES:
        raise PolicyError("ODRL_TOO_LARGE", f"{name} has more than {MAX_BYTES} bytes")
    graph = rdflib.Graph(bind_namespaces="none")
    try:
        graph.parse(data=content, format="turtle")
    except (Exception, RecursionError) as error:
        raise PolicyError("ODRL_SYNTAX", f"{name} is not Turtle", "Correct the file") from error
    return graph


def load_turtle(path: Path) -> "Graph":
    """Read a Turtle file. Raises `PolicyError`, OSError."""
    with path.open("rb") as file:
        return parse_turtle(file.read(MAX_BYTES + 1), path.name)


def iri(text: str) -> "Node":
    """The node that an IRI names."""
    from rdflib.term import URIRef  # noqa: PLC0415 - an extra, needed by few

    return URIRef(text)


def objects(graph: "Graph", node: "Node", predicate: str) -> list["Node"]:
    """What a node says by a predicate, in a fixed order."""
    # Sorted, because a graph has no order and two runs must report alike.
    return sorted(graph.objects(node, iri(predicate), unique=True), key=str)


def one(graph: "Graph", node: "Node", predicate: str) -> str | None:
    """The only value of a predicate, as text; None if there is none. Raises `PolicyError`."""
    found = objects(graph, node, predicate)
    if len(found) > 1:
        refuse("ODRL_SYNTAX", "$", f"has more than one value of {values.shorten(predicate)}")
    return str(found[0]) if found else None


def subjects(graph: "Graph", types: list[str]) -> list[str]:
    """The IRIs of all nodes of one of these types."""
    return sorted({
        str(subject) for name in types for subject in graph.subjects(iri(RDF_TYPE), iri(name))
    })  # fmt: skip
