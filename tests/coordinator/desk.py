"""A coordinator's desk without sockets: an office in a directory, and hospitals in memory.

The hospitals hold real keys and speak in sealed messages; what one of them answers to a step can
be replaced by anything at all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

import numpy as np

from connector import messages
from connector.audit import entries
from connector.errors import LocalError, RemoteError
from connector.features import FeatureMap
from connector.flower import FleetReply
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.jobs import JobSpec, Strategy, TaskCall, parse_spec
from connector.messages import Message
from connector.schema import Column, Schema
from coordinator.jobs.exchange import Member
from policies import purposes
from policies.permit import Permit

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HDAB = SigningKey("hdab", b"c" * 32)
AGE = Column(name="age", kind="numeric", minimum=Decimal(0), maximum=Decimal(120), unit="years")
WEIGHT = Column(
    name="weight", kind="numeric", minimum=Decimal(1), maximum=Decimal(300), nullable=True
)
DIED = Column(name="died", kind="binary")
NAMES = ("east", "north", "south")
PARAMETERS = 2  # a logistic regression on age: one weight and the bias
BINS = 10


def permit(**changed: Any) -> Permit:
    return Permit.model_validate(
        {
            "id": "permit-1",
            "issuer": "hdab",
            "state": "granted",
            "data_user": "a university",
            "project": "survival",
            "purpose": purposes.by_name("scientific-research").iri,
            "datasets": tuple(f"{name}/patients" for name in NAMES),
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


def training(**changed: Any) -> TaskCall:
    arguments = {
        "clipping_norm": "1",
        "noise_multiplier": "5.5",
        "sampling_rate": "0.5",
        "local_steps": 2,
        "expected_batch": 10,
        "learning_rate": "1",
        "momentum": "0",
    }
    return TaskCall(task="training.logistic", arguments=arguments | changed)


def evaluation(**changed: Any) -> TaskCall:
    arguments = {"noise_multiplier": "10", "bins": BINS}
    return TaskCall(task="evaluation.logistic", arguments=arguments | changed)


def spec(**changed: Any) -> JobSpec:
    known: dict[str, Any] = {
        "id": "job-1",
        "permit_digest": permit().digest,
        "data_user": "a university",
        "purpose": permit().purpose,
        "datasets": permit().datasets,
        "features": FeatureMap(columns=(AGE,), outcome=DIED),
        "holdout": Decimal("0.25"),
        "rounds": 3,
        "training": training(),
        "evaluation": evaluation(),
        "evaluation_rounds": (3,),
        "strategy": Strategy(name="fedavg"),
        "round_seconds": 5,
        "not_after": NOW + timedelta(days=1),
    }
    return JobSpec(**(known | changed))


def offer(dataset: str, *columns: Column, **changed: Any) -> dict[str, Any]:
    """What a node describes: its dataset, and its policy without the budget."""
    return {
        "dataset": dataset,
        "title": "patients",
        "schema": Schema(columns=columns or (AGE, WEIGHT, DIED)).model_dump(mode="json"),
        "policy": {
            "id": "research",
            "version": 1,
            "dataset": dataset,
            "purposes": ["scientific-research"],
            "tasks": ["training.logistic"],
            "columns": ["age", "weight", "died"],
            "outputs": ["model"],
            "minimum_cohort": 50,
            "minimum_participants": 3,
            "epsilon_per_job": "1.0",
            "hours_per_job": 24,
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2027-01-01T00:00:00Z",
        },
    } | changed


Answering = Callable[["Hospital", Message, str], FleetReply | None]


@dataclass
class Hospital:
    """One node. `answers[(kind or task, how many-th of it)]` replaces an honest answer."""

    name: str
    number: int
    answers: dict[tuple[str, int], Answering] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    offline: bool = False
    sealed: list[bytes] = field(default_factory=list)

    @property
    def key(self) -> SigningKey:
        return SigningKey(self.name, bytes([self.number]) * 32)

    @property
    def member(self) -> Member:
        return Member(self.name, self.key.verify_key, self.number)

    def answer(self, payload: bytes) -> FleetReply | None:
        message = messages.open_sealed(payload, HDAB.verify_key, self.name)
        what = message.body["task"] if message.kind == "step" else message.kind
        self.asked.append(what)
        honest: Answering = Hospital.honest
        answering = self.answers.get((what, self.asked.count(what)), honest)
        return answering(self, message, messages.digest(payload))

    def honest(self, message: Message, reference: str) -> FleetReply:
        if message.kind == "start":
            assert documents.verify(message.body["permit"], Permit, HDAB.verify_key)
            assert parse_spec(message.body["specification"].encode())
        elif message.kind == "step":
            assert message.arrays["parameters"].shape == (PARAMETERS,)
            return self.reply(reference, **self.result(message.body["task"]))
        return self.reply(reference)

    def result(self, task: str) -> dict[str, Any]:
        if task.startswith("training"):
            return {"update": np.array([self.number, -0.5 * self.number], np.float32)}
        return {"histogram": np.arange(2 * BINS).reshape(2, BINS) * self.number}

    def reply(
        self, reference: str, kind: str = "reply", body: Any = None, **arrays: Any
    ) -> FleetReply:
        said = {"in_reply_to": reference, "status": "ok"} | (body or {})
        sealed = messages.seal(self.key, "hdab", kind, said, arrays)
        self.sealed.append(sealed)
        return FleetReply(sealed)


class Road:
    """Stands in for `FleetRun`: whoever answers at all has answered at once."""

    def __init__(self, hospitals: Iterable[Hospital]) -> None:
        self.hospitals = {hospital.number: hospital for hospital in hospitals}
        self.arrived: dict[str, FleetReply] = {}
        self.sent: list[bytes] = []
        self.withdrawn: list[str] = []
        self.closed = False
        self.arriving = False  # who is offline comes when somebody waits
        self.patience = 0.0
        self.on_send: Callable[[], None] = lambda: None

    def send(self, node_id: int, payload: bytes, *, urgent: bool = False) -> str:
        del urgent
        self.on_send()
        if self.closed:
            raise LocalError("RUN_CLOSED", "the run that this message belongs to has ended")
        hospital = self.hospitals[node_id]
        if hospital.offline:
            raise RemoteError("NODE_OFFLINE", f"node {node_id} has never connected")
        self.sent.append(payload)
        reply = hospital.answer(payload)
        message_id = f"message-{len(self.sent)}"
        if reply is not None:
            self.arrived[message_id] = reply
        return message_id

    def wait(self, message_ids: Iterable[str], timeout: float, *, count: int | None = None) -> bool:
        assert timeout >= 0
        wanted = set(message_ids)
        return len(wanted & self.arrived.keys()) >= (len(wanted) if count is None else count)

    def replies(self, message_ids: Iterable[str]) -> dict[str, FleetReply]:
        return {one: self.arrived[one] for one in message_ids if one in self.arrived}

    def withdraw(self, message_ids: Iterable[str]) -> None:
        self.withdrawn.extend(message_ids)

    def wait_online(self, node_ids: Iterable[int], timeout: float) -> bool:
        self.patience = timeout
        for node_id in node_ids:
            self.hospitals[node_id].offline = self.hospitals[node_id].offline and not self.arriving
        return not any(self.hospitals[node_id].offline for node_id in node_ids)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


@dataclass
class Notes:
    """What was told to people and written into the log."""

    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    log: list[entries.Entry] = field(default_factory=list)

    def event(self, kind: str, body: dict[str, Any]) -> None:
        self.told.append((kind, body))

    def record(self, entry: entries.Entry) -> None:
        assert entries.parse(entry.encode()) == entry
        self.log.append(entry)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [body for told, body in self.told if told == kind]

    def entries(self, kind: type[Any]) -> list[Any]:
        return [entry for entry in self.log if isinstance(entry, kind)]


def hospitals(*names: str) -> dict[str, Hospital]:
    return {name: Hospital(name, number) for number, name in enumerate(names or NAMES, start=1)}


def refuse(code: str, *rules: str, status: str = "refused") -> Answering:
    def answer(hospital: Hospital, _message: Message, reference: str) -> FleetReply:
        return hospital.reply(
            reference, body={"status": status, "code": code, "rules": list(rules)}
        )

    return answer


def silence(_hospital: Hospital, _message: Message, _reference: str) -> None:
    return None
