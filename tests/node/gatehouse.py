"""A gate, a coordinator that is honest or not, and a stand-in for the worker; no sockets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from connector import messages
from connector.audit import entries
from connector.audit.damage import read_entries
from connector.audit.log import Log
from connector.authoring import instructions
from connector.authoring.instructions import ActivatePolicy, AnswerPermit, Instruction
from connector.authoring.spool import KINDS, Inbox
from connector.errors import LocalError
from connector.features import FeatureMap
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.jobs import JobSpec, Strategy, TaskCall
from node.data.dataset import Dataset
from node.gate import Gate
from node.intake import Intake
from policies import purposes
from policies.permit import Permit
from policies.policy import Policy
from policies.privacy import calibrate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RESEARCH = purposes.by_name("scientific-research").iri
COLUMNS = [
    {"name": "age", "kind": "numeric", "minimum": "0", "maximum": "120"},
    {"name": "died", "kind": "binary"},
]
DATASET = Dataset.model_validate(
    {
        "id": "north/patients",
        "title": "Patients",
        "source": {"kind": "csv", "path": "patients.csv"},
        "person_column": "person",
        "columns": COLUMNS,
    }
)
SCHEMA = DATASET.schema
ALICE, BOB = SigningKey("alice", b"a" * 32), SigningKey("bob", b"b" * 32)
WIDTH = 1


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
            "budget": {"epsilon": "2", "delta": "0.00001"},
            "not_before": NOW - timedelta(days=1),
            "not_after": NOW + timedelta(days=100),
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
            "datasets": ("north/patients", "south/patients"),
            "columns": ("age", "died"),
            "tasks": ("training.logistic", "evaluation.logistic"),
            "outputs": ("model",),
            "epsilon": "2",
            "delta": "0.00001",
            "minimum_participants": 2,
            "not_before": NOW - timedelta(days=1),
            "not_after": NOW + timedelta(days=50),
        }
        | changed
    )


def training(epsilon: str, rounds: int) -> dict[str, Any]:
    noise = calibrate(Decimal(epsilon), Decimal("0.00001"), Decimal("0.5"), rounds * 2)
    return {
        "clipping_norm": "1",
        "noise_multiplier": f"{noise.normalize():f}",
        "sampling_rate": "0.5",
        "local_steps": 2,
        "expected_batch": 10,
        "learning_rate": "1",
        "momentum": "0",
    }


def spec(granted: Permit, *, epsilon: str = "1", rounds: int = 2, **changed: Any) -> JobSpec:
    known: dict[str, Any] = {
        "id": "job-1",
        "permit_digest": granted.digest,
        "data_user": granted.data_user,
        "purpose": granted.purpose,
        "datasets": ("north/patients", "south/patients"),
        "features": FeatureMap(columns=SCHEMA.columns[:1], outcome=SCHEMA.columns[1]),
        "holdout": Decimal("0.25"),
        "rounds": rounds,
        "training": TaskCall(task="training.logistic", arguments=training(epsilon, rounds)),
        "evaluation": TaskCall(
            task="evaluation.logistic", arguments={"noise_multiplier": "10", "bins": 10}
        ),
        "evaluation_rounds": (rounds,),
        "strategy": Strategy(name="fedavg"),
        "not_after": NOW + timedelta(days=1),
    }
    return JobSpec(**(known | changed))


@dataclass
class StandIn:
    """A worker that returns what the test says; it counts its calls."""

    everybody: int = 200
    content: str = "as admitted"
    changed: bool = False
    calls: int = 0
    closed: bool = False
    aborted: bool = False
    result: Callable[[str], dict[str, Any]] | None = None

    def people(self) -> int:
        return self.everybody

    def version(self) -> str:
        return self.content

    def stale(self) -> bool:
        return self.changed

    def abort(self) -> None:
        self.aborted = True

    def call(
        self, task: str, arguments: dict[str, Any], arrays: Any, seconds: float
    ) -> dict[str, Any]:
        del arguments, arrays, seconds
        self.calls += 1
        if self.result is not None:
            return self.result(task)
        if task.startswith("training"):
            return {"update": np.ones(WIDTH + 1, dtype=np.float32)}
        return {"histogram": np.ones((2, 10), dtype=np.int64)}

    def close(self) -> None:
        self.closed = True


@dataclass
class Gatehouse:
    """One node's gate and the coordinator that it has pinned."""

    directory: Path
    own_policy: Policy = field(default_factory=policy)
    key: SigningKey = field(default_factory=lambda: SigningKey("north", b"n" * 32))
    coordinator: SigningKey = field(default_factory=lambda: SigningKey("hdab", b"c" * 32))
    now: datetime = NOW
    worker: StandIn = field(default_factory=StandIn)
    opened: int = 0
    rate: int = 1000
    seconds: float = 0.0
    officers: tuple[SigningKey, ...] = (ALICE, BOB)
    said: list[str] = field(default_factory=list)
    signed: int = 0

    def __post_init__(self) -> None:
        self.hand_in(self.activation(self.own_policy), ALICE, BOB)
        self.start()

    def start(self) -> None:
        self.log = Log.open(self.directory / "log", self.key)
        self.gate = Gate(
            key=self.key,
            coordinator=self.coordinator.verify_key,
            log=self.log,
            intake=Intake(
                "north",
                [officer.verify_key for officer in self.officers],
                [DATASET],
                self.inbox.directory,
                self.said.append,
            ),
            open_worker=self._open,
            clock=lambda: self.now,
            messages_per_minute=self.rate,
            monotonic=lambda: self.seconds,
        )

    def restart(self) -> None:
        """As after a kill: the gate's memory is gone, the log is what it is."""
        self.log.close()
        self.start()

    def close(self) -> None:
        self.gate.close()
        self.log.close()

    @property
    def inbox(self) -> Inbox:
        return Inbox(self.directory / "inbox")

    def activation(self, one: Policy, **changed: Any) -> ActivatePolicy:
        """Signed within the last hour, later than every one before."""
        self.signed += 1
        known: dict[str, Any] = {
            "node": "north",
            "policy": one,
            "examples": "sha256:e",
            "issued_at": self.now - timedelta(hours=1) + timedelta(seconds=self.signed),
        }
        return ActivatePolicy(**(known | changed))

    def answer(self, granted: Permit, *, approved: bool = True, **changed: Any) -> AnswerPermit:
        known: dict[str, Any] = {
            "node": "north",
            "dataset": DATASET.id,
            "permit_id": granted.id,
            "permit_digest": granted.digest,
            "approved": approved,
            "issued_at": self.now,
        }
        return AnswerPermit(**(known | changed))

    def hand_in(self, instruction: Instruction, *by: SigningKey) -> str:
        """Into the inbox, as the officers' commands do."""
        document = instructions.sign(by[0], instruction)
        for second in by[1:]:
            document = documents.countersign(document, type(instruction), by[0].verify_key, second)
        kind = next(name for name, one in KINDS.items() if isinstance(instruction, one))
        return self.inbox.hand_in(kind, instruction.digest, document)

    def activate(self, one: Policy) -> None:
        """Two officers sign, and the running node follows."""
        name = self.hand_in(self.activation(one), ALICE, BOB)
        self.gate.take_in()
        assert not self.inbox.verdict(name), self.said

    def _open(self, dataset: Dataset, job: JobSpec) -> StandIn:
        del dataset, job
        self.opened += 1
        self.worker.closed = self.worker.changed = False
        return self.worker

    def send(
        self, kind: str, body: dict[str, Any], arrays: Any = None, **by: Any
    ) -> dict[str, Any]:
        sender = by.get("sender", self.coordinator)
        sealed = messages.seal(sender, by.get("to", "north"), kind, body, arrays)
        return self.deliver(sealed)

    def deliver(self, sealed: bytes) -> dict[str, Any]:
        answer = self.gate.handle(sealed)
        assert answer is not None
        reply = messages.open_sealed(answer, self.key.verify_key, "hdab")
        assert reply.kind == "reply"
        assert reply.body["in_reply_to"] == messages.digest(sealed)
        return {**reply.body, "arrays": reply.arrays}

    def begin(self, job: JobSpec, granted: Permit, **by: Any) -> dict[str, Any]:
        document = documents.sign(by.get("signer", self.coordinator), granted)
        body = {"permit": document, "specification": job.encode().decode()}
        return self.send("start", body, **by)

    def step(self, job: JobSpec, number: int, task: str, arrays: Any = None) -> dict[str, Any]:
        arrays = {"parameters": np.zeros(WIDTH + 1, np.float32)} if arrays is None else arrays
        return self.send("step", {"job": job.digest, "round": number, "task": task}, arrays)

    def entries(self, kind: type[Any] = entries.Entry) -> list[Any]:
        found = [entries.parse(content) for _, content in read_entries(self.directory / "log")]
        return [entry for entry in found if isinstance(entry, kind)]


def failing(code: str) -> Callable[[str], dict[str, Any]]:
    def fail(_task: str) -> dict[str, Any]:
        raise LocalError(code, "PATIENT 4711 in an exception text")

    return fail
