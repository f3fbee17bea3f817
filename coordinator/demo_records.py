"""The demo's records and the hospitals that hold them.

`flchain`: 7,874 real people of Olmsted County (serum free light chain, as shipped inside the
scikit-survival wheel), dealt out to four *simulated* hospitals with different age mixes.
`heart`: the UCI heart-disease files of four *real* hospitals, one file each.
"""

import csv
import io
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from connector.errors import LocalError
from connector.folds import Split, row_identity
from coordinator.baselines import Records
from coordinator.sandbox import Hospital

HOSPITALS = ("hospital-north", "hospital-east", "hospital-south", "hospital-west")
_OLDER_FIRST = {
    "hospital-north": 0.1,
    "hospital-east": 0.35,
    "hospital-south": 0.6,
    "hospital-west": 0.9,
}
_DEAL_SEED = 2025
Array = np.ndarray[Any, Any]


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
    job: dict[str, str | int]
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


FLCHAIN_COLUMNS = """\
[[datasets.columns]]
name = "age"
kind = "numeric"
minimum = 50
maximum = 101
unit = "years"

[[datasets.columns]]
name = "female"
field = "sex"
kind = "binary"
true = ["F"]
false = ["M"]

[[datasets.columns]]
name = "sample_year"
field = "sample.yr"
kind = "numeric"
minimum = 1995
maximum = 2003
unit = "years"

[[datasets.columns]]
name = "kappa"
kind = "numeric"
minimum = 0.1
maximum = 20
transform = "log"
unit = "mg/dL"

[[datasets.columns]]
name = "lambda"
kind = "numeric"
minimum = 0.1
maximum = 20
transform = "log"
unit = "mg/dL"

[[datasets.columns]]
name = "flc_group"
field = "flc.grp"
kind = "numeric"
minimum = 1
maximum = 10

[[datasets.columns]]
name = "creatinine"
kind = "numeric"
minimum = 0.3
maximum = 5
transform = "log"
unit = "mg/dL"
nullable = true

[[datasets.columns]]
name = "mgus"
kind = "binary"
true = ["yes"]
false = ["no"]

[[datasets.columns]]
name = "died"
field = "death"
kind = "binary"
true = ["dead"]
false = ["alive"]

[[datasets.columns]]
name = "follow_up"
field = "futime"
kind = "numeric"
minimum = 0
maximum = 6000
unit = "days"

[[datasets.derived]]
kind = "event_within"
name = "died_within_ten_years"
event = "died"
time = "follow_up"
days = 3653
"""


def flchain(now: datetime) -> Story:
    """The default story. Reads the records from the installed scikit-survival wheel."""
    rows = _flchain_rows()
    generator = random.Random(_DEAL_SEED)  # noqa: S311 - dealing cards, not hiding anything
    ages = sorted(float(row["age"]) for row in rows)
    hands: dict[str, list[dict[str, Any]]] = {name: [] for name in HOSPITALS}
    for row in rows:
        place = _share_below(ages, float(row["age"]))
        weights = [1.15 - abs(place - centre) for centre in _OLDER_FIRST.values()]
        hands[generator.choices(HOSPITALS, weights)[0]].append(row)
    return Story(
        title="Death within ten years, from a blood sample",
        origin="real records (flchain, 7,874 people), dealt out to four simulated hospitals",
        hospitals=tuple(
            _hospital(name, _as_csv(hand), FLCHAIN_COLUMNS, _FLCHAIN_SOURCE, _FLCHAIN_POLICY, now)
            for name, hand in hands.items()
        ),
        dataset="flchain",
        inputs=(
            "age",
            "female",
            "sample_year",
            "kappa",
            "lambda",
            "flc_group",
            "creatinine",
            "mgus",
        ),
        outcome="died_within_ten_years",
        predicts="death within ten years",
        delta="0.00001",
        job=_FLCHAIN_JOB,
        people={name: _flchain_people(hand) for name, hand in hands.items()},
    )


