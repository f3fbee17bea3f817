"""Replay of what the real gate decided: it agrees, and nothing that was changed stays hidden."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gatehouse import ALICE, Gatehouse, permit, policy, spec

from connector.audit.cli import audit
from connector.audit.damage import read_entries
from connector.audit.log import Log
from connector.audit.replay import Difference, Replay, past
from connector.identity import documents
from connector.identity.keys import SigningKey
from policies import canonical, purposes
from policies.decision import Verdict
from policies.errors import PolicyError

COORDINATOR = SigningKey("hdab", b"c" * 32).verify_key
NODE = SigningKey("north", b"n" * 32)
Entries = list[tuple[int, bytes]]
Raw = dict[str, Any]


def live(house: Gatehouse) -> None:
    """Jobs that are allowed, refused, interrupted; three policies, a person who answers."""
    first, second, third = permit(), permit(id="permit-2"), permit(id="permit-3")
    run = spec(first, id="run", epsilon="0.5")
    house.begin(run, first)
    house.step(run, 1, "training.logistic")
    house.send("end", {"job": run.digest, "reason": "finished"})
    advertising = permit(purpose=purposes.by_name("advertising").iri)
    house.begin(spec(advertising, id="ads"), advertising)
    house.begin(spec(first, id="forged"), first, signer=SigningKey("hdab", b"x" * 32))
    kept = spec(first, id="kept", epsilon="0.5")
    house.begin(kept, first)
    for number in range(4):
        house.begin(spec(second, id=f"many-{number}", epsilon="0.9"), second)
    house.now += timedelta(hours=1)
    house.activate(policy(version=2, minimum_participants=3))
    house.begin(spec(second, id="alone", epsilon="0.1"), second)
    house.step(kept, 1, "training.logistic")
    house.activate(
        policy(version=3, approval="person", budget={"epsilon": "9", "delta": "0.00001"})
    )
    asked = spec(third, id="asked", epsilon="0.4")
    house.begin(asked, third)
    house.hand_in(house.answer(third), ALICE)
    house.gate.take_in()
    house.begin(asked, third)
    house.now += timedelta(days=2)
    house.begin(spec(third, id="later", epsilon="0.4", not_after=house.now), third)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    house = Gatehouse(tmp_path_factory.mktemp("house"))
    live(house)
    house.close()
    return house.directory


@pytest.fixture
def log(directory: Path) -> Entries:
    return list(read_entries(directory / "log"))


def found(log: Entries, key: Any = COORDINATOR, **how: bool) -> list[Difference]:
    return list(Replay(key, **how).run(log))


def of_kind(log: Entries, kind: str) -> list[int]:
    return [index for index, content in log if json.loads(content)["kind"] == kind]


def changed(log: Entries, index: int, change: Callable[[Raw], Any]) -> Entries:
    raw = json.loads(log[index][1])
    change(raw)
    again = canonical.encode(raw)
    assert again != log[index][1], "the change changes nothing"
    return [*log[:index], (index, again), *log[index + 1 :]]


def test_what_the_gate_decided_is_decided_again_word_for_word(log: Entries) -> None:
    again = Replay(COORDINATOR)
    assert list(again.run(log)) == []
    assert again.decisions == len(of_kind(log, "decided"))
    assert again.differing == 0
    verdicts = {verdict for _, _, verdict in past(log, COORDINATOR)}
    assert verdicts >= {Verdict.ALLOW, Verdict.DENY}, "a log that says little"
    policies = {json.loads(log[i][1])["decision"]["policy_digest"] for i in of_kind(log, "decided")}
    assert len(policies) == 3


def test_a_decision_is_replayed_under_the_policy_that_was_active_then(log: Entries) -> None:
    activated = of_kind(log, "policy-activated")
    assert len(activated) == 3
    for index in activated[:-1]:
        swapped = changed(
            log,
            index,
            lambda raw: raw["policy"].update(minimum_participants=2 + raw["policy"]["version"]),
        )
        wrong = {difference.index for difference in found(swapped)}
        following = activated[activated.index(index) + 1]
        decided = {one for one in of_kind(log, "decided") if index < one < following}
        assert wrong == decided != set()


def test_past_requests_come_with_the_facts_of_their_moment(log: Entries) -> None:
    everything = list(past(log, COORDINATOR))
    assert len(everything) == len(of_kind(log, "decided"))
    assert list(past(log, COORDINATOR, last=2)) == everything[-2:]
    request, facts, verdict = everything[0]
    raw = json.loads(log[of_kind(log, "decided")[0]][1])
    assert request.digest == raw["decision"]["request_digest"]
    assert facts.permit is not None
    assert facts.permit.digest == request.permit_digest
    assert verdict is Verdict.ALLOW
    forged = next(facts for _, facts, _ in everything if facts.permit is None)
    assert forged.spent_permit.rdp[0] == 0 < forged.spent_dataset.rdp[0]


ALLOWED = 3  # an allowed job of which no step was answered


DECISION: list[tuple[str, Callable[[Raw], Any]]] = [
    ("verdict", lambda d: d.update(verdict="deny")),
    ("a constraint's outcome", lambda d: d["constraints"][3].update(satisfied=False)),
    ("a constraint's text", lambda d: d["constraints"][7].update(actual="epsilon 0.001 spent")),
    ("a constraint's bound", lambda d: d["constraints"][-1].update(bound="at most anything")),
    ("a constraint's basis", lambda d: d["constraints"][0].update(basis="custom")),
    ("a constraint's remedy", lambda d: d["constraints"][0].update(remedy="none")),
    ("a constraint's code", lambda d: d["constraints"][0].update(rule="ehds.art1")),
    ("a constraint left out", lambda d: d["constraints"].pop()),
    ("constraints in another order", lambda d: d["constraints"].reverse()),
    ("an obligation left out", lambda d: d["obligations"].pop()),
    ("an obligation's date", lambda d: d["obligations"][0].update(due="2099-01-01T00:00:00Z")),
    ("the policy's digest", lambda d: d.update(policy_digest="sha256:00")),
    ("the request's digest", lambda d: d.update(request_digest="sha256:00")),
    ("the permit's digest", lambda d: d.update(permit_digest="sha256:00")),
    ("the time", lambda d: d.update(decided_at="2026-11-22T13:00:00Z")),
]  # fmt: skip


@pytest.mark.parametrize(("what", "change"), DECISION, ids=[what for what, _ in DECISION])
def test_a_decision_that_was_changed_is_found_where_it_stands(
    log: Entries, what: str, change: Callable[[Raw], Any]
) -> None:
    index = of_kind(log, "decided")[ALLOWED]
    differences = found(changed(log, index, lambda raw: change(raw["decision"])))
    assert {difference.index for difference in differences} >= {index}, what
    assert all(difference.logged != difference.replayed for difference in differences)


def _job(raw: Raw, **values: Any) -> None:
    inner = json.loads(raw["specification"])
    inner.update(values)
    raw["specification"] = canonical.encode(inner).decode()


ASIDE: list[tuple[str, Callable[[Raw], Any]]] = [
    ("the purpose asked for", lambda raw: raw["request"].update(purpose="urn:other")),
    ("the columns asked for", lambda raw: raw["request"].update(columns=["age"])),
    ("the dataset", lambda raw: raw["request"].update(dataset="north/others")),
    ("the plan", lambda raw: raw["planned"][0].update(times=1)),
    ("no plan", lambda raw: raw.update(planned=[])),
    ("the permit's name", lambda raw: raw.update(permit_id="permit-9")),
    ("no permit", lambda raw: raw.update(permit_id="")),
    ("the permit's text", lambda raw: raw.update(permit_document="{}")),
    ("the job's deadline", lambda raw: raw.update(job_not_after="2026-11-22T13:00:00Z")),
    ("the job", lambda raw: _job(raw, output="table")),
]  # fmt: skip


@pytest.mark.parametrize(("what", "change"), ASIDE, ids=[what for what, _ in ASIDE])
def test_what_a_decision_rested_on_cannot_be_changed_beside_it(
    log: Entries, what: str, change: Callable[[Raw], Any]
) -> None:
    index = of_kind(log, "decided")[0]
    assert index in {difference.index for difference in found(changed(log, index, change))}, what


def test_a_decision_is_of_the_entrys_time(log: Entries) -> None:
    index = of_kind(log, "decided")[-1]
    later = changed(log, index, lambda raw: raw.update(time="2099-01-01T00:00:00Z"))
    assert [difference.what for difference in found(later)] == ["time"]


def test_another_permit_by_the_same_coordinator_is_found(log: Entries) -> None:
    index = of_kind(log, "decided")[0]
    other = documents.sign(SigningKey("hdab", b"c" * 32), permit(epsilon="50"))
    swapped = changed(log, index, lambda raw: raw.update(permit_document=other))
    texts = {difference.what for difference in found(swapped)}
    assert {"verdict", "ehds.art68.permit.satisfied", "ehds.art68.budget.bound"} <= texts


def _budget(raw: Raw, epsilon: str) -> None:
    raw["policy"]["budget"]["epsilon"] = epsilon


BEFORE: list[tuple[str, str, Callable[[Raw], Any]]] = [
    ("what a step cost", "reserved", lambda raw: raw["mechanism"].update(noise_multiplier="900")),
    ("which job paid", "job-ended", lambda raw: raw.update(job="sha256:other")),
    ("how many people were counted", "counted", lambda raw: raw.update(people=1)),
    ("what counting cost", "counted", lambda raw: raw["mechanism"].update(noise_multiplier="2")),
    ("which policy was counted for", "counted", lambda raw: raw.update(policy_digest="sha256:0")),
    ("the policy's budget", "policy-activated", lambda raw: _budget(raw, "3")),
    ("the policy's columns", "policy-activated", lambda raw: raw["policy"].update(columns=["age"])),
    ("the policy's dataset", "policy-activated", lambda raw: raw["policy"].update(dataset="n/o")),
    ("what a person answered", "approved", lambda raw: raw.update(approved=False)),
    ("about which permit", "approved", lambda raw: raw.update(permit_digest="sha256:0")),
]  # fmt: skip


@pytest.mark.parametrize(("what", "kind", "change"), BEFORE, ids=[what for what, *_ in BEFORE])
def test_entries_on_which_later_decisions_rest_cannot_be_changed(
    log: Entries, what: str, kind: str, change: Callable[[Raw], Any]
) -> None:
    index = of_kind(log, kind)[0]
    differences = found(changed(log, index, change))
    assert differences, what
    assert all(difference.index > index for difference in differences)


def test_a_decision_or_a_reservation_that_was_left_out_is_found_by_those_after_it(
    log: Entries,
) -> None:
    allowed = of_kind(log, "decided")[0]
    with pytest.raises(PolicyError) as refused:
        found([*log[:allowed], *log[allowed + 1 :]])
    assert refused.value.code == "REPLAY_ENTRY"
    reserved = of_kind(log, "reserved")[0]
    assert found([*log[:reserved], *log[reserved + 1 :]])


def test_the_quick_way_finds_every_outcome_but_no_text(log: Entries) -> None:
    index = of_kind(log, "decided")[0]
    outcome, text = DECISION[1][1], DECISION[2][1]
    wrong = changed(log, index, lambda raw: outcome(raw["decision"]))
    assert {difference.index for difference in found(wrong, texts=False)} == {index}
    reworded = changed(log, index, lambda raw: text(raw["decision"]))
    assert found(reworded, texts=False) == []
    assert found(reworded) != []


def test_without_the_coordinators_key_permits_are_taken_as_the_node_took_them(log: Entries) -> None:
    assert found(log, None) == []
    wrong_key = SigningKey("hdab", b"y" * 32).verify_key
    assert {difference.what for difference in found(log, wrong_key)} >= {"permit_id", "verdict"}


@pytest.mark.parametrize("position", [0, 1, 3])
@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 60_000, b'{"kind":"decided"}', b"\xff"])
def test_an_entry_that_makes_no_sense_ends_the_replay_with_its_index(
    log: Entries, position: int, content: bytes
) -> None:
    with pytest.raises(PolicyError) as refused:
        found([*log[:position], (position, content), *log[position:]])
    assert refused.value.code == "REPLAY_ENTRY"
    assert f"entry {position} " in refused.value.message


def test_a_log_whose_time_goes_back_is_not_replayed(log: Entries) -> None:
    with pytest.raises(PolicyError, match="earlier"):
        found([*log, log[0]])


def _run(*arguments: Any) -> Any:
    return CliRunner().invoke(audit, ["replay", *[str(argument) for argument in arguments]])


def test_the_command_says_how_much_was_compared_and_with_which_keys(
    directory: Path, log: Entries
) -> None:
    count = len(of_kind(log, "decided"))
    plain = _run(directory)
    assert plain.exit_code == 0, plain.output
    assert f"{count} decisions read" in plain.output
    assert f"✓ {count} give the same verdict and every word" in plain.output
    assert "! permits' signatures were not checked" in plain.output
    assert "! the log itself was not verified" in plain.output
    checked = _run(
        directory, "--key", NODE.verify_key.vkey, "--coordinator", COORDINATOR.vkey, "--quick"
    )
    assert checked.exit_code == 0
    assert "the same verdict and the outcome of every rule" in checked.output
    assert "✓ permits were checked with the key of hdab" in checked.output
    assert "!" not in checked.output
    assert "decisions/s read and folded" in checked.output
    assert "decisions/s evaluated again" in checked.output


def test_the_command_takes_the_key_that_was_pinned_at_enrolment(
    tmp_path: Path, log: Entries
) -> None:
    house = write(tmp_path, log)
    (tmp_path / "identity").mkdir()
    pinned = tmp_path / "identity" / "coordinator.json"
    pinned.write_text(json.dumps({"address": "a:1", "key": COORDINATOR.vkey}))
    assert "✓ permits were checked with the key of hdab" in _run(house).output
    pinned.write_text("{}")
    assert _run(house).exit_code == 2


def write(directory: Path, log: Entries) -> Path:
    """A hospital that lies in its own log signs it all the same."""
    with Log.open(directory / "log", NODE) as writer:
        writer.append([content for _, content in log])
    return directory


def test_a_hospital_that_rewrites_a_decision_in_its_own_log_is_named_with_exit_code_1(
    tmp_path: Path, log: Entries
) -> None:
    index = of_kind(log, "decided")[1]
    lie = changed(
        log, index, lambda raw: raw["decision"]["constraints"][0].update(actual="\x1b[2J")
    )
    outcome = _run(write(tmp_path, lie), "--key", NODE.verify_key.vkey)
    assert outcome.exit_code == 1
    assert f"✗ entry {index}: ehds.art53.purpose.actual differs" in outcome.output
    assert "\\u001b[2J" in outcome.output
    assert "\x1b[2J" not in outcome.output
    assert "✗ 1 differs" in outcome.output


def test_a_log_that_cannot_be_read_is_exit_code_2_and_one_line(
    tmp_path: Path, log: Entries
) -> None:
    assert _run(tmp_path / "nowhere").exit_code == 2
    house = write(tmp_path, [*log, (len(log), b"{}")])
    outcome = _run(house)
    assert outcome.exit_code == 2
    assert f"Error: entry {len(log)} cannot be replayed" in outcome.output
    path = house / "log" / "entries"
    path.write_bytes(path.read_bytes().replace(b'"verdict":"deny"', b'"verdict":"Deny"', 1))
    damaged = _run(house, "--key", NODE.verify_key.vkey)
    assert damaged.exit_code == 2
    assert "nothing was replayed" in damaged.output
    assert len(damaged.output.splitlines()) == 1
