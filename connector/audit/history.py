"""A log's entries as what `policies.duties` follows: permits, jobs, records of duties.

A hospital's log and a coordinator's tell the same story from two sides; both are read here. An
allowance is believed with the permit that it shows only if that is the permit it was decided on.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from connector.audit import entries
from connector.audit.damage import read_entries
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from policies import history
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.permit import Permit
from policies.policy import Policy

# Entries of these kinds are parsed, all others passed over.
_MARKS = tuple(
    f'"kind":"{kind}"'.encode()
    for kind in (
        "policy-activated", "permit-issued", "decided", "job-started", "released", "labelled",
        "job-ended", "approved", "duty-began", "duty-extended", "duty-done",
    )
)  # fmt: skip


def read_history(log: Path) -> tuple[history.AnyEvent, ...]:
    """The events in a log's files, unverified.

    Raises `DamageError`, `PolicyError` (ENTRY_INVALID), `LocalError` (PERMIT_UNREADABLE).
    """
    relevant = (
        (index, entries.parse(content))
        for index, content in read_entries(log)
        if any(mark in content for mark in _MARKS)
    )
    return tuple(events(relevant))


def events(log: Iterable[tuple[int, Any]]) -> Iterator[history.AnyEvent]:
    """The events of (index, entry) pairs, in the order of the log.

    Raises `LocalError` (PERMIT_UNREADABLE).
    """
    told = _Told()
    for index, entry in log:
        event = told.event(index, entry)
        if event is not None:
            yield event


class _Told:
    """What earlier entries say that later ones refer to by digest."""

    def __init__(self) -> None:
        self._policies: dict[str, Policy] = {}
        self._permits: dict[str, Permit] = {}

    def event(self, index: int, entry: Any) -> history.AnyEvent | None:
        """What an entry says, if anything of duties hangs on it."""
        match entry:
            case entries.PolicyActivated():
                self._policies[entry.policy.digest] = entry.policy
                return None
            case entries.PermitIssued():
                permit = _permit(index, entry.document, entry.permit_digest)
                self._permits[permit.digest] = permit
                return history.Issued(entry.time, index, permit)
            case entries.Decided():
                return self._decided(index, entry)
            case entries.JobStarted():
                return self._started(index, entry)
            case entries.Released() | entries.Labelled():
                return history.Released(entry.time, index, entry.job)
            case entries.JobEnded():
                return history.Ended(entry.time, index, entry.job)
            case entries.Approved() | entries.OfDuty():
                return _recorded(index, entry)
            case _:
                return None

    def _decided(self, index: int, entry: entries.Decided) -> history.Allowed | None:
        if entry.decision.verdict is not Verdict.ALLOW:
            return None
        return history.Allowed(
            entry.time,
            index,
            _permit(index, entry.permit_document, entry.request.permit_digest),
            entry.request.job_digest,
            entry.job_not_after,
            policy=self._policies.get(entry.decision.policy_digest),
            duties=frozenset(one.duty for one in entry.decision.obligations),
        )

    def _started(self, index: int, entry: entries.JobStarted) -> history.Allowed | None:
        permit = self._permits.get(entry.permit_digest)
        if permit is None:  # a permit that the log does not hold runs no job
            raise _unreadable(index)
        return history.Allowed(
            entry.time, index, permit, entry.job, permit.not_after, holder="hdab"
        )


def _recorded(index: int, entry: entries.Approved | entries.OfDuty) -> history.AnyEvent | None:
    """What an officer signed."""
    if isinstance(entry, entries.Approved):
        about = (entry.permit_id, entry.permit_digest, entry.dataset)
        return history.Consented(entry.time, index, *about, given=entry.approved)
    duty = (entry.time, index, entry.permit_id, entry.duty, entry.job)
    match entry:
        case entries.DutyBegan():
            return history.Began(*duty, days=entry.days)
        case entries.DutyExtended():
            return history.Extended(*duty, until=entry.until)
        case entries.DutyDone():
            return history.Done(*duty)
        case _:
            return None


def _permit(index: int, document: str, digest: str) -> Permit:
    """The permit in a signed document, if it is the one with that digest.

    Its signature was checked by who wrote the log, whom this believes; the digest binds the two.
    """
    try:
        permit = documents.read_unverified(document, Permit)
    except (RemoteError, PolicyError) as error:
        raise _unreadable(index) from error
    if permit.digest != digest:
        raise _unreadable(index)
    return permit


def _unreadable(index: int) -> LocalError:
    return LocalError(
        "PERMIT_UNREADABLE",
        f"entry {index} of the log rests on a permit that cannot be read",
        "Run `commensal audit verify` on the log",
    )
