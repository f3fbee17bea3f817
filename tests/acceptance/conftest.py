"""Running data spaces: one for a module, and one for all tests that only look."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dataspace import NAMES, DataSpace, hospital

from coordinator.sandbox import Sandbox


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    """A coordinator and three hospitals that run, for the tests of one module."""
    with opened(tmp_path_factory) as one:
        yield one


@pytest.fixture(scope="session")
def shared_space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    """A coordinator and three hospitals that run, after a job; to be left as it was found."""
    with opened(tmp_path_factory) as one:
        one.permit("permit-1")
        job = one.submit("job-1", "permit-1", "0.5")
        assert job.code == 0, job
        yield one


@contextmanager
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    root = tmp_path_factory.mktemp("space")
    with Sandbox(root) as sandbox:
        one = DataSpace(sandbox, tmp_path_factory.mktemp("texts"))
        one.open([hospital(name) for name in NAMES])
        yield one
    printed = {path.name: path.read_text(errors="replace") for path in root.glob("*.out")}
    assert not [name for name, text in printed.items() if "Traceback" in text], printed
