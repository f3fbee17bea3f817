"""The description of the coordinator's port is that of its routes; what it says is what comes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fuzzing
import pytest
from desk import NOW
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from connector.flower import door
from connector.flower.server import FleetServer
from connector.identity.enrolment import EnrolmentRequest, RenewalRequest
from connector.store import InvitationRow, Participant
from coordinator import openapi, pages
from coordinator.office import Office, create
from coordinator.surface import Surface

ROOT = Path(__file__).parents[2]
DESCRIPTION = openapi.coordinator()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    opened = Office.open(tmp_path / "hdab")
    settings = opened.config.model_copy(update={"did": "did:web:hdab.example"})
    opened = replace(opened, clock=lambda: NOW, config=settings)
    yield opened
    opened.close()


@pytest.fixture
def app(office: Office) -> Iterator[Starlette]:
    """The port as it is served, but for the TLS in front."""
    fleet = FleetServer()

    def redeem(body: bytes) -> str:
        return office.enrol(EnrolmentRequest.decode(body), lambda _: None)[0]

    identity = office.paths.identity
    yield Surface(identity, fleet.app, redeem, _renew, pages.routes(office)).app
    fleet.close()


def _renew(body: bytes) -> str:
    RenewalRequest.decode(body)
    raise AssertionError("nobody can renew what nobody has")


def test_every_route_is_described_and_nothing_else(app: Starlette) -> None:
    served = {f"{path}" for path in door._REQUESTS}
    for route in app.routes:
        if isinstance(route, Route):
            assert len((route.methods or set()) - {"HEAD"}) == 1
            served.add(route.path)
        else:
            assert isinstance(route, Mount)
    assert served == set(DESCRIPTION["paths"])
    methods = {
        (route.path, method.lower())
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    } | {(path, "post") for path in door._REQUESTS}
    described = {(path, method) for path, all_ in DESCRIPTION["paths"].items() for method in all_}
    assert methods == described


def test_the_page_that_people_read_is_the_description() -> None:
    page = ROOT / "docs" / "openapi" / "coordinator.json"
    assert json.loads(page.read_text()) == DESCRIPTION, "run tests/write_openapi.py"


@pytest.mark.parametrize("operation", fuzzing.operations(DESCRIPTION), ids=" ".join)
def test_whatever_comes_is_answered_as_described_and_changes_nothing(
    app: Starlette, office: Office, operation: tuple[str, str, str]
) -> None:
    def state() -> list[Any]:
        with office.store.read() as session:
            return [
                *session.scalars(select(Participant.name)),
                *session.scalars(select(InvitationRow.used_at)),
            ]

    before = state()

    def unchanged(_: int) -> None:
        assert state() == before

    assert fuzzing.run(DESCRIPTION, app, operation, unchanged, headers={})
