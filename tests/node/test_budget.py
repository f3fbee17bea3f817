"""The picture of the budget comes from the log alone, and says what the gate would say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from gatehouse import DATASET, NOW, Gatehouse, permit, policy, spec
from rich.console import Console

from node.budget import _BAR, Account, accounts, picture
from policies.privacy import NOTHING, ORDERS, Budget, Cost


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    yield made
    made.close()


def account(house: Gatehouse) -> Account:
    (found,) = accounts(house.directory / "log", NOW)
    return found


def shown(*found: Account) -> str:
    console = Console(width=140, color_system=None)
    with console.capture() as captured:
        console.print(picture(found))
    return captured.get()


def test_a_dataset_that_nobody_used_has_all_its_budget(house: Gatehouse) -> None:
    found = account(house)
    assert found.dataset == DATASET.id
    assert found.spent == NOTHING
    assert found.by_user == {}
    assert found.budget == Budget(policy().budget.epsilon, policy().budget.delta)
    assert "0%" in shown(found)
    assert "0.000 of 2" in shown(found)


def test_the_picture_says_what_the_gate_counts(house: Gatehouse) -> None:
    job = spec(permit())
    house.begin(job, permit())
    house.step(job, 1, "training.logistic")
    planned = account(house)
    assert planned.spent == house.gate.ledger.spent(DATASET.id, NOW) == job.cost()
    house.send("end", {"job": job.digest, "reason": "finished"})
    spent = account(house)
    assert spent.spent == house.gate.ledger.spent(DATASET.id, NOW)
    assert 0 < spent.spent_epsilon < planned.spent_epsilon


def test_each_users_jobs_are_added_up(house: Gatehouse) -> None:
    for number, user in enumerate(("a university", "a company", "a university")):
        granted = permit(id=f"permit-{number}", data_user=user)
        house.begin(spec(granted, epsilon="0.3", id=f"job-{number}"), granted)
    found = account(house)
    one = spec(permit(), epsilon="0.3").cost()
    assert found.by_user == {"a university": one + one, "a company": one}
    assert found.spent.rdp == pytest.approx((one + one + one).rdp)
    text = shown(found)
    assert text.index("a university") < text.index("a company")


def test_the_policy_that_was_activated_last_says_how_large_the_budget_is(
    house: Gatehouse,
) -> None:
    house.own_policy = policy(version=2, budget={"epsilon": "3", "delta": "0.00001"})
    house.restart()
    assert account(house).budget.epsilon == 3


def test_an_epsilon_is_not_shown_below_what_it_is(house: Gatehouse) -> None:
    job = spec(permit(), epsilon="0.3")
    house.begin(job, permit())
    found = account(house)
    line = next(line for line in shown(found).splitlines() if DATASET.id in line)
    said = line.partition("%")[2].split()[0]
    assert type(found.spent_epsilon)(said) >= found.spent_epsilon


@pytest.mark.parametrize("user", ["[/]", "[red]", "Inst. [Oncology]", "\\[bold]"])
def test_a_users_name_is_text_and_not_markup(house: Gatehouse, user: str) -> None:
    granted = permit(data_user=user)
    assert house.begin(spec(granted), granted)["status"] == "ok"
    assert user in shown(account(house))


@pytest.mark.parametrize(
    ("share", "part"), [(0.0, 0), (0.0001, 1 / 20), (0.5, 0.5), (1.0, 1), (9.0, 1)]
)
def test_a_bar_shows_the_smallest_share_and_ends_at_its_end(share: float, part: float) -> None:
    budget = Budget(policy().budget.epsilon, policy().budget.delta)
    at_order = (budget.limit * share * (order == budget.order) for order in ORDERS)
    text = shown(Account("north/patients", budget, Cost(tuple(at_order)), {}))
    assert text.count("█") == round(part * _BAR)
    assert text.count("░") == _BAR - round(part * _BAR)
