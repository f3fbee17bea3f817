"""`[datasets.description]` of `node.toml`: what the hospital says of a dataset to everybody.

Its fields are those of `DatasetDescription` without id and title, which stand at the dataset, and
those of `Measuring`.
"""

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError

from connector.dsp.healthdcat_documents import Ages, DatasetDescription, Period
from connector.errors import LocalError
from connector.schema import Column, ColumnName
from node.data.dataset import Dataset
from policies.document import Document, first_problem

_OLDEST = 130
_DAYS = re.compile(r"days since ([0-9]{4}-[0-9]{2}-[0-9]{2})")
_YEARS = ("year", "years")


class Measuring(Document):
    """How the node completes what is declared.

    `count_step`: people are counted in multiples of it, records in multiples of it times the rows
    that a person may have. `ages_from`: the numeric column of ages in years; by itself, one that
    is named `age`. `dates_from`: the numeric column that says when a record is from, with `year`
    or `days since 1970-01-01` (any day) as its unit.
    """

    count_step: Annotated[int, Field(ge=50, le=1 << 30)] = 100
    ages_from: ColumnName | None = None
    dates_from: ColumnName | None = None


@dataclass(frozen=True)
class Description:
    """What is declared, and what follows from the schema alone.

    `ages` and `dates` are the public bounds of the columns, never what is in the records (threat:
    the oldest of all is one person).
    """

    declared: DatasetDescription
    count_step: int
    ages: Ages | None
    dates: Period | None


def parse(table: Any, dataset: Dataset, place: str) -> Description:
    """Read a description. Raises `LocalError` (CONFIG_INVALID)."""
    try:
        if not isinstance(table, dict):
            raise _wrong(dataset, place, "it is not a table")
        if named := {"id", "title"} & table.keys():
            raise _wrong(dataset, place, f"{min(named)}: it stands at the dataset itself")
        own = {name: table[name] for name in Measuring.model_fields if name in table}
        rest = {name: value for name, value in table.items() if name not in own}
        measuring = Measuring.model_validate(own)
        declared = DatasetDescription.model_validate(
            {**rest, "id": dataset.id, "title": dataset.title}
        )
        if unknown := declared.codings.keys() - set(dataset.schema.names):
            raise _wrong(dataset, place, f"codings: there is no column {min(unknown)}")
        return Description(
            declared, measuring.count_step, _ages(dataset, measuring), _dates(dataset, measuring)
        )
    except ValidationError as error:
        raise _wrong(dataset, place, first_problem(error)) from error
    except (ValueError, OverflowError) as error:
        raise _wrong(dataset, place, str(error)) from error


def _ages(dataset: Dataset, measuring: Measuring) -> Ages | None:
    column = _numeric(dataset, measuring.ages_from or "age")
    if column is None or column.unit not in _YEARS:
        if measuring.ages_from is not None:
            raise ValueError("ages_from: it must name a numeric column whose unit is years")
        return None
    youngest, oldest = _bounds(column)
    return Ages(youngest=max(0, youngest), oldest=min(_OLDEST, oldest))


def _dates(dataset: Dataset, measuring: Measuring) -> Period | None:
    if measuring.dates_from is None:
        return None
    column = _numeric(dataset, measuring.dates_from)
    since = _DAYS.fullmatch(column.unit) if column else None
    if column is None or (since is None and column.unit not in _YEARS):
        raise ValueError(
            "dates_from: it must name a numeric column whose unit is year, or days since a day"
        )
    first, last = _bounds(column)
    if since is None:
        return Period(start=dt.date(first, 1, 1), end=dt.date(last, 12, 31))
    day = dt.date.fromisoformat(since[1])
    return Period(start=day + dt.timedelta(first), end=day + dt.timedelta(last))


def _numeric(dataset: Dataset, name: str) -> Column | None:
    column = dataset.schema.find(name)
    return column if column is not None and column.kind == "numeric" else None


def _bounds(column: Column) -> tuple[int, int]:
    assert column.minimum is not None  # noqa: S101 - for the type: a numeric column has both
    assert column.maximum is not None  # noqa: S101
    return math.floor(column.minimum), math.ceil(column.maximum)


def _wrong(dataset: Dataset, place: str, what: str) -> LocalError:
    return LocalError(
        "CONFIG_INVALID",
        f"the description of {dataset.id} in {place} is not valid: {what}",
        "Correct that field; see docs/hospital.md",
    )
