"""Everything that a hospital could answer to a training step but should not, and its code."""

from typing import Any

import numpy as np
from desk import PARAMETERS, Answering, Hospital, refuse, silence

from connector import messages
from connector.flower import FleetReply
from connector.identity.keys import SigningKey
from connector.messages import Message

STRANGER = SigningKey("stranger", b"x" * 32)


def _arrays(**arrays: Any) -> Answering:
    return lambda hospital, _message, reference: hospital.reply(reference, **arrays)


def _raw(change: Any) -> Answering:
    def answer(hospital: Hospital, message: Message, reference: str) -> FleetReply:
        honest = hospital.honest(message, reference).payload
        assert honest is not None
        return FleetReply(change(hospital, honest))

    return answer


def _body(**changed: Any) -> Answering:
    return lambda hospital, _message, reference: hospital.reply(reference, body=changed)


def _flip(_hospital: Hospital, sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


def _as_stranger(_hospital: Hospital, sealed: bytes) -> bytes:
    frame = sealed[64:]
    return STRANGER.sign(b"commensal/message/v1\n" + frame) + frame


def _signed(frame: bytes) -> Answering:
    return _raw(lambda hospital, _: hospital.key.sign(b"commensal/message/v1\n" + frame) + frame)


def _impossible_shape() -> bytes:
    shape = "[0,2147483647,2147483647,2147483647]"
    header = f'{{"arrays":[{{"dtype":"float32","name":"update","shape":{shape}}}]}}'.encode()
    return b"CMF1" + len(header).to_bytes(4, "big") + header


def _to_another(hospital: Hospital, message: Message, _reference: str) -> FleetReply:
    return hospital.reply("sha256:00", **hospital.result(message.body["task"]))


def _replay(hospital: Hospital, _message: Message, _reference: str) -> FleetReply:
    return FleetReply(hospital.sealed[0])


def _misdirected(hospital: Hospital, message: Message, reference: str) -> FleetReply:
    body = {"in_reply_to": reference, "status": "ok"}
    arrays = hospital.result(message.body["task"])
    return FleetReply(messages.seal(hospital.key, "another-body", "reply", body, arrays))


def _wrong_kind(hospital: Hospital, message: Message, reference: str) -> FleetReply:
    return hospital.reply(reference, kind="step", **hospital.result(message.body["task"]))


def _update(*values: float, dtype: Any = np.float32) -> Any:
    return np.array(values, dtype)


# An answer that came, though a bad one: the hospital is asked again in the next round.
BAD: dict[str, tuple[Answering, str]] = {
    "noise": (_raw(lambda *_: b"noise"), "SIGNATURE_INVALID"),
    "nothing": (_raw(lambda *_: b""), "SIGNATURE_INVALID"),
    "cut off": (_raw(lambda _, sealed: sealed[:-1]), "SIGNATURE_INVALID"),
    "one bit": (_raw(_flip), "SIGNATURE_INVALID"),
    "another's key": (_raw(_as_stranger), "SIGNATURE_INVALID"),
    "a pickle": (_signed(b"\x80\x04N."), "FRAME_MALFORMED"),
    "an impossible shape": (_signed(_impossible_shape()), "FRAME_MALFORMED"),
    "another addressee": (_misdirected, "MESSAGE_MISDIRECTED"),
    "another message": (_to_another, "REPLY_TO_ANOTHER"),
    "a replay": (_replay, "REPLY_TO_ANOTHER"),
    "another kind": (_wrong_kind, "REPLY_TO_ANOTHER"),
    "an unknown status": (_body(status="perhaps"), "MESSAGE_MALFORMED"),
    "an unknown field": (_body(patient="Ada"), "MESSAGE_MALFORMED"),
    "a code in prose": (_body(status="failed", code="Ada, born 1815"), "MESSAGE_MALFORMED"),
    "a rule that is markup": (_body(status="refused", rules=["<b>"]), "MESSAGE_MALFORMED"),
    "not a number": (_arrays(update=_update(np.nan, 0)), "REPLY_ARRAYS"),
    "infinity": (_arrays(update=_update(0, -np.inf)), "REPLY_ARRAYS"),
    "one too many": (_arrays(update=_update(1, 2, 3)), "REPLY_ARRAYS"),
    "far too many": (_arrays(update=np.zeros(1 << 20, np.float32)), "REPLY_ARRAYS"),
    "one too few": (_arrays(update=_update(1)), "REPLY_ARRAYS"),
    "another shape": (_arrays(update=np.zeros((1, PARAMETERS), np.float32)), "REPLY_ARRAYS"),
    "another type": (_arrays(update=_update(1, 2, dtype=np.float64)), "REPLY_ARRAYS"),
    "another name": (_arrays(parameters=_update(1, 2)), "REPLY_ARRAYS"),
    "one more array": (_arrays(update=_update(1, 2), more=_update(1)), "REPLY_ARRAYS"),
    "no array": (_arrays(), "REPLY_ARRAYS"),
    "a refusal": (refuse("STEP_UNKNOWN", "policy.period"), "STEP_UNKNOWN"),
    "a refusal without a code": (refuse(""), "REFUSED"),
    "a failure": (refuse("WORKER_DIED", status="failed"), "WORKER_DIED"),
    "a failure of Flower's": (lambda *_: FleetReply(None, "REPLY_ERROR"), "REPLY_ERROR"),
}

# Nothing came: the hospital is left alone for the rest of the job.
SILENT: dict[str, tuple[Answering, str]] = {
    "silence": (silence, "NO_REPLY"),
    "a node that left": (lambda *_: FleetReply(None, "NODE_OFFLINE"), "NODE_OFFLINE"),
    "a message that nobody took": (
        lambda *_: FleetReply(None, "MESSAGE_EXPIRED"),
        "MESSAGE_EXPIRED",
    ),
}
