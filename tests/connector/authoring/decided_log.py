"""A log with real decisions: an active policy, a count, and jobs that it allowed and refused."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector.audit import entries
from connector.audit.ledger import Ledger
from connector.audit.log import Log
from connector.audit.order import planned
from connector.features import FeatureMap
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.jobs import JobSpec, Strategy, TaskCall
from connector.schema import Column
from policies import engine, purposes
from policies.permit import Permit
from policies.policy import Policy
from policies.privacy import SampledGaussian

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
RESEARCH = purposes.by_name("scientific-research").iri
DATASETS = ("north/patients", "south/patients", "west/patients")
COLUMNS = {
    name: Column(name=name, kind="numeric", minimum=Decimal(0), maximum=Decimal(120))
    for name in ("age", "weight")
}
PERMIT = Permit.model_validate(
    {
        "id": "permit-1",
        "issuer": "hdab",
        "state": "granted",
        "data_user": "a university",
        "project": "survival",
        "purpose": RESEARCH,
        "datasets": DATASETS,
        "columns": ("age", "weight", "died"),
        "tasks": ("training.logistic", "evaluation.logistic"),
        "outputs": ("model",),
        "epsilon": "10",
        "delta": "0.00001",
        "minimum_participants": 1,
        "not_before": NOW - timedelta(days=10),
        "not_after": NOW + timedelta(days=100),
    }
)
TRAINING = {
    "clipping_norm": "1",
    "noise_multiplier": "40",
    "sampling_rate": "0.5",
    "local_steps": 2,
    "expected_batch": 10,
    "learning_rate": "1",
    "momentum": "0",
}


def policy(**changed: Any) -> Policy:
    return Policy.model_validate(
        {
            "id": "north/research",
            "version": 1,
            "dataset": "north/patients",
            "purposes": ("scientific-research",),
            "tasks": ("training.logistic", "evaluation.logistic"),
            "columns": ("age", "died"),
            "outputs": ("model",),
            "minimum_cohort": 10,
            "minimum_participants": 2,
            "epsilon_per_job": "1",
            "budget": {"epsilon": "3", "delta": "0.00001"},
            "not_before": NOW - timedelta(days=30),
            "not_after": NOW + timedelta(days=300),
        }
        | changed
    )


def spec(number: int, *columns: str, hospitals: int = 3) -> JobSpec:
    return JobSpec(
        id=f"job-{number}",
        permit_digest=PERMIT.digest,
        data_user=PERMIT.data_user,
        purpose=PERMIT.purpose,
        datasets=DATASETS[:hospitals],
        features=FeatureMap(
            columns=tuple(COLUMNS[name] for name in columns),
            outcome=Column(name="died", kind="binary"),
        ),
        holdout=Decimal("0.25"),
        rounds=3,
        training=TaskCall(task="training.logistic", arguments=TRAINING),
        evaluation=TaskCall(
            task="evaluation.logistic", arguments={"noise_multiplier": "40", "bins": 10}
        ),
        evaluation_rounds=(3,),
        strategy=Strategy(name="fedavg"),
        not_after=NOW + timedelta(days=1),
    )


# Allowed; a column too many; allowed; one hospital alone.
SPECS = (
    spec(1, "age"), spec(2, "age", "weight"), spec(3, "age", hospitals=2),
    spec(4, "age", hospitals=1),
)  # fmt: skip


def history() -> Iterator[entries.Entry]:
    ledger, active = Ledger(), policy()
    evaluate = engine.compile(active)
    document = documents.sign(SigningKey("hdab", b"h" * 32), PERMIT)
    first: tuple[entries.Entry, ...] = (
        entries.PolicyActivated(
            time=NOW, policy=active, officers=("a+00000000+AAAA",), examples="sha256:e",
            signed_at=NOW, signatures=(),
        ),
        entries.Counted(
            time=NOW, dataset=active.dataset, policy_digest=active.digest, people=400,
            mechanism=SampledGaussian(Decimal(100)).to_json(),
        ),
    )  # fmt: skip
    for entry in first:
        ledger.apply(entry)
        yield entry
    for minute, one in enumerate(SPECS, 1):
        now = NOW + timedelta(minutes=minute)
        request = one.request(active.dataset)
        facts = ledger.facts(one, active.dataset, active.digest, PERMIT, now)
        decided = entries.Decided(
            time=now,
            request=request,
            decision=evaluate(request, facts).decision(),
            permit_document=document,
            permit_id=PERMIT.id,
            dataset_version="v",
            specification=one.encode().decode(),
            planned=planned(one),
            job_not_after=one.not_after,
        )
        ledger.apply(decided)
        yield decided


def write_log(directory: Path) -> Path:
    with Log.open(directory / "log", SigningKey("north", b"n" * 32)) as log:
        log.append([entries.spell(entry) for entry in history()])
    return directory
