"""The list of participants as the coordinator keeps it: joining, revoking, renewing, vouching."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr", reason="the transport is an optional dependency")

import asyncio

from cryptography.hazmat.primitives.asymmetric import ec
from desk import NOW
from httpx import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette

from connector.audit import entries
from connector.audit.damage import read_entries
from connector.audit.log import Log
from connector.errors import LocalError, RemoteError
from connector.identity import certificates, credentials, documents, jose, manifest
from connector.identity.encoding import encode_base64
from connector.identity.enrolment import EnrolmentRequest, Membership, RenewalRequest
from connector.identity.jose import PublicKey
from connector.identity.keys import SigningKey
from connector.identity.manifest import Manifest
from coordinator import members, pages
from coordinator.office import MEMBERSHIP_LIFE, Office, create
from coordinator.recorder import Recorder
from coordinator.renewal import renew
from policies.errors import Error

DID = "did:web:hdab.example"
NORTH = "did:web:north.example"


class Desk:
    """An office with its log, at a time that the test says."""

    def __init__(self, root: Path) -> None:
        create(root, "hdab", "127.0.0.1", 0)
        (root / "coordinator.toml").write_text(f'name = "hdab"\nport = 0\ndid = "{DID}"\n')
        self.root = root
        self.now = NOW
        self.open()

    def open(self) -> None:
        self.office = replace(Office.open(self.root), clock=self.clock)
        self.office.paths.address.write_text("127.0.0.1:8700")
        self.log = Log.open(self.office.paths.log, self.office.key)
        self.recorder = Recorder(self.log, self.clock)

    def clock(self) -> datetime:
        return self.now

    def close(self) -> None:
        self.log.close()
        self.office.close()

    def join(self, name: str, key: SigningKey | None = None, **invited: str) -> str:
        token = self.office.invite(name, **invited).token
        return self.enrol(token, key or key_of(name))

    def enrol(self, token: str, key: SigningKey) -> str:
        request = EnrolmentRequest(
            participant=key.name, token=token, signing_key=key.verify_key.vkey,
            fleet_key=connection(key.name),
        )  # fmt: skip
        document, _ = self.office.enrol(request, self.recorder.record)
        return document

    def listed(self) -> Manifest:
        return documents.verify(self.office.manifest(), Manifest, self.office.key.verify_key)

    def file(self) -> list[str]:
        return members.file_revocations(self.office.store, self.recorder.record, self.now)

    def kinds(self) -> list[Any]:
        return [entries.parse(content) for _, content in read_entries(self.office.paths.log)]

    def renewal(self, key: SigningKey, **changed: Any) -> bytes:
        known = {
            "participant": key.name, "coordinator": "hdab", "requested_at": self.now,
            "fleet_key": connection(f"{key.name}-2"),
        }  # fmt: skip
        request = RenewalRequest.model_validate(known | changed)
        return documents.sign(key, request).encode()

    def renew(self, body: bytes) -> Membership:
        document, _ = renew(self.office, body, self.recorder.record)
        return documents.verify(document, Membership, self.office.key.verify_key)


def key_of(name: str, salt: str = "") -> SigningKey:
    return SigningKey(name, hashlib.sha256((name + salt).encode()).digest())


def connection(name: str) -> str:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16])
    return encode_base64(certificates.public_pem(ec.derive_private_key(number, ec.SECP256R1())))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "hdab")
    yield made
    made.close()


def refused(work: Any) -> str:
    with pytest.raises(Error) as refusal:
        work()
    return refusal.value.code


def test_the_list_names_the_coordinator_and_who_has_joined(desk: Desk) -> None:
    desk.join("south")
    desk.join("north", did=NORTH)
    listed = desk.listed()
    assert [one.name for one in listed.participants] == ["hdab", "north", "south"]
    assert listed.by_did.keys() == {DID, NORTH}
    north = listed.by_name["north"]
    assert north.signing_key == key_of("north").verify_key.vkey
    assert north.state == "active"
    assert listed.expires_at == NOW + manifest.LIFE


def test_a_list_stays_until_somebody_comes_or_half_its_life_is_over(desk: Desk) -> None:
    desk.join("north")
    first = desk.office.manifest()
    desk.now += manifest.LIFE / 2 - timedelta(seconds=1)
    assert desk.office.manifest() == first
    desk.now += timedelta(seconds=1)
    second = desk.listed()
    desk.join("south")
    third = desk.listed()
    versions = [documents.verify(first, Manifest, desk.office.key.verify_key), second, third]
    for before, after in itertools.pairwise(versions):
        assert after.version > before.version
        assert after.previous == before.digest


def test_every_side_follows_one_list_after_the_other(desk: Desk, tmp_path: Path) -> None:
    seen = manifest.Participants(tmp_path / "list", desk.office.key.verify_key, desk.clock)
    seen.take(desk.office.manifest())
    desk.join("north")
    old = desk.office.manifest()
    seen.take(old)
    desk.office.revoke("north")
    seen.take(desk.office.manifest())
    assert seen.current().by_name["north"].state == "revoked"
    assert refused(lambda: seen.take(old)) == "MANIFEST_ROLLBACK"


def test_a_list_is_newer_also_after_the_database_was_restored(desk: Desk, tmp_path: Path) -> None:
    seen = manifest.Participants(tmp_path / "list", desk.office.key.verify_key, desk.clock)
    for name in ("north", "south", "east"):
        desk.join(name)
        seen.take(desk.office.manifest())
    with desk.office.store.begin() as session:
        session.query(members.ManifestRow).delete()
    desk.now += timedelta(minutes=5)
    seen.take(desk.office.manifest())


def test_a_revoked_hospital_is_out_at_once_and_its_end_is_logged_once(desk: Desk) -> None:
    desk.join("north")
    desk.join("south")
    desk.office.revoke("north")
    assert [one.name for one in desk.office.participants()] == ["south"]
    assert desk.listed().by_name["north"].state == "revoked"
    assert desk.file() == ["north"]
    assert desk.file() == []
    last = desk.kinds()[-1]
    assert (last.kind, last.participant) == ("revoked", "north")
    desk.office.revoke("north")
    assert desk.file() == []
    assert refused(lambda: desk.office.revoke("east")) == "NOT_A_MEMBER"


def test_a_revocation_that_nobody_logged_yet_is_logged_after_a_restart(desk: Desk) -> None:
    desk.join("north")
    desk.office.revoke("north")
    desk.close()
    desk.open()
    assert desk.file() == ["north"]


def test_a_revoked_key_does_not_come_back_and_its_hospital_may_with_another(desk: Desk) -> None:
    desk.join("north")
    desk.office.revoke("north")
    token = desk.office.invite("north").token
    assert refused(lambda: desk.enrol(token, key_of("north"))) == "KEY_REVOKED"
    desk.enrol(token, key_of("north", "2"))
    assert desk.listed().by_name["north"].state == "active"
    assert [one.name for one in desk.office.participants()] == ["north"]


def test_an_enrolment_that_ended_is_not_on_the_list(desk: Desk) -> None:
    desk.join("north")
    desk.now += MEMBERSHIP_LIFE
    assert "north" not in desk.listed().by_name


# Tokens that are bound to a key


def test_an_invitation_for_a_key_is_no_use_with_another(desk: Desk) -> None:
    key = key_of("north")
    token = desk.office.invite("north", key.verify_key.fingerprint).token
    assert refused(lambda: desk.enrol(token, key_of("north", "2"))) == "TOKEN_INVALID"
    desk.enrol(token, key)
    assert refused(lambda: desk.enrol(token, key)) == "TOKEN_INVALID"


@pytest.mark.parametrize("text", ["ab", "AB" * 32, "ab" * 33, "ab" * 32 + "\n"])
def test_what_is_no_fingerprint_invites_nobody(desk: Desk, text: str) -> None:
    assert refused(lambda: desk.office.invite("north", text)) == "FINGERPRINT_INVALID"


def test_a_did_is_one_hospitals(desk: Desk) -> None:
    desk.join("north", did=NORTH)
    assert refused(lambda: desk.office.invite("south", did=NORTH)) == "DID_TAKEN"
    assert refused(lambda: desk.office.invite("south", did="did:key:z6")) == "DID_INVALID"
    desk.office.invite("north", did=NORTH)


# Renewal


def test_a_member_renews_with_a_fresh_connection_key_before_its_end(desk: Desk) -> None:
    desk.join("north")
    desk.now += timedelta(days=20)
    key = key_of("north")
    membership = desk.renew(desk.renewal(key))
    assert membership.signing_key == key.verify_key.vkey
    assert membership.fleet_key == connection("north-2")
    assert membership.not_after == desk.now + MEMBERSHIP_LIFE
    (participant,) = desk.office.participants()
    assert participant.fleet_key == connection("north-2")
    assert desk.kinds()[-1].membership_digest == membership.digest


def test_a_renewal_counts_once(desk: Desk) -> None:
    desk.join("north")
    desk.now += timedelta(days=20)
    body = desk.renewal(key_of("north"))
    desk.renew(body)
    assert refused(lambda: desk.renew(body)) == "RENEWAL_REFUSED"
    desk.now += timedelta(minutes=1)
    assert refused(lambda: desk.renew(body)) == "RENEWAL_REFUSED"


def test_a_renewal_is_refused_to_others_and_too_late(desk: Desk) -> None:
    desk.join("north")
    desk.join("south")
    key = key_of("north")
    desk.now += timedelta(days=1)
    stranger, thief = key_of("east"), key_of("north", "2")
    assert refused(lambda: desk.renew(desk.renewal(stranger))) == "RENEWAL_REFUSED"
    assert refused(lambda: desk.renew(desk.renewal(thief))) == "SIGNATURE_INVALID"
    assert refused(lambda: desk.renew(b"\xff")) == "SIGNATURE_MALFORMED"
    for changed in (
        {"coordinator": "hdab-2"},
        {"requested_at": desk.now + timedelta(minutes=6)},
        {"requested_at": desk.now - timedelta(minutes=6)},
    ):
        body = desk.renewal(key, **changed)
        assert refused(lambda body=body: desk.renew(body)) == "RENEWAL_REFUSED"
    taken = desk.renewal(key, fleet_key=connection("south"))
    assert refused(lambda: desk.renew(taken)) == "KEY_TAKEN"
    desk.office.revoke("north")
    assert refused(lambda: desk.renew(desk.renewal(key))) == "RENEWAL_REFUSED"
    desk.now += MEMBERSHIP_LIFE
    assert refused(lambda: desk.renew(desk.renewal(key_of("south")))) == "RENEWAL_REFUSED"


# What anybody may read


def ask(desk: Desk, path: str) -> Response:
    async def call() -> Response:
        transport = ASGITransport(Starlette(routes=pages.routes(desk.office)))
        async with AsyncClient(transport=transport, base_url="https://hdab.example") as client:
            return await client.get(path)

    return asyncio.run(call())


def test_a_hospital_fetches_the_list_and_its_credential(desk: Desk) -> None:
    desk.join("north", did=NORTH)
    assert ask(desk, "/v1/participants").text == desk.office.manifest()
    token = jose.read(ask(desk, "/v1/participants/north/credential").text)
    jose.verify(token, PublicKey.of(desk.office.key.verify_key))
    credential = credentials.read(token)
    assert (credential.issuer, credential.subjects[0]["id"]) == (DID, NORTH)
    assert credential.expires == NOW + MEMBERSHIP_LIFE
    assert credential.statuses[0].address == "https://hdab.example/v1/status"


def test_a_revoked_hospitals_credential_is_marked_and_not_made_again(desk: Desk) -> None:
    desk.join("south", did="did:web:south.example")
    desk.join("north", did=NORTH)

    def status(name: str) -> bool:
        listed = credentials.read(jose.read(ask(desk, "/v1/status").text, 1 << 19))
        entry = credentials.read(jose.read(held[name])).statuses[0]
        return credentials.bit(listed.subjects[0]["encodedList"], entry.index)

    held = {
        name: ask(desk, f"/v1/participants/{name}/credential").text for name in ("north", "south")
    }
    assert (status("north"), status("south")) == (False, False)
    desk.office.revoke("north")
    assert (status("north"), status("south")) == (True, False)
    assert ask(desk, "/v1/participants/north/credential").status_code == 404
    desk.join("north", key_of("north", "2"))
    held["again"] = ask(desk, "/v1/participants/north/credential").text
    assert (status("north"), status("again")) == (True, False)


def test_nobody_else_gets_a_credential(desk: Desk) -> None:
    desk.join("south")
    for name in ("south", "east", "hdab"):
        assert ask(desk, f"/v1/participants/{name}/credential").status_code == 404


def test_a_coordinator_without_a_did_vouches_to_nobody_outside(tmp_path: Path) -> None:
    create(tmp_path / "plain", "hdab", "127.0.0.1", 0)
    office = Office.open(tmp_path / "plain")
    try:
        assert [route.path for route in pages.routes(office)] == ["/v1/participants"]
    finally:
        office.close()


def test_a_key_in_another_place_signs_for_the_coordinator(tmp_path: Path) -> None:
    root = tmp_path / "hdab"
    create(root, "hdab", "127.0.0.1", 0)
    elsewhere = SigningKey.generate("hdab")
    elsewhere.save(tmp_path / "elsewhere.key")
    (root / "identity" / "signing.key").unlink()
    text = f'name = "hdab"\nsigning_key = "file:{tmp_path}/elsewhere.key"\n'
    (root / "coordinator.toml").write_text(text)
    office = Office.open(root)
    try:
        assert office.key.verify_key == elsewhere.verify_key
    finally:
        office.close()
    (root / "coordinator.toml").write_text(text.replace('"hdab"', '"other"'))
    with pytest.raises(LocalError) as refusal:
        Office.open(root)
    assert refusal.value.code == "KEY_FOR_ANOTHER"


def test_refusals_of_peers_are_remote_errors(desk: Desk) -> None:
    with pytest.raises(RemoteError):
        desk.renew(b"{}")
