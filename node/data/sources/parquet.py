"""Parquet files with flat columns, read by Arrow batch by batch."""

from collections.abc import Generator, Iterator, Sequence
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
    fingerprint: bool,
) -> Generator[Batch]:
    """See `node.data.sources.read`."""
    reader = _open(source, file)
    _check_fields(source, reader.schema_arrow, declared)
    fields = list(declared) if fingerprint else list(wanted)
    batches = reader.iter_batches(batch_size=_BATCH_ROWS, columns=fields, use_threads=False)
    first_row = 1
    while (table := _next(source, batches)) is not None:
        columns = {field: _cells(table.column(field)) for field in fields}
        rows = zip(*columns.values(), strict=True) if fingerprint else ()
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


def _is_supported(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (
        *(pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal),
        *(pa.types.is_string, pa.types.is_large_string, pa.types.is_null),
    )
    return any(test(kind) for test in tests)


def _cells(column: Any) -> list[Cell]:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    cells: list[Cell] = column.to_pylist()
    return cells
