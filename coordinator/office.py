"""What the health data access body does on its own desk: set up, invite, enrol, issue permits.

The log has one writer, the running coordinator. An enrolment happens there and stands in the log
before it takes effect. A permit is issued, and a result reviewed, by the command line, in a table;
the coordinator logs it (`filing`), and with that it takes effect: no job runs under a permit, and
no model is handed out by a review, that the log does not know. An invitation is not logged: it
gives nothing but the right to enrol once.
"""

import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.audit import entries
from connector.clock import utc_now
from connector.errors import LocalError, RemoteError
from connector.flower.keys import check_public
from connector.identity import certificates, documents, keystore
from connector.identity.encoding import decode_base64
from connector.identity.enrolment import (
    EnrolmentRequest,
    Invitation,
    Membership,
    new_token,
    token_digest,
)
from connector.identity.keys import Signer, SigningKey, VerifyKey, check_name
from connector.identity.manifest import Entry
from connector.protocol import Offer
from connector.store import InvitationRow, Participant, PermitRow, Store
from coordinator import config, members
from coordinator.config import CoordinatorConfig, Paths
from coordinator.recorder import Record
from policies.permit import Permit

INVITATION_LIFE = timedelta(hours=24)
MEMBERSHIP_LIFE = timedelta(days=30)
_ANSWER_SECONDS = 5.0
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
MAX_PERMIT_BYTES = 16_000  # what a node accepts; far below what fits in a log entry


