"""What the command line left in the tables goes into the log, and counts from then on.

The command line cannot write the log itself: a log has one writer, the running coordinator. Whoever
stops between the log's entry and the row's mark finds the entry again and writes no second one.
"""

from sqlalchemy import select

from connector.audit import entries
from connector.store import JobRow, PermitRow, ReleaseRow
from coordinator.jobs.states import FINAL
from coordinator.office import Office
from coordinator.recorder import Recorder


def file_all(office: Office, recorder: Recorder) -> None:
    """Log permits and reviews that are not logged yet.

    Raises `LocalError`: STORE_BUSY, STORE_FAILED, LOG_FULL and others of the log.
    """
    with office.store.read() as session:
        permits = session.scalar(select(PermitRow.id).where(PermitRow.logged.is_(False)).limit(1))
        reviews = session.scalar(
            select(ReleaseRow.job_id).where(ReleaseRow.logged.is_(False)).limit(1)
        )
    if permits is not None:
        _file_permits(office, recorder)
    if reviews is not None:
        _file_reviews(office, recorder)


def file_ends(office: Office, recorder: Recorder) -> None:
    """At a start: jobs that are over, but of whose end the log does not know."""
    with office.store.read() as session:
        query = select(JobRow).where(
            JobRow.state.in_(FINAL), JobRow.digest.in_(sorted(recorder.open_jobs))
        )
        over = list(session.scalars(query))
    for row in over:
        recorder.record(
            entries.JobEnded(time=office.clock(), job=row.digest, reason=row.reason or row.state)
        )


def _file_permits(office: Office, recorder: Recorder) -> None:
    with office.store.begin() as session:
        for row in session.scalars(select(PermitRow).where(PermitRow.logged.is_(False))):
            if row.digest not in recorder.permits:
                recorder.record(
                    entries.PermitIssued(
                        time=office.clock(), permit_digest=row.digest, document=row.document
                    )
                )
            row.logged = True


def _file_reviews(office: Office, recorder: Recorder) -> None:
    with office.store.begin() as session:
        for row in session.scalars(select(ReleaseRow).where(ReleaseRow.logged.is_(False))):
            if (row.job_digest, row.subject_digest) not in recorder.reviews:
                recorder.record(
                    entries.Reviewed(
                        time=office.clock(),
                        job=row.job_digest,
                        subject=row.subject_digest,
                        reviewer=row.reviewer,
                        verdict="approved" if row.state == "approved" else "rejected",
                    )
                )
            row.logged = True
