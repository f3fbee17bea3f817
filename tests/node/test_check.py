"""`node check` says what a job would find, before there is one."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from node import templates
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
    return [line for line in lines(directory, now) if line.startswith("  !")]


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
