"""The coordinator's own log has many writers, threads all, and one order of time."""

import threading
from collections.abc import Callable
from datetime import datetime

from connector.audit import entries
from connector.audit.log import Log
from connector.errors import LocalError
from connector.revocation import CODES

Record = Callable[[entries.Entry], None]


class Recorder:
    """Writes entries into an open log, each stamped when its turn comes. Safe from any thread.

    It also remembers what stands in the log, so that what has to be written once is written once:
    `permits` and `reviews` by digest, the jobs that began and have no end yet (`open_jobs`), and
    permits that were revoked or suspended, by id and digest (`revoked`).
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
        self.revoked: set[str] = set()
        self._codes: dict[str, str] = {}  # of permits, by digest: why nothing happens under them
        self._permits: dict[str, str] = {}  # of jobs: their permit's digest
        for _, content in log.read():
            self._remember(entries.parse(content))

    def record(self, entry: entries.Entry) -> None:
        """Append one entry, durably; whatever time it has is replaced.

        The time is taken under the lock that orders the entries: two that were made at once would
        otherwise stand in the log the wrong way round, and a log whose time goes back is refused
        by every auditor. A clock that went back repeats the last time. Raises as `Log.append` does,
        and `LocalError` (PERMIT_REVOKED, PERMIT_SUSPENDED) for what no log may hold after that.
        """
        with self._lock:
            self._check(entry)
            now = self._clock()
            time = now if self._last is None else max(now, self._last)
            stamped = entry.model_copy(update={"time": time})
            self._log.append([entries.spell(stamped)])
            self._remember(stamped)

    def stops(self, permit_digest: str) -> str:
        """Why nothing more happens under a permit; empty where it was not taken back."""
        return self._codes.get(permit_digest, "")

    def _check(self, entry: entries.Entry) -> None:
        """No job begins, and no result becomes one, once its permit was taken back."""
        match entry:
            case entries.JobStarted():
                code = self.stops(entry.permit_digest)
            case entries.Labelled():
                code = self.stops(self._permits.get(entry.job, ""))
            case _:
                code = ""
        if code:
            raise LocalError(
                code, "the job's permit was taken back", "Going on needs a permit with a new id"
            )

    def _remember(self, entry: entries.Entry) -> None:
        self._last = entry.time
        match entry:
            case entries.PermitIssued():
                self.permits.add(entry.permit_digest)
            case entries.Reviewed():
                self.reviews.add((entry.job, entry.subject))
            case entries.PermitRevoked():
                self.revoked |= {entry.permit_id, entry.permit_digest}
                self._codes[entry.permit_digest] = CODES[entry.effect]
            case entries.JobStarted():
                self.open_jobs.add(entry.job)
                self._permits[entry.job] = entry.permit_digest
            case entries.JobEnded():
                self.open_jobs.discard(entry.job)
            case _:
                pass
