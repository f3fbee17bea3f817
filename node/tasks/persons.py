"""Rows grouped by person: the unit that is sampled, clipped and counted."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from connector.errors import LocalError

Array = np.ndarray[Any, Any]
MAX_ROWS_PER_PERSON = (
    64  # bounds work and memory; a person's own first rows, so no one else's affair
)


@dataclass(frozen=True)
class Persons:
    """`order` lists row numbers person by person; person i has `counts[i]` from `starts[i]` on."""

    order: Array
    starts: Array
    counts: Array

    @classmethod
    def group(cls, person: Array) -> "Persons":
        """From person int64[n], one identifier per row; rows keep their order within a person."""
        order = np.argsort(person, kind="stable")
        _, starts, counts = np.unique(person[order], return_index=True, return_counts=True)
        return cls(order, starts, np.minimum(counts, MAX_ROWS_PER_PERSON))

    def __len__(self) -> int:
        return len(self.starts)

    def rows(self, selected: Array) -> tuple[Array, Array]:
        """The selected persons' rows, person by person, and how many are each one's."""
        counts = self.counts[selected]
        owners = np.repeat(np.arange(len(selected)), counts)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.order[self.starts[selected][owners] + within], counts


def check_records(parameters: Array, features: Array, outcome: Array, person: Array) -> None:
    """Refuse what no task can compute on; codes only, since texts could carry a record's values.

    Raises `LocalError`: TASK_INPUT_SHAPE, TASK_INPUT_NOT_FINITE, TASK_OUTCOME_NOT_BINARY.
    """
    rows = len(features)
    if features.ndim != 2 or outcome.shape != (rows,) or person.shape != (rows,):
        raise LocalError("TASK_INPUT_SHAPE", "features, outcome and person do not belong together")
    if not all(np.isfinite(array).all() for array in (parameters, features, outcome)):
        raise LocalError(
            "TASK_INPUT_NOT_FINITE",
            "a parameter or a record holds a value that is not a number",
            "Check the dataset's schema and the model that was sent",
        )
    if not np.isin(outcome, (0, 1)).all():
        raise LocalError("TASK_OUTCOME_NOT_BINARY", "an outcome is neither 0 nor 1")
