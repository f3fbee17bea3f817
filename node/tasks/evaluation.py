"""A noisy histogram of scores by outcome over held-out persons; numpy only, for a quick start."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from connector.errors import LocalError
from connector.tasks import EvaluationArguments, layer_shapes, parameter_count
from node.tasks.noise import RandomBits, discrete_gaussian
from node.tasks.persons import Persons, check_records

Array = np.ndarray[Any, Any]


def evaluate(
    arguments: EvaluationArguments,
    arrays: Mapping[str, Array],
    features: Array,
    outcome: Array,
    person: Array,
    randomness: RandomBits,
) -> dict[str, Array]:
    """Return {"histogram": int64[2, bins]}, persons by outcome and score, plus discrete noise.

    A person counts once: with the mean score of their rows and the outcome of their first row.
    Adding or removing a person changes one count by one: L2 sensitivity 1.
    Raises `LocalError` (TASK_INPUT_SHAPE, TASK_INPUT_NOT_FINITE, TASK_OUTCOME_NOT_BINARY).
    """
    parameters = arrays["parameters"]
    check_records(parameters, features, outcome, person)
    if parameters.shape != (parameter_count(arguments.layers, features.shape[1]),):
        raise LocalError("TASK_INPUT_SHAPE", "the parameters do not fit the features")
    persons = Persons.group(person)
    rows, owners = persons.rows(np.arange(len(persons)))
    scores = _scores(arguments.layers, parameters.astype(np.float64), features[rows])
    means = np.bincount(owners, scores, minlength=len(persons)) / np.maximum(persons.counts, 1)
    first = outcome[persons.order[persons.starts]].astype(np.int64)
    bins = np.minimum((means * arguments.bins).astype(np.int64), arguments.bins - 1)
    counts = np.bincount(first * arguments.bins + bins, minlength=2 * arguments.bins)
    variance = Fraction(arguments.noise_multiplier) ** 2
    noise = discrete_gaussian(variance, 2 * arguments.bins, randomness)
    noisy = counts.astype(np.int64) + np.array(noise, dtype=np.int64)
    return {"histogram": noisy.reshape(2, arguments.bins)}


def _scores(hidden: tuple[int, ...], parameters: Array, features: Array) -> Array:
    """float64[n] in [0, 1]: the model of `node.tasks.models`, without torch."""
    values = features.astype(np.float64)
    start = 0
    shapes = layer_shapes(hidden, features.shape[1])
    for number, (units, fan_in) in enumerate(shapes):
        weights = parameters[start : start + units * fan_in].reshape(units, fan_in)
        start += units * fan_in
        values = values @ weights.T + parameters[start : start + units]
        start += units
        if number + 1 < len(shapes):
            values = np.tanh(values)
    # tanh form of the logistic function: no overflow for large logits of either sign.
    return np.asarray((1 + np.tanh(values[:, 0] / 2)) / 2)
