"""The objects of a JSON-LD document: their keys, identifiers, terms and members.

What a key or a term means comes from the context alone; a key that the place does not know is an
error. Errors are `PolicyError`: ODRL_TERM, ODRL_SYNTAX, ODRL_VALUE, ODRL_TOO_LARGE.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from policies.odrl import terms, values
from policies.odrl.context import Context
from policies.odrl.strict import refusal, refuse, step
from policies.odrl.values import shorten

MAX_LIST = 5000
NODE = frozenset({"@id", "@type"})
_Term = TypeVar("_Term", bound=StrEnum)
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the document, with its keys in their shortest form."""

    fields: dict[str, object]
    path: str

    def at(self, key: str) -> str:
        """The path of one of its members."""
        return step(self.path, key)


@dataclass(frozen=True, slots=True)
class Nodes:
    """Reads objects and their parts in one context."""

    context: Context

    def choice(self, value: object, path: str, choices: type[_Term]) -> _Term:
        """A term that is one of `choices`."""
        iri = self.term(value, path)
        for choice in choices:
            if iri == terms.ODRL + choice.value:
                return choice
        known = ", ".join(choice.value for choice in choices)
        raise refusal(
            "ODRL_TERM", path, f"is not known here: {shorten(iri)}", f"Use one of: {known}"
        )

    def term(self, value: object, path: str) -> str:
        """The IRI of a vocabulary term: text, or `{"@id": ...}`."""
        if isinstance(value, dict) and value.keys() == {"@id"}:
            value = value["@id"]
        if not isinstance(value, str):
            refuse("ODRL_SYNTAX", path, "must be a term")
        iri = self.context.term(value)
        if not values.is_iri(iri):
            refuse("ODRL_TERM", path, f"is not a term: {shorten(value)}")
        return iri

    def identifier(self, value: object, path: str) -> str:
        """An identifier: an IRI, or for the Dataspace Protocol any text without spaces."""
        if isinstance(value, dict) and value.keys() == {"@id"}:
            value = value["@id"]
        if not isinstance(value, str):
            refuse("ODRL_SYNTAX", path, "must be an identifier")
        iri = self.context.expand(value)
        if not iri or len(iri) > values.MAX_TEXT or not iri.isprintable() or " " in iri:
            refuse("ODRL_VALUE", path, f"is not an identifier: {shorten(value)}")
        if not self.context.dataspace and not values.is_iri(iri):
            refuse("ODRL_VALUE", path, f"is not an absolute IRI: {shorten(value)}")
        return iri

    def id(self, node: Node) -> str | None:
        """The identifier of an object, if it has one."""
        if "@id" not in node.fields:
            return None
        return self.identifier(node.fields["@id"], node.at("@id"))

    def types(self, node: Node) -> set[str]:
        """The local names of an object's ODRL types."""
        raw = node.fields.get("@type", [])
        named = raw if isinstance(raw, list) else [raw]
        self.bound(named, node.at("@type"))
        iris = [self.term(item, node.at("@type")) for item in named]
        return {iri.removeprefix(terms.ODRL) for iri in iris if iri.startswith(terms.ODRL)}

    def expect_type(self, node: Node, allowed: set[str]) -> None:
        """Refuse an object that says it is something else."""
        if not self.types(node) <= allowed:
            refuse("ODRL_SYNTAX", node.at("@type"), f"must be {sorted(allowed)[0]} here")

    def each(
        self, node: Node, key: str, read_one: Callable[[object, str], _Item]
    ) -> tuple[_Item, ...]:
        """All members under a key, each read by `read_one`; one value is a list of one."""
        if key not in node.fields:
            return ()
        value = node.fields[key]
        path = node.at(key)
        if isinstance(value, dict) and value.keys() == {"@list"}:
            value = value["@list"]
        if not isinstance(value, list):
            if self.context.dataspace and key in ("permission", "prohibition", "obligation"):
                refuse("ODRL_SYNTAX", path, "must be an array in this protocol")
            return (read_one(value, path),)
        self.bound(value, path)
        return tuple(read_one(item, f"{path}[{index}]") for index, item in enumerate(value))

    def bound(self, value: list[object], path: str) -> None:
        """Refuse a list that is too long."""
        if len(value) > MAX_LIST:
            refuse("ODRL_TOO_LARGE", path, f"has more than {MAX_LIST} entries")

    def node(self, value: object, path: str, allowed: frozenset[str]) -> Node:
        """An object whose keys are all among `allowed`."""
        if not isinstance(value, dict):
            refuse("ODRL_SYNTAX", path, "must be an object, written out where it is used")
        fields: dict[str, object] = {}
        for key, item in value.items():
            name = self.context.key(key)
            if name in fields:
                if name == "@id" and fields[name] == item:
                    continue
                refuse("ODRL_SYNTAX", step(path, key), "is given twice, under two spellings")
            if name not in allowed:
                refuse("ODRL_TERM", step(path, key), f"is not known here: {shorten(key)}",
                       "Remove it; what is not understood is never ignored")  # fmt: skip
            fields[name] = item
        return Node(fields, path)
