"""Bodies of messages: what comes in fits what is written down, and no more."""

from datetime import UTC, datetime

import pytest

from connector.audit import entries
from connector.errors import RemoteError
from connector.protocol import Reply

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def reply(code: str) -> Reply:
    return Reply.parse({"in_reply_to": "sha256:00", "status": "failed", "code": code})


@pytest.mark.parametrize("code", ["", "A", "WORKER_DIED", "0", "X" * 60])
def test_a_code_that_is_taken_can_be_logged(code: str) -> None:
    named = reply(code).code or "REFUSED"
    entry = entries.Received(
        time=NOW, job="j", sender="a", round=1, task="t", message="none", code=named
    )
    assert entries.spell(entry)


@pytest.mark.parametrize("code", ["_", "_A", "a", "A B", "A\n", "X" * 61])
def test_any_other_code_is_malformed(code: str) -> None:
    with pytest.raises(RemoteError) as refusal:
        reply(code)
    assert refusal.value.code == "MESSAGE_MALFORMED"
