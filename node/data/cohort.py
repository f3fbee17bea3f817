"""From a file of records to what a job may compute on: minimised, per person, split into folds.

Everything here acts on each person alone: opting out, the bound on rows and the fold depend on
that person's own rows and identifier only. So adding or removing one person changes nothing
about any other, which is what the accounting of every task assumes (add/remove neighbours, and
parallel composition over the two folds).
"""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from connector.errors import LocalError
from connector.folds import Split
from connector.schema import Column
from node.data import sources
from node.data.dataset import Dataset, Derived, EventWithin, SourceColumn
from node.data.identifiers import identifier
from node.data.values import Cell, Reader

Values = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Persons = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, repr=False)
class View:
    """The permitted columns of the people who have not opted out.

    `columns`: float64[rows], NaN missing, categories as codes, numbers within their public bounds.
    `person`: int64[rows], dense from 0 in order of first appearance; the identifiers are gone.
    `holdout`: bool[persons], the people who are kept out of training.
    `opt_outs_unmatched`: how many of those who opted out are not in the file: people who never
    came, or identifiers that are spelled otherwise. For the hospital's own eyes.
    """

    columns: dict[str, Values]
    person: Persons
    holdout: Flags
    opt_outs_unmatched: int = 0

    @property
    def people(self) -> int:
        """Distinct persons, whatever is known of them: one more or less with each of them."""
        return len(self.holdout)


def build(
    dataset: Dataset,
    file: BinaryIO,
    permitted: Sequence[str],
    split: Split,
    opted_out: frozenset[str] = frozenset(),
) -> View:
    """Read the dataset's file into a view; other columns are dropped as soon as they are parsed.

    `opted_out` holds identifiers in the form of `node.data.identifiers`. Raises `LocalError`:
    COLUMN_UNKNOWN, VALUE_UNREADABLE, PERSON_MISSING, PERSON_UNREADABLE and those of
    `node.data.sources.read`.
    """
    readings = _readings(dataset, permitted)
    declared = [column.source_field for column in dataset.columns]
    wanted = [reading.column.source_field for reading in readings.values()]
    if not dataset.rows_are_persons:
        declared.append(dataset.person_column)
        wanted.append(dataset.person_column)
    people = _People(dataset, opted_out)
    batches = sources.read(
        dataset.source,
        file,
        list(dict.fromkeys(declared)),
        list(dict.fromkeys(wanted)),
        person=None if dataset.rows_are_persons else dataset.person_column,
    )
    with closing(batches):
        for batch in batches:
            kept = people.admit(batch)
            for reading in readings.values():
                reading.add(batch, kept)
    values = {name: reading.finish(dataset) for name, reading in readings.items()}
    person = np.array(people.rows, dtype=np.int64)
    held_out = np.array([split.holds_out(identity) for identity in people.identities], np.bool_)
    columns = _permitted(dataset, permitted, values)
    return View(columns, person, held_out, len(opted_out - people.matched))


class _People:
    """Who each kept row belongs to. Identifiers live here, while the file is read."""

    def __init__(self, dataset: Dataset, opted_out: frozenset[str]) -> None:
        self._dataset = dataset
        self._opted_out = opted_out
        self._missing = frozenset(token.strip() for token in dataset.source.missing)
        self._index: dict[str, int] = {}
        self._counts: list[int] = []
        self.matched: set[str] = set()
        self.identities: list[bytes] = []
        self.rows: list[int] = []

    def admit(self, batch: sources.Batch) -> list[int]:
        """Positions in the batch of the rows to keep: the first ones of each person."""
        if self._dataset.rows_are_persons:
            self.rows.extend(range(len(self.rows), len(self.rows) + batch.rows))
            self.identities.extend(batch.fingerprints)
            return list(range(batch.rows))
        cells = batch.cells[self._dataset.person_column]
        return [
            position for position, cell in enumerate(cells) if self._keep(batch, position, cell)
        ]

    def _keep(self, batch: sources.Batch, position: int, cell: Cell) -> bool:
        who = self._identify(batch, position, cell)
        if who in self._opted_out:
            self.matched.add(who)
            return False
        person = self._index.setdefault(who, len(self._counts))
        if person == len(self._counts):
            self._counts.append(0)
            self.identities.append(who.encode())
        self._counts[person] += 1
        if self._counts[person] > self._dataset.max_rows_per_person:
            return False
        self.rows.append(person)
        return True

    def _identify(self, batch: sources.Batch, position: int, cell: Cell) -> str:
        who = None
        with suppress(ValueError):
            who = identifier(cell, self._dataset.source.decimal_mark)
        if who and who not in self._missing:
            return who
        place = f"row {batch.first_row + position} of {self._dataset.source.path}"
        if who is None:
            raise LocalError(
                "PERSON_UNREADABLE",
                f"{place} does not say exactly who it is about in {self._dataset.person_column!r}",
                "Export identifiers as text: a number that was rounded, or text with invisible"
                " characters, may stand for several people",
            )
        raise LocalError(
            "PERSON_MISSING",
            f"{place} has no {self._dataset.person_column!r}",
            "Every row needs the identifier of its person: contributions are bounded by person",
        )


