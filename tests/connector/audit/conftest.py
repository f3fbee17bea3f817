import pytest

from connector.audit import files


@pytest.fixture(autouse=True)
def _small_journal(monkeypatch):
    # A megabyte of zeros for each of a thousand logs would be most of the tests' time.
    monkeypatch.setattr(files, "_RESERVED_BYTES", 4096)
