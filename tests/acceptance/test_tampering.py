"""A log that was changed after the fact: an auditor names the place, its own node refuses it."""

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from dataspace import NAMES, DataSpace, one_line

from connector.audit.journal import END
from connector.audit.log import Log
from connector.audit.verify import Report, verify
from connector.identity.keys import SigningKey, VerifyKey
from coordinator.sandbox import Sandbox

pytestmark = pytest.mark.slow
FLIPS = 200


@dataclass
class Kept:
    """A node's directory, and copies of its log: beside the writer, and after one has closed it."""

    sandbox: Sandbox
    node: Path
    running: Path
    stopped: Path
    key: VerifyKey


@pytest.fixture(scope="module")
def kept(shared_space: DataSpace, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    name, copies = NAMES[0], tmp_path_factory.mktemp("copies")
    node = shutil.copytree(shared_space.sandbox.directory(name), copies / name)
    running = shutil.copytree(node / "log", copies / "running")
    key = SigningKey.load(node / "identity" / "signing.key")
    Log.open(node / "log", key).close()
    stopped = shutil.copytree(node / "log", copies / "stopped")
    return Kept(shared_space.sandbox, node, running, stopped, key.verify_key)


def signed_files(log: Path) -> dict[str, int]:
    """The files that say something, and how many of their bytes do."""
    sizes = {path.name: path.stat().st_size for path in log.iterdir() if path.stat().st_size}
    if "journal" in sizes:
        sizes["journal"] = live_bytes(log / "journal")
    return {name: size for name, size in sizes.items() if size}


def live_bytes(journal: Path) -> int:
    """A journal's records; what follows them is dead and is written over in place."""
    content, position = journal.read_bytes(), 0
    while content[position : position + 4] not in (END, b""):
        frames = int.from_bytes(content[position : position + 4], "big")
        note = position + 4 + frames
        position = note + 2 + int.from_bytes(content[note : note + 2], "big")
    return position


def names_a_place(report: Report, file: str) -> bool:
    finding = report.finding
    if finding is None:
        return False
    return finding.entry is not None or finding.file == file or file in finding.message


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_byte_flipped_anywhere_is_found_and_its_place_is_named(kept, tmp_path, state):
    original = getattr(kept, state)
    assert verify(original, kept.key).ok
    sizes = signed_files(original)
    assert {"entries", "hashes", "checkpoint", "key.pub"} <= set(sizes)
    assert ("journal" in sizes) is (state == "running"), "what is settled leaves the journal"
    chance = random.Random(f"tampering {state}")  # noqa: S311 - the same places every time
    log = shutil.copytree(original, tmp_path / "log")
    for number in range(FLIPS):
        file = sorted(sizes)[number % len(sizes)]
        position, bit = chance.randrange(sizes[file]), 1 << chance.randrange(8)
        with (log / file).open("r+b") as changed:
            byte = os.pread(changed.fileno(), 1, position)
            flipped = bytes([byte[0] ^ bit])
            os.pwrite(changed.fileno(), flipped, position)
            report = verify(log, kept.key)
            os.pwrite(changed.fileno(), byte, position)
        # A zero in what the journal still holds, signed, is what a power cut leaves: it is noted.
        owed = flipped == b"\0" and "have not reached their files" in str(report.notes)
        assert owed or names_a_place(report, file), (file, position, bit, report)
    assert verify(log, kept.key).ok, "the flips were taken back"


@pytest.mark.parametrize("file", ["entries", "hashes", "checkpoint", "key.pub"])
def test_a_file_that_was_cut_or_removed_is_found(kept, tmp_path, file):
    size = (kept.stopped / file).stat().st_size
    chance = random.Random(f"cutting {file}")  # noqa: S311 - as above
    for length in (0, size - 1, *(chance.randrange(size) for _ in range(6))):
        log = shutil.copytree(kept.stopped, tmp_path / f"{length}", dirs_exist_ok=True)
        os.truncate(log / file, length)
        assert names_a_place(verify(log, kept.key), file), (file, length)
    if file != "key.pub":  # a pinned key needs no file beside the log
        log = shutil.copytree(kept.stopped, tmp_path / "removed")
        (log / file).unlink()
        assert names_a_place(verify(log, kept.key), file)


def test_an_entry_added_by_somebody_else_is_found(kept, tmp_path):
    log = shutil.copytree(kept.stopped, tmp_path / "log")
    with (log / "entries").open("ab") as entries:
        entries.write(b"\0\2{}")
    assert names_a_place(verify(log, kept.key), "entries")


@pytest.mark.parametrize("file", ["entries", "hashes", "checkpoint"])
def test_a_node_does_not_start_on_a_log_that_was_changed(kept, tmp_path, file):
    node = shutil.copytree(kept.node, tmp_path / "node")
    path = node / "log" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    line = one_line(kept.sandbox.attempt("node", "run", str(node)), "LOG_TAMPERED")
    assert "entry" in line or file in line
    assert path.read_bytes() == content, "the evidence was touched"
    verified = kept.sandbox.attempt("audit", "verify", str(node), "--key", kept.key.vkey)
    assert (verified.code, "✗" in verified.output) == (1, True)
