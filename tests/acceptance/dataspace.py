"""A small data space over real processes: invented records, permits and jobs as files."""

import csv
import io
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from connector.audit import entries
from connector.audit.damage import read_entries
from connector.clock import utc_now
from connector.identity.keys import SigningKey
from coordinator.sandbox import OFFICERS, Finished, Hospital, Sandbox

NAMES = ["hospital-north", "hospital-south", "hospital-west"]
WARDS = ("surgery", "medicine", "intensive care")
FIELDS = ("person", "age", "sex", "ward", "died", "remark")

NODE = """\
name = "{name}"
{settings}

[[datasets]]
policy = "policy.toml"
id = "{name}/patients"
title = "Invented patients"
person_column = "person"
max_invalid_share = {invalid}

[datasets.source]
kind = "csv"
path = "patients.csv"

[[datasets.columns]]
name = "age"
kind = "numeric"
minimum = 0
maximum = 120
unit = "years"

[[datasets.columns]]
name = "sex"
kind = "binary"
true = ["F"]
false = ["M"]

[[datasets.columns]]
name = "ward"
kind = "category"
categories = ["surgery", "medicine", "intensive care"]
nullable = true

[[datasets.columns]]
name = "died"
kind = "binary"
"""

POLICY = """\
id = "{name}/research"
version = 1
dataset = "{name}/patients"
purposes = ["scientific-research"]
tasks = ["training.logistic", "evaluation.logistic"]
columns = ["age", "sex", "ward", "died"]
outputs = ["model"]
minimum_cohort = 40
minimum_participants = 2
epsilon_per_job = 1.0
not_before = {yesterday}
not_after = {later}

[budget]
epsilon = 1.0
delta = 0.00001
"""

EXAMPLES = """\
[usual]
purpose = "scientific-research"
tasks = ["training.logistic", "evaluation.logistic"]
columns = ["age", "sex", "ward", "died"]
output = "model"

[[example]]
name = "a job that uses all that it may"
expect = "allow"
hospitals = 2
people = 40
epsilon = 1.0
hours = 168

[[example]]
name = "one hospital alone"
expect = "deny"
because = ["policy.participants"]
hospitals = 1
"""

PERMIT = """\
id = "{id}"
data_user = "a university"
project = "survival in hospital"
purpose = "{purpose}"
datasets = {datasets}
columns = ["age", "sex", "ward", "died"]
tasks = ["training.logistic", "evaluation.logistic"]
outputs = ["model"]
epsilon = 3.0
delta = 0.00001
minimum_participants = {hospitals}
not_before = {yesterday}
not_after = {later}
"""

JOB = """\
id = "{id}"
permit = "{permit}"
datasets = {datasets}
inputs = ["age", "sex", "ward"]
outcome = "died"
epsilon = {epsilon}
rounds = {rounds}
local_steps = 1
expected_batch = 100
"""


