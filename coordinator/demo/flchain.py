"""The default story: serum free light chain and survival, 7,874 real people.

The records come inside the scikit-survival wheel and are dealt out to four *simulated* hospitals
with different age mixes. Bounds are choices of a schema, not fits.
"""

import csv
import io
import random
from bisect import bisect_left
from datetime import datetime
from typing import Any

import numpy as np

from connector.errors import LocalError
from coordinator.demo.space import Array, People, Story, columns_toml, hospital

# Where in the order of age each hospital's people centre: from the youngest to the oldest.
_CENTRES = {
    "hospital-north": 0.1,
    "hospital-east": 0.35,
    "hospital-south": 0.6,
    "hospital-west": 0.9,
}
_DEAL_SEED = 2025
_TEN_YEARS = 3653
_OUTCOME = "died_within_ten_years"
_INPUTS = ("age", "female", "sample_year", "kappa", "lambda", "flc_group", "creatinine", "mgus")


def flchain(now: datetime) -> Story:
    """Reads the records from the installed wheel. Raises `LocalError` (DEMO_RECORDS)."""
    rows = _rows()
    generator = random.Random(_DEAL_SEED)  # noqa: S311 - dealing cards, not hiding anything
    ages = sorted(float(row["age"]) for row in rows)
    hands: dict[str, list[dict[str, Any]]] = {name: [] for name in _CENTRES}
    for row in rows:
        place = bisect_left(ages, float(row["age"])) / len(ages)
        weights = [1.15 - abs(place - centre) for centre in _CENTRES.values()]
        hands[generator.choices(tuple(_CENTRES), weights)[0]].append(row)
    return Story(
        title="Death within ten years, from a blood sample",
        origin="real records (flchain, 7,874 people), dealt out to four simulated hospitals",
        hospitals=tuple(
            hospital(name, _as_csv(hand), _SOURCE + _COLUMNS, _POLICY, now)
            for name, hand in hands.items()
        ),
        dataset="flchain",
        inputs=_INPUTS,
        outcome=_OUTCOME,
        predicts="death within ten years",
        delta=_POLICY["delta"],
        people={name: _people(hand) for name, hand in hands.items()},
    )


def _rows() -> list[dict[str, Any]]:
    try:
        from sksurv.datasets import load_flchain  # noqa: PLC0415 - only the demo needs it
    except ImportError as error:
        raise LocalError(
            "DEMO_RECORDS",
            "the demo's records come with scikit-survival, which is not installed",
            "Install it with: pip install 'commensal[demo]'",
        ) from error
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


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _people(rows: list[dict[str, Any]]) -> People:
    def numbers(field: str) -> Array:
        return np.array([float(row[field]) if row[field] != "" else np.nan for row in rows])

    def flags(field: str, true: str) -> Array:
        return np.array([float(row[field] == true) for row in rows])

    died, days = flags("death", "dead"), numbers("futime")
    seen = np.where(days >= _TEN_YEARS, 0.0, np.nan)
    return People(
        {
            **{name: numbers(name) for name in ("age", "kappa", "lambda", "creatinine")},
            "sample_year": numbers("sample.yr"),
            "flc_group": numbers("flc.grp"),
            "female": flags("sex", "F"),
            "mgus": flags("mgus", "yes"),
            _OUTCOME: np.where((died == 1) & (days <= _TEN_YEARS), 1.0, seen),
        },
        [row["person"].encode() for row in rows],
    )


_SOURCE = """\
id = "{name}/flchain"
title = "Serum free light chain and survival"
person_column = "person"

[datasets.source]
kind = "csv"
path = "patients.csv"
missing = [""]

"""


def _number(name: str, low: float, high: float, unit: str, **more: Any) -> dict[str, Any]:
    known = {"name": name, "kind": "numeric", "minimum": low, "maximum": high, "unit": unit}
    return known | more


_COLUMNS = columns_toml(
    (
        _number("age", 50, 101, "years"),
        {"name": "female", "field": "sex", "kind": "binary", "true": ["F"], "false": ["M"]},
        _number("sample_year", 1995, 2003, "years", field="sample.yr"),
        _number("kappa", 0.1, 20, "mg/dL", transform="log"),
        _number("lambda", 0.1, 20, "mg/dL", transform="log"),
        _number("flc_group", 1, 10, "", field="flc.grp"),
        _number("creatinine", 0.3, 5, "mg/dL", transform="log", nullable=True),
        {"name": "mgus", "kind": "binary", "true": ["yes"], "false": ["no"]},
        {"name": "died", "field": "death", "kind": "binary", "true": ["dead"], "false": ["alive"]},
        _number("follow_up", 0, 6000, "days", field="futime"),
    ),
    {
        "kind": "event_within",
        "name": _OUTCOME,
        "event": "died",
        "time": "follow_up",
        "days": _TEN_YEARS,
    },
)

_POLICY: dict[str, Any] = {
    "dataset": "flchain",
    "columns": [*_INPUTS, _OUTCOME],
    "minimum_cohort": 100,
    "delta": "0.00001",
}
