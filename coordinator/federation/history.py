"""Every version of every record that the nodes have shown: when it came, when it went."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from connector.errors import LocalError
from connector.store import Store
from coordinator.federation import fulltext, records
from coordinator.federation.pages import Seen
from coordinator.federation.tables import CatalogueRow, VersionRow

MAX_FOUND = 50


@dataclass(frozen=True)
class Changes:
    """How many records a crawl found new, otherwise, gone, and as they were."""

    added: int = 0
    changed: int = 0
    withdrawn: int = 0
    unchanged: int = 0


@dataclass(frozen=True)
class Known:
    """What stood here before a crawl: when the catalogue was last read, and its digests."""

    crawled_at: datetime | None
    digests: Mapping[str, str]


@dataclass(frozen=True)
class Version:
    """A version of a record. `problem` is what keeps its node from being read now, or empty."""

    participant: str
    dataset: str
    version: int
    digest: str
    record: dict[str, Any]
    first_seen: datetime
    last_seen: datetime
    ending: str
    problem: str


def known(store: Store, participant: str) -> Known:
    """What is known of a node's catalogue."""
    with store.read() as session:
        row = session.get(CatalogueRow, participant)
        query = select(VersionRow.dataset, VersionRow.digest).where(*_current(participant))
        current = {found.dataset: found.digest for found in session.execute(query)}
    return Known(row.crawled_at if row else None, current)


def apply(store: Store, participant: str, before: Known, seen: Seen, now: datetime) -> Changes:
    """Write down a whole catalogue, read at `now`; what is not in it has been withdrawn.

    Raises `LocalError` (CRAWL_OVERTAKEN) if another crawl has written since `before`.
    """
    overtaken = LocalError(
        "CRAWL_OVERTAKEN",
        f"another crawl has read the catalogue of {participant} meanwhile",
        "Nothing is lost: that one counts",
    )
    with store.begin(conflict=overtaken) as session:
        row = session.get(CatalogueRow, participant, with_for_update=True)
        if (row.crawled_at if row else None) != before.crawled_at:
            raise overtaken
        if row is None:
            row = CatalogueRow(participant=participant)
            session.add(row)
        row.tried_at, row.crawled_at, row.problem = now, now, ""
        session.flush()
        new = {name: spelled for name, spelled in seen.items() if spelled is not None}
        ended = {name for name in before.digests if name in new or name not in seen}
        _end(session, participant, ended, set(new), before.crawled_at or now)
        _add(session, participant, new, now)
    replaced = len(ended & new.keys())
    return Changes(
        added=len(new) - replaced, changed=replaced,
        withdrawn=len(ended) - replaced, unchanged=len(seen) - len(new),
    )  # fmt: skip


def note_problem(store: Store, participant: str, code: str, now: datetime) -> None:
    """Write down that a node's catalogue could not be read; what was known of it stays."""
    with store.begin() as session:
        row = session.get(CatalogueRow, participant, with_for_update=True)
        if row is None:
            session.add(CatalogueRow(participant=participant, tried_at=now, problem=code))
        else:
            row.tried_at, row.problem = now, code


def strangers(store: Store, participants: set[str]) -> list[str]:
    """Nodes of which records are still shown although they are no longer among `participants`."""
    shown = select(VersionRow.participant).where(VersionRow.last_seen.is_(None)).distinct()
    with store.read() as session:
        return sorted(set(session.scalars(shown)) - participants)


def search(store: Store, asked: str, most: int = MAX_FOUND) -> list[Version]:
    """Current records that hold every word, best first. Raises `LocalError` (SEARCH_EMPTY)."""
    with store.read() as session:
        numbers = fulltext.find(session, asked, most)
        query = select(VersionRow, CatalogueRow).join(CatalogueRow)
        found = {
            row.id: _version(row, catalogue)
            for row, catalogue in session.execute(query.where(VersionRow.id.in_(numbers)))
        }
    return [found[number] for number in numbers]


def history(store: Store, dataset: str) -> list[Version]:
    """All versions of a dataset's record, oldest first. Raises `LocalError` (DATASET_UNKNOWN)."""
    query = (
        select(VersionRow, CatalogueRow)
        .join(CatalogueRow)
        .where(VersionRow.dataset == dataset)
        .order_by(VersionRow.participant, VersionRow.version)
    )
    with store.read() as session:
        found = [_version(row, catalogue) for row, catalogue in session.execute(query)]
    if not found:
        raise LocalError(
            "DATASET_UNKNOWN",
            f"no node has ever shown a dataset {dataset}",
            "Find its id with `commensal coordinator catalogue search`",
        )
    return found


def _current(participant: str) -> tuple[Any, ...]:
    return VersionRow.participant == participant, VersionRow.last_seen.is_(None)


def _end(
    session: Session, participant: str, ended: set[str], replaced: set[str], seen: datetime
) -> None:
    rows = (
        [
            row
            for row in session.scalars(select(VersionRow).where(*_current(participant)))
            if row.dataset in ended
        ]
        if ended
        else []
    )
    for row in rows:
        row.last_seen = seen
        row.ending = "replaced" if row.dataset in replaced else "withdrawn"
    fulltext.drop(session, [row.id for row in rows])


def _add(session: Session, participant: str, new: Mapping[str, str], now: datetime) -> None:
    if not new:
        return
    newest = (
        select(VersionRow.dataset, func.max(VersionRow.version).label("newest"))
        .where(VersionRow.participant == participant)
        .group_by(VersionRow.dataset)
    )
    versions = {found.dataset: found.newest for found in session.execute(newest)}
    rows = [
        VersionRow(
            participant=participant, dataset=name, version=versions.get(name, 0) + 1,
            digest=records.digest(spelled), document=spelled, first_seen=now,
        )
        for name, spelled in new.items()
    ]  # fmt: skip
    session.add_all(rows)
    session.flush()
    fulltext.put(session, {row.id: records.texts(json.loads(row.document)) for row in rows})


def _version(row: VersionRow, catalogue: CatalogueRow) -> Version:
    return Version(
        participant=row.participant, dataset=row.dataset, version=row.version, digest=row.digest,
        record=json.loads(row.document), first_seen=row.first_seen,
        last_seen=row.last_seen or catalogue.crawled_at or row.first_seen,
        ending=row.ending, problem=catalogue.problem,
    )  # fmt: skip
