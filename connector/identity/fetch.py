"""Documents of peers over HTTPS: DID documents, presentations, status lists.

To checked addresses only, bounded in time and size, without redirects, proxies, cookies or
compression (threats: server-side request forgery, a detour past its check, a bomb).
"""

import asyncio
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from connector.dsp.addresses import Addresses
from connector.errors import RemoteError

MAX_BYTES = 1 << 16
_TIMEOUT = httpx.Timeout(5.0)
_TOTAL_SECONDS = 10.0
_AT_ONCE = 8
_LIMITS = httpx.Limits(max_connections=16, max_keepalive_connections=8)


class Fetcher:
    """Raises `RemoteError`: FETCH_FORBIDDEN, FETCH_REDIRECTED, FETCH_TOO_LARGE, FETCH_REFUSED
    (another status than 200), FETCH_FAILED (no answer in time, no valid certificate).
    """  # noqa: D205 - one sentence

    def __init__(self, addresses: Addresses, tls: ssl.SSLContext | None = None) -> None:
        self._addresses = addresses
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._http = httpx.AsyncClient(
            timeout=_TIMEOUT,
            limits=_LIMITS,
            verify=tls or ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    @property
    def scheme(self) -> str:
        """`https`, but for a conformance kit on this machine."""
        return "http" if self._addresses.loopback else "https"

    async def get(self, url: str, accept: str, most: int = MAX_BYTES) -> bytes:
        """The document at `url`, of at most so many bytes."""
        return await self._fetch("GET", url, {"accept": accept}, None, most)

    async def post(self, url: str, body: Any, authorization: str) -> bytes:
        """The answer to a JSON message."""
        headers = {"accept": "application/json", "authorization": authorization}
        return await self._fetch("POST", url, headers, body, MAX_BYTES)

    async def close(self) -> None:
        """Release the connections."""
        await self._http.aclose()

    async def _fetch(
        self, method: str, url: str, headers: dict[str, str], body: Any, most: int
    ) -> bytes:
        try:
            async with self._room, asyncio.timeout(_TOTAL_SECONDS):
                return await self._attempt(method, url, headers, body, most)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise _failed() from error

    async def _attempt(
        self, method: str, url: str, headers: dict[str, str], body: Any, most: int
    ) -> bytes:
        for address in await self._resolve(url):
            request = self._request(method, url, address, headers, body)
            try:
                response = await self._http.send(request, stream=True)
            except httpx.ConnectError:
                continue
            try:
                return await _content(response, most)
            finally:
                await response.aclose()
        raise _failed()

    async def _resolve(self, url: str) -> list[str]:
        try:
            return await self._addresses.resolve(url)
        except RemoteError as error:
            if error.code != "DSP_CALLBACK":
                raise _failed() from error
            raise RemoteError("FETCH_FORBIDDEN", error.message, error.remedy) from error

    def _request(
        self, method: str, url: str, address: str, headers: dict[str, str], body: Any
    ) -> httpx.Request:
        named = httpx.URL(url)
        request = self._http.build_request(
            method,
            # To the address that was checked; the certificate must still be the name's.
            named.copy_with(host=address),
            json=body,
            headers={
                "host": named.netloc.decode("ascii"), "accept-encoding": "identity", **headers,
            },
        )  # fmt: skip
        request.extensions["sni_hostname"] = named.host
        return request


async def _content(response: httpx.Response, most: int) -> bytes:
    if response.is_redirect:
        raise RemoteError("FETCH_REDIRECTED", "a peer's document lies elsewhere than it says")
    if response.status_code != 200:
        raise RemoteError("FETCH_REFUSED", f"a peer answers with status {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise RemoteError("FETCH_REFUSED", "a peer's document is compressed, which was not asked")
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > most:
            raise RemoteError("FETCH_TOO_LARGE", f"a peer's document exceeds {most} bytes")
    return content


def _failed() -> RemoteError:
    return RemoteError("FETCH_FAILED", "a peer's document cannot be fetched")
