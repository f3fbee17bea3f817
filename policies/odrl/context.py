"""JSON-LD contexts as tables of terms. Nothing is ever fetched.

Two contexts are known: the Dataspace Protocol's (2025/1) and W3C's for ODRL 2.2. An inline context
may add prefixes and nothing else: one that redefines a term could make a prohibition unreadable.
"""

from dataclasses import dataclass

from policies.odrl import values
from policies.odrl.strict import refuse, step
from policies.odrl.terms import CC, DCT, ODRL, XSD

DSP_CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
ODRL_CONTEXT = "http://www.w3.org/ns/odrl.jsonld"
RDF_VALUE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#value"
_MAX_CONTEXTS = 16
_MAX_PREFIXES = 64

_DSP_PREFIXES = {
    "xsd": XSD,
    "dct": DCT,
    "dcat": "http://www.w3.org/ns/dcat#",
    "odrl": ODRL,
    "dspace": "https://w3id.org/dspace/2025/1/",
}
_ODRL_PREFIXES = {
    "odrl": ODRL,
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "dct": DCT,
    "xsd": XSD,
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "schema": "http://schema.org/",
    "cc": CC,
}


@dataclass(frozen=True, slots=True)
class Context:
    """The prefixes in force, and whether the Dataspace Protocol's rules for messages apply."""

    prefixes: dict[str, str]
    dataspace: bool

    def expand(self, text: str) -> str:
        """Expand `prefix:name`; an absolute IRI or a plain name is returned as it is."""
        prefix, colon, name = text.partition(":")
        if colon and not name.startswith("//") and prefix in self.prefixes:
            return self.prefixes[prefix] + name
        return text

    def term(self, text: str) -> str:
        """The IRI of a vocabulary term: plain names are ODRL's own."""
        return self.expand(text) if ":" in text else ODRL + text

    def key(self, text: str) -> str:
        """The name of a key in its shortest form: ODRL's by local name, others by IRI."""
        if text.startswith("@"):
            return text
        expanded = self.expand(text)
        return {"uid": "@id", "type": "@type"}.get(
            expanded.removeprefix(ODRL), expanded.removeprefix(ODRL)
        )


DATASPACE = Context(_DSP_PREFIXES, dataspace=True)
PLAIN = Context(_ODRL_PREFIXES, dataspace=False)


def read_context(value: object, path: str) -> Context:
    """Read `@context`. Raises `PolicyError`: ODRL_SYNTAX, ODRL_TERM (a context we do not know)."""
    entries = value if isinstance(value, list) else [value]
    if not entries or len(entries) > _MAX_CONTEXTS:
        refuse("ODRL_SYNTAX", path, f"must name 1 to {_MAX_CONTEXTS} contexts")
    prefixes: dict[str, str] = {}
    named: set[str] = set()
    for index, entry in enumerate(entries):
        place = f"{path}[{index}]" if isinstance(value, list) else path
        if entry in (DSP_CONTEXT, ODRL_CONTEXT) and isinstance(entry, str):
            named.add(entry)
            _add(prefixes, _DSP_PREFIXES if entry == DSP_CONTEXT else _ODRL_PREFIXES, place)
        elif isinstance(entry, dict):
            _add(prefixes, _inline(entry, place), place)
        else:
            shown = values.shorten(entry) if isinstance(entry, str) else "neither text nor object"
            refuse("ODRL_TERM", place, f"is a context that is not known here: {shown}",
                   f"Use {DSP_CONTEXT} or {ODRL_CONTEXT}")  # fmt: skip
    if not named:
        refuse("ODRL_SYNTAX", path, "names no ODRL context", f"Use {ODRL_CONTEXT}")
    return Context(prefixes, dataspace=DSP_CONTEXT in named)


def _add(prefixes: dict[str, str], more: dict[str, str], path: str) -> None:
    for prefix, namespace in more.items():
        if prefixes.setdefault(prefix, namespace) != namespace:
            refuse("ODRL_SYNTAX", step(path, prefix), "gives a prefix a second meaning")
    if len(prefixes) > _MAX_PREFIXES:
        refuse("ODRL_TOO_LARGE", path, f"has more than {_MAX_PREFIXES} prefixes")


def _inline(entry: dict[str, object], path: str) -> dict[str, str]:
    added: dict[str, str] = {}
    for prefix, namespace in entry.items():
        place = step(path, prefix)
        if not isinstance(namespace, str) or not namespace.endswith(("#", "/", ":")):
            refuse("ODRL_TERM", place, "is not a prefix; an inline context may only add prefixes")
        if not values.is_iri(namespace + "x") or not _is_prefix(prefix):
            refuse("ODRL_SYNTAX", place, "does not bind a prefix to an absolute IRI")
        added[prefix] = namespace
    return added


def _is_prefix(text: str) -> bool:
    # A scheme as a prefix ("https") would rewrite every absolute IRI of the document.
    schemes = {"http", "https", "urn", "did", "file", "data"}
    return text.isascii() and text.replace("-", "").isalnum() and text.lower() not in schemes
