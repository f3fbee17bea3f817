"""What the health data access body does on its own desk: set up, invite, enrol, issue permits.

Every act is an entry in the coordinator's log, written before it takes effect.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from connector.audit import entries
from connector.audit.log import Log
from connector.clock import utc_now
from connector.errors import LocalError, RemoteError
from connector.flower.keys import check_public
from connector.identity import certificates, documents
from connector.identity.encoding import decode_base64
from connector.identity.enrolment import (
    EnrolmentRequest,
    Invitation,
    Membership,
    new_token,
    token_digest,
)
from connector.identity.keys import SigningKey, VerifyKey, check_name
from connector.store import InvitationRow, Participant, PermitRow, Store
from coordinator import config
from coordinator.config import CoordinatorConfig, Paths
from policies.permit import Permit

INVITATION_LIFE = timedelta(hours=24)
MEMBERSHIP_LIFE = timedelta(days=30)
_ANSWER_SECONDS = 5.0
MAX_PERMIT_BYTES = 16_000  # what a node accepts; far below what fits in a log entry


@dataclass(frozen=True)
class Office:
    """The coordinator's key, tables and clock."""

    paths: Paths
    config: CoordinatorConfig
    key: SigningKey
    store: Store
    clock: Callable[[], datetime] = utc_now

    @classmethod
    def open(cls, root: Path) -> "Office":
        """Open a coordinator's directory. Raises `LocalError` for what is missing or exposed."""
        paths = Paths(root)
        settings = config.load(paths)
        key = SigningKey.load(paths.signing_key)
        if not settings.database:
            paths.database.touch(mode=0o600)
        return cls(paths, settings, key, Store(config.database_url(paths, settings)))

    def close(self) -> None:
        """Release the database."""
        self.store.close()

    def record(self, log: Log, entry: entries.Entry) -> None:
        """Write one entry into the coordinator's log, durably."""
        log.append([entries.spell(entry)])

    def invite(self, participant: str) -> Invitation:
        """A one-time invitation for a hospital. The coordinator must be running (its address)."""
        check_name(participant)
        now = self.clock()
        token = new_token()
        invitation = Invitation(
            participant=participant,
            url=f"https://{self.address()}",
            authority_fingerprint=certificates.fingerprint(
                (self.paths.identity / "ca.pem").read_bytes()
            ),
            coordinator_key=self.key.verify_key.vkey,
            token=token,
            expires_at=now + INVITATION_LIFE,
        )
        with self.store.begin() as session:
            session.add(
                InvitationRow(
                    token_digest=token_digest(token),
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
        host, _, port = self.address().rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
        except OSError as error:
            raise self._stopped() from error

    def _stopped(self) -> LocalError:
        return LocalError(
            "COORDINATOR_STOPPED",
            f"no coordinator is running on {self.paths.root}",
            f"Start it with `commensal coordinator run {self.paths.root}`",
        )

    def enrol(self, request: EnrolmentRequest, log: Log) -> tuple[str, Participant]:
        """Redeem a token: returns the signed membership.

        The token is used up in the same transaction that stores the keys. Raises `RemoteError`
        (TOKEN_INVALID, KEY_MALFORMED).
        """
        now = self.clock()
        _check_keys(request)
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
                .where(InvitationRow.token_digest == token_digest(request.token))
                .with_for_update()
            )
            if (
                token is None
                or token.used_at is not None
                or token.expires_at <= now
                or token.participant != request.participant
            ):
                raise RemoteError("TOKEN_INVALID", "an enrolment token is not valid")
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
            self.record(
                log,
                entries.Enrolled(
                    time=now,
                    participant=request.participant,
                    coordinator=self.key.name,
                    membership_digest=membership.digest,
                    not_after=membership.not_after,
                ),
            )
        return documents.sign(self.key, membership), participant

    def participants(self) -> list[Participant]:
        """All enrolled hospitals, by name."""
        with self.store.begin() as session:
            return list(session.scalars(select(Participant).order_by(Participant.name)))

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
        with self.store.begin() as session:
            if session.get(PermitRow, permit.id) is not None:
                raise LocalError(
                    "PERMIT_EXISTS",
                    f"permit {permit.id} was issued already",
                    "An amended permit gets a new id",
                )
            row = PermitRow(
                id=permit.id, digest=permit.digest, document=document, issued_at=self.clock()
            )
            session.add(row)
        return document

    def permit(self, permit_id: str) -> tuple[Permit, str]:
        """A permit and its signed form. Raises `LocalError` (PERMIT_UNKNOWN)."""
        with self.store.begin() as session:
            row = session.get(PermitRow, permit_id)
        if row is None:
            raise LocalError(
                "PERMIT_UNKNOWN",
                f"there is no permit {permit_id}",
                "Issue it with `commensal coordinator permit`",
            )
        return documents.verify(row.document, Permit, self.key.verify_key), row.document


def create(root: Path, name: str, host: str, port: int) -> Paths:
    """Create a coordinator's directory: keys, certificate authority, configuration.

    Raises `LocalError`: NAME_INVALID, CONFIG_INVALID, DIRECTORY_NOT_EMPTY, all before anything is
    written.
    """
    check_name(name)
    paths = Paths(root)
    config.check(paths, {"name": name, "host": host, "port": port})
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
        '# database = "postgresql+psycopg://..."  # default: SQLite in this directory\n'
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
    return decode_base64(participant.fleet_key)


def write_atomically(path: Path, content: str) -> None:
    """Replace a small file so that a reader never sees half of it."""
    temporary = path.with_suffix(".new")
    temporary.write_text(content)
    os.replace(temporary, path)  # noqa: PTH105 - the name that says what it guarantees


def offers_of(participants: list[Participant]) -> dict[str, dict[str, Any]]:
    """Dataset id -> offer, over all participants; nobody speaks for another's dataset."""
    return {
        offer["dataset"]: offer
        for participant in participants
        for offer in participant.offers
        if offer["dataset"].partition("/")[0] == participant.name
    }
