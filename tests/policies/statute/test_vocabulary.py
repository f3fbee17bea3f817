"""Purposes and categories are terms of the vocabulary, and know their place in it."""

import csv
from datetime import date
from pathlib import Path

import pytest

from policies import purposes

VOCABULARY = Path(__file__).parents[4] / "shared" / "specs" / "dpv-2.3-eu-ehds" / "eu-ehds.csv"


def test_every_iri_is_a_term_of_the_vocabulary() -> None:
    if not VOCABULARY.exists():
        pytest.skip(f"the vocabulary is not at {VOCABULARY}")
    with VOCABULARY.open(newline="") as file:
        terms = {row["iri"] for row in csv.DictReader(file)}
    used = [purpose.iri for purpose in purposes.ALLOWED.values()]
    used += [iri for category in purposes.CATEGORIES.values() for iri in category.iris]
    assert set(used) <= terms
    assert len(set(used)) == len(used)
    assert not {purpose.iri for purpose in purposes.PROHIBITED.values()} & terms


def test_every_purpose_knows_its_point_and_every_point_has_a_widest_purpose() -> None:
    points = ["a", "b", "c", "d", "e", "e.i", "e.ii", "f"]
    assert sorted({purpose.point for purpose in purposes.ALLOWED.values()}) == points
    assert [purpose.point for purpose in purposes.PROHIBITED.values()] == list("abcde")
    widest = [each.point for each in purposes.ALLOWED.values() if each.broader is None]
    assert widest == ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize(
    ("narrow", "wide", "within"),
    [
        ("train-algorithms", "scientific-research", True),
        ("product-development", "scientific-research", True),
        ("train-ai-systems", "scientific-research", True),
        ("train-ai-systems", "train-algorithms", True),
        ("train-algorithms", "train-algorithms", True),
        ("scientific-research", "train-algorithms", False),
        ("train-algorithms", "product-development", False),
        ("device-safety", "public-health", True),
        ("regulatory-activities", "policymaking", True),
        ("advertising", "advertising", False),
        ("curiosity", "scientific-research", False),
        ("statistics", "curiosity", False),
    ],
)
def test_a_purpose_is_part_of_a_broader_one(narrow: str, wide: str, within: bool) -> None:
    assert purposes.is_within(narrow, wide) is within


def test_a_narrower_purpose_stays_under_its_point() -> None:
    for purpose in purposes.ALLOWED.values():
        if purpose.broader is not None:
            assert purpose.point[0] == purposes.ALLOWED[purpose.broader].point[0]


def test_there_are_seventeen_categories_and_five_apply_later() -> None:
    categories = purposes.CATEGORIES
    assert "".join(categories) == "abcdefghijklmnopq"
    later = {point for point, each in categories.items() if each.applies_from.year == 2031}
    assert later == set("bfgmp")
    assert {each.applies_from for each in categories.values()} == {
        date(2029, 3, 26),
        date(2031, 3, 26),
    }
    stricter = {point for point, each in categories.items() if each.stricter_national_rules}
    assert stricter == set("fgiq")


def test_a_category_is_found_by_any_of_its_terms() -> None:
    for category in purposes.CATEGORIES.values():
        for iri in category.iris:
            assert purposes.category_by_iri(iri) is category
    assert purposes.category_by_iri("urn:none") is None
