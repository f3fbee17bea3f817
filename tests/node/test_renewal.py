"""A node's keys before it joins, its enrolment's renewal, and the list that it follows."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from enrolment_desk import COORDINATOR, Desk, honest

from connector.audit import entries
from connector.audit.damage import read_entries
from connector.clock import utc_now
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.identity.manifest import Entry, succeed
from node.config import Paths
from node.enrol import enrol, make_key, read_membership
from node.participants import Follower
from node.renewal import due_at, renew


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "desk").mkdir()
    with Desk(tmp_path / "desk").open() as opened:
        yield opened


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "node")


def renewed(desk: Desk, paths: Paths) -> None:
    key = SigningKey.load(paths.signing_key)
    renew(paths, key, desk.address, COORDINATOR.verify_key, utc_now())


def test_a_key_is_made_before_the_invitation_and_used_by_it(desk: Desk, paths: Paths) -> None:
    fingerprint = make_key(paths, "north")
    assert make_key(paths, "north") == fingerprint
    enrol(paths, desk.invitation(), utc_now())
    assert SigningKey.load(paths.signing_key).verify_key.fingerprint == fingerprint
    assert desk.requests[0].signing_key == SigningKey.load(paths.signing_key).verify_key.vkey
    with pytest.raises(LocalError) as refused:
        make_key(paths, "south")
    assert refused.value.code == "NAME_DIFFERS"


def test_no_new_key_is_made_for_an_old_log(desk: Desk, paths: Paths) -> None:
    enrol(paths, desk.invitation(), utc_now())
    paths.signing_key.unlink()
    with pytest.raises(LocalError) as refused:
        make_key(paths, "north")
    assert refused.value.code == "IDENTITY_LOST"


def test_an_enrolment_is_due_when_two_thirds_are_over(desk: Desk, paths: Paths) -> None:
    membership = enrol(paths, desk.invitation(), utc_now())
    life = membership.not_after - membership.not_before
    assert due_at(membership) - membership.not_before == life * 2 / 3


def test_a_renewal_takes_a_fresh_connection_key_and_keeps_the_signing_key(
    desk: Desk, paths: Paths
) -> None:
    enrol(paths, desk.invitation(), utc_now())
    signing, fleet = paths.signing_key.read_bytes(), paths.fleet_key.read_bytes()
    renewed(desk, paths)
    assert paths.signing_key.read_bytes() == signing
    assert paths.fleet_key.read_bytes() != fleet
    assert paths.fleet_key.stat().st_mode & 0o777 == 0o600
    membership = read_membership(paths, COORDINATOR.verify_key, utc_now())
    assert membership.fleet_key == desk.renewals[0].fleet_key != desk.requests[0].fleet_key
    logged = [entries.parse(content) for _, content in read_entries(paths.log)]
    assert [entry.kind for entry in logged] == ["enrolled", "enrolled"]
    assert logged[-1].membership_digest == membership.digest


def test_two_renewals_take_two_keys(desk: Desk, paths: Paths) -> None:
    enrol(paths, desk.invitation(), utc_now())
    renewed(desk, paths)
    renewed(desk, paths)
    assert desk.renewals[0].fleet_key != desk.renewals[1].fleet_key


def test_a_refused_renewal_changes_nothing_and_its_key_is_offered_again(
    desk: Desk, paths: Paths
) -> None:
    membership = enrol(paths, desk.invitation(), utc_now())
    fleet = paths.fleet_key.read_bytes()
    desk.answer = lambda _request: None
    with pytest.raises(RemoteError) as refused:
        renewed(desk, paths)
    assert refused.value.code == "ENROLMENT_REFUSED"
    assert paths.fleet_key.read_bytes() == fleet
    assert read_membership(paths, COORDINATOR.verify_key, utc_now()) == membership
    # The coordinator may have taken the key although its answer was lost.
    desk.answer = honest
    renewed(desk, paths)
    assert desk.renewals[0].fleet_key == desk.renewals[1].fleet_key


def test_a_renewal_about_another_key_is_not_taken(desk: Desk, paths: Paths) -> None:
    enrol(paths, desk.invitation(), utc_now())
    before = paths.membership.read_bytes(), paths.fleet_key.read_bytes()
    first = desk.requests[0].fleet_key
    desk.answer = lambda asked: honest(asked.model_copy(update={"fleet_key": first}))
    with pytest.raises(RemoteError) as refused:
        renewed(desk, paths)
    assert refused.value.code == "MEMBERSHIP_DIFFERS"
    assert (paths.membership.read_bytes(), paths.fleet_key.read_bytes()) == before


def test_a_node_follows_the_list_and_says_once_what_is_wrong(desk: Desk, paths: Paths) -> None:
    enrol(paths, desk.invitation(), utc_now())
    said: list[str] = []
    follower = Follower(paths, desk.address, COORDINATOR.verify_key, said.append)
    follower.look()
    follower.look()
    assert len(said) == 1
    assert "COORDINATOR_UNREACHABLE" in said[0]
    ours = Entry(
        name="hdab", signing_key=COORDINATOR.verify_key.vkey, fingerprint="ab" * 32, state="active"
    )
    first = succeed(None, "hdab", (), utc_now())
    second = succeed(first, "hdab", (ours,), utc_now())
    for listed in (second, first, first, second):
        desk.pages["/v1/participants"] = documents.sign(COORDINATOR, listed).encode()
        follower.look()
    assert [line.rpartition("[")[2] for line in said[1:]] == ["MANIFEST_ROLLBACK]"]
    again = Follower(paths, desk.address, COORDINATOR.verify_key, said.append)
    assert again.participants.current() == second
    old = succeed(None, "hdab", (), utc_now() - timedelta(days=1), at_least=9)
    desk.pages["/v1/participants"] = documents.sign(COORDINATOR, old).encode()
    again.look()
    assert said[-1].endswith("[MANIFEST_EXPIRED]")
