from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.data.identifiers import identifier


@pytest.mark.parametrize(
    "cell", ["123", " 123 ", "123.0", "123.00", "0123", "000123.0", 123, 123.0, Decimal("123.00")]
)
def test_a_whole_number_is_its_digits_whatever_wrote_it(cell):
    assert identifier(cell) == "123"


@pytest.mark.parametrize(("cell", "who"), [("0", "0"), ("-0.0", "0"), (-0.0, "0"), ("-07", "-7")])
def test_zero_and_negative_numbers_have_one_form_too(cell, who):
    assert identifier(cell) == who


def test_a_decimal_comma_is_a_comma_only_where_it_is_declared():
    assert identifier("123,0", ",") == identifier("123.0", ",") == "123"
    assert identifier("1.000", ",") == "1.000"  # a thousands separator
    assert identifier("123,0") == "123,0"


def test_text_has_one_form_and_keeps_its_letters():
    assert identifier("Mu\u0308ller") == identifier("\u00a0Müller ") == "Müller"
    assert identifier("p7") != identifier("P7")
    assert [identifier(text) for text in ("012a", "12e7", "1.2.3", "1_000")] == [
        *("012a", "12e7", "1.2.3", "1_000"),
    ]


@given(st.integers(-(2**200), 2**200))
def test_integers_text_and_decimals_are_exact_at_any_size(number):
    assert identifier(str(number)) == identifier(number) == identifier(Decimal(number))
    assert identifier(str(number)) == str(number)


@given(st.integers(1 - 2**53, 2**53 - 1))
def test_floats_below_two_to_the_53_are_exact(number):
    assert identifier(float(number)) == identifier(f"{number}.0") == str(number)


@pytest.mark.parametrize(
    "cell",
    [
        *(2.0**53, -(2.0**53), 1.5, float("inf"), Decimal("1.5"), True),
        *("9007199254740993.0", "1.2345678901234568e+17", "1,23457E+17", "1e+17"),
        *("12\u200b3", "12\ufeff3", "12\u20287", "12\x0b7", "1\t2", "1\n2"),
    ],
)
def test_what_does_not_say_exactly_whom_it_means_is_refused_without_being_shown(cell):
    with pytest.raises(ValueError, match=r"^$"):
        identifier(cell)


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan")])
def test_nobody_is_empty(cell):
    assert identifier(cell) == ""


@given(st.text(max_size=8))
def test_the_form_of_a_form_is_itself(text):
    try:
        who = identifier(text)
    except ValueError:
        return
    assert identifier(who) == who
