"""One running data space per module, shared by tests that do not disturb each other."""

from collections.abc import Iterator

import pytest
from dataspace import NAMES, DataSpace, hospital

from coordinator.sandbox import Sandbox


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataSpace]:
    """A coordinator and three hospitals that run."""
    root = tmp_path_factory.mktemp("space")
    with Sandbox(root) as sandbox:
        opened = DataSpace(sandbox, tmp_path_factory.mktemp("texts"))
        opened.open([hospital(name) for name in NAMES])
        yield opened
        printed = {path.name: path.read_text(errors="replace") for path in root.glob("*.out")}
    assert not [name for name, text in printed.items() if "Traceback" in text], printed
