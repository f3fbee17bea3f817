"""What is found, in which order, and that nothing that is searched for can be syntax."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shelf import Federation, Json, record

from connector.errors import LocalError
from coordinator.federation import fulltext, history, records
from coordinator.federation.fulltext import Texts, words


def fill(federation: Federation, *shown: Json) -> None:
    federation.shelf.catalogues["north"] = list(shown)
    asyncio.run(federation.crawl("north"))


def found(federation: Federation, asked: str) -> list[str]:
    return [version.dataset for version in history.search(federation.store, asked)]


def test_every_field_is_searched_and_the_more_important_comes_first(
    federation: Federation,
) -> None:
    fill(
        federation,
        record("in-variable", variable="creatinine"),
        record("in-description", description="Some creatinine, measured."),
        record("in-keyword", keyword="creatinine"),
        record("in-title", "Creatinine"),
        record("elsewhere", "Something else"),
    )
    order = ["in-title", "in-keyword", "in-description", "in-variable"]
    assert found(federation, "creatinine") == order


def test_a_dataset_is_found_by_its_id(federation: Federation) -> None:
    fill(federation, record("north/flchain", "Chains"), record("north/other", "Others"))
    assert found(federation, "north/flchain") == ["north/flchain"]


@pytest.mark.parametrize(
    "asked",
    [
        "krankenhauser", "Krankenhäuser", "KRANKENHÄUSER", "krankenha\u0308user", "kranken",
        "nord krankenhaus", "Krankenhäuser, Nord!", "strasse", "Straße", "ΣΊΣΥΦΟΣ", "covid19",
    ],
)  # fmt: skip
def test_case_accents_and_ends_of_words_make_no_difference(
    federation: Federation, asked: str
) -> None:
    title = "Krankenhäuser des Nordens, Straße σίσυφος COVID19"
    fill(federation, record("north/a", title), record("north/b", "Anders"))
    assert found(federation, asked) == ["north/a"]


@pytest.mark.parametrize("asked", ["nord livers", "haus", "kranken-x", "Nordens1"])
def test_every_word_has_to_begin_one_of_the_record(federation: Federation, asked: str) -> None:
    fill(federation, record("north/a", "Krankenhäuser des Nordens"))
    assert found(federation, asked) == []


@pytest.mark.parametrize(
    "asked",
    [
        'livers" OR title:"kidneys', "livers OR kidneys", "livers | kidneys", "NOT livers",
        "!livers", "title:kidneys OR a", "livers') OR ('1'='1", "^livers NEAR(kidneys, 9)",
        "livers & !kidneys", "livers <-> kidneys", "livers:*kidneys", "{title}: livers",
        "-livers", "livers'; DROP TABLE federated_words; --", "livers\\' & x", "liv*ers",
    ],
)  # fmt: skip
def test_operators_of_either_language_are_only_words(federation: Federation, asked: str) -> None:
    fill(federation, record("a", "Kidneys"), record("b", "Livers"))
    expected = ["b"] if list(words(asked)) == ["livers"] else []
    assert found(federation, asked) == expected
    assert found(federation, "livers") == ["b"]


@pytest.mark.parametrize("asked", ["", "  ", '"', "*", "()", "'", "\x00", "_", "\u2013"])
def test_a_search_without_a_word_is_refused(federation: Federation, asked: str) -> None:
    with pytest.raises(LocalError) as caught:
        history.search(federation.store, asked)
    assert caught.value.code == "SEARCH_EMPTY"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_can_be_stored_and_is_found_by_its_own_words(
    federation: Federation, title: str, asked: str
) -> None:
    number = 1
    with federation.store.begin() as session:
        fulltext.put(session, {number: Texts(title, "", "", "")})
        expected = list(words(title))
        if expected[:16]:
            assert fulltext.find(session, title, 9) == [number]
        if list(words(asked)):
            matches = all(
                any(word.startswith(wanted) for word in expected)
                for wanted in list(dict.fromkeys(words(asked)))[:16]
            )
            assert fulltext.find(session, asked, 9) == [number] * matches
        fulltext.drop(session, [number])
        if expected:
            assert fulltext.find(session, title, 9) == []


def test_a_record_that_says_too_much_is_found_by_its_beginning(federation: Federation) -> None:
    long = " ".join(f"word{number}" for number in range(60_000))
    fill(federation, record("north/a", description=long))
    assert found(federation, "word7 word1000") == ["north/a"]
    assert found(federation, "word59999") == []


@pytest.mark.parametrize(
    "spelled",
    [
        {"dct:title": "Kidneys", "dcat:keyword": ["renal", "dialysis"]},
        {"dcterms:title": {"@value": "Kidneys"}, "keyword": "renal"},
        {"title": ["Kidneys"], "http://www.w3.org/ns/dcat#keyword": [{"@value": "renal"}]},
    ],
)
def test_other_connectors_spellings_are_understood(spelled: Json) -> None:
    said = records.texts({"@id": "urn:1", **spelled})
    assert said.title == "Kidneys"
    assert "renal" in said.keywords


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["title", "keyword", "hasVariables", "table", "column", "@value"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_record_is_too_odd_to_be_taken_apart(value: object) -> None:
    odd = {"@id": "urn:1", "title": value, "hasVariables": value, "keyword": value}
    assert all(isinstance(said, str) for said in records.texts(odd))
    assert records.summary(odd).title
    assert json.loads(records.spell(odd)) == odd
