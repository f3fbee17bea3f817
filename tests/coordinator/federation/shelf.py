"""A node's catalogue in memory: pages as the protocol has them, or anything else at all."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from connector.dsp.client import Answer
from connector.errors import RemoteError
from connector.store import Store
from coordinator.config import Peer
from coordinator.federation.crawler import Crawler, Outcome

DCT = "http://purl.org/dc/terms/"
DCAT = "http://www.w3.org/ns/dcat#"
HEALTH = "http://healthdataportal.eu/ns/health#"
CSVW = "http://www.w3.org/ns/csvw#"
START = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Json = dict[str, Any]


def said(text: str) -> list[Json]:
    return [{"@value": text, "@language": "en"}]


def record(name: str, title: str = "", **texts: str) -> Json:
    """As a node spells it; `keyword`, `description` and `variable` are its other texts."""
    column = {f"{CSVW}name": [texts.get("variable", "age")], f"{CSVW}title": said("years")}
    return {
        "@id": name,
        "@type": "Dataset",
        f"{DCT}title": said(title or name),
        f"{DCT}description": said(texts.get("description", "Few words.")),
        f"{DCAT}keyword": said(texts.get("keyword", "health")),
        f"{HEALTH}numberOfUniqueIndividuals": [{"@value": "7800", "@type": "xsd:integer"}],
        f"{HEALTH}hasVariables": [{f"{CSVW}table": [{f"{CSVW}column": [column]}]}],
        "hasPolicy": [{"@id": "urn:offer", "@type": "Offer", "permission": [{"action": "use"}]}],
        "distribution": [],
    }


class Shelf:
    """Fetches from catalogues in memory, two datasets a page."""

    def __init__(self) -> None:
        self.catalogues: dict[str, list[Json]] = {}
        self.answers: dict[str, Callable[[str], Answer]] = {}
        self.asked: list[str] = []

    async def fetch(
        self, counterparty: str, url: str, message: Json | None, *, query: str = "",
        most: int = 0, seconds: float = 0,
    ) -> Answer:  # fmt: skip
        assert message is not None
        assert message["@type"] == "CatalogRequestMessage"
        assert most > 0
        assert seconds > 0
        self.asked.append(counterparty)
        if counterparty in self.answers:
            return self.answers[counterparty](query)
        if counterparty not in self.catalogues:
            raise RemoteError("DSP_UNREACHABLE", "a peer does not answer")
        start = int(parse_qs(query).get("continuation", ["0"])[0])
        shown = self.catalogues[counterparty][start : start + 2]
        more = start + 2 < len(self.catalogues[counterparty])
        return Answer(
            200, catalog(counterparty, shown), f"{url}?continuation={start + 2}" if more else ""
        )


def catalog(participant: str, datasets: list[Json], **changed: Any) -> bytes:
    body = {"@type": "Catalog", "@id": "urn:c", "participantId": participant, "dataset": datasets}
    return json.dumps({**body, **changed}).encode()


def peer(name: str) -> Peer:
    return Peer(participant=name, address=f"https://{name}.example/dsp")


class Federation:
    """A store, the shelf that it is filled from, and a clock that goes on by an hour a crawl."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.shelf = Shelf()
        self.now = START

    async def crawl(self, *names: str) -> dict[str, Outcome]:
        crawler = Crawler(self.shelf, self.store, lambda: self.now)
        outcomes = await crawler.crawl([peer(name) for name in names])
        self.now += HOUR
        return {outcome.participant: outcome for outcome in outcomes}
