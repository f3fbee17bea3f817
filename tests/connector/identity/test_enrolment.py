"""Invitations and memberships: parsed strictly, and only good for a while."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from connector.errors import LocalError
from connector.identity.encoding import encode_base64
from connector.identity.enrolment import (
    PREFIX,
    EnrolmentRequest,
    Invitation,
    Membership,
    new_token,
    token_digest,
)
from connector.identity.keys import SigningKey

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FIELDS: dict[str, Any] = {
    "participant": "north",
    "url": "https://127.0.0.1:8700",
    "authority_fingerprint": "ab" * 32,
    "coordinator_key": SigningKey("hdab", b"c" * 32).verify_key.vkey,
    "token": "cd" * 32,
    "expires_at": NOW + timedelta(hours=24),
}
INVITATION = Invitation(**FIELDS)


def refused(line: str) -> LocalError:
    with pytest.raises(LocalError) as refusal:
        Invitation.from_line(line)
    assert refusal.value.code == "INVITATION_MALFORMED"
    assert refusal.value.remedy
    return refusal.value


def test_an_invitation_survives_as_a_line() -> None:
    assert Invitation.from_line(INVITATION.as_line()) == INVITATION
    assert Invitation.from_line(INVITATION.as_line() + "\n") == INVITATION


def test_an_invitation_that_is_cut_off_anywhere_is_refused() -> None:
    line = INVITATION.as_line()
    for length in range(len(line)):
        refused(line[:length])


@pytest.mark.parametrize(
    "line",
    [
        "",
        PREFIX,
        "commensal-invitatiom:" + encode_base64(INVITATION.encode()),
        encode_base64(INVITATION.encode()),
        PREFIX.upper() + encode_base64(INVITATION.encode()),
        PREFIX + INVITATION.encode().decode(),
        PREFIX + "\N{SNOWMAN}",
        PREFIX + encode_base64(INVITATION.encode() + b" "),
        PREFIX + encode_base64(b'{"participant":"north"}'),
        PREFIX + encode_base64(INVITATION.encode().replace(b"{", b'{"a":1,')),
    ],
)
def test_what_is_no_invitation_is_refused_without_being_repeated(line: str) -> None:
    error = refused(line)
    assert "cdcd" not in error.diagnostics()


@pytest.mark.parametrize(
    "changed",
    [
        {"url": "http://127.0.0.1:8700"},
        {"url": "https://127.0.0.1:8700/v1"},
        {"url": "https://a b"},
        {"url": "file:///etc/passwd"},
        {"authority_fingerprint": "AB" * 32},
        {"authority_fingerprint": "ab" * 31},
        {"token": "cd" * 31},
        {"token": "cd" * 32 + "\n"},
        {"expires_at": datetime(2026, 1, 1)},  # noqa: DTZ001 - a time without a zone is the case
        {"participant": ""},
        {"more": 1},
    ],
)
def test_an_invitation_with_a_wrong_field_cannot_be_made(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Invitation(**(FIELDS | changed))


def test_an_invitation_ends_at_its_moment() -> None:
    INVITATION.check_expiry(INVITATION.expires_at - timedelta(milliseconds=1))
    with pytest.raises(LocalError) as refusal:
        INVITATION.check_expiry(INVITATION.expires_at)
    assert refusal.value.code == "INVITATION_EXPIRED"
    assert "2026-11-23" in refusal.value.message


def test_a_membership_holds_from_its_first_moment_to_before_its_last() -> None:
    membership = Membership(
        participant="north",
        coordinator="hdab",
        signing_key="k" * 40,
        fleet_key="f" * 40,
        not_before=NOW,
        not_after=NOW + timedelta(days=30),
    )
    membership.check_validity(NOW)
    membership.check_validity(NOW + timedelta(days=30) - timedelta(milliseconds=1))
    for moment, code in (
        (NOW + timedelta(days=30), "ENROLMENT_EXPIRED"),
        (NOW - timedelta(milliseconds=1), "CLOCK_WRONG"),
    ):
        with pytest.raises(LocalError) as refusal:
            membership.check_validity(moment)
        assert refusal.value.code == code
        assert refusal.value.remedy


def test_tokens_are_long_and_never_the_same_and_stored_as_digests() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 64 for token in tokens)
    token = tokens.pop()
    assert token not in token_digest(token)
    assert token_digest(token) != token_digest(tokens.pop())
    request = {"participant": "north", "signing_key": "k" * 16, "fleet_key": "f" * 16}
    EnrolmentRequest(**request, token=token)
    with pytest.raises(ValidationError):
        EnrolmentRequest(**request, token=token.upper() + "Z")
