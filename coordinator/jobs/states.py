"""The life of a job as a table of transitions; an illegal one is an error that changes nothing."""

from enum import StrEnum

from sqlalchemy.orm import Session

from connector.errors import LocalError
from connector.store import JobRow


class JobState(StrEnum):
    """SUBMITTED waits for the coordinator; FINISHED, REFUSED and FAILED are final."""

    SUBMITTED = "submitted"
    STARTING = "starting"
    RUNNING = "running"
    FINISHED = "finished"
    REFUSED = "refused"
    FAILED = "failed"


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.SUBMITTED: frozenset({JobState.STARTING, JobState.FAILED}),
    JobState.STARTING: frozenset({JobState.RUNNING, JobState.REFUSED, JobState.FAILED}),
    JobState.RUNNING: frozenset({JobState.FINISHED, JobState.FAILED}),
    JobState.FINISHED: frozenset(),
    JobState.REFUSED: frozenset(),
    JobState.FAILED: frozenset(),
}
FINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)


def move(session: Session, job_id: str, to: JobState, reason: str = "") -> None:
    """Change a job's state within a transaction. Raises `LocalError` (JOB_STATE)."""
    row = session.get(JobRow, job_id, with_for_update=True)
    if row is None:
        raise LocalError("JOB_UNKNOWN", f"there is no job {job_id}")
    if to not in TRANSITIONS[JobState(row.state)]:
        raise LocalError("JOB_STATE", f"job {job_id} cannot go from {row.state} to {to}")
    row.state = to
    row.reason = reason
