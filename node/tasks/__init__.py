"""The catalogue behind `connector.tasks.TASKS`: what a worker runs when a task is named.

Each function takes parsed arguments, the received arrays, one row per record (features
float32[n, d], outcome float32[n] of 0 and 1, person int64[n]) and its randomness, and returns the
arrays that the task declares. Modules are imported when first called: torch takes more than a
second, and an evaluation does without it.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from connector.tasks import Arguments
from node.tasks.noise import RandomBits

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_PLACES = {
    "training.logistic": ("node.tasks.training", "train"),
    "training.mlp": ("node.tasks.training", "train"),
    "evaluation.logistic": ("node.tasks.evaluation", "evaluate"),
    "evaluation.mlp": ("node.tasks.evaluation", "evaluate"),
}
TaskFunction = Callable[..., "dict[str, Array]"]


def load(task: str) -> TaskFunction:
    """Import what the task needs, and return its function. Unknown names are a KeyError."""
    module, function = _PLACES[task]
    loaded: TaskFunction = getattr(import_module(module), function)
    return loaded


def _lazily(task: str) -> TaskFunction:
    def run(
        arguments: Arguments,
        arrays: "Mapping[str, Array]",
        features: "Array",
        outcome: "Array",
        person: "Array",
        randomness: RandomBits | None = None,
    ) -> "dict[str, Array]":
        bits = randomness or RandomBits()
        return load(task)(arguments, arrays, features, outcome, person, bits)

    return run


CATALOGUE: dict[str, TaskFunction] = {task: _lazily(task) for task in _PLACES}
