"""The table of a job's states: what is not in it is an error that changes nothing."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from desk import NOW, permit, spec

from connector.errors import LocalError
from connector.store import JobRow, PermitRow, Store
from coordinator.jobs.states import FINAL, TRANSITIONS, JobState, move

PAIRS = list(product(JobState, JobState))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'states.db'}")
    with opened.begin() as session:
        session.add(PermitRow(id="permit-1", digest=permit().digest, document="{}", issued_at=NOW))
    yield opened
    opened.close()


def put(store: Store, state: JobState) -> None:
    with store.begin() as session:
        session.add(
            JobRow(
                id="job-1", digest=spec().digest, permit_id="permit-1", specification="{}",
                state=state, reason="as before", submitted_at=NOW,
            )
        )  # fmt: skip


def found(store: Store) -> tuple[str, str]:
    with store.begin() as session:
        row = session.get_one(JobRow, "job-1")
    return row.state, row.reason


def test_every_state_has_its_row_and_three_are_final() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert {JobState.FINISHED, JobState.REFUSED, JobState.FAILED} == FINAL


def test_every_state_can_be_reached_and_every_job_can_end() -> None:
    reached = {JobState.SUBMITTED}.union(*TRANSITIONS.values())
    assert reached == set(JobState)
    for state in set(JobState) - FINAL:
        assert JobState.FAILED in TRANSITIONS[state]


@pytest.mark.parametrize(("before", "after"), [p for p in PAIRS if p[1] in TRANSITIONS[p[0]]])
def test_a_transition_of_the_table_is_made(store: Store, before: JobState, after: JobState) -> None:
    put(store, before)
    with store.begin() as session:
        move(session, "job-1", after, "BECAUSE")
    assert found(store) == (after, "BECAUSE")


@pytest.mark.parametrize(("before", "after"), [p for p in PAIRS if p[1] not in TRANSITIONS[p[0]]])
def test_any_other_transition_changes_nothing(
    store: Store, before: JobState, after: JobState
) -> None:
    put(store, before)
    with pytest.raises(LocalError) as refusal, store.begin() as session:
        move(session, "job-1", after, "BECAUSE")
    assert refusal.value.code == "JOB_STATE"
    assert before in refusal.value.message
    assert after in refusal.value.message
    assert found(store) == (before, "as before")


def test_an_unknown_job_has_no_state(store: Store) -> None:
    with pytest.raises(LocalError) as refusal, store.begin() as session:
        move(session, "job-2", JobState.RUNNING)
    assert refusal.value.code == "JOB_UNKNOWN"
