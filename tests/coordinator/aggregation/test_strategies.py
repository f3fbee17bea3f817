"""FedAvg and FedYogi as pure state machines."""

from typing import Any

import numpy as np
import pytest

from connector.errors import LocalError
from coordinator.aggregation.strategies import FedAvg, FedYogi, strategy

START = np.array([1, -2, 0], dtype=np.float32)
UPDATES = [np.array([1, 0, 2], dtype=np.float32), np.array([3, 4, -2], dtype=np.float32)]


def test_fedavg_steps_by_the_mean_update() -> None:
    _, parameters = FedAvg().step(START, UPDATES)
    assert parameters.tolist() == [3, 0, 0]
    assert parameters.dtype == np.float32
    assert START.tolist() == [1, -2, 0]


def test_public_weights_shift_the_mean_and_need_no_normalising() -> None:
    _, parameters = FedAvg().step(START, UPDATES, [30, 10])
    assert parameters.tolist() == [2.5, -1, 1]


def test_the_server_learning_rate_scales_the_step() -> None:
    _, parameters = FedAvg(0.5).step(START, UPDATES)
    assert parameters.tolist() == [2, -1, 0]


def test_fedyogi_follows_the_published_recurrence() -> None:
    current: FedYogi = FedYogi(learning_rate=0.1, adaptivity=0.01)
    parameters: Any = START
    expected = START.astype(np.float64)
    first, second = np.zeros(3), np.full(3, 0.01**2)
    for updates in (UPDATES, UPDATES[:1], UPDATES):
        mean = np.mean(updates, axis=0)
        for i, delta in enumerate(mean):  # Algorithm 2, coordinate by coordinate
            first[i] = 0.9 * first[i] + 0.1 * delta
            second[i] -= 0.01 * delta**2 * np.sign(second[i] - delta**2)
            expected[i] += 0.1 * first[i] / (second[i] ** 0.5 + 0.01)
        current, parameters = current.step(parameters, updates)
    assert parameters == pytest.approx(expected, rel=1e-5)


def test_a_state_is_never_changed_in_place() -> None:
    fresh = FedYogi()
    after, _ = fresh.step(START, UPDATES)
    assert fresh == FedYogi()
    moment = None if after.first_moment is None else after.first_moment.copy()
    after.step(START, UPDATES)
    assert np.array_equal(after.first_moment, moment)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("updates", "weights", "code"),
    [
        ([], [], "AGGREGATION_EMPTY"),
        (UPDATES, [1], "AGGREGATION_WEIGHTS"),
        (UPDATES, [1, -1], "AGGREGATION_WEIGHTS"),
        (UPDATES, [0, 0], "AGGREGATION_WEIGHTS"),
        (UPDATES, [1, float("nan")], "AGGREGATION_WEIGHTS"),
        ([np.zeros(2, dtype=np.float32)], [], "AGGREGATION_SHAPE"),
    ],
)
def test_what_cannot_be_averaged_is_refused(updates: Any, weights: list[float], code: str) -> None:
    with pytest.raises(LocalError) as refusal:
        FedAvg().step(START, updates, weights)
    assert refusal.value.code == code


def test_strategies_are_found_by_their_name_in_the_specification() -> None:
    assert strategy("fedavg", 1.0) == FedAvg(1.0)
    assert strategy("fedyogi", 0.5) == FedYogi(0.5)
    with pytest.raises(LocalError):
        strategy("fedsgd", 1.0)