@dataclass(frozen=True)
class Office:
    """The coordinator's key, tables and clock."""

    paths: Paths
    config: CoordinatorConfig
    key: Signer
    store: Store
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def open(cls, root: Path) -> "Office":
        """Open a coordinator's directory. Raises `LocalError` for what is missing or exposed."""
        paths = Paths(root)
        settings = config.load(paths)
        key = keystore.load(settings.signing_key, settings.name, root)
        if not settings.database:
            paths.database.touch(mode=0o600)
        return cls(paths, settings, key, Store(config.database_url(paths, settings)))

    def close(self) -> None:
        """Release the database."""
        self.store.close()

    def invite(self, participant: str, fingerprint: str = "", did: str = "") -> Invitation:
        """A one-time invitation for a hospital. The coordinator must be running (its port).

        `fingerprint`: of the one signing key that may use it; empty, any. `did`: the hospital's.
        Raises `LocalError`: NAME_INVALID, NAME_TAKEN (the coordinator's own), COORDINATOR_STOPPED,
        FINGERPRINT_INVALID, DID_INVALID, DID_TAKEN.
        """
        check_name(participant)
        if fingerprint and not _FINGERPRINT.fullmatch(fingerprint):
            raise LocalError(
                "FINGERPRINT_INVALID",
                "that is not the fingerprint of a key",
                "Copy all 64 characters that `commensal node key` printed at the hospital",
            )
        if participant == self.key.name:
            raise LocalError(
                "NAME_TAKEN",
                f"{participant} is this coordinator's own name",
                "Invite the hospital under a name of its own",
            )
        now = self.clock()
        token = new_token()
        invitation = Invitation(
            participant=participant,
            url=f"https://{self.config.public_address(self._listening()[1])}",
            authority_fingerprint=certificates.fingerprint(
                (self.paths.identity / "ca.pem").read_bytes()
            ),
            coordinator_key=self.key.verify_key.vkey,
            token=token,
            expires_at=now + INVITATION_LIFE,
        )
        if did:
            members.set_did(self.store, participant, did)
        with self.store.begin() as session:
            session.add(
                InvitationRow(
                    token_digest=token_digest(token, fingerprint),
                    participant=participant,
                    expires_at=invitation.expires_at,
                )
            )
        return invitation

    def address(self) -> str:
        """`host:port` where the coordinator listens. Raises `LocalError` (COORDINATOR_STOPPED)."""
        try:
            return self.paths.address.read_text().strip()
        except OSError as error:
            raise self._stopped() from error

    def check_running(self) -> None:
        """Raise `LocalError` (COORDINATOR_STOPPED) unless somebody listens at the address."""
        try:
            socket.create_connection(self._listening(), timeout=_ANSWER_SECONDS).close()
        except OSError as error:
            raise self._stopped() from error

    def _listening(self) -> tuple[str, int]:
        try:
            return config.split_address(self.address())
        except ValueError as error:
            raise self._stopped() from error

    def _stopped(self) -> LocalError:
        return LocalError(
            "COORDINATOR_STOPPED",
            f"no coordinator is running on {self.paths.root}",
            f"Start it with `commensal coordinator run {self.paths.root}`",
        )

    def enrol(self, request: EnrolmentRequest, record: Record) -> tuple[str, Participant]:
        """Redeem a token: returns the signed membership.

        The token is used up in the same transaction that stores the keys. Raises `RemoteError`
        (TOKEN_INVALID, KEY_MALFORMED, KEY_TAKEN, KEY_REVOKED).
        """
        now = self.clock()
        _check_keys(request)
        # A token that is bound to a key is found by that key only.
        fingerprint = VerifyKey.parse(request.signing_key).fingerprint
        digests = [token_digest(request.token, bound) for bound in ("", fingerprint)]
        membership = Membership(
            participant=request.participant,
            coordinator=self.key.name,
            signing_key=request.signing_key,
            fleet_key=request.fleet_key,
            not_before=now - timedelta(minutes=5),
            not_after=now + MEMBERSHIP_LIFE,
        )
        with self.store.begin() as session:
            token = session.scalar(
                select(InvitationRow)
                .where(InvitationRow.token_digest.in_(digests))
                .with_for_update()
            )
            if (
                token is None
                or token.used_at is not None
                or token.expires_at <= now
                or token.participant != request.participant
            ):
                raise RemoteError("TOKEN_INVALID", "an enrolment token is not valid")
            self._check_keys_are_new(session, request)
            members.admit(session, request.participant, request.signing_key)
            token.used_at = now
            participant = session.merge(
                Participant(
                    name=request.participant,
                    signing_key=request.signing_key,
                    fleet_key=request.fleet_key,
                    enrolled_at=now,
                    not_after=membership.not_after,
                    offers=[],
                )
            )
            record(
                entries.Enrolled(
                    time=now,
                    participant=request.participant,
                    coordinator=self.key.name,
                    membership_digest=membership.digest,
                    not_after=membership.not_after,
                )
            )
        return documents.sign(self.key, membership), participant

    def _check_keys_are_new(self, session: Session, request: EnrolmentRequest) -> None:
        """Refuse another participant's keys, or the coordinator's. Raises KEY_TAKEN.

        Threat: one hospital under two names makes up a permit's minimum of participants alone.
        """
        signing = {self.key.verify_key.public_bytes}
        fleet = set()
        for other in session.scalars(select(Participant)):
            if other.name != request.participant:
                signing.add(VerifyKey.parse(other.signing_key).public_bytes)
                fleet.add(fleet_key_pem(other))
        if (
            VerifyKey.parse(request.signing_key).public_bytes in signing
            or check_public(decode_base64(request.fleet_key)) in fleet
        ):
            raise RemoteError("KEY_TAKEN", "a key is another participant's")

    def participants(self) -> list[Participant]:
        """All enrolled hospitals that are not revoked, by name."""
        query = select(Participant).where(~members.is_revoked()).order_by(Participant.name)
        with self.store.read() as session:
            return list(session.scalars(query))

    def manifest(self) -> str:
        """The signed list of participants that counts now."""
        authority = (self.paths.identity / "ca.pem").read_bytes()
        ours = Entry(
            name=self.key.name,
            did=self.config.did,
            signing_key=self.key.verify_key.vkey,
            fingerprint=certificates.fingerprint(authority),
            state="active",
        )
        return members.published(self.store, self.key, ours, self.clock())

    def revoke(self, participant: str) -> None:
        """Take a hospital off the list. Raises `LocalError` (NOT_A_MEMBER)."""
        members.revoke(self.store, participant, self.clock())

    def issue_permit(self, permit: Permit) -> str:
        """Sign and store a permit; returns its signed form.

        Raises `LocalError`: PERMIT_ISSUER, PERMIT_TOO_LARGE, PERMIT_EXISTS.
        """
        if permit.issuer != self.key.name:
            raise LocalError(
                "PERMIT_ISSUER",
                f"permit {permit.id} names {permit.issuer} as its issuer, this is {self.key.name}",
                f'Write issuer = "{self.key.name}"',
            )
        document = documents.sign(self.key, permit)
        if len(document) > MAX_PERMIT_BYTES:
            raise LocalError(
                "PERMIT_TOO_LARGE",
                f"permit {permit.id} is larger than {MAX_PERMIT_BYTES} bytes when signed",
                "Name fewer datasets and columns, or issue several permits",
            )
        row = PermitRow(
            id=permit.id, digest=permit.digest, document=document, issued_at=self.clock()
        )
        taken = LocalError(
            "PERMIT_EXISTS",
            f"permit {permit.id} was issued already",
            "An amended permit gets a new id",
        )
        with self.store.begin(conflict=taken) as session:
            if session.get(PermitRow, permit.id) is not None:
                raise taken
            session.add(row)
        return document

    def permit(self, permit_id: str) -> tuple[Permit, str]:
        """A permit and its signed form. Raises `LocalError` (PERMIT_UNKNOWN)."""
        with self.store.read() as session:
            row = session.get(PermitRow, permit_id)
        if row is None:
            raise LocalError(
                "PERMIT_UNKNOWN",
                f"there is no permit {permit_id}",
                "Issue it with `commensal coordinator permit`",
            )
        return documents.verify(row.document, Permit, self.key.verify_key), row.document


