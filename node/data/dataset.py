"""A hospital's description of one of its datasets: where the records are, what they mean.

It is a TOML table of the node's configuration, written by the hospital, never by a peer. It holds
no record; the records are read by `node.data.sources` in a worker process only.
"""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from connector.schema import MAX_COLUMNS, Column, ColumnName, Schema
from node.data.values import meanings, normal_forms
from policies.document import Document
from policies.permit import Name, Text

EACH_ROW = "row"


def _as_text(value: object) -> object:
    return str(value) if type(value) in (int, float, Decimal) else value


# A cell as it is written in the file; TOML numbers may stand for their text.
Token = Annotated[str, BeforeValidator(_as_text), StringConstraints(max_length=200)]
Tokens = Annotated[tuple[Token, ...], Field(max_length=1000)]
Field_ = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Bytes = Annotated[int, Field(ge=1, le=1 << 40)]


class CsvSource(Document):
    """Delimited text. Without a header, `names` says what its columns are, in order."""

    kind: Literal["csv"]
    path: Path
    header: bool = True
    names: Annotated[tuple[Field_, ...], Field(max_length=4096)] = ()
    delimiter: Annotated[str, StringConstraints(pattern=r"^(?:[^\w\s\"]|\t| )$")] = ","
    decimal_mark: Literal[".", ","] = "."
    encoding: Literal["utf-8", "utf-16", "latin-1", "iso-8859-15", "cp1252"] = "utf-8"
    missing: Tokens = ("",)
    max_bytes: Bytes = 4 << 30

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.header == bool(self.names):
            raise ValueError("a file with a header takes no names; one without needs them")
        if len(set(self.names)) != len(self.names):
            raise ValueError("names: a name occurs twice")
        if self.delimiter == self.decimal_mark:
            raise ValueError("delimiter and decimal_mark are the same")
        return self


class ParquetSource(Document):
    """A Parquet file with flat columns. Nulls are missing, whatever `missing` adds."""

    kind: Literal["parquet"]
    path: Path
    missing: Tokens = ("",)
    max_bytes: Bytes = 64 << 30

    @property
    def decimal_mark(self) -> Literal["."]:
        """Numbers that are stored as text."""
        return "."


Source = Annotated[CsvSource | ParquetSource, Field(discriminator="kind")]


class SourceColumn(Column):
    """A column and how the file spells it.

    `field` is its name in the file, if another. `missing` adds to the source's markers, such as
    the 0 that stands for an unknown cholesterol. `true` and `false` are the spellings of a binary
    column; `codes` maps the spellings of a category that differ from its name.
    """

    field: Field_ | None = None
    missing: Tokens = ()
    true: Tokens = ("1",)
    false: Tokens = ("0",)
    codes: Annotated[dict[Token, str], Field(max_length=1000, default_factory=dict)]

    @property
    def source_field(self) -> str:
        """The column's name in the file."""
        return self.field or self.name

    @property
    def public(self) -> Column:
        """What peers may know of it."""
        return Column.model_validate({name: getattr(self, name) for name in Column.model_fields})

    def spellings(self) -> dict[str, float]:
        """Value of every spelling of a binary (0, 1) or category (its index) column."""
        if self.kind == "binary":
            return dict.fromkeys(self.false, 0.0) | dict.fromkeys(self.true, 1.0)
        index = {category: float(code) for code, category in enumerate(self.categories)}
        return index | {token: index[category] for token, category in self.codes.items()}

    @model_validator(mode="after")
    def _check_spellings(self) -> Self:
        if self.codes and self.kind != "category":
            raise ValueError("codes belong to category columns")
        if unknown := set(self.codes.values()) - set(self.categories):
            raise ValueError(f"codes: {min(unknown)!r} is not a category")
        if self.kind == "binary" and not (self.true and self.false):
            raise ValueError("a binary column needs a spelling of true and one of false")
        if set(self.true) & set(self.false):
            raise ValueError("a spelling is both true and false")
        return self


