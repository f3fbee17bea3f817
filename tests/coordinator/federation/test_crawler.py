"""Crawls of nodes that answer well, badly, or not at all."""

import asyncio
import json
from collections.abc import Callable

import pytest
from shelf import HOUR, START, Federation, catalog, record

from connector.dsp.client import Answer
from coordinator.federation import history, pages
from coordinator.federation.crawler import Outcome
from coordinator.federation.history import Changes


def crawl(federation: Federation, *names: str) -> dict[str, Outcome]:
    return asyncio.run(federation.crawl(*names))


def titles(federation: Federation, asked: str = "health") -> list[str]:
    return sorted(found.dataset for found in history.search(federation.store, asked))


def test_every_page_is_read_and_every_record_is_found(federation: Federation) -> None:
    federation.shelf.catalogues["north"] = [record(f"north/{number}") for number in range(5)]
    outcomes = crawl(federation, "north")
    assert outcomes["north"] == Outcome("north", Changes(added=5))
    assert titles(federation) == [f"north/{number}" for number in range(5)]
    assert federation.shelf.asked == ["north"] * 3


def test_a_record_that_stays_writes_nothing_and_is_seen_as_late_as_its_catalogue(
    federation: Federation,
) -> None:
    federation.shelf.catalogues["north"] = [record("north/a")]
    crawl(federation, "north")
    assert crawl(federation, "north")["north"].changes == Changes(unchanged=1)
    (version,) = history.history(federation.store, "north/a")
    assert (version.first_seen, version.last_seen) == (START, START + HOUR)
    assert (version.version, version.ending) == (1, "")


def test_the_order_of_keys_makes_no_version(federation: Federation) -> None:
    first = record("north/a")
    federation.shelf.catalogues["north"] = [first]
    crawl(federation, "north")
    federation.shelf.catalogues["north"] = [dict(reversed(first.items()))]
    assert crawl(federation, "north")["north"].changes == Changes(unchanged=1)


def test_a_changed_record_is_another_version_and_the_old_one_is_found_no_more(
    federation: Federation,
) -> None:
    federation.shelf.catalogues["north"] = [record("north/a", "Kidneys")]
    crawl(federation, "north")
    crawl(federation, "north")
    federation.shelf.catalogues["north"] = [record("north/a", "Livers")]
    assert crawl(federation, "north")["north"].changes == Changes(changed=1)
    old, new = history.history(federation.store, "north/a")
    assert (old.version, old.ending, old.last_seen) == (1, "replaced", START + HOUR)
    assert (new.version, new.ending, new.first_seen) == (2, "", START + 2 * HOUR)
    assert (titles(federation, "kidneys"), titles(federation, "livers")) == ([], ["north/a"])


def test_a_withdrawn_record_stays_in_history_and_comes_back_as_another_version(
    federation: Federation,
) -> None:
    both = [record("north/a"), record("north/b")]
    federation.shelf.catalogues["north"] = both
    crawl(federation, "north")
    federation.shelf.catalogues["north"] = both[:1]
    assert crawl(federation, "north")["north"].changes == Changes(withdrawn=1, unchanged=1)
    assert titles(federation) == ["north/a"]
    (gone,) = history.history(federation.store, "north/b")
    assert (gone.ending, gone.last_seen) == ("withdrawn", START)
    federation.shelf.catalogues["north"] = both
    assert crawl(federation, "north")["north"].changes == Changes(added=1, unchanged=1)
    again = history.history(federation.store, "north/b")
    assert [(version.version, version.ending) for version in again] == [(1, "withdrawn"), (2, "")]


def test_a_node_that_fails_costs_the_others_nothing_and_keeps_its_records(
    federation: Federation,
) -> None:
    for name in ("north", "south"):
        federation.shelf.catalogues[name] = [record(f"{name}/a")]
    crawl(federation, "north", "south")
    del federation.shelf.catalogues["south"]
    federation.shelf.catalogues["north"].append(record("north/b"))
    outcomes = crawl(federation, "south", "north")
    assert outcomes["north"].changes == Changes(added=1, unchanged=1)
    assert outcomes["south"].problem is not None
    found = {version.dataset: version for version in history.search(federation.store, "health")}
    assert found["south/a"].problem == "DSP_UNREACHABLE"
    assert found["south/a"].last_seen == START
    assert found["north/a"].problem == ""


def test_a_node_that_was_never_reached_is_no_catalogue(federation: Federation) -> None:
    (outcome,) = crawl(federation, "north").values()
    assert outcome.problem is not None
    assert outcome.problem.code == "DSP_UNREACHABLE"
    federation.shelf.catalogues["north"] = [record("north/a")]
    assert crawl(federation, "north")["north"].changes == Changes(added=1)


def test_records_of_a_node_that_is_no_peer_any_more_are_withdrawn(federation: Federation) -> None:
    for name in ("north", "south"):
        federation.shelf.catalogues[name] = [record(f"{name}/a")]
    crawl(federation, "north", "south")
    assert crawl(federation, "north")["south"].changes == Changes(withdrawn=1)
    assert titles(federation) == ["north/a"]
    assert history.history(federation.store, "south/a")[0].ending == "withdrawn"


