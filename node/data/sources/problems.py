"""What can be wrong with a file of records, said without quoting any."""

from collections.abc import Sequence
from pathlib import Path

from connector.errors import LocalError

_MAX_LISTED = 60


def empty(path: Path) -> LocalError:
    """No rows at all."""
    return LocalError("FILE_EMPTY", f"{path} holds no rows", "Check that the export has finished")


def unreadable(path: Path, reason: str, remedy: str) -> LocalError:
    """Not a file of the declared format."""
    return LocalError("FILE_UNREADABLE", f"{path} cannot be read: {reason}", remedy)


def column_missing(path: Path, missing: str, present: Sequence[str] | None) -> LocalError:
    """A declared column is not in the file. `present` is None if it may not be a list of names."""
    if present is None:
        return LocalError(
            "COLUMN_MISSING",
            f"the first line of {path} does not name the declared columns ({missing!r} is missing);"
            " it is not shown, for it may be a record",
            "If the file has no header, set header = false and list the columns in names",
        )
    listed = ", ".join(present[:_MAX_LISTED]) + (", ..." if len(present) > _MAX_LISTED else "")
    return LocalError(
        "COLUMN_MISSING",
        f"{path} has no column {missing!r}; it has {listed}",
        "Correct the column's name, or give its name in the file as field",
    )


def column_twice(path: Path, name: str) -> LocalError:
    """A declared column is there more than once."""
    return LocalError(
        "COLUMN_TWICE", f"{path} has more than one column {name!r}", "Rename or remove all but one"
    )
