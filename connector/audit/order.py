"""What must hold between entries, checked in the pass that verifies the log's bytes.

- entries are understood, and their times never go back;
- a decision gives the verdict that its constraints give, on the request that it shows;
- privacy is reserved only for a step of a job that was allowed and is not over, and with exactly
  the mechanism, fold and dataset that the job's specification has for that step;
- numbers leave only after their reservation, and each step at most once.
"""

from datetime import datetime

from connector.audit import entries
from connector.jobs import JobSpec, parse_spec
from policies.decision import Verdict, verdict_of
from policies.errors import PolicyError

Step = tuple[str, int, str]


class Order:
    """A fold that raises `PolicyError` (ENTRY_INVALID, LOG_ORDER) at the first wrong entry."""

    passed = (
        "every entry is understood, and times never go back",
        "every release has its reservation, every reservation its step of an allowed job",
    )

    def __init__(self) -> None:
        self._last: datetime | None = None
        self._allowed: dict[str, tuple[JobSpec, str]] = {}
        self._reserved: dict[Step, str] = {}
        self._seen: set[str] = set()
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
            self._reserve(entry)
        elif isinstance(entry, entries.Released):
            self._release(entry)
        elif isinstance(entry, entries.JobEnded):
            self._allowed.pop(entry.job, None)

    def _decided(self, entry: entries.Decided) -> None:
        decision = entry.decision
        if decision.verdict is not verdict_of(decision.constraints):
            raise _wrong("gives a verdict that its constraints do not give")
        if decision.request_digest != entry.request.digest:
            raise _wrong("decides another request than it shows")
        if (
            decision.decided_at != entry.time
            or decision.permit_digest != entry.request.permit_digest
        ):
            raise _wrong("shows a decision of another time or permit")
        if decision.verdict is Verdict.ALLOW:
            self._allow(entry)

    def _allow(self, entry: entries.Decided) -> None:
        spec = parse_spec(entry.specification.encode())
        if spec.digest != entry.request.job_digest:
            raise _wrong("decides another job than it shows")
        if entry.planned != planned(spec) or entry.job_not_after != spec.not_after:
            raise _wrong("holds another cost or deadline than the job's specification has")
        if spec.digest in self._seen:
            raise _wrong("allows a job a second time")
        self._seen.add(spec.digest)
        self._allowed[spec.digest] = (spec, entry.request.dataset)

    def _reserve(self, entry: entries.Reserved) -> None:
        if entry.job not in self._allowed:
            raise _wrong("reserves privacy for a job that no decision allowed, or that is over")
        spec, dataset = self._allowed[entry.job]
        if entry.time >= spec.not_after:
            raise _wrong("reserves privacy after the job's deadline")
        step = spec.step(entry.round, entry.task)
        if (
            step is None
            or step.call.mechanism.to_json() != entry.mechanism
            or step.call.definition.fold != entry.fold
            or dataset != entry.dataset
        ):
            raise _wrong("reserves something else than the job's specification says")
        if (entry.job, entry.round, entry.task) in self._reserved:
            raise _wrong("reserves a step a second time")
        self._reserved[entry.job, entry.round, entry.task] = dataset

    def _release(self, entry: entries.Released) -> None:
        step = (entry.job, entry.round, entry.task)
        if self._reserved.get(step) != entry.dataset:
            raise _wrong("is a release without a reservation")
        if step in self._released:
            raise _wrong("releases a step a second time")
        self._released.add(step)


def planned(spec: JobSpec) -> tuple[entries.Planned, ...]:
    """What a job costs if it runs to its end, as an allowing decision must show it."""
    return tuple(
        entries.Planned(fold=call.definition.fold, mechanism=call.mechanism.to_json(), times=times)
        for call, times in spec.kinds()
    )


def _wrong(what: str) -> PolicyError:
    return PolicyError("LOG_ORDER", f"the entry {what}")
