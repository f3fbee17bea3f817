"""DP-SGD per person: what one person can do to the sum, and what leaves the optimiser."""

import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

torch = pytest.importorskip("torch")
pytest.importorskip("opacus")

from connector.errors import LocalError  # noqa: E402 - after the skips above
from connector.tasks import TASKS, parameter_count  # noqa: E402
from node.tasks import CATALOGUE, training  # noqa: E402
from node.tasks.noise import RandomBits  # noqa: E402
from node.tasks.persons import MAX_ROWS_PER_PERSON, Persons  # noqa: E402

ONE_STEP: dict[str, Any] = {
    "clipping_norm": "1",
    "noise_multiplier": "1",
    "sampling_rate": "1",
    "local_steps": 1,
    "expected_batch": 10,
    "learning_rate": "1",
    "momentum": "0",
}


def seeded(seed: int) -> RandomBits:
    return RandomBits(random.Random(seed).randbytes)  # noqa: S311 - repeatable, in tests only


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No noise: what the noise would hide can be measured."""
    monkeypatch.setattr(training, "discrete_gaussian", lambda _variance, count, _bits: [0] * count)


def update(
    features: Any, outcome: Any, person: Any, seed: int = 1, parameters: Any = None, **changes: Any
) -> Any:
    task = "training.mlp" if "hidden" in changes else "training.logistic"
    arguments = ONE_STEP | changes
    parsed = TASKS[task].parse(arguments)
    width = np.shape(features)[1]
    if parameters is None:
        parameters = TASKS[task].initial_parameters(arguments, width, 0)
    result = CATALOGUE[task](
        parsed,
        {"parameters": parameters},
        np.asarray(features, dtype=np.float32),
        np.asarray(outcome, dtype=np.float32),
        np.asarray(person, dtype=np.int64),
        seeded(seed),
    )
    assert TASKS[task].returns(arguments, width, result)
    return result["update"]


def records(rows: int, persons: int, seed: int = 0) -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(seed)
    features = generator.uniform(-1, 1, (rows, 3)).astype(np.float32)
    outcome = (features[:, 0] > 0).astype(np.float32)
    return features, outcome, generator.integers(0, persons, rows)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("hidden", [None, [4]])
def test_one_step_is_the_clipped_sum_over_persons_by_an_independent_route(
    hidden: list[int] | None,
) -> None:
    features, outcome, person = records(40, 12)
    extra = {} if hidden is None else {"hidden": hidden}
    layers = tuple(hidden or ())
    task = TASKS["training.mlp" if hidden else "training.logistic"]
    start = task.initial_parameters(ONE_STEP | extra, 3, 0)
    expected = np.zeros(parameter_count(layers, 3))
    for one in np.unique(person):  # plain autograd, one person at a time
        model = training.build(layers, 3, start)
        rows = person == one
        logits = model(torch.from_numpy(features[rows]).double())[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.from_numpy(outcome[rows]).double(), reduction="sum"
        )
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, model.parameters())])
        expected += (gradient * min(1.0, 0.5 / float(gradient.norm()))).numpy()
    ours = update(features, outcome, person, clipping_norm="0.5", **extra)
    assert ours == pytest.approx(-expected / 10, abs=12 * 0.5 / 2**15)


@pytest.mark.usefixtures("silent")
def test_removing_a_person_moves_the_sum_by_at_most_the_clipping_norm() -> None:
    features, outcome, person = records(60, 10)
    person[:30] = 3  # one person has half of the rows
    features[person == 3] *= 1000
    whole = update(features, outcome, person)
    for gone in np.unique(person):
        keep = person != gone
        less = update(features[keep], outcome[keep], person[keep])
        assert np.linalg.norm((whole - less).astype(float)) * 10 <= 1 + 1e-5


@pytest.mark.usefixtures("silent")
def test_the_divisor_is_the_jobs_constant_and_not_the_number_of_persons() -> None:
    features, outcome, person = records(20, 20)
    twice = np.concatenate([person, person + 100])
    once = update(features, outcome, person)
    doubled = update(np.tile(features, (2, 1)), np.tile(outcome, 2), twice)
    assert doubled == pytest.approx(2 * once, rel=1e-5, abs=1e-6)


@settings(deadline=None, max_examples=100)
@given(
    arrays_of.arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 40)),
        elements=st.floats(allow_nan=True, allow_infinity=True),
    ),
    st.sampled_from([0.001, 0.5, 1.0, 1000.0]),
)
def test_whatever_a_gradient_holds_its_integers_stay_within_the_sensitivity(
    gradients: Any, clipping_norm: float
) -> None:
    integers = training._to_grid(torch.from_numpy(gradients), clipping_norm)
    assert integers.dtype == torch.int64
    for row in integers.tolist():
        assert sum(value * value for value in row) <= training._GRID**2


def test_a_gradient_within_the_bound_keeps_its_value_and_a_longer_one_its_direction() -> None:
    short, long = [0.25, -0.5, 0.0], [3.0, -4.0, 0.0]
    integers = training._to_grid(torch.tensor([short, long], dtype=torch.float64), 1.0).double()
    assert (integers[0] / training._GRID).tolist() == pytest.approx(short, abs=1e-5)
    assert (integers[1] / training._GRID).tolist() == pytest.approx([0.6, -0.8, 0], abs=1e-4)


def test_integers_beyond_the_sensitivity_count_as_zero_even_where_their_squares_wrap() -> None:
    grid = training._GRID
    rows = [[grid, 0], [grid, 1], [2**62, 0], [-(2**63), 0], [2**32, 2**32], [3, -grid + 1]]
    kept = training._within_sensitivity(torch.tensor(rows, dtype=torch.int64))
    assert kept.tolist() == [[grid, 0], [0, 0], [0, 0], [0, 0], [0, 0], [3, -grid + 1]]


def test_a_gradient_that_is_not_finite_counts_as_zero_for_that_person_only() -> None:
    gradients = torch.tensor([[float("nan"), 1.0], [0.5, 0.0], [float("inf"), 0.0]])
    integers = training._to_grid(gradients.double(), 1.0)
    assert integers[0].tolist() == integers[2].tolist() == [0, 0]
    assert integers[1].tolist() == [training._GRID // 2, 0]


def test_the_noise_asked_for_is_the_accountants_multiplier_times_the_sensitivity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def record(variance: Fraction, count: int, _bits: RandomBits) -> list[int]:
        asked.append((variance, count))
        return [0] * count

    monkeypatch.setattr(training, "discrete_gaussian", record)
    update(*records(10, 5), noise_multiplier="2.5", local_steps=3)
    assert asked == [(Fraction(25, 4) * training._GRID**2, 4)] * 3


def test_the_noise_in_an_update_has_the_stated_size() -> None:
    empty = (np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    updates = np.array([update(*empty, seed=s, noise_multiplier="4") for s in range(300)])
    # noise_multiplier * clipping_norm / expected_batch = 0.4, over 1200 values.
    assert updates.std() == pytest.approx(0.4, rel=4 / np.sqrt(2 * updates.size))
    assert abs(updates.mean()) < 4 * 0.4 / np.sqrt(updates.size)


def test_an_empty_sample_is_a_step_of_noise_and_a_small_rate_takes_many() -> None:
    features, outcome, person = records(3, 3)
    result = update(features, outcome, person, sampling_rate="0.001", local_steps=20)
    assert np.count_nonzero(result) == 4


@pytest.mark.usefixtures("silent")
def test_splitting_a_step_to_fit_memory_does_not_change_its_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, outcome, person = records(200, 60)
    whole = update(features, outcome, person, local_steps=3, momentum="0.5")
    monkeypatch.setattr(training, "_CHUNK_NUMBERS", 50)
    assert np.array_equal(update(features, outcome, person, local_steps=3, momentum="0.5"), whole)


@pytest.mark.usefixtures("silent")
def test_the_order_of_records_does_not_show() -> None:
    features, outcome, person = records(100, 100)
    shuffled = np.random.default_rng(1).permutation(100)
    whole = update(features, outcome, person, local_steps=3)
    assert np.array_equal(
        whole, update(features[shuffled], outcome[shuffled], person[shuffled], local_steps=3)
    )


def test_a_seed_repeats_an_update_and_the_systems_randomness_does_not() -> None:
    sample = records(30, 30)
    assert np.array_equal(update(*sample, seed=4), update(*sample, seed=4))
    task = TASKS["training.logistic"]
    start = {"parameters": task.initial_parameters(ONE_STEP, 3, 0)}
    fresh = [CATALOGUE[task.name](task.parse(ONE_STEP), start, *sample)["update"] for _ in range(2)]
    assert not np.array_equal(fresh[0], fresh[1])


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        ("parameters", np.nan, "TASK_INPUT_NOT_FINITE"),
        ("features", np.inf, "TASK_INPUT_NOT_FINITE"),
        ("outcome", np.nan, "TASK_INPUT_NOT_FINITE"),
        ("outcome", 0.5, "TASK_OUTCOME_NOT_BINARY"),
    ],
)
def test_what_cannot_be_trained_on_is_a_fixed_code(place: str, value: float, code: str) -> None:
    features, outcome, person = records(5, 5)
    parameters = np.zeros(4, dtype=np.float32)
    {"parameters": parameters, "features": features, "outcome": outcome}[place].flat[0] = value
    with pytest.raises(LocalError) as refusal:
        update(features, outcome, person, parameters=parameters)
    assert refusal.value.code == code
    assert str(value) not in refusal.value.diagnostics()


def test_parameters_of_another_width_are_a_fixed_code() -> None:
    with pytest.raises(LocalError) as refusal:
        CATALOGUE["training.logistic"](
            TASKS["training.logistic"].parse(ONE_STEP),
            {"parameters": np.zeros(9, dtype=np.float32)},
            *records(5, 5),
            seeded(1),
        )
    assert refusal.value.code == "TASK_INPUT_SHAPE"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-3, 3), max_size=40), st.randoms(use_true_random=False))
def test_grouping_gives_every_selected_persons_first_rows_and_no_others(
    person: list[int], chance: random.Random
) -> None:
    persons = Persons.group(np.array(person, dtype=np.int64))
    names = sorted(set(person))
    selected = [i for i in range(len(names)) if chance.random() < 0.5]
    rows, owners = persons.rows(np.array(selected, dtype=np.int64))
    expected = [
        (row, position)
        for position, index in enumerate(selected)
        for row in [r for r, p in enumerate(person) if p == names[index]][:MAX_ROWS_PER_PERSON]
    ]
    assert list(zip(rows.tolist(), owners.tolist(), strict=True)) == expected


def test_a_person_brings_at_most_a_bounded_number_of_rows() -> None:
    persons = Persons.group(np.zeros(100_000, dtype=np.int64))
    rows, _ = persons.rows(np.array([0]))
    assert rows.tolist() == list(range(MAX_ROWS_PER_PERSON))
