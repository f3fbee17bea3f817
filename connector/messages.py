"""Sealed messages between coordinator and node: a frame, its sender's signature, its addressee.

The transport (Flower's Fleet API over TLS) is not believed: its own node signature covers a
timestamp only. Here the signature covers sender, addressee, kind, job, round and every array, so
a message cannot be altered, given to another node, or passed off as another round's.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connector import frames
from connector.errors import RemoteError
from connector.identity.keys import Signer, VerifyKey

if TYPE_CHECKING:
    import numpy as np

_CONTEXT = b"commensal/message/v1\n"
_SIGNATURE_BYTES = 64
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Message:
    """A message whose signature was verified. `digest` identifies its sealed bytes."""

    kind: str
    body: dict[str, Any]
    arrays: "dict[str, np.ndarray[Any, Any]]"
    digest: str


def seal(
    key: Signer, to: str, kind: str, body: dict[str, Any], arrays: "frames.Arrays | None" = None
) -> bytes:
    """Sign a message of `kind` to the participant `to`; `body` is JSON without floats."""
    header = {"from": key.name, "to": to, "kind": kind, "body": body}
    frame = frames.pack(header, arrays or {})
    return key.sign(_CONTEXT + frame) + frame


def open_sealed(
    sealed: bytes, sender: VerifyKey, to: str, *, max_bytes: int = MAX_BYTES
) -> Message:
    """Verify and parse a message from `sender` to `to`; nothing is parsed before the signature.

    Raises `RemoteError`: MESSAGE_TOO_LARGE, SIGNATURE_INVALID, FRAME_MALFORMED,
    MESSAGE_MISDIRECTED.
    """
    if len(sealed) > max_bytes:
        raise RemoteError(
            "MESSAGE_TOO_LARGE", f"a message of {len(sealed)} bytes exceeds {max_bytes}"
        )
    signature, frame = sealed[:_SIGNATURE_BYTES], sealed[_SIGNATURE_BYTES:]
    if not sender.verify(signature, _CONTEXT + frame):
        raise RemoteError("SIGNATURE_INVALID", f"a message is not signed by {sender.name}")
    header, arrays = frames.unpack(frame, max_bytes=max_bytes)
    if set(header) != {"from", "to", "kind", "body"} or not isinstance(header["body"], dict):
        raise RemoteError("FRAME_MALFORMED", "a message's header lacks a field or has one too many")
    if header["from"] != sender.name or header["to"] != to or not isinstance(header["kind"], str):
        raise RemoteError(
            "MESSAGE_MISDIRECTED", f"a message from {sender.name} is not meant for {to}"
        )
    return Message(header["kind"], header["body"], arrays, digest(sealed))


def digest(sealed: bytes) -> str:
    """`sha256:<hex>` of a sealed message: what logs say of it."""
    return "sha256:" + hashlib.sha256(sealed).hexdigest()
