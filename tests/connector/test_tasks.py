"""The catalogue's wire types: exactly one spelling, everything bounded, cost from arguments."""

import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from connector.tasks import MAX_PARAMETERS, TASKS, layer_shapes, parameter_count
from policies import canonical
from policies.errors import PolicyError
from policies.privacy import SampledGaussian

TRAINING: dict[str, Any] = {
    "clipping_norm": "1",
    "noise_multiplier": "9.2839",
    "sampling_rate": "0.5",
    "local_steps": 4,
    "expected_batch": 100,
    "learning_rate": "1",
    "momentum": "0.8",
}
EVALUATION: dict[str, Any] = {"noise_multiplier": "4", "bins": 20}
VALID = {
    "training.logistic": TRAINING,
    "training.mlp": TRAINING | {"hidden": [16, 8]},
    "evaluation.logistic": EVALUATION,
    "evaluation.mlp": EVALUATION | {"hidden": [16, 8]},
}


@pytest.mark.parametrize("name", list(TASKS))
def test_arguments_survive_the_wire_byte_by_byte(name: str) -> None:
    arguments = TASKS[name].parse(VALID[name])
    assert canonical.decode(arguments.encode()) == VALID[name]
    assert TASKS[name].model.decode(arguments.encode()) == arguments


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("clipping_norm", "0"),
        ("clipping_norm", 1.0),
        ("noise_multiplier", "0.01"),
        ("noise_multiplier", "1e3"),
        ("noise_multiplier", "NaN"),
        ("sampling_rate", "1.1"),
        ("sampling_rate", "0"),
        ("sampling_rate", "0.50"),
        ("local_steps", 0),
        ("local_steps", 1001),
        ("local_steps", True),
        ("local_steps", "4"),
        ("expected_batch", 0),
        ("expected_batch", 2.5),
        ("learning_rate", "1001"),
        ("learning_rate", "-1"),
        ("momentum", "1"),
        ("hidden", [16]),
        ("dataset_size", 199),
    ],
)
def test_training_arguments_out_of_bounds_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        TASKS["training.logistic"].parse(TRAINING | {field: value})


@pytest.mark.parametrize("field", list(TRAINING))
def test_no_training_argument_has_a_silent_default(field: str) -> None:
    with pytest.raises(ValidationError):
        TASKS["training.logistic"].parse({k: v for k, v in TRAINING.items() if k != field})


@pytest.mark.parametrize("hidden", [[], [0], [1025], [8] * 5, ["8"], [True]])
def test_hidden_layers_out_of_bounds_are_refused(hidden: list[object]) -> None:
    with pytest.raises(ValidationError):
        TASKS["training.mlp"].parse(TRAINING | {"hidden": hidden})


@pytest.mark.parametrize("bins", [0, 1, 3, 514])
def test_histograms_have_an_even_bounded_number_of_bins(bins: int) -> None:
    with pytest.raises(ValidationError):
        TASKS["evaluation.logistic"].parse(EVALUATION | {"bins": bins})


def test_what_a_call_costs_follows_from_its_arguments() -> None:
    training = TASKS["training.mlp"].mechanism(VALID["training.mlp"])
    assert training == SampledGaussian(Decimal("9.2839"), Decimal("0.5"), 4)
    assert TASKS["evaluation.mlp"].mechanism(VALID["evaluation.mlp"]) == SampledGaussian(Decimal(4))


def test_training_and_evaluation_see_different_persons() -> None:
    assert {name: task.fold for name, task in TASKS.items()} == {
        "training.logistic": "train",
        "training.mlp": "train",
        "evaluation.logistic": "holdout",
        "evaluation.mlp": "holdout",
    }


def test_a_model_has_a_weight_per_input_and_a_bias_per_unit() -> None:
    assert parameter_count((), 13) == 14
    assert layer_shapes((16, 8), 13) == [(16, 13), (8, 16), (1, 8)]
    assert parameter_count((16, 8), 13) == 16 * 14 + 8 * 17 + 9


def test_a_model_that_is_too_large_or_has_no_inputs_is_refused() -> None:
    for hidden, width in (((1024, 1024), 4096), ((), 0), ((), MAX_PARAMETERS)):
        with pytest.raises(PolicyError) as refusal:
            layer_shapes(hidden, width)
        assert refusal.value.code == "MODEL_TOO_LARGE"


def test_only_exactly_the_declared_finite_arrays_are_accepted() -> None:
    task, good = TASKS["training.logistic"], np.zeros(14, dtype=np.float32)
    assert task.accepts(TRAINING, 13, {"parameters": good})
    assert task.returns(TRAINING, 13, {"update": good})
    poisoned = good.copy()
    poisoned[3] = np.nan
    for arrays in (
        {},
        {"update": good},
        {"parameters": good, "records": good},
        {"parameters": good[:-1]},
        {"parameters": good.reshape(2, 7)},
        {"parameters": good.astype(np.float64)},
        {"parameters": poisoned},
    ):
        assert not task.accepts(TRAINING, 13, arrays)


def test_an_evaluation_returns_two_rows_of_counts() -> None:
    (spec,) = TASKS["evaluation.logistic"].outputs(EVALUATION, 13)
    assert (spec.name, spec.dtype, spec.shape) == ("histogram", "int64", (2, 20))


def test_starting_values_are_public_and_repeatable() -> None:
    logistic = TASKS["training.logistic"].initial_parameters(TRAINING, 13, 1)
    assert not logistic.any()
    mlp = TASKS["training.mlp"]
    first, again, other = (mlp.initial_parameters(VALID["training.mlp"], 13, s) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert mlp.accepts(VALID["training.mlp"], 13, {"parameters": first})


def test_an_auditor_reads_the_catalogue_without_numpy_or_torch() -> None:
    script = (
        "import sys, connector.tasks as t; "
        f"t.TASKS['training.logistic'].mechanism({TRAINING!r}).cost; "
        "assert not {'numpy', 'torch', 'opacus'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
