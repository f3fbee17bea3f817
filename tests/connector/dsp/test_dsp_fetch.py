"""The consumer's side of a pull: it goes on where it broke off, and takes nothing else for it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dsp_released
import pytest
import uvicorn
from dsp_released import CONTENT, Released, name_of

from connector.dsp import conduct, fetch, ranges
from connector.dsp.addresses import Addresses
from connector.dsp.fetch import Fetcher
from connector.dsp.messages import DataAddress, EndpointProperty
from connector.dsp.states import Signal
from connector.errors import RemoteError

DIGEST = name_of(CONTENT)
LOCAL = Fetcher(Addresses(loopback=True))


class _Peer(BaseHTTPRequestHandler):
    """Serves CONTENT by range; each request is first spoiled as the next of `faults` says."""

    faults: list[str] = []  # noqa: RUF012 - shared by all requests of a test, emptied
    asked: list[tuple[str, str]] = []  # noqa: RUF012 - as above

    def do_GET(self) -> None:
        said = {name.lower(): value for name, value in self.headers.items()}
        self.asked.append((said["authorization"], said.get("range", "")))
        fault = self.faults.pop(0) if self.faults else ""
        content = CONTENT[:-1] + b"!" if fault == "other" else CONTENT
        part = ranges.asked(said, len(content), f'"{DIGEST}"')
        if fault == "ignore":
            part = ranges.Part(0, len(content), whole=True)
        if fault.isdecimal() or part is None:
            self.send_response(int(fault) if fault else 416)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self._send(fault, content, part)

    def _send(self, fault: str, content: bytes, part: ranges.Part) -> None:
        self.send_response(200 if part.whole else 206)
        if fault == "shifted":
            part = ranges.Part(part.first - 1, part.size + 1)
        if not part.whole:
            self.send_header("Content-Range", ranges.content_range(part, len(content)))
        if fault == "packed":
            self.send_header("Content-Encoding", "gzip")
        body = content[part.first : part.first + part.size]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_PAUSE_SECONDS", 0.0)


@pytest.fixture
def peer() -> Iterator[str]:
    _Peer.faults.clear()
    _Peer.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Peer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://localhost:{server.server_port}/artefact"
        server.shutdown()
        thread.join()


def address(url: str | None, **changed: str) -> DataAddress:
    said = {"authorization": "secret", "authType": "bearer"} | changed
    return DataAddress(
        endpoint_type="https://w3id.org/idsa/v4.1/HTTP", endpoint=url,
        properties=tuple(EndpointProperty(name=name, value=text) for name, text in said.items()),
    )  # fmt: skip


def take(url: str, place: Path, *faults: str, fetcher: Fetcher = LOCAL) -> int:
    _Peer.faults.extend(faults)
    return asyncio.run(fetcher.fetch(address(url), DIGEST, place))


def refused(url: str, place: Path, *faults: str, fetcher: Fetcher = LOCAL) -> str:
    with pytest.raises(RemoteError) as caught:
        take(url, place, *faults, fetcher=fetcher)
    assert not place.exists()
    return caught.value.code


def test_an_artefact_comes_under_its_name_for_its_owner_only(peer: str, tmp_path: Path) -> None:
    place = tmp_path / "model.cmf"
    assert take(peer, place) == len(CONTENT)
    assert place.read_bytes() == CONTENT
    assert place.stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model.cmf"]
    assert _Peer.asked == [("Bearer secret", "")]


def test_a_broken_connection_goes_on_where_it_broke(peer: str, tmp_path: Path) -> None:
    assert take(peer, tmp_path / "m", "cut", "503", "cut", "cut") == len(CONTENT)
    half = len(CONTENT) // 2
    assert [asked for _, asked in _Peer.asked] == [
        "", f"bytes={half}-", f"bytes={half}-", f"bytes={half + half // 2}-",
        f"bytes={half + half // 2 + half // 4}-",
    ]  # fmt: skip
    assert (tmp_path / "m").read_bytes() == CONTENT


def test_another_call_goes_on_where_the_last_one_gave_up(peer: str, tmp_path: Path) -> None:
    assert refused(peer, tmp_path / "m", "cut", *["503"] * 5) == "DSP_UNREACHABLE"
    _Peer.asked.clear()
    assert take(peer, tmp_path / "m") == len(CONTENT)
    assert [asked for _, asked in _Peer.asked] == [f"bytes={len(CONTENT) // 2}-"]


def test_what_has_all_come_is_asked_for_no_more_than_that(peer: str, tmp_path: Path) -> None:
    (tmp_path / f".{DIGEST.removeprefix('sha256:')}.part").write_bytes(CONTENT)
    assert take(peer, tmp_path / "m") == len(CONTENT)
    assert (tmp_path / "m").read_bytes() == CONTENT


def test_a_peer_without_ranges_sends_all_again(peer: str, tmp_path: Path) -> None:
    assert take(peer, tmp_path / "m", "cut", "ignore") == len(CONTENT)
    assert (tmp_path / "m").read_bytes() == CONTENT


@pytest.mark.parametrize("faults", [("other",), ("cut", "other")])
def test_what_has_another_digest_is_thrown_away(
    peer: str, tmp_path: Path, faults: tuple[str, ...]
) -> None:
    assert refused(peer, tmp_path / "m", *faults) == "ARTEFACT_DIGEST"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "faults", [("302",), ("307",), ("404",), ("401",), ("packed",), ("cut", "shifted"), ("304",)]
)
def test_another_answer_is_taken_for_nothing(
    peer: str, tmp_path: Path, faults: tuple[str, ...]
) -> None:
    assert refused(peer, tmp_path / "m", *faults) == "ARTEFACT_REFUSED"
    assert len(_Peer.asked) == len(faults), "a redirect was followed"


def test_a_peer_that_never_gets_on_is_left(peer: str, tmp_path: Path) -> None:
    assert refused(peer, tmp_path / "m", *["500"] * 9) == "DSP_UNREACHABLE"
    assert len(_Peer.asked) == 5
    _Peer.faults.clear()
    slow = replace(LOCAL, seconds=0.0)
    assert refused(peer, tmp_path / "m", fetcher=slow) == "DSP_UNREACHABLE"


def test_what_is_too_large_is_not_taken(peer: str, tmp_path: Path) -> None:
    small = replace(LOCAL, most=len(CONTENT) - 1)
    assert refused(peer, tmp_path / "m", fetcher=small) == "ARTEFACT_TOO_LARGE"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given",
    [address(None), address("http://localhost/x", authorization=""),
     address("http://localhost/x", authType="basic"),
     address("http://localhost/x", authorization="a\r\nHost: b")],
    ids=["nowhere", "no token", "basic", "two lines"],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_not_called(given: DataAddress, tmp_path: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        asyncio.run(LOCAL.fetch(given, DIGEST, tmp_path / "m"))
    assert caught.value.code == "DSP_ADDRESS"


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/a", "http://peer.example/a", "file:///etc/passwd"]
)
def test_a_pull_does_not_reach_into_our_own_network(url: str, tmp_path: Path) -> None:
    assert refused(url, tmp_path / "m", fetcher=Fetcher(Addresses())) == "DSP_CALLBACK"


@pytest.mark.parametrize("digest", ["", "sha256:", "../../etc/x", f"{DIGEST}/x", DIGEST.upper()])
def test_what_is_no_digest_is_no_file_either(digest: str, tmp_path: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        asyncio.run(LOCAL.fetch(address("http://localhost/a"), digest, tmp_path / "m"))
    assert caught.value.code == "DSP_ADDRESS"


# Both sides


@contextmanager
def _served(released: Released) -> Iterator[DataAddress]:
    """north's endpoints on a real socket: the address that hdab was told, there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            released.app, log_level="critical", lifespan="off", ws="none", access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}{released.path}"
            yield released.address.model_copy(update={"endpoint": url})
        finally:
            server.should_exit = True
            thread.join()


