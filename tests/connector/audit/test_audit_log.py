import errno
import fcntl
import os
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from breaking_disks import CountingDisk
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from connector.audit import files
from connector.audit import log as logs
from connector.audit.disk import Disk
from connector.audit.log import Log
from connector.audit.merkle import leaf_hash, root_of
from connector.audit.note import Checkpoint, open_checkpoint
from connector.audit.verify import verify
from connector.errors import LocalError
from connector.identity.keys import SigningKey

KEY = SigningKey("hospital-north", bytes(range(32)))


def _refused(call, *arguments):
    with pytest.raises(LocalError) as caught:
        call(*arguments)
    assert caught.value.remedy
    return caught.value.code


def test_entries_come_back_in_order_with_their_indices(tmp_path):
    with Log.open(tmp_path / "log", KEY) as log:
        assert log.append([b"one"]) == range(1)
        assert log.append([b"two", b"three"]) == range(1, 3)
        assert log.append([]) == range(3, 3)
        assert list(log.read()) == [(0, b"one"), (1, b"two"), (2, b"three")]
        assert list(log.read(2)) == [(2, b"three")]
        assert len(log) == 3
        assert log.root() == root_of(map(leaf_hash, [b"one", b"two", b"three"]))


def test_the_files_are_entry_bundles_leaf_hashes_and_a_signed_checkpoint(tmp_path):
    with Log.open(tmp_path, KEY) as log:
        log.append([b"one", b"x" * 300])
        root = log.root()
    assert (tmp_path / "entries").read_bytes() == b"\x00\x03one\x01\x2c" + b"x" * 300
    assert (tmp_path / "hashes").read_bytes() == leaf_hash(b"one") + leaf_hash(b"x" * 300)
    note = (tmp_path / "checkpoint").read_bytes()
    assert open_checkpoint(note, KEY.verify_key) == Checkpoint("hospital-north", 2, root)
    assert (tmp_path / "key.pub").read_text() == KEY.verify_key.vkey + "\n"
    assert (tmp_path / "journal").read_bytes() == b""
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_every_acknowledged_entry_is_covered_by_a_signed_checkpoint_at_once(tmp_path):
    with Log.open(tmp_path, KEY) as log:
        for number in range(1, 5):
            log.append([b"entry"])
            checkpoint = open_checkpoint(log.checkpoint(), KEY.verify_key)
            assert (checkpoint.size, checkpoint.root) == (number, log.root())
        assert log.origin == "hospital-north"


def test_an_append_is_one_durable_write_before_it_returns(tmp_path):
    disk = CountingDisk()
    with Log(tmp_path, KEY, disk) as log:
        before = disk.operations
        log.append([b"one", b"two"])
        assert disk.operations - before == 4  # journal, its sync, entries, hashes


@pytest.mark.parametrize("entries", [[b""], [b"x" * 65_536], [b"fine", b""], [b"x" * 65_535] * 65])
def test_entries_of_no_size_or_too_large_are_refused_whole(tmp_path, entries):
    with Log.open(tmp_path, KEY) as log:
        assert _refused(log.append, entries) == "ENTRY_SIZE"
        assert len(log) == 0
        assert log.append([b"x" * 65_535]) == range(1)


def test_a_second_writer_is_turned_away_until_the_first_is_done(tmp_path):
    with Log.open(tmp_path, KEY):
        assert _refused(Log.open, tmp_path, KEY) == "LOG_LOCKED"
    Log.open(tmp_path, KEY).close()


def test_a_question_whether_the_log_is_written_does_not_keep_a_writer_away(tmp_path, monkeypatch):
    Log.open(tmp_path, KEY).close()
    asking = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr(time, "sleep", lambda _seconds: fcntl.flock(asking, fcntl.LOCK_UN))
    Log.open(tmp_path, KEY).close()
    os.close(asking)


def test_a_closed_log_refuses_everything(tmp_path):
    log = Log.open(tmp_path, KEY)
    log.close()
    log.close()
    for call in (log.read, log.root, log.checkpoint, lambda: log.append([b"one"])):
        assert _refused(call) == "LOG_CLOSED"


