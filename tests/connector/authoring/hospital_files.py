"""A node's directory as its officers find it, with their keys."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from connector.audit import entries
from connector.audit.log import Log
from connector.authoring.officers import create
from connector.clock import utc_now
from connector.identity.keys import SigningKey
from policies import policy as policies
from policies.policy import Policy

NODE = """\
name = "north"
officers = [{officers}]
[[datasets]]
id = "north/patients"
title = "Patients"
[[datasets.columns]]
name = "age"
kind = "numeric"
[[datasets.columns]]
name = "died"
kind = "binary"
"""
POLICY = """\
id = "north/research"
version = 1
dataset = "north/patients"
purposes = ["scientific-research"]
tasks = ["training.logistic"]
columns = ["age", "died"]
outputs = ["model"]
minimum_cohort = 10
minimum_participants = 2
epsilon_per_job = 1.0
not_before = 2026-01-01T00:00:00Z
not_after = 2099-01-01T00:00:00Z
[budget]
epsilon = 3.0
delta = 0.00001
"""
EXAMPLES = """\
[usual]
purpose = "scientific-research"
tasks = ["training.logistic"]
columns = ["age", "died"]
output = "model"
[[example]]
name = "all that it may"
expect = "allow"
hospitals = 2
people = 10
epsilon = 1.0
hours = 168
[[example]]
name = "one hospital alone"
expect = "deny"
hospitals = 1
"""


@dataclass(frozen=True)
class Files:
    directory: Path
    keys: Path

    @property
    def policy(self) -> Path:
        return self.directory / "policy.toml"

    @property
    def examples(self) -> Path:
        return self.directory / "policy.examples.toml"

    def key_file(self, officer: str) -> Path:
        return self.keys / f"{officer}.key"

    def key(self, officer: str) -> SigningKey:
        return SigningKey.load(self.key_file(officer))

    def parsed(self, **changed: Any) -> Policy:
        return policies.parse(self.policy.read_bytes(), "policy.toml").model_copy(update=changed)

    def log(self, *written: entries.Entry) -> None:
        """What the node, which does not run, has written."""
        with Log.open(self.directory / "log", SigningKey("north", b"n" * 32)) as log:
            log.append([entries.spell(entry) for entry in written])

    def activated(self, policy: Policy) -> entries.PolicyActivated:
        return entries.PolicyActivated(
            time=utc_now(),
            policy=policy,
            officers=("alice+00000000+AAAA", "bob+00000000+BBBB"),
            examples="sha256:e",
            signed_at=utc_now() - timedelta(hours=1),
            signatures=(),
        )


def write(root: Path, *officers: str) -> Files:
    made = Files(root / "north", root / "keys")
    made.directory.mkdir()
    lines = [create(name, made.key_file(name)).vkey for name in officers]
    listed = ", ".join(f'"{line}"' for line in lines)
    (made.directory / "node.toml").write_text(NODE.format(officers=listed))
    made.policy.write_text(POLICY)
    made.examples.write_text(EXAMPLES)
    return made
