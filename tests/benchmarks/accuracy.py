"""Accuracy at epsilon 1 with the operating system's randomness, beside the models without privacy.

The same hospitals, split and constants as `tests/node/test_accuracy_*.py`, many runs.
"""

import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "node")]

import numpy as np
import test_accuracy_flchain as flchain
import test_accuracy_heart as heart
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score


def heart_rows(runs: int = 20) -> list[str]:
    """Mean-client accuracy on the four heart hospitals (epsilon 1, delta 1e-4, per person)."""
    if not heart.HEART.is_dir():
        return [f"heart: left out, there is no {heart.HEART}"]
    hospitals = [heart._centre(name) for name in heart.CENTRES]
    figures = [heart.mean_client_accuracy(hospitals, None) for _ in range(runs)]
    row = (
        f"heart, mean-client accuracy, epsilon 1, {runs} runs:"
        f" {statistics.mean(figures):.3f} +- {statistics.stdev(figures):.3f}"
        "  (asked: 0.785; published without privacy, FedAvg: 0.685)"
    )
    return [row]


def flchain_rows(runs: int = 5) -> list[str]:
    """AUC on flchain (epsilon 1, delta 1e-5, per person), five and three rounds."""
    hospitals = flchain.hospitals.__wrapped__()  # type: ignore[attr-defined]
    train, test = (flchain._pooled_folds(hospitals, fold) for fold in ("train", "holdout"))
    model = LogisticRegression(C=100, max_iter=5000).fit(*train)
    pooled = float(roc_auc_score(test[1], model.decision_function(test[0])))
    rows = [f"flchain, AUC, pooled without privacy: {pooled:.4f}"]
    for plan in (flchain.PLAN, flchain.SHORT_PLAN):
        areas = [flchain.federated_auc(plan, hospitals, None) for _ in range(runs)]
        rows.append(
            f"flchain, AUC, epsilon 1, {plan.rounds} rounds, {runs} runs: {np.mean(areas):.4f}"
            f"  ({pooled - np.mean(areas):+.4f} below pooled; asked: at most 0.02)"
        )
    return rows


if __name__ == "__main__":
    for row in (*heart_rows(), *flchain_rows()):
        print(row)
