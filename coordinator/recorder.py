"""The coordinator's own log has many writers, threads all, and one order of time."""

import threading
from collections.abc import Callable
from datetime import datetime

from connector.audit import entries
from connector.audit.log import Log

Record = Callable[[entries.Entry], None]


class Recorder:
    """Writes entries into an open log, each stamped when its turn comes. Safe from any thread.

    It also remembers what stands in the log, so that what has to be written once is written once:
    `permits` and `reviews` by digest, and the jobs that began and have no end yet (`open_jobs`).
    """

    def __init__(self, log: Log, clock: Callable[[], datetime]) -> None:
        """Read the log. Raises `LocalError` (LOG_TAMPERED), `PolicyError` (ENTRY_INVALID)."""
        self._log = log
        self._clock = clock
        self._lock = threading.Lock()
        self._last: datetime | None = None
        self.permits: set[str] = set()
        self.reviews: set[tuple[str, str]] = set()
        self.open_jobs: set[str] = set()
        for _, content in log.read():
            self._remember(entries.parse(content))

    def record(self, entry: entries.Entry) -> None:
        """Append one entry, durably; whatever time it has is replaced.

        The time is taken under the lock that orders the entries: two that were made at once would
        otherwise stand in the log the wrong way round, and a log whose time goes back is refused
        by every auditor. A clock that went back repeats the last time. Raises as `Log.append` does.
        """
        with self._lock:
            now = self._clock()
            time = now if self._last is None else max(now, self._last)
            stamped = entry.model_copy(update={"time": time})
            self._log.append([entries.spell(stamped)])
            self._remember(stamped)

    def _remember(self, entry: entries.Entry) -> None:
        self._last = entry.time
        match entry:
            case entries.PermitIssued():
                self.permits.add(entry.permit_digest)
            case entries.Reviewed():
                self.reviews.add((entry.job, entry.subject))
            case entries.JobStarted():
                self.open_jobs.add(entry.job)
            case entries.JobEnded():
                self.open_jobs.discard(entry.job)
            case _:
                pass
