"""The log is the memory: what officers sign decides, and nothing else does."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from gatehouse import ALICE, BOB, DATASET, NOW, Gatehouse, permit, policy, spec

from connector.audit import entries
from connector.audit.order import Order
from connector.audit.verify import verify
from connector.authoring.instructions import Instruction, RecordDuty
from connector.errors import LocalError
from connector.identity.keys import SigningKey
from node.intake import Intake

CAROL = SigningKey("carol", b"c" * 32)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Gatehouse]:
    made = Gatehouse(tmp_path)
    yield made
    made.close()
    assert verify(tmp_path / "log", made.key.verify_key, Order("north").check).ok


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[Gatehouse]:
    """A node without an active policy: two officers handed in what it could not follow."""
    made = Gatehouse(tmp_path, own_policy=policy(columns=("weight",)))
    yield made
    made.close()
    assert verify(tmp_path / "log", made.key.verify_key, Order("north").check).ok


def versions(house: Gatehouse) -> list[int]:
    return [entry.policy.version for entry in house.entries(entries.PolicyActivated)]


def test_what_two_officers_signed_before_the_start_is_active_from_the_start(
    house: Gatehouse,
) -> None:
    (entry,) = house.entries(entries.PolicyActivated)
    assert entry.policy == house.own_policy
    assert entry.officers == (ALICE.verify_key.vkey, BOB.verify_key.vkey)
    assert house.inbox.waiting() == []


def test_a_dataset_without_an_active_policy_is_not_offered_and_no_job_runs_on_it(
    idle: Gatehouse,
) -> None:
    assert idle.entries() == []
    assert idle.send("describe", {})["offers"] == []
    assert idle.begin(spec(permit()), permit())["code"] == "POLICY_NOT_ACTIVE"
    assert idle.opened == 0
    idle.activate(policy())
    assert [offer["dataset"] for offer in idle.send("describe", {})["offers"]] == [DATASET.id]
    assert idle.begin(spec(permit()), permit())["status"] == "ok"


def test_an_activation_counts_with_the_very_next_message(house: Gatehouse) -> None:
    house.hand_in(house.activation(policy(version=2, minimum_participants=3)), ALICE, BOB)
    answer = house.begin(spec(permit()), permit())
    assert answer["rules"] == ["policy.participants"]


def test_looking_says_whether_anything_was_activated(house: Gatehouse) -> None:
    assert not house.gate.take_in()
    house.hand_in(house.activation(policy(version=2)), ALICE, BOB)
    assert house.gate.take_in()
    house.hand_in(house.answer(permit()), ALICE)
    assert not house.gate.take_in(), "an answer changes no offer"


def test_a_restart_knows_the_active_policy_from_the_log(house: Gatehouse) -> None:
    house.activate(policy(version=2, minimum_participants=3))
    house.restart()
    assert house.begin(spec(permit()), permit())["rules"] == ["policy.participants"]
    assert versions(house) == [1, 2]


@pytest.mark.parametrize(
    ("officers", "code"),
    [
        ((ALICE,), "SIGNATURE_MISSING"),
        ((CAROL, BOB), "SIGNATURE_INVALID"),
        ((ALICE, CAROL), "SIGNATURE_INVALID"),
    ],
)
def test_fewer_than_two_officers_change_nothing(
    house: Gatehouse, officers: tuple[SigningKey, ...], code: str
) -> None:
    name = house.hand_in(house.activation(policy(version=2)), *officers)
    house.gate.take_in()
    assert house.inbox.verdict(name) == code
    assert versions(house) == [1]


def test_a_node_without_officers_obeys_nobody(tmp_path: Path) -> None:
    house = Gatehouse(tmp_path, officers=())
    assert house.entries() == []
    assert [place.read_text() for place in house.inbox.rejected.glob("*.code")] == [
        "OFFICERS_MISSING\n"
    ]
    house.close()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"node": "south"}, "INSTRUCTION_FOR_ANOTHER"),
        ({"issued_at": NOW - timedelta(days=31)}, "INSTRUCTION_STALE"),
        ({"issued_at": NOW + timedelta(hours=1)}, "INSTRUCTION_STALE"),
        ({"policy": policy(version=2, dataset="north/others")}, "DATASET_UNKNOWN"),
        ({"policy": policy(version=2, columns=("weight",))}, "POLICY_COLUMN"),
        ({"policy": policy(version=1, minimum_cohort=1)}, "POLICY_VERSION"),
        ({"policy": policy()}, "INSTRUCTION_REPEATED"),
    ],
)
def test_an_activation_that_does_not_hold_is_moved_aside_with_its_code(
    house: Gatehouse, changed: dict[str, Any], code: str
) -> None:
    one = house.activation(policy(version=2)).model_copy(update=changed)
    name = house.hand_in(one, ALICE, BOB)
    house.gate.take_in()
    assert house.inbox.verdict(name) == code
    assert versions(house) == [1]
    assert any(f"[{code}]" in line for line in house.said)


def test_a_copy_of_an_instruction_that_was_followed_does_not_count_again(house: Gatehouse) -> None:
    name = house.hand_in(house.activation(policy(version=2)), ALICE, BOB)
    document = house.inbox.read(name)
    house.gate.take_in()
    house.activate(policy(version=3))
    house.inbox.hand_in("activate", "sha256:again", document)
    house.gate.take_in()
    assert versions(house) == [1, 2, 3]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff\xfe", b"[" * 100_000, b"x" * 200_000, b'{"payload":1}']
)
def test_rubbish_in_the_inbox_stops_nothing(house: Gatehouse, content: bytes) -> None:
    house.inbox.directory.mkdir(exist_ok=True)
    for name in ("activate-1.json", "answer-1.json", "rubbish.json"):
        (house.inbox.directory / name).write_bytes(content)
    assert house.begin(spec(permit()), permit())["status"] == "ok"
    assert house.inbox.waiting() == []
    assert len(list(house.inbox.rejected.glob("*.code"))) == 3


def test_a_good_instruction_among_rubbish_is_followed(house: Gatehouse) -> None:
    house.hand_in(house.activation(policy(version=2)), ALICE, BOB)
    (house.inbox.directory / "activate-0.json").write_text("{}")
    house.gate.take_in()
    assert versions(house) == [1, 2]


def test_a_full_disk_lets_an_instruction_wait(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = house.hand_in(house.activation(policy(version=2)), ALICE, BOB)
    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", refusing("LOG_FULL"))
        assert not house.gate.take_in()
    assert house.inbox.waiting() == [name]
    assert house.gate.take_in()


def test_a_log_that_broke_stops_the_node(house: Gatehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hand_in(house.activation(policy(version=2)), ALICE, BOB)
    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", refusing("LOG_BROKEN"))
        with pytest.raises(LocalError, match="LOG_BROKEN"):
            house.gate.take_in()


def test_a_crash_before_the_file_is_removed_activates_once(
    house: Gatehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hand_in(house.activation(policy(version=2)), ALICE, BOB)
    with monkeypatch.context() as patch:
        patch.setattr(type(house.inbox), "done", refusing("CRASH"))
        with pytest.raises(LocalError, match="CRASH"):
            house.gate.take_in()
    house.restart()
    assert versions(house) == [1, 2]
    assert house.inbox.waiting() == []


def test_a_copy_of_what_was_logged_before_a_kill_is_followed_already_and_not_rejected(
    house: Gatehouse,
) -> None:
    handed_in: list[tuple[Instruction, tuple[SigningKey, ...]]] = [
        (house.activation(policy(version=2)), (ALICE, BOB)),
        (house.answer(permit()), (ALICE,)),
    ]
    names = [house.hand_in(one, *by) for one, by in handed_in]
    kept = [house.inbox.read(name) for name in names]
    house.gate.take_in()
    count = len(house.entries())
    for name, document in zip(names, kept, strict=True):
        (house.inbox.directory / name).write_text(document)
    house.restart()
    assert (house.inbox.waiting(), len(house.entries())) == ([], count)
    assert [house.inbox.verdict(name) for name in names] == ["", ""]


def test_what_was_signed_last_is_active_though_the_node_was_down_and_whatever_the_names(
    tmp_path: Path,
) -> None:
    for attempt in range(8):
        (directory := tmp_path / str(attempt)).mkdir()
        house = Gatehouse(directory)
        wide = house.activation(policy(id="north/wide", version=5 + attempt))
        house.now += timedelta(days=1)
        tight = house.activation(policy(id="north/tight", version=1, minimum_cohort=99))
        house.hand_in(wide, ALICE, BOB)
        house.hand_in(tight, ALICE, BOB)
        house.gate.take_in()
        found = [entry.policy.id for entry in house.entries(entries.PolicyActivated)]
        assert found == ["north/research", "north/wide", "north/tight"]
        house.close()


def test_a_former_policy_of_another_name_does_not_come_back_from_a_kept_file(
    house: Gatehouse,
) -> None:
    kept = house.activation(policy(id="north/wide", version=5, minimum_cohort=1))
    house.now += timedelta(days=3)
    house.activate(policy(id="north/tight", version=1))
    house.now += timedelta(days=3)
    name = house.hand_in(kept, ALICE, BOB)
    house.gate.take_in()
    assert house.inbox.verdict(name) == "INSTRUCTION_REPEATED"
    assert house.gate.ledger.standing.policy(DATASET.id).id == "north/tight"  # type: ignore[union-attr] # it is active


def test_no_record_is_lost_that_waits_with_another(house: Gatehouse) -> None:
    for number in range(10):
        record = RecordDuty(
            node="north", step="began", permit_id="permit-1", duty="ehds.art61.finding",
            evidence=f"sha256:{number:064x}", issued_at=house.now,
        )  # fmt: skip
        house.hand_in(record, ALICE)
        house.now += timedelta(hours=1)
    house.gate.take_in()
    found = house.entries(entries.DutyBegan)
    assert [entry.evidence for entry in found] == [f"sha256:{number:064x}" for number in range(10)]


def test_a_record_about_what_is_no_duty_here_is_moved_aside(house: Gatehouse) -> None:
    record = RecordDuty(
        node="north", step="done", permit_id="permit-1", duty="ehds.art68.deletion",
        evidence="sha256:" + "0" * 64, issued_at=house.now,
    )  # fmt: skip
    early = house.hand_in(record, ALICE)
    house.gate.take_in()
    assert house.inbox.verdict(early) == "DUTY_UNKNOWN"
    house.begin(spec(permit()), permit())
    house.hand_in(record, BOB)
    house.gate.take_in()
    assert len(house.entries(entries.DutyDone)) == 1


def test_the_node_makes_its_inbox_and_says_once_that_it_cannot_look_into_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "inbox").write_text("no directory")
    said: list[str] = []
    intake = Intake("north", (), [DATASET], tmp_path / "inbox", said.append)
    assert all(intake.is_empty() for _ in range(3))
    (line,) = said
    assert "INBOX_UNREADABLE" in line
    (tmp_path / "inbox").unlink()
    assert intake.is_empty()
    (tmp_path / "inbox").write_text("no directory")
    assert intake.is_empty()
    assert len(said) == 2, "it is said again when it begins again"
    (tmp_path / "inbox").unlink()
    Intake("north", (), [DATASET], tmp_path / "inbox", said.append)
    assert (tmp_path / "inbox").is_dir()


def refusing(code: str) -> Any:
    def refuse(*_arguments: Any) -> Any:
        raise LocalError(code, code)

    return refuse
