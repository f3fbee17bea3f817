"""Cells of a file as numbers: NaN is missing, infinity is unreadable (and never leaves)."""

import math
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal

Cell = str | int | float | Decimal | None
UNREADABLE = math.inf
EXACT = 1 << 53  # whole numbers below it are told apart by float64
_MAX_REMEMBERED = 4096
_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")


def number(text: str, decimal_mark: str = ".") -> float | None:
    """The finite number that a text spells, or None."""
    if decimal_mark != ".":
        if "." in text:  # a thousands separator, or the wrong mark: do not guess
            return None
        text = text.replace(decimal_mark, ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def normal_form(text: str, decimal_mark: str = ".") -> str:
    """One spelling for all spellings of a number ("0", "0.0", ".0"); other text as it is.

    Whole numbers beyond 2**53 keep their digits: codes of terminologies have up to 18 of them.
    """
    text = text.strip()
    value = number(text, decimal_mark)
    if value is None:
        return text
    if abs(value) < EXACT:
        return repr(value + 0.0)
    integer = _INTEGER.fullmatch(text)
    return integer[1].strip("+") + integer[2] if integer else str(int(value))


def normal_forms(tokens: Iterable[str], decimal_mark: str) -> set[str]:
    """The normal forms of markers that a configuration names.

    A configuration may write a number as the file does ("-9,9") or as TOML does (-9.9).
    """
    return {normal_form(token, mark) for token in tokens for mark in (".", decimal_mark)}


def meanings(spellings: Mapping[str, float], decimal_mark: str) -> dict[str, float]:
    """The value of each normal form. Raises `ValueError` for one that would have two."""
    values: dict[str, float] = {}
    for token, value in spellings.items():
        for form in normal_forms([token], decimal_mark):
            if values.setdefault(form, value) != value:
                raise ValueError(f"{token!r} and another spelling are the same number")
    return values


class Reader(dict[Cell, float]):
    """From cell to float64, by lookup: few cells of a column differ, so each is parsed once.

    What it remembers are values of records: it lives as long as the reading of one file.
    """

    def __init__(
        self, missing: Iterable[str], decimal_mark: str, spellings: Mapping[str, float] | None
    ) -> None:
        super().__init__()
        self._missing = normal_forms(missing, decimal_mark)
        self._decimal_mark = decimal_mark
        self._spellings = spellings and meanings(spellings, decimal_mark)

    def __missing__(self, cell: Cell) -> float:
        value = self._read(cell)
        if len(self) < _MAX_REMEMBERED:
            self[cell] = value
        return value

    def __repr__(self) -> str:
        return "Reader()"

    def _read(self, cell: Cell) -> float:
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return math.nan
        if isinstance(cell, str):
            normal = normal_form(cell, self._decimal_mark)
        else:
            normal = normal_form(str(int(cell) if isinstance(cell, bool) else cell))
        if normal in self._missing:
            return math.nan
        if self._spellings is not None:
            return self._spellings.get(normal, UNREADABLE)
        value = number(normal)
        return UNREADABLE if value is None else value
