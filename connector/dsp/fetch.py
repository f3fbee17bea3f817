"""Fetches an artefact from the address of a started transfer, and takes it for nothing else.

What has come stays when a connection breaks; the next attempt goes on behind it. The file has its
name once all of it is there and its digest is the one that was asked for. Bounded in bytes, time
and attempts; to checked addresses, without redirects, proxies, cookies or compression.
"""

import asyncio
import hashlib
import hmac
import os
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path

import httpx

from connector.dsp import ranges
from connector.dsp.addresses import Addresses
from connector.dsp.messages import DataAddress
from connector.errors import RemoteError
from connector.files import sync_directory

_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=0)
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_CHUNK = 1 << 20


class _Broken(Exception):  # noqa: N818 - not an error yet: the next attempt goes on
    """The connection, or the peer's answer, ended before its time."""


@dataclass(frozen=True)
class Fetcher:
    """`most` bounds an artefact's bytes, `seconds` all attempts together."""

    addresses: Addresses
    tls: ssl.SSLContext | None = None
    most: int = 1 << 32
    seconds: float = 3600.0

    async def fetch(self, address: DataAddress, digest: str, place: Path) -> int:
        """Write the artefact `digest` (`sha256:<hex>`) to `place`; its size in bytes.

        Raises `RemoteError`: DSP_ADDRESS (no address that can be used), DSP_CALLBACK,
        DSP_UNREACHABLE, ARTEFACT_REFUSED, ARTEFACT_TOO_LARGE, ARTEFACT_DIGEST; `OSError` of the
        disk. After DSP_UNREACHABLE the same call goes on where this one ended.
        """
        if not _DIGEST.fullmatch(digest):
            raise RemoteError("DSP_ADDRESS", "an artefact is named by its digest, sha256:<hex>")
        url, token = _endpoint(address)
        self.addresses.check(url)
        part = place.with_name(f".{digest.removeprefix('sha256:')}.part")
        try:
            async with asyncio.timeout(self.seconds), self._client() as client:
                await self._attempts(client, url, token, part, f'"{digest}"')
        except TimeoutError as error:
            raise _unreachable() from error
        return await asyncio.to_thread(_adopt, part, digest, place)

    async def _attempts(
        self, client: httpx.AsyncClient, url: str, token: str, part: Path, etag: str
    ) -> None:
        failures = 0
        while True:
            before = _size(part)
            try:
                return await self._attempt(client, url, token, part, etag)
            except (httpx.TransportError, _Broken) as error:
                # Whoever gets on has all the time there is; who does not, a few attempts.
                failures = 0 if _size(part) > before else failures + 1
                if failures >= _ATTEMPTS:
                    raise _unreachable() from error
            await asyncio.sleep(_PAUSE_SECONDS * 2**failures)

    async def _attempt(
        self, client: httpx.AsyncClient, url: str, token: str, part: Path, etag: str
    ) -> None:
        have = _size(part)
        said = {"authorization": f"Bearer {token}", "accept-encoding": "identity"}
        if have:
            said |= {"range": f"bytes={have}-", "if-range": etag}
        async with self._get(client, url, said) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise RemoteError("ARTEFACT_REFUSED", "a peer packs what was asked for plain")
            match response.status_code:
                case 200:
                    await self._take(response, part, 0, _length(response))
                case 206:
                    await self._take(response, part, have, _total(response, have))
                case 416 if have:
                    return  # there is no more: the digest tells whether it is all
                case 429 | 500 | 502 | 503 | 504:
                    raise _Broken
                case status:
                    raise RemoteError("ARTEFACT_REFUSED", f"a peer answers with status {status}")

    async def _take(
        self, response: httpx.Response, part: Path, first: int, total: int | None
    ) -> None:
        if total is not None and total > self.most:
            raise self._too_large()
        size = first
        flags = os.O_WRONLY | os.O_CREAT | (0 if first else os.O_TRUNC)
        with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
            file.seek(first)
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > self.most:
                    raise self._too_large()
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if total is not None and size != total:
            raise _Broken

    @asynccontextmanager
    async def _get(
        self, client: httpx.AsyncClient, url: str, said: dict[str, str]
    ) -> AsyncIterator[httpx.Response]:
        named = httpx.URL(url)
        for address in await self.addresses.resolve(url):
            # To the address that was checked; the certificate must still be the name's.
            request = client.build_request(
                "GET", named.copy_with(host=address),
                headers=said | {"host": named.netloc.decode("ascii")},
            )  # fmt: skip
            request.extensions["sni_hostname"] = named.host
            try:
                response = await client.send(request, stream=True)
            except httpx.ConnectError:
                continue
            try:
                yield response
            finally:
                await response.aclose()
            return
        raise _Broken

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=_TIMEOUT,
            limits=_LIMITS,
            verify=self.tls or ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    def _too_large(self) -> RemoteError:
        return RemoteError("ARTEFACT_TOO_LARGE", f"an artefact is larger than {self.most} bytes")


def _endpoint(address: DataAddress) -> tuple[str, str]:
    """Where, and the token."""
    said = {one.name: one.value for one in address.properties or ()}
    token = said.get("authorization", "")
    if (
        not address.endpoint
        or said.get("authType", "bearer").lower() != "bearer"
        or not _TOKEN.fullmatch(token)
    ):
        raise RemoteError("DSP_ADDRESS", "a peer's data address has no endpoint or no bearer token")
    return address.endpoint, token


def _length(response: httpx.Response) -> int | None:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) <= 18 else None


def _total(response: httpx.Response, have: int) -> int:
    """The size of the whole, of which the rest comes."""
    found = ranges.read_content_range(response.headers.get("content-range", ""))
    if found is None or found[0].first != have or have + found[0].size != found[1]:
        raise RemoteError("ARTEFACT_REFUSED", "a peer answers with another range than asked for")
    return found[1]


def _size(part: Path) -> int:
    with suppress(FileNotFoundError):
        return part.stat().st_size
    return 0


def _adopt(part: Path, digest: str, place: Path) -> int:
    """Give what has come its name, if it is what was asked for; its size."""
    found, size = hashlib.sha256(), 0
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
            size += len(chunk)
    if not hmac.compare_digest(f"sha256:{found.hexdigest()}", digest):
        part.unlink()
        raise RemoteError("ARTEFACT_DIGEST", "what a peer sent is not the artefact asked for")
    part.replace(place)
    sync_directory(place.parent)
    return size


def _unreachable() -> RemoteError:
    return RemoteError("DSP_UNREACHABLE", "a peer's artefact does not come", "Try again")
