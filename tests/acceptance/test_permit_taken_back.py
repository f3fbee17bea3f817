"""A permit is taken back while a job runs: within seconds it stops everywhere, and logs say so."""

import os
import signal
from datetime import timedelta

import pytest
from dataspace import NAMES, PERMIT, DataSpace, datasets, dates, one_line
from processes import children

from connector.audit import entries
from connector.audit.ledger import fold
from connector.clock import utc_now
from connector.revocation import Revocation, verify
from coordinator.jobs import conduct
from coordinator.jobs.states import JobState

pytestmark = pytest.mark.slow
ENDLESS = 1000
STUCK, AWAY, WELL = NAMES


def begin(space: DataSpace, job: str, permit: str) -> str:
    """Submit an endless job and return its digest when a first round is over."""
    submitted = space.submit(job, permit, "0.2", ENDLESS, watch=False)
    assert submitted.code == 0, submitted
    space.sandbox.wait_for("coordinator", lambda: first_round(space, job))
    return conduct.specification(space.sandbox.office, job).digest


def first_round(space: DataSpace, job: str) -> bool | None:
    events = conduct.events_since(space.sandbox.office, job, 0)
    return any(event.kind == "round" for event in events) or None


def take_back(space: DataSpace, permit: str, how: str, reason: str) -> None:
    said = space.sandbox.run_command(
        "coordinator", "permit", how, space.coordinator, permit, "--reason", reason
    )
    assert said.splitlines()[0].startswith(f"permit {permit} is ")


def knows(space: DataSpace, name: str, permit: str) -> entries.PermitRevoked | None:
    found = [e for e in space.entries(name, entries.PermitRevoked) if e.permit_id == permit]
    return found[-1] if found else None


def nothing_follows(space: DataSpace, name: str, job: str) -> None:
    log = space.entries(name)
    revoked = next(at for at, entry in enumerate(log) if isinstance(entry, entries.PermitRevoked))
    later = [entry for entry in log[revoked:] if getattr(entry, "job", "") == job]
    assert not [entry for entry in later if isinstance(entry, entries.Reserved | entries.Released)]
    assert [e.reason for e in later if isinstance(e, entries.JobEnded)] == ["PERMIT_REVOKED"]


def stuck_in_a_step(space: DataSpace, name: str) -> bool | None:
    return isinstance(space.entries(name)[-1], entries.Reserved) or None


def test_a_revoked_permit_stops_its_job_everywhere_and_who_was_away_learns_it_later(space):
    sandbox = space.sandbox
    sandbox.keep_port()
    space.permit("permit-1")
    job = begin(space, "job-1", "permit-1")
    # One hospital computes something that does not end by itself, and one has gone.
    (worker,) = children(sandbox.process_id(STUCK))
    os.kill(worker, signal.SIGSTOP)
    sandbox.wait_for(STUCK, lambda: stuck_in_a_step(space, STUCK))
    sandbox.stop(AWAY)

    take_back(space, "permit-1", "revoke", "non-compliance")
    for name in ("coordinator", STUCK, WELL):
        entry = sandbox.wait_for(name, lambda name=name: knows(space, name, "permit-1"))
        said = verify(entry.document, space.key("coordinator"))
        assert isinstance(said, Revocation)
        assert (said.permit_id, said.effect, said.reason) == ("permit-1", "revoked", entry.reason)

    watched = space.watch("job-1")
    assert watched.code == 1
    assert "the health data access body has revoked its permit (PERMIT_REVOKED)" in watched.output
    state = conduct.state_of(sandbox.office, "job-1")
    assert state == (JobState.FAILED, "PERMIT_REVOKED")
    for name in (STUCK, WELL):
        sandbox.wait_for(name, lambda name=name: children(sandbox.process_id(name)) == [] or None)
        nothing_follows(space, name, job)

    sandbox.start_nodes([AWAY])
    sandbox.wait_for(AWAY, lambda: knows(space, AWAY, "permit-1"))
    assert fold(space.entries(AWAY)).jobs[job].ended
    nothing_follows(space, AWAY, job)
    one_line(space.submit("job-2", "permit-1", "0.1"), "PERMIT_REVOKED")
    for name in (*NAMES, "coordinator"):
        verified = space.verify(name)
        assert verified.code == 0, verified


def test_a_suspended_permit_stops_and_another_permit_goes_on(space):
    space.permit("permit-2")
    space.permit("permit-3")
    begin(space, "job-3", "permit-2")
    take_back(space, "permit-2", "suspend", "hearing")
    watched = space.watch("job-3")
    assert "has suspended its permit (PERMIT_SUSPENDED)" in watched.output
    other = space.submit("job-4", "permit-3", "0.1")
    assert other.code == 0, other
    again = space.sandbox.attempt(
        "coordinator", "permit", "suspend", space.coordinator, "permit-2", "--reason", "risk"
    )
    one_line(again, "PERMIT_SUSPENDED")
    take_back(space, "permit-2", "revoke", "court")
    for name in ("coordinator", *NAMES):
        space.sandbox.wait_for(
            name,
            lambda name=name: (
                getattr(knows(space, name, "permit-2"), "effect", "") == "revoked" or None
            ),
        )


def test_a_permit_that_ends_stops_its_job_everywhere_without_a_word(space):
    ends = utc_now() + timedelta(seconds=15)
    text = PERMIT.format(
        id="permit-4", purpose="scientific-research", datasets=datasets("patients"), hospitals=2,
        **dates() | {"later": f"{ends:%Y-%m-%dT%H:%M:%SZ}"},
    )  # fmt: skip
    path = space.texts / "permit-4.toml"
    path.write_text(text)
    space.sandbox.run_command("coordinator", "permit", "issue", space.coordinator, str(path))
    job = begin(space, "job-5", "permit-4")
    for name in ("coordinator", *NAMES):
        ended = space.sandbox.wait_for(name, lambda name=name: end_of(space, name, job))
        assert ended.reason == "PERMIT_EXPIRED"
    assert "its permit has come to its end (PERMIT_EXPIRED)" in space.watch("job-5").output
    for name in ("coordinator", *NAMES):
        log = space.entries(name)
        over = next(at for at, e in enumerate(log) if e.kind == "job-ended" and e.job == job)
        assert not [e for e in log[over:] if e.kind in ("reserved", "released", "labelled")]


def end_of(space: DataSpace, name: str, job: str) -> entries.JobEnded | None:
    return next((e for e in space.entries(name, entries.JobEnded) if e.job == job), None)
