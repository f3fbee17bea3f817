"""One spelling for everything that is hashed or signed: a restricted profile of RFC 8785 (JCS).

No floats (decimal numbers travel as strings), integers below 2**53, ASCII object keys: in this
profile sorted keys and minimal separators equal JCS, and a standard JSON encoder is enough.
"""

import hashlib
import json
import re
from typing import Any

from policies.errors import PolicyError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
_MAX_INTEGER = (1 << 53) - 1
# Possessive, and with an optional end: a text that never closes is scanned once, not once for each
# of its quotes (threat: a few kilobytes that hold the process for minutes).
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def encode(value: Any) -> bytes:
    """Return the canonical bytes of a JSON value.

    Raises `PolicyError` (CANONICAL_VALUE) for floats, large integers and non-ASCII keys.
    """
    _check(value, "$", 0)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(content: bytes) -> str:
    """SHA-256 of stored bytes, as `sha256:<hex>`. Stored bytes are hashed, never a re-encoding."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def decode(content: bytes) -> Any:
    """Parse canonical bytes strictly: exactly the bytes that `encode` would have produced.

    Bounded in size and depth before anything is built; duplicate keys cannot survive the
    comparison with the re-encoding. Raises `PolicyError` (CANONICAL_BYTES).
    """
    if len(content) > MAX_BYTES:
        raise PolicyError(
            "CANONICAL_BYTES", f"document of {len(content)} bytes exceeds {MAX_BYTES}"
        )
    _bound_depth(content)
    try:
        value = json.loads(content)
        spelled = encode(value)
    except (ValueError, UnicodeError, PolicyError) as error:
        raise PolicyError("CANONICAL_BYTES", "document is not canonical JSON") from error
    if spelled != content:
        raise PolicyError("CANONICAL_BYTES", "document is JSON but not in canonical form")
    return value


def _bound_depth(content: bytes) -> None:
    """Count brackets outside of strings, so that no parser ever recurses deeper than the bound."""
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", content)):
        depth += 1 if bracket in b"[{" else -1
        if not 0 <= depth <= MAX_DEPTH + 1:
            raise PolicyError("CANONICAL_BYTES", "document is nested too deeply, or not at all")


def _check(value: Any, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise PolicyError("CANONICAL_VALUE", f"{path} is nested too deeply")
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > _MAX_INTEGER:
            raise PolicyError("CANONICAL_VALUE", f"{path} is an integer beyond 2**53")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise PolicyError("CANONICAL_VALUE", f"{path} has a key that is not ASCII text")
            _check(item, f"{path}.{key}", depth + 1)
    else:
        raise PolicyError(
            "CANONICAL_VALUE", f"{path} is a {type(value).__name__}, not allowed here"
        )
