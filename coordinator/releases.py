"""Results: held until a person has reviewed them (Art. 73(2)), labelled, signed, logged."""

from pathlib import Path
from typing import Any

from connector import frames
from connector.audit import entries
from connector.clock import utc_now
from connector.errors import LocalError
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
from connector.store import ReleaseRow
from coordinator.jobs.run import Record, Result
from coordinator.office import Office, write_atomically
from policies import canonical, purposes
from policies.permit import Permit
from policies.privacy import epsilon, spell_epsilon


def hold(
    office: Office, job_id: str, spec: JobSpec, permit: Permit, result: Result, record: Record
) -> None:
    """Store a job's model with its signed label, in state `held`."""
    model = frames.pack(
        {"features": spec.features.model_dump(mode="json"), "training": spec.training.task},
        {"parameters": result.parameters},
    )
    label = compute_label(office, spec, permit, result, canonical.digest(model))
    signed = documents.sign(office.key, label)
    folder = office.paths.releases / job_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.cmf").write_bytes(model)
    write_atomically(folder / "label.json", signed)
    write_atomically(folder / "label.html", render.as_html(label))
    now = utc_now()
    record(
        entries.Labelled(
            time=now, job=spec.digest, subject=label.head.subject, label_digest=label.digest
        )
    )
    with office.store.begin() as session:
        session.add(
            ReleaseRow(
                job_id=job_id,
                job_digest=spec.digest,
                state="held",
                subject_digest=label.head.subject,
                label=signed,
                made_at=now,
            )
        )


def review(office: Office, job_id: str, reviewer: str, *, approve: bool) -> None:
    """A person's word on a held result.

    Raises `LocalError`: REVIEWER_INVALID, RELEASE_UNKNOWN, RELEASE_REVIEWED.
    """
    if not 1 <= len(reviewer) <= 120:
        raise LocalError("REVIEWER_INVALID", "a reviewer's name has 1 to 120 characters")
    with office.store.begin() as session:
        row = session.get(ReleaseRow, job_id, with_for_update=True)
        if row is None:
            raise LocalError(
                "RELEASE_UNKNOWN", f"job {job_id} has no result", "See `commensal coordinator jobs`"
            )
        if row.state != "held":
            raise LocalError("RELEASE_REVIEWED", f"the result of {job_id} is {row.state} already")
        row.state = "approved" if approve else "rejected"
        row.reviewer = reviewer
        row.logged = False


def read_label(office: Office, job_id: str) -> ModelLabel:
    """The verified label of a job's result."""
    with office.store.begin() as session:
        row = session.get(ReleaseRow, job_id)
    if row is None:
        raise LocalError(
            "RELEASE_UNKNOWN", f"job {job_id} has no result", "See `commensal coordinator jobs`"
        )
    return documents.verify(row.label, ModelLabel, office.key.verify_key)


def read_model(office: Office, job_id: str) -> dict[str, Any]:
    """The arrays of an approved model. Raises `LocalError` (RELEASE_HELD) before its review."""
    with office.store.begin() as session:
        row = session.get(ReleaseRow, job_id)
    if row is None or row.state != "approved":
        raise LocalError(
            "RELEASE_HELD",
            f"the result of {job_id} is not approved",
            "A reviewer approves it with `commensal coordinator review`",
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
