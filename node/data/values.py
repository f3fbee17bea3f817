"""Cells of a file as numbers: NaN is missing, infinity is unreadable (and never leaves)."""

import math
from collections.abc import Iterable, Mapping

Cell = str | int | float | None
UNREADABLE = math.inf
_MAX_REMEMBERED = 4096


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
    """One spelling for all spellings of a number ("0", "0.0", ".0"); other text as it is."""
    text = text.strip()
    value = number(text, decimal_mark)
    return text if value is None else repr(value + 0.0)


class Reader(dict[Cell, float]):
    """From cell to float64, by lookup: few cells of a column differ, so each is parsed once.

    What it remembers are values of records: it lives as long as the reading of one file.
    """

    def __init__(
        self, missing: Iterable[str], decimal_mark: str, spellings: Mapping[str, float] | None
    ) -> None:
        super().__init__()
        self._missing = {normal_form(token) for token in missing}
        self._decimal_mark = decimal_mark
        self._spellings = spellings and {normal_form(t): value for t, value in spellings.items()}

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
        text = cell if isinstance(cell, str) else repr(cell + 0.0)
        normal = normal_form(text, self._decimal_mark if isinstance(cell, str) else ".")
        if normal in self._missing:
            return math.nan
        if self._spellings is not None:
            return self._spellings.get(normal, UNREADABLE)
        value = number(normal)
        return UNREADABLE if value is None else value
