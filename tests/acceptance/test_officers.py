"""Officers and their running node, by the commands they type: activate, tighten, approve."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dataspace import NAMES, DataSpace, hospital, one_line

from connector.audit import entries
from connector.identity.keys import SigningKey
from coordinator.sandbox import OFFICERS, Finished, Sandbox

pytestmark = pytest.mark.slow
NAME = NAMES[0]
ALICE, BOB = OFFICERS


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    with Sandbox(tmp_path_factory.mktemp("space")) as sandbox:
        one = DataSpace(sandbox, tmp_path_factory.mktemp("texts"))
        one.open([hospital(name) for name in NAMES])
        one.permit("permit-1", hospitals=3)
        yield one


def policy_file(space: DataSpace) -> Path:
    return space.sandbox.directory(NAME) / "policy.toml"


def change(space: DataSpace, *pairs: tuple[str, str]) -> None:
    edit(policy_file(space), *pairs)


def edit(path: Path, *pairs: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def activate(space: DataSpace, officer: str) -> Finished:
    return space.sandbox.attempt(
        "policy", "activate", str(policy_file(space)),
        "--data", str(space.sandbox.directory(NAME)),
        "--key", str(space.sandbox.officer_key(NAME, officer)), "--yes",
    )  # fmt: skip


def answer(space: DataSpace, *more: str) -> Finished:
    return space.sandbox.attempt(
        "node", "approve", str(space.sandbox.directory(NAME)), "permit-1",
        "--dataset", f"{NAME}/patients",
        "--key", str(space.sandbox.officer_key(NAME, ALICE)), "--yes", *more,
    )  # fmt: skip


def test_four_eyes_tighten_hold_and_approve_on_a_running_node(space: DataSpace) -> None:
    sandbox, directory = space.sandbox, str(space.sandbox.directory(NAME))
    assert sandbox.run_command("node", "held", directory) == "nothing waits for an answer"

    # A changed file decides nothing.
    change(
        space, ("version = 1", "version = 2"), ("epsilon_per_job = 1.0", "epsilon_per_job = 0.2")
    )
    beside = policy_file(space).with_name("policy.examples.toml")
    edit(beside, ("epsilon = 1.0", "epsilon = 0.2"))
    checked = sandbox.run_command("node", "check", directory)
    assert "is not what decides" in checked
    assert "commensal policy activate" in checked
    first = activate(space, ALICE)
    assert (first.code, "Another officer completes it" in first.output) == (0, True), first
    assert len(space.entries(NAME, entries.PolicyActivated)) == 1
    second = activate(space, BOB)
    assert (second.code, "active since" in second.output) == (0, True), second
    assert "signed by alice" in second.output
    assert f"{NAME}/research version 2 is active" in sandbox.output(NAME)

    # What was tightened is refused at once; what was signed once does not count again.
    refused = space.submit("job-1", "permit-1", "0.4")
    assert f"{NAME} refuses: more epsilon than the hospital allows one job" in refused.output
    one_line(activate(space, BOB), "INSTRUCTION_REPEATED")

    # A person is asked.
    change(
        space,
        ("version = 2", "version = 3"),
        ("epsilon_per_job = 0.2", 'epsilon_per_job = 1.0\napproval = "person"'),
    )
    edit(beside, ("epsilon = 0.2", "epsilon = 1.0"))
    for officer in (BOB, ALICE):
        done = activate(space, officer)
        assert done.code == 0, done
    held = space.submit("job-2", "permit-1", "0.3")
    assert f"{NAME} refuses: a person at the hospital has not approved" in held.output
    shown = sandbox.run_command("node", "held", directory)
    assert "permit-1 for hospital-north/patients" in shown
    assert "a university" in shown
    approved = answer(space)
    assert (approved.code, "approved at" in approved.output) == (0, True), approved
    assert sandbox.run_command("node", "held", directory) == "nothing waits for an answer"
    job = space.submit("job-3", "permit-1", "0.3")
    assert job.output.count("takes part") == 3, job
    withdrawn = answer(space, "--refuse")
    assert "refused at" in withdrawn.output, withdrawn
    again = space.submit("job-4", "permit-1", "0.1")
    assert f"{NAME} refuses: a person at the hospital has not approved" in again.output

    verified = sandbox.attempt("audit", "verify", directory)
    assert verified.code == 0, verified
    assert "two of the keys that the log names signed every policy" in verified.output
    keys = [SigningKey.load(sandbox.officer_key(NAME, officer)) for officer in OFFICERS]
    pinned = [part for key in keys for part in ("--officer", key.verify_key.vkey)]
    known = sandbox.attempt("audit", "verify", directory, *pinned)
    assert known.code == 0, known
    assert "two of the officers that you named signed every policy" in known.output
    assert sandbox.attempt("audit", "verify", directory, *pinned[:2]).code == 1


def test_a_dataset_without_an_active_policy_is_offered_once_it_has_one(
    tmp_path: Path,
) -> None:
    with Sandbox(tmp_path / "space") as sandbox:
        sandbox.root.mkdir()
        one = DataSpace(sandbox, tmp_path)
        sandbox.start_coordinator()
        directory = sandbox.prepare(hospital(NAME))
        # The instruction is lost before the node starts.
        (waiting,) = (directory / "inbox").glob("*.json")
        document = waiting.read_text()
        waiting.unlink()
        sandbox.enrol([NAME])
        sandbox.start_nodes([NAME])
        assert "no policy is active, so nothing is offered" in sandbox.output(NAME)
        catalogue = sandbox.run_command("coordinator", "catalogue", one.coordinator)
        assert "nothing is on offer" in catalogue
        waiting.write_text(document)
        sandbox.wait_for(NAME, lambda: one.entries(NAME, entries.PolicyActivated) or None)
        sandbox.wait_for(
            NAME,
            lambda: (
                f"{NAME}/patients"
                in sandbox.run_command("coordinator", "catalogue", one.coordinator)
                or None
            ),
        )
