"""Histograms of held-out persons."""

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from connector.errors import LocalError
from connector.tasks import TASKS
from node.tasks import CATALOGUE
from node.tasks.evaluation import _scores
from node.tasks.noise import RandomBits

LOUD = {"noise_multiplier": "5", "bins": 10}
QUIET = {"noise_multiplier": "0.1", "bins": 10}  # exp(-50): the noise is always 0
RIGHT = np.array([2.0, 0.0], dtype=np.float32)


def histogram(arguments: dict[str, Any], parameters: Any, *records: Any, seed: int = 1) -> Any:
    task = "evaluation.mlp" if "hidden" in arguments else "evaluation.logistic"
    bits = RandomBits(random.Random(seed).randbytes)  # noqa: S311 - repeatable, in tests only
    arrays = {"parameters": parameters}
    result = CATALOGUE[task](TASKS[task].parse(arguments), arrays, *records, bits)
    assert TASKS[task].returns(arguments, records[0].shape[1], result)
    return result["histogram"]


def records(values: list[float], outcome: list[int], person: list[int]) -> tuple[Any, Any, Any]:
    return (
        np.array(values, dtype=np.float32)[:, None],
        np.array(outcome, dtype=np.float32),
        np.array(person, dtype=np.int64),
    )


def test_each_person_is_counted_by_outcome_and_score() -> None:
    counts = histogram(QUIET, RIGHT, *records([-3, -3, 0, 3], [0, 0, 1, 1], [1, 2, 3, 4]))
    expected = np.zeros((2, 10))
    expected[0, 0], expected[1, 5], expected[1, 9] = 2, 1, 1
    assert (counts == expected).all()


def test_a_person_with_a_million_rows_counts_once() -> None:
    rows = 1_000_000
    many = records([3.0] * rows + [-3.0], [1] * rows + [0], [7] * rows + [8])
    counts = histogram(QUIET, RIGHT, *many)
    assert counts.sum() == 2
    assert counts[1, 9] == 1


def test_a_person_has_the_mean_score_and_the_first_outcome() -> None:
    counts = histogram(QUIET, RIGHT, *records([-9, 9], [0, 1], [4, 4]))
    assert counts[0, 5] == 1
    assert counts.sum() == 1


def test_removing_any_person_changes_one_count_by_one() -> None:
    generator = np.random.default_rng(0)
    person = generator.integers(0, 20, 60)
    features = generator.normal(size=(60, 1)).astype(np.float32)
    outcome = (generator.random(60) < 0.5).astype(np.float32)
    whole = histogram(QUIET, RIGHT, features, outcome, person)
    for gone in np.unique(person):
        keep = person != gone
        less = histogram(QUIET, RIGHT, features[keep], outcome[keep], person[keep])
        assert sorted(np.abs(whole - less).ravel())[-2:] == [0, 1]


def test_noise_is_on_every_count_even_of_nobody() -> None:
    counts = histogram(LOUD, RIGHT, *records([], [], []))
    assert np.count_nonzero(counts) > 10


def test_noise_has_the_deviation_that_the_accountant_is_told() -> None:
    nobody = records([], [], [])
    counts = np.stack([histogram(LOUD, RIGHT, *nobody, seed=seed) for seed in range(100)])
    assert counts.std() == pytest.approx(5, rel=4 / np.sqrt(2 * counts.size))
    assert abs(counts.mean()) < 4 * 5 / np.sqrt(counts.size)


def test_noise_is_fresh_in_every_call_with_the_systems_randomness() -> None:
    task = TASKS["evaluation.logistic"]
    calls = [
        CATALOGUE[task.name](task.parse(LOUD), {"parameters": RIGHT}, *records([1], [1], [1]))
        for _ in range(2)
    ]
    assert not np.array_equal(calls[0]["histogram"], calls[1]["histogram"])


def test_an_mlp_scores_as_it_does_in_torch() -> None:
    torch = pytest.importorskip("torch")
    from node.tasks.models import build  # noqa: PLC0415 - needs torch

    arguments = QUIET | {"hidden": [5, 3]}
    parameters = TASKS["evaluation.mlp"].initial_parameters(arguments, 4, 3)
    features = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    expected = torch.sigmoid(build((5, 3), 4, parameters)(torch.from_numpy(features).double()))
    ours = _scores((5, 3), parameters.astype(np.float64), features)
    assert ours == pytest.approx(expected.detach().numpy()[:, 0], abs=1e-12)
    counts = histogram(arguments, parameters, features, np.ones(50, "f4"), np.arange(50))
    assert counts.sum() == 50


def test_extreme_scores_fall_into_the_outer_bins() -> None:
    huge = np.array([3e38, 0], dtype=np.float32)
    counts = histogram(QUIET, huge, *records([-1, 1], [0, 1], [1, 2]))
    assert counts[0, 0] == counts[1, 9] == 1


@pytest.mark.parametrize(
    ("parameters", "features", "outcome", "code"),
    [
        ([np.nan, 0], [[1.0]], [1], "TASK_INPUT_NOT_FINITE"),
        ([1, 0], [[np.inf]], [1], "TASK_INPUT_NOT_FINITE"),
        ([1, 0], [[1.0]], [np.nan], "TASK_INPUT_NOT_FINITE"),
        ([1, 0], [[1.0]], [2], "TASK_OUTCOME_NOT_BINARY"),
        ([1, 0], [[1.0]], [1, 1], "TASK_INPUT_SHAPE"),
        ([1, 0, 0], [[1.0]], [1], "TASK_INPUT_SHAPE"),
    ],
)
def test_what_cannot_be_evaluated_is_a_fixed_code(
    parameters: Any, features: Any, outcome: Any, code: str
) -> None:
    with pytest.raises(LocalError) as refusal:
        histogram(
            QUIET,
            np.array(parameters, dtype=np.float32),
            np.array(features, dtype=np.float32),
            np.array(outcome, dtype=np.float32),
            np.array([1], dtype=np.int64),
        )
    assert refusal.value.code == code


def test_an_evaluation_starts_without_torch() -> None:
    script = (
        "import sys, node.tasks; node.tasks.load('evaluation.mlp'); "
        "assert not {'torch', 'opacus', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
