"""How much of each dataset's privacy budget is spent, by whom, and what is left, as a picture."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from connector.audit import entries
from connector.audit.damage import read_entries
from connector.audit.ledger import Ledger
from policies.privacy import NOTHING, Budget, Cost, spell_epsilon

if TYPE_CHECKING:
    from rich.console import RenderableType

_BAR = 20


@dataclass(frozen=True)
class Account:
    """One dataset: its budget, what all jobs cost together, and what each data user's jobs cost."""

    dataset: str
    budget: Budget
    spent: Cost
    by_user: dict[str, Cost]

    @property
    def spent_epsilon(self) -> Decimal:
        """What the budget's filter certifies for all jobs together."""
        return self.budget.spent_epsilon(self.spent)


def accounts(log: Path, now: datetime) -> list[Account]:
    """The accounts of every dataset that ever had a policy here, from the log alone."""
    ledger = Ledger()
    for _, content in read_entries(log):
        ledger.apply(entries.parse(content))
    found = []
    for dataset, active in sorted(ledger.standing.active.items()):
        limits = active.policy.budget
        budget = Budget(limits.epsilon, limits.delta)
        by_user = _by_user(ledger, dataset, now)
        found.append(Account(dataset, budget, ledger.spent(dataset, now), by_user))
    return found


def picture(found: Iterable[Account]) -> "RenderableType":
    """Bars for a terminal: the share of the budget that is used up, in all and by data user."""
    from rich.markup import escape  # noqa: PLC0415 - ledgers are read where rich is not needed
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("dataset, and who spent", no_wrap=True, width=28)
    table.add_column("spent or reserved", no_wrap=True)
    table.add_column("", justify="right")
    table.add_column("epsilon", no_wrap=True)
    for account in found:
        budget = account.budget
        share = budget.share_spent(account.spent)
        table.add_row(
            f"[bold]{escape(account.dataset)}[/]",
            _bar(share),
            f"{share:.0%}",
            f"{spell_epsilon(account.spent_epsilon)} of {budget.epsilon}",
        )
        for user, cost in account.by_user.items():
            part = budget.share_spent(cost)
            table.add_row(f"  {escape(user)}", _bar(part), f"{part:.0%}", "")
    return table


def _by_user(ledger: Ledger, dataset: str, now: datetime) -> dict[str, Cost]:
    users: dict[str, Cost] = {}
    for account in ledger.jobs.values():
        if account.dataset == dataset:
            users[account.data_user] = users.get(account.data_user, NOTHING) + account.cost(now)
    return users


def _bar(share: float) -> str:
    filled = min(_BAR, max(1 if share > 0 else 0, round(share * _BAR)))
    colour = "red" if share > 0.8 else "yellow" if share > 0.5 else "green"
    return f"[{colour}]{'█' * filled}[/][dim]{'░' * (_BAR - filled)}[/]"