class EventWithin(Document):
    """1: the event came within `days`. 0: `days` passed without it. Missing: censored before."""

    kind: Literal["event_within"]
    name: ColumnName
    event: ColumnName
    time: ColumnName
    days: Annotated[int, Field(ge=1, le=100_000)]
    description: Annotated[str, StringConstraints(max_length=500)] = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it is computed from."""
        return (self.event, self.time)


class Above(Document):
    """1: the column is above the threshold. 0: it is not."""

    kind: Literal["above"]
    name: ColumnName
    column: ColumnName
    threshold: Decimal
    description: Annotated[str, StringConstraints(max_length=500)] = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that it is computed from."""
        return (self.column,)


Derived = Annotated[EventWithin | Above, Field(discriminator="kind")]


class Dataset(Document):
    """One dataset of a hospital.

    `person_column` is the file's field that identifies a person; `"row"` says that every row is
    another person, which the hospital must know, for the person is the unit of privacy.
    `max_invalid_share` is the share of a column's values that may be unreadable and then count
    as missing; above it the dataset is refused.
    """

    id: Name
    title: Text
    source: Source
    person_column: Field_
    columns: Annotated[tuple[SourceColumn, ...], Field(min_length=1, max_length=MAX_COLUMNS)]
    derived: Annotated[tuple[Derived, ...], Field(max_length=100)] = ()
    max_rows_per_person: Annotated[int, Field(ge=1, le=1000)] = 1
    opt_outs: Path | None = None
    max_invalid_share: Annotated[Decimal, Field(ge=0, le=Decimal("0.2"))] = Decimal(0)

    @property
    def rows_are_persons(self) -> bool:
        """Whether nothing in the file says which rows belong together."""
        return self.person_column == EACH_ROW

    @property
    def schema(self) -> Schema:  # type: ignore[override]  # shadows pydantic's v1 method, on purpose
        """The columns that a job can ask for, derived ones last."""
        derived = [
            Column(name=column.name, kind="binary", description=column.description)
            for column in self.derived
        ]
        return Schema(columns=(*(column.public for column in self.columns), *derived))

    def relative_to(self, directory: Path) -> "Dataset":
        """The same dataset; paths that are not absolute start at `directory`."""
        source = self.source.model_copy(update={"path": directory / self.source.path})
        opt_outs = None if self.opt_outs is None else directory / self.opt_outs
        return self.model_copy(update={"source": source, "opt_outs": opt_outs})

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = Counter(column.name for column in (*self.columns, *self.derived))
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"the column name {twice[0]!r} occurs twice")
        if any(column.source_field == self.person_column for column in self.columns):
            raise ValueError("the person column is an identifier and cannot be a column of values")
        return self

    @model_validator(mode="after")
    def _check_persons(self) -> Self:
        if self.rows_are_persons and (self.opt_outs or self.max_rows_per_person > 1):
            raise ValueError(
                "opt_outs and max_rows_per_person need a person_column with identifiers"
            )
        return self

    @model_validator(mode="after")
    def _check_spellings(self) -> Self:
        mark = self.source.decimal_mark
        for column in self.columns:
            if column.kind == "numeric":
                continue
            spelled = meanings(column.spellings(), mark)  # no number twice
            if hidden := normal_forms((*self.source.missing, *column.missing), mark) & set(spelled):
                raise ValueError(
                    f"{column.name}: {min(hidden)!r} is a value and a marker of missing ones"
                )
        return self

    @model_validator(mode="after")
    def _check_derived(self) -> Self:
        kinds = {column.name: column.kind for column in self.columns}
        for derived in self.derived:
            asked = ("binary", "numeric") if derived.kind == "event_within" else ("numeric",)
            if tuple(kinds.get(name) for name in derived.inputs) != asked:
                raise ValueError(
                    f"{derived.name}: its inputs must be {' and '.join(asked)} columns"
                )
        return self
