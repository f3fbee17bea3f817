"""Models as torch modules, built from validated arguments; parameters travel as one flat vector."""

from typing import Any

import numpy as np
import torch
from torch import nn

from connector.tasks import layer_shapes

Vector = np.ndarray[Any, np.dtype[np.float32]]


def build(hidden: tuple[int, ...], width: int, parameters: Vector) -> nn.Sequential:
    """Logistic regression (no hidden layers) or an MLP with tanh units; one logit per row.

    float64: adding a person changes the shape of a batch, and with it how a library rounds the
    other persons' gradients. In double precision that stays 2**-30 below the grid to which
    gradients are rounded afterwards (`training`), so it does not show in the sum.
    """
    layers: list[nn.Module] = []
    for units, fan_in in layer_shapes(hidden, width):
        if layers:
            layers.append(nn.Tanh())  # bounded activations clip less (Papernot et al. 2021)
        layers.append(nn.Linear(fan_in, units, dtype=torch.float64))
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
