"""Log entries about jobs, as a gate would write them; each test changes one thing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from connector.audit import entries
from policies.decision import Constraint, Decision, Verdict
from policies.policy import Policy
from policies.privacy import SampledGaussian
from policies.request import UsageRequest

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=10)
MECHANISMS = [
    SampledGaussian(Decimal(noise), Decimal(rate), steps)
    for noise, rate, steps in (("4", "0.5", 2), ("8", "0.5", 2), ("10", "1", 1), ("3", "0.25", 5))
]
Plan = dict[str, tuple[SampledGaussian, int]]  # fold -> (mechanism, times)


def decided(
    job: str, plan: Plan, verdict: Verdict = Verdict.ALLOW, **changed: Any
) -> entries.Decided:
    request = UsageRequest(
        job_digest=job,
        permit_digest=changed.get("permit", "permit-1"),
        data_user=changed.get("user", "a university"),
        purpose="urn:research",
        dataset=changed.get("dataset", "north/patients"),
        columns=("age",),
        tasks=("training.logistic",),
        output="model",
        datasets=(changed.get("dataset", "north/patients"), "south/patients"),
        not_after=changed.get("until", NOW + timedelta(days=1)),
    )
    satisfied = {Verdict.ALLOW: True, Verdict.DENY: False, Verdict.UNDETERMINED: None}[verdict]
    return entries.Decided(
        time=changed.get("time", NOW),
        request=request,
        decision=Decision(
            verdict=verdict,
            decided_at=NOW,
            policy_digest="sha256:00",
            request_digest=request.digest,
            permit_digest=request.permit_digest,
            constraints=(
                Constraint(rule="r", basis="b", bound="b", actual="a", satisfied=satisfied),
            ),
        ),
        permit_id=changed.get("permit", "permit-1"),
        permit_document="{}",
        dataset_version="",
        specification="{}",
        planned=tuple(
            entries.Planned(fold=name, mechanism=mechanism.to_json(), times=times)  # type: ignore[arg-type] # names of folds
            for name, (mechanism, times) in plan.items()
        ),
        job_not_after=changed.get("until", NOW + timedelta(days=1)),
    )


def reserved(job: str, fold: str, mechanism: SampledGaussian, number: int = 1) -> entries.Reserved:
    return entries.Reserved(
        time=NOW,
        job=job,
        dataset="north/patients",
        round=number,
        task="training.logistic" if fold == "train" else "evaluation.logistic",
        fold=fold,  # type: ignore[arg-type] # the name of a fold
        mechanism=mechanism.to_json(),
    )


def ended(job: str) -> entries.JobEnded:
    return entries.JobEnded(time=NOW, job=job, reason="finished")


def activated(**changed: Any) -> entries.PolicyActivated:
    known: dict[str, Any] = {
        "id": "north/research",
        "version": 1,
        "dataset": "north/patients",
        "purposes": ("scientific-research",),
        "tasks": ("training.logistic", "evaluation.logistic"),
        "columns": ("age",),
        "outputs": ("model",),
        "minimum_cohort": 10,
        "minimum_participants": 2,
        "epsilon_per_job": "1",
        "budget": {"epsilon": "2", "delta": "0.00001"},
        "not_before": NOW - timedelta(days=1),
        "not_after": NOW + timedelta(days=100),
    }
    return entries.PolicyActivated(
        time=NOW,
        policy=Policy.model_validate(known | changed),
        officers=("alice", "bob"),
        signed_at=NOW,
        signatures=(),
        examples="sha256:e",
    )
