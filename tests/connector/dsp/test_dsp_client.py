"""Calls to peers that say nothing, too much, garbage, or "look elsewhere"."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from connector.dsp import client
from connector.dsp.addresses import Addresses
from connector.dsp.authentication import StaticTokens
from connector.dsp.client import PeerClient
from connector.dsp.messages import CONTEXT
from connector.dsp.outbox import Reply

PROCESS = {
    "@context": [CONTEXT], "@type": "ContractNegotiation", "providerPid": "p", "consumerPid": "c",
    "state": "AGREED",
}  # fmt: skip


class _Peer(BaseHTTPRequestHandler):
    seen: list[dict[str, str]] = []  # noqa: RUF012 - shared by all requests of a test, emptied

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        body = json.dumps(PROCESS).encode()
        status = 200
        extra: dict[str, str] = {"Set-Cookie": "a=b"}
        match self.path:
            case "/redirect":
                status, extra = 307, {"Location": "/ok"}
            case "/empty":
                body = b""
            case "/garbage":
                body = b"\x00" * 100
            case "/huge":
                body = b" " * (1 << 17) + body
            case "/packed":
                extra = {"Content-Encoding": "gzip"}
            case "/silent":
                return
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def peer() -> Iterator[str]:
    _Peer.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Peer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def _ask(*urls: str) -> list[Reply]:
    async def story() -> list[Reply]:
        calls = PeerClient(StaticTokens("token", "x"), Addresses(loopback=True))
        found = [await calls.post("x", url, {"a": 1}) for url in urls]
        await calls.close()
        return found

    return asyncio.run(story())


def test_a_process_in_an_answer_is_read(peer: str) -> None:
    assert _ask(f"{peer}/ok") == [Reply(200, "p", "c", "AGREED")]
    assert _Peer.seen[0]["authorization"] == "token"
    # The connection goes to the address, the request is for the name.
    assert _Peer.seen[0]["host"] == peer.removeprefix("http://")


@pytest.mark.parametrize("path", ["empty", "garbage", "huge", "packed"])
def test_what_is_no_process_is_taken_for_a_status_alone(peer: str, path: str) -> None:
    assert _ask(f"{peer}/{path}") == [Reply(200)]


def test_redirects_are_not_followed_and_cookies_not_kept(peer: str) -> None:
    assert [reply.status for reply in _ask(f"{peer}/redirect", f"{peer}/ok", f"{peer}/ok")] == [
        307, 200, 200,
    ]  # fmt: skip
    assert len(_Peer.seen) == 3
    assert not any("cookie" in headers for headers in _Peer.seen)


def test_silence_is_no_answer(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_TOTAL_SECONDS", 0.5)
    assert _ask(f"{peer}/silent", "http://127.0.0.1:1/x", "https://10.0.0.1/x") == [Reply(0)] * 3
