import contextlib

import pytest
from breaking_disks import CountingDisk, KilledError, KillingDisk, PowerCutDisk

from connector.audit import log as logs
from connector.audit.journal import read_records
from connector.audit.log import Log
from connector.audit.verify import verify
from connector.identity.keys import SigningKey

KEY = SigningKey("hospital-north", bytes(range(32)))
BATCHES = [
    [f"entry {batch}.{number} ".encode() * (1 + 3 * batch) for number in range(1 + batch % 3)]
    for batch in range(9)
]


@pytest.fixture(autouse=True)
def _early_settling(monkeypatch):
    # So that a short history crosses every boundary, settling included.
    monkeypatch.setattr(logs, "SETTLE_BYTES", 700)


def _write_history(directory, disk, acknowledged):
    """Append all batches, closing and opening again on the way; notes what was acknowledged."""
    for part in (BATCHES[:6], BATCHES[6:]):
        log = Log(directory, KEY, disk)
        try:
            for batch in part:
                indices = log.append(batch)
                assert indices == range(len(acknowledged), len(acknowledged) + len(batch))
                acknowledged.extend(batch)
        finally:
            log.close()


def _operations(tmp_path):
    disk = CountingDisk()
    _write_history(tmp_path / "whole", disk, [])
    return disk.operations


def _assert_nothing_lost(directory, acknowledged):
    """What a crash left: sound to an auditor, and to the next writer, who goes on."""
    everything = [entry for batch in BATCHES for entry in batch]
    possible = [everything[: len(acknowledged)]]
    started = [batch for batch in BATCHES if batch[0] not in acknowledged]
    possible += [possible[0] + started[0]] if started else []
    created = (directory / "checkpoint").exists()
    if created:
        assert verify(directory, KEY.verify_key).ok
    with Log(directory, KEY, CountingDisk()) as log:
        found = [entry for _, entry in log.read()]
        assert found in possible
        assert created or not acknowledged
        log.append([b"after the crash"])
    report = verify(directory, KEY.verify_key)
    assert report.ok
    assert report.size == len(found) + 1
    assert not report.notes


@pytest.mark.parametrize("torn", [0, 0.01, 0.5, 0.97])
def test_killed_at_any_operation_no_acknowledged_entry_is_lost_and_none_is_half(tmp_path, torn):
    operations = _operations(tmp_path)
    assert operations > 80
    for at in range(1, operations + 1):
        directory, acknowledged = tmp_path / f"{at}", []
        with contextlib.suppress(KilledError):
            _write_history(directory, KillingDisk(at, torn), acknowledged)
        _assert_nothing_lost(directory, acknowledged)


@pytest.mark.parametrize("seed", range(4))
def test_after_a_power_cut_at_any_operation_the_same_holds_whatever_was_not_synced(tmp_path, seed):
    for at in range(1, _operations(tmp_path) + 1):
        directory, acknowledged = tmp_path / f"{at}", []
        disk = PowerCutDisk(directory, at)
        with contextlib.suppress(KilledError):
            _write_history(directory, disk, acknowledged)
        disk.outage(tmp_path / f"{at}-after", seed * 1000 + at)
        _assert_nothing_lost(tmp_path / f"{at}-after", acknowledged)


def test_killed_again_and_again_while_recovering_it_still_recovers(tmp_path):
    directory, acknowledged = tmp_path / "log", []
    with contextlib.suppress(KilledError):
        _write_history(directory, KillingDisk(45, 0.5), acknowledged)
    assert acknowledged
    for at in range(1, 16):
        with contextlib.suppress(KilledError), Log(directory, KEY, KillingDisk(at, 0.5)):
            pass
    _assert_nothing_lost(directory, acknowledged)


def test_settled_records_left_in_the_journal_are_not_taken_for_an_unfinished_append(tmp_path):
    log = Log(tmp_path, KEY)
    log.append([b"long enough to settle " * 40])
    log.append([b"short"])
    log._release()
    assert verify(tmp_path, KEY.verify_key).notes == ()
    with Log(tmp_path, KEY) as again:
        assert again.recovered == ("entries settled from the journal, as signed: 1",)


def test_a_settled_journal_that_was_half_cleared_is_not_damage(tmp_path):
    log = Log(tmp_path, KEY)
    for entry in (b"one", b"two", b"three"):
        log.append([entry])
    journal = bytearray((tmp_path / "journal").read_bytes())
    log.close()
    first, second, _ = [record.end for record in read_records(bytes(journal))]
    journal[first + 20 : second] = bytes(second - first - 20)
    (tmp_path / "journal").write_bytes(journal)
    assert verify(tmp_path, KEY.verify_key).ok
    with Log(tmp_path, KEY) as again:
        assert [entry for _, entry in again.read()] == [b"one", b"two", b"three"]


def test_recovery_says_what_it_did(tmp_path):
    log = Log(tmp_path, KEY)
    log.append([b"one", b"two"])
    log._release()
    record = (tmp_path / "journal").read_bytes().rstrip(b"\0")
    with (tmp_path / "journal").open("r+b") as journal:
        journal.seek(len(record))
        journal.write(record[: len(record) // 2])
    report = verify(tmp_path, KEY.verify_key)
    assert report.ok
    assert "never acknowledged" in report.notes[0]
    with Log(tmp_path, KEY) as log:
        assert log.recovered == (
            "cut off an append that was never acknowledged",
            "entries settled from the journal, as signed: 2",
        )
    with Log(tmp_path, KEY) as log:
        assert log.recovered == ()
