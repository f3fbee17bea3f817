"""Who takes part, as the coordinator says it: the published list, revocations, credentials.

A *vouching* is the coordinator's word for one key of one hospital. It ends by revocation, for good:
the hospital may come back with another key. A revocation that the command line left in the tables
is logged by the running coordinator (`file_revocations`), and stands in the next list at once.
"""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Integer, String, Text, delete, exists, select
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from connector.audit import entries
from connector.errors import LocalError, RemoteError
from connector.flower.keys import check_public
from connector.identity import certificates, credentials, did, documents, manifest
from connector.identity.claims import Issuer
from connector.identity.encoding import decode_base64
from connector.identity.keys import Signer
from connector.identity.manifest import Manifest
from connector.store import Base, Participant, Store, UtcDateTime

STATUS_PATH = "/v1/status"
_STATUS_LIFE = manifest.LIFE
Record = Callable[[entries.Entry], None]


class MemberRow(Base):
    """The did of a hospital, as its invitation said."""

    __tablename__ = "members"

    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    did: Mapped[str] = mapped_column(String(255), default="")


class VouchingRow(Base):
    """`number` is also the bit of the hospital's credential in the status list."""

    __tablename__ = "vouchings"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - SQLAlchemy's own form

    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(63), index=True)
    signing_key: Mapped[str] = mapped_column(Text)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    logged: Mapped[bool] = mapped_column(default=True)


class ManifestRow(Base):
    """The published list; the newest one alone."""

    __tablename__ = "manifests"

    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    document: Mapped[str] = mapped_column(Text)


def is_revoked() -> ColumnElement[bool]:
    """Of a `Participant` in a query."""
    return exists().where(
        VouchingRow.name == Participant.name,
        VouchingRow.signing_key == Participant.signing_key,
        VouchingRow.revoked_at.is_not(None),
    )


def set_did(store: Store, name: str, value: str) -> None:
    """Note a hospital's did. Raises `LocalError`: DID_INVALID, DID_TAKEN."""
    did.check_own(value)
    with store.begin() as session:
        taken = select(MemberRow.name).where(MemberRow.did == value, MemberRow.name != name)
        if session.scalar(taken.limit(1)) is not None:
            raise LocalError(
                "DID_TAKEN", f"{value} is another hospital's", "Each has a did of its own"
            )
        session.merge(MemberRow(name=name, did=value))


def admit(session: Session, name: str, signing_key: str) -> None:
    """Vouch for a key, as its hospital enrols. Raises `RemoteError` (KEY_REVOKED)."""
    if _vouching(session, name, signing_key).revoked_at is not None:
        raise RemoteError("KEY_REVOKED", f"a key of {name} was revoked, and does not come back")


def revoke(store: Store, name: str, now: datetime) -> None:
    """Take a hospital off the list, for good with this key. Raises `LocalError` (NOT_A_MEMBER)."""
    with store.begin() as session:
        participant = session.get(Participant, name)
        if participant is None:
            raise LocalError(
                "NOT_A_MEMBER", f"{name} is not enrolled", "See `commensal coordinator catalogue`"
            )
        row = _vouching(session, name, participant.signing_key)
        if row.revoked_at is None:
            row.revoked_at, row.logged = now, False


def file_revocations(store: Store, record: Record, now: datetime) -> list[str]:
    """Log what the command line revoked; returns the names. Errors of store and log."""
    unlogged = select(VouchingRow).where(VouchingRow.logged.is_(False))
    with store.read() as session:
        if session.scalar(unlogged.limit(1)) is None:
            return []
    with store.begin() as session:
        rows = list(session.scalars(unlogged))
        for row in rows:
            record(entries.Revoked(time=now, participant=row.name, signing_key=row.signing_key))
            row.logged = True
    return [row.name for row in rows]


