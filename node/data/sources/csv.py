"""Delimited text, with the standard library's parser in its strict mode."""

import csv
import io
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from connector.errors import LocalError
from node.data.dataset import CsvSource
from node.data.sources import Batch, fingerprint_of, problems
from node.data.values import number

_BATCH_ROWS = 16_384
_SAMPLE_BYTES = 1 << 16
_FIELD_CHARACTERS = 1 << 17


def read(
    source: CsvSource,
    file: BinaryIO,
    declared: Sequence[str],
    wanted: Sequence[str],
    *,
    person: str | None,
) -> Generator[Batch]:
    """See `node.data.sources.read`."""
    _check_is_text(source, file)
    encoding = "utf-8-sig" if source.encoding == "utf-8" else source.encoding
    text = io.TextIOWrapper(file, encoding, errors="strict", newline="")
    try:
        yield from _batches(source, text, declared, wanted, person=person)
    finally:
        text.detach()  # the file is its owner's to close


def _batches(
    source: CsvSource,
    text: io.TextIOWrapper,
    declared: Sequence[str],
    wanted: Sequence[str],
    *,
    person: str | None,
) -> Iterator[Batch]:
    # The standard library's limit is the process's, and other libraries lift it.
    csv.field_size_limit(_FIELD_CHARACTERS)
    parser = csv.reader(text, delimiter=source.delimiter, strict=True)
    rows = _records(source.path, parser)
    names = next(rows, None) if source.header else source.names
    if names is None:
        raise problems.empty(source.path)
    index = _locate(source, names, declared)
    first_row = 1
    while batch := _take(source.path, rows, parser, len(names)):
        columns = {field: [row[index[field]] for row in batch] for field in wanted}
        parts = ([row[index[field]] for field in declared] for row in batch if person is None)
        yield Batch(first_row, len(batch), columns, [fingerprint_of(part) for part in parts])
        first_row += len(batch)
    if first_row == 1:
        raise problems.empty(source.path)


def _check_is_text(source: CsvSource, file: BinaryIO) -> None:
    sample = file.read(_SAMPLE_BYTES)
    file.seek(0)
    if b"\0" in sample and source.encoding != "utf-16":
        remedy = "Export the records as text; for Parquet, set kind = 'parquet'"
        raise problems.unreadable(source.path, "it is not text", remedy)


class _Parser(Protocol):
    @property
    def line_num(self) -> int: ...
    def __next__(self) -> list[str]: ...


def _records(path: Path, parser: _Parser) -> Iterator[list[str]]:
    """Rows that are not blank lines. The parsers' own messages quote bytes, so they are dropped."""
    while True:
        problem = row = None
        try:
            row = next(parser, None)
        except UnicodeError:
            problem = problems.unreadable(
                path,
                f"after line {parser.line_num} it is not in the declared encoding",
                "Set encoding to what the export used, such as latin-1 or cp1252",
            )
        except csv.Error:
            problem = problems.unreadable(
                path,
                f"line {parser.line_num} is not well-formed (quotes, or a field without end)",
                "Export again with every quote inside of a field doubled",
            )
        if problem is not None:
            raise problem
        if row is None:
            return
        if row:
            yield row


def _take(path: Path, rows: Iterator[list[str]], parser: _Parser, width: int) -> list[list[str]]:
    batch = []
    for row in rows:
        if len(row) != width:
            raise LocalError(
                "ROW_RAGGED",
                f"{path}, line {parser.line_num}: {len(row)} fields where {width} are expected",
                "Check the delimiter and the quotes around fields that contain it",
            )
        batch.append(row)
        if len(batch) == _BATCH_ROWS:
            break
    return batch


def _locate(source: CsvSource, names: Sequence[str], declared: Sequence[str]) -> dict[str, int]:
    names = [name.strip() for name in names]
    for field in declared:
        if names.count(field) > 1:
            raise problems.column_twice(source.path, field)
        if field not in names:
            present = names if _names_columns(source, names, declared) else None
            raise problems.column_missing(source.path, field, present)
    return {field: names.index(field) for field in declared}


def _names_columns(source: CsvSource, names: Sequence[str], declared: Sequence[str]) -> bool:
    """Whether a first line is surely a header.

    Threat: a file without a header, configured as having one, whose first record would be shown as
    "the columns of the file". Names that the configuration lists are the hospital's own.
    """
    if not source.header:
        return True
    found = len(set(names) & set(declared))
    return 2 * found > len(declared) and not any(number(name) is not None for name in names)
