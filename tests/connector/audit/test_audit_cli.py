import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from logbook import ALICE, BOB, activated

from connector.audit.cli import audit
from connector.audit.entries import Incident, Refused
from connector.audit.log import Log
from connector.identity.keys import SigningKey

KEY = SigningKey("hospital-north", bytes(range(32)))
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SOUND = [
    Incident(time=AT, code="late").encode(),
    Refused(time=AT, job="j1", code="RULE", rules=("art-54-c",)).encode(),
]
ODD = ['{"kind":"\x9b2Jnew","time":"later"}'.encode(), b"\x00 not JSON"]


def _node(directory, content):
    with Log(directory / "log", KEY) as log:
        log.append(content)
    return directory


@pytest.fixture
def node(tmp_path):
    return _node(tmp_path, SOUND)


def _run(*arguments):
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


def test_verify_lists_what_it_checked_and_says_when_no_key_is_pinned(node):
    outcome = _run("verify", node)
    assert outcome.exit_code == 0
    assert outcome.output.count("✓") >= 3
    assert "✗" not in outcome.output
    assert "! not pinned" in outcome.output


def test_verify_takes_a_pinned_key_as_text_or_as_a_file(node, tmp_path):
    (tmp_path / "north.vkey").write_text(KEY.verify_key.vkey + "\n")
    for pinned in (KEY.verify_key.vkey, tmp_path / "north.vkey"):
        outcome = _run("verify", node / "log", "--key", pinned)
        assert outcome.exit_code == 0
        assert "! not pinned" not in outcome.output


def test_verify_says_whose_signatures_the_officers_are_unless_they_are_pinned(tmp_path):
    entry = activated()
    with Log(tmp_path / "log", SigningKey("north", bytes(range(32)))) as log:
        log.append([entry.encode()])
    unpinned = _run("verify", tmp_path)
    assert unpinned.exit_code == 0
    assert "two of the keys that the log names signed every policy" in unpinned.output
    assert "! officers not pinned: the log itself names the keys of alice, bob" in unpinned.output
    (tmp_path / "bob.vkey").write_text(BOB.verify_key.vkey + "\n")
    officers = ("--officer", ALICE.verify_key.vkey, "--officer", tmp_path / "bob.vkey")
    pinned = _run("verify", tmp_path, *officers)
    assert pinned.exit_code == 0
    assert "two of the officers that you named signed every policy" in pinned.output
    assert "officers not pinned" not in pinned.output
    forged = _run("verify", tmp_path, *officers[:2])
    assert forged.exit_code == 1
    assert "a key of bob that you did not name" in forged.output


def test_a_log_in_which_no_officer_signed_says_nothing_of_officers(node):
    assert "officers not pinned" not in _run("verify", node).output


def test_a_damaged_log_is_one_clear_line_and_exit_code_1(node):
    path = node / "log" / "entries"
    path.write_bytes(path.read_bytes().replace(b"j1", b"j2"))
    outcome = _run("verify", node, "--key", KEY.verify_key.vkey)
    assert outcome.exit_code == 1
    assert "✗ entry 1 is changed: it does not have its recorded hash\n" in outcome.output


@pytest.mark.parametrize(
    "arguments", [["nowhere"], [".", "--key", "nowhere.vkey"], [".", "--key", "a+b+c"]]
)
def test_a_wrong_path_or_key_is_exit_code_2(node, monkeypatch, arguments):
    monkeypatch.chdir(node)
    outcome = _run("verify", *arguments)
    assert outcome.exit_code == 2
    assert outcome.output.startswith("Error: ")
    assert _run("show", "nowhere").exit_code == 2


def test_an_intact_log_of_entries_that_make_no_sense_is_exit_code_1(tmp_path):
    outcome = _run("verify", _node(tmp_path, [*SOUND, *ODD]), "--key", KEY.verify_key.vkey)
    assert outcome.exit_code == 1
    assert "✗ entry 2 " in outcome.output


def test_show_prints_entries_and_nothing_that_could_steer_a_terminal(tmp_path):
    node = _node(tmp_path, [*SOUND, *ODD])
    lines = _run("show", node).output.splitlines()
    assert lines[0].startswith("     0  2026-01-02T03:04:05")
    assert "  incident           code=late" in lines[0]
    assert '  refused            code=RULE  job=j1  rules=["art-54-c"]' in lines[1]
    assert '"\\u009b2Jnew"' in lines[2]
    assert lines[3] == "     3  10 bytes that are not a JSON object"
    assert _run("show", node, "--last", 1).output.splitlines() == lines[3:]


def test_show_as_json_carries_index_and_leaf_hash(tmp_path):
    output = _run("show", _node(tmp_path, [*SOUND, *ODD]), "--json").output
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert lines[0]["entry"] == json.loads(SOUND[0])
    assert lines[3]["entry_base64"] == "ACBub3QgSlNPTg=="
    assert all(len(line["leaf_hash"]) == 64 for line in lines)
