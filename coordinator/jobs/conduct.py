"""From a submitted row to a final state: the frame around a job's run."""

import contextlib
import threading
from typing import Any

from sqlalchemy import select

from connector.errors import LocalError
from connector.flower.server import FleetRun
from connector.jobs import JobSpec
from connector.store import JobEvent, JobRow
from coordinator import releases
from coordinator.jobs.exchange import Member
from coordinator.jobs.run import JobFailed, JobRefused, JobRun, Record
from coordinator.jobs.states import JobState, move
from coordinator.office import Office
from policies.errors import Error
from policies.permit import Permit


def conduct(
    office: Office,
    run: FleetRun,
    job_id: str,
    members: list[Member],
    record: Record,
    stopping: threading.Event,
) -> None:
    """Run one job that is in state STARTING to its end; `run` is closed afterwards.

    `stopping` says that the coordinator is being stopped; whoever sets it closes `run` too, which
    ends every wait.
    """

    def event(kind: str, body: dict[str, Any]) -> None:
        tell(office, job_id, kind, body)

    with office.store.begin() as session:
        row = session.get_one(JobRow, job_id)
    spec = JobSpec.decode(row.specification.encode())
    permit, document = office.permit(row.permit_id)
    hospitals = {dataset.partition("/")[0] for dataset in spec.datasets}
    taking_part = [member for member in members if member.name in hospitals]
    with run:
        job = JobRun(
            run=run, key=office.key, spec=spec, permit=permit, permit_document=document,
            members=taking_part, event=event, record=record,
        )  # fmt: skip
        try:
            state, reason = _drive(office, job, job_id, spec, permit, record)
            if stopping.is_set() and state is not JobState.FINISHED:
                state, reason = JobState.FAILED, "COORDINATOR_STOPPED"  # no hospital's fault
            job.end(reason or state.value)
        except Error as error:
            reason = "COORDINATOR_STOPPED" if stopping.is_set() else error.code
            state = JobState.FAILED
            with contextlib.suppress(Error):  # the log may be what has failed
                job.end(reason)
    finish(office, job_id, state, reason)


def finish(office: Office, job_id: str, state: JobState, reason: str) -> None:
    """Put a job into a final state and tell those who watch it."""
    with office.store.begin() as session:
        move(session, job_id, state, reason)
    tell(office, job_id, "ended", {"state": state.value, "reason": reason})


def _drive(
    office: Office,
    job: JobRun,
    job_id: str,
    spec: JobSpec,
    permit: Permit,
    record: Record,
) -> tuple[JobState, str]:
    try:
        job.start()
    except JobRefused:
        return JobState.REFUSED, "TOO_FEW_HOSPITALS"
    with office.store.begin() as session:
        move(session, job_id, JobState.RUNNING)
    try:
        result = job.train()
    except JobFailed:
        return JobState.FAILED, "TOO_FEW_HOSPITALS"
    releases.hold(office, job_id, spec, permit, result, record)
    return JobState.FINISHED, ""


def fail_interrupted(office: Office) -> None:
    """Jobs that were under way when the coordinator stopped: they end, they are not resumed."""
    with office.store.begin() as session:
        under_way = (JobState.STARTING, JobState.RUNNING)
        interrupted = [
            row.id for row in session.scalars(select(JobRow).where(JobRow.state.in_(under_way)))
        ]
    for job_id in interrupted:
        finish(office, job_id, JobState.FAILED, "COORDINATOR_STOPPED")


def tell(office: Office, job_id: str, kind: str, body: dict[str, Any]) -> None:
    """Write an event for the people who watch the job."""
    with office.store.begin() as session:
        session.add(JobEvent(job_id=job_id, time=office.clock(), kind=kind, body=body))


def submit(office: Office, spec: JobSpec, permit_id: str) -> None:
    """Queue a job. Raises `LocalError` (JOB_EXISTS) for an id that was used before."""
    with office.store.begin() as session:
        if session.get(JobRow, spec.id) is not None:
            raise LocalError(
                "JOB_EXISTS", f"there is a job {spec.id} already", "Give the job another id"
            )
        session.add(
            JobRow(
                id=spec.id,
                digest=spec.digest,
                permit_id=permit_id,
                specification=spec.encode().decode(),
                state=JobState.SUBMITTED,
                submitted_at=office.clock(),
            )
        )


def events_since(office: Office, job_id: str, sequence: int) -> list[JobEvent]:
    """Events of a job after a sequence number, in order."""
    with office.store.begin() as session:
        return list(
            session.scalars(
                select(JobEvent)
                .where(JobEvent.job_id == job_id, JobEvent.sequence > sequence)
                .order_by(JobEvent.sequence)
            )
        )


def state_of(office: Office, job_id: str) -> tuple[JobState, str]:
    """A job's state and its reason. Raises `LocalError` (JOB_UNKNOWN)."""
    with office.store.begin() as session:
        row = session.get(JobRow, job_id)
    if row is None:
        raise LocalError(
            "JOB_UNKNOWN", f"there is no job {job_id}", "See `commensal coordinator jobs`"
        )
    return JobState(row.state), row.reason


def specification(office: Office, job_id: str) -> JobSpec:
    """A job's specification."""
    with office.store.begin() as session:
        return JobSpec.decode(session.get_one(JobRow, job_id).specification.encode())
