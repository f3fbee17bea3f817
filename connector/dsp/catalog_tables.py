"""The catalogue's tables: what is said of a dataset, and who may see which of its offers, when.

A `Store` makes them (`connector.migrations`): what changes here needs a migration.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from connector.store import Base, UtcDateTime

_ID = String(255)


class DatasetRow(Base):
    """A published dataset: its Dataset node without context and offers."""

    __tablename__ = "dsp_datasets"

    id: Mapped[str] = mapped_column(_ID, primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    published_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AudienceRow(Base):
    """An offer is to be seen by `audience` (a participant, or everybody), from when to when.

    The index of the catalogue: one look finds what a participant may see, and no policy that is
    not on the page is evaluated.
    """

    __tablename__ = "dsp_audiences"
    __table_args__ = (Index("dsp_audiences_dataset", "dataset"),)

    audience: Mapped[str] = mapped_column(_ID, primary_key=True)
    dataset: Mapped[str] = mapped_column(ForeignKey("dsp_datasets.id"), primary_key=True)
    offer: Mapped[str] = mapped_column(ForeignKey("dsp_offers.id"), primary_key=True)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    not_after: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