def published(store: Store, signer: Signer, ours: manifest.Entry, now: datetime) -> str:
    """The signed list that counts now; a new version if somebody came or went, or half its life
    is over. `ours` is the coordinator's own entry. Raises `LocalError` of the store.
    """  # noqa: D205 - one sentence
    with store.read() as session:
        row, before = _newest(session, signer)
        if row and before and _is_fresh(before, _entries(session, ours, now), now):
            return row.document
    race = LocalError("MANIFEST_RACE", "another process published a list at this moment")
    with store.begin(conflict=race) as session:
        _, before = _newest(session, signer)
        listed = manifest.succeed(
            before, signer.name, _entries(session, ours, now), now,
            # Above every earlier one, also if the database was restored from an older backup.
            at_least=int(now.timestamp()) // 60,
        )  # fmt: skip
        document = documents.sign(signer, listed)
        session.execute(delete(ManifestRow))
        session.add(ManifestRow(version=listed.version, document=document))
    return document


def credential(store: Store, issuer: Issuer, name: str) -> str:
    """A hospital's membership credential, made anew, in force as long as its enrolment.

    Raises `RemoteError` (NOT_A_MEMBER) for one that is not enrolled, revoked, or has no did.
    """
    if not name.isprintable():
        raise _no_member()  # PostgreSQL takes no NUL
    now = issuer.clock()
    with store.begin() as session:
        participant, member = session.get(Participant, name), session.get(MemberRow, name)
        if participant is None or member is None or participant.not_after <= now:
            raise _no_member()
        vouching = _vouching(session, name, participant.signing_key)
        if vouching.revoked_at is not None:
            raise _no_member()
        return credentials.issue(
            issuer, member.did, {"memberOf": issuer.did, "name": name},
            status_address(issuer.did), vouching.number, participant.not_after - now,
        )  # fmt: skip


def status_list(store: Store, issuer: Issuer) -> str:
    """The signed list of revoked credentials."""
    with store.read() as session:
        query = select(VouchingRow.number).where(VouchingRow.revoked_at.is_not(None))
        revoked = list(session.scalars(query))
    return credentials.issue_list(issuer, status_address(issuer.did), revoked, _STATUS_LIFE)


def status_address(issuer: str) -> str:
    """Where foreign verifiers find the status list: on the host of the coordinator's did."""
    return "/".join(did.address_of(issuer).split("/", 3)[:3]) + STATUS_PATH


def _no_member() -> RemoteError:
    return RemoteError("NOT_A_MEMBER", "there is no such member")


def _is_fresh(before: Manifest, members: tuple[manifest.Entry, ...], now: datetime) -> bool:
    return before.participants == members and before.issued_at <= now < (
        before.issued_at + (before.expires_at - before.issued_at) / 2
    )


def _newest(session: Session, signer: Signer) -> tuple[ManifestRow | None, Manifest | None]:
    row = session.scalar(select(ManifestRow).order_by(ManifestRow.version.desc()).limit(1))
    if row is None:
        return None, None
    most = manifest.MAX_BYTES
    return row, documents.verify(row.document, Manifest, signer.verify_key, most)


def _entries(session: Session, ours: manifest.Entry, now: datetime) -> tuple[manifest.Entry, ...]:
    """All whose enrolment is in force, and those who were revoked, by name."""
    revoked = set(session.scalars(select(Participant.name).where(is_revoked())))
    dids = {row.name: row.did for row in session.scalars(select(MemberRow))}
    found = [ours]
    for one in session.scalars(select(Participant)):
        if one.name in revoked or one.not_after > now:
            public = check_public(decode_base64(one.fleet_key))
            found.append(
                manifest.Entry(
                    name=one.name,
                    did=dids.get(one.name, ""),
                    signing_key=one.signing_key,
                    fingerprint=certificates.key_fingerprint(public),
                    state="revoked" if one.name in revoked else "active",
                )
            )
    return tuple(sorted(found, key=lambda entry: entry.name))


def _vouching(session: Session, name: str, signing_key: str) -> VouchingRow:
    wanted = select(VouchingRow).where(
        VouchingRow.name == name, VouchingRow.signing_key == signing_key
    )
    row = session.scalar(wanted)
    if row is None:
        row = VouchingRow(name=name, signing_key=signing_key)
        session.add(row)
        session.flush()
    return row