@dataclass
class DataSpace:
    """A sandbox with files and commands as their users would write them."""

    sandbox: Sandbox
    texts: Path

    @property
    def coordinator(self) -> str:
        """The coordinator's directory, as an argument."""
        return str(self.sandbox.directory("coordinator"))

    def open(self, hospitals: list[Hospital]) -> None:
        """A running coordinator and enrolled, running nodes."""
        names = [hospital.name for hospital in hospitals]
        self.sandbox.start_coordinator()
        for one in hospitals:
            self.sandbox.prepare(one)
        self.sandbox.enrol(names)
        self.sandbox.start_nodes(names)

    def permit(
        self,
        permit: str,
        purpose: str = "scientific-research",
        *,
        dataset: str = "patients",
        hospitals: int = 2,
    ) -> None:
        """Issue a permit from a file; `dataset` is the first hospital's."""
        text = PERMIT.format(
            id=permit, purpose=purpose, datasets=datasets(dataset), hospitals=hospitals, **dates()
        )
        self.sandbox.run_command(
            "coordinator", "permit", self.coordinator, self._file(permit, text)
        )

    def submit(
        self,
        job: str,
        permit: str,
        epsilon: str,
        rounds: int = 2,
        *,
        watch: bool = True,
        dataset: str = "patients",
    ) -> Finished:
        """Submit a job from a file, and follow it to its end; `dataset` is the first hospital's."""
        text = JOB.format(
            id=job, permit=permit, epsilon=epsilon, rounds=rounds, datasets=datasets(dataset)
        )
        watched = "--watch" if watch else "--no-watch"
        return self.sandbox.attempt(
            "coordinator", "submit", self.coordinator, self._file(job, text), watched
        )

    def watch(self, job: str) -> Finished:
        """Follow a job to its end."""
        return self.sandbox.attempt("coordinator", "watch", self.coordinator, job)

    def verify(self, name: str) -> Finished:
        """Verify a participant's log with the keys that it and its officers made."""
        officers = [
            SigningKey.load(self.sandbox.officer_key(name, officer)).verify_key.vkey
            for officer in OFFICERS
            if self.sandbox.officer_key(name, officer).exists()
        ]
        return self.sandbox.attempt(
            "audit", "verify", str(self.sandbox.directory(name)), "--key", self.key(name).vkey,
            *(word for officer in officers for word in ("--officer", officer)),
        )  # fmt: skip

    def key(self, name: str):
        """A participant's public key."""
        path = self.sandbox.directory(name) / "identity" / "signing.key"
        return SigningKey.load(path).verify_key

    def budget(self, name: str) -> str:
        """What `node budget` prints, on one line for the dataset."""
        shown = self.sandbox.run_command("node", "budget", str(self.sandbox.directory(name)))
        return next(line for line in shown.splitlines() if line.startswith(f"{name}/patients"))

    def spent(self, name: str) -> float:
        """The epsilon that `node budget` prints as spent or reserved."""
        found = re.search(r"([0-9.]+) of 1", self.budget(name))
        assert found, self.budget(name)
        return float(found[1])

    def entries(self, name: str, kind: type = entries.Entry) -> list:
        """A participant's log so far, or its entries of one kind."""
        return list(logged(self.sandbox.directory(name) / "log", kind))

    def _file(self, name: str, text: str) -> str:
        path = self.texts / f"{name}.toml"
        path.write_text(text)
        return str(path)


def logged(log: Path, kind: type = entries.Entry) -> Iterator:
    """The entries of one kind in a log's directory."""
    parsed = (entries.parse(content) for _, content in read_entries(log))
    return (entry for entry in parsed if isinstance(entry, kind))


def hospital(name: str, records: str | None = None, **changed: str) -> Hospital:
    """A hospital with 300 invented patients, or with the records given (CSV)."""
    known = {"settings": "", "invalid": "0.0"} | changed
    return Hospital(
        name,
        {
            "node.toml": NODE.format(name=name, **known),
            "policy.toml": POLICY.format(name=name, **dates()),
            "policy.examples.toml": EXAMPLES,
            "patients.csv": as_csv(patients(name)) if records is None else records,
        },
    )


def patients(name: str, count: int = 300) -> list[dict[str, str]]:
    """Invented people, the same ones for the same name."""
    chance = random.Random(name)  # noqa: S311 - invented people
    return [
        {
            "person": f"{name}-{number}",
            "age": f"{(age := chance.uniform(20, 95)):.1f}",
            "sex": chance.choice("FM"),
            "ward": chance.choice(WARDS),
            "died": str(int(chance.random() < age / 120)),
            "remark": "",
        }
        for number in range(count)
    ]


def as_csv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def datasets(first: str) -> str:
    return str([f"{NAMES[0]}/{first}", *(f"{name}/patients" for name in NAMES[1:])])


def dates() -> dict[str, str]:
    now = utc_now()
    return {
        "yesterday": f"{now - timedelta(days=1):%Y-%m-%dT00:00:00Z}",
        "later": f"{now + timedelta(days=300):%Y-%m-%dT00:00:00Z}",
    }


def one_line(finished: Finished, code: str) -> str:
    """The one line in which a command says what is wrong and what to do about it."""
    assert finished.code == 1, finished
    lines = finished.errors.strip().splitlines()
    assert len(lines) == 1, finished
    assert lines[0].startswith("commensal: "), finished
    assert lines[0].endswith(f" [{code}]"), finished
    message, _, remedy = lines[0].removesuffix(f" [{code}]").rpartition(". ")
    assert message, f"no remedy in: {lines[0]}"
    assert remedy[0].isupper(), f"no remedy in: {lines[0]}"
    assert "Traceback" not in finished.output
    return lines[0]