def test_another_key_does_not_go_on_with_a_log(tmp_path):
    Log.open(tmp_path, KEY).close()
    other = SigningKey("hospital-north", bytes(32))
    assert _refused(Log.open, tmp_path, other) == "LOG_OTHER_KEY"


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert _refused(Log.open, tmp_path / "file" / "log", KEY) == "LOG_UNWRITABLE"


def test_a_log_changed_under_a_running_writer_is_noticed_when_it_is_read(tmp_path):
    with Log.open(tmp_path, KEY) as log:
        log.append([b"spent 1", b"spent 2"])
        content = (tmp_path / "entries").read_bytes()
        (tmp_path / "entries").write_bytes(content.replace(b"spent 2", b"spent 0"))
        assert _refused(list, log.read()) == "LOG_TAMPERED"
        (tmp_path / "entries").write_bytes(content[:9])
        assert _refused(list, log.read()) == "LOG_TAMPERED"
        (tmp_path / "entries").unlink()
        assert _refused(list, log.read()) == "LOG_TAMPERED"


def test_a_failed_sync_is_final_and_never_tried_again(tmp_path, monkeypatch):
    log = Log.open(tmp_path, KEY)
    log.append([b"one"])
    syncs = []

    def failing(file):
        syncs.append(file)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", failing)
    assert _refused(log.append, [b"two"]) == "LOG_BROKEN"
    for call in (log.read, log.root, log.checkpoint, lambda: log.append([b"three"])):
        assert _refused(call) == "LOG_BROKEN"
    log.close()
    assert len(syncs) == 1
    monkeypatch.undo()
    with Log.open(tmp_path, KEY) as again:
        assert [entry for _, entry in again.read()][:1] == [b"one"]


class _FillingDisk(Disk):
    """Has room for `room` more bytes; writing over what is there needs none."""

    def __init__(self):
        self.room = 1 << 30

    def write(self, file, offset, content):
        grown = max(0, offset + len(content) - os.fstat(file).st_size)
        fits = len(content) - max(0, grown - self.room)
        self.room -= min(grown, self.room)
        super().write(file, offset, content[:fits])
        if fits < len(content):
            raise logs.DiskFullError


@pytest.mark.parametrize("room", [0, 1, 5, 30, 60])
@pytest.mark.parametrize("reserved", [16, 1 << 12])
@pytest.mark.parametrize("crash", [False, True])
def test_a_full_disk_refuses_and_loses_nothing_and_goes_on_when_there_is_room(
    tmp_path, monkeypatch, room, reserved, crash
):
    monkeypatch.setattr(files, "_RESERVED_BYTES", reserved)
    disk = _FillingDisk()
    log = Log(tmp_path, KEY, disk)
    log.append([b"one"])
    root = log.root()
    disk.room = room
    assert _refused(log.append, [b"two" * 10, b"three" * 10]) == "LOG_FULL"
    disk.room = room
    assert _refused(log.append, [b"four" * 20]) == "LOG_FULL"
    assert list(log.read()) == [(0, b"one")]
    assert log.root() == root
    report = verify(tmp_path, KEY.verify_key)
    assert report.ok
    assert (report.size, report.notes) == (1, ())
    disk.room = 1 << 30
    assert log.append([b"five"]) == range(1, 2)
    log._release() if crash else log.close()
    assert verify(tmp_path, KEY.verify_key).size == 2
    with Log.open(tmp_path, KEY) as again:
        assert list(again.read()) == [(0, b"one"), (1, b"five")]
        assert len(again.recovered) == crash


def test_a_disk_that_fills_while_settling_refuses_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "SETTLE_BYTES", 1)
    disk = _FillingDisk()
    with Log(tmp_path, KEY, disk) as log:
        log.append([b"one"])
        disk.room = 0
        assert _refused(log.append, [b"two"]) == "LOG_FULL"
    with Log.open(tmp_path, KEY) as log:
        assert list(log.read()) == [(0, b"one")]


