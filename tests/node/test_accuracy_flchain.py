"""AUC on flchain, dealt to four simulated hospitals of different age, at epsilon 1 per hospital."""

import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from federated_run import BINS, Hospital, Plan, encode, histograms, logits, run

from connector import scores
from connector.features import FeatureMap
from policies.privacy import NOTHING, Budget, epsilon

datasets = pytest.importorskip("sksurv.datasets", reason="scikit-survival is not installed")
roc_auc_score = pytest.importorskip("sklearn.metrics").roc_auc_score
LogisticRegression = pytest.importorskip("sklearn.linear_model").LogisticRegression

TEN_YEARS = 3652.5
BUDGET = Budget(Decimal(1), Decimal("0.00001"))
PLAN = Plan(BUDGET, rounds=5, local_steps=4)
SHORT_PLAN = Plan(BUDGET, rounds=3, local_steps=6)

# Choices of a schema, not fits: the study enrolled people of 50 and over from 1995 to 2003; ranges
# of creatinine and free light chains in mg/dl as a laboratory would print them, beyond which values
# are clipped; flc.grp is a decile group by definition.
FEATURES = FeatureMap.model_validate(
    {
        "columns": [
            {"name": "age", "kind": "numeric", "minimum": "50", "maximum": "100"},
            {"name": "male", "kind": "binary"},
            {
                "name": "creatinine",
                "kind": "numeric",
                "minimum": "0",
                "maximum": "5",
                "nullable": True,
            },
            {"name": "kappa", "kind": "numeric", "minimum": "0", "maximum": "10"},
            {"name": "lambda", "kind": "numeric", "minimum": "0", "maximum": "10"},
            {"name": "flc_grp", "kind": "numeric", "minimum": "1", "maximum": "10"},
            {"name": "sample_yr", "kind": "numeric", "minimum": "1995", "maximum": "2003"},
            {"name": "mgus", "kind": "binary"},
        ],
        "outcome": {"name": "died_within_ten_years", "kind": "binary"},
    }
)


def _columns() -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how the package reads its own file is not ours to judge
        table, survival = datasets.load_flchain()
    known = survival["death"] | (survival["futime"] >= TEN_YEARS)
    numbers = {
        name: table[source].astype(float).to_numpy()[known]
        for name, source in {
            "age": "age",
            "creatinine": "creatinine",
            "kappa": "kappa",
            "lambda": "lambda",
            "flc_grp": "flc.grp",
            "sample_yr": "sample.yr",
        }.items()
    }
    died = survival["death"] & (survival["futime"] < TEN_YEARS)
    return {
        **numbers,
        "male": (table["sex"] == "M").to_numpy(dtype=float)[known],
        "mgus": (table["mgus"] == "yes").to_numpy(dtype=float)[known],
        "died_within_ten_years": died[known].astype(float),
    }


@pytest.fixture(scope="module")
def hospitals() -> list[Hospital]:
    columns = _columns()
    generator = np.random.default_rng(0)
    # Rank by age with noise, cut: each hospital has its own mix of ages, none a clean band.
    ranks = np.argsort(np.argsort(columns["age"] + generator.normal(0, 12, len(columns["age"]))))
    ward = np.digitize(ranks / len(ranks), (0.3, 0.55, 0.8))
    dealt = []
    for number in range(4):
        rows = generator.permutation(np.flatnonzero(ward == number))
        held_out = len(rows) // 4
        dealt.append(
            Hospital(
                encode(FEATURES, columns, rows[held_out:]),
                encode(FEATURES, columns, rows[:held_out]),
            )
        )
    return dealt


def _pooled_folds(hospitals: list[Hospital], fold: str) -> tuple[Any, Any]:
    folds = [getattr(hospital, fold) for hospital in hospitals]
    return (
        np.concatenate([f.features for f in folds]),
        np.concatenate([f.outcome for f in folds]),
    )


@pytest.fixture(scope="module")
def pooled_auc(hospitals: list[Hospital]) -> float:
    """The pooled model without privacy, on the same split and inputs."""
    model = LogisticRegression(C=100, max_iter=5000).fit(*_pooled_folds(hospitals, "train"))
    features, outcome = _pooled_folds(hospitals, "holdout")
    return float(roc_auc_score(outcome, model.decision_function(features)))


def federated_auc(plan: Plan, hospitals: list[Hospital], seed: int | None) -> float:
    features, outcome = _pooled_folds(hospitals, "holdout")
    return float(roc_auc_score(outcome, logits(run(plan, hospitals, seed), features)))


def test_the_dealt_people_are_those_with_a_known_outcome(hospitals: list[Hospital]) -> None:
    people = sum(len(h.train.outcome) + len(h.holdout.outcome) for h in hospitals)
    assert people == 6834
    rates = [float(h.train.outcome.mean()) for h in hospitals]
    assert rates == sorted(rates)
    assert rates[-1] > 3 * rates[0]  # the hospitals do differ


@pytest.mark.parametrize("plan", [PLAN, SHORT_PLAN], ids=["five-rounds", "three-rounds"])
def test_the_whole_job_costs_each_person_at_most_epsilon_one(plan: Plan) -> None:
    assert BUDGET.admits(NOTHING, plan.cost)
    assert Decimal("0.9") < epsilon(plan.cost, BUDGET.delta) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("plan", [PLAN, SHORT_PLAN], ids=["five-rounds", "three-rounds"])
def test_auc_at_epsilon_one_is_close_to_the_pooled_model_without_privacy(
    hospitals: list[Hospital], pooled_auc: float, plan: Plan
) -> None:
    assert pooled_auc > 0.82
    areas = [federated_auc(plan, hospitals, seed) for seed in range(5)]
    assert np.mean(areas) >= pooled_auc - 0.02


def test_the_noisy_histogram_tells_the_auc_within_its_stated_noise(
    hospitals: list[Hospital],
) -> None:
    parameters = run(PLAN, hospitals, seed=1)
    features, outcome = _pooled_folds(hospitals, "holdout")
    exact = roc_auc_score(outcome, logits(parameters, features))
    noise = float(PLAN.evaluation["noise_multiplier"]) * len(hospitals) ** 0.5
    area = scores.auc(scores.total(histograms(PLAN, hospitals, parameters, seed=2)), noise)
    assert area is not None
    assert 0 < area.noise < 0.03
    assert abs(area.value - exact) < 4 * area.noise + 1 / BINS**2
