"""From columns to a model's inputs, by public bounds only.

No mean, deviation or category frequency is taken from records (threat: a fitted scaler is a
release outside the budget; measured, public clinical ranges are also the more accurate choice,
domain/privacy.md section 4). Node and coordinator derive the same inputs from the same map.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from connector.schema import MAX_COLUMNS, Column
from policies.document import Document

if TYPE_CHECKING:
    import numpy as np

    Values = np.ndarray[Any, np.dtype[np.float64]]
    Encoded = tuple[
        np.ndarray[Any, np.dtype[np.float32]],
        np.ndarray[Any, np.dtype[np.float32]],
        np.ndarray[Any, np.dtype[np.bool_]],
    ]

MAX_WIDTH = 4096


class FeatureMap(Document):
    """Input columns and the binary outcome.

    - numeric: clipped to its bounds, then scaled to [-1, 1] (of the logarithm, for `log`);
    - binary: 0 or 1;
    - category: one input per category but the first; an unknown category is all zeros;
    - nullable, any kind: missing is zero, and a further input is 1.
    """

    columns: Annotated[tuple[Column, ...], Field(min_length=1, max_length=MAX_COLUMNS)]
    outcome: Column

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [column.name for column in (*self.columns, self.outcome)]
        if len(set(names)) != len(names):
            raise ValueError("a column occurs twice, or the outcome is among the inputs")
        if self.outcome.kind != "binary":
            raise ValueError("the outcome must be a binary column")
        if self.width > MAX_WIDTH:
            raise ValueError(f"a model has at most {MAX_WIDTH} inputs")
        return self

    @property
    def width(self) -> int:
        """How many inputs a model gets."""
        return len(self.input_names)

    @property
    def input_names(self) -> tuple[str, ...]:
        """A name per input, such as `age`, `creatinine missing` and `ward = surgery`."""
        return tuple(name for column in self.columns for name in _input_names(column))

    def apply(self, values: "Mapping[str, Values]") -> "Encoded":
        """Turn float64[n] into features float32[n, width], outcome float32[n] and known bool[n].

        NaN is missing; a category is the index into `categories`. Rows without an outcome, or
        without a value that is not nullable, are not known; their features mean nothing, but are
        finite. `values` may hold other columns; a missing one is a KeyError.
        """
        import numpy as np  # noqa: PLC0415 - a coordinator reads maps without computing with them

        outcome = values[self.outcome.name]
        known = ~np.isnan(outcome)
        features = np.zeros((len(outcome), self.width), dtype=np.float32)
        start = 0
        for column in self.columns:
            inputs = _inputs(column, values[column.name])
            features[:, start : start + inputs.shape[1]] = inputs
            start += inputs.shape[1]
            if not column.nullable:
                known &= ~np.isnan(values[column.name])
        return features, (np.nan_to_num(outcome) > 0).astype(np.float32), known


def _input_names(column: Column) -> list[str]:
    names = [column.name]
    if column.kind == "category":
        names = [f"{column.name} = {category}" for category in column.categories[1:]]
    return [*names, f"{column.name} missing"] if column.nullable else names


def _inputs(column: Column, values: "Values") -> "Values":
    """float64[n, inputs of the column], all within [-1, 1]."""
    import numpy as np  # noqa: PLC0415 - as in `apply`

    missing = np.isnan(values)
    if column.kind == "category":
        inputs = values[:, None] == np.arange(1, len(column.categories))
    elif column.kind == "binary":
        inputs = (np.nan_to_num(values) > 0)[:, None]
    else:
        inputs = np.where(missing, 0.0, _scale(column, values))[:, None]
    return np.hstack([inputs, missing[:, None]]) if column.nullable else inputs


def _scale(column: Column, values: "Values") -> "Values":
    import numpy as np  # noqa: PLC0415 - as in `apply`

    low, high = float(column.minimum or 0), float(column.maximum or 0)
    above, span = np.clip(values, low, high) - low, high - low
    if column.transform == "log":
        # Element by element: a vectorised logarithm may round a value differently by its place in
        # the array, and so one person's presence could show in another's inputs.
        scaled = [math.log1p(ratio) for ratio in (above / low).tolist()]
        above, span = np.array(scaled, dtype=np.float64), math.log1p(span / low)
    return np.clip(2 * above / span - 1, -1, 1)
