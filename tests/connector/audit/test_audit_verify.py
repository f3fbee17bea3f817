import shutil

import pytest

from connector.audit import journal as wal
from connector.audit.damage import Damage
from connector.audit.log import Log
from connector.audit.merkle import leaf_hash
from connector.audit.verify import verify
from connector.errors import LocalError
from connector.identity.keys import SigningKey
from policies.errors import PolicyError

KEY = SigningKey("hospital-north", bytes(range(32)))
OTHER = SigningKey("hospital-south", bytes(range(1, 33)))
ENTRIES = [f'{{"kind":"test","number":{number}}}'.encode() for number in range(6)]
SIZE = len(wal.frame(ENTRIES[:1]))


def _closed(directory, entries=ENTRIES, key=KEY):
    with Log(directory, key) as log:
        log.append(entries[:2])
        log.append(entries[2:])
    return directory


def _stopped(directory):
    """Settled up to entry 2, signed in the journal from there on, and never closed."""
    with Log(directory, KEY) as log:
        log.append(ENTRIES[:2])
    log = Log(directory, KEY)
    log.append(ENTRIES[2:3])
    log.append(ENTRIES[3:5])
    log.append(ENTRIES[5:])
    log._release()
    return directory


def _finding(directory, key=KEY.verify_key, on_entry=None):
    report = verify(directory, key, on_entry)
    assert not report.ok
    return report.finding


def _assert_names(directory, file, entry, *damages):
    finding = _finding(directory)
    assert (finding.file, finding.entry) == (file, entry)
    assert not damages or finding.damage in damages
    assert entry is None or f"entry {entry}" in finding.message
    with pytest.raises(LocalError) as caught:
        Log(directory, KEY)
    assert caught.value.code == "LOG_TAMPERED"
    assert finding.message in caught.value.message


def _flips(path, masks=(0x80, 0x01), start=0):
    """Change one byte of a file at a time; yields its position while it is changed."""
    content = path.read_bytes()
    for position in range(start, len(content)):
        for mask in masks:
            changed = bytearray(content)
            # Zeros at an unsettled end are what a power cut leaves; they are tested apart.
            changed[position] ^= mask if changed[position] ^ mask else 0x03
            path.write_bytes(changed)
            yield position
    path.write_bytes(content)


def test_an_untouched_log_says_what_was_checked(tmp_path):
    report = verify(_closed(tmp_path), KEY.verify_key)
    assert report.ok
    assert report.size == 6
    assert report.origin == "hospital-north"
    assert report.pinned
    assert report.notes == ()
    assert report.passed == (
        "checkpoint carries the signature of hospital-north",
        "6 entries hash to the signed root",
        "6 recorded hashes agree with the entries",
    )


def test_a_log_without_entries_is_sound(tmp_path):
    Log(tmp_path, KEY).close()
    assert verify(tmp_path, KEY.verify_key).ok


def test_without_a_pinned_key_the_report_says_that_it_trusts_a_file_beside_the_log(tmp_path):
    report = verify(_closed(tmp_path), None)
    assert report.ok
    assert not report.pinned
    assert report.notes[0].startswith("not pinned: the signature was checked only against key.pub")


