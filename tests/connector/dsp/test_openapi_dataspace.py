"""The description of a participant's surface is that of its routes; what it says is what comes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dsp_released
import fuzzing
import pytest
from dsp_pair import DATASET, OFFER, offer
from dsp_released import Released
from kit_wire import bare_policy
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.routing import Route

from connector.dsp import consumer, http, openapi, pulls
from connector.dsp.authentication import StaticTokens
from connector.dsp.handling import AUTOMATIC, PERSON
from connector.dsp.http import Surface
from connector.dsp.states import Kind
from connector.dsp.tables import AgreementRow, OutboxRow, ProcessRow
from connector.identity import endpoints

ROOT = Path(__file__).parents[3]
DESCRIPTION = openapi.dataspace()
TOKEN = "let me in"  # noqa: S105 - of a test
CREDENTIALS = "/credentials"


class _Holder:
    """Stands in for a credential service: nobody has asked for anything."""

    async def answer(self, authorization: str | None, body: bytes) -> Any:
        del authorization, body
        return {"presentation": []}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Released]:
    with dsp_released.released(tmp_path_factory.mktemp("openapi")) as made:
        pair = made.pair
        pair.offer(offer(), PERSON)
        consumer.request(
            pair.hdab.desk, "north", pair.north.desk.address, offer(), DATASET, AUTOMATIC
        )
        pair.settle()
        yield made


@pytest.fixture(scope="module")
def app(released: Released) -> Iterator[Starlette]:
    """north's whole surface, for whom everybody is hdab who has the token."""
    north = released.pair.north
    with ThreadPoolExecutor(2) as executor:
        tokens = StaticTokens(f"Bearer {TOKEN}", "hdab")
        surface = Surface(north.desk, tokens, north.surface.catalogue, executor, lambda: None)
        more = pulls.artefact_routes(north.desk, released.shelf, executor, released.pulled.append)
        more.append(endpoints.did_route({"id": "did:web:north.example"}))
        more += endpoints.credential_routes(_Holder(), CREDENTIALS)  # type: ignore[arg-type]  # as much of it as is used
        yield surface.application(list(more))


def described(description: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (path, method.upper())
        for path, methods in description["paths"].items()
        for method in methods
    }


def test_every_route_is_described_and_nothing_else(app: Starlette) -> None:
    served = set()
    for route in app.routes:
        assert isinstance(route, Route)
        path = route.path.replace("{dataset:path}", "{dataset}")
        methods = set(route.methods or ())
        if "artefacts" not in path:
            methods.discard("HEAD")  # what every GET answers to
        served |= {(path, method) for method in methods}
    assert served == described(DESCRIPTION)


def test_messages_are_described_as_they_are_parsed() -> None:
    paths = {
        f"{http.PATH}{place}": kind.__name__ for place, kind in http._FIRST.items()
    } | {
        f"{http.PATH}/{kind}s/{{pid}}/{end}": message.__name__
        for (kind, end), message in http._LATER.items()
    }  # fmt: skip
    for path, name in paths.items():
        body = DESCRIPTION["paths"][path]["post"]["requestBody"]["content"]
        assert body == {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def test_the_page_that_people_read_is_the_description() -> None:
    page = ROOT / "docs" / "openapi" / "dataspace.json"
    assert json.loads(page.read_text()) == DESCRIPTION, "run tests/write_openapi.py"


def _state(released: Released) -> Any:
    """All that a message could have changed."""
    with released.pair.north.desk.store.read() as session:
        processes = select(ProcessRow.pid, ProcessRow.version, ProcessRow.state, ProcessRow.held)
        agreements = select(AgreementRow.id, AgreementRow.state)
        outbox = select(OutboxRow.sequence)
        found = [session.execute(query).all() for query in (processes, agreements, outbox)]
        return [sorted(map(tuple, rows)) for rows in found]


def _known(released: Released, path: str) -> dict[str, Any]:
    """What only who takes part can know: ids, an offer, an agreement."""
    north = released.pair.north
    with north.desk.store.read() as session:
        kind = Kind.TRANSFER if "/transfers/" in path else Kind.NEGOTIATION
        rows = session.scalars(select(ProcessRow).where(ProcessRow.kind == kind))
        row = max(rows, key=lambda row: (row.state != "FINALIZED", row.pid))
        agreement = session.scalars(select(AgreementRow.id)).first()
    about = {"providerPid": row.pid, "consumerPid": row.peer_pid} if "{pid}" in path else {}
    return about | {
        "pid": released.transfer if "/artefacts/" in path else row.pid,
        "dataset": released.digest, "agreementId": agreement,
        "offer": bare_policy("Offer", OFFER, DATASET), "format": "HttpData-PULL",
        "callbackAddress": "https://hdab.example/2025-1",
    }  # fmt: skip


@pytest.mark.parametrize("operation", fuzzing.operations(DESCRIPTION), ids=" ".join)
def test_whatever_comes_is_answered_as_described_and_an_error_changes_nothing(
    app: Starlette, released: Released, operation: tuple[str, str, str]
) -> None:
    path, method, _ = operation
    token = released.token if "/artefacts/" in path else TOKEN
    known = _known(released, path)
    before = _state(released)

    def unchanged(status: int) -> None:
        nonlocal before
        after = _state(released)
        assert after == before or (status < 400 and method == "post")
        before = after

    headers = {"authorization": f"Bearer {token}"}
    assert fuzzing.run(DESCRIPTION, app, operation, unchanged, headers=headers, known=known)
