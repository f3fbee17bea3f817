"""What the coordinator knows of the nodes' catalogues, and knew.

A `Store` makes them (`connector.migrations`): what changes here needs a migration.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from connector.store import Base, UtcDateTime

_ID = String(255)


class CatalogueRow(Base):
    """A node's catalogue: when it was last read whole, and what became of the last attempt.

    `problem` is the code of what went wrong then, or empty.
    """

    __tablename__ = "federated_catalogues"

    participant: Mapped[str] = mapped_column(_ID, primary_key=True)
    tried_at: Mapped[datetime] = mapped_column(UtcDateTime)
    crawled_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    problem: Mapped[str] = mapped_column(String(120), default="")


class VersionRow(Base):
    """One version of a node's record of a dataset, in the bytes that its digest is of.

    It is current while `last_seen` is empty: then it was last seen when the catalogue was last
    read (so a record that stays as it is costs no write). `ending`: replaced or withdrawn.
    """

    __tablename__ = "federated_versions"
    __table_args__ = (
        Index("federated_versions_name", "dataset", "participant", "version", unique=True),
        Index("federated_versions_current", "participant", "last_seen"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    participant: Mapped[str] = mapped_column(ForeignKey("federated_catalogues.participant"))
    dataset: Mapped[str] = mapped_column(_ID)
    version: Mapped[int]
    digest: Mapped[str] = mapped_column(String(80))
    document: Mapped[str] = mapped_column(Text)
    first_seen: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen: Mapped[datetime | None] = mapped_column(UtcDateTime, default=None)
    ending: Mapped[str] = mapped_column(String(20), default="")