def test_both_sides_of_a_pull_over_http(tmp_path: Path) -> None:
    with dsp_released.released(tmp_path) as released, _served(released) as given:
        part = tmp_path / f".{released.digest.removeprefix('sha256:')}.part"
        part.write_bytes(CONTENT[:1000])
        assert asyncio.run(LOCAL.fetch(given, released.digest, tmp_path / "m")) == len(CONTENT)
        assert (tmp_path / "m").read_bytes() == CONTENT
        assert [(one.first, one.size) for one in released.pulled] == [(1000, len(CONTENT) - 1000)]


def test_a_transfer_that_ends_under_way_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    with dsp_released.released(tmp_path) as released, _served(released) as given:
        pair = released.pair

        class _Ending:
            """The transfer ends while its first bytes are read."""

            def read(self, size: int) -> bytes:
                if pair.north.state(released.transfer) == "STARTED" and self.reads > 4:
                    conduct.act(pair.north.desk, released.transfer, Signal.TERMINATE)
                self.reads += 1
                chunk = CONTENT[self.place : self.place + size]
                self.place += len(chunk)
                return chunk

            def seek(self, place: int) -> None:
                self.place = place

            def close(self) -> None:
                pass

            reads = 0
            place = 0

        artefact = released.shelf.find(released.digest)
        assert artefact is not None
        ending = replace(artefact, open=_Ending)  # type: ignore[arg-type]  # as much of a file as is used
        object.__setattr__(released.shelf, "find", lambda _: ending)
        with pytest.raises(RemoteError) as caught:
            asyncio.run(LOCAL.fetch(given, released.digest, tmp_path / "m"))
        assert caught.value.code == "ARTEFACT_REFUSED"
        assert not (tmp_path / "m").exists()
