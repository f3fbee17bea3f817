"""Files of records, read once, in batches, only the fields that are asked for.

No error, log or representation of this floor holds a cell's content: a place is a row number and
the name of a field. Errors are raised outside of `except` blocks, so that no parser's exception,
which quotes what it could not parse, stays attached to ours.
"""

import os
import stat
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from connector.errors import LocalError
from connector.folds import row_identity
from node.data.dataset import Source
from node.data.values import Cell


@dataclass(frozen=True, repr=False)
class Batch:
    """Some consecutive rows. `first_row` counts from 1, a header not included.

    `fingerprints` holds a digest of each row's declared fields where rows are persons.
    """

    first_row: int
    rows: int
    cells: Mapping[str, Sequence[Cell]]
    fingerprints: list[bytes]


def fingerprint_of(cells: Iterable[Cell]) -> bytes:
    """SHA-256 of a row's cells: the same content, the same digest, wherever the row stands."""
    return row_identity("" if cell is None else str(cell) for cell in cells)


def open_file(path: Path, max_bytes: int) -> int:
    """A file descriptor on a regular file of bounded size; nothing is read.

    The node opens, its worker reads: a worker has no way to open a file of records itself.
    Raises `LocalError`: FILE_MISSING, FILE_UNREADABLE, FILE_TOO_LARGE.
    """
    try:
        # Not blocking, so that a pipe in the place of the file is noticed and not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError as error:
        remedy = "Check the path in the dataset's configuration"
        raise LocalError("FILE_MISSING", f"{path} does not exist", remedy) from error
    except OSError as error:
        remedy = "Give the node's user read access to it"
        message = f"{path} cannot be opened ({error.strerror})"
        raise LocalError("FILE_UNREADABLE", message, remedy) from error
    status = os.fstat(descriptor)
    problem = None
    if not stat.S_ISREG(status.st_mode):
        problem = LocalError("FILE_UNREADABLE", f"{path} is not a file", "Name one file")
    elif status.st_size > max_bytes:
        problem = LocalError(
            "FILE_TOO_LARGE",
            f"{path} has {status.st_size} bytes, more than the {max_bytes} allowed",
            "Raise max_bytes of the dataset's source if this is the right file",
        )
    if problem is not None:
        os.close(descriptor)
        raise problem
    return descriptor


def read(
    source: Source,
    file: BinaryIO,
    declared: Sequence[str],
    wanted: Sequence[str],
    *,
    person: str | None,
) -> Generator[Batch]:
    """Yield the `wanted` fields; every `declared` one must exist.

    `person` is the field of identifiers. None: every row is a person, known by the fingerprint of
    its declared fields.

    Raises `LocalError`: FILE_EMPTY, FILE_UNREADABLE, ROW_RAGGED, COLUMN_MISSING, COLUMN_TWICE,
    COLUMN_UNREADABLE.
    """
    if source.kind == "csv":
        from node.data.sources import csv  # noqa: PLC0415 - one format per process

        return csv.read(source, file, declared, wanted, person=person)
    from node.data.sources import parquet  # noqa: PLC0415 - loads Arrow

    return parquet.read(source, file, declared, wanted, person=person)
