"""A job's specification that is consistent; each test changes one thing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from connector.features import FeatureMap
from connector.jobs import JobSpec, Strategy, TaskCall
from connector.schema import Column

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
AGE = Column(name="age", kind="numeric", minimum=Decimal(0), maximum=Decimal(120))
DIED = Column(name="died", kind="binary")
TRAINING: dict[str, Any] = {
    "clipping_norm": "1",
    "noise_multiplier": "4.5",
    "sampling_rate": "0.5",
    "local_steps": 2,
    "expected_batch": 10,
    "learning_rate": "1",
    "momentum": "0",
}
EVALUATION: dict[str, Any] = {"noise_multiplier": "10", "bins": 10}


def training(**changed: Any) -> TaskCall:
    return TaskCall(task="training.logistic", arguments=TRAINING | changed)


def evaluation(**changed: Any) -> TaskCall:
    return TaskCall(task="evaluation.logistic", arguments=EVALUATION | changed)


def spec(**changed: Any) -> JobSpec:
    known: dict[str, Any] = {
        "id": "job-1",
        "permit_digest": "sha256:01",
        "data_user": "a university",
        "purpose": "urn:research",
        "datasets": ("north/patients", "south/patients"),
        "features": FeatureMap(columns=(AGE,), outcome=DIED),
        "holdout": Decimal("0.25"),
        "rounds": 3,
        "training": training(),
        "evaluation": evaluation(),
        "evaluation_rounds": (1, 3),
        "strategy": Strategy(name="fedavg"),
        "not_after": NOW + timedelta(days=1),
    }
    return JobSpec(**(known | changed))
