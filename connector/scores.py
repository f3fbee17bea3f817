"""How good a model is, read from noisy histograms of its scores. Post-processing: costs nothing.

A histogram is int[2][bins]: persons by outcome (0, 1) and by score in equal bins of [0, 1].
Counts carry noise and may be negative; sums stay unbiased, so nothing is clipped before a figure
is formed. Every figure is None where the counts say nothing (a class with no persons left).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

Histogram = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Auc:
    """The area under the ROC curve; `noise` is the standard deviation that the noise adds to it.

    How much another sample of patients would differ is not in `noise`.
    """

    value: float
    noise: float


@dataclass(frozen=True)
class Bin:
    """One bar of a calibration plot: persons, mean score (bin centre), share with the outcome."""

    persons: int
    score: float
    observed: float | None


def total(histograms: Sequence[Any]) -> list[list[int]]:
    """The sum over hospitals of histograms of equal shape (lists or numpy arrays)."""
    return [
        [sum(int(count) for count in counts) for counts in zip(*rows, strict=True)]
        for rows in zip(*histograms, strict=True)
    ]


def auc(histogram: Histogram, noise: float = 0.0) -> Auc | None:
    """The chance that a person with the outcome scores above one without; a shared bin counts half.

    `noise` is the standard deviation of each count: sigma * sqrt(hospitals) for a sum. Its effect
    on the area is the delta method's, evaluated at the noisy counts.
    """
    without, having = histogram
    negatives, positives = sum(without), sum(having)
    if negatives <= 0 or positives <= 0:
        return None
    # For a person in a bin: the share of the other class that they beat (or are beaten by).
    beaten_by = [
        1 - (c - h / 2) / positives for c, h in zip(accumulate(having), having, strict=True)
    ]
    beats = [(c - w / 2) / negatives for c, w in zip(accumulate(without), without, strict=True)]
    area = sum(w * share for w, share in zip(without, beaten_by, strict=True)) / negatives
    slopes = [(share - area) / negatives for share in beaten_by]
    slopes += [(share - area) / positives for share in beats]
    return Auc(min(1.0, max(0.0, area)), noise * math.sqrt(math.fsum(s * s for s in slopes)))


def accuracy(histogram: Histogram) -> float | None:
    """The share of persons on the right side of a score of 0.5."""
    without, having = histogram
    middle = len(without) // 2
    persons = sum(without) + sum(having)
    if persons <= 0:
        return None
    right = sum(without[:middle]) + sum(having[middle:])
    return min(1.0, max(0.0, right / persons))


def calibration(histogram: Histogram) -> list[Bin]:
    """Score against outcome, bin by bin; `observed` is None where noise left no persons."""
    bins = len(histogram[0])
    return [
        Bin(
            persons=max(0, without + having),
            score=(number + 0.5) / bins,
            observed=min(1.0, max(0.0, having / (without + having)))
            if without + having > 0
            else None,
        )
        for number, (without, having) in enumerate(zip(*histogram, strict=True))
    ]
