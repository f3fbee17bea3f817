"""What the desk shows of offers: enough to write a job, and nothing that steers a terminal."""

from datetime import UTC, datetime
from typing import Any

from desk import offer

from connector.schema import Column
from connector.store import Participant
from coordinator.views import catalogue

NOW = datetime(2026, 6, 1, tzinfo=UTC)
COLUMNS = (
    Column(name="age", kind="numeric", minimum="0", maximum="120", unit="years"),
    Column(name="ward", kind="category", categories=("surgery", "\x1b[2Jother"), nullable=True),
    Column(name="died", kind="binary"),
    Column(name="postcode", kind="numeric", minimum="0", maximum="99999"),
)


def _offer(dataset: str) -> dict[str, Any]:
    made = offer(dataset, *COLUMNS)
    made["policy"] |= {"purposes": ["statistics"], "columns": ["age", "ward", "died"]}
    return made


def _participant(*datasets: str) -> Participant:
    return Participant(
        name="ward", signing_key="", fleet_key="", enrolled_at=NOW, not_after=NOW,
        offers=[_offer(dataset) for dataset in datasets],
    )  # fmt: skip


def test_a_catalogue_tells_tasks_and_the_columns_that_a_policy_allows() -> None:
    assert list(catalogue([_participant("ward/patients")])) == [
        "ward/patients: for statistics",
        "    50 people and 3 hospitals at least, epsilon 1.0 a job at most, until 2027-01-01",
        "    tasks: training.logistic",
        "    age: 0 to 120 years",
        "    ward: surgery, ?[2Jother, may be missing",
        "    died: yes or no",
    ]


def test_each_dataset_is_followed_by_its_own_columns() -> None:
    lines = list(catalogue([_participant("ward/a", "ward/b")]))
    assert [line.split(":")[0].strip() for line in lines if "ward/" in line or "tasks" in line] == [
        "ward/a", "tasks", "ward/b", "tasks",
    ]  # fmt: skip


def test_an_empty_catalogue_says_so() -> None:
    (line,) = catalogue([_participant()])
    assert "nothing is on offer" in line


def test_nobody_offers_another_hospitals_dataset() -> None:
    lines = list(catalogue([_participant("ward/a", "clinic/b")]))
    assert "ward/a: for statistics" in lines
    assert not [line for line in lines if "clinic" in line]
