"""A permit is taken back before its end (Art. 63(3)): revoked for good, or suspended.

The command line signs the statement and leaves it in the tables. The running coordinator writes it
into the log, and with that it counts, here and at once: jobs under the permit end, no new one
begins, no result is labelled (`recorder`). Every node is told by the signed statement itself, and
told again until it has said that it knows (`notices`). A permit that comes to its own end needs no
statement: jobs under it end by the date, here as at every node.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from connector.audit import entries
from connector.errors import LocalError
from connector.identity import documents
from connector.jobs import JobSpec
from connector.revocation import CODES, Effect, Reason, Revocation, adds
from connector.store import JobRow, PermitRow, RevocationRow
from coordinator.jobs.states import FINAL
from coordinator.office import Office
from coordinator.recorder import Recorder

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Hear = Callable[[entries.PermitRevoked], None]


def revoke(office: Office, permit_id: str, effect: Effect, reason: Reason) -> Revocation:
    """Sign that a permit counts no more; it takes effect once the running coordinator logs it.

    Raises `LocalError`: PERMIT_UNKNOWN, PERMIT_REVOKED, PERMIT_SUSPENDED.
    """
    permit, _ = office.permit(permit_id)
    said = Revocation(
        permit_id=permit.id,
        permit_digest=permit.digest,
        effect=effect,
        reason=reason,
        revoked_at=office.clock(),
    )
    row = RevocationRow(
        permit_id=permit.id,
        effect=effect,
        reason=reason,
        document=documents.sign(office.key, said),
        revoked_at=said.revoked_at,
        ends_at=permit.not_after,
        logged=False,
    )
    with office.store.begin() as session:
        known = session.get(RevocationRow, permit_id, with_for_update=True)
        if known is not None and not adds(effect, _effect(known)):
            raise _taken_back(known)
        session.merge(row)
    return said


def check(session: "Session", permit_id: str) -> None:
    """Refuse what would begin under a permit that was taken back.

    Raises `LocalError`: PERMIT_REVOKED, PERMIT_SUSPENDED.
    """
    row = session.get(RevocationRow, permit_id)
    if row is not None:
        raise _taken_back(row)


def deadline(office: Office, job_id: str) -> tuple[datetime, str]:
    """When a job ends at the latest, and why: its own time, or its permit's."""
    with office.store.read() as session:
        row = session.get_one(JobRow, job_id)
    ends = JobSpec.decode(row.specification.encode()).not_after
    permit, _ = office.permit(row.permit_id)
    return (ends, "JOB_OVER") if ends < permit.not_after else (permit.not_after, "PERMIT_EXPIRED")


class Withdrawals:
    """What a coordinator's clock looks after: words that are to be logged, jobs that are to end."""

    def __init__(self, office: Office, recorder: Recorder, say: Callable[[str], None]) -> None:
        self._office = office
        self._recorder = recorder
        self._say = say
        self._hear: list[Hear] = []

    def on_revoked(self, hear: Hear) -> None:
        """Call `hear` after each revocation that took effect, on the coordinator's own thread."""
        self._hear.append(hear)

    def take_effect(self) -> None:
        """Log what the tables ask for; whoever stops in between finds the entry, and adds none.

        The one place of this side at which a revocation begins to count.
        """
        for row, digest in self._unlogged():
            entry = entries.PermitRevoked(
                time=self._office.clock(),
                permit_id=row.permit_id,
                permit_digest=digest,
                effect=_effect(row),
                reason=row.reason,
                actor=self._office.key.verify_key.vkey,
                document=row.document,
            )
            if self._recorder.stops(digest) != CODES[entry.effect]:
                self._recorder.record(entry)
            with self._office.store.begin() as session:
                kept = session.get(RevocationRow, row.permit_id, with_for_update=True)
                if kept is not None and kept.document == entry.document:
                    kept.logged = True
            self._say(f"permit {entry.permit_id} is {entry.effect} ({entry.reason})")
            for hear in self._hear:
                hear(entry)

    def due(self) -> dict[str, str]:
        """Jobs that are not over and whose permit was taken back, with the code of why."""
        query = (
            select(JobRow.id, RevocationRow.effect)
            .join(RevocationRow, JobRow.permit_id == RevocationRow.permit_id)
            .where(RevocationRow.logged.is_(True), JobRow.state.not_in(FINAL))
        )
        with self._office.store.read() as session:
            return {job: CODES[_known(effect)] for job, effect in session.execute(query)}

    def _unlogged(self) -> list[tuple[RevocationRow, str]]:
        query = (
            select(RevocationRow, PermitRow.digest)
            .join(PermitRow, RevocationRow.permit_id == PermitRow.id)
            .where(RevocationRow.logged.is_(False), PermitRow.logged.is_(True))
        )
        with self._office.store.read() as session:
            return [(row, digest) for row, digest in session.execute(query)]


def _effect(row: RevocationRow) -> Effect:
    return _known(row.effect)


def _known(effect: str) -> Effect:
    return "revoked" if effect == "revoked" else "suspended"


def _taken_back(row: RevocationRow) -> LocalError:
    return LocalError(
        CODES[_effect(row)],
        f"permit {row.permit_id} is {row.effect} since {row.revoked_at:%Y-%m-%d %H:%M} UTC "
        f"({row.reason})",
        "Nothing more happens under it; going on needs a permit with a new id",
    )
