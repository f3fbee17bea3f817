"""What stands in force: policies and answers that officers signed, and permits taken back.

A pure fold over the log. The policy that decides is the last one activated here; the file beside
the node's configuration is only a proposal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from connector.audit import entries
from connector.audit.damage import DamageError, frames_from
from policies.decision import Verdict
from policies.policy import Policy

# Of a duty: step ("began", "extended", "done"), permit's id, duty, job, evidence, signed at.
Record = tuple[str, str, str, str, str, datetime]
# Entries of these kinds are parsed, all others passed over.
_MARKS = (
    b'"kind":"policy-activated"', b'"kind":"approved"', b'"kind":"duty-', b'"kind":"permit-rev',
)  # fmt: skip


class Standing:
    """`active`: the last activation of each dataset; `answers`: by (dataset, permit digest).

    `revocations`: the last word of the access body about each permit that it took back, by its id;
    `signatures`: those of every instruction that was followed; `permits`: ids of those under which
    something was allowed or is owed, of a whole log only.
    """

    def __init__(self) -> None:
        self.active: dict[str, entries.PolicyActivated] = {}
        self.answers: dict[tuple[str, str], entries.Approved] = {}
        self.revocations: dict[str, entries.PermitRevoked] = {}
        self.signatures: set[str] = set()
        self.permits: set[str] = set()
        self._versions: dict[tuple[str, str], int] = {}
        self._records: set[Record] = set()
        self._revoked: set[str] = set()

    def apply(self, entry: Any) -> None:
        """Fold one log entry in; most kinds change nothing."""
        if isinstance(entry, entries.PolicyActivated):
            policy = entry.policy
            self.active[policy.dataset] = entry
            known = self.version(policy.dataset, policy.id)
            self._versions[policy.dataset, policy.id] = max(known, policy.version)
            self.signatures.update(entry.signatures)
        elif isinstance(entry, entries.Approved):
            self.answers[entry.dataset, entry.permit_digest] = entry
            self.signatures.add(entry.signature)
        elif isinstance(entry, entries.PermitRevoked):
            self.revocations[entry.permit_id] = entry
            self._revoked.update((entry.permit_id, entry.permit_digest))
        elif isinstance(entry, entries.OfDuty):
            self._record(entry)
        elif isinstance(entry, entries.Decided) and entry.decision.verdict is Verdict.ALLOW:
            self.permits.add(entry.permit_id)

    def policy(self, dataset: str) -> Policy | None:
        """The policy that decides about a dataset, or None: then nothing is allowed."""
        entry = self.active.get(dataset)
        return None if entry is None else entry.policy

    def version(self, dataset: str, policy_id: str) -> int:
        """The highest version of a policy that was ever active; 0 if none was."""
        return self._versions.get((dataset, policy_id), 0)

    def approved(self, dataset: str, permit_digest: str) -> bool | None:
        """The last answer about a permit's use of a dataset; None while nobody has answered."""
        answer = self.answers.get((dataset, permit_digest))
        return None if answer is None else answer.approved

    def answered_at(self, dataset: str, permit_digest: str) -> datetime | None:
        """When that answer was signed."""
        answer = self.answers.get((dataset, permit_digest))
        return None if answer is None else answer.signed_at

    def revoked(self, *permit: str) -> bool:
        """Whether a permit is revoked or suspended, by its id or by its digest."""
        return not self._revoked.isdisjoint(permit)

    def holds(self, record: Record) -> bool:
        """Whether the very same record stands in the log."""
        return record in self._records

    def _record(self, entry: entries.OfDuty) -> None:
        step = entry.kind.removeprefix("duty-")
        self._records.add(
            (step, entry.permit_id, entry.duty, entry.job, entry.evidence, entry.signed_at)
        )
        self.signatures.add(entry.signature)
        if step == "began":
            self.permits.add(entry.permit_id)


def read_standing(log: Path) -> Standing:
    """What stands in a log's files, unverified; a log that is not there yet holds nothing."""
    standing = Standing()
    for _, entry in standing_entries(log):
        standing.apply(entry)
    return standing


def standing_entries(log: Path) -> Iterable[tuple[int, Any]]:
    """Index and entry of all that was signed, in a log's files, unverified."""
    for index, entry, _ in entries_since(log, Place()):
        if entry is not None:
            yield index, entry


@dataclass(frozen=True)
class Place:
    """A place between a log's entries: the index of the next one, and its byte."""

    index: int = 0
    offset: int = 0


def entries_since(log: Path, place: Place) -> Iterable[tuple[int, Any, Place]]:
    """Of each entry from a place on: its index, itself if somebody signed it, the place after it.

    As the files have it, unverified.
    """
    try:
        for index, (offset, content) in enumerate(frames_from(log, place.offset), place.index):
            signed = any(mark in content for mark in _MARKS)
            yield index, entries.parse(content) if signed else None, Place(index + 1, offset)
    except DamageError:
        return
