"""TOML as a person writes it, read in bounded time: numbers as exact decimals."""

import re
import tomllib
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_PARTS = 32
# A part of a key, bare or quoted. A quote that never closes is consumed to the end of its line, and
# so is a chain of parts: linear in any input.
_PART = rb"""(?:"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?|[\w-]++)"""
_KEY = re.compile(rb"%b(?:[ \t]*+\.[ \t]*+%b)*+" % (_PART, _PART))
_PARTS = re.compile(_PART)


def load(content: bytes) -> dict[str, Any]:
    """Parse a file's content, of a length that the caller bounds. Raises `ValueError`.

    A key of very many dotted parts is refused first: the parser's time grows with the square of
    their number.
    """
    for key in _KEY.finditer(content):
        if len(_PARTS.findall(key[0])) > MAX_PARTS:
            raise ValueError(f"a key has more than {MAX_PARTS} dotted parts")
    try:
        return tomllib.loads(content.decode(), parse_float=Decimal)
    except InvalidOperation as error:
        raise ValueError("a number cannot be read") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
