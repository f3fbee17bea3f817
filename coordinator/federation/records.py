"""A peer's record of a dataset: taken apart into texts, whichever connector has written it.

A record is JSON-LD in one of several spellings: full IRIs or prefixes, one value or a list, plain
texts or such with a language. What is not understood is passed over; nothing here can fail.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from connector.dsp.healthdcat_terms import CSVW, DCAT, DCT, HEALTH
from coordinator.federation.fulltext import Texts

Json = dict[str, Any]
_PREFIXES = {
    DCT: ("dct:", "dcterms:", ""),
    DCAT: ("dcat:", ""),
    CSVW: ("csvw:", ""),
    HEALTH: ("healthdcatap:", ""),
}
_MAX_VALUES = 2000  # of one property


@dataclass(frozen=True)
class Summary:
    """What a list of records shows; counts are as published (see `healthdcat.banded`)."""

    title: str
    description: str
    keywords: tuple[str, ...]
    records: str
    persons: str


def spell(record: Json) -> str:
    """The record's one spelling here, in ASCII, whatever its order of keys."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"))


def digest(spelled: str) -> str:
    """`sha256:<hex>` of a record as it is stored."""
    return "sha256:" + hashlib.sha256(spelled.encode()).hexdigest()


def texts(record: Json) -> Texts:
    """What a record is found by; its own id counts as a keyword."""
    said = [*_texts(record, DCAT, "keyword"), str(record.get("@id", ""))]
    return Texts(
        title=" ".join(_texts(record, DCT, "title")),
        keywords=" ".join(said),
        description=" ".join(_texts(record, DCT, "description")),
        variables=" ".join(_variables(record)),
    )


def summary(record: Json) -> Summary:
    """What is shown of a record."""
    return Summary(
        title=next(_texts(record, DCT, "title"), str(record.get("@id", ""))),
        description=next(_texts(record, DCT, "description"), ""),
        keywords=tuple(dict.fromkeys(_texts(record, DCAT, "keyword"))),
        records=next(_texts(record, HEALTH, "numberOfRecords"), ""),
        persons=next(_texts(record, HEALTH, "numberOfUniqueIndividuals"), ""),
    )


def _variables(record: Json) -> Iterator[str]:
    for group in _nodes(record, HEALTH, "hasVariables"):
        for table in _nodes(group, CSVW, "table"):
            for column in _nodes(table, CSVW, "column"):
                yield from dict.fromkeys(
                    [
                        *_texts(column, CSVW, "name"),
                        *_texts(column, CSVW, "title"),
                        *_texts(column, CSVW, "titles"),
                        *_texts(column, DCT, "description"),
                    ]
                )


def _texts(node: Json, namespace: str, name: str) -> Iterator[str]:
    for value in _values(node, namespace, name):
        said = value.get("@value") if isinstance(value, dict) else value
        if isinstance(said, str | int | float) and not isinstance(said, bool) and str(said).strip():
            yield str(said)


def _nodes(node: Json, namespace: str, name: str) -> Iterator[Json]:
    return (value for value in _values(node, namespace, name) if isinstance(value, dict))


def _values(node: Json, namespace: str, name: str) -> list[Any]:
    for key in (namespace + name, *(prefix + name for prefix in _PREFIXES[namespace])):
        if key in node:
            value = node[key]
            return value[:_MAX_VALUES] if isinstance(value, list) else [value]
    return []
