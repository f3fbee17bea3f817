"""Reading one node's catalogue over the Dataspace Protocol, page by page, all of it or nothing.

A node may answer anything. Bytes, pages and datasets are bounded; the next page is looked for
at the same place only (threat: a link that steers the coordinator to another address).
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol
from urllib.parse import urljoin, urlsplit

from connector.dsp.client import Answer
from connector.dsp.messages import CatalogRequestMessage
from connector.errors import RemoteError
from coordinator.federation import records

MAX_PAGE = 16 << 20
MAX_BYTES = 128 << 20
MAX_RECORD = 1 << 20
MAX_PAGES = 2000
MAX_DATASETS = 20_000
_PAGE_SECONDS = 60.0
_ID = re.compile(r"[\x21-\x7e]{1,255}")
_OK = 200


class Fetcher(Protocol):
    """How a page is fetched; see `client.PeerClient`."""

    async def fetch(
        self, counterparty: str, url: str, message: dict[str, Any] | None,
        *, query: str = "", most: int = ..., seconds: float = ...,
    ) -> Answer:  # fmt: skip
        """Raises `RemoteError` for what a peer or the network does."""


Seen = dict[str, str | None]  # dataset -> its record as it is stored; None: as it was known


async def read(fetcher: Fetcher, participant: str, address: str, known: Mapping[str, str]) -> Seen:
    """All datasets that a node shows us; `known` holds digests of records that need no keeping.

    Raises `RemoteError`: those of `PeerClient.fetch`, CATALOGUE_REFUSED, CATALOGUE_MALFORMED,
    CATALOGUE_NOT_THEIRS, CATALOGUE_PAGES, CATALOGUE_TOO_LARGE.
    """
    url = f"{address.rstrip('/')}/catalog/request"
    message = CatalogRequestMessage().spell()
    seen: Seen = {}
    room, query, asked = MAX_BYTES, "", set[str]()
    while query not in asked:
        asked.add(query)
        answer = await fetcher.fetch(
            participant, url, message,
            query=query, most=min(MAX_PAGE, room), seconds=_PAGE_SECONDS,
        )  # fmt: skip
        room -= len(answer.content)
        # A page of many records takes a while to read; others are served meanwhile.
        seen |= await asyncio.to_thread(page, answer, participant, known)
        if not answer.next:
            return seen
        if len(seen) > MAX_DATASETS or len(asked) >= MAX_PAGES or room <= 0:
            raise _too_large()
        query = following(url, answer.next)
    raise RemoteError("CATALOGUE_PAGES", f"the catalogue of {participant} goes round in a circle")


def page(answer: Answer, participant: str, known: Mapping[str, str]) -> Seen:
    """The datasets of one page. Errors as of `read`."""
    if answer.status != _OK:
        raise RemoteError(
            "CATALOGUE_REFUSED", f"{participant} answers with status {answer.status}",
            "Ask its operator whether this coordinator is known there",
        )  # fmt: skip
    catalogue = _load(answer.content)
    if not isinstance(catalogue, dict) or catalogue.get("@type") not in ("Catalog", "dcat:Catalog"):
        _malformed("it is not a Catalog")
    if catalogue.get("participantId") != participant:
        raise RemoteError(
            "CATALOGUE_NOT_THEIRS",
            f"the catalogue at the address of {participant} is another participant's",
            "Check the address in coordinator.toml",
        )
    datasets = catalogue.get("dataset", [])
    if not isinstance(datasets, list):
        _malformed("its datasets are not a list")
    return dict(_dataset(dataset, known) for dataset in datasets)


def following(url: str, link: str) -> str:
    """The query of the next page. Raises `RemoteError` (CATALOGUE_PAGES) for another place."""
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, link))
    except ValueError:
        there = None
    if there is None or there[:3] != here[:3] or not there.query or len(there.query) > 2000:
        raise RemoteError("CATALOGUE_PAGES", "a catalogue goes on at another place than it began")
    return there.query


def _dataset(dataset: Any, known: Mapping[str, str]) -> tuple[str, str | None]:
    name = dataset.get("@id") if isinstance(dataset, dict) else None
    if not isinstance(name, str) or not _ID.fullmatch(name):
        _malformed("a dataset has no id")
    spelled = records.spell(dataset)
    if len(spelled) > MAX_RECORD:
        raise _too_large()
    return name, None if known.get(name) == records.digest(spelled) else spelled


def _load(content: bytes) -> Any:
    try:
        return json.loads(content.decode(), object_pairs_hook=_object, parse_constant=_not_a_number)
    except (ValueError, RecursionError) as error:
        raise RemoteError("CATALOGUE_MALFORMED", "a catalogue is not JSON") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key is given twice")
    return table


def _not_a_number(_name: str) -> NoReturn:
    raise ValueError("not a number")


def _malformed(why: str) -> NoReturn:
    raise RemoteError("CATALOGUE_MALFORMED", f"a catalogue cannot be read: {why}")


def slow(participant: str, seconds: float) -> RemoteError:
    """The error of a catalogue that does not end."""
    return RemoteError(
        "CATALOGUE_SLOW", f"the catalogue of {participant} was not read in {seconds:.0f} s"
    )


def _too_large() -> RemoteError:
    return RemoteError("CATALOGUE_TOO_LARGE", "a catalogue is larger than this coordinator reads")
