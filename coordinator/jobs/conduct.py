"""From a submitted row to a final state: the frame around a job's run."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from connector.audit import entries
from connector.errors import LocalError
from connector.flower.server import FleetRun
from connector.jobs import JobSpec
from connector.store import JobEvent, JobRow, ReleaseRow
from coordinator import releases, withdrawal
from coordinator.jobs.exchange import Member
from coordinator.jobs.run import JobFailed, JobRefused, JobRun
from coordinator.jobs.states import JobState, move
from coordinator.office import Office
from coordinator.recorder import Record
from policies.errors import Error
from policies.permit import Permit

if TYPE_CHECKING:
    from coordinator.dataspace import Dataspace


@dataclass(frozen=True)
class Ending:
    """How a job ends; a finished one leaves a release, held for review."""

    state: JobState
    reason: str = ""
    release: ReleaseRow | None = None

    @property
    def word(self) -> str:
        """For logs and hospitals: the reason, where there is one."""
        return self.reason or self.state.value


def conduct(
    office: Office,
    run: FleetRun,
    job_id: str,
    members: list[Member],
    record: Record,
    stopping: threading.Event,
    *,
    dataspace: "Dataspace | None" = None,
    halted: Callable[[], str] = lambda: "",
) -> None:
    """Run one job that is in state STARTING to its end; `run` is closed afterwards.

    `stopping` says that the coordinator is being stopped; whoever sets it closes `run` too, which
    ends every wait. So does whoever ends this job alone; `halted` then gives the code of why. With
    a `dataspace`, contracts come first. Whatever happens, hospitals are told, where they can be.
    """
    with run:
        job: JobRun | None = None
        told = "COORDINATOR_ERROR"  # unless it ends in one of the ways that were thought of
        try:
            try:
                spec = specification(office, job_id)
                permit, document = office.permit(_permit_id(office, job_id))
                job = JobRun(
                    run=run, key=office.key, spec=spec, permit=permit, permit_document=document,
                    members=[member for member in members if spec.dataset_of(member.name)],
                    event=lambda kind, body: tell(office, job_id, kind, body), record=record,
                )  # fmt: skip
                if dataspace is not None:
                    dataspace.prepare(
                        spec, permit, document, [member.name for member in members if
                        spec.dataset_of(member.name)],
                        lambda body: tell(office, job_id, "contract", body), stopping,
                    )  # fmt: skip
                ending = _drive(office, job, job_id, spec, permit, record)
            except Error as error:
                ending = Ending(JobState.FAILED, error.code)
            if stopping.is_set() and ending.state is not JobState.FINISHED:
                ending = Ending(JobState.FAILED, "COORDINATOR_STOPPED")  # no hospital's fault
            if halted() and ending.state is not JobState.FINISHED:
                ending = Ending(JobState.FAILED, halted())
            finish(office, job_id, ending, record)
            told = ending.word
        finally:
            if job is not None:
                job.end(told)


def finish(office: Office, job_id: str, ending: Ending, record: Record) -> None:
    """Put a job into a final state, with its release and the event, all or nothing; then log it.

    An end that cannot be logged now is logged by the next start (`filing.file_ends`).
    """
    body = {"state": ending.state.value, "reason": ending.reason}
    with office.store.begin() as session:
        move(session, job_id, ending.state, ending.reason)
        digest = session.get_one(JobRow, job_id).digest
        session.add(JobEvent(job_id=job_id, time=office.clock(), kind="ended", body=body))
        if ending.release is not None:
            session.add(ending.release)
    with contextlib.suppress(Error):
        record(entries.JobEnded(time=office.clock(), job=digest, reason=ending.word))


def _drive(
    office: Office,
    job: JobRun,
    job_id: str,
    spec: JobSpec,
    permit: Permit,
    record: Record,
) -> Ending:
    try:
        job.start()
    except JobRefused:
        return Ending(JobState.REFUSED, "TOO_FEW_HOSPITALS")
    with office.store.begin() as session:
        move(session, job_id, JobState.RUNNING)
    try:
        result = job.train()
    except JobFailed:
        return Ending(JobState.FAILED, "TOO_FEW_HOSPITALS")
    release = releases.make(office, job_id, spec, permit, result, record)
    return Ending(JobState.FINISHED, release=release)


def fail_interrupted(office: Office, record: Record) -> None:
    """Jobs that were under way when the coordinator stopped: they end, they are not resumed."""
    with office.store.read() as session:
        under_way = (JobState.STARTING, JobState.RUNNING)
        interrupted = list(session.scalars(select(JobRow.id).where(JobRow.state.in_(under_way))))
    for job_id in interrupted:
        finish(office, job_id, Ending(JobState.FAILED, "COORDINATOR_STOPPED"), record)


def tell(office: Office, job_id: str, kind: str, body: dict[str, Any]) -> None:
    """Write an event for the people who watch the job."""
    with office.store.begin() as session:
        session.add(JobEvent(job_id=job_id, time=office.clock(), kind=kind, body=body))


def submit(office: Office, spec: JobSpec, permit_id: str) -> None:
    """Queue a job. Raises `LocalError`: JOB_EXISTS, PERMIT_REVOKED, PERMIT_SUSPENDED."""
    taken = LocalError("JOB_EXISTS", f"there is a job {spec.id} already", "Give the job another id")
    with office.store.begin(conflict=taken) as session:
        if session.get(JobRow, spec.id) is not None:
            raise taken
        withdrawal.check(session, permit_id)
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
    with office.store.read() as session:
        return list(
            session.scalars(
                select(JobEvent)
                .where(JobEvent.job_id == job_id, JobEvent.sequence > sequence)
                .order_by(JobEvent.sequence)
            )
        )


def state_of(office: Office, job_id: str) -> tuple[JobState, str]:
    """A job's state and its reason. Raises `LocalError` (JOB_UNKNOWN)."""
    with office.store.read() as session:
        row = session.get(JobRow, job_id)
    if row is None:
        raise LocalError(
            "JOB_UNKNOWN", f"there is no job {job_id}", "See `commensal coordinator jobs`"
        )
    return JobState(row.state), row.reason


def specification(office: Office, job_id: str) -> JobSpec:
    """A job's specification."""
    with office.store.read() as session:
        return JobSpec.decode(session.get_one(JobRow, job_id).specification.encode())


def _permit_id(office: Office, job_id: str) -> str:
    with office.store.read() as session:
        return session.get_one(JobRow, job_id).permit_id
