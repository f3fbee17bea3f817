import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.data.values import UNREADABLE, Reader, meanings, normal_form, number


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


@pytest.mark.parametrize("marker", ["-9,9", "-9,90", "-9.9"])
def test_missing_markers_may_be_written_as_in_the_file_or_as_in_toml(marker):
    reader = Reader([marker], ",", None)
    assert math.isnan(reader["-9,9"])
    assert math.isnan(reader[" -9,90 "])
    assert reader["-9,8"] == -9.8


def test_spellings_may_have_a_decimal_comma():
    reader = Reader([], ",", {"0,5": 1.0, "1": 2.0})
    assert [reader[cell] for cell in ("0,50", "1,0")] == [1, 2]


def test_one_number_with_two_meanings_is_refused():
    with pytest.raises(ValueError, match="the same number"):
        meanings({"1": 0.0, "1,0": 1.0}, ",")
    assert meanings({"1": 0.0, "1,0": 1.0}, ".") == {"1.0": 0.0, "1,0": 1.0}


def test_long_codes_are_told_apart_though_floats_cannot():
    first, second = 10811121000119103, 10811121000119104
    assert float(first) == float(second)
    reader = Reader([], ".", {str(first): 0.0, str(second): 1.0})
    assert [reader[cell] for cell in (first, second, f"0{second}", Decimal(second))] == [0, 1, 1, 1]
    assert reader[first + 2] == UNREADABLE


def test_large_numbers_match_by_value_as_small_ones_do():
    reader = Reader(["1e20"], ".", None)
    assert all(
        math.isnan(reader[cell]) for cell in (1e20, 10**20, "100000000000000000000", "1E+20")
    )
    assert reader[str(2**60)] == 2.0**60


def test_decimals_and_truth_values_are_numbers():
    reader = Reader([], ".", None)
    assert [reader[cell] for cell in (Decimal("1.50"), Decimal("1E+2"), True, False)] == [
        *(1.5, 100, 1, 0),
    ]


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
