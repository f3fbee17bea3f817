"""The desk of the health data access body: set up, invite, enrol, issue permits."""

import functools
import hashlib
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from desk import NOW, offer, permit

from connector.audit import entries
from connector.audit.log import Log
from connector.audit.order import Order
from connector.errors import LocalError, RemoteError
from connector.identity import certificates, documents
from connector.identity.encoding import encode_base64
from connector.identity.enrolment import EnrolmentRequest, Invitation, Membership, new_token
from connector.identity.keys import SigningKey
from connector.store import InvitationRow, Participant, PermitRow, Store
from coordinator.office import INVITATION_LIFE, MAX_PERMIT_BYTES, Office, create, offers_of, sift
from coordinator.recorder import Recorder
from policies.errors import Error


class Desk:
    """An office with its log, at a time that the test says."""

    def __init__(self, root: Path) -> None:
        create(root, "hdab", "127.0.0.1", 0)
        self.now = NOW
        self.office = replace(Office.open(root), clock=self.clock)
        self.office.paths.address.write_text("127.0.0.1:8700")
        self.log = Log.open(self.office.paths.log, self.office.key)
        self.recorder = Recorder(self.log, self.clock)

    def clock(self) -> datetime:
        return self.now

    def enrol(self, request: EnrolmentRequest) -> tuple[str, Participant]:
        return self.office.enrol(request, self.recorder.record)

    def close(self) -> None:
        self.log.close()
        self.office.close()

    def remembered(self) -> tuple[Any, ...]:
        """Everything that an enrolment could change."""
        with self.office.store.begin() as session:
            tokens = [(t.token_digest, t.used_at) for t in session.query(InvitationRow)]
        people = [(p.name, p.signing_key, p.fleet_key) for p in self.office.participants()]
        return sorted(tokens, key=str), people, len(self.log)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "hdab")
    yield made
    made.close()


