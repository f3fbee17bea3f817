"""The catalogue of what nodes compute, as both sides see it: arguments, arrays, privacy, fold.

A task is named, never shipped. Its arguments travel as JSON without floats (decimals in strings,
one spelling each); a coordinator sends exactly the declared input arrays and a node exactly the
declared outputs. What a call costs follows from its arguments alone, so node, coordinator and
auditor compute the same cost. The code behind the names is `node.tasks`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, Strict

from policies.document import Document
from policies.errors import PolicyError
from policies.privacy import SampledGaussian, parse_decimal, spell_decimal

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]
    Vector = np.ndarray[Any, np.dtype[np.float32]]

MAX_PARAMETERS = 1 << 20
Fold = Literal["train", "holdout"]


def _read_decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        value = spell_decimal(value)
    try:
        return parse_decimal(value)
    except PolicyError as error:  # pydantic reports a ValueError with the field's place
        raise ValueError(error.message) from error


PlainDecimal = Annotated[
    Decimal, BeforeValidator(_read_decimal), PlainSerializer(spell_decimal, return_type=str)
]
Integer = Annotated[int, Strict()]
NoiseMultiplier = Annotated[PlainDecimal, Field(ge=Decimal("0.1"), le=10_000)]
Layer = Annotated[Integer, Field(ge=1, le=1024)]
HiddenLayers = Annotated[tuple[Layer, ...], Field(min_length=1, max_length=4)]


class Arguments(Document):
    """What every task's arguments have in common. `hidden` are the sizes of hidden layers."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes of the model's hidden layers; none for logistic regression."""
        return ()


class TrainingArguments(Arguments):
    """DP-SGD at a node: `local_steps` noisy steps, each over a Poisson sample of the persons.

    - `noise_multiplier`: noise over `clipping_norm`, the bound on one person's gradient;
    - `sampling_rate`: each person's chance to be in a step;
    - `expected_batch`: what a step's noisy sum is divided by, a constant of the job for all
      hospitals, never the private number of persons;
    - `learning_rate` and `momentum` of the local steps; momentum starts anew in every round.
    """

    clipping_norm: Annotated[PlainDecimal, Field(ge=Decimal("0.001"), le=1000)]
    noise_multiplier: NoiseMultiplier
    sampling_rate: Annotated[PlainDecimal, Field(gt=0, le=1)]
    local_steps: Annotated[Integer, Field(ge=1, le=1000)]
    expected_batch: Annotated[Integer, Field(ge=1, le=10_000_000)]
    learning_rate: Annotated[PlainDecimal, Field(gt=0, le=1000)]
    momentum: Annotated[PlainDecimal, Field(ge=0, le=Decimal("0.99"))]


class MlpTrainingArguments(TrainingArguments):
    """DP-SGD of a multilayer perceptron with tanh units."""

    hidden: HiddenLayers

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return self.hidden


class EvaluationArguments(Arguments):
    """A noisy histogram of scores by outcome: equal bins of [0, 1], an edge at 0.5.

    One person counts once, so `noise_multiplier` is the noise's standard deviation in persons.
    """

    noise_multiplier: NoiseMultiplier
    bins: Annotated[Integer, Field(ge=2, le=512, multiple_of=2)]


class MlpEvaluationArguments(EvaluationArguments):
    """The same for a multilayer perceptron."""

    hidden: HiddenLayers

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return self.hidden


@dataclass(frozen=True)
class ArraySpec:
    """An array as a frame carries it: its name, `float32` or `int64`, and its exact shape."""

    name: str
    dtype: Literal["float32", "int64"]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """One entry of the catalogue. `arguments` are plain JSON; every method validates them first.

    Raises pydantic's `ValidationError` for arguments that the task's model refuses.
    """

    name: str
    model: type[Arguments]
    fold: Fold
    mechanism_of: Callable[[Any], SampledGaussian]
    outputs_of: Callable[[Any, int], tuple[ArraySpec, ...]]

    def parse(self, arguments: Mapping[str, Any]) -> Arguments:
        """The validated arguments."""
        return self.model.model_validate(dict(arguments))

    def mechanism(self, arguments: Mapping[str, Any]) -> SampledGaussian:
        """What one call costs each person of `fold`; add or remove one person."""
        return self.mechanism_of(self.parse(arguments))

    def inputs(self, arguments: Mapping[str, Any], width: int) -> tuple[ArraySpec, ...]:
        """The arrays that the coordinator sends, for a model of `width` inputs."""
        count = parameter_count(self.parse(arguments).layers, width)
        return (ArraySpec("parameters", "float32", (count,)),)

    def outputs(self, arguments: Mapping[str, Any], width: int) -> tuple[ArraySpec, ...]:
        """The arrays that a node returns."""
        return self.outputs_of(self.parse(arguments), width)

    def accepts(self, arguments: Mapping[str, Any], width: int, arrays: "Arrays") -> bool:
        """Whether `arrays` are exactly the declared inputs, all values finite."""
        return _match(self.inputs(arguments, width), arrays)

    def returns(self, arguments: Mapping[str, Any], width: int, arrays: "Arrays") -> bool:
        """Whether `arrays` are exactly the declared outputs, all values finite."""
        return _match(self.outputs(arguments, width), arrays)

    def initial_parameters(self, arguments: Mapping[str, Any], width: int, seed: int) -> "Vector":
        """Public starting values, float32[p]: zeros for logistic regression, seeded for an MLP."""
        import numpy as np  # noqa: PLC0415 - specifications are read where numpy is absent

        generator = np.random.default_rng(seed)  # public: no record is involved
        parts = []
        layers = self.parse(arguments).layers
        for units, fan_in in layer_shapes(layers, width):
            scale = 1 / math.sqrt(fan_in) if layers else 0.0
            parts += [generator.uniform(-scale, scale, units * fan_in), np.zeros(units)]
        return np.concatenate(parts).astype(np.float32)


def layer_shapes(hidden: tuple[int, ...], width: int) -> list[tuple[int, int]]:
    """(units, inputs) of each layer, the single output last.

    The vector "parameters" holds, layer by layer, the weights row by row and then the biases.
    Raises `PolicyError` (MODEL_TOO_LARGE).
    """
    sizes = (width, *hidden, 1)
    shapes = [(units, fan_in) for fan_in, units in pairwise(sizes)]
    if width < 1 or sum(units * (fan_in + 1) for units, fan_in in shapes) > MAX_PARAMETERS:
        raise PolicyError("MODEL_TOO_LARGE", f"a model has at most {MAX_PARAMETERS} parameters")
    return shapes


def parameter_count(hidden: tuple[int, ...], width: int) -> int:
    """The length of "parameters"."""
    return sum(units * (fan_in + 1) for units, fan_in in layer_shapes(hidden, width))


def _match(specs: tuple[ArraySpec, ...], arrays: "Arrays") -> bool:
    import numpy as np  # noqa: PLC0415 - as in `initial_parameters`

    return set(arrays) == {spec.name for spec in specs} and all(
        arrays[spec.name].dtype == np.dtype(spec.dtype)
        and arrays[spec.name].shape == spec.shape
        and bool(np.isfinite(arrays[spec.name]).all())
        for spec in specs
    )


def _training_mechanism(arguments: TrainingArguments) -> SampledGaussian:
    return SampledGaussian(
        arguments.noise_multiplier, arguments.sampling_rate, arguments.local_steps
    )


def _update(arguments: TrainingArguments, width: int) -> tuple[ArraySpec, ...]:
    return (ArraySpec("update", "float32", (parameter_count(arguments.layers, width),)),)


def _evaluation_mechanism(arguments: EvaluationArguments) -> SampledGaussian:
    return SampledGaussian(arguments.noise_multiplier)


def _histogram(arguments: EvaluationArguments, width: int) -> tuple[ArraySpec, ...]:
    layer_shapes(arguments.layers, width)
    return (ArraySpec("histogram", "int64", (2, arguments.bins)),)


def _training(name: str, model: type[TrainingArguments]) -> Task:
    return Task(name, model, "train", _training_mechanism, _update)


def _evaluation(name: str, model: type[EvaluationArguments]) -> Task:
    return Task(name, model, "holdout", _evaluation_mechanism, _histogram)


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        _training("training.logistic", TrainingArguments),
        _training("training.mlp", MlpTrainingArguments),
        _evaluation("evaluation.logistic", EvaluationArguments),
        _evaluation("evaluation.mlp", MlpEvaluationArguments),
    )
}
