"""TOML as a person writes it, read in bounded time: numbers as exact decimals."""

import re
import tomllib
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_PARTS = 32
# Far beyond any number that is meant, and far below what is slow to turn into an integer.
MAX_DIGITS = 40
MAX_EXPONENT = 30
_TOO_LARGE = f"the number has more than {MAX_DIGITS} digits, or an exponent beyond {MAX_EXPONENT}"
_LIMIT: int = 10**MAX_DIGITS
# A part of a key, bare or quoted. A quote that never closes is consumed to the end of its line, and
# so is a chain of parts: linear in any input.
_PART = rb"""(?:"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?|[\w-]++)"""
_KEY = re.compile(rb"%b(?:[ \t]*+\.[ \t]*+%b)*+" % (_PART, _PART))
_PARTS = re.compile(_PART)


class NumberError(ValueError):
    """It is TOML, with a number that no field can mean."""


def load(content: bytes) -> dict[str, Any]:
    """Parse a file's content, of a length that the caller bounds.

    Raises `ValueError`: for a number `NumberError`.

    A key of very many dotted parts is refused first: the parser's time grows with the square of
    their number. So is a number out of all proportion: `1e99999999` takes minutes as an integer.
    """
    for key in _KEY.finditer(content):
        if len(_PARTS.findall(key[0])) > MAX_PARTS:
            raise ValueError(f"a key has more than {MAX_PARTS} dotted parts")
    try:
        table = tomllib.loads(content.decode(), parse_float=Decimal)
    except InvalidOperation as error:
        raise NumberError("a number cannot be read") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise
    except ValueError as error:  # Python's own, for an integer of over 4300 digits
        raise NumberError(_TOO_LARGE) from error
    _check_numbers(table)
    return table


def _check_numbers(table: dict[str, Any]) -> None:
    waiting: list[tuple[str, Any]] = list(table.items())
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend((f"{place}.{key}", one) for key, one in value.items())
        elif isinstance(value, list):
            waiting.extend((place, one) for one in value)
        elif isinstance(value, int | Decimal) and _is_too_large(value):
            raise NumberError(f"{place}: {_TOO_LARGE}")


def _is_too_large(number: int | Decimal) -> bool:
    if isinstance(number, int):
        return abs(number) >= _LIMIT
    return len(number.as_tuple().digits) > MAX_DIGITS or abs(number.adjusted()) > MAX_EXPONENT
