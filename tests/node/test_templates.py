"""The files that a hospital starts from can be used as they are."""

import stat
from decimal import Decimal
from pathlib import Path

import pytest

from connector.authoring import files
from connector.clock import utc_now
from connector.errors import LocalError
from connector.folds import Split
from node import config, templates
from node.config import Paths
from node.data import cohort
from policies import examples


def test_the_templates_are_a_configuration_once_there_is_a_file(tmp_path: Path) -> None:
    written = templates.write(tmp_path / "north", "north")
    names = ["node.toml", "policy.toml", "policy.examples.toml"]
    assert [path.name for path in written] == names
    paths = Paths(tmp_path / "north")
    settings = config.load(paths)
    assert settings.name == "north"
    (holding,) = config.holdings(paths, settings)
    assert set(holding.policy.columns) <= set(holding.dataset.schema.names)
    assert holding.policy.not_before <= utc_now() < holding.policy.not_after
    assert not settings.allow_weaker_isolation
    (paths.root / "patients.csv").write_text("person,age,died\nA,40,yes\nB,50,no\nC,90,1\n")
    with (paths.root / "patients.csv").open("rb") as file:
        everybody = Split(salt="00" * 16, holdout=Decimal(0))
        view = cohort.build(holding.dataset, file, holding.policy.columns, everybody)
    assert view.columns["age"].tolist() == [40, 50, 90]
    assert view.columns["died"].tolist() == [1, 0, 1]


def test_the_policy_to_start_from_comes_with_examples_that_pass(tmp_path: Path) -> None:
    templates.write(tmp_path, "north")
    policy = files.read_policy(tmp_path / "policy.toml")
    report = examples.run(policy, files.read_examples(tmp_path / "policy.toml", None))
    assert report.objection == ""


def test_the_directory_is_the_hospitals_own(tmp_path: Path) -> None:
    templates.write(tmp_path / "north", "north")
    assert stat.S_IMODE((tmp_path / "north").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["node.toml", "policy.toml", "policy.examples.toml"])
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(LocalError) as refusal:
        templates.write(tmp_path, "north")
    assert refusal.value.code == "CONFIG_EXISTS"
    assert str(tmp_path / name) in refusal.value.message
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["", "North", 'a"\nb', "a/b", "{name}"])
def test_a_name_that_is_none_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalError) as refusal:
        templates.write(tmp_path / "x", name)
    assert refusal.value.code == "NAME_INVALID"
    assert not (tmp_path / "x").exists()
