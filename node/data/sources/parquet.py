"""Parquet files with flat columns, read by Arrow batch by batch."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from connector.errors import LocalError
from node.data.dataset import ParquetSource
from node.data.sources import Batch, fingerprint_of, problems
from node.data.values import Cell

_BATCH_ROWS = 16_384


def read(
    source: ParquetSource,
    file: BinaryIO,
    declared: Sequence[str],
    wanted: Sequence[str],
    *,
    person: str | None,
) -> Generator[Batch]:
    """See `node.data.sources.read`."""
    reader = _open(source, file)
    _check_fields(source, reader.schema_arrow, declared)
    if person is not None:
        _check_identifiers(source, reader.schema_arrow, person)
    fields = list(declared if person is None else wanted)
    batches = reader.iter_batches(batch_size=_BATCH_ROWS, columns=fields, use_threads=False)
    first_row = 1
    while (table := _next(source, batches)) is not None:
        columns = {field: _cells(source, table.column(field)) for field in fields}
        rows = zip(*columns.values(), strict=True) if person is None else ()
        cells = {field: columns[field] for field in wanted}
        yield Batch(first_row, table.num_rows, cells, [fingerprint_of(row) for row in rows])
        first_row += table.num_rows
    if first_row == 1:
        raise problems.empty(source.path)


def _open(source: ParquetSource, file: BinaryIO) -> Any:
    try:
        return pq.ParquetFile(file)
    except (pa.ArrowException, OSError):
        pass  # Arrow's message may quote what it read
    remedy = "Export it again; for delimited text, set kind = 'csv'"
    raise problems.unreadable(source.path, "it is not a Parquet file", remedy)


def _next(source: ParquetSource, batches: Iterator[Any]) -> Any:
    try:
        return next(batches, None)
    except (pa.ArrowException, OSError):
        pass  # as above
    raise problems.unreadable(source.path, "it is damaged", "Restore or export it again")


def _check_fields(source: ParquetSource, schema: Any, declared: Sequence[str]) -> None:
    for field in declared:
        if schema.names.count(field) > 1:
            raise problems.column_twice(source.path, field)
        if field not in schema.names:
            raise problems.column_missing(source.path, field, schema.names)
        if not _is_supported(schema.field(field).type):
            raise LocalError(
                "COLUMN_UNREADABLE",
                f"column {field!r} of {source.path} has a type that is neither number nor text",
                "Export it as a number (a date as days since a fixed day) or as text",
            )


def _check_identifiers(source: ParquetSource, schema: Any, person: str) -> None:
    kind = _values(schema.field(person).type)
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        raise LocalError(
            "COLUMN_UNREADABLE",
            f"column {person!r} of {source.path} has a type that cannot hold identifiers exactly",
            "Export it as text or as whole numbers",
        )


def _is_supported(kind: Any) -> bool:
    tests = (
        *(pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal),
        *(pa.types.is_string, pa.types.is_large_string, pa.types.is_null),
    )
    return any(test(_values(kind)) for test in tests)


def _values(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _cells(source: ParquetSource, column: Any) -> list[Cell]:
    cells: list[Cell] | None = None
    with suppress(UnicodeError):  # which holds the text that is not UTF-8
        cells = column.to_pylist()
    if cells is None:
        raise problems.unreadable(source.path, "it holds text that is not UTF-8", "Export it again")
    return cells
