"""What the demo compares its model with: models that need what nobody has, all records at once.

The demo dealt the records out itself, so it may compute these; a coordinator never could.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from connector.features import FeatureMap

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Records:
    """One hospital's people: values as `FeatureMap.apply` takes them, and who is held out."""

    values: Mapping[str, Array]
    holdout: Array


@dataclass(frozen=True)
class Row:
    """One model's figures on the held-out people of all hospitals."""

    name: str
    auc: float
    accuracy: float
    federated: bool = False


def compare(
    records: Mapping[str, Records], features: FeatureMap, parameters: Array, epsilon: str
) -> list[Row]:
    """Each hospital alone, all pooled (both without privacy), and the federated model.

    `parameters` float32[width + 1] of a logistic regression, the bias last.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - only the demo needs it

    train: dict[str, tuple[Array, Array]] = {}
    tests: list[tuple[Array, Array]] = []
    for name, held in records.items():
        inputs, outcome, known = features.apply(held.values)
        train[name] = (inputs[known & ~held.holdout], outcome[known & ~held.holdout])
        tests.append((inputs[known & held.holdout], outcome[known & held.holdout]))
    test = (np.concatenate([x for x, _ in tests]), np.concatenate([y for _, y in tests]))
    pooled = tuple(np.concatenate([part[i] for part in train.values()]) for i in (0, 1))

    def fitted(name: str, inputs: Array, outcome: Array) -> Row:
        model = LogisticRegression(max_iter=1000).fit(inputs, outcome)
        return _row(name, model.decision_function(test[0]), test[1])

    scores = test[0] @ parameters[:-1] + parameters[-1]
    return [
        *(fitted(f"{name} alone, no privacy", *part) for name, part in train.items()),
        fitted("all records in one place, no privacy", *pooled),
        _row(f"this job, epsilon {epsilon}", scores, test[1], federated=True),
    ]


def _row(name: str, scores: Array, outcome: Array, *, federated: bool = False) -> Row:
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415 - as above

    right = float(np.mean((scores > 0) == (outcome > 0)))
    return Row(name, float(roc_auc_score(outcome, scores)), right, federated)
