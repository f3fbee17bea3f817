"""Whole answers of peers: bounded, without detours, and each failure by its code."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import Callable

import pytest

from connector.dsp.addresses import Addresses
from connector.dsp.authentication import StaticTokens
from connector.dsp.client import Answer, PeerClient
from connector.errors import RemoteError

OK = "HTTP/1.1 200 OK\r\n"


def answer(head: str, body: bytes) -> bytes:
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def fetch(said: bytes, query: str = "", most: int = 100, seconds: float = 10) -> tuple[Answer, str]:
    """What comes of an answer, and the first line of the request."""
    lines: list[str] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        lines.append((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
        writer.write(said)
        await writer.drain()
        if said:
            writer.close()

    async def run() -> Answer:
        client = PeerClient(StaticTokens("", "peer"), Addresses(loopback=True))
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/catalog"
        try:
            return await client.fetch("peer", url, {}, query=query, most=most, seconds=seconds)
        finally:
            await client.close()
            server.close()
            for writer in writers:
                writer.close()
                with contextlib.suppress(OSError):  # its peer has gone
                    await writer.wait_closed()

    return asyncio.run(run()), lines[0]


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(RemoteError) as caught:
        work()
    return caught.value.code


def test_an_answer_comes_with_its_status_and_its_next_page() -> None:
    said = answer(f'{OK}link: </a>; rel="previous", </catalog?x=2>; rel="next"\r\n', b"{}")
    found, asked = fetch(said, query="x=1")
    assert found == Answer(200, b"{}", "/catalog?x=2")
    assert asked == "POST /catalog?x=1 HTTP/1.1"


@pytest.mark.parametrize("link", ["", "<", "<>;rel", ";;,,", "</a>", '</a>; rel="last"'])
def test_a_link_that_is_none_leads_nowhere(link: str) -> None:
    assert fetch(answer(f"{OK}link: {link}\r\n", b"{}"))[0].next == ""


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    said = answer("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n", b"")
    assert fetch(said)[0].status == 302


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(OK, b"x" * 101), "DSP_TOO_LARGE"),
        (answer(f"{OK}content-encoding: gzip\r\n", gzip.compress(b"x" * 50)), "DSP_TOO_LARGE"),
        (answer(OK, b""), "DSP_TOO_LARGE"),
        (b"nonsense\r\n\r\n", "DSP_UNREACHABLE"),
        (f"{OK}content-length: 50\r\n\r\nhalf".encode(), "DSP_UNREACHABLE"),
    ],
)
def test_what_is_no_answer_is_an_error(said: bytes, code: str) -> None:
    assert refused(lambda: fetch(said)) == code


def test_a_peer_that_never_answers_is_given_up() -> None:
    assert refused(lambda: fetch(b"", seconds=0.2)) == "DSP_UNREACHABLE"


def test_a_peer_that_does_not_listen_is_unreachable_and_a_private_one_not_called() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def ask(addresses: Addresses, url: str) -> None:
        client = PeerClient(StaticTokens("", "peer"), addresses)
        try:
            await client.fetch("peer", url, None)
        finally:
            await client.close()

    closed = f"http://127.0.0.1:{port}/"
    assert refused(lambda: asyncio.run(ask(Addresses(loopback=True), closed))) == "DSP_UNREACHABLE"
    private = "https://10.0.0.1/"
    assert refused(lambda: asyncio.run(ask(Addresses(), private))) == "DSP_CALLBACK"
