"""The story of four *real* hospitals: the UCI heart-disease files, one file each, as they are."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from connector.errors import LocalError
from connector.folds import row_identity
from coordinator.demo.space import Array, People, Story, columns_toml, hospital

_HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
_FIELDS = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak",
    "slope", "ca", "thal", "num",
)  # fmt: skip
_INPUTS = (
    "age", "male", "chest_pain", "resting_pressure", "cholesterol", "maximum_heart_rate",
    "exercise_angina", "st_depression",
)  # fmt: skip


def heart(directory: Path, now: datetime) -> Story:
    """Raises `LocalError` (DEMO_RECORDS) when one of the four files is not in `directory`."""
    for name in _HOSPITALS:
        if not _file(directory, name).is_file():
            raise LocalError(
                "DEMO_RECORDS",
                f"there is no {_file(directory, name)}",
                "Name the directory with the four processed.*.data files of UCI Heart Disease",
            )
    return Story(
        title="Heart disease, from a first examination",
        origin="real records (UCI Heart Disease, 920 people) of four real hospitals, a file each",
        hospitals=tuple(
            hospital(name, _file(directory, name), _SOURCE + _COLUMNS, _POLICY, now)
            for name in _HOSPITALS
        ),
        dataset="heart",
        inputs=_INPUTS,
        outcome="disease",
        predicts="heart disease",
        delta=_POLICY["delta"],
        people={name: _people(_file(directory, name)) for name in _HOSPITALS},
    )


def _file(directory: Path, name: str) -> Path:
    return directory / f"processed.{name}.data"


def _people(file: Path) -> People:
    lines = file.read_text().splitlines()
    rows = [dict(zip(_FIELDS, line.split(","), strict=True)) for line in lines]

    def numbers(field: str, *missing: str) -> Array:
        cells = [row[field] for row in rows]
        return np.array([np.nan if cell in ("?", *missing) else float(cell) for cell in cells])

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
        [row_identity(row[field] for field in _DECLARED) for row in rows],
    )


_SOURCE = f"""\
id = "{{name}}/heart"
title = "Heart disease at {{name}}"
person_column = "row"

[datasets.source]
kind = "csv"
path = "patients.csv"
header = false
names = [{", ".join(f'"{field}"' for field in _FIELDS)}]
missing = ["?"]

"""


def _number(name: str, field: str, low: float, high: float, unit: str, **more: Any) -> Any:
    known = {"name": name, "field": field, "kind": "numeric", "minimum": low, "maximum": high}
    return known | {"unit": unit} | more


# Public clinical ranges; 0 stands for an unknown pressure or cholesterol in these files.
_SCHEMA: tuple[dict[str, Any], ...] = (
    _number("age", "age", 20, 85, "years"),
    {"name": "male", "field": "sex", "kind": "binary"},
    {
        "name": "chest_pain",
        "field": "cp",
        "kind": "category",
        "categories": ["typical angina", "atypical angina", "other pain", "none"],
        "codes": {"1": "typical angina", "2": "atypical angina", "3": "other pain", "4": "none"},
    },
    _number("resting_pressure", "trestbps", 80, 200, "mmHg", missing=["0"], nullable=True),
    _number("cholesterol", "chol", 100, 600, "mg/dL", missing=["0"], nullable=True),
    _number("maximum_heart_rate", "thalach", 60, 205, "1/min", nullable=True),
    {"name": "exercise_angina", "field": "exang", "kind": "binary", "nullable": True},
    _number("st_depression", "oldpeak", -3, 7, "mm", nullable=True),
    _number("vessels_grade", "num", 0, 4, ""),
)
# The fields of the declared columns, in the order of node.toml: what identifies a row.
_DECLARED = tuple(column["field"] for column in _SCHEMA)
_COLUMNS = columns_toml(
    _SCHEMA, {"kind": "above", "name": "disease", "column": "vessels_grade", "threshold": 0}
)

_POLICY: dict[str, Any] = {
    "dataset": "heart",
    "columns": [*_INPUTS, "disease"],
    "minimum_cohort": 20,
    "delta": "0.0001",
}
