"""What a node takes from its machine, and what it opens on it: little, and nothing."""

import re

import pytest
from dataspace import NAMES, DataSpace
from processes import children, listening, resident_megabytes

pytestmark = pytest.mark.slow
LIMIT_MEGABYTES = 120
NODE = NAMES[0]


def test_an_idle_node_is_small_after_its_start_and_after_a_job_and_its_worker_is_gone(
    shared_space: DataSpace,
):
    sandbox = shared_space.sandbox
    after_job = sandbox.process_id(NODE)
    sandbox.stop(NAMES[1])
    sandbox.start_nodes([NAMES[1]])
    after_start = sandbox.process_id(NAMES[1])
    megabytes = {pid: resident_megabytes(pid) for pid in (after_job, after_start)}
    print(f"resident after a job and after a start: {megabytes} MB")
    assert max(megabytes.values()) < LIMIT_MEGABYTES
    for pid in megabytes:
        assert children(pid) == [], "a worker without a job"
        assert listening(pid) == [], "a node makes outbound connections only"


def test_only_the_coordinator_listens_and_only_where_it_says(shared_space: DataSpace):
    port = int(shared_space.sandbox.office.address().rpartition(":")[2])
    (found,) = listening(shared_space.sandbox.process_id("coordinator"))
    assert found == f"tcp 0100007F:{port:04X}"


def test_a_worker_has_neither_network_nor_files(shared_space: DataSpace):
    checked = shared_space.sandbox.attempt(
        "node", "check", str(shared_space.sandbox.directory(NODE))
    )
    assert checked.code == 0, checked
    confined = re.search(r"confined by: (.*)", checked.output)
    assert confined, checked
    assert confined[1].split(", ") == ["limits", "landlock", "seccomp"]
