"""TOML within bounds: what the parser takes too long for is refused, everything else as it is."""

import tomllib
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies import toml

PARTS = st.sampled_from(["a", '"a b"', "'c.d'", '"\\""', '""', "1-x"])
KEYS = st.lists(PARTS, min_size=1, max_size=40)


def test_numbers_are_exact() -> None:
    assert toml.load(b"a = 0.1\nb = 2") == {"a": Decimal("0.1"), "b": 2}


def test_numbers_that_somebody_could_mean_are_read() -> None:
    digits = "1" * toml.MAX_DIGITS
    text = f"a = 1e30\nb = -1e-30\nc = 0.{digits}\nd = -{digits}\ne = inf\nf = 0.0\ng = true"
    assert toml.load(text.encode()) == tomllib.loads(text, parse_float=Decimal)


@given(KEYS, st.sampled_from([".", " . ", "\t."]))
def test_only_the_number_of_parts_is_bounded(parts: list[str], dot: str) -> None:
    text = f"{dot.join(parts)} = 1"
    if len(parts) > toml.MAX_PARTS:
        with pytest.raises(ValueError, match="more than 32 dotted parts"):
            toml.load(text.encode())
    else:
        assert toml.load(text.encode()) == tomllib.loads(text)


@pytest.mark.parametrize("line", ["[{}]", "[[{}]]", "a = {{{} = 1}}", "{} = 1", "x = 1\n{} = 1"])
def test_a_long_key_is_found_wherever_it_stands(line: str) -> None:
    with pytest.raises(ValueError, match="dotted parts"):
        toml.load(line.format(".".join("k" * 33)).encode())


@pytest.mark.parametrize(
    "line",
    [f'a = "{"www. " * 40}"', f"a = '{'b.' * 40}'", "a = 1.5", f"a = [{'1.5, ' * 40}]"],
)
def test_dots_in_values_are_not_those_of_keys(line: str) -> None:
    assert toml.load(line.encode()) == tomllib.loads(line, parse_float=Decimal)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a." * 130_000 + b"a = 1", "dotted parts"),
        (b'"a b".' * 40_000 + b"a = 1", "dotted parts"),
        (b'\\"' * 130_000, "Invalid statement"),
        (b"a" * 260_000, "Expected '='"),
        (b"a = " + b"[" * 10_000, "nested too deeply"),
        (b"a = 1e99999999999999999999", "cannot be read"),
        (b"a = 1e99999999", "a: .* exponent beyond 30"),
        (b"a = [{b = 1e-31}]", "a.b: .* exponent beyond 30"),
        (b"a = 0." + b"1" * 41, "more than 40 digits"),
        (b"a = [{b = -1" + b"0" * 40 + b"}]", "more than 40 digits"),
        (b"a = 0x" + b"f" * 100_000, "more than 40 digits"),
        (b"a = " + b"1" * 5000, "more than 40 digits"),
        (b"\xff", "utf-8"),
    ],
)
def test_what_is_too_much_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        toml.load(content)


@given(st.text(alphabet="ab.\"' =[]{}\\\n#1", max_size=40))
@example("a.b = '''\nc.d'''")
def test_nothing_else_is_read_otherwise_than_by_the_parser(text: str) -> None:
    try:
        expected = tomllib.loads(text, parse_float=Decimal)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            toml.load(text.encode())
    else:
        assert toml.load(text.encode()) == expected
