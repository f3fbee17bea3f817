"""Results: held until a person has reviewed them (Art. 73(2)), labelled, signed, logged."""

import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import select

from connector import frames
from connector.audit import entries
from connector.clock import utc_now
from connector.errors import LocalError
from connector.files import write_durably
from connector.identity import documents
from connector.jobs import JobSpec
from connector.labels import render
from connector.labels.schema import (
    NOT_MEASURED,
    Head,
    Ingredient,
    Ingredients,
    ModelLabel,
    Privacy,
    Use,
    Utility,
)
from connector.store import JobRow, ReleaseRow
from coordinator import withdrawal
from coordinator.jobs.run import Result
from coordinator.jobs.states import JobState
from coordinator.office import Office
from coordinator.recorder import Record
from policies import canonical, purposes
from policies.permit import Permit, Text
from policies.privacy import epsilon, spell_epsilon

_LOGGING_SECONDS = 5.0
_POLL_SECONDS = 0.05


def make(
    office: Office, job_id: str, spec: JobSpec, permit: Permit, result: Result, record: Record
) -> ReleaseRow:
    """Write a job's model and its signed label; the row, in state `held`, makes them a release.

    The row is for the transaction in which the job becomes FINISHED: a result of a job that failed
    at the last moment is none.
    """
    model = frames.pack(
        {"features": spec.features.model_dump(mode="json"), "training": spec.training.task},
        {"parameters": result.parameters},
    )
    label = compute_label(office, spec, permit, result, canonical.digest(model))
    signed = documents.sign(office.key, label)
    folder = office.paths.releases / job_id
    write_durably(folder / "model.cmf", model)
    write_durably(folder / "label.json", signed.encode())
    write_durably(folder / "label.html", render.as_html(label).encode())
    now = utc_now()
    record(
        entries.Labelled(
            time=now, job=spec.digest, subject=label.head.subject, label_digest=label.digest
        )
    )
    return ReleaseRow(
        job_id=job_id,
        job_digest=spec.digest,
        state="held",
        subject_digest=label.head.subject,
        label=signed,
        logged=True,
        made_at=now,
    )


_REVIEWER: TypeAdapter[str] = TypeAdapter(Annotated[Text, Field(max_length=120)])


def review(office: Office, job_id: str, reviewer: str, *, approve: bool) -> bool:
    """A person's word on a held result; whether it counts already.

    It counts once it stands in the log, which a running coordinator sees to at once. Raises
    `LocalError`: REVIEWER_INVALID, RELEASE_UNKNOWN, RELEASE_REVIEWED; PERMIT_REVOKED,
    PERMIT_SUSPENDED for an approval.
    """
    try:
        _REVIEWER.validate_python(reviewer)
    except ValidationError as error:
        raise LocalError(
            "REVIEWER_INVALID",
            "that is not a reviewer's name",
            "Write 1 to 120 printable characters on one line",
        ) from error
    with office.store.begin() as session:
        row = session.get(ReleaseRow, job_id, with_for_update=True)
        if row is None or session.get_one(JobRow, job_id).state != JobState.FINISHED:
            raise LocalError(
                "RELEASE_UNKNOWN", f"job {job_id} has no result", "See `commensal coordinator jobs`"
            )
        if row.state != "held":
            raise LocalError("RELEASE_REVIEWED", f"the result of {job_id} is {row.state} already")
        if approve:
            withdrawal.check(session, session.get_one(JobRow, job_id).permit_id)
        row.state = "approved" if approve else "rejected"
        row.reviewer = reviewer
        row.logged = False
    deadline = time.monotonic() + _LOGGING_SECONDS
    while office.paths.address.exists() and time.monotonic() < deadline:
        if _is_logged(office, job_id):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _is_logged(office: Office, job_id: str) -> bool:
    with office.store.read() as session:
        return session.get_one(ReleaseRow, job_id).logged


def read_label(office: Office, job_id: str) -> ModelLabel:
    """The verified label of a job's result."""
    with office.store.read() as session:
        row = session.get(ReleaseRow, job_id)
    if row is None:
        raise LocalError(
            "RELEASE_UNKNOWN", f"job {job_id} has no result", "See `commensal coordinator jobs`"
        )
    return documents.verify(row.label, ModelLabel, office.key.verify_key)


