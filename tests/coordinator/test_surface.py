"""The coordinator's port: few paths, and requests that are slow, long or broken off."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr", reason="the transport is an optional dependency")

from connector.clock import utc_now
from connector.errors import RemoteError
from connector.flower.web import Connection
from connector.identity import certificates
from coordinator import surface
from coordinator.surface import Surface

Receive = Callable[[], Awaitable[Any]]


async def fleet(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b"fleet"})


def redeem(body: bytes) -> str:
    if body != b"good":
        raise RemoteError("TOKEN_INVALID", "an enrolment token is not valid")
    return "{}"


def ask(receive: Receive, path: str = "/v1/enrol", method: str = "POST") -> tuple[int, bytes]:
    async def call() -> tuple[int, bytes]:
        sent: list[Any] = []

        async def send(event: Any) -> None:
            sent.append(event)

        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "root_path": "", "query_string": b"", "headers": [], "scheme": "https",
            "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "http_version": "1.1",
        }  # fmt: skip
        served = Surface(Path("/nowhere"), fleet, redeem, redeem)
        await served.app(scope, receive, send)
        return sent[0]["status"], b"".join(event.get("body", b"") for event in sent[1:])

    return asyncio.run(call())


def body(*parts: bytes) -> Receive:
    left = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    left.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return left.pop(0)

    return receive


def test_an_enrolment_is_redeemed_or_refused_without_a_reason() -> None:
    assert ask(body(b"go", b"od")) == (200, b"{}")
    assert ask(body(b"bad")) == (403, b"ENROLMENT_REFUSED")


def test_an_enrolment_that_is_too_long_is_not_read_to_its_end() -> None:
    endless = {"type": "http.request", "body": bytes(1 << 13), "more_body": True}

    async def receive() -> Any:
        return endless

    assert ask(receive) == (413, b"ENROLMENT_TOO_LARGE")


def test_an_enrolment_that_stalls_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "_ENROLMENT_SECONDS", 0.01)

    async def stall() -> Any:
        await asyncio.Event().wait()

    assert ask(stall) == (408, b"ENROLMENT_TOO_SLOW")


def test_a_caller_who_leaves_in_an_enrolment_is_no_error() -> None:
    async def leave() -> Any:
        return {"type": "http.disconnect"}

    assert ask(leave)[0] == 400


def test_all_other_paths_are_the_fleets() -> None:
    for path in ("/", "/v1", "/v1/fleet/pull-messages", "/docs"):
        assert ask(body(), path) == (299, b"fleet")


def test_nobody_upgrades_or_speaks_for_another_address(tmp_path: Path) -> None:
    certificates.create_authority(tmp_path, "hdab", utc_now())
    certificates.renew_server_certificate(tmp_path, "127.0.0.1", utc_now())
    config = Surface(tmp_path, fleet, redeem, redeem).configure()
    assert config.http_protocol_class is Connection
    assert config.ws_protocol_class is None
    assert not config.proxy_headers
