"""Signed documents: one type, one key, one spelling."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from connector.errors import RemoteError
from connector.identity import documents
from connector.identity.encoding import decode_base64, encode_base64
from connector.identity.enrolment import EnrolmentRequest, Membership
from connector.identity.keys import SigningKey
from policies.document import Document

HDAB = SigningKey("hdab", b"c" * 32)
STRANGER = SigningKey("hdab", b"x" * 32)
MEMBERSHIP = Membership(
    participant="north",
    coordinator="hdab",
    signing_key="k" * 40,
    fleet_key="f" * 40,
    not_before=datetime(2026, 1, 1, tzinfo=UTC),
    not_after=datetime(2026, 2, 1, tzinfo=UTC),
)
SIGNED = documents.sign(HDAB, MEMBERSHIP)
TYPE = "application/vnd.commensal.membership.v1+json"


def refused(text: str, kind: type[Document] = Membership, key: SigningKey = HDAB) -> str:
    with pytest.raises(RemoteError) as refusal:
        documents.verify(text, kind, key.verify_key)
    return refusal.value.code


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(SIGNED), **fields})


def signature(payload: bytes, kind: str = TYPE, key: SigningKey = HDAB) -> dict[str, str]:
    """As DSSE v1.0.2 says: over the type and the payload with their lengths."""
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    return {"keyid": key.verify_key.vkey, "sig": encode_base64(key.sign(signed))}


def envelope(payload: bytes, *signatures: dict[str, str], kind: str = TYPE) -> str:
    return json.dumps(
        {"payloadType": kind, "payload": encode_base64(payload), "signatures": signatures}
    )


PAYLOAD = MEMBERSHIP.encode()
GOOD = signature(PAYLOAD)


def test_a_document_is_read_as_it_was_signed() -> None:
    assert documents.verify(SIGNED, Membership, HDAB.verify_key) == MEMBERSHIP


def test_the_signature_is_that_of_the_dsse_specification() -> None:
    assert documents.verify(envelope(PAYLOAD, GOOD), Membership, HDAB.verify_key) == MEMBERSHIP


def test_a_document_of_another_key_is_refused() -> None:
    assert refused(documents.sign(STRANGER, MEMBERSHIP)) == "SIGNATURE_INVALID"
    assert refused(SIGNED, key=STRANGER) == "SIGNATURE_INVALID"


def test_another_key_cannot_borrow_the_right_keys_name() -> None:
    forged = {**signature(PAYLOAD, key=STRANGER), "keyid": HDAB.verify_key.vkey}
    assert refused(envelope(PAYLOAD, forged)) == "SIGNATURE_INVALID"


def test_a_document_is_not_taken_for_one_of_another_type() -> None:
    assert refused(SIGNED, EnrolmentRequest) == "SIGNATURE_INVALID"
    relabelled = changed(payloadType="application/vnd.commensal.enrolmentrequest.v1+json")
    assert refused(relabelled, EnrolmentRequest) == "SIGNATURE_INVALID"
    assert refused(relabelled) == "SIGNATURE_INVALID"


def test_a_signature_over_the_bare_payload_is_none() -> None:
    bare = {"keyid": HDAB.verify_key.vkey, "sig": encode_base64(HDAB.sign(PAYLOAD))}
    assert refused(envelope(PAYLOAD, bare)) == "SIGNATURE_INVALID"


def test_signatures_of_others_beside_the_right_one_change_nothing() -> None:
    others = [signature(PAYLOAD, key=SigningKey("witness", bytes([n]) * 32)) for n in range(2)]
    text = envelope(PAYLOAD, others[0], GOOD, others[1])
    assert documents.verify(text, Membership, HDAB.verify_key) == MEMBERSHIP
    assert refused(envelope(PAYLOAD, *others)) == "SIGNATURE_INVALID"


def test_two_signatures_of_one_key_must_both_be_right() -> None:
    assert documents.verify(envelope(PAYLOAD, GOOD, GOOD), Membership, HDAB.verify_key)
    wrong = signature(PAYLOAD + b" ")
    assert refused(envelope(PAYLOAD, GOOD, wrong)) == "SIGNATURE_INVALID"
    assert refused(envelope(PAYLOAD, wrong, GOOD)) == "SIGNATURE_INVALID"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        "\ud800",
        "[" * 100_000,
        envelope(PAYLOAD),
        envelope(PAYLOAD, *[GOOD] * 9),
        changed(more=1),
        changed(payload=1),
        changed(signatures=GOOD),
        changed(signatures=[{**GOOD, "cert": ""}]),
        changed(signatures=[{"sig": GOOD["sig"]}]),
    ],
)
def test_what_is_no_envelope_is_refused(text: str) -> None:
    assert refused(text) == "SIGNATURE_MALFORMED"


def test_base64_in_another_spelling_is_refused() -> None:
    padded = next(s for s in (GOOD["sig"], encode_base64(PAYLOAD)) if s.endswith("="))
    # The last character before the padding carries spare bits that a lax decoder ignores.
    body = padded.rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    twin = body[:-1] + alphabet[alphabet.index(body[-1]) ^ 1] + padded[len(body) :]
    for other in (twin, body, padded + "\n", padded.replace("+", "-").replace("/", "_") + " "):
        with pytest.raises(ValueError, match="base64"):
            decode_base64(other)
        assert refused(changed(signatures=[{**GOOD, "sig": other}])) == "SIGNATURE_MALFORMED"


def test_a_document_over_the_limit_is_refused_before_it_is_parsed() -> None:
    assert refused(" " * (documents.MAX_BYTES + 1)) == "SIGNATURE_MALFORMED"
    assert documents.verify(SIGNED.ljust(documents.MAX_BYTES), Membership, HDAB.verify_key)


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"{}", PAYLOAD + b" ", PAYLOAD.replace(b'"hdab"', b'"hdab","x":1'), b"\xff"],
)
def test_a_signature_does_not_make_a_document_of_what_is_none(payload: bytes) -> None:
    assert refused(envelope(payload, signature(payload))) == "SIGNATURE_MALFORMED"


def test_every_changed_byte_is_refused() -> None:
    for place in range(len(SIGNED)):
        for flip in (1, 0x20):
            text = SIGNED[:place] + chr(ord(SIGNED[place]) ^ flip) + SIGNED[place + 1 :]
            assert refused(text) in {"SIGNATURE_MALFORMED", "SIGNATURE_INVALID"}
