"""Agreements and processes of one role, to be looked at again for as long as they last."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.audit import entries
from connector.dsp import evidence, journal
from connector.dsp.desk import Desk
from connector.dsp.states import FINAL, Role
from connector.dsp.tables import AgreementRow, ProcessRow
from connector.store import Store


def under_way(store: Store, role: Role) -> list[ProcessRow]:
    """Negotiations and transfers that are in no final state."""
    query = select(ProcessRow).where(ProcessRow.role == role, ProcessRow.state.not_in(FINAL))
    with store.read() as session:
        rows = list(session.scalars(query))
        session.expunge_all()
    return rows


def in_force(store: Store, role: Role) -> list[AgreementRow]:
    """Agreements that are finalized and have not ended."""
    query = select(AgreementRow).where(AgreementRow.role == role, AgreementRow.state == "in-force")
    with store.read() as session:
        rows = list(session.scalars(query))
        session.expunge_all()
    return rows


def end_agreement(
    desk: Desk,
    row: AgreementRow,
    reasons: tuple[str, ...],
    record: Callable[[entries.Entry], None],
) -> None:
    """Take an agreement out of force; a finalized negotiation has no message for that."""

    def work(session: Session) -> None:
        found = session.get(AgreementRow, (row.role, row.counterparty, row.id))
        if found is None or found.state != "in-force":
            return
        found.state = "ended"
        session.flush()
        record(
            entries.AgreementEnded(
                time=desk.clock(),
                counterparty=row.counterparty,
                dataset=row.dataset,
                agreement=row.id,
                role="provider" if row.role == Role.PROVIDER else "consumer",
                permit_digest=evidence.shown_permit(row.policy),
                reasons=journal.codes(reasons),
            )
        )

    desk.transact(work)
