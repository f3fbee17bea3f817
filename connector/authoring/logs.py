"""Decisions and policies in a log, as its files show them: unverified."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from connector.audit import entries
from connector.audit.damage import DamageError
from connector.audit.reading import read_log
from connector.audit.replay import Case, cases, past
from connector.audit.verify import locate
from connector.errors import LocalError
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.policy import Policy
from policies.request import Facts, UsageRequest

Log = Iterable[tuple[int, bytes]]
Asked = tuple[UsageRequest, Facts, Verdict]
_OF_THE_LOG = frozenset({"ENTRY_INVALID", "CANONICAL_BYTES"})
_ACTIVATED = b'"kind":"policy-activated"'
_DECIDED = b'"kind":"decided"'


@contextmanager
def reading(directory: Path) -> Iterator[Log]:
    """The entries of a log, unverified.

    Raises `LocalError`: LOG_MISSING, LOG_TAMPERED, LOG_DAMAGED (at its end, see `read_log`).
    """
    with located(directory) as log:
        yield read_log(log)


@contextmanager
def located(directory: Path) -> Iterator[Path]:
    """Where the log is, with one error for all that may be wrong with it; as `reading`."""
    try:
        yield locate(directory)
    except (DamageError, PolicyError) as error:
        if isinstance(error, PolicyError) and error.code not in _OF_THE_LOG:
            raise
        raise LocalError(
            "LOG_TAMPERED",
            f"the audit log in {directory} cannot be read: {error}",
            f"Run `commensal audit verify {directory}` to see what is wrong",
        ) from error


def decisions(
    log: Log, index: int | None, job: str | None
) -> Iterator[tuple[int, entries.Decided]]:
    """The decision of that entry, or about that job (by the start of its digest), or all."""
    wanted = (job or "").removeprefix("sha256:")
    for at, content in log:
        if _DECIDED not in content or (index is not None and at != index):
            continue
        entry = entries.parse(content)
        if not isinstance(entry, entries.Decided):
            continue
        if entry.request.job_digest.removeprefix("sha256:").startswith(wanted):
            yield at, entry


def rested_on(log: Log, index: int) -> tuple[Policy, UsageRequest, Facts]:
    """What the decision of that entry rested on. Raises `LocalError` (DECISION_UNKNOWN)."""
    policies: dict[str, Policy] = {}

    def watched() -> Log:
        for at, content in log:
            if _ACTIVATED in content:
                entry = entries.parse(content)
                if isinstance(entry, entries.PolicyActivated):
                    policies[entry.policy.digest] = entry.policy
            yield at, content

    for case in cases(watched(), None):
        if isinstance(case, Case) and case.index == index:
            return policies[case.compiled.digest], case.request, case.facts
    raise LocalError(
        "DECISION_UNKNOWN",
        f"nothing can be said of the decision of entry {index}: no policy was active",
        "Run `commensal audit replay` to see what is wrong with the log",
    )


def requests(log: Log, dataset: str, last: int | None) -> Iterable[Asked]:
    """The requests about a dataset, all or the last ones, with the facts of their time."""
    asked = (one for one in past(log, None) if one[0].dataset == dataset)
    return asked if last is None else deque(asked, maxlen=last)