def heart(directory: Path, now: datetime) -> Story:
    """The four hospitals of the UCI heart-disease files in `directory`.

    Raises `LocalError` (DEMO_RECORDS) when one of the four files is not there.
    """
    hospitals = []
    for name in ("cleveland", "hungarian", "switzerland", "va"):
        file = directory / f"processed.{name}.data"
        if not file.is_file():
            raise LocalError(
                "DEMO_RECORDS", f"there is no {file}",
                "Name the directory with the four processed.*.data files of UCI Heart Disease",
            )  # fmt: skip
        hospitals.append(_hospital(name, file, _HEART_COLUMNS, _HEART_SOURCE, _HEART_POLICY, now))
    return Story(
        title="Heart disease, from a first examination",
        origin="real records (UCI Heart Disease, 920 people) of four real hospitals, a file each",
        hospitals=tuple(hospitals),
        dataset="heart",
        inputs=tuple(_HEART_POLICY["columns"][:-1]),
        outcome="disease",
        predicts="heart disease",
        delta="0.0001",
        job=_HEART_JOB,
        people={hospital.name: _heart_people(directory, hospital.name) for hospital in hospitals},
    )


def _flchain_rows() -> list[dict[str, Any]]:
    try:
        from sksurv.datasets import load_flchain  # noqa: PLC0415 - only the demo needs it
    except ImportError as error:
        raise LocalError(
            "DEMO_RECORDS", "the demo's records come with scikit-survival, which is not installed",
            "Install it with: pip install 'commensal[demo]'",
        ) from error  # fmt: skip
    features, outcome = load_flchain()
    table = features.drop(columns=["chapter"])  # the cause of death would give the outcome away
    rows: list[dict[str, Any]] = table.astype(object).to_dict("records")
    for number, (row, (died, days)) in enumerate(zip(rows, outcome, strict=True)):
        row |= {
            "person": f"P{number:05}",
            "death": "dead" if died else "alive",
            "futime": int(days),
        }
        if row["creatinine"] != row["creatinine"]:  # NaN: it was never measured
            row["creatinine"] = ""
    return rows


def _flchain_people(rows: list[dict[str, Any]]) -> People:
    def numbers(field: str) -> Array:
        return np.array([float(row[field]) if row[field] != "" else np.nan for row in rows])

    def flags(field: str, true: str) -> Array:
        return np.array([float(row[field] == true) for row in rows])

    died, days = flags("death", "dead"), numbers("futime")
    outcome = np.where((died == 1) & (days <= 3653), 1.0, np.where(days >= 3653, 0.0, np.nan))
    return People(
        {
            **{name: numbers(name) for name in ("age", "kappa", "lambda", "creatinine")},
            "sample_year": numbers("sample.yr"),
            "flc_group": numbers("flc.grp"),
            "female": flags("sex", "F"),
            "mgus": flags("mgus", "yes"),
            "died_within_ten_years": outcome,
        },
        [row["person"].encode() for row in rows],
    )


def _heart_people(directory: Path, name: str) -> People:
    lines = (directory / f"processed.{name}.data").read_text().splitlines()
    rows = [dict(zip(_HEART_FIELDS, line.split(","), strict=True)) for line in lines]

    def numbers(field: str, *missing: str) -> Array:
        known = [row[field] for row in rows]
        return np.array([np.nan if cell in ("?", *missing) else float(cell) for cell in known])

    return People(
        {
            "age": numbers("age"),
            "male": numbers("sex"),
            "chest_pain": numbers("cp") - 1,
            "resting_pressure": numbers("trestbps", "0"),
            "cholesterol": numbers("chol", "0"),
            "maximum_heart_rate": numbers("thalach"),
            "exercise_angina": numbers("exang"),
            "st_depression": numbers("oldpeak"),
            "disease": (numbers("num") > 0).astype(float),
        },
        [row_identity(row[field] for field in _HEART_DECLARED) for row in rows],
    )


