"""The protocol's tables: processes, offers, agreements, and the outbox.

A `Store` makes them (`connector.migrations`): what changes here needs a migration.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from connector.dsp.handling import Handling
from connector.dsp.states import Kind, Role, State
from connector.store import Base, UtcDateTime

_ID = String(255)


class ProcessRow(Base):
    """A negotiation or a transfer, from this side: `pid` is ours, `peer_pid` the counter-party's.

    `peer_pid` is NULL until the peer has answered the first message. `version` counts the
    transitions. `offer` is the policy on the table, as it is written in messages.
    """

    __tablename__ = "dsp_processes"
    __table_args__ = (UniqueConstraint("role", "kind", "counterparty", "peer_pid"),)

    pid: Mapped[str] = mapped_column(String(60), primary_key=True)
    peer_pid: Mapped[str | None] = mapped_column(_ID)
    kind: Mapped[str] = mapped_column(String(12))
    role: Mapped[str] = mapped_column(String(8))
    counterparty: Mapped[str] = mapped_column(_ID)
    callback: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(12), index=True)
    version: Mapped[int] = mapped_column(Integer, default=0)
    dataset: Mapped[str] = mapped_column(_ID, default="")
    offer: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    as_offered: Mapped[bool] = mapped_column(default=False)
    agreement: Mapped[str] = mapped_column(_ID, default="")
    format: Mapped[str] = mapped_column(_ID, default="")
    data_address: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    token_digest: Mapped[str] = mapped_column(String(64), default="", index=True)
    token_expires: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    handling: Mapped[dict[str, Any]] = mapped_column(JSON)
    script_step: Mapped[int] = mapped_column(Integer, default=0)
    held: Mapped[bool] = mapped_column(default=False, index=True)
    reasons: Mapped[list[str]] = mapped_column(JSON, default=list)
    request_digest: Mapped[str] = mapped_column(String(80), default="")
    last_message: Mapped[str] = mapped_column(String(80), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @property
    def place(self) -> tuple[Kind, Role, State]:
        """Which kind of process, which side of it, in which state."""
        return Kind(self.kind), Role(self.role), State(self.state)

    @property
    def pids(self) -> tuple[str | None, str | None]:
        """The provider's id and the consumer's."""
        ours_first = self.role == Role.PROVIDER
        return (self.pid, self.peer_pid) if ours_first else (self.peer_pid, self.pid)

    @property
    def how(self) -> Handling:
        """The handling that it began with."""
        return Handling.model_validate(self.handling)


class OfferRow(Base):
    """An offer for a dataset: its policy (written without target), and how requests are handled."""

    __tablename__ = "dsp_offers"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    dataset: Mapped[str] = mapped_column(_ID, index=True)
    policy: Mapped[dict[str, Any]] = mapped_column(JSON)
    formats: Mapped[list[str]] = mapped_column(JSON)
    handling: Mapped[dict[str, Any]] = mapped_column(JSON)


class AgreementRow(Base):
    """What was agreed with whom: `pending` until finalized, `in-force`, `ended`.

    `address` is the provider's, where this side is the consumer. `formats` empty: any that the
    connector knows.
    """

    __tablename__ = "dsp_agreements"

    role: Mapped[str] = mapped_column(String(8), primary_key=True)
    counterparty: Mapped[str] = mapped_column(_ID, primary_key=True)
    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    negotiation: Mapped[str] = mapped_column(String(60), default="", index=True)
    dataset: Mapped[str] = mapped_column(_ID)
    policy: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(8))
    address: Mapped[str] = mapped_column(Text, default="")
    formats: Mapped[list[str]] = mapped_column(JSON, default=list)
    handling: Mapped[dict[str, Any]] = mapped_column(JSON)
    agreed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OutboxRow(Base):
    """What follows, in order per process: a choice to be made, or a message to be delivered.

    `version` and `state` are the process's when this was written. `fields` is the message without
    its process ids, which may not be known yet; `type` is empty for a choice.
    """

    __tablename__ = "dsp_outbox"
    # Numbers are never used again: a worker may still hold one whose row is gone.
    __table_args__ = (
        Index("dsp_outbox_order", "pid", "sequence"),
        {"sqlite_autoincrement": True},
    )

    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    pid: Mapped[str] = mapped_column(ForeignKey("dsp_processes.pid"))
    version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(12))
    type: Mapped[str] = mapped_column(String(60), default="")
    path: Mapped[str] = mapped_column(String(60), default="")
    first: Mapped[bool] = mapped_column(default=False)
    fields: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    message_id: Mapped[str] = mapped_column(String(60), default="")
    due: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    written_at: Mapped[datetime] = mapped_column(UtcDateTime)
