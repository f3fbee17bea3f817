"""Signed documents: a DSSE envelope (secure-systems-lab/dsse v1.0.2) around canonical bytes.

The signature covers the pre-authentication encoding of type and payload, so a permit's signature
can never be taken for an enrolment's.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import RemoteError
from connector.identity.encoding import decode_base64, encode_base64
from connector.identity.keys import Signer, VerifyKey
from policies.document import Document
from policies.errors import PolicyError

D = TypeVar("D", bound=Document)
MAX_BYTES = 1 << 17


class _Signature(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keyid: str
    sig: str


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    payloadType: str  # noqa: N815 - the envelope's own spelling
    payload: str
    signatures: list[_Signature] = Field(min_length=1, max_length=8)


def sign(key: Signer, document: Document) -> str:
    """Sign a document; the text is JSON and fits in a file, a message or a log entry."""
    payload = document.encode()
    kind = _payload_type(type(document))
    envelope = {
        "payloadType": kind,
        "payload": encode_base64(payload),
        "signatures": [
            {"keyid": key.verify_key.vkey, "sig": encode_base64(key.sign(_preauth(kind, payload)))}
        ],
    }
    return json.dumps(envelope, separators=(",", ":"))


def countersign(text: str, kind: type[D], first: VerifyKey, key: Signer) -> str:
    """Add `key`'s signature to a document that `first` has signed, over the very same bytes.

    Raises as `verify_all`.
    """
    verify_all(text, kind, (first,))
    envelope, payload = _read(text)
    added = _Signature(
        keyid=key.verify_key.vkey,
        sig=encode_base64(key.sign(_preauth(_payload_type(kind), payload))),
    )
    both = envelope.model_copy(update={"signatures": [*envelope.signatures, added]})
    return json.dumps(both.model_dump(), separators=(",", ":"))


def verify(text: str, kind: type[D], key: VerifyKey, most: int = MAX_BYTES) -> D:
    """Parse a document that `key` must have signed; `most` bounds its length.

    Raises `RemoteError`: SIGNATURE_MALFORMED, SIGNATURE_INVALID; `PolicyError` for the content.
    """
    envelope, payload = _read(text, most)
    signatures = _by(envelope, key)
    if not (signatures and _are_valid(signatures, envelope, payload, kind, key)):
        raise _not_signed(kind, key.name)
    return _content(payload, kind)


def read_unverified(text: str, kind: type[D]) -> D:
    """What a document says, whoever signed it: for reports that say so, never for a decision.

    Raises `RemoteError` (SIGNATURE_MALFORMED).
    """
    _, payload = _read(text)
    return _content(payload, kind)


def verify_all(
    text: str, kind: type[D], keys: Iterable[VerifyKey]
) -> tuple[D, Mapping[VerifyKey, str]]:
    """Parse a document and say which of `keys` signed it, in order: each once, and nobody else.

    With each key its signature, in base64. Raises `RemoteError`: SIGNATURE_MALFORMED,
    SIGNATURE_INVALID.
    """
    envelope, payload = _read(text)
    known = {key.vkey: key for key in keys}
    expected = _payload_type(kind)
    signed = _preauth(expected, payload)
    found: dict[VerifyKey, str] = {}
    for signature in envelope.signatures:
        key = known.pop(signature.keyid, None)
        if (
            key is None
            or envelope.payloadType != expected
            or not _holds(key, signature.sig, signed)
        ):
            raise _not_signed(kind, "those who may sign it")
        found[key] = signature.sig
    return _content(payload, kind), found


def is_signature(signature: str, document: Document, key: VerifyKey) -> bool:
    """Whether `signature` (base64) is the one that `key` made of a document, in its envelope."""
    return _holds(key, signature, _preauth(_payload_type(type(document)), document.encode()))


def _holds(key: VerifyKey, signature: str, signed: bytes) -> bool:
    try:
        return key.verify(decode_base64(signature), signed)
    except ValueError:
        return False


def _read(text: str, most: int = MAX_BYTES) -> tuple[_Envelope, bytes]:
    if len(text) > most:
        raise RemoteError("SIGNATURE_MALFORMED", f"a signed document exceeds {most} bytes")
    try:
        envelope = _Envelope.model_validate_json(text)
        return envelope, decode_base64(envelope.payload)
    except (ValidationError, ValueError) as error:
        raise _malformed() from error


def _by(envelope: _Envelope, key: VerifyKey) -> list[bytes]:
    try:
        return [decode_base64(one.sig) for one in envelope.signatures if one.keyid == key.vkey]
    except ValueError as error:
        raise _malformed() from error


def _are_valid(
    signatures: list[bytes], envelope: _Envelope, payload: bytes, kind: type[D], key: VerifyKey
) -> bool:
    expected = _payload_type(kind)
    signed = _preauth(expected, payload)
    return envelope.payloadType == expected and all(key.verify(one, signed) for one in signatures)


def _content(payload: bytes, kind: type[D]) -> D:
    try:
        return kind.decode(payload)
    except PolicyError as error:
        raise RemoteError("SIGNATURE_MALFORMED", error.message, error.remedy) from error


def _malformed() -> RemoteError:
    return RemoteError("SIGNATURE_MALFORMED", "a signed document cannot be read")


def _not_signed(kind: type[Document], name: str) -> RemoteError:
    return RemoteError(
        "SIGNATURE_INVALID",
        f"the {kind.__name__.lower()} is not signed by {name}",
        "Compare the pinned key with the one that the sender publishes",
    )


def _payload_type(kind: type[Document]) -> str:
    return f"application/vnd.commensal.{kind.__name__.lower()}.v1+json"


def _preauth(kind: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
