"""Calls to peers: bounded in time and size, to checked addresses, without detours.

No redirects are followed, no proxy variables obeyed, nothing is decompressed, no cookies kept
(threats: a detour past the address check, a compression bomb, one peer's cookie at another).
"""

import asyncio
import ssl
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
from pydantic import ValidationError

from connector.dsp.addresses import Addresses
from connector.dsp.authentication import Authentication
from connector.dsp.messages import ProcessMessage
from connector.dsp.outbox import Reply
from connector.dsp.states import State
from connector.errors import RemoteError

Json = dict[str, Any]
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_TOTAL_SECONDS = 20.0
_MAX_ANSWER = 1 << 16
# The pool looks at every idle connection at each request: few are kept.
_LIMITS = httpx.Limits(max_connections=64, max_keepalive_connections=8)


@dataclass(frozen=True)
class Answer:
    """A whole answer; `next` is where its Link header continues, if anywhere."""

    status: int
    content: bytes
    next: str = ""


class _State(ProcessMessage):
    state: State


class PeerClient:
    """An `outbox.Client` over HTTP(S)."""

    def __init__(
        self,
        authentication: Authentication,
        addresses: Addresses,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._authentication = authentication
        self._addresses = addresses
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT,
            limits=_LIMITS,
            verify=tls or ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def post(self, counterparty: str, url: str, message: Json) -> Reply:
        """See `outbox.Client`."""
        return await self._send("POST", counterparty, url, message)

    async def get(self, counterparty: str, url: str) -> Reply:
        """See `outbox.Client`."""
        return await self._send("GET", counterparty, url, None)

    async def fetch(
        self,
        counterparty: str,
        url: str,
        message: Json | None,
        *,
        query: str = "",
        most: int = _MAX_ANSWER,
        seconds: float = _TOTAL_SECONDS,
    ) -> Answer:
        """Post a message, or get if there is none, for the sake of the answer: a catalogue.

        `most` bounds its bytes. Raises `RemoteError`: DSP_CALLBACK, DSP_UNREACHABLE, DSP_TOO_LARGE.
        """
        method = "GET" if message is None else "POST"
        try:
            async with asyncio.timeout(seconds):
                for address in await self._addresses.resolve(url):
                    request = self._request(method, counterparty, url, address, message, query)
                    try:
                        return await self._whole(request, most)
                    except httpx.ConnectError:
                        continue
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise _silent(type(error).__name__) from error
        raise _silent("no connection")

    async def close(self) -> None:
        """Release the connections."""
        await self._http.aclose()

    async def _send(self, method: str, counterparty: str, url: str, message: Json | None) -> Reply:
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                for address in await self._addresses.resolve(url):
                    request = self._request(method, counterparty, url, address, message)
                    try:
                        return await self._exchange(request)
                    except httpx.ConnectError:
                        continue
        except (httpx.HTTPError, httpx.InvalidURL, RemoteError, TimeoutError, OSError):
            pass
        return Reply(0)

    async def _exchange(self, request: httpx.Request) -> Reply:
        response = await self._http.send(request, stream=True)
        try:
            return _reply(response.status_code, await _body(response))
        finally:
            await response.aclose()

    async def _whole(self, request: httpx.Request, most: int) -> Answer:
        response = await self._http.send(request, stream=True)
        try:
            content = await _body(response, most)
        finally:
            await response.aclose()
        if not content and response.status_code == httpx.codes.OK:
            raise RemoteError("DSP_TOO_LARGE", f"an answer is empty, packed or above {most} bytes")
        return Answer(response.status_code, content, response.links.get("next", {}).get("url", ""))

    def _request(
        self,
        method: str,
        counterparty: str,
        url: str,
        address: str,
        message: Json | None,
        query: str = "",
    ) -> httpx.Request:
        named = httpx.URL(f"{url}?{query}" if query else url)
        request = self._http.build_request(
            method,
            # To the address that was checked; the certificate must still be the name's.
            named.copy_with(host=address),
            json=message,
            headers={
                "host": named.netloc.decode("ascii"),
                "authorization": self._authentication.header(counterparty),
                "accept": "application/json",
                "accept-encoding": "identity",
            },
        )
        request.extensions["sni_hostname"] = named.host
        return request


async def _body(response: httpx.Response, most: int = _MAX_ANSWER) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        return b""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > most:
            return b""
    return bytes(content)


def _reply(status: int, content: bytes) -> Reply:
    """Answers to state messages may be empty, or anything; only a process is of interest."""
    try:
        said = _State.model_validate_json(content)
    except ValidationError:
        return Reply(status)
    return Reply(status, said.provider_pid, said.consumer_pid, said.state)


def _silent(why: str) -> RemoteError:
    return RemoteError("DSP_UNREACHABLE", f"a peer does not answer ({why})")
