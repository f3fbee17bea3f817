"""Arithmetic in which one row's result depends on that row and public numbers alone, bit for bit.

Sensitivity means: one person more or less changes nothing about the others' numbers. A BLAS, a
vectorised transcendental and a library's reduction break that: they choose their kernel, and with
it the rounding, by the size of the batch and a row's place in it. The difference is in the last
bit, but whoever chooses the parameters can put everybody else exactly on a rounding boundary or on
an edge of a histogram, and make one person move them all.

So records are computed on with two kinds of operation only:

- elementwise `+`, `-`, `*`, `/`, square root, comparison and rounding to an integer: IEEE 754
  (2019, section 5) fixes every bit of the result (of a NaN, that it is one, which then counts as
  zero), so any kernel gives the same one. Each is a call of its own, so none is fused with the
  next. A sum is a tree of such additions whose shape follows from public sizes, or from the
  number of the person's own rows;
- the C library's function of one number, called for each element by itself.

This assumes nothing about kernels, threads or processors; tests check it bit by bit as well.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def affine(values: Array, weights: Array, biases: Array | None = None) -> Array:
    """float64[n, units]: values[n, inputs] times weights[units, inputs], plus biases[units].

    Products are added one by one in the order of the inputs. An overflow is the row's own affair:
    no warning, which could reach a log.
    """
    columns, rows = np.ascontiguousarray(weights.T), np.ascontiguousarray(values.T)
    total = np.zeros((len(weights), len(values)))
    if biases is not None:
        total += biases[:, None]
    product = np.empty_like(total)
    with np.errstate(all="ignore"):
        for column, row in zip(columns, rows, strict=True):
            np.multiply(column[:, None], row, out=product)
            total += product
    return total.T


def tanh(values: Array) -> Array:
    """The hyperbolic tangent of each element."""
    return _each(math.tanh, values)


def logistic(values: Array) -> Array:
    """1 / (1 + exp(-x)) of each element, by tanh: nothing overflows, and nothing raises."""
    return (1 + _each(math.tanh, values / 2)) / 2


def squared_norms(rows: Array) -> Array:
    """float64[n]: the sum of squares of each row of float64[n, p], p >= 1; too large is inf."""
    with np.errstate(all="ignore"):
        terms = rows * rows
        while (width := terms.shape[1]) > 1:  # pairwise, the middle one of an odd number waits
            kept = width - width // 2
            terms[:, : width // 2] += terms[:, kept:]
            terms = terms[:, :kept]
    return np.ascontiguousarray(terms[:, 0])


def sum_persons(rows: Array, counts: Array) -> Array:
    """float64[persons, p]: each person's rows, float64[n, p], added in the person's own order.

    Rows come person by person; `counts` int64[persons], each at least 1, says how many are whose.
    """
    starts = np.cumsum(counts) - counts
    total: Array = rows[starts]
    with np.errstate(all="ignore"):
        for place in range(1, int(counts.max(initial=1))):
            owners = np.flatnonzero(counts > place)
            total[owners] += rows[starts[owners] + place]
    return total


def blocks(rows: int, numbers_per_row: int) -> Iterator[slice]:
    """Slices of all rows that fit a processor's cache; where they are cut does not matter here."""
    size = max(1, (1 << 16) // numbers_per_row)
    for start in range(0, rows, size):
        yield slice(start, start + size)


def _each(function: Callable[[float], float], values: Array) -> Array:
    results = np.fromiter(map(function, values.ravel().tolist()), np.float64, values.size)
    return results.reshape(values.shape)
