"""Histograms of held-out persons."""

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hostile_parameters import NINE_ONES, cancelling
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import LocalError
from connector.tasks import TASKS, parameter_count
from node.tasks import CATALOGUE
from node.tasks.evaluation import _scores
from node.tasks.noise import RandomBits

LOUD = {"noise_multiplier": "5", "bins": 10}
QUIET = {"noise_multiplier": "0.1", "bins": 10}  # exp(-50): the noise is always 0
HALVES = {"noise_multiplier": "0.1", "bins": 2}
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


def identical(people: int) -> tuple[Any, Any, Any]:
    return np.ones((people, 9), "f4"), np.zeros(people, "f4"), np.arange(people)


@pytest.mark.parametrize("people", [*range(1, 20), 63, 103, 511])
def test_one_more_of_many_identical_people_at_a_bins_edge_changes_one_count_by_one(
    people: int,
) -> None:
    fewer, more = (histogram(HALVES, NINE_ONES, *identical(n)) for n in (people, people + 1))
    assert np.linalg.norm(more - fewer) == 1
    assert np.count_nonzero(more) == 1  # identical people are counted alike


@pytest.mark.parametrize("hidden", [[], [1], [7, 3]])
def test_no_parameters_of_a_search_for_edges_make_a_person_move_another(hidden: list[int]) -> None:
    generator = np.random.default_rng(0)
    arguments = HALVES | ({"hidden": hidden} if hidden else {})
    for _ in range(100):
        parameters = cancelling(generator, tuple(hidden), 9)
        fewer, more = (histogram(arguments, parameters, *identical(n)) for n in (103, 104))
        assert np.linalg.norm(more - fewer) == 1


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32),
    st.integers(1, 70),
    st.integers(1, 100),
    st.sampled_from([(), (1,), (5,), (32,), (7, 3), (4, 9, 2)]),
    st.sampled_from([1e-40, 1e-6, 1.0, 1e4, 1e37]),
)
def test_nobodys_score_depends_on_who_else_is_there_or_in_which_order(
    seed: int, people: int, width: int, hidden: tuple[int, ...], scale: float
) -> None:
    generator = np.random.default_rng(seed)
    parameters = generator.uniform(-3, 3, parameter_count(hidden, width)) * scale
    features = generator.uniform(-1, 1, (people, width)).astype("f4")
    strangers = generator.uniform(-1, 1, (people, width)).astype("f4")
    alone = np.concatenate([_scores(hidden, parameters, row[None]) for row in features])
    order, stay = generator.permutation(people), generator.random(people) < 0.7
    mixed = np.where(stay[:, None], features, strangers)
    assert np.array_equal(_scores(hidden, parameters, features), alone)
    assert np.array_equal(_scores(hidden, parameters, features[order]), alone[order])
    assert np.array_equal(_scores(hidden, parameters, features[stay]), alone[stay])
    assert np.array_equal(_scores(hidden, parameters, mixed)[stay], alone[stay])


def test_the_score_of_a_person_with_many_rows_is_the_same_beside_anybody() -> None:
    # Scores of 9 and -9 in turn: their mean lies at the edge at 0.5, and rounding decides.
    generator = np.random.default_rng(3)
    steep = np.array([9.0, 1e-16], dtype=np.float32)
    own = generator.permutation([1.0, -1.0] * 15).tolist()
    alone = histogram(HALVES, steep, *records(own, [1] * 30, [5] * 30))
    for rows in (1, 2, 7, 64, 200):
        others = generator.uniform(-1, 1, rows).tolist()
        person = generator.choice([1, 3, 7, 9], rows).tolist()  # some before person 5, some after
        everyone = records(others + own, [0] * rows + [1] * 30, person + [5] * 30)
        assert np.array_equal(histogram(HALVES, steep, *everyone)[1], alone[1])


def test_a_score_does_not_depend_on_the_block_that_it_is_computed_in() -> None:
    features = np.random.default_rng(5).uniform(-1, 1, (9000, 20)).astype("f4")
    parameters = np.random.default_rng(6).normal(size=parameter_count((64,), 20))
    whole = _scores((64,), parameters, features)  # blocks of 1024 rows
    assert np.array_equal(whole[1000:1100], _scores((64,), parameters, features[1000:1100]))


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
