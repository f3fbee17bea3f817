"""No record leaves: markers in every field of a node's records are in nothing it sends or keeps."""

import base64
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canaries import NUMBERS, TEXTS, UNDECLARED_NUMBER, found, in_files
from dataspace import EXAMPLES, NAMES, NODE, DataSpace, hospital, patients

from connector import messages
from connector.audit.log import Log
from connector.clock import utc_now
from connector.errors import LocalError
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.jobs import JobSpec
from connector.protocol import Offer
from coordinator.jobs import plan
from coordinator.sandbox import Hospital, Sandbox
from node import config
from node.config import Paths
from node.gate import Gate
from node.intake import Intake
from node.service import Service
from policies import purposes
from policies.permit import Permit

VICTIM = NAMES[0]
PERSON, SEX, WARD, DIED, REMARK, AGE = TEXTS
RECORDS = ("patients.csv", "unreadable.csv", "ragged.csv", "headless.csv", "quoted.csv")
BROKEN = {
    "unreadable": "VALUE_UNREADABLE",
    "ragged": "ROW_RAGGED",
    "headless": "COLUMN_MISSING",
    "quoted": "FILE_UNREADABLE",
}


def marked_hospital() -> Hospital:
    """Records with a marker in every field, and four more datasets that break in reading."""
    plain = hospital(VICTIM, invalid="0.2")
    policy = str(plain.files["policy.toml"])
    files: dict[str, str] = {"node.toml": str(plain.files["node.toml"]), "patients.csv": marked()}
    lines = marked().splitlines(keepends=True)
    broken = {
        "unreadable": marked(age=AGE),
        "ragged": "".join([*lines[:9], lines[9].strip() + f",{REMARK}\n", *lines[10:]]),
        "headless": "".join(lines[1:]),
        "quoted": "".join([*lines[:9], f'"{PERSON}" {REMARK}"," {AGE}\n', *lines[10:]]),
    }
    table = NODE[NODE.index("[[datasets]]") :].format(name=VICTIM, invalid="0.0")
    for name, records in broken.items():
        files["node.toml"] += (
            table.replace("/patients", f"/{name}")
            .replace("patients.csv", f"{name}.csv")
            .replace("policy.toml", f"{name}.toml")
        )
        files[f"{name}.csv"] = records
        files[f"{name}.toml"] = policy.replace("/patients", f"/{name}")
        files[f"{name}.examples.toml"] = EXAMPLES
    return Hospital(VICTIM, files | {"policy.toml": policy, "policy.examples.toml": EXAMPLES})


def marked(age: str = "") -> str:
    """The records. Some sexes, wards and outcomes are no declared value: they count as missing."""
    rows = patients(VICTIM)
    for number, row in enumerate(rows):
        row |= {"person": f"{PERSON}{number}", "age": NUMBERS[number % len(NUMBERS)]}
        row["remark"] = f"{REMARK} {UNDECLARED_NUMBER}"
    for number, (name, text) in enumerate((("sex", SEX), ("ward", WARD), ("died", DIED))):
        rows[3 + number][name] = rows[250 + number][name] = text
    if age:
        rows[200]["age"] = age
    header = ",".join(rows[0])
    return "\n".join([header, *(",".join(row.values()) for row in rows), ""])


@dataclass
class After:
    """A data space after jobs of every outcome, and what was printed on the way."""

    sandbox: Sandbox
    printed: str


@pytest.fixture(scope="module")
def marked_space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[After]:
    """One hospital's records are marked."""
    with Sandbox(tmp_path_factory.mktemp("space")) as sandbox:
        space = DataSpace(sandbox, tmp_path_factory.mktemp("texts"))
        space.open([marked_hospital(), *(hospital(name) for name in NAMES[1:])])
        space.permit("permit-1")
        space.permit("permit-ads", purpose="advertising")
        finished = space.submit("job-1", "permit-1", "0.5")
        assert finished.code == 0, finished
        refused = space.submit("job-ads", "permit-ads", "0.1")
        assert refused.code == 1, refused
        space.permit("permit-unreadable", dataset="unreadable", hospitals=3)
        failing = space.submit("job-failing", "permit-unreadable", "0.3", dataset="unreadable")
        assert f"{VICTIM} refuses: " in failing.output, failing
        assert "[VALUE_UNREADABLE]" in sandbox.output(VICTIM), "its own console says why"
        checked = sandbox.attempt("node", "check", str(sandbox.directory(VICTIM)))
        assert "[VALUE_UNREADABLE]" in checked.errors, checked
        yield After(sandbox, str((finished, refused, failing, checked)))