def _share_below(ages: list[float], age: float) -> float:
    from bisect import bisect_left  # noqa: PLC0415 - used here only

    return bisect_left(ages, age) / len(ages)


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_FLCHAIN_SOURCE = """\
id = "{name}/flchain"
title = "Serum free light chain and survival"
person_column = "person"

[datasets.source]
kind = "csv"
path = "patients.csv"
missing = [""]
"""

_FLCHAIN_POLICY = {
    "dataset": "flchain",
    "columns": [
        "age", "female", "sample_year", "kappa", "lambda", "flc_group", "creatinine", "mgus",
        "died_within_ten_years",
    ],
    "minimum_cohort": 100,
    "delta": "0.00001",
}  # fmt: skip

# Public constants: see tests/node/test_accuracy_flchain.py for what they reach.
_FLCHAIN_JOB: dict[str, str | int] = {"rounds": 5, "local_steps": 4}


_HEART_COLUMNS = """\
[[datasets.columns]]
name = "age"
kind = "numeric"
minimum = 20
maximum = 85
unit = "years"

[[datasets.columns]]
name = "male"
field = "sex"
kind = "binary"

[[datasets.columns]]
name = "chest_pain"
field = "cp"
kind = "category"
categories = ["typical angina", "atypical angina", "other pain", "none"]
codes = { "1" = "typical angina", "2" = "atypical angina", "3" = "other pain", "4" = "none" }

[[datasets.columns]]
name = "resting_pressure"
field = "trestbps"
kind = "numeric"
minimum = 80
maximum = 200
unit = "mmHg"
missing = ["0"]
nullable = true

[[datasets.columns]]
name = "cholesterol"
field = "chol"
kind = "numeric"
minimum = 100
maximum = 600
unit = "mg/dL"
missing = ["0"]
nullable = true

[[datasets.columns]]
name = "maximum_heart_rate"
field = "thalach"
kind = "numeric"
minimum = 60
maximum = 205
unit = "1/min"
nullable = true

[[datasets.columns]]
name = "exercise_angina"
field = "exang"
kind = "binary"
nullable = true

[[datasets.columns]]
name = "st_depression"
field = "oldpeak"
kind = "numeric"
minimum = -3
maximum = 7
unit = "mm"
nullable = true

[[datasets.columns]]
name = "vessels_grade"
field = "num"
kind = "numeric"
minimum = 0
maximum = 4

[[datasets.derived]]
kind = "above"
name = "disease"
column = "vessels_grade"
threshold = 0
"""

_HEART_SOURCE = """\
id = "{name}/heart"
title = "Heart disease at {name}"
person_column = "row"

[datasets.source]
kind = "csv"
path = "patients.csv"
header = false
names = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang",
  "oldpeak", "slope", "ca", "thal", "num"]
missing = ["?"]
"""

_HEART_FIELDS = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak",
    "slope", "ca", "thal", "num",
)  # fmt: skip
# The fields of the declared columns, in the order of node.toml: what identifies a row.
_HEART_DECLARED = ("age", "sex", "cp", "trestbps", "chol", "thalach", "exang", "oldpeak", "num")

_HEART_POLICY: dict[str, Any] = {
    "dataset": "heart",
    "columns": [
        "age", "male", "chest_pain", "resting_pressure", "cholesterol", "maximum_heart_rate",
        "exercise_angina", "st_depression", "disease",
    ],
    "minimum_cohort": 20,
    "delta": "0.0001",
}  # fmt: skip

_HEART_JOB: dict[str, str | int] = {"rounds": 5, "local_steps": 4}


def _hospital(
    name: str, records: str | Path, columns: str, source: str, policy: dict[str, Any], now: datetime
) -> Hospital:
    node = f'name = "{name}"\n\n[[datasets]]\npolicy = "policy.toml"\n{source}\n{columns}'
    return Hospital(
        name,
        {
            "patients.csv": records,
            "node.toml": node.replace("{name}", name),
            "policy.toml": _policy(name, policy, now),
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
