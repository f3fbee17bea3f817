"""DP-SGD at the node: Opacus' per-sample gradients; clipping, noise and division of our own.

Opacus 1.6 clips per row, draws float noise from a seedable generator and divides by a batch size
that it derives from the private dataset (issues 571, 819). Here the gradient of a *person* is
clipped and rounded to integers, persons are summed exactly, discrete Gaussian noise is added over
the integers, and the divisor is a constant of the job.

Sensitivity, for any parameters that a coordinator may choose:

- a person's integer vector is a function of that person's own rows and the parameters, bit for bit:
  from the record to the integers there are only the operations of `node.tasks.rowwise` and single
  elementwise ones, never a matrix product or a library's reduction. Who else is in the batch, how
  many, and in which order changes nothing about it;
- it has L2 norm at most `_GRID`, in units of clipping_norm / _GRID (`_within_sensitivity` checks it
  in integer arithmetic, after rounding), and integers are added exactly.

So one person moves a sum by at most `_GRID`. The noise has standard deviation noise_multiplier *
_GRID: the multiplier in the accountant is exact, rounding included. What follows the noisy sums
(momentum, steps, the difference) is post-processing.
"""

import sys
from collections.abc import Iterator, Mapping
from fractions import Fraction
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from typing import Any

import numpy as np
import torch

from connector.errors import LocalError
from connector.tasks import TrainingArguments, parameter_count
from node.tasks import rowwise
from node.tasks.models import RowwiseLinear, build, flatten
from node.tasks.noise import RandomBits, discrete_gaussian
from node.tasks.persons import Persons, check_records


def _import_opacus() -> tuple[type[Any], type[Any], Any]:
    """Two classes of Opacus and its `register_grad_sampler`, without its package initialiser.

    That loads all its accountants and with them scipy.stats: 0.8 s of 1.7 s, for nothing that a
    worker uses (and one of them under-reports, see domain/privacy.md 4.1). A bare package stands in
    while its submodules load; a later `import opacus` runs the initialiser as usual.
    """
    spec = find_spec("opacus")
    if spec is None or "opacus" in sys.modules:
        from opacus.grad_sample import GradSampleModule, register_grad_sampler  # noqa: PLC0415 - one of two ways
        from opacus.optimizers import DPOptimizer  # noqa: PLC0415

        return GradSampleModule, DPOptimizer, register_grad_sampler
    bare = ModuleSpec("opacus", None, is_package=True)
    bare.submodule_search_locations = spec.submodule_search_locations
    sys.modules["opacus"] = module_from_spec(bare)
    try:
        from opacus.grad_sample import GradSampleModule, register_grad_sampler  # noqa: PLC0415
        from opacus.optimizers import DPOptimizer  # noqa: PLC0415
    finally:
        del sys.modules["opacus"]
    return GradSampleModule, DPOptimizer, register_grad_sampler


GradSampleModule, DPOptimizer, register_grad_sampler = _import_opacus()

Array = np.ndarray[Any, Any]
_GRID = 1 << 16
_CHUNK_NUMBERS = 1 << 22  # per-sample gradients held at once: 32 MB of float64

torch.set_num_threads(1)  # small matrices; nodes on one machine do not fight for cores


@register_grad_sampler(RowwiseLinear)  # type: ignore[untyped-decorator]  # Opacus ships no types
def _per_row(
    layer: RowwiseLinear, activations: list[torch.Tensor], backprops: torch.Tensor
) -> dict[torch.Tensor, torch.Tensor]:
    """A layer's gradients per row: single products, where Opacus' einsum calls a BLAS."""
    return {layer.weight: backprops[:, :, None] * activations[0][:, None], layer.bias: backprops}


