"""Signed documents: a DSSE envelope (secure-systems-lab/dsse v1.0.2) around canonical bytes.

The signature covers the pre-authentication encoding of type and payload, so a permit's signature
can never be taken for an enrolment's.
"""

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import RemoteError
from connector.identity.encoding import decode_base64, encode_base64
from connector.identity.keys import SigningKey, VerifyKey
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


def sign(key: SigningKey, document: Document) -> str:
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


def verify(text: str, kind: type[D], key: VerifyKey) -> D:
    """Parse a document that `key` must have signed.

    Raises `RemoteError`: SIGNATURE_MALFORMED, SIGNATURE_INVALID; `PolicyError` for the content.
    """
    if len(text) > MAX_BYTES:
        raise RemoteError("SIGNATURE_MALFORMED", f"a signed document exceeds {MAX_BYTES} bytes")
    try:
        envelope = _Envelope.model_validate_json(text)
        payload = decode_base64(envelope.payload)
        signatures = [decode_base64(s.sig) for s in envelope.signatures if s.keyid == key.vkey]
    except (ValidationError, ValueError) as error:
        raise RemoteError("SIGNATURE_MALFORMED", "a signed document cannot be read") from error
    expected = _payload_type(kind)
    signed = _preauth(expected, payload)
    valid = (
        envelope.payloadType == expected
        and signatures
        and all(key.verify(signature, signed) for signature in signatures)
    )
    if not valid:
        raise RemoteError(
            "SIGNATURE_INVALID",
            f"the {kind.__name__.lower()} is not signed by {key.name}",
            "Compare the pinned key with the one that the sender publishes",
        )
    try:
        return kind.decode(payload)
    except PolicyError as error:
        raise RemoteError("SIGNATURE_MALFORMED", error.message, error.remedy) from error


def _payload_type(kind: type[Document]) -> str:
    return f"application/vnd.commensal.{kind.__name__.lower()}.v1+json"


def _preauth(kind: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
