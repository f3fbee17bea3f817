"""JSON as received, read in bounded time and memory: one meaning, or a refusal with its path.

Numbers become exact decimals. Duplicate keys (two readers would see two policies), NaN, lone
surrogates, depth and size are refused before anything is built from the document.
"""

import json
import re
from decimal import Decimal
from typing import NoReturn

from policies.errors import PolicyError
from policies.odrl import values

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_DIGITS = 60
_PLAIN_KEY = re.compile(r"@?[A-Za-z][A-Za-z0-9:_-]{0,39}")
# A string without end matches too, and nothing is tried twice: linear in any input.
_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class _Object(dict[str, object]):
    """A JSON object that remembers the first key that was given twice."""

    repeated: str | None = None


class _Unreadable:
    """A number that is not finite, or longer than anyone needs."""


def refusal(code: str, path: str, what: str, remedy: str = "") -> PolicyError:
    """The error that names the place, what is wrong with it, and what to do."""
    return PolicyError(code, f"{path} {what}", remedy)


def refuse(code: str, path: str, what: str, remedy: str = "") -> NoReturn:
    """Raise it."""
    raise refusal(code, path, what, remedy)


def step(path: str, key: str) -> str:
    """The path of a member; keys that nobody would choose are not repeated in messages."""
    return f"{path}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{path}.*"


def load(content: bytes) -> object:
    """Parse UTF-8 JSON. Raises `PolicyError`: ODRL_TOO_LARGE, ODRL_SYNTAX."""
    if len(content) > MAX_BYTES:
        refuse("ODRL_TOO_LARGE", "$", f"has {len(content)} bytes, more than {MAX_BYTES}")
    _bound_depth(content)
    try:
        value = json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_int=_number,
            parse_float=_number,
            parse_constant=lambda _name: _Unreadable(),
        )
    except (ValueError, RecursionError) as error:
        raise PolicyError("ODRL_SYNTAX", "$ is not JSON in UTF-8", "Correct the file") from error
    return check(value)


def check(value: object) -> object:
    """Bound a JSON value that is already parsed (a policy inside a message); returns it.

    Raises `PolicyError`: ODRL_TOO_LARGE, ODRL_SYNTAX.
    """
    pending: list[tuple[object, str, int]] = [(value, "$", 0)]
    nodes = 0
    while pending:
        item, path, depth = pending.pop()
        nodes += 1
        if depth > MAX_DEPTH:
            refuse("ODRL_TOO_LARGE", _start(path), f"is nested deeper than {MAX_DEPTH}")
        if nodes + len(pending) > MAX_NODES:
            refuse("ODRL_TOO_LARGE", "$", f"has more than {MAX_NODES} values")
        _check_one(item, path)
        if isinstance(item, dict):
            pending.extend((child, step(path, key), depth + 1) for key, child in item.items())
        elif isinstance(item, list):
            pending.extend((child, f"{path}[{i}]", depth + 1) for i, child in enumerate(item))
    return value


def _check_one(item: object, path: str) -> None:
    if isinstance(item, dict):
        repeated = item.repeated if isinstance(item, _Object) else None
        if repeated is not None:
            refuse("ODRL_SYNTAX", step(path, repeated), "is given twice", "Keep one of them")
        for key in item:
            if not isinstance(key, str) or not _is_text(key):
                refuse("ODRL_SYNTAX", path, "has a key that is not text")
    elif isinstance(item, str):
        if not _is_text(item):
            refuse("ODRL_VALUE", path, "has a character that is not Unicode text")
        if len(item) > values.MAX_TEXT:
            refuse("ODRL_TOO_LARGE", path, f"has more than {values.MAX_TEXT} characters")
    elif (
        isinstance(item, float | _Unreadable)
        or (isinstance(item, Decimal) and _too_long(item))
        or (isinstance(item, int) and item.bit_length() > 3 * MAX_DIGITS)
    ):
        refuse("ODRL_VALUE", path, f"is not a decimal number of at most {MAX_DIGITS} digits")
    elif item is not None and not isinstance(item, list | bool | int | Decimal):
        refuse("ODRL_SYNTAX", path, "is not JSON")


def _is_text(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _too_long(number: Decimal) -> bool:
    digits, exponent = number.as_tuple().digits, number.as_tuple().exponent
    return not isinstance(exponent, int) or len(digits) > MAX_DIGITS or abs(exponent) > 999


def _start(path: str) -> str:
    return path if len(path) <= 80 else path[:77] + "..."


def _object(pairs: list[tuple[str, object]]) -> _Object:
    table = _Object(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        table.repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # set.add returns None, which is the point
    return table


def _number(text: str) -> Decimal | _Unreadable:
    return Decimal(text) if len(text) <= MAX_DIGITS + 8 else _Unreadable()


def _bound_depth(content: bytes) -> None:
    # Before the parser, which recurses: strings are skipped, so only real brackets count.
    depth = opened = 0
    for match in _BRACKET.finditer(content):
        if match[0] in b"[{":
            depth += 1
            opened += 1
            if opened > MAX_NODES:
                refuse("ODRL_TOO_LARGE", "$", f"has more than {MAX_NODES} values")
            if depth > MAX_DEPTH:
                refuse("ODRL_TOO_LARGE", "$", f"is nested deeper than {MAX_DEPTH}")
        elif match[0] in b"]}":
            depth -= 1