class PersonOptimizer(DPOptimizer):  # type: ignore[misc, valid-type]  # Opacus ships no types
    """Opacus' `DPOptimizer` with persons as the unit and exact integer noise.

    The rows of the coming step stand person by person; `counts` int64[persons] says how many are
    each one's.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, arguments: TrainingArguments, randomness: RandomBits
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=float(arguments.noise_multiplier),
            max_grad_norm=float(arguments.clipping_norm),
            expected_batch_size=arguments.expected_batch,
            loss_reduction="mean",
        )
        self.counts: Array = np.zeros(0, dtype=np.int64)
        self._variance = Fraction(arguments.noise_multiplier) ** 2 * _GRID**2
        self._randomness = randomness
        self._sum: torch.Tensor | None = None

    def clip_and_accumulate(self) -> None:
        """Sum rows per person, clip and round each person, add to the exact int64 sum."""
        rows = torch.cat([sample.flatten(start_dim=1) for sample in self.grad_samples], dim=1)
        gradients = torch.from_numpy(rowwise.sum_persons(rows.numpy(), self.counts))
        chunk = _to_grid(gradients, self.max_grad_norm).sum(dim=0)
        self._sum = chunk if self._sum is None else self._sum + chunk

    def add_noise(self) -> None:
        """Noise over the integers, then back to gradients: the only way out of this class."""
        assert self._sum is not None, "clip_and_accumulate comes first"  # noqa: S101 - for the type
        noise = discrete_gaussian(self._variance, len(self._sum), self._randomness)
        noisy = (self._sum + torch.tensor(noise, dtype=torch.int64)).to(torch.float64)
        self._sum = None
        gradient = noisy * (self.max_grad_norm / _GRID)
        for parameter, part in zip(
            self.params, gradient.split([p.numel() for p in self.params]), strict=True
        ):
            parameter.grad = part.view_as(parameter)


def train(
    arguments: TrainingArguments,
    arrays: Mapping[str, Array],
    features: Array,
    outcome: Array,
    person: Array,
    randomness: RandomBits,
) -> dict[str, Array]:
    """Return {"update": float32[p]}: the parameters after `local_steps` minus those received.

    features float32[n, d], outcome float32[n] of 0 and 1, person int64[n]; n may be 0.
    Raises `LocalError` (TASK_INPUT_SHAPE, TASK_INPUT_NOT_FINITE, TASK_OUTCOME_NOT_BINARY,
    TASK_RESULT_NOT_FINITE).
    """
    received = arrays["parameters"]
    check_records(received, features, outcome, person)
    width = features.shape[1]
    if received.shape != (parameter_count(arguments.layers, width),):
        raise LocalError("TASK_INPUT_SHAPE", "the parameters do not fit the features")
    model = GradSampleModule(build(arguments.layers, width, received), loss_reduction="sum")
    optimizer = PersonOptimizer(
        torch.optim.SGD(
            model.parameters(),
            lr=float(arguments.learning_rate),
            momentum=float(arguments.momentum),
        ),
        arguments,
        randomness,
    )
    records = (
        torch.from_numpy(features.astype(np.float64)),
        torch.from_numpy(outcome.astype(np.float64)),
    )
    persons = Persons.group(person)
    rate = Fraction(arguments.sampling_rate)
    for _ in range(arguments.local_steps):
        sample = randomness.poisson_sample(len(persons), rate)
        _step(model, optimizer, records, persons, np.array(sample, dtype=np.int64))
    update = (flatten(model) - received.astype(np.float64)).astype(np.float32)
    if not np.isfinite(update).all():
        # Parameters are a function of noisy sums only: this says nothing about a record.
        raise LocalError("TASK_RESULT_NOT_FINITE", "training diverged", "Lower the learning rate")
    return {"update": update}


def _step(
    model: Any,
    optimizer: PersonOptimizer,
    records: tuple[torch.Tensor, torch.Tensor],
    persons: Persons,
    sample: Array,
) -> None:
    """One noisy step; an empty sample is a step of noise alone, as the accountant assumes."""
    chunks = list(_chunks(persons, sample, sum(p.numel() for p in model.parameters())))
    for number, chunk in enumerate(chunks, start=1):
        rows, counts = persons.rows(chunk)
        optimizer.signal_skip_step(do_skip=number < len(chunks))
        optimizer.counts = counts
        _per_sample_gradients(model, records[0][rows], records[1][rows])
        optimizer.step()
        optimizer.zero_grad()


def _chunks(persons: Persons, sample: Array, parameters: int) -> Iterator[Array]:
    """The sample in parts whose per-sample gradients fit in memory; at least one, maybe empty."""
    most_rows = int(persons.counts.max(initial=1))
    size = max(1, _CHUNK_NUMBERS // (parameters * most_rows))
    for start in range(0, max(1, len(sample)), size):
        yield sample[start : start + size]


def _per_sample_gradients(model: Any, features: torch.Tensor, outcome: torch.Tensor) -> None:
    if not len(features):
        for parameter in model.parameters():  # hooks do not run on an empty batch
            parameter.grad_sample = parameter.new_zeros(0, *parameter.shape)
        return
    # Inputs that require gradients keep Opacus' backward hooks on their ordinary path.
    logits = model(features.requires_grad_())
    # The derivative of each row's cross-entropy by its logit, so that no loss is summed over rows.
    scores = torch.from_numpy(rowwise.logistic(logits.detach().numpy()))
    logits.backward(scores - outcome[:, None])


def _to_grid(gradients: torch.Tensor, clipping_norm: float) -> torch.Tensor:
    """Clip float64[persons, p] to `clipping_norm` and round to integers of norm at most `_GRID`.

    Rounding moves a vector by at most sqrt(p)/2, so the float clip stays that much below the
    bound; the bound itself is then checked in integers. A vector that is not finite counts as zero
    (that it is not is the person's private matter: no error).
    """
    finite = gradients.isfinite().all(dim=1, keepdim=True)
    gradients = torch.where(finite, gradients, 0.0)
    room = _GRID - gradients.shape[1] ** 0.5 / 2 - 1
    norms = np.sqrt(rowwise.squared_norms(gradients.numpy()))
    factors = np.minimum(_GRID / clipping_norm, room / np.maximum(norms, 1e-300))
    return _within_sensitivity(
        (gradients * torch.from_numpy(factors)[:, None]).round().to(torch.int64)
    )


def _within_sensitivity(integers: torch.Tensor) -> torch.Tensor:
    """Rows of int64[persons, p] with a squared norm above `_GRID`**2 become zero: no float here."""
    # Checked one by one first: the square of a huge value would wrap around, abs() of -2**63 too.
    small = ((integers >= -_GRID) & (integers <= _GRID)).all(dim=1, keepdim=True)
    integers = torch.where(small, integers, 0)
    squares = (integers * integers).sum(dim=1, keepdim=True)
    return torch.where(squares <= _GRID * _GRID, integers, 0)