@pytest.mark.slow
def test_nothing_that_processes_print_write_or_store_holds_a_marker(marked_space):
    sandbox = marked_space.sandbox
    assert found(marked_space.printed.encode()) == []
    assert in_files(sandbox.root, but=RECORDS) == {}, "while all are running"
    for name in (*NAMES, "coordinator"):
        sandbox.stop(name)
    searched = {path.name for path in sandbox.root.rglob("*") if path.is_file()}
    assert {"coordinator.db", "entries", "journal", "model.cmf", f"{VICTIM}.out"} <= searched
    assert in_files(sandbox.root, but=RECORDS) == {}, "after all have been stopped"
    assert in_files(sandbox.directory(VICTIM)), "the records themselves are where they were"


@dataclass
class Door:
    """One node's real gate with real workers, in this process; keeps every byte that comes out."""

    directory: Path
    open_worker: Callable[..., Any] | None = None
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paths = Paths(self.directory)
        self.coordinator = SigningKey("hdab", b"c" * 32)
        self.key = SigningKey(VICTIM, b"n" * 32)
        if not self.paths.signing_key.exists():
            self.key.save(self.paths.signing_key)
        settings = config.load(self.paths)
        self.said: list[str] = []
        real = Service(self.paths, self.said.append)._worker_opener(settings)
        self.workers: list[Any] = []
        self.log = Log.open(self.paths.log, self.key)
        self.gate = Gate(
            key=self.key,
            coordinator=self.coordinator.verify_key,
            log=self.log,
            intake=Intake(
                VICTIM,
                settings.officer_keys,
                config.datasets(self.paths, settings),
                self.paths.inbox,
                self.said.append,
            ),
            open_worker=lambda *job: self.keep((self.open_worker or real)(*job)),
            clock=utc_now,
        )

    def keep(self, worker: Any) -> Any:
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        self.gate.close()
        self.log.close()

    def given_out(self) -> bytes:
        """Every sealed message, and every line on the hospital's console."""
        return b"".join([*self.sent, *(line.encode() for line in self.said)])

    def send(self, kind: str, body: dict[str, Any], arrays: Any = None) -> dict[str, Any]:
        sealed = messages.seal(self.coordinator, VICTIM, kind, body, arrays)
        answer = self.gate.handle(sealed)
        assert answer is not None
        self.sent.append(answer)
        return messages.open_sealed(answer, self.key.verify_key, "hdab").body

    def begin(self, dataset: str, purpose: str = "scientific-research") -> tuple[JobSpec, Any]:
        own = f"{VICTIM}/{dataset}"
        granted = Permit.model_validate(
            {
                "id": f"permit-{dataset}", "issuer": "hdab", "state": "granted",
                "data_user": "a university", "project": "survival",
                "purpose": purposes.by_name(purpose).iri, "datasets": (own, "other/patients"),
                "columns": ("age", "sex", "ward", "died"),
                "tasks": ("training.logistic", "evaluation.logistic"), "outputs": ("model",),
                "epsilon": "3", "delta": "0.00001", "minimum_participants": 2,
                "not_before": utc_now() - timedelta(days=1),
                "not_after": utc_now() + timedelta(days=30),
            }
        )  # fmt: skip
        application = plan.Application.model_validate(
            {
                "id": f"job-{dataset}-{purpose}", "permit": granted.id, "outcome": "died",
                "datasets": (own, "other/patients"), "inputs": ("age", "sex", "ward"),
                "epsilon": "0.5", "rounds": 2, "local_steps": 1,
            }
        )  # fmt: skip
        offers = [Offer.model_validate(offer) for offer in self.send("describe", {})["offers"]]
        offer = next(offer for offer in offers if offer.dataset == own)
        spec = plan.specify(application, granted, {own: offer, "other/patients": offer}, utc_now())
        body = {
            "permit": documents.sign(self.coordinator, granted),
            "specification": spec.encode().decode(),
        }
        return spec, self.send("start", body)

    def take(self, spec: JobSpec, number: int, task: str) -> dict[str, Any]:
        parameters = {"parameters": np.zeros(spec.features.width + 1, np.float32)}
        return self.send("step", {"job": spec.digest, "round": number, "task": task}, parameters)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with Sandbox(tmp_path / "space") as sandbox:
        sandbox.root.mkdir()
        return sandbox.prepare(marked_hospital())


