"""Which addresses of peers are called. Threat: server-side request forgery.

A peer names the address of its callback. It may only be a public host by HTTPS, or one that the
configuration names; what a name resolves to is looked at when it is called, and the connection
goes to exactly that address (threat: a name that resolves to something else the second time).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from connector.errors import RemoteError

MAX_URL = 2000
_MOST = 4
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Addresses:
    """`allowed`: hosts, as `host` or `host:port`, that may be private (a peer in the same network).

    `loopback`: this machine alone, without TLS; for the conformance profile.
    """

    allowed: frozenset[str] = frozenset()
    loopback: bool = False

    def check(self, url: str) -> None:
        """What can be said without asking for the name. Raises `RemoteError` (DSP_CALLBACK)."""
        parts = _split(url)
        host = parts.hostname or ""
        literal = _literal(host)
        if self.loopback:
            if host != "localhost" and not (literal is not None and literal.is_loopback):
                raise _refusal("the conformance profile calls this machine only")
            return
        if parts.scheme != "https":
            raise _refusal("only https is called")
        if not self._is_allowed(parts) and literal is not None and not is_public(literal):
            raise _refusal("a private address is not called", "Its operator can allow the host")

    async def resolve(self, url: str) -> list[str]:
        """The IP addresses to connect to, one after the other.

        Raises `RemoteError`: DSP_CALLBACK, DSP_UNREACHABLE.
        """
        self.check(url)
        parts = _split(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = await _look_up(parts.hostname or "", port)
        if not self._is_allowed(parts):
            found = [one for one in found if self._may_be(one)]
        if not found:
            raise _refusal("its name leads to a private address", "Its operator can allow the host")
        return [str(one) for one in found[:_MOST]]

    def _may_be(self, address: _Address) -> bool:
        return address.is_loopback if self.loopback else is_public(address)

    def _is_allowed(self, parts: SplitResult) -> bool:
        host = parts.hostname or ""
        return not self.loopback and bool({host, f"{host}:{parts.port}"} & self.allowed)


def is_public(address: _Address) -> bool:
    """Whether an address is anybody's, in every spelling that hides an IPv4 address in an IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if not all(is_public(one) for one in inner if one is not None):
            return False
    return address.is_global and not address.is_multicast


async def _look_up(host: str, port: int) -> list[_Address]:
    literal = _literal(host)
    if literal is not None:
        return [literal]
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise RemoteError("DSP_UNREACHABLE", "a peer's name does not resolve") from error
    return list(_addresses(str(answer[4][0]) for answer in answers))


def _addresses(texts: Iterable[str]) -> Iterable[_Address]:
    for text in dict.fromkeys(texts):
        yield ipaddress.ip_address(text.partition("%")[0])


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refusal("it is not a URL") from error
    plain = (
        len(url) <= MAX_URL and url.isascii() and url.isprintable() and " " not in url
        and "\\" not in url and parts.scheme in ("http", "https") and parts.hostname
        and parts.username is None and parts.password is None and "?" not in url
        and "#" not in url and port != 0 and ".." not in parts.path.split("/")
    )  # fmt: skip
    if not plain:
        raise _refusal("it is not a plain http(s) address")
    return parts


def _literal(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refusal(why: str, remedy: str = "") -> RemoteError:
    return RemoteError("DSP_CALLBACK", f"an address is not called: {why}", remedy)