def test_the_systems_own_report_of_a_full_disk_is_understood(tmp_path, monkeypatch):
    with Log.open(tmp_path, KEY) as log:
        log.append([b"one"])

        def full(*_):
            monkeypatch.undo()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "pwrite", full)
        assert _refused(log.append, [b"two"]) == "LOG_FULL"
        assert log.append([b"three"]) == range(1, 2)


class _SlowDisk(CountingDisk):
    """Its first sync after `hold` was set waits for `go_on`."""

    def __init__(self):
        super().__init__()
        self.syncs = 0
        self.held = threading.Event()
        self.go_on = threading.Event()
        self.hold = False

    def sync(self, file):
        super().sync(file)
        self.syncs += 1
        if self.hold:
            self.hold = False
            self.held.set()
            assert self.go_on.wait(30)


def test_threads_that_append_at_once_share_one_sync_and_get_their_own_indices(tmp_path):
    disk = _SlowDisk()
    with Log(tmp_path, KEY, disk) as log:
        disk.hold, disk.syncs = True, 0
        given = {}

        def work(name):
            given[name] = log.append([f"{name}.{number}".encode() for number in range(3)])

        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        threads[0].start()
        assert disk.held.wait(30)
        for thread in threads[1:]:
            thread.start()
        deadline = time.monotonic() + 30
        while len(log._queue) < 7 and time.monotonic() < deadline:
            threading.Event().wait(0.001)
        disk.go_on.set()
        for thread in threads:
            thread.join()
        assert disk.syncs == 2
        content = dict(log.read())
        assert sorted(index for indices in given.values() for index in indices) == list(range(24))
        for name, indices in given.items():
            assert [content[index] for index in indices] == [
                f"{name}.{number}".encode() for number in range(3)
            ]
    assert verify(tmp_path, KEY.verify_key).ok


def test_appends_that_exceed_one_record_are_written_as_several(tmp_path):
    disk = _SlowDisk()
    with Log(tmp_path, KEY, disk) as log:
        disk.hold = True
        large = [b"x" * 65_000] * 40
        threads = [threading.Thread(target=log.append, args=(large,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert disk.held.wait(30)
        disk.go_on.set()
        for thread in threads:
            thread.join()
        assert len(log) == 160
        assert verify(tmp_path, KEY.verify_key).ok


class LogMachine(RuleBasedStateMachine):
    """A log against a list, through closing, crashing, and crashing inside an append."""

    def __init__(self):
        super().__init__()
        self._temporary = TemporaryDirectory()
        self.path = Path(self._temporary.name) / "log"
        self.model = []
        self.log = Log(self.path, KEY, CountingDisk())

    @rule(entries=st.lists(st.binary(min_size=1, max_size=300), max_size=6))
    def append(self, entries):
        start = len(self.model)
        assert self.log.append(entries) == range(start, start + len(entries))
        self.model += entries

    @rule()
    def reopen(self):
        self.log.close()
        self.log = Log(self.path, KEY, CountingDisk())
        assert self.log.recovered == ()

    @rule()
    def crash(self):
        self.log._release()
        self.log = Log(self.path, KEY, CountingDisk())

    @rule(torn=st.binary(min_size=1, max_size=80).filter(lambda torn: any(torn[:4])))
    def crash_inside_an_append(self, torn):
        end = self.log._files.unsettled
        self.log._release()
        with (self.path / "journal").open("r+b") as journal:
            journal.seek(end)
            journal.write(torn)
        self.log = Log(self.path, KEY, CountingDisk())
        assert self.log.recovered

    @invariant()
    def the_log_is_the_list(self):
        assert list(self.log.read()) == list(enumerate(self.model))
        assert self.log.root() == root_of(map(leaf_hash, self.model))
        report = verify(self.path, KEY.verify_key)
        assert report.ok
        assert report.root == self.log.root()

    def teardown(self):
        self.log.close()
        self._temporary.cleanup()


TestLogAgainstAList = LogMachine.TestCase
TestLogAgainstAList.settings = settings(max_examples=20, stateful_step_count=20, deadline=None)