def approved(office: Office) -> list[ReleaseRow]:
    """The results that may be handed out: of finished jobs, approved, with that in the log."""
    query = (
        select(ReleaseRow)
        .join(JobRow, JobRow.id == ReleaseRow.job_id)
        .where(
            ReleaseRow.state == "approved",
            ReleaseRow.logged.is_(True),
            JobRow.state == JobState.FINISHED,
        )
        .order_by(ReleaseRow.job_id)
    )
    with office.store.read() as session:
        return list(session.scalars(query))


def read_model(office: Office, job_id: str) -> dict[str, Any]:
    """The arrays of an approved model.

    Raises `LocalError`: RELEASE_HELD until its approval stands in the log, RELEASE_CHANGED.
    """
    with office.store.read() as session:
        row = session.get(ReleaseRow, job_id)
    if row is None or row.state != "approved" or not row.logged:
        raise LocalError(
            "RELEASE_HELD",
            f"the result of {job_id} is not approved",
            "A reviewer approves it with `commensal coordinator review`; the coordinator must run",
        )
    content = model_path(office, job_id).read_bytes()
    if canonical.digest(content) != row.subject_digest:
        raise LocalError(
            "RELEASE_CHANGED", f"the model of {job_id} is not the one that was reviewed"
        )
    _, arrays = frames.unpack(content, max_bytes=len(content))
    return dict(arrays)


def model_path(office: Office, job_id: str) -> Path:
    """Where a job's model lies."""
    return office.paths.releases / job_id / "model.cmf"


def compute_label(
    office: Office, spec: JobSpec, permit: Permit, result: Result, subject: str
) -> ModelLabel:
    """The nutrition label of a trained model."""
    return ModelLabel(
        head=Head(
            subject=subject, job=spec.id, permit=permit.id, maker=office.key.name,
            purpose=_purpose(permit), made_at=utc_now(),
        ),
        ingredients=_ingredients(spec, result),
        privacy=_privacy(spec, permit),
        utility=_utility(spec, result),
        use=Use(
            permitted=_purpose(permit),
            prohibited="every use of Art. 54, among them insurance, credit, jobs and advertising",
            limits="for research; not tested for decisions about single patients",
        ),
    )  # fmt: skip


def _purpose(permit: Permit) -> str:
    purpose = purposes.by_iri(permit.purpose)
    return f"{purpose.label} ({purpose.article})" if purpose else permit.purpose


def _ingredients(spec: JobSpec, result: Result) -> Ingredients:
    rounds = {
        dataset: result.rounds_answered.get(dataset.partition("/")[0], 0)
        for dataset in spec.datasets
    }
    return Ingredients(
        sources=tuple(
            Ingredient(dataset=dataset, rounds_answered=count)
            for dataset, count in rounds.items()
            if count
        ),
        real_share="1",
        synthetic_share="0",
        generation_depth=1,
        columns=tuple(column.name for column in spec.features.columns),
        outcome=spec.features.outcome.name,
    )


def _privacy(spec: JobSpec, permit: Permit) -> Privacy:
    mechanism = spec.training.mechanism
    clipping_norm = spec.training.arguments.get("clipping_norm", NOT_MEASURED)
    return Privacy(
        unit="a person, with all their rows",
        neighbouring="add or remove one person",
        epsilon=spell_epsilon(epsilon(spec.cost(), permit.delta)),
        delta=str(permit.delta),
        mechanism="DP-SGD at each hospital: clipped per person, discrete Gaussian noise",
        noise_multiplier=str(mechanism.noise_multiplier),
        clipping_norm=str(clipping_norm),
        sampling_rate=str(mechanism.sampling_rate),
        steps=mechanism.steps * spec.rounds,
    )


def _utility(spec: JobSpec, result: Result) -> Utility:
    # An evaluation of an earlier round is one of another model.
    last = next((e for e in result.evaluations if e["round"] == spec.rounds), None)
    if last is None:
        return Utility(
            auc=NOT_MEASURED, auc_noise=NOT_MEASURED, accuracy=NOT_MEASURED, method=NOT_MEASURED
        )
    return Utility(
        auc=_shown(last["auc"]),
        auc_noise=_shown(last["auc_noise"]),
        accuracy=_shown(last["accuracy"]),
        method=f"noisy counts of the {spec.holdout:.0%} of people kept out of training",
    )


def _shown(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.3f}"
