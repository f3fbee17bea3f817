"""What a node publishes of a dataset: declared, derived from the schema, and counted in bands."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connector.dsp import healthdcat, healthdcat_shacl
from connector.dsp.healthdcat_documents import Ages, Period, Record
from connector.errors import LocalError
from node import config, describe, description, templates
from node.cli import node
from node.config import Paths
from node.data.dataset import Dataset
from node.describe import Exact

ON = date(2026, 6, 1)
DESCRIPTION = """
[datasets.description]
description = "Admissions with survival."
keywords = ["survival", "kidney"]
categories = ["a"]
provenance = "Exported from the hospital's records."
access_url = "https://hdab.example/apply"
contact = { name = "Data office", email = "data@ward.example" }

[datasets.description.hdab]
name = "HDAB"
contact = { name = "Applications", page = "https://hdab.example", email = "apply@hdab.example" }

[[datasets.columns]]
"""


def ward(directory: Path, people: int = 257, described: bool = True, more: str = "") -> Paths:
    templates.write(directory, "ward")
    rows = [f"P{number},{40 + number % 50},{number % 2}" for number in range(people)]
    (directory / "patients.csv").write_text("\n".join(["person,age,died", *rows]) + "\n")
    file = directory / "node.toml"
    text = file.read_text()
    if described:
        text = text.replace("[[datasets.columns]]\n", DESCRIPTION.lstrip("\n"), 1)
        text = text.replace('keywords = ["s', f'{more}\nkeywords = ["s', 1)
    file.write_text(text)
    return Paths(directory)


def records(paths: Paths) -> list[Record]:
    return list(describe.records(paths, config.load(paths), ON))


def dataset(**changed: Any) -> Dataset:
    known = {
        "id": "ward/patients",
        "title": "Patients",
        "person_column": "person",
        "source": {"kind": "csv", "path": "patients.csv"},
        "columns": [
            {"name": "age", "kind": "numeric", "minimum": "49.5", "maximum": 150, "unit": "years"},
            {"name": "sampled", "kind": "numeric", "minimum": 1995, "maximum": 2003,
             "unit": "year"},
            {"name": "seen", "kind": "numeric", "minimum": 0, "maximum": 365,
             "unit": "days since 2020-01-01"},
            {"name": "died", "kind": "binary"},
        ],
    }  # fmt: skip
    return Dataset.model_validate(known | changed)


def parse(**table: Any) -> description.Description:
    return description.parse(table, dataset(), "node.toml")


def test_counts_are_banded_and_say_so(tmp_path: Path) -> None:
    paths = ward(tmp_path)
    (found,) = records(paths)
    assert found.persons == healthdcat.banded(257, 100)
    assert found.records == healthdcat.banded(257, 100)
    assert found.modified == ON
    text = "\n".join(describe.lines(describe.judge(found)))
    assert "people: about 200, rounded down to a multiple of 100" in text
    assert "257" not in text + describe.spell(found, "ward")


def test_those_who_opted_out_are_not_counted(tmp_path: Path) -> None:
    paths = ward(tmp_path)
    (tmp_path / "opt_outs.txt").write_text("\n".join(f"P{number}" for number in range(58)))
    text = paths.config.read_text()
    paths.config.write_text(
        text.replace('# opt_outs = "opt_outs.txt"', 'opt_outs = "opt_outs.txt"')
    )
    (found,) = records(paths)
    assert found.persons is not None
    assert found.persons.value == 100


def test_fewer_than_a_band_are_not_counted_at_all(tmp_path: Path) -> None:
    (found,) = records(ward(tmp_path, people=99))
    assert (found.persons, found.records) == (None, None)


def test_one_person_moves_neither_count_by_more_than_a_step() -> None:
    held = dataset(max_rows_per_person=20)
    said = description.parse({"count_step": 50}, held, "node.toml")
    with_person = describe.record(held, said, Exact(1000, 20_000), ON)
    without = describe.record(held, said, Exact(999, 19_980), ON)
    for one, other in (
        (with_person.persons, without.persons),
        (with_person.records, without.records),
    ):
        assert one is not None
        assert other is not None
        assert one.value - other.value == one.step == other.step


@pytest.mark.parametrize("step", [0, 1, 10, 49, -100, "100.5"])
def test_a_step_that_hides_too_few_is_refused(step: object) -> None:
    with pytest.raises(LocalError) as caught:
        parse(count_step=step)
    assert caught.value.code == "CONFIG_INVALID"
    assert "count_step" in caught.value.message


def test_ages_and_dates_are_the_declared_bounds() -> None:
    said = parse(dates_from="sampled")
    assert said.ages == Ages(youngest=49, oldest=130)
    assert said.dates == Period(start=date(1995, 1, 1), end=date(2003, 12, 31))
    assert parse(dates_from="seen").dates == Period(start=date(2020, 1, 1), end=date(2020, 12, 31))
    assert parse().dates is None
    columns = ({"name": "age", "kind": "binary"}, {"name": "died", "kind": "binary"})
    assert description.parse({}, dataset(columns=columns), "node.toml").ages is None


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"id": "ward/other"}, "id: it stands at the dataset itself"),
        ({"title": "Another"}, "title: it stands at the dataset itself"),
        ({"color": "red"}, "color"),
        ({"categories": ["z"]}, "categories.0"),
        ({"codings": {"weight": "LOINC"}}, "there is no column weight"),
        ({"ages_from": "died"}, "ages_from"),
        ({"ages_from": "seen"}, "ages_from"),
        ({"dates_from": "died"}, "dates_from"),
        ({"dates_from": "nothing"}, "dates_from"),
        ({"contact": {"name": "nobody"}}, "contact"),
    ],
)
def test_a_description_that_cannot_be_meant_is_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(LocalError) as caught:
        parse(**table)
    assert caught.value.code == "CONFIG_INVALID"
    assert says in caught.value.message


@pytest.mark.parametrize("table", ["text", ["a"], 3])
def test_a_description_is_a_table(table: object) -> None:
    with pytest.raises(LocalError, match="it is not a table"):
        description.parse(table, dataset(), "node.toml")


def test_a_year_that_no_calendar_has_is_refused() -> None:
    columns = ({"name": "y", "kind": "numeric", "minimum": 0, "maximum": 99_999, "unit": "year"},)
    with pytest.raises(LocalError, match="year"):
        description.parse({"dates_from": "y"}, dataset(columns=columns), "node.toml")


def test_a_wrong_description_is_found_before_anything_starts(tmp_path: Path) -> None:
    paths = ward(tmp_path, more='colour = "red"')
    with pytest.raises(LocalError) as caught:
        config.datasets(paths, config.load(paths))
    assert "colour" in caught.value.message


def test_an_undescribed_dataset_is_told_what_is_missing_each_with_its_remedy(
    tmp_path: Path,
) -> None:
    (found,) = records(ward(tmp_path, described=False))
    judged = describe.judge(found)
    assert not judged.publishable
    text = list(describe.lines(judged))
    for element in ("dct:description", "dcat:keyword", "healthdcatap:hdab", "dct:provenance"):
        (line,) = [line for line in text if line.startswith(f"  ! {element} is missing")]
        assert "`" in line
    assert any(line.startswith("  advised: dct:publisher") for line in text)
    assert "  ! it is not published until then" in text


def test_a_full_description_conforms(tmp_path: Path) -> None:
    pytest.importorskip("pyshacl", reason="needs the extra commensal[rdf]")
    (found,) = records(ward(tmp_path))
    judged = describe.judge(found)
    assert judged.publishable
    assert "can be published" in list(describe.lines(judged))[-1]


def test_without_the_extra_a_record_is_judged_by_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_node: object) -> None:
        raise LocalError("EXTRA_MISSING", "no pyshacl", "")

    monkeypatch.setattr(healthdcat_shacl, "validate", absent)
    (found,) = records(ward(tmp_path))
    judged = describe.judge(found)
    assert judged.publishable
    assert "commensal[rdf]" in list(describe.lines(judged))[-1]


@pytest.mark.parametrize(
    "columns",
    [
        [{"name": "age", "kind": "numeric", "minimum": 0, "maximum": 120}],
        [{"name": "age", "kind": "numeric", "minimum": 0, "maximum": 120, "nullable": True},
         {"name": "above_0", "kind": "category", "categories": ["a", "b"]}],
        [{"name": "died", "kind": "binary"},
         {"name": "age", "kind": "numeric", "minimum": 0, "maximum": 120}],
    ],
)  # fmt: skip
def test_people_are_counted_whatever_the_columns_are(
    tmp_path: Path, columns: list[dict[str, Any]]
) -> None:
    rows = "".join(f"P{number},{'' if number % 2 else 50},a,1\n" for number in range(60))
    (tmp_path / "patients.csv").write_text("person,age,above_0,died\n" + rows)
    held = dataset(columns=columns).relative_to(tmp_path)
    assert describe.count(held, describe.Sandbox()) == Exact(60, 60)


def test_what_no_model_can_be_made_of_is_not_counted(tmp_path: Path) -> None:
    held = dataset(columns=[{"name": "died", "kind": "binary"}]).relative_to(tmp_path)
    assert describe.count(held, describe.Sandbox()) is None
    found = describe.record(held, description.parse({}, held, "node.toml"), None, ON)
    assert found.persons is None


def test_the_command_prints_the_record_and_exits_by_what_is_missing(tmp_path: Path) -> None:
    ward(tmp_path / "bare", described=False)
    bare = CliRunner().invoke(node, ["describe", str(tmp_path / "bare")])
    assert bare.exit_code == 1
    assert "! dcat:keyword is missing" in bare.output
    ward(tmp_path / "full")
    full = CliRunner().invoke(node, ["describe", str(tmp_path / "full"), "--json"])
    assert full.exit_code == 0
    assert json.loads(full.output)["@id"] == "ward/patients"


def test_a_step_may_be_coarser_and_is_in_the_record(tmp_path: Path) -> None:
    (found,) = records(ward(tmp_path, more="count_step = 250"))
    assert found.persons is not None
    assert (found.persons.value, found.persons.step) == (250, 250)
    assert "multiple of 250" in describe.spell(found, "ward")
