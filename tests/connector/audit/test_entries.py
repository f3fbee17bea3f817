"""Log entries: every kind in one spelling, and nothing that is not one."""

import contextlib
import json
from datetime import datetime
from typing import Any, get_args

import pytest
from logbook import MECHANISM, NOW, decided, one_of_each, released, reserved
from pydantic import ValidationError

from connector.audit import entries
from policies import canonical
from policies.errors import PolicyError

ALL = one_of_each()
KINDS = [entry.kind for entry in ALL]  # type: ignore[attr-defined] # every entry but the base has one


def refused(content: bytes) -> str:
    with pytest.raises(PolicyError) as refusal:
        entries.parse(content)
    return refusal.value.code


def altered(entry: entries.Entry, **fields: Any) -> bytes:
    return canonical.encode({**json.loads(entry.encode()), **fields})


def test_every_kind_of_entry_is_tested() -> None:
    union = get_args(get_args(entries.AnyEntry)[0])
    assert {type(entry) for entry in ALL} == set(union)
    assert len(set(KINDS)) == len(union)


@pytest.mark.parametrize("entry", ALL, ids=KINDS)
def test_an_entry_is_read_as_it_was_written(entry: entries.Entry) -> None:
    content = entry.encode()
    assert entries.parse(content) == entry
    assert entries.parse(content).encode() == content
    assert len(content) < entries.MAX_BYTES


@pytest.mark.parametrize("entry", ALL, ids=KINDS)
def test_every_changed_byte_is_refused_or_is_another_entry(entry: entries.Entry) -> None:
    content = entry.encode()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        with contextlib.suppress(PolicyError):
            assert entries.parse(bytes(changed)).encode() == bytes(changed)


@pytest.mark.parametrize("entry", ALL, ids=KINDS)
def test_every_field_counts(entry: entries.Entry) -> None:
    for field in json.loads(entry.encode()):
        without = {key: value for key, value in json.loads(entry.encode()).items() if key != field}
        assert refused(canonical.encode(without)) == "ENTRY_INVALID"
    assert refused(altered(entry, more=1)) == "ENTRY_INVALID"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        altered(ALL[0], kind="forgotten"),
        altered(ALL[0], kind=None),
        altered(ALL[0], kind="incident"),
        altered(ALL[-1], time="2026-11-22T12:00:00"),
        altered(ALL[-1], time="2026-11-22 12:00:00Z"),
        altered(ALL[-1], time=1_795_348_800),
        altered(ALL[-1], code="the patient is called Ada"),
        altered(reserved(), round="1"),
        altered(reserved(), fold="test"),
        altered(reserved(), mechanism={}),
        altered(reserved(), mechanism={**MECHANISM, "noise_multiplier": "0"}),
        altered(reserved(), mechanism={**MECHANISM, "noise_multiplier": "1.50"}),
        altered(reserved(), mechanism={**MECHANISM, "mechanism": "laplace"}),
        altered(reserved(), mechanism={**MECHANISM, "steps": 0}),
        altered(reserved(), mechanism={**MECHANISM, "note": "x"}),
        altered(decided(), planned=[{"fold": "train", "mechanism": MECHANISM, "times": 0}]),
        altered(decided(), planned=[{"fold": "train", "mechanism": MECHANISM, "times": 1001}]),
        altered(decided(), planned=[{"fold": "train", "mechanism": {}, "times": 1}]),
        altered(released(), size=None),
        json.dumps(json.loads(ALL[-1].encode())).encode(),  # JSON, but not canonical
    ],
)
def test_what_is_no_entry_is_refused(content: bytes) -> None:
    assert refused(content) in {"ENTRY_INVALID", "CANONICAL_BYTES"}


def test_an_error_does_not_repeat_what_it_read() -> None:
    with pytest.raises(PolicyError) as refusal:
        entries.parse(altered(ALL[-1], code="PATIENT 4711"))
    assert "code" in refusal.value.message
    assert "4711" not in refusal.value.diagnostics()


def test_an_entry_without_a_time_zone_cannot_be_made() -> None:
    with pytest.raises(ValidationError):
        entries.Incident(time=datetime(2026, 1, 1), code="X")  # noqa: DTZ001 - the case itself
    assert entries.Incident(time=NOW, code="X").time.tzinfo is not None
