"""Coordinator and three hospitals that negotiate each permit before a job: whole processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts import Contracted, open_contracted
from dataspace import NAMES

from connector.audit import entries
from coordinator.sandbox import OFFICERS, Sandbox

pytestmark = pytest.mark.slow
NORTH = NAMES[0]
NEGOTIATED = ["REQUESTED", "AGREED", "VERIFIED", "FINALIZED"]


@pytest.fixture(scope="module")
def automatic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contracted]:
    root = tmp_path_factory.mktemp("space")
    with Sandbox(root) as sandbox:
        yield open_contracted(root, tmp_path_factory.mktemp("texts"), sandbox)
    check_printed(root)


@pytest.fixture
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contracted]:
    root = tmp_path_factory.mktemp("space")
    with Sandbox(root) as sandbox:
        yield open_contracted(root, tmp_path_factory.mktemp("texts"), sandbox, "person", wait=120)
    check_printed(root)


def check_printed(root: Path) -> None:
    printed = {path.name: path.read_text(errors="replace") for path in root.glob("*.out")}
    assert not [name for name, text in printed.items() if "Traceback" in text], printed


def wait_for(contracted: Contracted, name: str, kind: str, state: str) -> None:
    contracted.sandbox.wait_for(
        name, lambda: (contracted.moves(name, kind) or [""])[-1] == state or None
    )


def answer(contracted: Contracted, name: str, *more: str) -> None:
    sandbox = contracted.sandbox
    sandbox.run_command(
        "node", "approve", str(sandbox.directory(name)), "permit-1",
        "--dataset", f"{name}/patients",
        "--key", str(sandbox.officer_key(name, OFFICERS[0])), "--yes", *more,
    )  # fmt: skip


def test_a_job_runs_under_contracts_that_a_second_job_uses_again(automatic: Contracted) -> None:
    space = automatic.space
    space.permit("permit-1")
    first = space.submit("job-1", "permit-1", "0.2")
    assert first.code == 0, first
    assert f"{NORTH}: the job may start under the contract" in first.output
    for name in NAMES:
        wait_for(automatic, name, "transfer", "COMPLETED")
        assert automatic.moves(name) == NEGOTIATED
        assert automatic.moves(name, "transfer") == ["REQUESTED", "STARTED", "COMPLETED"]

    second = space.submit("job-2", "permit-1", "0.2")
    assert second.code == 0, second
    for name in NAMES:
        wait_for(automatic, name, "transfer", "COMPLETED")
        assert automatic.moves(name) == NEGOTIATED, "the agreement was used again"
        assert automatic.moves(name, "transfer").count("STARTED") == 2

    moved = automatic.contract_entries(NORTH, entries.ContractMoved)
    admitted = automatic.contract_entries(NORTH, entries.Decided)
    assert {one.job for one in moved} - {""} == {one.request.job_digest for one in admitted}
    assert {one.permit_digest for one in moved} == {admitted[0].request.permit_digest}
    wait_for(automatic, "coordinator", "transfer", "COMPLETED")
    for name in ("coordinator", *NAMES):
        assert space.verify(name).code == 0


def test_a_permit_that_the_policy_denies_gets_no_contract_and_the_rule(
    automatic: Contracted,
) -> None:
    space = automatic.space
    space.permit("permit-teaching", "education")
    job = space.submit("job-teaching", "permit-teaching", "0.1")
    assert job.code == 1, job
    assert f"{NORTH}: no contract: a purpose that the hospital does not allow" in job.output
    assert "AGREEMENT_MISSING" in job.output, "the gate says so, too"
    judged = automatic.contract_entries(NORTH, entries.ContractJudged)[-1]
    assert (judged.answer, judged.reasons) == ("deny", ("policy.purpose",))
    ended = automatic.contract_entries(NORTH, entries.ContractMoved)[-1]
    assert (ended.after, ended.by, ended.reasons) == (
        "TERMINATED", "provider", ("policy.purpose",)
    )  # fmt: skip


def test_a_hospital_that_was_away_gets_its_contract_when_it_is_back(automatic: Contracted) -> None:
    space, sandbox = automatic.space, automatic.sandbox
    space.permit("permit-away", hospitals=3)
    sandbox.kill(NORTH)
    assert space.submit("job-away", "permit-away", "0.2", watch=False).code == 0
    wait_for(automatic, NAMES[1], "transfer", "STARTED")
    sandbox.start_nodes([NORTH])
    job = space.watch("job-away")
    assert job.code == 0, job
    assert f"{NORTH}: its connector cannot be used yet" in job.output
    assert automatic.moves(NORTH)[-4:] == NEGOTIATED


def test_a_person_is_asked_through_a_kill_and_can_take_the_answer_back(person: Contracted) -> None:
    space, sandbox = person.space, person.sandbox
    space.permit("permit-1", hospitals=3)
    assert space.submit("job-1", "permit-1", "0.9", rounds=500, watch=False).code == 0
    for name in NAMES:
        directory = str(sandbox.directory(name))
        shown = sandbox.wait_for(
            name,
            lambda directory=directory: (
                text if "permit-1" in (text := sandbox.run_command("node", "held", directory))
                else None
            ),
        )  # fmt: skip
        assert "asked for by hdab over the Dataspace Protocol" in shown
    assert [person.moves(name) for name in NAMES] == [["REQUESTED"]] * 3

    sandbox.kill(NORTH)
    sandbox.start_nodes([NORTH])
    for name in NAMES:
        answer(person, name)
    sandbox.wait_for(NORTH, lambda: space.entries(NORTH, entries.Released) or None)

    answer(person, NORTH, "--refuse")
    job = space.watch("job-1")
    assert job.code == 1, job
    assert f"{NORTH} is left out" in job.output
    wait_for(person, NORTH, "transfer", "TERMINATED")
    log = space.entries(NORTH)
    (stopped,) = [
        at for at, one in enumerate(log)
        if isinstance(one, entries.ContractMoved) and one.after == "TERMINATED"
    ]  # fmt: skip
    assert log[stopped].reasons == ("policy.approval",)
    after = [one for one in log[stopped:] if isinstance(one, entries.Released | entries.Reserved)]
    assert not after, "nothing leaves, and nothing is spent, once the transfer has ended"
    wait_for(person, "coordinator", "transfer", "COMPLETED")
    assert sorted(person.moves("coordinator", "transfer")[-3:]) == [
        "COMPLETED", "COMPLETED", "TERMINATED"
    ]  # fmt: skip
    assert space.verify(NORTH).code == 0


def test_a_revoked_permit_ends_agreements_and_transfers_on_both_sides(
    automatic: Contracted,
) -> None:
    space, sandbox = automatic.space, automatic.sandbox
    space.permit("permit-revoked", hospitals=3)
    before = len(space.entries(NORTH, entries.Released))
    assert space.submit("job-revoked", "permit-revoked", "0.2", rounds=500, watch=False).code == 0
    sandbox.wait_for(NORTH, lambda: len(space.entries(NORTH, entries.Released)) > before or None)
    sandbox.run_command(
        "coordinator", "permit", "revoke", space.coordinator, "permit-revoked", "--reason", "risk"
    )
    assert space.watch("job-revoked").code == 1
    for name in ("coordinator", NORTH):
        (ended,) = sandbox.wait_for(name, lambda name=name: ended_by_revocation(automatic, name))
        assert ended.dataset.endswith("/patients")
    for name in ("coordinator", *NAMES):
        wait_for(automatic, name, "transfer", "TERMINATED")
        assert space.verify(name).code == 0


def ended_by_revocation(contracted: Contracted, name: str) -> list[entries.AgreementEnded] | None:
    found = contracted.contract_entries(name, entries.AgreementEnded)
    return [one for one in found if one.reasons == ("ehds.art63.revoked",)][:1] or None
