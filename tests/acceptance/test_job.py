"""A permitted job, a second one, one too many, and a forbidden one, by the commands people type."""

import re
from decimal import Decimal

import pytest
from dataspace import NAMES, DataSpace

from connector.audit import entries
from coordinator.jobs import conduct
from node.admission import COUNTING
from policies.privacy import Budget

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(space: DataSpace) -> DataSpace:
    """The data space after its first job."""
    space.permit("permit-1")
    job = space.submit("job-1", "permit-1", "0.8")
    assert job.code == 0, job
    assert job.output.count("takes part") == 3
    assert "round 2: 3 hospitals answered" in job.output
    assert job.output.rstrip().endswith("the job is finished")
    return space


def test_a_finished_job_has_a_label_and_waits_for_a_person_before_it_can_be_used(finished):
    sandbox, coordinator = finished.sandbox, finished.coordinator
    label = sandbox.run_command("coordinator", "label", coordinator, "job-1")
    assert "job-1" in label
    assert re.search(r"Epsilon.*0\.[78]", label)
    assert sum(f"{name}/patients" in label for name in NAMES) == 3
    reviewed = sandbox.attempt(
        "coordinator", "review", coordinator, "job-1", "--reviewer", "A. Body", "--approve"
    )
    assert (reviewed.code, "approved" in reviewed.output) == (0, True)
    again = sandbox.attempt(
        "coordinator", "review", coordinator, "job-1", "--reviewer", "B. Body", "--reject"
    )
    assert (again.code, "RELEASE_REVIEWED" in again.errors) == (1, True)


def test_every_hospital_s_budget_shows_what_the_job_cost_it(finished):
    for name in NAMES:
        assert 0.8 <= finished.spent(name) <= 1.0


def test_every_log_verifies_with_its_owner_s_key_while_its_writer_runs(finished):
    for name in (*NAMES, "coordinator"):
        verified = finished.verify(name)
        assert verified.code == 0, verified
        assert "✗" not in verified.output
        assert "not pinned" not in verified.output


def test_a_log_does_not_verify_with_another_participant_s_key(finished):
    other = finished.key(NAMES[1]).vkey
    log = str(finished.sandbox.directory(NAMES[0]))
    verified = finished.sandbox.attempt("audit", "verify", log, "--key", other)
    assert verified.code == 1, verified


def test_a_second_job_that_would_fit_alone_is_refused_for_what_the_first_has_spent(finished):
    before = {name: finished.budget(name) for name in NAMES}
    too_much = finished.submit("job-2", "permit-1", "0.9")
    assert too_much.code == 1, too_much
    assert too_much.output.rstrip().endswith("the job is refused (TOO_FEW_HOSPITALS)")
    planned = conduct.specification(finished.sandbox.office, "job-2").cost()
    assert Budget(Decimal(1), Decimal("0.00001")).admits(COUNTING.cost, planned), "alone it fits"
    assert {name: finished.budget(name) for name in NAMES} == before
    for name in NAMES:
        refused = finished.entries(name, entries.Refused)[-1]
        assert (refused.code, refused.rules) == ("NOT_ALLOWED", ("policy.budget",))
        assert f"{name} refuses: more epsilon than the hospital has left" in too_much.output
        reserved = {entry.job for entry in finished.entries(name, entries.Reserved)}
        assert refused.job not in reserved, "something was computed"


def test_an_advertiser_s_permit_is_refused_by_every_hospital_with_the_article(finished):
    finished.permit("permit-ads", purpose="advertising")
    job = finished.submit("job-ads", "permit-ads", "0.1")
    assert job.code == 1, job
    for name in NAMES:
        denied = finished.entries(name, entries.Decided)[-1].decision
        assert "ehds.art54.c" in [constraint.rule for constraint in denied.failed]
        assert "ehds.art54.c" in finished.entries(name, entries.Refused)[-1].rules


def test_every_log_verifies_after_everybody_has_been_stopped(finished):
    for name in (*NAMES, "coordinator"):
        finished.sandbox.stop(name)
        verified = finished.verify(name)
        assert verified.code == 0, verified
        assert "!" not in verified.output, "a writer that was stopped leaves nothing to complete"
