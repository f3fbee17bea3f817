"""Strict base64: exactly one spelling is accepted (RFC 4648 section 3.5, canonical padding)."""

import base64
import binascii


def encode_base64(content: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(content).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The inverse of `encode_base64`; raises `ValueError` for every other spelling.

    Python's decoder drops foreign characters and ignores spare bits ("AB==" equals "AA=="), so
    two texts could carry one signature.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    if encode_base64(content) != text:
        raise ValueError("not canonical base64")
    return content