def test_two_nodes_may_show_datasets_of_one_name_and_neither_speaks_for_the_other(
    federation: Federation,
) -> None:
    federation.shelf.catalogues["north"] = [record("shared", "of north")]
    federation.shelf.catalogues["south"] = [record("shared", "of south")]
    crawl(federation, "north", "south")
    federation.shelf.catalogues["south"] = []
    crawl(federation, "north", "south")
    (found,) = history.search(federation.store, "shared")
    assert found.participant == "north"


def _answers(content: bytes, status: int = 200, following: str = "") -> Callable[[str], Answer]:
    return lambda _query: Answer(status, content, following)


def _deep(levels: int) -> bytes:
    return b'{"@type": "Catalog", "participantId": "north", "x": ' + b"[" * levels + b"]" * levels


_CIRCLE = "https://north.example/dsp/catalog/request?continuation=1"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (_answers(b"", 404), "CATALOGUE_REFUSED"),
        (_answers(b"<html>"), "CATALOGUE_MALFORMED"),
        (_answers(b"[]"), "CATALOGUE_MALFORMED"),
        (_answers(_deep(100_000)), "CATALOGUE_MALFORMED"),
        (_answers(b'{"@type": NaN}'), "CATALOGUE_MALFORMED"),
        (_answers(b'{"@type": "Catalog", "@type": "Catalog"}'), "CATALOGUE_MALFORMED"),
        (_answers(catalog("south", [])), "CATALOGUE_NOT_THEIRS"),
        (_answers(catalog("north", [], dataset={"@id": "a"})), "CATALOGUE_MALFORMED"),
        (_answers(catalog("north", [{"title": "nameless"}])), "CATALOGUE_MALFORMED"),
        (_answers(catalog("north", [{"@id": "a" * 256}])), "CATALOGUE_MALFORMED"),
        (_answers(catalog("north", [{"@id": "two words"}])), "CATALOGUE_MALFORMED"),
        (_answers(catalog("north", [{"@id": "a", "x": "y" * (1 << 20)}])), "CATALOGUE_TOO_LARGE"),
        (_answers(catalog("north", []), following=_CIRCLE), "CATALOGUE_PAGES"),
        (_answers(catalog("north", []), following="https://[::1"), "CATALOGUE_PAGES"),
    ],
)
def test_what_a_node_answers_badly_changes_nothing(
    federation: Federation, answer: Callable[[str], Answer], code: str
) -> None:
    federation.shelf.catalogues["north"] = [record("north/a")]
    crawl(federation, "north")
    federation.shelf.answers["north"] = answer
    (outcome,) = crawl(federation, "north").values()
    assert outcome.problem is not None
    assert outcome.problem.code == code
    assert titles(federation) == ["north/a"]


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/dsp/catalog/request?continuation=2",
        "http://north.example/dsp/catalog/request?continuation=2",
        "https://north.example:8443/dsp/catalog/request?continuation=2",
        "https://north.example/dsp/transfers?continuation=2",
        "//elsewhere.example/dsp/catalog/request?continuation=2",
        "/dsp/catalog/request",
        "?" + "x" * 3000,
    ],
)
def test_a_link_to_another_place_is_not_followed(federation: Federation, link: str) -> None:
    federation.shelf.answers["north"] = _answers(catalog("north", [record("a")]), following=link)
    (outcome,) = crawl(federation, "north").values()
    assert outcome.problem is not None
    assert outcome.problem.code == "CATALOGUE_PAGES"
    assert federation.shelf.asked == ["north"]


@pytest.mark.parametrize("link", ["?continuation=2", "/dsp/catalog/request?continuation=2"])
def test_a_link_may_be_relative(link: str) -> None:
    url = "https://north.example/dsp/catalog/request"
    assert pages.following(url, link) == "continuation=2"


def test_a_catalogue_without_end_is_given_up(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 3)

    def endless(query: str) -> Answer:
        return Answer(200, catalog("north", []), f"?continuation={query}1")

    federation.shelf.answers["north"] = endless
    (outcome,) = crawl(federation, "north").values()
    assert outcome.problem is not None
    assert outcome.problem.code == "CATALOGUE_TOO_LARGE"
    assert len(federation.shelf.asked) == 3


def test_two_crawls_at_once_do_not_write_twice(federation: Federation) -> None:
    before = history.known(federation.store, "north")
    seen: pages.Seen = {"north/a": json.dumps(record("north/a"))}
    history.apply(federation.store, "north", before, seen, START)
    with pytest.raises(Exception, match="meanwhile") as caught:
        history.apply(federation.store, "north", before, seen, START + HOUR)
    assert getattr(caught.value, "code", "") == "CRAWL_OVERTAKEN"
    assert len(history.history(federation.store, "north/a")) == 1
