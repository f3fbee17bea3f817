"""A federated job without transport: the real tasks, arguments, accountant and strategies."""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from connector.features import FeatureMap
from connector.tasks import TASKS
from coordinator.aggregation.strategies import FedAvg
from node.tasks import CATALOGUE
from node.tasks.noise import RandomBits
from policies.privacy import NOTHING, Budget, Cost, calibrate

SHARED_CONSTANTS = {
    "clipping_norm": "1",
    "sampling_rate": "0.5",
    "expected_batch": 100,
    "learning_rate": "1",
    "momentum": "0.8",
}
BINS = 20


@dataclass(frozen=True)
class Fold:
    features: Any
    outcome: Any

    @property
    def person(self) -> Any:
        return np.arange(len(self.outcome), dtype=np.int64)


@dataclass(frozen=True)
class Hospital:
    train: Fold
    holdout: Fold


@dataclass(frozen=True)
class Plan:
    budget: Budget
    rounds: int
    local_steps: int
    evaluations: int = 1

    @property
    def training(self) -> dict[str, Any]:
        steps = self.rounds * self.local_steps
        rate = Decimal(SHARED_CONSTANTS["sampling_rate"])
        noise = calibrate(self.budget.epsilon, self.budget.delta, rate, steps)
        return {
            **SHARED_CONSTANTS,
            "local_steps": self.local_steps,
            "noise_multiplier": f"{noise.normalize():f}",
        }

    @property
    def evaluation(self) -> dict[str, Any]:
        noise = calibrate(self.budget.epsilon, self.budget.delta, steps=self.evaluations)
        return {"noise_multiplier": f"{noise.normalize():f}", "bins": BINS}

    @property
    def cost(self) -> Cost:
        """Of all rounds to any one person in a hospital: training and evaluation are disjoint."""
        training, evaluation = NOTHING, NOTHING
        for _ in range(self.rounds):
            training += TASKS["training.logistic"].mechanism(self.training).cost
        for _ in range(self.evaluations):
            evaluation += TASKS["evaluation.logistic"].mechanism(self.evaluation).cost
        return training.maximum(evaluation)


def encode(features: FeatureMap, columns: dict[str, Any], rows: Any) -> Fold:
    encoded, outcome, known = features.apply({name: v[rows] for name, v in columns.items()})
    assert known.all()
    return Fold(encoded, outcome)


def randomness(seed: int | None) -> RandomBits:
    if seed is None:
        return RandomBits()
    return RandomBits(random.Random(seed).randbytes)  # noqa: S311 - repeatable, in tests only


def run(
    plan: Plan, hospitals: list[Hospital], seed: int | None, task: str = "training.logistic"
) -> Any:
    """The model's parameters after all rounds. No seed: the operating system's randomness."""
    definition = TASKS[task]
    width = hospitals[0].train.features.shape[1]
    arguments = definition.parse(plan.training)
    parameters = definition.initial_parameters(plan.training, width, 0)
    bits = randomness(seed)
    strategy = FedAvg()
    for _ in range(plan.rounds):
        sent = {"parameters": parameters}
        assert definition.accepts(plan.training, width, sent)
        updates = []
        for hospital in hospitals:
            fold = hospital.train
            result = CATALOGUE[task](
                arguments, sent, fold.features, fold.outcome, fold.person, bits
            )
            assert definition.returns(plan.training, width, result)
            updates.append(result["update"])
        strategy, parameters = strategy.step(parameters, updates)
    return parameters


def logits(parameters: Any, features: Any) -> Any:
    return features @ parameters[:-1] + parameters[-1]


def histograms(
    plan: Plan, hospitals: list[Hospital], parameters: Any, seed: int | None
) -> list[Any]:
    task = TASKS["evaluation.logistic"]
    bits = randomness(seed)
    return [
        CATALOGUE[task.name](
            task.parse(plan.evaluation),
            {"parameters": parameters},
            hospital.holdout.features,
            hospital.holdout.outcome,
            hospital.holdout.person,
            bits,
        )["histogram"]
        for hospital in hospitals
    ]
