"""The picture of the budget comes from the log alone, and says what the ledger counts."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bookkeeping import LATER, MECHANISMS, NOW, Plan, activated, decided, ended, reserved
from rich.console import Console

from connector.audit.ledger import fold
from connector.audit.log import Log
from connector.identity.keys import SigningKey
from node.budget import _BAR, Account, accounts, picture
from policies.privacy import NOTHING, ORDERS, Budget, Cost

LOUD, QUIET = MECHANISMS[0], MECHANISMS[2]
PLAN: Plan = {"train": (LOUD, 3), "holdout": (QUIET, 1)}
BUDGET = Budget(Decimal(2), Decimal("0.00001"))
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Append entries to one log; returns its directory."""
    with Log.open(tmp_path / "log", SigningKey("north", b"n" * 32)) as log:

        def append(*found: Any) -> Path:
            log.append([entry.encode() for entry in found])
            return tmp_path / "log"

        yield append


def shown(*found: Account) -> str:
    console = Console(width=140, color_system=None)
    with console.capture() as captured:
        console.print(picture(found))
    return captured.get()


def test_a_dataset_that_nobody_used_has_all_its_budget(write: Write) -> None:
    (found,) = accounts(write(activated()), NOW)
    assert found == Account("north/patients", BUDGET, NOTHING, {})
    assert "0%" in shown(found)
    assert "0.000 of 2" in shown(found)


def test_the_picture_says_what_the_ledger_counts_while_and_after_a_job(write: Write) -> None:
    log: list[Any] = [activated(), decided("job-1", PLAN), reserved("job-1", "train", LOUD)]
    (planned,) = accounts(write(*log), NOW)
    assert planned.spent == fold(log).spent("north/patients", NOW)
    assert planned.spent_epsilon == BUDGET.spent_epsilon(planned.spent)
    (spent,) = accounts(write(ended("job-1")), NOW)
    assert spent.spent == LOUD.cost
    assert 0 < spent.spent_epsilon < planned.spent_epsilon
    assert accounts(write(), LATER) == [spent]


def test_each_users_jobs_are_added_up(write: Write) -> None:
    one: Plan = {"train": (QUIET, 1)}
    users = ("a university", "a company", "a university")
    jobs = [decided(f"job-{n}", one, user=user) for n, user in enumerate(users)]
    (found,) = accounts(write(activated(), *jobs), NOW)
    assert found.by_user == {"a university": QUIET.cost + QUIET.cost, "a company": QUIET.cost}
    assert found.spent.rdp == pytest.approx((QUIET.cost + QUIET.cost + QUIET.cost).rdp)
    text = shown(found)
    assert text.index("a university") < text.index("a company")


def test_datasets_have_an_account_each(write: Write) -> None:
    others = activated(dataset="north/others", id="north/others")
    job = decided("job-1", PLAN, dataset="north/others")
    first, second = accounts(write(activated(), others, job), NOW)
    assert (first.dataset, second.dataset) == ("north/others", "north/patients")
    assert first.spent != NOTHING
    assert second.spent == NOTHING


def test_the_policy_that_was_activated_last_says_how_large_the_budget_is(write: Write) -> None:
    raised = activated(version=2, budget={"epsilon": "3", "delta": "0.00001"})
    (found,) = accounts(write(activated(), raised), NOW)
    assert found.budget.epsilon == 3


def test_an_epsilon_is_not_shown_below_what_it_is(write: Write) -> None:
    for job in range(5):
        (found,) = accounts(write(activated(), decided(f"job-{job}", {"train": (QUIET, 1)})), NOW)
        line = next(line for line in shown(found).splitlines() if "north/patients" in line)
        assert Decimal(line.partition("%")[2].split()[0]) >= found.spent_epsilon


@pytest.mark.parametrize("user", ["[/]", "[red]", "Inst. [Oncology]", "\\[bold]"])
def test_a_users_name_is_text_and_not_markup(write: Write, user: str) -> None:
    (found,) = accounts(write(activated(), decided("job-1", PLAN, user=user)), NOW)
    assert user in shown(found)


@pytest.mark.parametrize(
    ("share", "part"), [(0.0, 0), (0.0001, 1 / _BAR), (0.5, 0.5), (1.0, 1), (9.0, 1)]
)
def test_a_bar_shows_the_smallest_share_and_ends_at_its_end(share: float, part: float) -> None:
    at_order = (BUDGET.limit * share * (order == BUDGET.order) for order in ORDERS)
    text = shown(Account("north/patients", BUDGET, Cost(tuple(at_order)), {}))
    assert text.count("█") == round(part * _BAR)
    assert text.count("░") == _BAR - round(part * _BAR)
