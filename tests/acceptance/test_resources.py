"""What a node takes from its machine, and what it opens on it: little, and nothing."""

import re

import pytest
from dataspace import NAMES, DataSpace
from processes import children, listening, resident_megabytes

pytestmark = pytest.mark.slow
LIMIT_MEGABYTES = 120
NODE = NAMES[0]


def test_an_idle_node_is_small_before_and_after_a_job_and_its_worker_is_gone(space: DataSpace):
    sandbox = space.sandbox
    node = sandbox.process_id(NODE)
    before = resident_megabytes(node)
    assert children(node) == [], "a worker without a job"
    assert listening(node) == []

    space.permit("permit-1")
    job = space.submit("job-1", "permit-1", "0.5")
    assert job.code == 0, job
    after = resident_megabytes(node)
    assert children(node) == [], "a worker is left of a job that is over"
    assert listening(node) == []
    print(f"resident: {before:.0f} MB before a job, {after:.0f} MB after")
    assert max(before, after) < LIMIT_MEGABYTES


def test_only_the_coordinator_listens_and_only_where_it_says(space: DataSpace):
    port = int(space.sandbox.office.address().rpartition(":")[2])
    (found,) = listening(space.sandbox.process_id("coordinator"))
    assert found == f"tcp 0100007F:{port:04X}"


def test_a_worker_has_neither_network_nor_files(space: DataSpace):
    checked = space.sandbox.attempt("node", "check", str(space.sandbox.directory(NODE)))
    assert checked.code == 0, checked
    confined = re.search(r"confined by: (.*)", checked.output)
    assert confined, checked
    assert confined[1].split(", ") == ["limits", "landlock", "seccomp"]
