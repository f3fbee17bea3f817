import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.data.values import UNREADABLE, Reader, normal_form, number


@pytest.mark.parametrize("text", ["", "x", "1_000", "nan", "inf", "-inf", "1e999", "1,5", "0x10"])
def test_only_finite_decimal_numbers_are_numbers(text):
    assert number(text) is None


@pytest.mark.parametrize(
    ("text", "value"), [("1,5", 1.5), ("-2", -2.0), ("1.5", None), ("1.000,5", None)]
)
def test_a_decimal_comma_is_not_guessed_but_declared(text, value):
    assert number(text, ",") == value


def test_spellings_of_a_number_have_one_form():
    forms = {normal_form(text) for text in ("0", "0.0", " .0", "-0", "0e5", "+0")}
    assert forms == {"0.0"}
    assert normal_form("none") == "none"


def test_missing_markers_match_by_value():
    reader = Reader(["", "?", "0"], ".", None)
    assert all(
        math.isnan(reader[cell]) for cell in ("", " ", "?", "0", "0.0", 0, 0.0, None, math.nan)
    )
    assert reader["0.1"] == 0.1
    assert reader[7] == 7.0


def test_spellings_become_codes_and_others_are_unreadable():
    reader = Reader([""], ".", {"F": 1.0, "M": 0.0, "3": 2.0})
    assert [reader[cell] for cell in ("F", "M", "3.0", 3)] == [1, 0, 2, 2]
    assert reader["f"] == UNREADABLE


def test_a_reader_shows_nothing_of_what_it_remembers():
    reader = Reader([], ".", None)
    reader["123456789"]
    assert "123456789" not in repr(reader)
    assert "123456789" not in f"{reader}"


@given(st.lists(st.text(max_size=4), max_size=20))
def test_remembering_changes_no_value(cells):
    def read(reader, cell):
        return repr(reader[cell])

    reader = Reader(["?"], ".", None)
    assert [read(reader, c) for c in cells * 2] == [
        read(Reader(["?"], ".", None), c) for c in cells * 2
    ]


def test_it_remembers_a_bounded_number_of_cells():
    reader = Reader([], ".", None)
    assert [reader[str(n)] for n in range(5000)] == list(range(5000))
    assert len(reader) == 4096
