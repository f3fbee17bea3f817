"""Four eyes: what each of two officers sees, signs, and is refused."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hospital_files
import pytest
from click.testing import CliRunner, Result
from hospital_files import Files

from connector.audit import entries
from connector.audit.log import Log
from connector.authoring import activation, instructions
from connector.authoring.activation import Draft
from connector.authoring.activation_cli import activate, officer
from connector.authoring.instructions import ActivatePolicy
from connector.authoring.spool import Inbox, Proposals
from connector.clock import utc_now
from connector.errors import LocalError
from connector.identity.keys import SigningKey


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return hospital_files.write(tmp_path, "alice", "bob")


def prepare(files: Files, name: str) -> Draft:
    return activation.prepare(files.policy, files.directory, files.key(name), utc_now())


def sign(files: Files, name: str) -> str | None:
    return activation.sign(prepare(files, name), files.key(name))


def refused(files: Files, name: str = "alice") -> LocalError:
    with pytest.raises(LocalError) as refusal:
        prepare(files, name)
    return refusal.value


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def run(files: Files, name: str, *more: str, given: str = "") -> Result:
    arguments = [str(files.policy), "--data", str(files.directory)]
    return CliRunner().invoke(
        activate, [*arguments, "--key", str(files.key_file(name)), *more], input=given
    )


def test_the_first_signature_waits_and_the_second_hands_in(files: Files) -> None:
    inbox = Inbox(files.directory / "inbox")
    assert sign(files, "alice") is None
    assert inbox.waiting() == []
    name = sign(files, "bob")
    assert inbox.waiting() == [name]
    assert Proposals(files.directory / "proposals").find(files.parsed().digest) is None
    keys = [files.key(one).verify_key for one in ("alice", "bob")]
    instruction, signers = instructions.verify(inbox.read(str(name)), ActivatePolicy, keys)
    assert instruction.policy == files.parsed()
    assert [key.name for key in signers] == ["alice", "bob"]


def test_the_same_officer_twice_is_the_first_one_still(files: Files) -> None:
    assert sign(files, "alice") is None
    assert sign(files, "alice") is None
    assert sign(files, "bob") is not None


def test_a_policy_that_was_changed_in_between_has_no_signature_yet(files: Files) -> None:
    sign(files, "alice")
    edit(files.policy, "minimum_cohort = 10", "minimum_cohort = 1")
    assert prepare(files, "bob").first is None
    assert sign(files, "bob") is None


def test_examples_that_were_changed_in_between_are_said(files: Files) -> None:
    sign(files, "alice")
    edit(files.examples, '"all that it may"', '"something else"')
    assert refused(files, "bob").code == "EXAMPLES_DIFFER"


@pytest.mark.parametrize("changed", [{"minimum_cohort": 1}, {"rules": "{"}])
def test_a_proposal_of_another_policy_under_the_name_of_this_one_is_none(
    files: Files, changed: dict[str, Any]
) -> None:
    """Threat: one officer has the other sign what that one has not seen."""
    planted = ActivatePolicy(
        node="north",
        policy=files.parsed(**changed),
        examples=prepare(files, "alice").report.digest,
        issued_at=utc_now(),
    )
    document = instructions.sign(files.key("alice"), planted)
    Proposals(files.directory / "proposals").save(files.parsed().digest, document)
    assert prepare(files, "bob").first is None
    assert sign(files, "bob") is None
    assert Inbox(files.directory / "inbox").waiting() == []


def test_a_proposal_for_another_node_is_none(files: Files) -> None:
    planted = prepare(files, "alice").instruction.model_copy(update={"node": "south"})
    document = instructions.sign(files.key("alice"), planted)
    Proposals(files.directory / "proposals").save(files.parsed().digest, document)
    assert prepare(files, "bob").first is None


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["a pipe", "a link"]
)
def test_a_proposal_that_is_no_plain_file_is_none_and_hangs_nobody(
    files: Files, make: Callable[[Path], None]
) -> None:
    proposals = Proposals(files.directory / "proposals")
    proposals.save(files.parsed().digest, "x")
    (place,) = proposals.directory.iterdir()
    place.unlink()
    make(place)
    assert proposals.find(files.parsed().digest) is None
    assert prepare(files, "bob").first is None


def test_a_damaged_proposal_is_none(files: Files) -> None:
    sign(files, "alice")
    (proposal,) = (files.directory / "proposals").iterdir()
    proposal.write_text(proposal.read_text()[:-5])
    assert prepare(files, "bob").first is None


def test_a_proposal_of_one_who_is_no_officer_any_more_is_none(files: Files) -> None:
    sign(files, "alice")
    dismissed = files.key("alice").verify_key.vkey
    carol = SigningKey("carol", b"c" * 32).verify_key.vkey
    edit(files.directory / "node.toml", dismissed, carol)
    assert prepare(files, "bob").first is None


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('expect = "allow"', 'expect = "deny"', "EXAMPLES_FAIL"),
        ('expect = "deny"\nhospitals = 1', 'expect = "allow"', "EXAMPLES_FAIL"),
        ("epsilon = 1.0\n", "", "EXAMPLES_FAIL"),
        ('expect = "deny"\n', 'expect = "deny"\npurpose = "advertising"\n', "EXAMPLES_FAIL"),
    ],
)
def test_a_policy_whose_examples_fail_or_show_too_little_is_not_signed(
    files: Files, old: str, new: str, code: str
) -> None:
    edit(files.examples, old, new)
    assert refused(files).code == code


def test_a_policy_without_examples_is_not_signed(files: Files) -> None:
    files.examples.unlink()
    error = refused(files)
    assert error.code == "EXAMPLES_MISSING"
    assert str(files.examples) in error.message


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('"north/patients"', '"north/others"', "DATASET_UNKNOWN"),
        ('["age", "died"]', '["age", "weight"]', "POLICY_COLUMN"),
    ],
)
def test_a_policy_that_does_not_fit_the_node_is_not_signed(
    files: Files, old: str, new: str, code: str
) -> None:
    edit(files.policy, old, new)
    if code == "POLICY_COLUMN":
        edit(files.examples, old, new)
    assert refused(files).code == code


def test_without_officers_nothing_is_activated_and_the_remedy_is_named(tmp_path: Path) -> None:
    files = hospital_files.write(tmp_path)
    alice = SigningKey("alice", b"a" * 32)
    with pytest.raises(LocalError) as refusal:
        activation.prepare(files.policy, files.directory, alice, utc_now())
    assert refusal.value.code == "OFFICERS_MISSING"
    assert "commensal policy officer" in refusal.value.remedy


def test_a_key_that_is_not_listed_is_refused_even_under_an_officers_name(files: Files) -> None:
    with pytest.raises(LocalError) as refusal:
        activation.prepare(files.policy, files.directory, SigningKey("alice", b"a" * 32), utc_now())
    assert refusal.value.code == "OFFICER_UNKNOWN"


def test_a_version_that_was_active_already_is_refused_with_the_next_one(files: Files) -> None:
    files.log(files.activated(files.parsed(version=4)))
    error = refused(files)
    assert error.code == "POLICY_VERSION"
    assert "5" in error.remedy


def test_what_is_active_already_is_said(files: Files) -> None:
    files.log(files.activated(files.parsed()))
    assert refused(files).code == "INSTRUCTION_REPEATED"


def test_an_officer_sees_what_is_signed_and_what_it_replaces(files: Files) -> None:
    files.log(files.activated(files.parsed()))
    edit(files.policy, "version = 1", "version = 2")
    first = run(files, "alice", given="y\n")
    assert first.exit_code == 0, first
    digest = files.parsed().digest
    for text in ("north/research version 2 for north/patients", digest, "all 2 pass: 1 allow"):
        assert text in first.output
    assert "replaces  north/research version 1" in first.output
    assert "signed by" not in first.output.partition("Sign as")[0]
    second = run(files, "bob", given="y\n")
    assert "signed by alice on" in second.output.partition("Sign as bob?")[0]
    assert digest in second.output
    assert "it becomes active when it starts" in second.output


def test_an_officer_who_says_no_signs_nothing(files: Files) -> None:
    assert run(files, "alice", given="n\n").exit_code == 1
    assert not (files.directory / "proposals").exists()


@pytest.fixture
def running(files: Files) -> Iterator[Log]:
    """A log that a process writes, as a running node's."""
    with Log.open(files.directory / "log", SigningKey("north", b"n" * 32)) as log:
        yield log


