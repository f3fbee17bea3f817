"""Sealed messages: believed only from their sender, for their addressee, byte for byte."""

from typing import Any

import numpy as np
import pytest

from connector import frames, messages
from connector.errors import RemoteError
from connector.identity.keys import SigningKey
from connector.protocol import EndJob, Reply, StartJob, TakeStep

HDAB = SigningKey("hdab", b"c" * 32)
NORTH = SigningKey("north", b"n" * 32)
IMPOSTOR = SigningKey("hdab", b"x" * 32)
BODY = {"job": "sha256:00", "round": 1, "task": "training.logistic"}
SEALED = messages.seal(HDAB, "north", "step", BODY, {"parameters": np.ones(2, np.float32)})


def refused(sealed: bytes, *, sender: SigningKey = HDAB, to: str = "north", **limits: int) -> str:
    with pytest.raises(RemoteError) as refusal:
        messages.open_sealed(sealed, sender.verify_key, to, **limits)
    return refusal.value.code


def signed(frame: bytes, key: SigningKey = HDAB) -> bytes:
    """Any frame, with the signature that a message of `key` would carry."""
    return key.sign(b"commensal/message/v1\n" + frame) + frame


def test_a_message_arrives_as_it_was_sealed() -> None:
    message = messages.open_sealed(SEALED, HDAB.verify_key, "north")
    assert (message.kind, message.body) == ("step", BODY)
    assert message.arrays["parameters"].tolist() == [1.0, 1.0]
    assert message.digest == messages.digest(SEALED)


def test_the_same_message_has_the_same_bytes() -> None:
    again = messages.seal(HDAB, "north", "step", BODY, {"parameters": np.ones(2, np.float32)})
    assert again == SEALED


def test_a_message_for_another_hospital_is_refused() -> None:
    assert refused(SEALED, to="south") == "MESSAGE_MISDIRECTED"


def test_a_message_signed_by_somebody_else_is_refused() -> None:
    forged = messages.seal(IMPOSTOR, "north", "step", BODY)
    assert refused(forged) == "SIGNATURE_INVALID"
    assert refused(SEALED, sender=NORTH) == "SIGNATURE_INVALID"


def test_a_message_cannot_name_another_sender_than_its_key() -> None:
    header = {"from": "south", "to": "hdab", "kind": "reply", "body": {}}
    frame = frames.pack(header, {})
    assert refused(signed(frame, NORTH), sender=NORTH, to="hdab") == "MESSAGE_MISDIRECTED"


def test_a_message_cannot_be_passed_off_as_another_kind() -> None:
    reply = SEALED.replace(b'"kind":"step"', b'"kind":"exit"')
    assert reply != SEALED
    assert refused(reply) == "SIGNATURE_INVALID"


def test_a_signature_over_the_bare_frame_is_not_a_message() -> None:
    frame = SEALED[64:]
    assert refused(HDAB.sign(frame) + frame) == "SIGNATURE_INVALID"


def test_every_changed_byte_breaks_the_signature() -> None:
    for place in range(len(SEALED)):
        changed = bytearray(SEALED)
        changed[place] ^= 1
        assert refused(bytes(changed)) == "SIGNATURE_INVALID"


def test_a_message_that_is_cut_off_anywhere_is_refused() -> None:
    for length in range(len(SEALED)):
        assert refused(SEALED[:length]) == "SIGNATURE_INVALID"


def test_a_message_over_the_limit_is_refused_before_its_signature_is_checked() -> None:
    assert refused(b"x" * 101, max_bytes=100) == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"from": "hdab", "to": "north", "kind": "step"}, "FRAME_MALFORMED"),
        ({"from": "hdab", "to": "north", "kind": "step", "body": []}, "FRAME_MALFORMED"),
        ({"from": "hdab", "to": "north", "kind": "step", "body": {}, "more": 1}, "FRAME_MALFORMED"),
        ({"from": "hdab", "to": "north", "kind": 1, "body": {}}, "MESSAGE_MISDIRECTED"),
        ({"from": "hdab", "to": ["north"], "kind": "step", "body": {}}, "MESSAGE_MISDIRECTED"),
        ({}, "FRAME_MALFORMED"),
    ],
)
def test_a_signed_frame_that_is_no_message_is_refused(header: dict[str, Any], code: str) -> None:
    assert refused(signed(frames.pack(header, {}))) == code


def test_a_signed_message_may_still_not_hold_what_is_no_frame() -> None:
    assert refused(signed(b"")) == "FRAME_MALFORMED"
    assert refused(signed(b"pickle")) == "FRAME_MALFORMED"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (TakeStep, {**BODY, "round": 0}),
        (TakeStep, {**BODY, "round": 1001}),
        (TakeStep, {**BODY, "round": None}),
        (TakeStep, {**BODY, "learning_rate": "100"}),
        (TakeStep, {"job": "sha256:00", "round": 1}),
        (TakeStep, {**BODY, "job": "<b>"}),
        (EndJob, {"job": "j", "reason": ""}),
        (StartJob, {"permit": "x" * ((1 << 17) + 1), "specification": "{}"}),
        (Reply, {"in_reply_to": "m", "status": "maybe"}),
        (Reply, {"in_reply_to": "m", "status": "refused", "code": "the patient is called Ada"}),
        (Reply, {"in_reply_to": "m", "status": "refused", "code": "X" * 61}),
        (Reply, {"in_reply_to": "m", "status": "refused", "rules": ["<script>"]}),
        (Reply, {"in_reply_to": "m", "status": "refused", "rules": ["r"] * 101}),
        (Reply, {"in_reply_to": "m", "status": "ok", "offers": [{}] * 101}),
        (Reply, {"in_reply_to": "m", "status": "ok", "offers": ["north/patients"]}),
    ],
)
def test_a_body_that_is_not_the_kinds_own_is_refused(kind: Any, body: dict[str, Any]) -> None:
    with pytest.raises(RemoteError) as refusal:
        kind.parse(body)
    assert refusal.value.code == "MESSAGE_MALFORMED"
    assert "Ada" not in refusal.value.message
