"""What contracts entitle to, as a log has it: a pure fold, for gates and auditors alike."""

from typing import Any

from connector.audit import entries

AGREEMENT_MISSING = "AGREEMENT_MISSING"
TRANSFER_NOT_STARTED = "TRANSFER_NOT_STARTED"
_OVER = frozenset({"COMPLETED", "TERMINATED"})


class Contracts:
    """Agreements in force and transfers that are not over, of this side as the provider.

    `agreements`: by counter-party and id, the entry that finalized each. `transfers`: by this
    side's id of the process, its last entry.
    """

    def __init__(self) -> None:
        self.agreements: dict[tuple[str, str], entries.ContractMoved] = {}
        self.transfers: dict[str, entries.ContractMoved] = {}

    def apply(self, entry: Any) -> None:
        """Fold one log entry in; most kinds change nothing."""
        if isinstance(entry, entries.AgreementEnded) and entry.role == "provider":
            self.agreements.pop((entry.counterparty, entry.agreement), None)
        if not isinstance(entry, entries.ContractMoved) or entry.role != "provider":
            return
        if entry.process_kind == "transfer":
            self.transfers[entry.process] = entry
            if entry.after in _OVER:
                del self.transfers[entry.process]
        elif entry.after == "FINALIZED":
            self.agreements[entry.counterparty, entry.agreement] = entry

    def lacks(self, counterparty: str, permit_digest: str, dataset: str, job: str) -> str:
        """The code of what is missing for a job of `counterparty` on a dataset; empty: nothing.

        Needed are a finalized agreement on that dataset under that very permit, and a transfer
        under it that is started for that very job.
        """
        agreed = {
            one.agreement
            for one in self.agreements.values()
            if (one.counterparty, one.dataset, one.permit_digest)
            == (counterparty, dataset, permit_digest)
        }
        if not agreed:
            return AGREEMENT_MISSING
        started = any(
            one.agreement in agreed
            and one.counterparty == counterparty
            and one.dataset == dataset
            and one.job == job
            and one.after == "STARTED"
            for one in self.transfers.values()
        )
        return "" if started else TRANSFER_NOT_STARTED

    def started(self, job: str) -> bool:
        """Whether any transfer is started for a job."""
        return any(one.job == job and one.after == "STARTED" for one in self.transfers.values())
