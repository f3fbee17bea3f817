"""What a dataset's columns mean: public facts, shared by node and coordinator.

Bounds and categories come from clinical knowledge or a form's definition, never from the records:
a minimum read off the data would be a release. Everything that is clipped, scaled or counted
later is clipped, scaled or counted within them.
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from policies.document import Document

MAX_COLUMNS = 512
MAX_CATEGORIES = 256

ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100)]
# 15 digits: different bounds stay different as float64.
Bound = Annotated[Decimal, Field(max_digits=15, decimal_places=9)]


class Column(Document):
    """One column. `minimum` and `maximum` are in `unit`; `categories` are in the order of codes.

    Raises pydantic's `ValidationError` where a kind has what only another kind can have.
    """

    name: ColumnName
    kind: Literal["numeric", "binary", "category"]
    minimum: Bound | None = None
    maximum: Bound | None = None
    unit: Annotated[str, StringConstraints(max_length=40)] = ""
    categories: Annotated[tuple[Label, ...], Field(max_length=MAX_CATEGORIES)] = ()
    nullable: bool = False
    transform: Literal["linear", "log"] = "linear"
    description: Annotated[str, StringConstraints(max_length=500)] = ""

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "numeric":
            if self.minimum is None or self.maximum is None or self.minimum >= self.maximum:
                raise ValueError("a numeric column needs a minimum below its maximum")
            if self.transform == "log" and self.minimum <= 0:
                raise ValueError("a column with a log transform needs a minimum above zero")
        elif self.minimum is not None or self.maximum is not None or self.transform != "linear":
            raise ValueError("bounds and transforms belong to numeric columns")
        if (self.kind == "category") != bool(self.categories):
            raise ValueError("categories belong to category columns, which need them")
        if len(self.categories) == 1 or len(set(self.categories)) != len(self.categories):
            raise ValueError("categories must be two or more, all different")
        return self

    def means_the_same_as(self, other: "Column") -> bool:
        """Whether values of both can be mixed: same name, kind, unit and categories.

        Bounds and transforms may differ: they only say how a value is clipped and scaled.
        """
        return (self.name, self.kind, self.unit, self.categories) == (
            other.name,
            other.kind,
            other.unit,
            other.categories,
        )


class Schema(Document):
    """The columns of a dataset, each name once."""

    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=MAX_COLUMNS)]

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("a column name occurs twice")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    def find(self, name: str) -> Column | None:
        """The column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)