def test_a_running_node_is_told_from_one_that_is_not(files: Files) -> None:
    assert not activation.is_running(files.directory)
    with Log.open(files.directory / "log", SigningKey("north", b"n" * 32)):
        assert activation.is_running(files.directory)
    assert not activation.is_running(files.directory)


def test_the_second_officer_is_told_the_entry_of_a_running_node(
    files: Files, running: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activation.time, "sleep", lambda _seconds: follow(files, running))
    assert run(files, "alice", "--yes").exit_code == 0
    second = run(files, "bob", "--yes")
    assert "active since" in second.output
    assert "entry 0 of the node's log" in second.output


def test_the_second_officer_is_told_the_code_of_a_node_that_rejects(
    files: Files, running: Log
) -> None:
    del running
    sign(files, "alice")
    name = str(sign(files, "bob"))
    Inbox(files.directory / "inbox").reject(name, "POLICY_VERSION")
    with pytest.raises(LocalError) as refusal:
        activation.wait(files.directory, name, lambda _entry: True)
    assert refusal.value.code == "POLICY_VERSION"


def test_waiting_for_a_busy_node_ends(files: Files, running: Log) -> None:
    del running
    name = Inbox(files.directory / "inbox").hand_in("activate", "sha256:00", "text")
    assert activation.wait(files.directory, name, lambda _entry: True, seconds=0) is None