def test_no_byte_that_a_gate_gives_out_holds_a_marker_whatever_becomes_of_the_job(directory):
    door = Door(directory)
    for dataset, code in BROKEN.items():
        _, answer = door.begin(dataset)
        assert (answer["status"], answer["code"]) == ("refused", "DATASET_UNAVAILABLE")
        assert f"[{code}]" in door.said[-1], "the hospital's own console says what is wrong"
    spec, _ = door.begin("patients")
    assert door.take(spec, 1, "training.logistic")["status"] == "ok"
    assert door.take(spec, 1, "training.mlp")["code"] == "STEP_UNKNOWN"
    assert door.take(spec, 2, "evaluation.logistic")["status"] == "ok"
    assert door.begin("patients", "advertising")[1]["code"] == "NOT_ALLOWED"
    _, answer = door.begin("patients", "education")
    assert answer["code"] == "NOT_ALLOWED"
    door.workers[-1]._process.kill()
    door.close()
    assert sum(map(len, door.sent)) > 5000
    assert found(door.given_out()) == []
    assert in_files(directory, but=RECORDS) == {}


def test_a_worker_that_dies_in_a_step_takes_its_records_with_it(directory):
    door = Door(directory)
    spec, _ = door.begin("patients")
    worker = door.workers[-1]
    worker._process.kill()
    worker._process.wait()
    answer = door.take(spec, 1, "training.logistic")
    assert (answer["status"], answer["code"]) == ("failed", "WORKER_DIED")
    door.close()
    assert found(door.given_out()) == []
    assert in_files(directory, but=RECORDS) == {}


@dataclass
class Leak:
    """A worker that was taken over: it answers with a record."""

    answer: Callable[[], Any]

    def people(self) -> int:
        return 300

    def version(self) -> str:
        return PERSON

    def stale(self) -> bool:
        return False

    def call(self, *_: object) -> Any:
        return self.answer()

    def close(self) -> None:
        """There is no process."""


def as_update(packed: bytes) -> Callable[[], Any]:
    padded = packed.ljust(24, b"\0")  # six parameters
    return lambda: {"update": np.frombuffer(padded, np.float32)}


def as_code(text: str) -> Callable[[], Any]:
    def fail() -> None:
        raise LocalError(text, "a text that the gate does not send")

    return fail


@pytest.mark.parametrize(
    "answer",
    [
        as_update(struct.pack("<f", float(NUMBERS[3]))),
        as_update(struct.pack("<f", float(NUMBERS[3]) / 60 - 1)),
        as_update(struct.pack("<d", float(NUMBERS[9]))),
        as_update(PERSON.encode()),
    ],
)
def test_the_search_finds_what_a_leaking_worker_gives_out(directory, answer):
    door = Door(directory, open_worker=lambda *_: Leak(answer))
    spec, _ = door.begin("patients")
    assert found(door.given_out()) == []
    door.take(spec, 1, "training.logistic")
    door.close()
    assert found(door.given_out()), "the leak went unnoticed"


@pytest.mark.parametrize(
    "text", [PERSON, NUMBERS[5], base64.b64encode(WARD.encode()).decode(), REMARK.encode().hex()]
)
def test_a_worker_cannot_give_out_a_record_in_a_code(directory, text):
    door = Door(directory, open_worker=lambda *_: Leak(as_code(text)))
    spec, _ = door.begin("patients")
    assert door.take(spec, 1, "training.logistic")["code"] == "TASK_FAILED"
    door.close()
    assert found(door.given_out()) == []


@pytest.mark.parametrize("marker", TEXTS)
@pytest.mark.parametrize(
    "spell",
    [bytes, bytes.hex, base64.b64encode, base64.urlsafe_b64encode],
    ids=["text", "hexadecimal", "base64", "base64url"],
)
@pytest.mark.parametrize("offset", range(3))
def test_the_search_finds_a_marker_at_any_place_in_any_spelling(marker, spell, offset):
    spelled = spell(b"?" * offset + marker.encode() + b"??")
    content = spelled.encode() if isinstance(spelled, str) else spelled
    assert found(b"\0" * 1000 + content + b"\0" * 1000)
    assert found(b"\0" * 1000 + content[: len(content) // 3] + b"\0" * 1000) == []
