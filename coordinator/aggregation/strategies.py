"""From the hospitals' updates to the next model: FedAvg and FedYogi, pure and without I/O.

An update is a hospital's new parameters minus those it was sent, float32[p], already validated
(shape, finite). Weights are public constants of the job or equal, never the number of a hospital's
persons (threat: a private count in every model). Everything here is post-processing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from connector.errors import LocalError

Vector = np.ndarray[Any, np.dtype[np.float32]]
_Sums = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class FedAvg:
    """McMahan et al. 2017: step by the weighted mean of the updates."""

    learning_rate: float = 1.0

    def step(
        self, parameters: Vector, updates: Sequence[Vector], weights: Sequence[float] = ()
    ) -> tuple[Self, Vector]:
        """The strategy's next state and the next parameters, float32[p].

        Raises `LocalError` (AGGREGATION_EMPTY, AGGREGATION_WEIGHTS, AGGREGATION_SHAPE).
        """
        mean = _mean(parameters, updates, weights)
        return self, (parameters + self.learning_rate * mean).astype(np.float32)


@dataclass(frozen=True)
class FedYogi:
    """Reddi et al. 2021, "Adaptive Federated Optimization", Algorithm 2 with Yogi's second moment.

    `adaptivity` is their tau; moments start at 0 and tau^2.
    """

    learning_rate: float = 0.5
    beta1: float = 0.9
    beta2: float = 0.99
    adaptivity: float = 1e-3
    first_moment: _Sums | None = None
    second_moment: _Sums | None = None

    def step(
        self, parameters: Vector, updates: Sequence[Vector], weights: Sequence[float] = ()
    ) -> tuple[Self, Vector]:
        """As `FedAvg.step`; the returned state carries both moments."""
        mean = _mean(parameters, updates, weights)
        before = np.zeros_like(mean) if self.first_moment is None else self.first_moment
        scale = (
            np.full_like(mean, self.adaptivity**2)
            if self.second_moment is None
            else self.second_moment
        )
        first = self.beta1 * before + (1 - self.beta1) * mean
        square = mean * mean
        second = scale - (1 - self.beta2) * square * np.sign(scale - square)
        step = self.learning_rate * first / (np.sqrt(second) + self.adaptivity)
        state = replace(self, first_moment=first, second_moment=second)
        return state, (parameters + step).astype(np.float32)


Strategy = FedAvg | FedYogi


def strategy(name: str, learning_rate: float) -> Strategy:
    """A fresh strategy by its name in a job's specification: `fedavg` or `fedyogi`."""
    kinds: dict[str, type[FedAvg | FedYogi]] = {"fedavg": FedAvg, "fedyogi": FedYogi}
    if name not in kinds:
        raise LocalError("STRATEGY_UNKNOWN", f"{name!r} is not a strategy", "Use fedavg or fedyogi")
    return kinds[name](learning_rate=learning_rate)


def _mean(parameters: Vector, updates: Sequence[Vector], weights: Sequence[float]) -> _Sums:
    """float64[p]; summed in the order given, so a run repeats bit by bit."""
    if not updates:
        raise LocalError("AGGREGATION_EMPTY", "no hospital's update is left in this round")
    shares = np.asarray(weights or [1.0] * len(updates), dtype=np.float64)
    usable = len(shares) == len(updates) and np.isfinite(shares).all() and (shares >= 0).all()
    if not usable or shares.sum() <= 0:
        raise LocalError(
            "AGGREGATION_WEIGHTS", "weights are not one non-negative number per update"
        )
    if any(update.shape != parameters.shape for update in updates):
        raise LocalError("AGGREGATION_SHAPE", "an update does not have the model's shape")
    stacked = np.stack([update.astype(np.float64) for update in updates])
    mean: _Sums = (shares / shares.sum()) @ stacked
    return mean
