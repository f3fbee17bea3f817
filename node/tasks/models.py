"""Models as torch modules, built from validated arguments; parameters travel as one flat vector.

Layers compute with `node.tasks.rowwise`: a row's logit, and the gradient that comes back for it,
are a function of that row and the parameters alone.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from connector.tasks import layer_shapes
from node.tasks import rowwise

Vector = np.ndarray[Any, np.dtype[np.float32]]


class RowwiseLinear(nn.Linear):
    """`nn.Linear` without a matrix product: float64[n, inputs] to float64[n, units]."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Each row by itself."""
        result: torch.Tensor = _Affine.apply(values, self.weight, self.bias)  # type: ignore[no-untyped-call]  # torch
        return result


class RowwiseTanh(nn.Module):
    """`nn.Tanh`, each element by itself."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Same shape as `values`."""
        result: torch.Tensor = _Tanh.apply(values)  # type: ignore[no-untyped-call]  # torch
        return result


def build(hidden: tuple[int, ...], width: int, parameters: Vector) -> nn.Sequential:
    """Logistic regression (no hidden layers) or an MLP with tanh units; one float64 logit per row.

    Backpropagation reaches each row's inputs; the parameters get no gradient from it. Opacus forms
    theirs per row (`training`), so a sum over records without noise never exists.
    """
    layers: list[nn.Module] = []
    for units, fan_in in layer_shapes(hidden, width):
        if layers:
            layers.append(RowwiseTanh())  # bounded activations clip less (Papernot et al. 2021)
        layers.append(RowwiseLinear(fan_in, units, dtype=torch.float64))
    model = nn.Sequential(*layers)
    nn.utils.vector_to_parameters(
        torch.from_numpy(parameters.astype(np.float64)), model.parameters()
    )
    return model


def flatten(model: nn.Module) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The parameters, float64[p], in the order of `connector.tasks.layer_shapes`."""
    vector: np.ndarray[Any, np.dtype[np.float64]] = (
        nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    )
    return vector


class _Affine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, weights: torch.Tensor, biases: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(weights)
        numbers = (tensor.detach().numpy() for tensor in (values, weights, biases))
        return torch.from_numpy(rowwise.affine(*numbers))

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        (weights,) = ctx.saved_tensors
        if not ctx.needs_input_grad[0]:
            return None, None, None
        returned = rowwise.affine(gradient.detach().numpy(), weights.detach().numpy().T)
        return torch.from_numpy(returned), None, None


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        result = torch.from_numpy(rowwise.tanh(values.detach().numpy()))
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = ctx.saved_tensors[0]
        # Three operations, not torch's one: that is free to fuse them in some kernels only.
        slope = 1 - result * result
        return gradient * slope
