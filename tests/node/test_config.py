"""What a hospital writes: every error with its code and its place, before anything starts."""

import re
from pathlib import Path
from typing import Any

import pytest

from connector.errors import LocalError
from connector.identity.keys import SigningKey
from node import config
from node.config import Holding, Paths

NODE = """\
name = "north"

[[datasets]]
policy = "policy.toml"
id = "north/patients"
title = "Patients"
person_column = "person"
[datasets.source]
kind = "csv"
path = "patients.csv"
[[datasets.columns]]
name = "age"
kind = "numeric"
minimum = 0
maximum = 120.5
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
epsilon_per_job = 0.3
not_before = 2026-01-01T00:00:00Z
not_after = 2027-01-01T00:00:00Z
[budget]
epsilon = 3.0
delta = 0.00001
"""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "node.toml").write_text(NODE)
    (tmp_path / "policy.toml").write_text(POLICY)
    return Paths(tmp_path)


def read(paths: Paths) -> tuple[Holding, ...]:
    return config.holdings(paths, config.load(paths))


def refused(paths: Paths) -> LocalError:
    with pytest.raises(LocalError) as refusal:
        read(paths)
    return refusal.value


def test_a_good_configuration_is_read_exactly(paths: Paths) -> None:
    (holding,) = read(paths)
    assert holding.dataset.id == holding.policy.dataset == "north/patients"
    assert holding.dataset.source.path == paths.root / "patients.csv"
    assert holding.dataset.schema.names == ("age", "died")
    age = holding.dataset.schema.find("age")
    assert age is not None
    assert str(age.maximum) == "120.5", "decimals are not bent through floats"
    assert str(holding.policy.epsilon_per_job) == "0.3"
    settings = config.load(paths)
    assert settings.name == "north"
    assert not settings.allow_weaker_isolation


def test_an_absolute_path_stays_what_it_is(paths: Paths) -> None:
    paths.config.write_text(NODE.replace('"patients.csv"', '"/data/patients.csv"'))
    assert str(read(paths)[0].dataset.source.path) == "/data/patients.csv"


def test_a_policy_in_another_folder_is_found_from_the_configuration(paths: Paths) -> None:
    (paths.root / "policies").mkdir()
    (paths.root / "policy.toml").rename(paths.root / "policies" / "research.toml")
    paths.config.write_text(NODE.replace('"policy.toml"', '"policies/research.toml"'))
    assert read(paths)[0].policy.id == "north/research"


@pytest.mark.parametrize(
    ("old", "new", "code", "names"),
    [
        ('name = "north"', "", "CONFIG_INVALID", "name"),
        ('name = "north"', 'name = "north"\ncolour = 1', "CONFIG_INVALID", "colour"),
        (
            'name = "north"',
            'name = "north"\nmessages_per_minute = 0',
            "CONFIG_INVALID",
            "messages_",
        ),
        ('name = "north"', 'name = "south"', "DATASET_NOT_OURS", "north/patients"),
        ('"north/patients"', '"northern/patients"', "DATASET_NOT_OURS", "northern/patients"),
        ('"north/patients"', '"a b"', "CONFIG_INVALID", "id"),
        ("title", "tittle", "CONFIG_INVALID", "title"),
        ('kind = "csv"', 'kind = "excel"', "CONFIG_INVALID", "source"),
        ('path = "patients.csv"', "", "CONFIG_INVALID", "source.csv.path"),
        ("maximum = 120.5", "maximum = 0", "CONFIG_INVALID", "columns.0"),
        ("maximum = 120.5", "", "CONFIG_INVALID", "columns.0"),
        ('kind = "numeric"', 'kind = "number"', "CONFIG_INVALID", "columns.0.kind"),
        ('name = "died"', 'name = "age"', "CONFIG_INVALID", "'age' occurs twice"),
        ("[datasets.source]", "[datasets.source", "CONFIG_SYNTAX", "node.toml"),
        ("minimum = 0", "minimum = ", "CONFIG_SYNTAX", "node.toml"),
        ("minimum = 0", "a = " + "[" * 5000, "CONFIG_SYNTAX", "node.toml"),
        ('"policy.toml"', '"none.toml"', "POLICY_MISSING", "none.toml"),
        ('"policy.toml"', '"."', "POLICY_MISSING", "cannot read"),
        ('policy = "policy.toml"', "policy = 1", "POLICY_MISSING", "cannot read"),
    ],
)
def test_a_configuration_that_is_wrong_says_where(
    paths: Paths, old: str, new: str, code: str, names: str
) -> None:
    assert old in NODE
    paths.config.write_text(NODE.replace(old, new, 1))
    error = refused(paths)
    assert error.code == code
    assert names in error.message
    assert str(paths.root) in error.message