@dataclass(repr=False)
class _Reading:
    """One column while the file is read."""

    column: SourceColumn
    parse: Reader
    parts: list[Values] = field(default_factory=list)
    unreadable: int = 0
    first_unreadable: int = 0

    def add(self, batch: sources.Batch, kept: list[int]) -> None:
        cells = batch.cells[self.column.source_field]
        values = np.fromiter((self.parse[cells[row]] for row in kept), np.float64, len(kept))
        bad = np.flatnonzero(np.isinf(values))
        if len(bad):
            self.first_unreadable = self.first_unreadable or batch.first_row + kept[bad[0]]
            self.unreadable += len(bad)
            values[bad] = np.nan
        self.parts.append(values)

    def finish(self, dataset: Dataset) -> Values:
        values = np.concatenate(self.parts)
        if self.unreadable > dataset.max_invalid_share * len(values):
            raise LocalError(
                "VALUE_UNREADABLE",
                f"column {self.column.source_field!r} of {dataset.source.path} holds values that do"
                f" not fit its description, first in row {self.first_unreadable}",
                "Correct them, name the markers of missing values in missing, or allow a share of"
                " them as missing with max_invalid_share",
            )
        return values


def _readings(dataset: Dataset, permitted: Sequence[str]) -> dict[str, _Reading]:
    """A reading for each permitted column and for each that a permitted derived one needs."""
    known = dataset.schema.names
    if unknown := [name for name in permitted if name not in known]:
        raise LocalError(
            "COLUMN_UNKNOWN",
            f"dataset {dataset.id} has no column {unknown[0]!r}; it has {', '.join(known)}",
            "Ask for columns that the dataset offers",
        )
    derived = [column for column in dataset.derived if column.name in permitted]
    needed = {*permitted, *(name for column in derived for name in column.inputs)}
    return {
        column.name: _Reading(column, _reader(dataset, column))
        for column in dataset.columns
        if column.name in needed
    }


def _reader(dataset: Dataset, column: SourceColumn) -> Reader:
    missing = (*dataset.source.missing, *column.missing)
    spellings = None if column.kind == "numeric" else column.spellings()
    return Reader(missing, dataset.source.decimal_mark, spellings)


def _permitted(
    dataset: Dataset, permitted: Sequence[str], values: Mapping[str, Values]
) -> dict[str, Values]:
    derived = {column.name: column for column in dataset.derived}
    bounds = {column.name: column for column in dataset.columns}
    return {
        name: _derive(derived[name], values)
        if name in derived
        else _clip(bounds[name], values[name])
        for name in permitted
    }


def _clip(column: Column, values: Values) -> Values:
    """Within the public bounds: no task sees, or has to think of, an outlier."""
    if column.minimum is None or column.maximum is None:
        return values
    return np.clip(values, float(column.minimum), float(column.maximum))


def _derive(column: Derived, values: Mapping[str, Values]) -> Values:
    if isinstance(column, EventWithin):
        event, time = values[column.event], values[column.time]
        happened = (event == 1) & (time <= column.days)
        passed = (time > column.days) | ((time == column.days) & (event == 0))
        return np.where(happened, 1.0, np.where(passed, 0.0, np.nan))
    source = values[column.column]
    return np.where(np.isnan(source), np.nan, source > float(column.threshold))
