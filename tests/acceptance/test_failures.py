"""Processes that are killed or stopped in a job: the others go on, nothing is uncounted."""

import os
import signal
import subprocess
import sys
from decimal import Decimal

import pytest
from dataspace import NAMES, DataSpace, hospital, one_line
from processes import children, start_time

from connector.audit import entries
from connector.audit.ledger import JobAccount, fold
from connector.clock import utc_now
from coordinator.jobs import conduct
from coordinator.jobs.states import JobState
from coordinator.sandbox import Sandbox
from policies.privacy import Budget

pytestmark = pytest.mark.slow
VICTIM = NAMES[0]
ENDLESS = 1000


@pytest.fixture(scope="module")
def lasting(space: DataSpace) -> DataSpace:
    """A data space whose coordinator can be restarted where the nodes look for it."""
    space.sandbox.keep_port()
    space.permit("permit-1")
    return space


def begin(space: DataSpace, job: str, rounds: int) -> None:
    """Submit a job and return when all hospitals have answered in its first round."""
    submitted = space.submit(job, "permit-1", "0.2", rounds, watch=False)
    assert submitted.code == 0, submitted
    answered = space.sandbox.wait_for("coordinator", lambda: first_round(space, job))
    assert answered == NAMES


def first_round(space: DataSpace, job: str) -> list[str] | None:
    events = conduct.events_since(space.sandbox.office, job, 0)
    rounds = [event.body["hospitals"] for event in events if event.kind == "round"]
    return rounds[0] if rounds else None


def account(space: DataSpace, name: str, job: str) -> JobAccount:
    return fold(space.entries(name)).jobs[digest_of(space, job)]


def digest_of(space: DataSpace, job: str) -> str:
    return conduct.specification(space.sandbox.office, job).digest


def stuck_in_a_step(space: DataSpace, name: str) -> bool | None:
    """Whether a node has reserved privacy for a step that it alone has not answered."""
    released = [
        {(entry.job, entry.round, entry.task) for entry in space.entries(other, entries.Released)}
        for other in NAMES
        if other != name
    ]
    last = space.entries(name)[-1]  # read after the others, which are not waiting for it yet
    if not isinstance(last, entries.Reserved):
        return None
    return all((last.job, last.round, last.task) in others for others in released) or None


def test_a_coordinator_that_goes_in_a_job_fails_it_and_the_nodes_come_back_to_it(lasting):
    sandbox = lasting.sandbox
    before = {name: sandbox.process_id(name) for name in NAMES}
    for job, end in {"job-killed": sandbox.kill, "job-stopped": sandbox.stop}.items():
        begin(lasting, job, ENDLESS)  # the second one runs on the restarted coordinator
        end("coordinator")
        watched = lasting.watch(job)
        assert watched.code == 1, watched
        if end == sandbox.kill:
            one_line(watched, "COORDINATOR_STOPPED")
        now = utc_now()
        sandbox.start_coordinator()
        sandbox.wait_for_nodes(NAMES, now)
        assert conduct.state_of(sandbox.office, job) == (JobState.FAILED, "COORDINATOR_STOPPED")
        for name, process_id in before.items():
            assert sandbox.process_id(name) == process_id
            assert children(process_id) == [], "a worker is left of a job that is over"
            assert account(lasting, name, job).ended, "the job's plan would count for a day"
    for name in (*NAMES, "coordinator"):
        assert lasting.verify(name).code == 0


def test_a_node_killed_in_a_round_costs_the_job_that_hospital_and_the_node_no_memory(lasting):
    sandbox = lasting.sandbox
    begin(lasting, "job-kill", rounds=30)
    (worker,) = children(sandbox.process_id(VICTIM))
    started = start_time(worker)
    os.kill(worker, signal.SIGSTOP)  # so that the node is certainly killed between the two entries
    sandbox.wait_for(VICTIM, lambda: stuck_in_a_step(lasting, VICTIM))
    sandbox.kill(VICTIM)
    os.kill(worker, signal.SIGCONT)
    spent, before = lasting.spent(VICTIM), account(lasting, VICTIM, "job-kill")
    assert spent > 0

    followed = lasting.watch("job-kill")
    assert followed.code == 0, followed
    assert f"{VICTIM} is left out: NO_REPLY" in followed.output
    assert "round 30: 2 hospitals answered" in followed.output
    received = lasting.entries("coordinator", entries.Received)
    assert (VICTIM, "NO_REPLY") in [(entry.sender, entry.code) for entry in received]
    sandbox.wait_for("coordinator", lambda: start_time(worker) != started or None)

    verified = lasting.verify(VICTIM)
    assert verified.code == 0, verified
    sandbox.start_nodes([VICTIM])
    after = account(lasting, VICTIM, "job-kill")
    assert after.answered == before.answered, "nothing forgotten, nothing paid for a round gone by"
    assert all(now >= then for now, then in zip(after.spent.rdp, before.spent.rdp, strict=True))
    assert after.ended, "it was told that the job is over, so the unused plan no longer counts"
    reserved = Budget(Decimal(1), Decimal("0.00001")).spent_epsilon(before.spent)
    assert reserved <= lasting.spent(VICTIM) <= spent


def test_a_node_gives_up_a_coordinator_that_has_gone_after_the_configured_time(tmp_path):
    with Sandbox(tmp_path / "space") as sandbox:
        sandbox.root.mkdir()
        DataSpace(sandbox, tmp_path).open([hospital(VICTIM, settings="give_up_seconds = 1")])
        sandbox.kill("coordinator")
        assert sandbox.wait_until_ended(VICTIM) == 1
        *_, last = sandbox.output(VICTIM).strip().splitlines()
        assert last.startswith("commensal: the coordinator at 127.0.0.1:")
        assert last.endswith("[COORDINATOR_UNREACHABLE]")
        assert "Traceback" not in sandbox.output(VICTIM)


def test_a_node_that_is_interrupted_stops_cleanly(lasting):
    directory = str(lasting.sandbox.directory(NAMES[1]))
    lasting.sandbox.stop(NAMES[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "connector", "node", "run", directory],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        assert b"connected" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b"stopped\n"
    assert process.returncode == 0
    assert "!" not in lasting.verify(NAMES[1]).output, "it leaves nothing to complete"
    lasting.sandbox.start_nodes([NAMES[1]])
