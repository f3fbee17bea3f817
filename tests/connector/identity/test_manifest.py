"""The list of participants: newer ones are followed, old, frozen and forked ones are noticed."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from identities import NOW, Clock, code
from pydantic import ValidationError

from connector.errors import LocalError
from connector.identity import documents, manifest
from connector.identity.did import MAX_DID
from connector.identity.keys import SigningKey
from connector.identity.manifest import LIFE, Entry, Manifest, Participants, accept, succeed

HDAB = SigningKey("hdab", b"c" * 32)


def member(name: str, state: str = "active", **changed: Any) -> Entry:
    return Entry.model_validate(
        {
            "name": name, "did": f"did:web:{name}.example",
            "signing_key": SigningKey(name, hashlib.sha256(name.encode()).digest()).verify_key.vkey,
            "fingerprint": "ab" * 32, "state": state,
        }
        | changed
    )  # fmt: skip


NORTHS = member("north").signing_key
FIRST = succeed(None, "hdab", (member("south"), member("north")), NOW)
SECOND = succeed(FIRST, "hdab", (member("south", "revoked"), member("north")), NOW)
THIRD = succeed(SECOND, "hdab", (member("north"),), NOW)


def signed(listed: Manifest, key: SigningKey = HDAB) -> str:
    return documents.sign(key, listed)


def taken(listed: Manifest, seen: Manifest | None = None, now: datetime = NOW) -> Manifest:
    return accept(signed(listed), HDAB.verify_key, seen, now)


def test_versions_follow_each_other_and_name_their_predecessor() -> None:
    assert [one.version for one in (FIRST, SECOND, THIRD)] == [1, 2, 3]
    assert (FIRST.previous, SECOND.previous) == ("", FIRST.digest)
    assert [one.name for one in FIRST.participants] == ["north", "south"]
    assert SECOND.by_did["did:web:south.example"].state == "revoked"
    assert SECOND.by_name["north"].state == "active"


def test_the_same_and_newer_lists_are_followed_also_over_a_gap() -> None:
    assert taken(FIRST) == FIRST
    assert taken(FIRST, FIRST) == FIRST
    assert taken(SECOND, FIRST) == SECOND
    assert taken(THIRD, FIRST) == THIRD


def test_an_older_list_is_a_rollback() -> None:
    for old in (FIRST, SECOND):
        assert code(lambda old=old: taken(old, THIRD)) == "MANIFEST_ROLLBACK"


def test_an_expired_list_is_a_freeze() -> None:
    assert taken(FIRST, FIRST, NOW + LIFE - timedelta(seconds=1)) == FIRST
    for seen in (None, FIRST):
        assert code(lambda seen=seen: taken(FIRST, seen, NOW + LIFE)) == "MANIFEST_EXPIRED"


def test_two_lists_of_one_version_are_a_fork() -> None:
    other = succeed(FIRST, "hdab", (member("north"),), NOW)
    assert code(lambda: taken(other, SECOND)) == "MANIFEST_FORKED"
    assert code(lambda: taken(THIRD, other)) == "MANIFEST_FORKED"


def test_a_list_from_the_future_is_refused() -> None:
    future = succeed(None, "hdab", (), NOW + timedelta(minutes=6))
    assert code(lambda: taken(future)) == "MANIFEST_EARLY"


def test_a_list_by_another_key_or_for_another_space_is_refused() -> None:
    other = SigningKey("hdab", b"x" * 32)
    text = signed(FIRST, other)
    assert code(lambda: accept(text, HDAB.verify_key, None, NOW)) == "SIGNATURE_INVALID"
    foreign = succeed(None, "hdab-2", (), NOW)
    assert code(lambda: taken(foreign)) == "MANIFEST_FOREIGN"


def test_no_changed_byte_of_a_list_is_believed() -> None:
    text = signed(FIRST)
    for place in range(0, len(text), 7):
        changed = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        refusal = code(lambda changed=changed: accept(changed, HDAB.verify_key, None, NOW))
        assert refusal.startswith("SIGNATURE_")


@pytest.mark.parametrize(
    "changed",
    [
        {"participants": (member("south"), member("north"))},
        {"participants": (member("north"), member("north"))},
        {"participants": (member("north"), member("south", did="did:web:north.example"))},
        {"participants": (member("north"), member("south", signing_key=NORTHS))},
        {"expires_at": NOW}, {"previous": "sha256:" + "0" * 64}, {"version": 0},
        {"coordinator": ""},
    ],
)  # fmt: skip
def test_a_list_that_contradicts_itself_cannot_be_made(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Manifest.model_validate({**FIRST.model_dump(), **changed})


def test_the_largest_list_fits_into_a_signed_document() -> None:
    name, place = "a" * 59, ":".join(["d" * 47] * 5)
    many = tuple(
        member(f"{name}{number:04}", did=f"did:web:{place}:{number:04}".ljust(MAX_DID, "x"))
        for number in range(manifest._MOST)
    )
    assert len(many[0].name) == 63
    assert len(taken(succeed(None, "hdab", many, NOW)).participants) == manifest._MOST


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "participants.json"


def test_the_last_list_is_remembered_by_the_next_process(place: Path, clock: Clock) -> None:
    before = Participants(place, HDAB.verify_key, clock)
    assert code(before.current) == "MANIFEST_MISSING"
    before.take(signed(SECOND))
    after = Participants(place, HDAB.verify_key, clock)
    assert after.current() == SECOND
    assert code(lambda: after.take(signed(FIRST))) == "MANIFEST_ROLLBACK"
    assert after.take(signed(THIRD)) == THIRD
    assert Participants(place, HDAB.verify_key, clock).current() == THIRD


def test_a_list_that_ended_counts_for_nothing_and_is_still_remembered(
    place: Path, clock: Clock
) -> None:
    kept = Participants(place, HDAB.verify_key, clock)
    kept.take(signed(SECOND))
    clock.now += LIFE
    assert code(kept.current) == "MANIFEST_EXPIRED"
    again = Participants(place, HDAB.verify_key, clock)
    assert code(again.current) == "MANIFEST_EXPIRED"
    old = succeed(None, "hdab", (), clock())
    assert code(lambda: again.take(signed(old))) == "MANIFEST_ROLLBACK"


def test_a_damaged_memory_is_not_just_forgotten(place: Path, clock: Clock) -> None:
    Participants(place, HDAB.verify_key, clock).take(signed(SECOND))
    for content in (b"", b"{}", b"\xff", place.read_bytes()[:-2]):
        place.write_bytes(content)
        with pytest.raises(LocalError) as refusal:
            Participants(place, HDAB.verify_key, clock)
        assert refusal.value.code == "MANIFEST_DAMAGED"


def test_what_cannot_be_written_down_is_not_followed(
    place: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Participants(place, HDAB.verify_key, clock)
    kept.take(signed(FIRST))

    def full(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(manifest, "write_durably", full)
    with pytest.raises(OSError, match="no space"):
        kept.take(signed(SECOND))
    assert kept.current() == FIRST