def test_an_officer_who_waits_reads_each_entry_once(
    files: Files, running: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.append([entries.spell(files.activated(files.parsed(version=1)))])
    seen: list[int] = []

    def write_another(_seconds: float) -> None:
        version = len(running) + 1
        running.append([entries.spell(files.activated(files.parsed(version=version)))])

    def is_third(entry: Any) -> bool:
        seen.append(entry.policy.version)
        return len(seen) == 3

    monkeypatch.setattr(activation.time, "sleep", write_another)
    found = activation.wait(files.directory, "activate-gone.json", is_third)
    assert (found[0] if found else None, seen) == (2, [1, 2, 3])


def follow(files: Files, log: Log) -> None:
    """What a node does with what is handed in, while an officer waits."""
    inbox = Inbox(files.directory / "inbox")
    officers = [files.key(one).verify_key for one in ("alice", "bob")]
    for name in inbox.waiting():
        instruction, signers = instructions.verify(inbox.read(name), ActivatePolicy, officers)
        log.append([instructions.entry(instruction, signers, utc_now()).encode()])
        inbox.done(name)


def test_an_officers_key_is_made_for_its_owner_only_and_never_printed(tmp_path: Path) -> None:
    place = tmp_path / "alice.key"
    made = CliRunner().invoke(officer, ["alice", "--out", str(place)])
    assert made.exit_code == 0
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    key = SigningKey.load(place)
    assert f'"{key.verify_key.vkey}"' in made.output
    assert "node.toml" in made.output
    assert "PRIVATE+KEY" not in made.output
    assert place.read_text().rpartition("+")[2].strip() not in made.output


def test_an_officers_key_makes_no_directory_that_nobody_asked_for(tmp_path: Path) -> None:
    place = tmp_path / "kyes" / "alice.key"
    made = CliRunner().invoke(officer, ["alice", "--out", str(place)])
    assert isinstance(made.exception, LocalError)
    assert made.exception.code == "DIRECTORY_MISSING"
    assert not place.parent.exists()


def test_an_officers_key_is_never_overwritten(tmp_path: Path) -> None:
    place = tmp_path / "alice.key"
    place.write_text("mine")
    again = CliRunner().invoke(officer, ["alice", "--out", str(place)])
    assert isinstance(again.exception, LocalError)
    assert again.exception.code == "KEY_EXISTS"
    assert place.read_text() == "mine"
