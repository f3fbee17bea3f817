"""DP-SGD per person: what one person can do to the sum, and what leaves the optimiser."""

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hostile_parameters import NINE_ONES, cancelling
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

torch = pytest.importorskip("torch")
pytest.importorskip("opacus")

from connector.errors import LocalError  # noqa: E402 - after the skips above
from connector.tasks import TASKS, layer_shapes, parameter_count  # noqa: E402
from node.tasks import CATALOGUE, training  # noqa: E402
from node.tasks.models import build  # noqa: E402
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


def ordinary(hidden: tuple[int, ...], width: int, parameters: Any) -> Any:
    """The same model of torch's own layers."""
    layers: list[Any] = []
    for units, fan_in in layer_shapes(hidden, width):
        layers += [torch.nn.Tanh()] if layers else []
        layers.append(torch.nn.Linear(fan_in, units, dtype=torch.float64))
    model = torch.nn.Sequential(*layers)
    torch.nn.utils.vector_to_parameters(torch.from_numpy(parameters).double(), model.parameters())
    return model


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("hidden", [None, [4], [5, 3]])
def test_one_step_is_the_clipped_sum_over_persons_by_an_independent_route(
    hidden: list[int] | None,
) -> None:
    features, outcome, person = records(40, 12)
    extra: dict[str, Any] = {} if hidden is None else {"hidden": hidden}
    layers = tuple(hidden or ())
    task = TASKS["training.mlp" if hidden else "training.logistic"]
    start = task.initial_parameters(ONE_STEP | extra, 3, 0)
    expected = np.zeros(parameter_count(layers, 3))
    for one in np.unique(person):  # plain autograd, one person at a time
        model = ordinary(layers, 3, start)
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


Vectors = dict[int, list[int]]
HALF_WAY = "131.072"  # 2**16 / 131.072 = 500: the gradient 0.5 * 0.25 is 62.5 steps of the grid


@pytest.fixture
def vectors(monkeypatch: pytest.MonkeyPatch, silent: None) -> Callable[..., Vectors]:  # noqa: ARG001 - for its effect
    """One step over everybody; the integers that each person adds to the sum."""
    seen: list[list[int]] = []
    within_sensitivity = training._within_sensitivity

    def record(integers: Any) -> Any:
        kept = within_sensitivity(integers)
        seen.extend(kept.tolist())
        return kept

    def one_step(features: Any, outcome: Any, person: Any, **changes: Any) -> Vectors:
        seen.clear()
        update(features, outcome, person, **changes)
        return dict(zip(np.unique(person).tolist(), seen, strict=True))

    monkeypatch.setattr(training, "_within_sensitivity", record)
    return one_step


@pytest.mark.parametrize("hidden", [(), (1,), (8,), (5, 3), (33,)])
@pytest.mark.parametrize("width", [1, 9, 20])
@pytest.mark.parametrize("scale", [1e-40, 1.0, 1e4, 1e37])
def test_nobodys_integers_depend_on_who_else_is_there_or_in_which_order(
    vectors: Callable[..., Vectors], hidden: tuple[int, ...], width: int, scale: float
) -> None:
    generator = np.random.default_rng(width)
    changes: dict[str, Any] = {"hidden": list(hidden)} if hidden else {}
    count = parameter_count(hidden, width)
    changes["parameters"] = (generator.uniform(-3, 3, count) * scale).astype("f4")
    features = generator.uniform(-1, 1, (90, width)).astype("f4")
    outcome, person = generator.integers(0, 2, 90), generator.integers(0, 60, 90)
    whole = vectors(features, outcome, person, **changes)
    for gone in np.unique(person)[::9]:
        stay = person != gone
        less = vectors(features[stay], outcome[stay], person[stay], **changes)
        assert less == {name: whole[name] for name in less}
    one = int(person[0])
    own = person == one
    alone = vectors(features[own], outcome[own], person[own], **changes)
    assert alone == {one: whole[one]}
    features[~own] = generator.uniform(-1, 1, (90 - own.sum(), width))
    assert vectors(features, outcome, person, **changes)[one] == whole[one]
    names = generator.permutation(60)  # everybody changes places, with their rows
    renamed = vectors(features[own], outcome[own], names[person][own], **changes)
    assert renamed == {int(names[one]): whole[one]}


@pytest.mark.parametrize("hidden", [[], [1], [8], [7, 3]])
def test_identical_people_on_a_rounding_boundary_add_the_same_integers_in_any_number(
    vectors: Callable[..., Vectors], hidden: list[int]
) -> None:
    generator = np.random.default_rng(0)
    changes: dict[str, Any] = {"clipping_norm": HALF_WAY} | ({"hidden": hidden} if hidden else {})
    for reach in (3, 18, 30):
        changes["parameters"] = cancelling(generator, tuple(hidden), 9, reach)
        added = {
            tuple(vector)
            for people in (*range(1, 36), 63, 64, 103, 104, 255, 300)
            for vector in vectors(
                np.full((people, 9), 0.25), np.zeros(people), np.arange(people), **changes
            ).values()
        }
        assert len(added) == 1


def test_the_reviewers_parameters_move_nobody_else(vectors: Callable[..., Vectors]) -> None:
    changes = {"parameters": NINE_ONES, "clipping_norm": HALF_WAY}
    fewer, more = (
        vectors(np.ones((people, 9)), np.zeros(people), np.arange(people), **changes)
        for people in (103, 104)
    )
    assert {name: more[name] for name in fewer} == fewer


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 60), st.booleans())
def test_clipping_and_rounding_take_each_persons_gradient_by_itself(
    seed: int, people: int, width: int, half_way: bool
) -> None:
    generator = np.random.default_rng(seed)
    gradients = (
        generator.normal(size=(people, width)) * 10.0 ** generator.uniform(-9, 9, people)[:, None]
    )
    if half_way:
        gradients = (np.floor(gradients * 100) + 0.5) / 500
    whole = training._to_grid(torch.from_numpy(gradients), float(HALF_WAY)).tolist()
    alone = [
        training._to_grid(torch.from_numpy(row[None].copy()), float(HALF_WAY)).tolist()[0]
        for row in gradients
    ]
    assert whole == alone


def test_backpropagation_leaves_no_sum_of_gradients_over_records() -> None:
    model = build((3,), 2, np.ones(13, dtype=np.float32))
    inputs = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    model(inputs).sum().backward()
    assert inputs.grad is not None
    assert all(parameter.grad is None for parameter in model.parameters())


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
    rows, counts = persons.rows(np.array(selected, dtype=np.int64))
    expected = [
        [row for row, name in enumerate(person) if name == names[index]][:MAX_ROWS_PER_PERSON]
        for index in selected
    ]
    assert counts.tolist() == [len(own) for own in expected]
    assert rows.tolist() == [row for own in expected for row in own]


def test_a_person_brings_at_most_a_bounded_number_of_rows() -> None:
    persons = Persons.group(np.zeros(100_000, dtype=np.int64))
    rows, _ = persons.rows(np.array([0]))
    assert rows.tolist() == list(range(MAX_ROWS_PER_PERSON))
