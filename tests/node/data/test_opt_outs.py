import io
from pathlib import Path

import pytest

from connector.errors import LocalError
from node.data import opt_outs


def read(content):
    return opt_outs.read(Path("o.txt"), io.BytesIO(content))


def refusal(content):
    with pytest.raises(LocalError) as caught:
        read(content)
    assert caught.value.code == "OPT_OUTS_UNREADABLE"
    assert caught.value.__context__ is None
    assert "SECRET" not in caught.value.diagnostics()
    return caught.value.message


def test_a_list_of_opt_outs_is_read_line_by_line():
    assert read("\ufeff12\r\n  7 \n\nMüller\n".encode()) == {"12", "7", "Müller"}
    assert read(b"") == frozenset()


def test_identifiers_get_the_form_that_those_of_records_get():
    assert read("0123\n77.0\nMu\u0308ller".encode()) == {"123", "77", "Müller"}


def test_a_list_of_opt_outs_that_cannot_be_read_is_not_an_empty_list():
    assert "UTF-8" in refusal(b"SECRET\n\xff\xfe\n")


@pytest.mark.parametrize(
    "line", ['"SECRET"', "SECRET,2026", "SECRET;x", "SECRET\tx", "'SECRET", "1.5e+17"]
)
def test_a_line_of_a_table_is_refused_by_its_number(line):
    assert refusal(f"12\n\n{line}\n13\n".encode()).endswith("in line 3")


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_only_two_kinds_of_line_end_are_line_ends(end):
    # Read as one line it would opt nobody out; split, it could opt out others than are meant.
    assert refusal(f"12\n13{end}14\n".encode()).endswith("in line 2")


def test_a_byte_order_mark_in_the_midst_is_refused():
    assert refusal("12\n\ufeff13\n".encode()).endswith("in line 2")


def test_a_list_that_is_too_long_is_not_cut(monkeypatch):
    monkeypatch.setattr(opt_outs, "MAX_BYTES", 5)
    assert read(b"1\n2\n3") == {"1", "2", "3"}
    assert "more than 5 bytes" in refusal(b"1\n2\n34")
