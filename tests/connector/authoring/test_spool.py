"""The inbox: whatever lies in it, reading it ends, and what is wrong is moved aside."""

import os
from pathlib import Path

import pytest

from connector.authoring.spool import Inbox, Proposals, kind_of
from connector.errors import LocalError
from connector.identity.documents import MAX_BYTES

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


def test_an_inbox_that_is_not_there_is_empty(inbox: Inbox) -> None:
    assert inbox.waiting() == []


def test_what_is_handed_in_waits_under_a_name_of_its_kind(inbox: Inbox) -> None:
    name = inbox.hand_in("answer", DIGEST, "text")
    assert inbox.waiting() == [name]
    assert kind_of(name).__name__ == "AnswerPermit"
    assert inbox.read(name) == "text"
    inbox.done(name)
    assert inbox.waiting() == []


def test_files_that_are_still_being_written_or_of_others_are_left_alone(inbox: Inbox) -> None:
    inbox.directory.mkdir()
    for name in (".answer-1.json.new", "README", "answer-1.json.new"):
        (inbox.directory / name).write_text("x")
    assert inbox.waiting() == []


def test_a_rejected_file_lies_aside_with_its_code(inbox: Inbox) -> None:
    name = inbox.hand_in("activate", DIGEST, "text")
    inbox.reject(name, "POLICY_VERSION")
    assert inbox.waiting() == []
    assert (inbox.rejected / name).read_text() == "text"
    assert (inbox.rejected / f"{name}.code").read_text() == "POLICY_VERSION\n"
    assert inbox.verdict(name) == "POLICY_VERSION"


def test_handing_in_again_forgets_the_former_verdict(inbox: Inbox) -> None:
    name = inbox.hand_in("activate", DIGEST, "text")
    inbox.reject(name, "POLICY_VERSION")
    assert inbox.hand_in("activate", DIGEST, "text") == name
    assert inbox.verdict(name) == ""


@pytest.mark.parametrize(
    "make",
    [
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("/etc/hostname"),
        lambda path: path.write_bytes(b"x" * (MAX_BYTES + 1)),
    ],
    ids=["a directory", "a pipe", "a link", "too large"],
)
def test_what_is_no_file_of_bounded_size_is_not_read_and_can_be_moved_aside(
    inbox: Inbox, make: object
) -> None:
    inbox.directory.mkdir()
    make(inbox.directory / "answer-1.json")  # type: ignore[operator] # any of the above
    with pytest.raises(LocalError) as refusal:
        inbox.read("answer-1.json")
    assert refusal.value.code == "INSTRUCTION_UNREADABLE"
    inbox.reject("answer-1.json", refusal.value.code)
    assert inbox.waiting() == []


def test_what_cannot_be_read_leaves_nothing_open(inbox: Inbox) -> None:
    inbox.directory.mkdir()
    (inbox.directory / "answer-1.json").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        with pytest.raises(LocalError):
            inbox.read("answer-1.json")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_inbox_that_cannot_be_looked_into_is_not_taken_for_an_empty_one(inbox: Inbox) -> None:
    inbox.directory.write_text("no directory")
    for look in (inbox.waiting, inbox.create):
        with pytest.raises(LocalError) as refusal:
            look()
        assert refusal.value.code == "INBOX_UNREADABLE"
        assert refusal.value.remedy


def test_one_instruction_is_found_among_more_than_are_looked_at_in_one_go(inbox: Inbox) -> None:
    inbox.directory.mkdir()
    for number in range(200):
        (inbox.directory / f"answer-{number}.json").write_text("x")
    assert not inbox.holds("activate", DIGEST)
    inbox.hand_in("activate", DIGEST, "text")
    assert inbox.holds("activate", DIGEST)


def test_a_file_that_cannot_be_moved_away_is_not_looked_at_again(inbox: Inbox) -> None:
    name = inbox.hand_in("answer", DIGEST, "text")
    inbox.rejected.write_text("no directory")
    inbox.reject(name, "X")
    assert (inbox.directory / name).exists()
    assert inbox.waiting() == []
    (inbox.directory / name).unlink()
    inbox.rejected.unlink()
    inbox.hand_in("activate", DIGEST, "another")
    assert len(inbox.waiting()) == 1


def test_a_flood_of_files_is_taken_in_portions(inbox: Inbox) -> None:
    inbox.directory.mkdir()
    for number in range(200):
        (inbox.directory / f"answer-{number}.json").write_text("x")
    assert 0 < len(inbox.waiting()) < 200


@pytest.mark.parametrize("name", ["", "x.json", "Activate-1.json", "activated-1.json"])
def test_a_name_of_no_kind_is_refused(name: str) -> None:
    with pytest.raises(LocalError) as refusal:
        kind_of(name)
    assert refusal.value.code == "INSTRUCTION_UNKNOWN"


def test_a_proposal_waits_by_its_policys_digest(tmp_path: Path) -> None:
    proposals = Proposals(tmp_path / "proposals")
    assert proposals.find(DIGEST) is None
    proposals.save(DIGEST, "text")
    assert proposals.find(DIGEST) == "text"
    assert proposals.find("sha256:" + "cd" * 32) is None
    proposals.remove(DIGEST)
    proposals.remove(DIGEST)
    assert proposals.find(DIGEST) is None