def test_every_changed_byte_of_the_entries_is_found_and_names_the_entry(tmp_path):
    for position in _flips(_closed(tmp_path) / "entries"):
        _assert_names(tmp_path, "entries", position // SIZE)
    assert verify(tmp_path, KEY.verify_key).ok


def test_every_changed_byte_of_the_recorded_hashes_is_found_and_names_the_entry(tmp_path):
    for position in _flips(_closed(tmp_path) / "hashes"):
        _assert_names(tmp_path, "hashes", position // 32, Damage.CHANGED)


def test_every_changed_byte_of_the_checkpoint_is_found(tmp_path):
    for _ in _flips(_closed(tmp_path) / "checkpoint"):
        _assert_names(tmp_path, "checkpoint", None, Damage.FORGED)


def test_every_changed_byte_of_the_public_key_is_found_pinned_or_not(tmp_path):
    for _ in _flips(_closed(tmp_path) / "key.pub"):
        assert _finding(tmp_path).file == "key.pub"
        assert _finding(tmp_path, None).file == "key.pub"


def test_an_unsettled_log_is_sound_and_says_that_its_journal_vouches(tmp_path):
    report = verify(_stopped(tmp_path), KEY.verify_key)
    assert report.ok
    assert report.size == 6
    assert report.passed[-1] == "4 entries after it are signed in journal"
    assert report.notes == ()


def test_every_changed_byte_of_an_unsettled_logs_journal_names_the_first_entry_of_its_record(
    tmp_path,
):
    journal = (_stopped(tmp_path) / "journal").read_bytes()
    ends = [record.end for record in wal.read_records(journal)]
    assert len(ends) == 3
    for position in _flips_until(tmp_path / "journal", ends[-1]):
        record = sum(position >= end for end in ends)
        finding = _finding(tmp_path)
        assert finding.entry == [2, 3, 5][record]
        assert finding.file in {"journal", "entries"}
    assert verify(tmp_path, KEY.verify_key).ok


def _flips_until(path, end):
    content = path.read_bytes()
    path.write_bytes(content[:end])
    yield from _flips(path, masks=[0x01])
    path.write_bytes(content)


def test_every_changed_byte_of_an_unsettled_logs_files_names_the_entry(tmp_path):
    _stopped(tmp_path)
    for position in _flips(tmp_path / "entries", masks=[0x01], start=SIZE):
        _assert_names(tmp_path, "entries", position // SIZE)
    for position in _flips(tmp_path / "hashes", masks=[0x80], start=32):
        _assert_names(tmp_path, "hashes", position // 32, Damage.CHANGED)


def test_an_end_that_a_power_cut_left_short_or_full_of_zeros_is_not_damage(tmp_path):
    _stopped(tmp_path)
    content = (tmp_path / "entries").read_bytes()
    for position in range(2 * SIZE, len(content)):
        for end in (b"", bytes(len(content) - position)) if position % 3 == 0 else (b"",):
            (tmp_path / "entries").write_bytes(content[:position] + end)
            report = verify(tmp_path, KEY.verify_key)
            assert report.ok
            assert report.size == 6
            assert "signed in journal" in report.notes[0]
    with Log(tmp_path, KEY) as log:
        assert [entry for _, entry in log.read()] == ENTRIES


def test_entries_cut_off_at_any_byte_name_the_first_that_is_not_whole(tmp_path):
    path = _closed(tmp_path) / "entries"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        damage = Damage.CUT_OFF if length % SIZE else Damage.MISSING
        _assert_names(tmp_path, "entries", length // SIZE, damage)


def test_hashes_cut_off_at_any_byte_name_the_first_that_is_not_whole(tmp_path):
    path = _closed(tmp_path) / "hashes"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        _assert_names(tmp_path, "hashes", length // 32, Damage.CHANGED)


def test_a_checkpoint_cut_off_at_any_byte_is_refused(tmp_path):
    path = _closed(tmp_path) / "checkpoint"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        _assert_names(tmp_path, "checkpoint", None, Damage.FORGED)


def test_entries_and_hashes_cut_back_together_name_the_first_missing_entry(tmp_path):
    _closed(tmp_path)
    _rewrite(tmp_path, ENTRIES[:4], hashes=True)
    _assert_names(tmp_path, "entries", 4, Damage.MISSING)


def _rewrite(directory, entries, *, hashes=False):
    (directory / "entries").write_bytes(wal.frame(entries))
    if hashes:
        (directory / "hashes").write_bytes(b"".join(leaf_hash(entry) for entry in entries))


@pytest.mark.parametrize("at", range(6))
def test_each_kind_of_rewriting_is_told_apart_and_names_the_entry(tmp_path, at):
    _closed(tmp_path)
    rest = ENTRIES[at + 1 :]
    _rewrite(tmp_path, [*ENTRIES[:at], b"another", *rest])
    _assert_names(tmp_path, "entries", at, Damage.CHANGED)
    _rewrite(tmp_path, [*ENTRIES[:at], *rest])
    _assert_names(tmp_path, "entries", at, Damage.MISSING)
    _rewrite(tmp_path, [*ENTRIES[:at], b"another", ENTRIES[at], *rest])
    _assert_names(tmp_path, "entries", at, Damage.INSERTED)
    _rewrite(tmp_path, [*ENTRIES[: at + 1], ENTRIES[at], *rest])
    _assert_names(tmp_path, "entries", at + 1, Damage.DUPLICATED, Damage.UNSIGNED)
    if rest:
        _rewrite(tmp_path, [*ENTRIES[:at], *rest[-1:], *rest[:-1], ENTRIES[at]])
        _assert_names(tmp_path, "entries", at, Damage.REORDERED)


def test_a_changed_entry_among_equal_ones_is_called_changed(tmp_path):
    _closed(tmp_path, [b"same"] * 6)
    _rewrite(tmp_path, [b"same"] * 2 + [b"else"] + [b"same"] * 3)
    _assert_names(tmp_path, "entries", 2, Damage.CHANGED)


def test_entry_and_hash_changed_together_are_still_found(tmp_path):
    _closed(tmp_path)
    _rewrite(tmp_path, [*ENTRIES[:3], b"another", *ENTRIES[4:]], hashes=True)
    _assert_names(tmp_path, "entries", None, Damage.REWRITTEN)


def test_entries_added_after_the_last_signed_checkpoint_are_damage(tmp_path):
    _closed(tmp_path)
    _rewrite(tmp_path, [*ENTRIES, b"another"])
    _assert_names(tmp_path, "entries", 6, Damage.UNSIGNED)
    _rewrite(tmp_path, [*ENTRIES, b"another"], hashes=True)
    _assert_names(tmp_path, "entries", 6, Damage.UNSIGNED)
    _rewrite(tmp_path, ENTRIES)
    _assert_names(tmp_path, "hashes", 6, Damage.UNSIGNED)


def test_a_checkpoint_of_another_log_is_refused(tmp_path):
    _closed(tmp_path / "ours")
    _closed(tmp_path / "other", key=OTHER)
    shutil.copy(tmp_path / "other" / "checkpoint", tmp_path / "ours" / "checkpoint")
    _assert_names(tmp_path / "ours", "checkpoint", None, Damage.FORGED)


def test_the_whole_of_another_log_is_refused_by_the_pinned_key_only(tmp_path):
    _closed(tmp_path, key=OTHER)
    assert _finding(tmp_path).file == "key.pub"
    assert verify(tmp_path, None).ok


def test_an_older_checkpoint_does_not_cover_what_came_later(tmp_path):
    with Log(tmp_path, KEY) as log:
        log.append(ENTRIES[:2])
        older = log.checkpoint()
    with Log(tmp_path, KEY) as log:
        log.append(ENTRIES[2:])
    (tmp_path / "checkpoint").write_bytes(older)
    _assert_names(tmp_path, "entries", 2, Damage.UNSIGNED)


def test_a_checkpoint_by_the_same_key_of_other_entries_is_refused(tmp_path):
    _closed(tmp_path / "ours")
    _closed(tmp_path / "other", [b"other %d" % number for number in range(6)])
    shutil.copy(tmp_path / "other" / "checkpoint", tmp_path / "ours" / "checkpoint")
    _assert_names(tmp_path / "ours", "entries", None, Damage.REWRITTEN)


@pytest.mark.parametrize(("file", "entry"), [("entries", 0), ("hashes", 0), ("checkpoint", None)])
def test_a_missing_file_is_named(tmp_path, file, entry):
    (_closed(tmp_path) / file).unlink()
    _assert_names(tmp_path, file, entry, Damage.MISSING)


def test_a_missing_public_key_needs_a_pinned_one(tmp_path):
    (_closed(tmp_path) / "key.pub").unlink()
    assert _finding(tmp_path, None).file == "key.pub"
    assert verify(tmp_path, KEY.verify_key).ok


def test_rules_about_entries_are_checked_in_the_same_pass(tmp_path):
    def rule(index, entry):
        seen.append(index)
        if entry == ENTRIES[4]:
            raise PolicyError("CLOCK", "its time goes back")

    seen = []
    for directory in (_closed(tmp_path / "closed"), _stopped(tmp_path / "stopped")):
        seen.clear()
        finding = _finding(directory, on_entry=rule)
        assert (finding.entry, finding.damage) == (4, Damage.MEANING)
        assert finding.message == "entry 4 breaks a rule of the log: its time goes back"
        assert seen == [0, 1, 2, 3, 4]
    report = verify(tmp_path / "closed", KEY.verify_key, lambda _index, _entry: None)
    assert report.passed[-1] == "every entry keeps the rules of the log"


def test_a_changed_entry_is_called_changed_and_not_a_broken_rule(tmp_path):
    def rule(_index, entry):
        if entry == b"another":
            raise PolicyError("FORM", "not an entry")

    _closed(tmp_path)
    _rewrite(tmp_path, [*ENTRIES[:3], b"another", *ENTRIES[4:]])
    assert _finding(tmp_path, on_entry=rule).damage == Damage.CHANGED


def test_a_data_directory_is_searched_for_its_log_and_other_paths_are_refused(tmp_path):
    _closed(tmp_path / "log")
    assert verify(tmp_path, KEY.verify_key).directory == tmp_path / "log"
    with pytest.raises(LocalError) as caught:
        verify(tmp_path / "nowhere", None)
    assert caught.value.code == "LOG_MISSING"


def test_a_log_is_verified_while_it_is_being_written(tmp_path):
    with Log(tmp_path, KEY) as log:
        for entry in ENTRIES:
            log.append([entry])
            report = verify(tmp_path, KEY.verify_key)
            assert report.ok
            assert (report.size, report.root) == (len(log), log.root())
