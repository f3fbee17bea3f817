"""The connector under test runs as a process of its own; the kit talks to it over HTTP only."""

from collections.abc import Iterator

import pytest
from kit import Kit
from kit_endpoint import Endpoint
from kit_process import serve


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """The conformance kit, pointed at `commensal conformance serve --profile dsp-tck`."""
    with serve(tmp_path_factory.mktemp("conformance")) as target, Endpoint() as endpoint:
        kit = Kit(target, endpoint)
        with kit.client:
            yield kit
        assert not endpoint.strays(), "messages came that no sequence has"
