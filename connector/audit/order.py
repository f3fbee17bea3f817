"""What must hold between entries, checked in the pass that verifies the log's bytes.

- entries are understood, and their times never go back;
- privacy is reserved only for a job that a decision allowed, under a decision that fails nothing;
- numbers leave only after their reservation, and each step at most once.
"""

from datetime import datetime

from connector.audit import entries
from policies.decision import Verdict, verdict_of
from policies.errors import PolicyError

Step = tuple[str, int, str]


class Order:
    """A fold that raises `PolicyError` (ENTRY_INVALID, LOG_ORDER) at the first wrong entry."""

    passed = (
        "every entry is understood, and times never go back",
        "every release has its reservation, every reservation an allowing decision",
    )

    def __init__(self) -> None:
        self._last: datetime | None = None
        self._allowed: set[str] = set()
        self._reserved: set[Step] = set()
        self._released: set[Step] = set()

    def check(self, _index: int, content: bytes) -> None:
        """One entry, in order."""
        entry = entries.parse(content)
        if self._last is not None and entry.time < self._last:
            raise _wrong("is earlier than the one before it")
        self._last = entry.time
        if isinstance(entry, entries.Decided):
            self._decided(entry)
        elif isinstance(entry, entries.Reserved):
            if entry.job not in self._allowed:
                raise _wrong("reserves privacy for a job that no decision allowed")
            self._reserved.add((entry.job, entry.round, entry.task))
        elif isinstance(entry, entries.Released):
            self._release((entry.job, entry.round, entry.task))

    def _decided(self, entry: entries.Decided) -> None:
        decision = entry.decision
        if decision.verdict is not verdict_of(decision.constraints):
            raise _wrong("gives a verdict that its constraints do not give")
        if decision.request_digest != entry.request.digest:
            raise _wrong("decides another request than it shows")
        if decision.verdict is Verdict.ALLOW:
            self._allowed.add(entry.request.job_digest)

    def _release(self, step: Step) -> None:
        if step not in self._reserved:
            raise _wrong("is a release without a reservation")
        if step in self._released:
            raise _wrong("releases a step a second time")
        self._released.add(step)


def _wrong(what: str) -> PolicyError:
    return PolicyError("LOG_ORDER", f"the entry {what}")
