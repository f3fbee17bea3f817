"""The nodes that a record in JSON-LD is made of: concepts of lists, texts, typed values."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from connector.dsp.healthdcat_terms import DCT, EU, HDEU, SKOS, XSD

Json = dict[str, Any]

_SCHEMES = {
    f"{EU}access-right": "Access rights",
    f"{EU}country": "Countries and territories",
    f"{EU}data-theme": "Data themes",
    f"{EU}dataset-type": "Dataset types",
    f"{EU}frequency": "Frequencies",
    f"{EU}language": "Languages",
    f"{HDEU}coding-system": "Coding systems",
    f"{HDEU}health-activity": "Health activities",
    f"{HDEU}health-theme": "Health themes",
    f"{HDEU}healthcategories": "Health categories",
    f"{HDEU}publisher-type": "Health publisher types",
    f"{HDEU}standard": "Technical standards",
}


def concept(iri: str, label: str) -> Json:
    """A concept says which list it is of, and the list says what it is: the shapes look there."""
    scheme = iri.rpartition("/")[0]
    return {
        "@id": iri,
        "@type": [f"{SKOS}Concept"],
        f"{SKOS}prefLabel": [text(label, "en")],
        f"{SKOS}inScheme": [
            {
                "@id": scheme,
                "@type": f"{SKOS}ConceptScheme",
                f"{DCT}title": [text(_SCHEMES[scheme], "en")],
            }
        ],
    }


def listed(scheme: str, names: Sequence[str], also: str = "") -> list[Json]:
    """Concepts of one list by their codes; `also` is a further type."""
    found = []
    for name in names:
        node = concept(f"{scheme}/{name}", name.replace("_", " "))
        if also:
            node["@type"].append(also)
        found.append(node)
    return found


def given(value: str | None) -> tuple[str, ...]:
    """None or one."""
    return () if value is None else (value,)


def number(value: int) -> Json:
    """A count or an age."""
    return typed(str(value), "nonNegativeInteger")


def day(value: date) -> Json:
    """A date without its time."""
    return typed(value.isoformat(), "date")


def typed(value: str, datatype: str) -> Json:
    """A literal of an XML Schema datatype."""
    return {"@value": value, "@type": XSD + datatype}


def text(value: str, language: str) -> Json:
    """A text in a language (ISO 639-1)."""
    return {"@value": value, "@language": language}
