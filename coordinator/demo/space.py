"""What a demo is about: hospitals with their files, and what a researcher asks of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from connector.folds import Split
from coordinator.demo.baselines import Records
from coordinator.sandbox import Hospital

Array = np.ndarray[Any, Any]
# Public constants of the job: tests/node/test_accuracy_*.py show what they reach.
JOB: dict[str, str | int] = {"rounds": 5, "local_steps": 4}


@dataclass(frozen=True)
class People:
    """A hospital's people as the demo dealt them: float64 values by column, NaN missing."""

    values: Mapping[str, Array]
    identities: list[bytes]


@dataclass(frozen=True)
class Story:
    """One data space: hospitals, and what a researcher asks of them."""

    title: str
    origin: str
    hospitals: tuple[Hospital, ...]
    dataset: str
    inputs: tuple[str, ...]
    outcome: str
    predicts: str
    delta: str
    people: Mapping[str, "People"]

    def records(self, split: Split) -> dict[str, Records]:
        """The demo's own copy of the records, with the folds of a job."""
        return {
            name: Records(
                people.values, np.array([split.holds_out(who) for who in people.identities])
            )
            for name, people in self.people.items()
        }

    @property
    def datasets(self) -> list[str]:
        """The ids of all datasets."""
        return [f"{hospital.name}/{self.dataset}" for hospital in self.hospitals]


def columns_toml(columns: Sequence[Mapping[str, Any]], derived: Mapping[str, Any]) -> str:
    """The tables of a dataset's columns as a hospital would write them into node.toml."""
    tables = [("columns", column) for column in columns] + [("derived", derived)]
    return "\n".join(
        f"[[datasets.{kind}]]\n" + "".join(f"{key} = {_value(table[key])}\n" for key in table)
        for kind, table in tables
    )


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return (
            "{ " + ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in value.items()) + " }"
        )
    return json.dumps(value)


def hospital(
    name: str, records: str | Path, dataset: str, policy: dict[str, Any], now: datetime
) -> Hospital:
    """A hospital's files: its records (text, or an existing file), configuration and policy."""
    node = f'name = "{name}"\n\n[[datasets]]\npolicy = "policy.toml"\n{dataset}'
    return Hospital(
        name,
        {
            "patients.csv": records,
            "node.toml": node.replace("{name}", name),
            "policy.toml": _policy(name, policy, now),
            "policy.examples.toml": _examples(policy),
        },
    )


def _policy(name: str, terms: dict[str, Any], now: datetime) -> str:
    columns = ", ".join(f'"{column}"' for column in terms["columns"])
    return f"""\
# Owned by {name}. What is not named is not allowed.
id = "{name}/research"
version = 1
dataset = "{name}/{terms["dataset"]}"
purposes = ["scientific-research", "train-algorithms"]
tasks = ["training.logistic", "training.mlp", "evaluation.logistic", "evaluation.mlp"]
columns = [{columns}]
outputs = ["model"]
minimum_cohort = {terms["minimum_cohort"]}
minimum_participants = 3
epsilon_per_job = 2.0
not_before = {now - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}
not_after = {now + timedelta(days=365):%Y-%m-%dT%H:%M:%SZ}

[budget]
epsilon = 2.0
delta = {terms["delta"]}
"""


def _examples(terms: dict[str, Any]) -> str:
    columns = ", ".join(f'"{column}"' for column in terms["columns"])
    return f"""\
# What the policy is meant to allow, and what not: it is activated only if all of this comes true.
[usual]
purpose = "scientific-research"
tasks = ["training.logistic", "evaluation.logistic"]
columns = [{columns}]
output = "model"

[[example]]
name = "a job that uses all that it may"
expect = "allow"
hospitals = 3
people = {terms["minimum_cohort"]}
epsilon = 2.0
hours = 168

[[example]]
name = "two hospitals are too few"
expect = "deny"
because = ["policy.participants"]
hospitals = 2

[[example]]
name = "one person too few"
expect = "deny"
because = ["policy.cohort"]
people = {terms["minimum_cohort"] - 1}

[[example]]
name = "a little too much privacy for one job"
expect = "deny"
because = ["policy.budget", "policy.epsilon-per-job"]
epsilon = 2.01

[[example]]
name = "a job when the budget is spent"
expect = "deny"
because = ["policy.budget"]
already_spent = 2.0

[[example]]
name = "advertising, which the law prohibits"
expect = "deny"
because = ["ehds.art53.purpose", "ehds.art54.c", "policy.purpose"]
purpose = "advertising"
"""