def create(root: Path, name: str, host: str, port: int, public: str = "") -> Paths:
    """Create a coordinator's directory: keys, certificate authority, configuration.

    Raises `LocalError`: NAME_INVALID, CONFIG_INVALID, PUBLIC_ADDRESS_MISSING,
    DIRECTORY_NOT_EMPTY, all before anything is written.
    """
    check_name(name)
    paths = Paths(root)
    config.check(paths, {"name": name, "host": host, "port": port, "public": public})
    if root.exists() and any(root.iterdir()):
        raise LocalError(
            "DIRECTORY_NOT_EMPTY", f"{root} is not empty", "Name a directory that does not exist"
        )
    paths.identity.mkdir(parents=True, mode=0o700)
    root.chmod(0o700)
    SigningKey.generate(name).save(paths.signing_key)
    certificates.create_authority(paths.identity, name, utc_now())
    paths.config.write_text(
        f'name = "{name}"\nhost = "{host}"\nport = {port}\n'
        + (f'public = "{public}"\n' if public else "")
        + '# database = "postgresql+psycopg://..."  # default: SQLite in this directory\n'
    )
    return paths


def _check_keys(request: EnrolmentRequest) -> None:
    """Refuse keys that could not be used later. Raises `RemoteError` (KEY_MALFORMED)."""
    if VerifyKey.parse(request.signing_key).name != request.participant:
        raise RemoteError("KEY_MALFORMED", "a key's name is not the participant's")
    try:
        fleet_key = decode_base64(request.fleet_key)
    except ValueError as error:
        raise RemoteError("KEY_MALFORMED", "a node's key is not base64") from error
    check_public(fleet_key)


def fleet_key_pem(participant: Participant) -> bytes:
    """A participant's connection key, as PEM."""
    return check_public(decode_base64(participant.fleet_key))


def offers_of(participants: list[Participant]) -> dict[str, Offer]:
    """Dataset id -> offer, over all participants; nobody speaks for another's dataset."""
    return {
        offer.dataset: offer
        for participant in participants
        for offer in sift(participant.name, participant.offers)[0]
    }


def sift(hospital: str, described: Iterable[Any]) -> tuple[list[Offer], list[str]]:
    """What a hospital describes: its offers, and the code of each that is none."""
    offers: list[Offer] = []
    dropped: list[str] = []
    for form in described:
        try:
            offer = Offer.parse(form)
        except RemoteError:
            dropped.append("OFFER_MALFORMED")
            continue
        if offer.hospital == hospital:
            offers.append(offer)
        else:
            dropped.append("OFFER_NOT_YOURS")
    return offers, dropped
