"""A noisy histogram of scores by outcome over held-out persons; numpy only, for a quick start.

Sensitivity: a person's score and outcome, and so the one count that they are in, are a function of
that person's own rows and the public parameters, bit for bit (`node.tasks.rowwise`). Adding or
removing a person therefore changes one count by one and no other, whatever the parameters are: the
histogram's L2 sensitivity is exactly 1.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from connector.errors import LocalError
from connector.tasks import EvaluationArguments, layer_shapes, parameter_count
from node.tasks import rowwise
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
    Raises `LocalError` (TASK_INPUT_SHAPE, TASK_INPUT_NOT_FINITE, TASK_OUTCOME_NOT_BINARY).
    """
    parameters = arrays["parameters"]
    check_records(parameters, features, outcome, person)
    if parameters.shape != (parameter_count(arguments.layers, features.shape[1]),):
        raise LocalError("TASK_INPUT_SHAPE", "the parameters do not fit the features")
    persons = Persons.group(person)
    rows, counts = persons.rows(np.arange(len(persons)))
    scores = _scores(arguments.layers, parameters.astype(np.float64), features[rows])
    means = rowwise.sum_persons(scores[:, None], counts)[:, 0] / counts
    first = outcome[persons.order[persons.starts]].astype(np.int64)
    bins = np.minimum((means * arguments.bins).astype(np.int64), arguments.bins - 1)
    histogram = np.bincount(first * arguments.bins + bins, minlength=2 * arguments.bins)
    variance = Fraction(arguments.noise_multiplier) ** 2
    noise = discrete_gaussian(variance, 2 * arguments.bins, randomness)
    noisy = histogram.astype(np.int64) + np.array(noise, dtype=np.int64)
    return {"histogram": noisy.reshape(2, arguments.bins)}


def _scores(hidden: tuple[int, ...], parameters: Array, features: Array) -> Array:
    """float64[n] in [0, 1]: the model of `node.tasks.models`, without torch."""
    layers = []
    start = 0
    shapes = layer_shapes(hidden, features.shape[1])
    for units, fan_in in shapes:
        weights = parameters[start : start + units * fan_in].reshape(units, fan_in)
        start += units * fan_in
        layers.append((weights, parameters[start : start + units]))
        start += units
    scores = np.empty(len(features))
    for block in rowwise.blocks(len(features), max(max(shape) for shape in shapes)):
        values = features[block].astype(np.float64)
        for number, layer in enumerate(layers):
            values = rowwise.affine(rowwise.tanh(values) if number else values, *layer)
        scores[block] = rowwise.logistic(values[:, 0])
    return scores