def public_pem(key: Any) -> str:
    return encode_base64(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def seed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@functools.cache
def fleet_key(name: str) -> str:
    return public_pem(ec.derive_private_key(int.from_bytes(seed(name)[:16]), ec.SECP256R1()))


def request(name: str, token: str, **changed: Any) -> EnrolmentRequest:
    known = {
        "participant": name,
        "token": token,
        "signing_key": SigningKey(name, seed(name)).verify_key.vkey,
        "fleet_key": fleet_key(name),
    }
    return EnrolmentRequest(**(known | changed))


def refused(desk: Desk, asked: EnrolmentRequest) -> tuple[str, str]:
    before = desk.remembered()
    with pytest.raises(RemoteError) as refusal:
        desk.enrol(asked)
    assert desk.remembered() == before, "a refusal changes nothing"
    return refusal.value.code, refusal.value.diagnostics()


# Setting up


def test_what_is_secret_is_its_owners_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        desk = Desk(tmp_path / "hdab")
        desk.office.invite("north")
        modes = {
            str(path.relative_to(tmp_path / "hdab")): stat.S_IMODE(path.stat().st_mode)
            for path in (tmp_path / "hdab").rglob("*")
        }
        desk.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "hdab").stat().st_mode) == 0o700
    assert modes["identity"] == 0o700
    secrets = {name for name in modes if name.endswith(".key") or name.startswith("coordinator.db")}
    assert {"identity/signing.key", "identity/ca.key", "coordinator.db"} <= secrets
    for name in secrets:
        assert modes[name] == 0o600, name


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(LocalError) as refusal:
        create(tmp_path, "hdab", "127.0.0.1", 0)
    assert refusal.value.code == "DIRECTORY_NOT_EMPTY"
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_empty_directory_is_used_and_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    create(tmp_path, "hdab", "127.0.0.1", 0)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "host", "port", "code"),
    [
        ("HDAB", "127.0.0.1", 0, "NAME_INVALID"),
        ("", "127.0.0.1", 0, "NAME_INVALID"),
        ("hdab", 'x"\nport = 1', 0, "CONFIG_INVALID"),
        ("hdab", "", 0, "CONFIG_INVALID"),
        ("hdab", "127.0.0.1", 65_536, "CONFIG_INVALID"),
        ("hdab", "127.0.0.1", -1, "CONFIG_INVALID"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(
    tmp_path: Path, name: str, host: str, port: int, code: str
) -> None:
    with pytest.raises(Error) as refusal:
        create(tmp_path / "hdab", name, host, port)
    assert refusal.value.code == code
    assert not (tmp_path / "hdab").exists()


@pytest.mark.parametrize(
    ("text", "code", "names"),
    [
        ('name = "hdab"\nprot = 1', "CONFIG_INVALID", "prot"),
        ("port = 1", "CONFIG_INVALID", "name"),
        ('name = "hdab"\nport = "many"', "CONFIG_INVALID", "port"),
        ('name = "hdab"\njobs_at_once = 0', "CONFIG_INVALID", "jobs_at_once"),
        ("name = ", "CONFIG_SYNTAX", "coordinator.toml"),
        ("a = " + "[" * 5000, "CONFIG_SYNTAX", "coordinator.toml"),
        ('name = "hdab"\ndatabase = "nonsense"', "STORE_UNREACHABLE", "database"),
        ('name = "hdab"\ndatabase = "oracle://a/b"', "STORE_DRIVER_MISSING", "database"),
        (
            'name = "hdab"\ndatabase = "sqlite:////no/such/place/x.db"',
            "STORE_UNREACHABLE",
            "database",
        ),
    ],
)
def test_a_configuration_that_is_wrong_says_where(
    desk: Desk, text: str, code: str, names: str
) -> None:
    desk.office.paths.config.write_text(text)
    with pytest.raises(LocalError) as refusal:
        Office.open(desk.office.paths.root)
    assert refusal.value.code == code
    assert names in refusal.value.diagnostics()


def test_a_directory_that_is_none_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as refusal:
        Office.open(tmp_path / "none")
    assert refusal.value.code == "CONFIG_MISSING"
    assert "init" in refusal.value.remedy
    assert not (tmp_path / "none").exists()


def test_a_key_that_others_can_read_is_not_used(desk: Desk) -> None:
    desk.office.paths.signing_key.chmod(0o644)
    with pytest.raises(LocalError) as refusal:
        Office.open(desk.office.paths.root)
    assert refusal.value.code == "KEY_EXPOSED"


# Inviting and enrolling


def test_an_invitation_carries_what_a_hospital_has_to_trust(desk: Desk) -> None:
    invitation = desk.office.invite("north")
    authority = (desk.office.paths.identity / "ca.pem").read_bytes()
    assert invitation.authority_fingerprint == certificates.fingerprint(authority)
    assert invitation.coordinator_key == desk.office.key.verify_key.vkey
    assert invitation.url == "https://127.0.0.1:8700"
    assert invitation.expires_at == NOW + INVITATION_LIFE
    assert Invitation.from_line(invitation.as_line()) == invitation
    assert desk.office.invite("north").token != invitation.token


@pytest.mark.sqlite
def test_the_token_itself_is_not_stored(desk: Desk) -> None:
    token = desk.office.invite("north").token
    stored = b"".join(path.read_bytes() for path in desk.office.paths.root.glob("coordinator.db*"))
    assert b"north" in stored
    assert token.encode() not in stored


def test_no_invitation_without_an_address_or_for_a_name_that_is_none(desk: Desk) -> None:
    with pytest.raises(LocalError) as refusal:
        desk.office.invite("North Hospital")
    assert refusal.value.code == "NAME_INVALID"
    desk.office.paths.address.unlink()
    with pytest.raises(LocalError) as refusal:
        desk.office.invite("north")
    assert refusal.value.code == "COORDINATOR_STOPPED"
    assert desk.remembered()[0] == []


def test_a_hospital_enrols_once_with_its_token(desk: Desk) -> None:
    token = desk.office.invite("north").token
    document, participant = desk.enrol(request("north", token))
    membership = documents.verify(document, Membership, desk.office.key.verify_key)
    membership.check_validity(NOW)
    assert (membership.participant, membership.coordinator) == ("north", "hdab")
    assert membership.signing_key == request("north", token).signing_key
    assert participant.not_after == membership.not_after > NOW
    assert [p.name for p in desk.office.participants()] == ["north"]
    assert len(desk.log) == 1
    assert refused(desk, request("north", token))[0] == "TOKEN_INVALID"


def test_the_enrolment_stands_in_the_log(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    monkeypatch.setattr(desk.log, "append", lambda found: written.extend(map(entries.parse, found)))
    document, _ = desk.enrol(request("north", desk.office.invite("north").token))
    membership = documents.verify(document, Membership, desk.office.key.verify_key)
    (entry,) = written
    assert isinstance(entry, entries.Enrolled)
    assert (entry.participant, entry.membership_digest) == ("north", membership.digest)


def test_what_cannot_be_logged_does_not_happen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    token = desk.office.invite("north").token
    before = desk.remembered()

    def full(_found: list[bytes]) -> None:
        raise LocalError("LOG_FULL", "the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(desk.log, "append", full)
        with pytest.raises(LocalError):
            desk.enrol(request("north", token))
    assert desk.remembered() == before
    assert desk.enrol(request("north", token))[1].name == "north", "the token is still good"


def test_every_token_that_is_not_good_gets_the_same_answer(desk: Desk) -> None:
    used, expired, foreign = (desk.office.invite(name).token for name in ("used", "late", "south"))
    desk.enrol(request("used", used))
    desk.now = NOW + INVITATION_LIFE
    fresh = desk.office.invite("south").token
    answers = {
        refused(desk, request("used", used)),
        refused(desk, request("late", expired)),
        refused(desk, request("south", foreign)),
        refused(desk, request("north", fresh)),  # another hospital's
        refused(desk, request("north", new_token())),
        refused(desk, request("nobody", "0" * 64)),
    }
    assert len(answers) == 1
    assert answers.pop()[0] == "TOKEN_INVALID"
    assert desk.enrol(request("south", fresh))[1].name == "south"


def test_a_token_is_good_until_just_before_its_end(desk: Desk) -> None:
    token = desk.office.invite("north").token
    desk.now = NOW + INVITATION_LIFE - timedelta(milliseconds=1)
    assert desk.enrol(request("north", token))[1].name == "north"


def test_a_token_works_once_even_for_two_at_the_same_moment(desk: Desk) -> None:
    for _ in range(10):
        token = desk.office.invite("north").token
        outcomes: list[str] = []
        together = threading.Barrier(2)

        def redeem(
            token: str = token, outcomes: list[str] = outcomes, meet: threading.Barrier = together
        ) -> None:
            meet.wait()
            try:
                desk.enrol(request("north", token))
            except Error as error:
                outcomes.append(error.code)
            else:
                outcomes.append("enrolled")

        threads = [threading.Thread(target=redeem) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["TOKEN_INVALID", "enrolled"]
    assert len(desk.log) == 10


@pytest.mark.parametrize(
    "changed",
    [
        {"signing_key": SigningKey("south", b"n" * 32).verify_key.vkey},
        {"signing_key": "not a signing key"},
        {"fleet_key": "not a fleet key!"},
        {"fleet_key": encode_base64(b"not a fleet key")},
        {"fleet_key": public_pem(ed25519.Ed25519PrivateKey.generate())},
    ],
)
def test_keys_that_could_not_be_used_are_refused_and_leave_the_token(
    desk: Desk, changed: dict[str, str]
) -> None:
    token = desk.office.invite("north").token
    assert refused(desk, request("north", token, **changed))[0] == "KEY_MALFORMED"
    assert desk.enrol(request("north", token))[1].name == "north"


def test_enrolling_again_replaces_keys_and_forgets_offers(desk: Desk) -> None:
    desk.enrol(request("north", desk.office.invite("north").token))
    with desk.office.store.begin() as session:
        session.get_one(Participant, "north").offers = [{"dataset": "north/patients"}]
    other = SigningKey("north", b"m" * 32).verify_key.vkey
    desk.enrol(request("north", desk.office.invite("north").token, signing_key=other))
    (participant,) = desk.office.participants()
    assert (participant.signing_key, participant.offers) == (other, [])


def test_nobody_enrols_with_anothers_keys(desk: Desk) -> None:
    desk.enrol(request("north", desk.office.invite("north").token))
    token = desk.office.invite("south").token
    same_signing = SigningKey("south", seed("north")).verify_key.vkey
    assert refused(desk, request("south", token, signing_key=same_signing))[0] == "KEY_TAKEN"
    assert refused(desk, request("south", token, fleet_key=fleet_key("north")))[0] == "KEY_TAKEN"
    seed_of_the_desk = desk.office.key._seed
    body = SigningKey("south", seed_of_the_desk).verify_key.vkey
    assert refused(desk, request("south", token, signing_key=body))[0] == "KEY_TAKEN"
    assert desk.enrol(request("south", token))[1].name == "south"
    again = desk.office.invite("north").token
    assert desk.enrol(request("north", again))[1].name == "north", "its own keys it may keep"


def test_nobody_is_invited_under_the_coordinators_own_name(desk: Desk) -> None:
    with pytest.raises(LocalError) as refusal:
        desk.office.invite("hdab")
    assert refusal.value.code == "NAME_TAKEN"


def test_enrolments_at_the_same_moment_stand_in_the_log_in_the_order_of_their_times(
    desk: Desk,
) -> None:
    moments = iter(range(100))
    lock = threading.Lock()

    def tick() -> datetime:
        with lock:
            return NOW + timedelta(seconds=next(moments))

    recorder = Recorder(desk.log, tick)
    asked = [request(name, desk.office.invite(name).token) for name in "abcdefgh"]
    together = threading.Barrier(len(asked))

    def enrol(one: EnrolmentRequest) -> None:
        together.wait()
        desk.office.enrol(one, recorder.record)

    threads = [threading.Thread(target=enrol, args=(one,)) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    order = Order("hdab")
    for index, content in desk.log.read():
        order.check(index, content)
    assert len(desk.log) == len(asked)


def test_nobody_offers_anothers_dataset() -> None:
    def holding(name: str, *datasets: str) -> Participant:
        return Participant(name=name, offers=[offer(d, title=f"by {name}") for d in datasets])

    found = offers_of(
        [holding("east", "east/a", "north/a", "eastern/a"), holding("north", "north/a", "north/b")]
    )
    assert {dataset: one.title for dataset, one in found.items()} == {
        "east/a": "by east",
        "north/a": "by north",
        "north/b": "by north",
    }


@pytest.mark.parametrize(
    "form",
    [
        {},
        [],
        "east/b",
        None,
        {"dataset": 7},
        offer("east/b", title="\x1b[2J"),
        offer("east"),
        offer("east/"),
        offer("east/b", price="1"),
        offer("east/b", schema={"columns": []}),
        offer("east/b", policy={}),
    ],
)
def test_an_offer_that_is_none_is_left_out_and_costs_no_other(form: Any) -> None:
    described = [form, offer("east/a")]
    assert list(offers_of([Participant(name="east", offers=described)])) == ["east/a"]
    assert sift("east", described)[1] == ["OFFER_MALFORMED"]


# Addresses


@pytest.mark.parametrize(
    ("host", "public", "url", "certified"),
    [
        ("127.0.0.1", "", "https://127.0.0.1:8700", "127.0.0.1"),
        ("localhost", "", "https://localhost:8700", "localhost"),
        ("::1", "", "https://[::1]:8700", "::1"),
        ("::0", "data.example.org:443", "https://data.example.org:443", "data.example.org"),
        ("::", "[2001:db8::7]:8443", "https://[2001:db8::7]:8443", "2001:db8::7"),
        ("10.0.0.7", "192.0.2.1:80", "https://192.0.2.1:80", "192.0.2.1"),
    ],
)
def test_invitations_and_certificates_name_the_public_address(
    tmp_path: Path, host: str, public: str, url: str, certified: str
) -> None:
    create(tmp_path / "hdab", "hdab", host, 0, public)
    office = Office.open(tmp_path / "hdab")
    listening = "[::1]:8700" if ":" in host else "127.0.0.1:8700"
    office.paths.address.write_text(listening)
    assert office.invite("north").url == url
    assert office.config.public_host == certified
    office.close()


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",  # noqa: S104 - it is refused
        "0",
        "::",
        "0:0:0:0:0:0:0:0",
    ],
)
def test_every_address_is_none_that_a_hospital_could_connect_to(tmp_path: Path, host: str) -> None:
    with pytest.raises(LocalError) as refusal:
        create(tmp_path / "hdab", "hdab", host, 0)
    assert refusal.value.code == "PUBLIC_ADDRESS_MISSING"
    assert "public" in refusal.value.remedy
    assert not (tmp_path / "hdab").exists()


@pytest.mark.parametrize(
    "public", ["example.org", "example.org:", ":443", "a:0", "a:65536", "::1:443", "a b:1", "a/b:1"]
)
def test_a_public_address_that_is_none_is_refused(tmp_path: Path, public: str) -> None:
    with pytest.raises(LocalError) as refusal:
        create(tmp_path / "hdab", "hdab", "127.0.0.1", 0, public)
    assert refusal.value.code == "CONFIG_INVALID"


def test_a_coordinator_whose_address_file_is_torn_counts_as_stopped(desk: Desk) -> None:
    desk.office.paths.address.write_text("127.0.0.1")
    for call in (lambda: desk.office.invite("north"), desk.office.check_running):
        with pytest.raises(LocalError) as refusal:
            call()
        assert refusal.value.code == "COORDINATOR_STOPPED"


# Permits


def test_a_permit_is_issued_once(desk: Desk) -> None:
    document = desk.office.issue_permit(permit())
    assert desk.office.permit("permit-1") == (permit(), document)
    for again in (permit(), permit(epsilon="3")):
        with pytest.raises(LocalError) as refusal:
            desk.office.issue_permit(again)
        assert refusal.value.code == "PERMIT_EXISTS"
    assert desk.office.permit("permit-1") == (permit(), document)


def test_a_permit_is_issued_once_even_by_two_at_the_same_moment(desk: Desk) -> None:
    codes: list[str] = []
    together = threading.Barrier(2)

    def issue(epsilon: str) -> None:
        together.wait()
        try:
            desk.office.issue_permit(permit(epsilon=epsilon))
        except Error as error:
            codes.append(error.code)

    threads = [threading.Thread(target=issue, args=(epsilon,)) for epsilon in ("1", "2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == ["PERMIT_EXISTS"]


def test_a_permit_of_another_issuer_is_not_signed(desk: Desk) -> None:
    with pytest.raises(LocalError) as refusal:
        desk.office.issue_permit(permit(issuer="another-body"))
    assert refusal.value.code == "PERMIT_ISSUER"


def test_a_permit_that_no_node_would_read_is_not_signed(desk: Desk) -> None:
    columns = tuple(f"column-{number}" for number in range(1000))
    with pytest.raises(LocalError) as refusal:
        desk.office.issue_permit(permit(columns=columns))
    assert refusal.value.code == "PERMIT_TOO_LARGE"
    assert str(MAX_PERMIT_BYTES) in refusal.value.message


def test_an_unknown_permit_says_so(desk: Desk) -> None:
    with pytest.raises(LocalError) as refusal:
        desk.office.permit("permit-9")
    assert refusal.value.code == "PERMIT_UNKNOWN"


def test_a_permit_that_was_changed_in_the_table_is_not_believed(desk: Desk) -> None:
    desk.office.issue_permit(permit())
    forged = documents.sign(SigningKey("hdab", b"x" * 32), permit(epsilon="100"))
    with desk.office.store.begin() as session:
        session.get_one(PermitRow, "permit-1").document = forged
    with pytest.raises(RemoteError) as refusal:
        desk.office.permit("permit-1")
    assert refusal.value.code == "SIGNATURE_INVALID"


# The store underneath


def test_a_transaction_that_fails_leaves_nothing(desk: Desk) -> None:
    class Stop(Exception):  # noqa: N818 - only this test's
        pass

    def stop_in_the_middle() -> None:
        with desk.office.store.begin() as session:
            session.add(InvitationRow(token_digest="0" * 64, participant="north", expires_at=NOW))
            session.flush()
            raise Stop

    with pytest.raises(Stop):
        stop_in_the_middle()
    assert desk.remembered()[0] == []


def test_a_database_that_fails_is_an_error_of_ours(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(LocalError) as refusal, store.begin() as session:
        session.connection().exec_driver_sql("SELECT * FROM nothing")
    assert refusal.value.code == "STORE_FAILED"
    store.close()


def test_times_come_back_in_utc_and_naive_ones_are_refused(desk: Desk) -> None:
    desk.office.invite("north")
    with desk.office.store.begin() as session:
        (row,) = session.query(InvitationRow)
    assert row.expires_at == NOW + INVITATION_LIFE
    assert row.expires_at.tzinfo is not None
    naive = InvitationRow(
        token_digest="0" * 64, participant="north", expires_at=NOW.replace(tzinfo=None)
    )
    with pytest.raises(Exception, match="zone"), desk.office.store.begin() as session:
        session.add(naive)


@pytest.mark.sqlite
def test_a_database_that_somebody_holds_is_busy_and_can_be_read(desk: Desk) -> None:
    desk.office.issue_permit(permit())
    store = desk.office.store
    holder = sqlite3.connect(desk.office.paths.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        assert desk.office.permit("permit-1")[0] == permit()
        with store.read() as session:
            session.connection().exec_driver_sql("PRAGMA busy_timeout = 0")
        with pytest.raises(LocalError) as refusal, store.begin() as session:
            session.connection()
        assert refusal.value.code == "STORE_BUSY"
    finally:
        holder.close()
    with store.begin() as session:
        session.get_one(PermitRow, "permit-1").logged = True


@pytest.mark.sqlite
def test_a_driver_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LocalError) as refusal:
        Store("postgresql+psycopg://user:secret@nowhere/database")
    assert refusal.value.code == "STORE_DRIVER_MISSING"
    assert "psycopg" in refusal.value.diagnostics()
    assert "secret" not in refusal.value.diagnostics()
