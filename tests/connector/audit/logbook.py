"""One entry of every kind, and a log that makes sense; each test changes one thing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from connector.audit import entries
from connector.audit.order import planned
from connector.authoring import instructions
from connector.authoring.instructions import (
    ActivatePolicy,
    AnswerPermit,
    Instruction,
    RecordDuty,
)
from connector.features import FeatureMap
from connector.identity import documents
from connector.identity.keys import SigningKey, VerifyKey
from connector.jobs import JobSpec, Strategy, TaskCall
from connector.revocation import Revocation
from policies.decision import Constraint, Decision, Verdict
from policies.policy import Policy
from policies.privacy import SampledGaussian
from policies.request import UsageRequest

HDAB = SigningKey("hdab", b"c" * 32)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALICE, BOB = SigningKey("alice", b"a" * 32), SigningKey("bob", b"b" * 32)
_TRAINING = {
    "clipping_norm": "1",
    "noise_multiplier": "1.5",
    "sampling_rate": "0.5",
    "local_steps": 2,
    "expected_batch": 10,
    "learning_rate": "1",
    "momentum": "0",
}
SPEC = JobSpec(
    id="job-1",
    permit_digest="sha256:01",
    data_user="a university",
    purpose="urn:research",
    datasets=("north/patients", "south/patients"),
    features=FeatureMap.model_validate(
        {
            "columns": [{"name": "age", "kind": "numeric", "minimum": "0", "maximum": "120"}],
            "outcome": {"name": "died", "kind": "binary"},
        }
    ),
    holdout=Decimal("0.25"),
    rounds=3,
    training=TaskCall(task="training.logistic", arguments=_TRAINING),
    evaluation=TaskCall(
        task="evaluation.logistic", arguments={"noise_multiplier": "10", "bins": 10}
    ),
    evaluation_rounds=(3,),
    strategy=Strategy(name="fedavg"),
    not_after=NOW + timedelta(days=1),
)
JOB = SPEC.digest
STEP: dict[str, Any] = {
    "job": JOB,
    "dataset": "north/patients",
    "round": 1,
    "task": "training.logistic",
}
MECHANISM = SampledGaussian(Decimal("1.5"), Decimal("0.5"), 2).to_json()
REQUEST = UsageRequest(
    job_digest=JOB,
    permit_digest="sha256:01",
    data_user="a university",
    purpose="urn:research",
    dataset="north/patients",
    columns=("age",),
    tasks=("training.logistic",),
    output="model",
    datasets=("north/patients", "south/patients"),
    not_after=NOW + timedelta(days=1),
)
POLICY = Policy.model_validate(
    {
        "id": "north/research",
        "version": 1,
        "dataset": "north/patients",
        "purposes": ("scientific-research",),
        "tasks": ("training.logistic",),
        "columns": ("age",),
        "outputs": ("model",),
        "minimum_cohort": 10,
        "minimum_participants": 2,
        "epsilon_per_job": "1",
        "budget": {"epsilon": "2", "delta": "0.00001"},
        "not_before": NOW,
        "not_after": NOW + timedelta(days=100),
    }
)


def after(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def decision(*satisfied: bool | None, verdict: Verdict, **changed: Any) -> Decision:
    known: dict[str, Any] = {
        "verdict": verdict,
        "decided_at": NOW,
        "policy_digest": POLICY.digest,
        "request_digest": REQUEST.digest,
        "permit_digest": REQUEST.permit_digest,
        "constraints": tuple(
            Constraint(rule=f"rule.{n}", basis="b", bound="b", actual="a", satisfied=one)
            for n, one in enumerate(satisfied)
        ),
    }
    return Decision(**(known | changed))


def followed(instruction: Instruction, time: datetime, *by: SigningKey) -> Any:
    """The entry of an instruction that each of these has signed, whoever they are."""
    signatures: dict[VerifyKey, str] = {}
    for key in by:
        text, own = documents.sign(key, instruction), (key.verify_key,)
        signatures.update(documents.verify_all(text, type(instruction), own)[1])
    return instructions.entry(instruction, signatures, time)


def activated(
    seconds: int = 0, *by: SigningKey, policy: Policy = POLICY
) -> entries.PolicyActivated:
    """An activation, signed by Alice and Bob if by nobody else."""
    instruction = ActivatePolicy(
        node="north", policy=policy, examples="sha256:e", issued_at=after(seconds)
    )
    entry: entries.PolicyActivated = followed(instruction, after(seconds), *(by or (ALICE, BOB)))
    return entry


def answered(
    seconds: int = 0, *by: SigningKey, approved: bool = True, **changed: Any
) -> entries.Approved:
    """An answer, signed by Alice if by nobody else; `changed` before that."""
    known: dict[str, Any] = {
        "node": "north",
        "dataset": "north/patients",
        "permit_id": "permit-1",
        "permit_digest": "sha256:01",
        "issued_at": after(seconds),
    }
    instruction = AnswerPermit(approved=approved, **(known | changed))
    entry: entries.Approved = followed(instruction, after(seconds), *(by or (ALICE,)))
    return entry


def recorded(step: str, seconds: int = 0, **changed: Any) -> Any:
    """A record of a duty, signed by Bob; `changed` before that."""
    known: dict[str, Any] = {
        "node": "north",
        "step": step,
        "permit_id": "permit-1",
        "duty": "ehds.art61.results",
        "evidence": "sha256:" + "0" * 64,
        "issued_at": after(seconds),
    }
    return followed(RecordDuty(**(known | changed)), after(seconds), BOB)


def decided(seconds: int = 0, **changed: Any) -> entries.Decided:
    known: dict[str, Any] = {
        "time": after(seconds),
        "request": REQUEST,
        "decision": decision(True, verdict=Verdict.ALLOW),
        "permit_id": "permit-1",
        "permit_document": "{}",
        "dataset_version": "",
        "specification": SPEC.encode().decode(),
        "planned": planned(SPEC),
        "job_not_after": SPEC.not_after,
    }
    if seconds:
        known["decision"] = known["decision"].model_copy(update={"decided_at": after(seconds)})
    return entries.Decided(**(known | changed))


def reserved(seconds: int = 0, **changed: Any) -> entries.Reserved:
    known = {"time": after(seconds), "fold": "train", "mechanism": MECHANISM, **STEP}
    return entries.Reserved(**(known | changed))


def released(seconds: int = 0, **changed: Any) -> entries.Released:
    known = {
        "time": after(seconds),
        "message": "sha256:02",
        "size": 100,
        "destination": "hdab",
        **STEP,
    }
    return entries.Released(**(known | changed))


def revoked(seconds: int = 0, **changed: Any) -> entries.PermitRevoked:
    """A statement and the entry that repeats it; `changed` is of the entry alone."""
    said = {
        "permit_id": "permit-1",
        "permit_digest": "sha256:01",
        "effect": "revoked",
        "reason": "non-compliance",
    }
    statement = Revocation.model_validate(said | {"revoked_at": NOW})
    known: dict[str, Any] = {
        "time": after(seconds),
        **said,
        "actor": HDAB.verify_key.vkey,
        "document": documents.sign(HDAB, statement),
    }
    return entries.PermitRevoked(**(known | changed))


CONTRACT: dict[str, Any] = {
    "process": "urn:uuid:1",
    "process_kind": "negotiation",
    "counterparty": "hdab",
    "dataset": "north/patients",
    "agreement": "urn:uuid:2",
}


def one_of_each() -> list[entries.Entry]:
    time = {"time": NOW}
    step = {"job": JOB, "round": 1, "task": "training.logistic"}
    return [
        entries.Enrolled(
            **time,
            participant="north",
            coordinator="hdab",
            membership_digest="m",
            not_after=after(9),
        ),
        entries.Revoked(**time, participant="north", signing_key="north+1234abcd+AQID"),
        activated(),
        answered(),
        entries.Counted(
            **time, dataset="north/patients", policy_digest="p", people=90, mechanism=MECHANISM
        ),
        entries.PermitIssued(**time, permit_digest="p", document="{}"),
        decided(),
        reserved(),
        released(),
        entries.Refused(**time, job=JOB, code="NOT_ALLOWED", rules=("ehds.art54.c",)),
        entries.Failed(**time, **step, code="WORKER_DIED"),
        entries.JobStarted(**time, job=JOB, permit_digest="p", participants=("north", "south")),
        entries.JobEnded(**time, job=JOB, reason="finished"),
        entries.Received(**time, **step, sender="north", message="m"),
        entries.Labelled(**time, job=JOB, subject="s", label_digest="l"),
        entries.Reviewed(**time, job=JOB, subject="s", reviewer="Dr. A", verdict="approved"),
        entries.ContractMoved(
            **time,
            **CONTRACT,
            peer_process="urn:uuid:3",
            role="provider",
            permit_digest="sha256:" + "1" * 64,
            before="VERIFIED",
            after="FINALIZED",
            by="provider",
            reasons=("policy.budget",),
        ),
        entries.ContractJudged(
            **time,
            **CONTRACT,
            moment="request",
            answer="deny",
            reasons=("PERMIT_MISSING",),
        ),
        entries.AgreementEnded(
            **time,
            counterparty="hdab",
            dataset="north/patients",
            agreement="urn:uuid:2",
            role="provider",
            reasons=("ehds.art63.revoked",),
        ),
        entries.ContractRefused(
            **time, caller="", place="/negotiations/request", code="DSP_UNAUTHENTICATED"
        ),
        entries.ContractUndelivered(
            **time,
            process="urn:uuid:1",
            counterparty="hdab",
            message="ContractAgreementMessage",
            code="SILENCE",
        ),
        entries.Pulled(
            **time,
            artefact="sha256:01",
            recipient="did:web:hospital.example",
            first=0,
            size=10,
            transfer="urn:uuid:1",
            agreement="urn:uuid:2",
        ),
        recorded("began", duty="ehds.art61.finding", days=5),
        recorded("extended", until=NOW.date()),
        recorded("done"),
        revoked(),
        entries.Incident(**time, code="CLOCK_WENT_BACK"),
    ]
