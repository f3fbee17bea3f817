"""Judges a record by SHACL, offline: our own shapes of Release 8, or any others.

rdflib and pySHACL are an extra and loaded here alone. No context is fetched: the protocol's is
replaced by an equivalent of our own before anything is parsed.
"""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from connector.dsp.healthdcat_nodes import Json
from connector.errors import LocalError
from policies.odrl.context import DSP_CONTEXT

if TYPE_CHECKING:
    from rdflib import Graph

_SH = "http://www.w3.org/ns/shacl#"
_ODRL = "http://www.w3.org/ns/odrl/2/"
_DCAT = "http://www.w3.org/ns/dcat#"

# What the protocol's context and ODRL profile say of the terms that a Dataset uses.
_TERMS: dict[str, Any] = {
    "dct": "http://purl.org/dc/terms/",
    "dcat": _DCAT,
    "odrl": _ODRL,
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dspace": "https://w3id.org/dspace/2025/1/",
    "Dataset": "dcat:Dataset",
    "Distribution": "dcat:Distribution",
    "DataService": "dcat:DataService",
    "Offer": "odrl:Offer",
    "distribution": {"@id": "dcat:distribution", "@container": "@set"},
    "hasPolicy": {"@id": "odrl:hasPolicy", "@container": "@set"},
    "format": {"@id": "dct:format", "@type": "@vocab"},
    "accessService": {"@id": "dcat:accessService"},
    "endpointURL": "dcat:endpointURL",
    "profile": {"@id": "odrl:profile", "@type": "@id"},
    "assigner": {"@id": "odrl:assigner", "@type": "@id"},
    "assignee": {"@id": "odrl:assignee", "@type": "@id"},
    "action": {"@id": "odrl:action", "@type": "@vocab"},
    "leftOperand": {"@id": "odrl:leftOperand", "@type": "@vocab"},
    "operator": {"@id": "odrl:operator", "@type": "@vocab"},
    "rightOperand": "odrl:rightOperand",
    "use": "odrl:use",
} | {
    name: {"@id": f"odrl:{name}", "@type": "@id", "@container": "@set"}
    for name in ("permission", "prohibition", "obligation", "duty", "constraint")
} | {
    name: f"odrl:{name}"
    for name in (
        "eq", "gt", "gteq", "lt", "lteq", "neq", "isA", "hasPart", "isPartOf", "isAllOf",
        "isAnyOf", "isNoneOf", "or", "xone", "and", "andSequence",
    )
}  # fmt: skip


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that a shape says. `severity` is Violation, Warning or Info."""

    severity: str
    focus: str
    path: str
    message: str


@dataclass(frozen=True)
class Report:
    """What the shapes say of a record; only violations keep it from being published."""

    findings: tuple[Finding, ...]

    @property
    def conforms(self) -> bool:
        """Whether it may be published."""
        return not any(finding.severity == "Violation" for finding in self.findings)


def validate(node: Json, shapes: str | None = None) -> Report:
    """Judge a Dataset (see `healthdcat_jsonld.dataset`) by shapes in Turtle; None: our own.

    Raises `LocalError`: EXTRA_MISSING, RECORD_UNREADABLE.
    """
    try:
        import pyshacl  # noqa: PLC0415 - an extra
        from rdflib import Graph  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise LocalError(
            "EXTRA_MISSING",
            f"a record cannot be checked without the package {error.name}",
            "Install it with: pip install 'commensal[rdf]'",
        ) from error
    rules = Graph().parse(data=shapes or release_8(), format="turtle")
    _, results, _ = pyshacl.validate(graph(node), shacl_graph=rules, inference="none")
    return Report(_findings(results))


def graph(node: Json) -> "Graph":
    """The Dataset's triples. Raises `LocalError` (RECORD_UNREADABLE) for another context."""
    from rdflib import Graph  # noqa: PLC0415 - an extra

    if node.get("@context", [DSP_CONTEXT]) != [DSP_CONTEXT]:
        raise LocalError(
            "RECORD_UNREADABLE",
            "a record names a context that is not the Dataspace Protocol's",
            f"Its one context is {DSP_CONTEXT}",
        )
    return Graph().parse(data=json.dumps(node | {"@context": _TERMS}), format="json-ld")


def release_8() -> str:
    """Our own shapes of the mandatory elements of Release 8, access level NON_PUBLIC."""
    return (files("connector.dsp") / "shapes" / "healthdcat-ap-8.ttl").read_text()


def _findings(results: "Graph") -> tuple[Finding, ...]:
    from rdflib import RDF, Namespace  # noqa: PLC0415 - an extra

    sh = Namespace(_SH)
    # What fails inside of a sh:node is repeated under sh:detail.
    nested = set(results.objects(None, sh.detail))
    found = [
        Finding(
            severity=str(results.value(result, sh.resultSeverity)).removeprefix(_SH),
            focus=str(results.value(result, sh.focusNode)),
            path=str(results.value(result, sh.resultPath) or ""),
            message=str(results.value(result, sh.resultMessage) or ""),
        )
        for result in results.subjects(RDF.type, sh.ValidationResult)
        if result not in nested
    ]
    return tuple(
        sorted(set(found), key=lambda one: (one.severity, one.path, one.focus, one.message))
    )
