"""A log is read as a whole or not at all, by every verb that reads one without its key."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from connector.audit.cli import audit
from connector.audit.damage import DamageError, open_file
from connector.audit.entries import Incident
from connector.audit.log import Log
from connector.audit.merkle import HASH_SIZE
from connector.audit.reading import read_log
from connector.audit.verify import verify
from connector.authoring import files, logs
from connector.authoring.cli import policy
from connector.errors import LocalError
from connector.identity.keys import SigningKey

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = SigningKey("north", b"n" * 32)
NOISE = hashlib.shake_256(b"noise, not seven").digest(5000)
# Not entries that mean anything, but far more than one chunk of them.
CONTENTS = [b'{"n":%d,"x":"%s"}' % (number, b"." * 60_000) for number in range(12)]


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    with Log(tmp_path / "log", KEY) as log:
        log.append(CONTENTS)
    return tmp_path / "log"


def read(directory: Path) -> list[bytes]:
    indices, contents = zip(*read_log(directory), strict=True)
    assert indices == tuple(range(len(indices)))
    return list(contents)


def cut(count: int) -> Callable[[Path], object]:
    return lambda entries: os.truncate(entries, entries.stat().st_size - count)


def grow(more: bytes) -> Callable[[Path], object]:
    return lambda entries: entries.write_bytes(entries.read_bytes() + more)


LAST = 2 + len(CONTENTS[-1])
DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "random": (lambda entries: entries.write_bytes(NOISE), "entry 0 is cut off"),
    "emptied": (lambda entries: entries.write_bytes(b""), "entry 0 is cut off"),
    "zeros": (lambda entries: entries.write_bytes(bytes(5000)), "entry 0 is cut off"),
    "seven bytes cut": (cut(7), "entry 11 is cut off"),
    "an entry cut": (cut(LAST), "entry 11 is cut off"),
    "an entry more": (grow(b"\0\2{}"), "goes on at entry 12, added after"),
    "half an entry more": (grow(b"\0\7{}"), "goes on at entry 12, added after"),
    "zeros more": (grow(bytes(7)), "goes on at entry 12, added after"),
    "missing": (Path.unlink, "entries is missing"),
    "no checkpoint": (lambda entries: (entries.parent / "checkpoint").unlink(), "checkpoint is mi"),
    "bad checkpoint": (
        lambda entries: (entries.parent / "checkpoint").write_bytes(b"\xff"), "does not hold one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_a_log_that_is_destroyed_or_cut_off_is_no_short_log(closed: Path, name: str) -> None:
    damage, named = DAMAGE[name]
    damage(closed / "entries")
    assert not verify(closed, KEY.verify_key).ok
    with pytest.raises(LocalError, match=named) as caught:
        list(read_log(closed))
    assert caught.value.code == "LOG_DAMAGED"
    assert f"commensal audit verify {closed}" in (caught.value.remedy or "")
    with pytest.raises(LocalError) as caught, logs.reading(closed) as log:
        list(log)
    assert caught.value.code == "LOG_DAMAGED"


def test_replay_refuses_it_in_one_line_with_exit_code_2(tmp_path: Path) -> None:
    with Log(tmp_path / "log", KEY):
        pass
    command = ["replay", str(tmp_path)]
    assert CliRunner().invoke(audit, command).exit_code == 0  # nothing was decided yet
    (tmp_path / "log" / "entries").write_bytes(NOISE)
    outcome = CliRunner().invoke(audit, command)
    assert outcome.exit_code == 2
    assert "decisions read" not in outcome.output
    assert outcome.output.endswith("[LOG_DAMAGED]\n")
    assert outcome.output.count("\n") == 1


def test_a_dry_run_and_an_explanation_need_the_whole_log(tmp_path: Path) -> None:
    candidate = tmp_path / "policy.toml"
    candidate.write_text(files.template("training")[0])
    with Log(tmp_path / "log", KEY) as log:
        log.append([Incident(time=AT, code="late").encode()] * 3)
    cut(7)(tmp_path / "log" / "entries")
    for command in (["dry-run", str(candidate)], ["explain"]):
        error = CliRunner().invoke(policy, [*command, "--log", str(tmp_path)]).exception
        assert isinstance(error, LocalError), error
        assert error.code == "LOG_DAMAGED"


def test_a_log_is_read_while_it_is_written_and_after_a_crash(tmp_path: Path) -> None:
    live, crashed = tmp_path / "log", tmp_path / "crashed"
    with Log(live, KEY) as log:
        assert list(read_log(live)) == []
        for end in (1, 2, 7):
            log.append(CONTENTS[end // 2 : end])
            assert read(live) == [content for _, content in log.read()]
        written = read(live)
        shutil.copytree(live, crashed)
    assert read(live) == written  # closed: settled


@pytest.mark.parametrize("what", ["short", "gone", "zeros"])
def test_what_a_crash_kept_from_the_file_is_read_from_the_journal(
    tmp_path: Path, what: str
) -> None:
    live, crashed = tmp_path / "log", tmp_path / "crashed"
    with Log(live, KEY) as log:
        log.append(CONTENTS[:2])
    with Log(live, KEY) as log:
        log.append(CONTENTS[2:4])
        log.append(CONTENTS[4:5])
        shutil.copytree(live, crashed)
    entries = crashed / "entries"
    size = sum(2 + len(content) for content in CONTENTS[:2])
    keep = {"short": size + 7, "gone": size, "zeros": size + 7}[what]
    length = entries.stat().st_size
    os.truncate(entries, keep)
    if what == "zeros":
        os.truncate(entries, length)
    assert verify(crashed, KEY.verify_key).ok
    assert read(crashed) == CONTENTS[:5]


def test_a_journal_that_is_settled_already_adds_nothing(tmp_path: Path) -> None:
    live, crashed = tmp_path / "log", tmp_path / "crashed"
    with Log(live, KEY) as log:
        log.append(CONTENTS[:2])
        log.append(CONTENTS[2:3])
        shutil.copytree(live, crashed)
    shutil.copy(live / "checkpoint", crashed / "checkpoint")
    assert verify(crashed, KEY.verify_key).ok
    assert read(crashed) == CONTENTS[:3]


def test_an_append_that_was_never_acknowledged_is_not_read(tmp_path: Path) -> None:
    live, crashed = tmp_path / "log", tmp_path / "crashed"
    with Log(live, KEY) as log:
        log.append(CONTENTS[:2])
        before = (live / "entries").read_bytes()
        log.append(CONTENTS[2:3])
        shutil.copytree(live, crashed)
    (crashed / "entries").write_bytes(before)
    os.truncate(crashed / "hashes", 2 * HASH_SIZE)
    journal = bytearray((crashed / "journal").read_bytes())
    end = journal.rindex(b"\xe2\x80\x94")  # the signature line of the last note
    journal[end - 40 :] = bytes(len(journal) - end + 40)
    (crashed / "journal").write_bytes(bytes(journal))
    assert verify(crashed, KEY.verify_key).ok
    assert read(crashed) == CONTENTS[:2]


@pytest.mark.parametrize("name", ["entries", "journal", "checkpoint"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_a_device_in_a_log_is_not_waited_for(closed: Path, name: str, kind: str) -> None:
    place = closed / name
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    script = (
        "import sys\nfrom connector.cli import main\n"
        f"sys.argv[1:] = ['audit', 'replay', {str(closed)!r}]\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    assert f"{name} is not a regular file" in done.stderr
    assert done.stderr.endswith("[LOG_DAMAGED]\n")
    assert done.stderr.count("\n") == 1


def test_a_directory_is_no_file_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "entries").mkdir()
    with pytest.raises(DamageError, match="not a regular file"):
        open_file(tmp_path, "entries")
