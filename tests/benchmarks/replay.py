"""Replay of a log of decisions: seconds to read and fold it, to decide all again, to compare."""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from connector.audit import entries
from connector.audit.damage import read_entries
from connector.audit.ledger import Ledger
from connector.audit.log import Log
from connector.audit.order import planned
from connector.audit.replay import Replay
from connector.features import FeatureMap
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.jobs import JobSpec, Strategy, TaskCall
from connector.schema import Column
from policies import engine, purposes
from policies.permit import Permit
from policies.policy import Policy
from policies.privacy import SampledGaussian

START = datetime(2030, 1, 1, tzinfo=UTC)
DATASET = "north/patients"
COLUMNS = tuple(f"x{number}" for number in range(8))
COORDINATOR = SigningKey("hdab", b"c" * 32)
COUNTING = SampledGaussian(Decimal(20))
NOISES = ("1", "1.1", "1.2")
ENDED_AFTER = 20


@dataclass(frozen=True)
class Speed:
    """Decisions per second, and how many differed (none, or the figures mean nothing)."""

    decisions: int
    bytes: int
    reading: float
    evaluating: float
    comparing: float
    differing: int


def measure(decisions: int = 5000) -> Speed:
    """Write a log of that many decisions, and replay it."""
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        directory = Path(name) / "log"
        with Log.open(directory, SigningKey("north", b"n" * 32)) as log:
            batch: list[bytes] = []
            for entry in _history(decisions):
                batch.append(entries.spell(entry))
                if len(batch) == 200:
                    log.append(batch)
                    batch = []
            log.append(batch)
        replay = Replay(COORDINATOR.verify_key)
        for difference in replay.run(read_entries(directory)):
            print(f"entry {difference.index}: {difference.what}")
        return Speed(
            replay.decisions,
            os.path.getsize(directory / "entries"),  # noqa: PTH202 - a number, not a path
            replay.decisions / replay.reading,
            replay.decisions / replay.evaluating,
            replay.decisions / replay.comparing,
            replay.differing,
        )


def _history(decisions: int) -> Iterator[entries.Entry]:
    """What a gate would write: allowed and refused jobs, reservations, ends."""
    ledger, policy = Ledger(), _policy()
    evaluate = engine.compile(policy)
    for entry in _opening(policy):
        ledger.apply(entry)
        yield entry
    permits = [_permit(number) for number in range(40)]
    documents_of = [documents.sign(COORDINATOR, permit) for permit in permits]
    running: list[JobSpec] = []
    for number in range(decisions):
        now = START + timedelta(seconds=number)
        permit = permits[number % len(permits)]
        spec = _spec(number, permit, now)
        facts = ledger.facts(spec, DATASET, policy.digest, permit, now)
        decision = evaluate(spec.request(DATASET), facts).decision()
        decided = entries.Decided(
            time=now,
            request=spec.request(DATASET),
            decision=decision,
            permit_document=documents_of[number % len(permits)],
            permit_id=permit.id,
            dataset_version="hmac-sha256:" + "0" * 64,
            specification=spec.encode().decode(),
            planned=planned(spec),
            job_not_after=spec.not_after,
        )
        for entry in (decided, *_course(spec, decided, running, now)):
            ledger.apply(entry)
            yield entry


def _course(
    spec: JobSpec, decided: entries.Decided, running: list[JobSpec], now: datetime
) -> Iterator[entries.Entry]:
    if decided.decision.verdict == "allow":
        running.append(spec)
        yield entries.Reserved(
            time=now,
            job=spec.digest,
            dataset=DATASET,
            round=1,
            task="training.logistic",
            fold="train",
            mechanism=spec.training.mechanism.to_json(),
        )
    if len(running) > ENDED_AFTER:
        yield entries.JobEnded(time=now, job=running.pop(0).digest, reason="finished")


def _opening(policy: Policy) -> tuple[entries.Entry, ...]:
    return (
        entries.PolicyActivated(
            time=START,
            policy=policy,
            officers=("chief", "officer"),
            examples="sha256:" + "0" * 64,
            signed_at=START,
            signatures=(),
        ),
        entries.Counted(
            time=START,
            dataset=DATASET,
            policy_digest=policy.digest,
            people=2000,
            mechanism=COUNTING.to_json(),
        ),
    )


def _policy() -> Policy:
    return Policy.model_validate(
        {
            "id": "north/research",
            "version": 1,
            "dataset": DATASET,
            "purposes": ("scientific-research",),
            "tasks": ("training.logistic", "evaluation.logistic"),
            "columns": (*COLUMNS, "died"),
            "outputs": ("model",),
            "minimum_cohort": 10,
            "minimum_participants": 2,
            "epsilon_per_job": "5",
            "budget": {"epsilon": "10", "delta": "0.00001"},
            "not_before": START - timedelta(days=1),
            "not_after": START + timedelta(days=100),
        }
    )


def _permit(number: int) -> Permit:
    """Every fifth permit is about other columns or has ended: its jobs are refused."""
    return Permit.model_validate(
        {
            "id": f"permit-{number}",
            "issuer": "hdab",
            "state": "granted",
            "data_user": "a university",
            "project": "survival",
            "purpose": purposes.by_name("scientific-research").iri,
            "datasets": (DATASET, "south/patients"),
            "columns": (*COLUMNS[: 8 if number % 5 else 4], "died"),
            "tasks": ("training.logistic", "evaluation.logistic"),
            "outputs": ("model",),
            "epsilon": "20",
            "delta": "0.00001",
            "minimum_participants": 2,
            "not_before": START - timedelta(days=1),
            "not_after": START + timedelta(days=50 if number % 7 else 1),
        }
    )


def _spec(number: int, permit: Permit, now: datetime) -> JobSpec:
    columns = tuple(
        Column(name=name, kind="numeric", minimum=Decimal(0), maximum=Decimal(9))
        for name in COLUMNS
    )
    return JobSpec(
        id=f"job-{number}",
        permit_digest=permit.digest,
        data_user=permit.data_user,
        purpose=permit.purpose,
        datasets=(DATASET, "south/patients"),
        features=FeatureMap(columns=columns, outcome=Column(name="died", kind="binary")),
        holdout=Decimal("0.25"),
        rounds=3,
        training=TaskCall(
            task="training.logistic",
            arguments={
                "clipping_norm": "1",
                "noise_multiplier": NOISES[number % len(NOISES)],
                "sampling_rate": "0.1",
                "local_steps": 2,
                "expected_batch": 10,
                "learning_rate": "1",
                "momentum": "0",
            },
        ),
        evaluation=TaskCall(
            task="evaluation.logistic", arguments={"noise_multiplier": "50", "bins": 10}
        ),
        evaluation_rounds=(3,),
        strategy=Strategy(name="fedavg"),
        not_after=now + timedelta(days=2),
    )


def main() -> None:
    """Print the three rates."""
    speed = measure()
    print(
        f"{speed.reading:10,.0f} /s  read, checked and folded ({speed.decisions:,} decisions, "
        f"{speed.bytes / 1e6:.0f} MB)"
    )
    print(f"{speed.evaluating:10,.0f} /s  decided again: verdict and outcome of every rule")
    print(f"{speed.comparing:10,.0f} /s  put in words again, and compared word for word")
    print(f"{speed.differing:10,}     decisions differ")


if __name__ == "__main__":
    main()
