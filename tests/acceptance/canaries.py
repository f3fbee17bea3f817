"""Markers that stand in records, and the search for them in whatever leaves or stays behind."""

import base64
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

TEXTS = tuple(f"CANARY{field}x7Qz" for field in ("PERSON", "SEX", "WARD", "DIED", "REMARK", "AGE"))
NUMBERS = tuple(f"{31 + 6 * number}.918273{55 + number}" for number in range(10))
UNDECLARED_NUMBER = "8273.645182"
_DIGITS = 6  # a number that was rounded, but not much, is still that number


def found(content: bytes, numbers: Iterable[str] = (*NUMBERS, UNDECLARED_NUMBER)) -> list[str]:
    """What of the markers is in `content`, and how it is spelled there."""
    lowered = content.lower()
    spelled = [
        f"{marker} as {how}"
        for marker in TEXTS
        for how, form in _spellings(marker.encode())
        if form.lower() in lowered
    ]
    floats = [
        f"{number} as {how}"
        for number in numbers
        for how, form in _numeric_spellings(number)
        if form in content
    ]
    return spelled + floats


def in_files(root: Path, *, but: Iterable[str] = ()) -> dict[str, list[str]]:
    """The markers in every file below `root`, and in the files' names; `but` leaves names out."""
    searched = [path for path in root.rglob("*") if path.is_file() and path.name not in set(but)]
    assert searched, f"nothing to search in {root}"
    results = {str(path): found(path.read_bytes() + str(path).encode()) for path in searched}
    return {path: markers for path, markers in results.items() if markers}


def _spellings(marker: bytes) -> Iterator[tuple[str, bytes]]:
    yield "text", marker
    yield "UTF-16", marker.decode().encode("utf-16-le")
    yield "hexadecimal", marker.hex().encode()
    yield "reversed", marker[::-1]
    yield from _base64(marker)


def _numeric_spellings(number: str) -> Iterator[tuple[str, bytes]]:
    whole, _, fraction = number.partition(".")
    yield "text", f"{whole}.{fraction[: _DIGITS - len(whole)]}".encode()
    value = float(number)
    # As it stands in the file, and as a worker holds it: scaled from [0, 120] to [-1, 1].
    for what, figure in (("", value), ("scaled ", value / 60 - 1)):
        for kind, code in (("float32", "f"), ("float64", "d")):
            for order, name in (("<", "little-endian"), (">", "big-endian")):
                packed = struct.pack(order + code, figure)
                yield f"{what}{kind}, {name}", packed
                if code == "d":  # the others are too short to mean anything in a text
                    yield f"{what}{kind}, {name}, hexadecimal", packed.hex().encode()
                    yield from _base64(packed)


def _base64(content: bytes) -> Iterator[tuple[str, bytes]]:
    # At each of the three offsets, without the characters that the neighbours have a share in.
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + content)
        yield "base64", encoded[(0, 2, 3)[offset] : -4]
