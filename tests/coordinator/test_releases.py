"""A result is held, labelled from what is known, reviewed once, and then read unchanged."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from desk import AGE, DIED, NOW, WEIGHT, Notes, evaluation, permit, spec, training

from connector import frames
from connector.audit import entries
from connector.errors import LocalError, RemoteError
from connector.features import FeatureMap
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.jobs import JobSpec, Strategy
from connector.labels import render
from connector.labels.schema import NOT_MEASURED, ModelLabel
from connector.store import JobRow, ReleaseRow
from coordinator import releases
from coordinator.jobs import conduct
from coordinator.jobs.conduct import Ending
from coordinator.jobs.run import Result
from coordinator.jobs.states import JobState
from coordinator.office import Office, create
from policies import canonical, purposes
from policies.errors import Error
from policies.permit import Permit
from policies.privacy import epsilon

MEASURED = {"round": 3, "hospitals": ["east"], "auc": 0.8124, "auc_noise": 0.01, "accuracy": 0.75}


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    opened = replace(Office.open(tmp_path / "hdab"), clock=lambda: NOW)
    opened.issue_permit(permit())
    yield opened
    opened.close()


def result(**changed: Any) -> Result:
    known: dict[str, Any] = {
        "parameters": np.array([1.5, -0.25], np.float32),
        "participants": ("east", "north", "south"),
        "rounds_answered": {"east": 3, "north": 2},
        "evaluations": [MEASURED],
    }
    return Result(**(known | changed))


def labelled(office: Office, made: JobSpec, granted: Permit | None = None, **of: Any) -> ModelLabel:
    return releases.compute_label(office, made, granted or permit(), result(**of), "sha256:00")


def held(office: Office, made: JobSpec | None = None, **of: Any) -> Notes:
    made, notes = made or spec(), Notes()
    conduct.submit(office, made, "permit-1")
    release = releases.make(office, made.id, made, permit(), result(**of), notes.record)
    with office.store.begin() as session:
        session.get_one(JobRow, made.id).state = JobState.RUNNING
    conduct.finish(office, made.id, Ending(JobState.FINISHED, release=release), notes.record)
    return notes


def logged(office: Office) -> None:
    """What the running coordinator does with a review."""
    with office.store.begin() as session:
        session.get_one(ReleaseRow, "job-1").logged = True


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(Error) as refusal:
        call(*arguments, **named)
    return refusal.value.code


# The label


@pytest.mark.parametrize("noise", ["5.5", "2.1234", "0.3", "20", "100"])
@pytest.mark.parametrize("rounds", [1, 3, 40])
def test_the_epsilon_that_is_shown_is_never_below_the_real_one(
    office: Office, noise: str, rounds: int
) -> None:
    made = spec(
        training=training(noise_multiplier=noise), rounds=rounds, evaluation_rounds=(rounds,)
    )
    for delta in ("0.00001", "0.001"):
        granted = permit(delta=delta)
        label = labelled(office, made, granted)
        real = epsilon(made.cost(), granted.delta)
        assert real <= Decimal(label.privacy.epsilon) <= real + Decimal("0.001")
        assert label.privacy.delta == delta


def test_the_privacy_of_the_label_is_the_specifications(office: Office) -> None:
    privacy = labelled(office, spec()).privacy
    assert (privacy.noise_multiplier, privacy.clipping_norm) == ("5.5", "1")
    assert (privacy.sampling_rate, privacy.steps) == ("0.5", 2 * 3)
    other = spec(
        rounds=5,
        evaluation_rounds=(5,),
        training=training(
            noise_multiplier="7.25", clipping_norm="0.5", sampling_rate="0.125", local_steps=4
        ),
    )
    privacy = labelled(office, other).privacy
    assert (privacy.noise_multiplier, privacy.clipping_norm) == ("7.25", "0.5")
    assert (privacy.sampling_rate, privacy.steps) == ("0.125", 4 * 5)
    assert privacy.attacks == NOT_MEASURED


def test_a_costly_evaluation_shows_in_the_labels_epsilon(office: Office) -> None:
    cheap, dear = (
        Decimal(labelled(office, spec(evaluation=evaluation(noise_multiplier=n))).privacy.epsilon)
        for n in ("100", "0.5")
    )
    assert dear > cheap


def test_the_label_does_not_claim_a_strategy_that_was_not_used(office: Office) -> None:
    privacy = labelled(office, spec(strategy=Strategy(name="fedyogi"))).privacy
    assert "FedAvg" not in privacy.mechanism


def test_the_ingredients_are_those_who_answered_and_what_was_read(office: Office) -> None:
    made = spec(features=FeatureMap(columns=(AGE, WEIGHT), outcome=DIED))
    found = labelled(office, made).ingredients
    assert [(s.dataset, s.rounds_answered) for s in found.sources] == [
        ("east/patients", 3),
        ("north/patients", 2),
    ]
    assert (found.columns, found.outcome) == (("age", "weight"), "died")
    assert labelled(office, made, rounds_answered={"south": 1}).ingredients.sources[0].dataset == (
        "south/patients"
    )


def test_utility_is_that_of_the_last_evaluation(office: Office) -> None:
    earlier = MEASURED | {"round": 1, "auc": 0.5}
    utility = labelled(office, spec(), evaluations=[earlier, MEASURED]).utility
    assert (utility.auc, utility.auc_noise, utility.accuracy) == ("0.812", "0.010", "0.750")
    assert "25%" in utility.method
    other = labelled(office, spec(holdout=Decimal("0.4"))).utility
    assert "40%" in other.method


@pytest.mark.parametrize(
    "evaluations",
    [[], [MEASURED | {"round": 1}], [MEASURED | {"round": 1}, MEASURED | {"round": 2}]],
)
def test_a_model_that_was_not_evaluated_says_so_everywhere(
    office: Office, evaluations: list[dict[str, Any]]
) -> None:
    # What was measured after an earlier round is another model's.
    label = labelled(office, spec(), evaluations=evaluations)
    utility = label.utility
    assert {utility.auc, utility.auc_noise, utility.accuracy, utility.method} == {NOT_MEASURED}
    lines = {line.name: line for block in render.blocks(label) for line in block.lines}
    assert not lines["Accuracy"].measured
    assert not lines["uncertainty from noise"].measured
    assert "0.8" not in render.as_html(label).partition("Utility")[2]


def test_noise_that_left_nothing_to_say_is_not_measured(office: Office) -> None:
    nothing = MEASURED | {"auc": None, "auc_noise": None, "accuracy": None}
    utility = labelled(office, spec(), evaluations=[nothing]).utility
    assert (utility.auc, utility.auc_noise, utility.accuracy) == (NOT_MEASURED,) * 3


def test_head_and_use_are_the_permits(office: Office) -> None:
    granted = permit(id="permit-7", purpose=purposes.by_name("statistics").iri)
    label = labelled(office, spec(id="job-9"), granted)
    assert (label.head.job, label.head.permit, label.head.maker) == ("job-9", "permit-7", "hdab")
    for said in (label.head.purpose, label.use.permitted):
        assert purposes.by_name("statistics").article in said
    assert labelled(office, spec(), permit(purpose="urn:other")).use.permitted == "urn:other"


# Holding, reviewing, reading


def test_a_result_is_held_with_its_signed_label_and_logged(office: Office) -> None:
    notes = held(office)
    label = releases.read_label(office, "job-1")
    content = releases.model_path(office, "job-1").read_bytes()
    assert label.head.subject == canonical.digest(content)
    header, arrays = frames.unpack(content, max_bytes=len(content))
    assert arrays["parameters"].tolist() == [1.5, -0.25]
    assert FeatureMap.model_validate(header["features"]) == spec().features
    assert header["training"] == "training.logistic"
    (logged,) = notes.entries(entries.Labelled)
    assert (logged.job, logged.subject) == (spec().digest, label.head.subject)
    assert logged.label_digest == label.digest
    folder = releases.model_path(office, "job-1").parent
    assert (folder / "label.html").read_text() == render.as_html(label)
    signed = (folder / "label.json").read_text()
    assert documents.verify(signed, ModelLabel, office.key.verify_key) == label


def test_a_model_cannot_be_read_before_a_person_has_approved_it(office: Office) -> None:
    assert refused(releases.read_model, office, "job-1") == "RELEASE_HELD"
    held(office)
    assert refused(releases.read_model, office, "job-1") == "RELEASE_HELD"
    assert not releases.review(office, "job-1", "Dr. A", approve=True), "nobody has logged it"
    assert refused(releases.read_model, office, "job-1") == "RELEASE_HELD"
    logged(office)
    assert releases.read_model(office, "job-1")["parameters"].tolist() == [1.5, -0.25]


@pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.FINISHED}))
def test_the_result_of_a_job_that_did_not_finish_is_none(office: Office, state: JobState) -> None:
    held(office)
    with office.store.begin() as session:
        session.get_one(JobRow, "job-1").state = state
    assert refused(releases.review, office, "job-1", "Dr. A", approve=True) == "RELEASE_UNKNOWN"


def test_a_rejected_model_is_never_read(office: Office) -> None:
    held(office)
    releases.review(office, "job-1", "Dr. A", approve=False)
    logged(office)
    assert refused(releases.read_model, office, "job-1") == "RELEASE_HELD"


def test_a_review_waits_to_be_logged_with_the_reviewers_name(office: Office) -> None:
    held(office)
    releases.review(office, "job-1", "Dr. A", approve=True)
    with office.store.begin() as session:
        row = session.get_one(ReleaseRow, "job-1")
    assert (row.state, row.reviewer, row.logged) == ("approved", "Dr. A", False)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_a_result_is_reviewed_once(office: Office, first: bool, second: bool) -> None:
    held(office)
    releases.review(office, "job-1", "Dr. A", approve=first)
    with pytest.raises(LocalError) as refusal:
        releases.review(office, "job-1", "Dr. B", approve=second)
    assert refusal.value.code == "RELEASE_REVIEWED"
    with office.store.begin() as session:
        row = session.get_one(ReleaseRow, "job-1")
    assert (row.state, row.reviewer) == ("approved" if first else "rejected", "Dr. A")


@pytest.mark.parametrize("reviewer", ["", "x" * 121])
def test_a_review_has_a_person_that_the_log_can_name(office: Office, reviewer: str) -> None:
    held(office)
    assert refused(releases.review, office, "job-1", reviewer, approve=True) == "REVIEWER_INVALID"
    assert refused(releases.read_model, office, "job-1") == "RELEASE_HELD"
    entries.Reviewed(time=NOW, job="j", subject="s", reviewer="x" * 120, verdict="approved")


def test_a_model_file_that_was_changed_is_not_read(office: Office) -> None:
    held(office)
    releases.review(office, "job-1", "Dr. A", approve=True)
    logged(office)
    path = releases.model_path(office, "job-1")
    content = path.read_bytes()
    for changed in (
        content[:-1] + bytes([content[-1] ^ 1]),
        content[:-1],
        content + b"\0",
        b"",
        frames.pack({}, {"parameters": np.zeros(2, np.float32)}),
    ):
        path.write_bytes(changed)
        assert refused(releases.read_model, office, "job-1") == "RELEASE_CHANGED"
    path.write_bytes(content)
    assert releases.read_model(office, "job-1")


def test_a_label_that_was_changed_in_the_table_is_not_shown(office: Office) -> None:
    held(office)
    better = labelled(office, spec(), evaluations=[MEASURED | {"auc": 0.99}])
    with office.store.begin() as session:
        row = session.get_one(ReleaseRow, "job-1")
        row.label = documents.sign(SigningKey("hdab", b"x" * 32), better)
    with pytest.raises(RemoteError) as refusal:
        releases.read_label(office, "job-1")
    assert refusal.value.code == "SIGNATURE_INVALID"


def test_a_job_without_a_result_says_so(office: Office) -> None:
    assert refused(releases.read_label, office, "job-1") == "RELEASE_UNKNOWN"
    assert refused(releases.review, office, "job-1", "Dr. A", approve=True) == "RELEASE_UNKNOWN"
