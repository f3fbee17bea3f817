"""`[dataspace]` of `node.toml` and `coordinator.toml`: where the Dataspace Protocol is served.

[dataspace]
address = "https://dsp.hospital.example"   # what peers call; the protocol's path is added
listen = "0.0.0.0:8443"
tls = "proxy"                              # or a table: certificate, key (PEM files)

Imported by every start, so nothing heavy is imported here.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

PATH = "/2025-1"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)"
_ADDRESS = rf"^https://{_HOST}(:[1-9][0-9]{{0,4}})?$"
_LISTEN = rf"^{_HOST}:[1-9][0-9]{{0,4}}$"
_Host = Annotated[str, Field(pattern=rf"^{_HOST}(:[1-9][0-9]{{0,4}})?$", max_length=260)]
_File = Annotated[str, Field(min_length=1, max_length=4096)]


class Certificate(BaseModel):
    """Own certificate files, relative to the directory: the chain, and its private key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: _File
    key: _File


class DataspacePeer(BaseModel):
    """A participant besides the coordinator that may call: its name and public key (vkey)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    participant: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    key: Annotated[str, Field(max_length=200)]


class Dataspace(BaseModel):
    """The parsed table. `listen` without its own certificate must be reached by the proxy alone.

    `private_hosts`: peers' hosts, as `host` or `host:port`, that may have a private address.
    `authorities`: a file of certificates that are trusted besides the system's and the
    coordinator's own authority.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Annotated[str, Field(pattern=_ADDRESS, max_length=300)]
    listen: Annotated[str, Field(pattern=_LISTEN, max_length=260)]
    tls: Literal["proxy"] | Certificate
    private_hosts: Annotated[tuple[_Host, ...], Field(max_length=100)] = ()
    authorities: str = ""

    @field_validator("listen")
    @classmethod
    def _port(cls, listen: str) -> str:
        if int(listen.rpartition(":")[2]) > 65_535:
            raise ValueError("a port is at most 65535")
        return listen

    @property
    def root(self) -> str:
        """Where the protocol is served, with its path."""
        return self.address + PATH

    @property
    def place(self) -> tuple[str, int]:
        """Host and port to listen on."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class NodeDataspace(Dataspace):
    """A node's: it offers. With "person", somebody must have approved a permit's use first."""

    handling: Literal["automatic", "person"] = "automatic"
    peers: Annotated[tuple[DataspacePeer, ...], Field(max_length=100)] = ()


class CoordinatorDataspace(Dataspace):
    """A coordinator's: it asks the nodes among its `peers`.

    `wait_seconds`: for how long a job waits for contracts, a person's answer included.
    """

    wait_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 300


def files(directory: Path, own: Certificate) -> tuple[str, str]:
    """Certificate and key as paths from the working directory."""
    return str(directory / own.certificate), str(directory / own.key)
