"""Joining and renewing: what is believed, what is kept, what a man in the middle gets."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from enrolment_desk import COORDINATOR, Desk, honest

from connector.audit.damage import read_entries
from connector.clock import utc_now
from connector.errors import LocalError, RemoteError
from connector.identity import certificates
from connector.identity.enrolment import EnrolmentRequest, Membership
from connector.identity.keys import SigningKey
from node.config import Paths
from node.enrol import enrol, read_membership, read_pinned


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    with Desk(tmp_path / "desk").open() as opened:
        yield opened


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "node")


def kinds(paths: Paths) -> list[bytes]:
    return [content for _, content in read_entries(paths.log)]


def test_a_node_joins_and_pins_what_the_invitation_said(desk: Desk, paths: Paths) -> None:
    membership = enrol(paths, desk.invitation(), utc_now())
    assert read_pinned(paths) == (desk.address, COORDINATOR.verify_key)
    assert read_membership(paths, COORDINATOR.verify_key, utc_now()) == membership
    assert paths.authority.read_bytes() == desk.own_authority
    assert {path.stat().st_mode & 0o777 for path in (paths.signing_key, paths.fleet_key)} == {0o600}
    assert b'"kind":"enrolled"' in kinds(paths)[0]


def test_a_refused_invitation_leaves_nothing(desk: Desk, paths: Paths) -> None:
    desk.answer = lambda _request: None
    with pytest.raises(RemoteError) as refused:
        enrol(paths, desk.invitation(), utc_now())
    assert refused.value.code == "ENROLMENT_REFUSED"
    assert not paths.root.exists()


def test_renewal_keeps_keys_and_log(desk: Desk, paths: Paths) -> None:
    enrol(paths, desk.invitation(), utc_now())
    before = paths.signing_key.read_bytes(), paths.fleet_key.read_bytes()
    renewed = enrol(paths, desk.invitation(), utc_now())
    assert (paths.signing_key.read_bytes(), paths.fleet_key.read_bytes()) == before
    assert desk.requests[0].signing_key == desk.requests[1].signing_key
    assert read_membership(paths, COORDINATOR.verify_key, utc_now()) == renewed
    assert len(kinds(paths)) == 2


def test_a_refused_renewal_takes_nothing_away(desk: Desk, paths: Paths) -> None:
    membership = enrol(paths, desk.invitation(), utc_now())
    desk.answer = lambda _request: None
    with pytest.raises(RemoteError):
        enrol(paths, desk.invitation(), utc_now())
    assert read_membership(paths, COORDINATOR.verify_key, utc_now()) == membership
    assert len(kinds(paths)) == 1


def test_an_invitation_for_another_node_is_refused_before_it_is_used(
    desk: Desk, paths: Paths
) -> None:
    enrol(paths, desk.invitation(), utc_now())
    with pytest.raises(LocalError) as refused:
        enrol(paths, desk.invitation("south"), utc_now())
    assert refused.value.code == "INVITATION_FOR_ANOTHER"
    assert len(desk.requests) == 1


def test_a_log_whose_key_is_lost_is_not_forgotten(desk: Desk, paths: Paths) -> None:
    enrol(paths, desk.invitation(), utc_now())
    for path in list(paths.signing_key.parent.iterdir()):
        path.unlink()
    with pytest.raises(LocalError) as refused:
        enrol(paths, desk.invitation(), utc_now())
    assert refused.value.code == "IDENTITY_LOST"
    assert len(desk.requests) == 1, "the invitation can still be used"


def test_a_lost_connection_key_is_made_anew(desk: Desk, paths: Paths) -> None:
    enrol(paths, desk.invitation(), utc_now())
    before = paths.signing_key.read_bytes()
    paths.fleet_key.unlink()
    enrol(paths, desk.invitation(), utc_now())
    assert paths.signing_key.read_bytes() == before
    assert paths.fleet_key.exists()
    assert len(kinds(paths)) == 2


@pytest.mark.parametrize("url", ["https://a..b:1", f"https://{'a' * 70}.b:1", "https://xn--:1"])
def test_an_address_that_is_none_is_unreachable(desk: Desk, paths: Paths, url: str) -> None:
    with pytest.raises(RemoteError) as refused:
        enrol(paths, desk.invitation(url=url), utc_now())
    assert refused.value.code == "COORDINATOR_UNREACHABLE"


def test_another_authority_than_the_invited_one_gets_no_token(desk: Desk, paths: Paths) -> None:
    invitation = desk.invitation(authority_fingerprint="0" * 64)
    with pytest.raises(RemoteError) as refused:
        enrol(paths, invitation, utc_now())
    assert refused.value.code == "AUTHORITY_MISMATCH"
    assert not desk.requests


def test_a_second_authority_behind_the_right_one_gets_no_token(
    desk: Desk, paths: Paths, tmp_path: Path
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    certificates.create_authority(real, "hdab", utc_now())
    genuine = (real / "ca.pem").read_bytes()
    # The man in the middle is `desk`: its own certificate comes from its own authority.
    desk.authority = genuine + desk.own_authority
    invitation = desk.invitation(authority_fingerprint=certificates.fingerprint(genuine))
    with pytest.raises(RemoteError) as refused:
        enrol(paths, invitation, utc_now())
    assert refused.value.code == "AUTHORITY_MISMATCH"
    assert not desk.requests
    desk.authority = genuine
    with pytest.raises(RemoteError) as refused:
        enrol(paths, invitation, utc_now())
    assert refused.value.code == "COORDINATOR_CERTIFICATE"
    assert not desk.requests


@pytest.mark.parametrize("name", ["participant", "signing_key", "fleet_key", "coordinator"])
def test_a_membership_about_somebody_else_is_not_accepted(
    desk: Desk, paths: Paths, name: str
) -> None:
    other = SigningKey("north", b"o" * 32).verify_key.vkey
    different = {"participant": "south", "coordinator": "hdab-2"}.get(name, other)

    def about_another(request: EnrolmentRequest) -> Membership | None:
        membership = honest(request)
        assert membership is not None
        return membership.model_copy(update={name: different})

    desk.answer = about_another
    with pytest.raises(RemoteError) as refused:
        enrol(paths, desk.invitation(), utc_now())
    assert refused.value.code == "MEMBERSHIP_DIFFERS"
    assert not paths.root.exists()


def test_a_membership_of_an_earlier_key_is_not_taken_at_start(desk: Desk, paths: Paths) -> None:
    enrol(paths, desk.invitation(), utc_now())
    paths.signing_key.unlink()
    SigningKey.generate("north").save(paths.signing_key)
    with pytest.raises(LocalError) as refused:
        read_membership(paths, COORDINATOR.verify_key, utc_now())
    assert refused.value.code == "NOT_ENROLLED"
