"""Which addresses are called: a peer's callback must not reach into our own network."""

import asyncio
import socket
from typing import Any

import pytest

from connector.dsp.addresses import Addresses
from connector.errors import RemoteError

PUBLIC = Addresses()


def _refused(addresses: Addresses, url: str) -> None:
    with pytest.raises(RemoteError) as caught:
        asyncio.run(addresses.resolve(url))
    assert caught.value.code == "DSP_CALLBACK"


def _resolving(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in found]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "url",
    [
        "http://peer.example/dsp",
        "https://127.0.0.1/x",
        "https://10.0.0.1/x",
        "https://172.16.0.1/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/x",
        "https://0.0.0.0/x",
        "https://224.0.0.1/x",
        "https://255.255.255.255/x",
        "https://[::1]/x",
        "https://[::]/x",
        "https://[fe80::1]/x",
        "https://[fc00::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://[64:ff9b::a00:1]/x",
        "https://[2002:a00:1::]/x",
        "https://[2001:0:a00:1:0:0:f5ff:fffe]/x",
        "ftp://peer.example/x",
        "https://user:secret@peer.example/x",
        "https://peer.example/x?query",
        "https://peer.example/x#fragment",
        "https://peer.example/a/../b",
        "https://peer.example:0/x",
        "https://peer.example:99999/x",
        "https://peer.example\\@10.0.0.1/x",
        "https:///x",
        "https://[::1/x",
        "https://pe er.example/x",
        "https://peer.example/" + "x" * 2000,
    ],
)
def test_what_is_not_a_public_https_address_is_never_called(url: str) -> None:
    _refused(PUBLIC, url)


@pytest.mark.parametrize("private", ["10.0.0.1", "127.0.0.1", "::1", "169.254.169.254"])
def test_a_name_that_leads_into_a_private_network_is_not_called(
    monkeypatch: pytest.MonkeyPatch, private: str
) -> None:
    _resolving(monkeypatch, private)
    _refused(PUBLIC, "https://peer.example/x")


def test_of_several_addresses_only_public_ones_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, "10.0.0.1", "93.184.215.14", "93.184.215.14", "1.1.1.1")
    found = asyncio.run(PUBLIC.resolve("https://peer.example/x"))
    assert found == ["93.184.215.14", "1.1.1.1"]


def test_odd_spellings_of_an_ip_address_are_names_and_judged_by_what_they_lead_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _resolving(monkeypatch, "127.0.0.1")
    for host in ("2130706433", "0x7f.1", "127.1"):
        _refused(PUBLIC, f"https://{host}/x")


def test_the_configuration_can_allow_a_private_host_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _resolving(monkeypatch, "10.0.0.7")
    addresses = Addresses(allowed=frozenset({"node.hospital", "10.0.0.8:8443"}))
    assert asyncio.run(addresses.resolve("https://node.hospital/x")) == ["10.0.0.7"]
    assert asyncio.run(addresses.resolve("https://10.0.0.8:8443/x")) == ["10.0.0.8"]
    _refused(addresses, "https://10.0.0.8/x")
    _refused(addresses, "https://other.hospital/x")
    _refused(addresses, "http://node.hospital/x")


def test_the_conformance_profile_calls_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    local = Addresses(loopback=True)
    assert asyncio.run(local.resolve("http://127.0.0.1:8083/x")) == ["127.0.0.1"]
    _refused(local, "http://93.184.215.14/x")
    _refused(local, "http://peer.example/x")
    _resolving(monkeypatch, "93.184.215.14")
    _refused(local, "http://localhost/x")