@pytest.mark.parametrize(
    ("old", "new", "code", "names"),
    [
        ('"north/patients"', '"north/others"', "POLICY_DATASET", "north/others"),
        ('["age", "died"]', '["age", "weight"]', "POLICY_COLUMN", "weight"),
        ('"scientific-research"', '"advertising"', "POLICY_INVALID", "purposes"),
        ("minimum_cohort", "minimum_kohort", "POLICY_INVALID", "minimum_"),
        ("epsilon = 3.0", "epsilon = -1", "POLICY_INVALID", "budget.epsilon"),
        ("[budget]", "[budget", "POLICY_SYNTAX", "policy.toml"),
    ],
)
def test_a_policy_that_does_not_fit_says_where(
    paths: Paths, old: str, new: str, code: str, names: str
) -> None:
    assert old in POLICY
    (paths.root / "policy.toml").write_text(POLICY.replace(old, new, 1))
    error = refused(paths)
    assert error.code == code
    assert names in error.message
    assert str(paths.root / "policy.toml") in error.message


def test_a_column_that_the_data_lack_gets_the_list_of_those_they_have(paths: Paths) -> None:
    (paths.root / "policy.toml").write_text(POLICY.replace('"age", ', '"weight", '))
    assert "age, died" in refused(paths).remedy


def test_a_missing_configuration_says_how_to_write_one(tmp_path: Path) -> None:
    error = refused(Paths(tmp_path / "none"))
    assert error.code == "CONFIG_MISSING"
    assert str(tmp_path / "none" / "node.toml") in error.message
    assert "init" in error.remedy


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", "name = 'ä'".encode("utf-16")])
def test_what_is_no_text_is_not_toml(paths: Paths, content: bytes) -> None:
    paths.config.write_bytes(content)
    assert refused(paths).code == "CONFIG_SYNTAX"


def test_a_huge_configuration_is_refused_before_it_is_parsed(paths: Paths) -> None:
    paths.config.write_bytes(b"#" * ((1 << 20) + 1))
    error = refused(paths)
    assert error.code == "CONFIG_MISSING"
    assert "larger" in error.message


def test_a_node_without_datasets_is_refused(paths: Paths) -> None:
    paths.config.write_text('name = "north"\n')
    assert "datasets" in refused(paths).message


def officers(*names: str) -> str:
    keys = [SigningKey(name, bytes([number]) * 32) for number, name in enumerate(names)]
    return f"officers = {[key.verify_key.vkey for key in keys]}\n"


def test_officers_are_none_or_two_and_more(paths: Paths) -> None:
    assert config.load(paths).officer_keys == ()
    paths.config.write_text(officers("alice", "bob", "carol") + NODE)
    names = [key.name for key in config.load(paths).officer_keys]
    assert names == ["alice", "bob", "carol"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (officers("alice"), "one alone"),
        (officers("alice", "alice"), "same name"),
        (officers("alice", "bob").replace("bob+", "bob-"), "commensal policy officer"),
        ('officers = ["alice", "bob"]\n', "commensal policy officer"),
        ('officers = "alice"\n', "officers"),
    ],
)
def test_officers_that_are_not_two_people_are_refused(paths: Paths, line: str, says: str) -> None:
    paths.config.write_text(line + NODE)
    error = refused(paths)
    assert error.code == "CONFIG_INVALID"
    assert says in error.message
    assert "Value error" not in error.message


def test_two_policies_for_one_dataset_are_refused(paths: Paths) -> None:
    table = NODE.partition("\n\n")[2]
    (paths.root / "lax.toml").write_text(
        POLICY.replace("minimum_cohort = 10", "minimum_cohort = 1")
    )
    paths.config.write_text(NODE + table.replace("policy.toml", "lax.toml"))
    error = refused(paths)
    assert error.code == "CONFIG_INVALID"
    assert "north/patients occurs twice" in error.message


def test_a_policy_that_no_entry_of_the_log_could_hold_is_named(paths: Paths) -> None:
    names = ", ".join(f'"column-{number}-{"x" * 40}"' for number in range(400))
    policy = paths.root / "policy.toml"
    policy.write_text(re.sub(r"columns = .*", f"columns = [{names}]", policy.read_text()))
    error = refused(paths)
    assert error.code == "POLICY_TOO_LARGE"
    assert "policy.toml" in error.message


def test_one_file_has_one_budget(paths: Paths) -> None:
    table = NODE.partition("\n\n")[2].replace("north/patients", "north/others")
    (paths.root / "others.toml").write_text(POLICY.replace("north/patients", "north/others"))
    paths.config.write_text(NODE + table.replace("policy.toml", "others.toml"))
    error = refused(paths)
    assert error.code == "CONFIG_INVALID"
    assert "two datasets" in error.message


def test_several_datasets_have_a_policy_each(paths: Paths) -> None:
    other: dict[str, Any] = {"old": "north/patients", "new": "north/others"}
    table = NODE.partition("\n\n")[2].replace(other["old"], other["new"])
    table = table.replace("patients.csv", "others.csv")
    (paths.root / "others.toml").write_text(POLICY.replace(other["old"], other["new"]))
    paths.config.write_text(NODE + table.replace("policy.toml", "others.toml"))
    assert [h.policy.dataset for h in read(paths)] == ["north/patients", "north/others"]
