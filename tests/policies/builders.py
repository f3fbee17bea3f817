"""A policy, a permit, a request and facts that fit together; each test changes one thing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from policies import purposes
from policies.permit import Permit
from policies.policy import Policy
from policies.privacy import NOTHING, SampledGaussian
from policies.request import Facts, UsageRequest

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RESEARCH = purposes.by_name("scientific-research").iri
QUIET = SampledGaussian(Decimal(20)).cost


def policy(**changed: Any) -> Policy:
    return Policy.model_validate(
        {
            "id": "north/research",
            "version": 1,
            "dataset": "north/flchain",
            "purposes": ("scientific-research",),
            "tasks": ("training.logistic",),
            "columns": ("age", "died"),
            "outputs": ("model",),
            "minimum_cohort": 100,
            "minimum_participants": 3,
            "epsilon_per_job": "1.0",
            "budget": {"epsilon": "2.0", "delta": "0.00001"},
            "not_before": NOW - timedelta(days=1),
            "not_after": NOW + timedelta(days=1),
        }
        | changed
    )


def permit(**changed: Any) -> Permit:
    return Permit.model_validate(
        {
            "id": "permit-1",
            "issuer": "hdab",
            "state": "granted",
            "data_user": "a university",
            "project": "survival",
            "purpose": RESEARCH,
            "datasets": ("north/flchain", "south/flchain", "east/flchain", "west/flchain"),
            "columns": ("age", "died"),
            "tasks": ("training.logistic",),
            "outputs": ("model",),
            "epsilon": "1.0",
            "delta": "0.00001",
            "minimum_participants": 2,
            "not_before": NOW - timedelta(days=1),
            "not_after": NOW + timedelta(days=1),
        }
        | changed
    )


def request(granted: Permit, **changed: Any) -> UsageRequest:
    return UsageRequest.model_validate(
        {
            "job_digest": "sha256:00",
            "permit_digest": granted.digest,
            "data_user": "a university",
            "purpose": RESEARCH,
            "dataset": "north/flchain",
            "datasets": ("north/flchain", "south/flchain", "east/flchain", "west/flchain"),
            "columns": ("age", "died"),
            "tasks": ("training.logistic",),
            "output": "model",
            "not_after": NOW + timedelta(hours=1),
        }
        | changed
    )


def facts(granted: Permit | None, **changed: Any) -> Facts:
    known: dict[str, Any] = {
        "now": NOW,
        "permit": granted,
        "planned": QUIET,
        "spent_dataset": NOTHING,
        "spent_permit": NOTHING,
        "persons": 100,
    }
    return Facts(**(known | changed))
