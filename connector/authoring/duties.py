"""Duties as a hospital's officers see them: read from a log, and recorded through the inbox."""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from connector.audit.history import read_history
from connector.authoring import instructions, logs
from connector.authoring.instructions import RecordDuty
from connector.authoring.officers import read_hospital
from connector.authoring.spool import Inbox
from connector.errors import LocalError
from connector.identity.keys import SigningKey
from policies.duties import TrackedDuty, follow
from policies.history import BEGUN_BY_ENTRY, EXTENDABLE, FINDING, NONE

Step = Literal["began", "extended", "done"]


def read_duties(directory: Path, now: datetime) -> tuple[TrackedDuty, ...]:
    """Every duty in a log (or in a data directory that holds `log/`), unverified.

    Raises `LocalError`: LOG_MISSING, LOG_TAMPERED, PERMIT_UNREADABLE; `PolicyError` for rules.
    """
    with logs.located(directory) as log:
        return follow(read_history(log), now)


@dataclass(frozen=True)
class Report:
    """What an officer says became of a duty. `job` may be the beginning of its digest."""

    step: Step
    duty: str
    permit_id: str
    evidence: Path
    job: str = ""
    days: int | None = None
    until: date | None = None


def draft(directory: Path, key: SigningKey, report: Report, now: datetime) -> RecordDuty:
    """The instruction that records it, checked against the node's own log.

    Raises `LocalError`: those of `read_hospital` and `read_duties`, OFFICERS_MISSING,
    OFFICER_UNKNOWN, DUTY_UNKNOWN, JOB_UNKNOWN, EVIDENCE_MISSING.
    """
    hospital = read_hospital(directory)
    hospital.officer(key)
    known = [one for one in read_duties(directory, now) if one.permit_id == report.permit_id]
    _check_duty(report, known)
    jobs = {one.job for one in known if one.duty == report.duty} - {NONE}
    return RecordDuty(
        node=hospital.name,
        step=report.step,
        permit_id=report.permit_id,
        duty=report.duty,
        job=_job(report.job, jobs),
        evidence=digest_of(report.evidence),
        days=report.days,
        until=report.until,
        issued_at=now,
    )


def hand_in(directory: Path, key: SigningKey, record: RecordDuty) -> str:
    """Sign a record and place it in the node's inbox; returns its name there."""
    document = instructions.sign(key, record)
    return Inbox(directory / "inbox").hand_in("duty", record.digest, document)


def digest_of(evidence: Path) -> str:
    """`sha256:<hex>` of a file, however large. Raises `LocalError` (EVIDENCE_MISSING)."""
    try:
        with evidence.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LocalError(
            "EVIDENCE_MISSING",
            f"cannot read {evidence} ({error.strerror})",
            "Name the certificate, the publication or the notice as a file; keep that file",
        ) from error


def _check_duty(report: Report, known: list[TrackedDuty]) -> None:
    if report.step == "began":
        possible = set(BEGUN_BY_ENTRY)  # also under a permit that nobody has used yet
    else:
        possible = {one.duty for one in known if instructions.can_be_recorded("done", one.duty)}
        # A notice may be the first that anybody hears of a finding.
        possible |= {FINDING} if known else set()
        if report.step == "extended":
            possible &= EXTENDABLE
    if report.duty not in possible:
        raise LocalError(
            "DUTY_UNKNOWN",
            f"permit {report.permit_id} has no duty {report.duty} that could be recorded as "
            f"{report.step}",
            f"It could be: {', '.join(sorted(possible))}"
            if possible
            else "`commensal policy duties --all` lists what there is",
        )


def _job(start: str, known: set[str]) -> str:
    if start in ("", NONE):
        return NONE
    wanted = start.removeprefix("sha256:")
    jobs = {one for one in known if one.removeprefix("sha256:").startswith(wanted)}
    if len(jobs) != 1 or not wanted:
        raise LocalError(
            "JOB_UNKNOWN",
            f"{'several jobs begin' if jobs else 'no job with this duty begins'} with {start}",
            "`commensal policy duties --all --json` lists jobs in full; leave --job out for a duty "
            "of the whole permit",
        )
    return jobs.pop()
