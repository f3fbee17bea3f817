"""`node check` says what a job would find, before there is one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connector.audit import entries
from connector.audit.log import Log
from connector.authoring.spool import Inbox
from connector.identity.keys import SigningKey
from node import config, templates
from node.check import check
from node.config import Paths
from policies.errors import Error

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROWS = ["person,age,died", *(f"P{number},{40 + number % 50},{number % 2}" for number in range(80))]


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    templates.write(tmp_path, "ward")
    (tmp_path / "patients.csv").write_text("\n".join(ROWS) + "\n")
    edit(tmp_path, "policy.toml", "not_before = ", "not_before = 2026-01-01T00:00:00Z #")
    edit(tmp_path, "policy.toml", "not_after = ", "not_after = 2027-01-01T00:00:00Z #")
    return tmp_path


def edit(directory: Path, name: str, old: str, new: str) -> None:
    text = (directory / name).read_text()
    assert old in text
    (directory / name).write_text(text.replace(old, new))


def lines(directory: Path, now: datetime = NOW) -> list[str]:
    return list(check(Paths(directory), now))


def warnings(directory: Path, now: datetime = NOW) -> list[str]:
    """Without what is said of officers and of activation."""
    found = [line for line in lines(directory, now) if line.startswith("  !")]
    return [line for line in found if "commensal policy activate" not in line]


def activate(directory: Path, *, version: int, **changed: Any) -> None:
    """As the node would log it."""
    paths = Paths(directory)
    (holding,) = config.holdings(paths, config.load(paths))
    entry = entries.PolicyActivated(
        time=NOW,
        policy=holding.policy.model_copy(update={"version": version, **changed}),
        officers=("alice+00000000+AAAA", "bob+00000000+BBBB"),
        examples="sha256:e",
        signed_at=NOW,
        signatures=(),
    )
    with Log.open(paths.log, SigningKey("ward", b"w" * 32)) as log:
        log.append([entries.spell(entry)])


def test_a_policy_that_is_only_a_file_decides_nothing_and_the_command_is_named(ward: Path) -> None:
    found = "\n".join(lines(ward))
    assert "! node.toml names no officers" in found
    assert "! no policy is active, so nothing is offered" in found
    assert f"commensal policy activate {ward}/policy.toml --data {ward} --key" in found


def test_a_policy_that_two_officers_signed_is_said_to_wait_for_the_node(ward: Path) -> None:
    paths = Paths(ward)
    (holding,) = config.holdings(paths, config.load(paths))
    Inbox(paths.inbox).hand_in("activate", holding.policy.digest, "{}")
    found = "\n".join(lines(ward))
    assert "signed by two officers: it becomes active when the node starts" in found
    assert "commensal policy activate" not in found


def test_the_active_policy_is_said_with_who_signed_for_it(ward: Path) -> None:
    activate(ward, version=1)
    assert "  active since 2026-06-01 00:00 UTC, signed by alice and bob" in lines(ward)


def test_a_file_that_differs_from_what_decides_is_said_with_the_command(ward: Path) -> None:
    activate(ward, version=1)
    edit(ward, "policy.toml", "version = 1", "version = 2")
    (line,) = [line for line in lines(ward) if "is not what decides" in line]
    assert "ward/research version 1 does" in line
    assert "commensal policy activate" in line


def test_an_active_policy_for_columns_that_the_dataset_has_lost_is_said(ward: Path) -> None:
    activate(ward, version=1, columns=("age", "weight"))
    (line,) = [line for line in lines(ward) if "does not fit" in line]
    assert line.startswith("  ! ")
    assert "names column weight" in line


def test_the_files_to_start_from_can_be_used_as_they_are(ward: Path) -> None:
    found = "\n".join(lines(ward))
    assert "80 people with all required values" in found
    assert "landlock, seccomp" in found
    assert warnings(ward) == []


def test_opt_outs_that_are_found_are_counted_and_misspelled_ones_are_not(ward: Path) -> None:
    (ward / "opt_outs.txt").write_text("P3\nP5\np7\n")
    edit(ward, "node.toml", "# opt_outs", "opt_outs")
    found = "\n".join(lines(ward))
    assert "78 people with all required values" in found
    assert "2 rows of people who opted out are left out" in found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"training.logistic", ', '"training.forest", ', "there is no task training.forest"),
        ('outputs = ["model"]', 'outputs = ["table"]', "no task makes a table"),
        ("minimum_cohort = 50", "minimum_cohort = 81", "fewer than minimum_cohort, 81"),
    ],
)
def test_what_lets_nothing_happen_is_said(ward: Path, old: str, new: str, says: str) -> None:
    edit(ward, "policy.toml", old, new)
    (warning,) = warnings(ward)
    assert says in warning


@pytest.mark.parametrize(
    "now", [datetime(2025, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]
)
def test_a_policy_that_is_not_in_force_is_said(ward: Path, now: datetime) -> None:
    (warning,) = warnings(ward, now)
    assert "not in force" in warning


def test_a_budget_in_which_nothing_fits_is_an_error(ward: Path) -> None:
    edit(ward, "policy.toml", "epsilon = 3.0", "epsilon = 0.001")
    with pytest.raises(Error) as caught:
        lines(ward)
    assert caught.value.code == "PRIVACY_BUDGET_TOO_SMALL"
