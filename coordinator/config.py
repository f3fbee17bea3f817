"""`coordinator.toml` and the coordinator's directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from connector.dsp.messages import Id, Url
from connector.dsp.settings import CoordinatorDataspace
from connector.errors import LocalError
from connector.identity.did import check_own
from policies import toml
from policies.document import first_problem
from policies.permit import Name


@dataclass(frozen=True)
class Paths:
    """Where things lie in the coordinator's directory."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.root / "coordinator.toml"

    @property
    def signing_key(self) -> Path:
        """Ed25519: signs permits, memberships, messages, labels and the log."""
        return self.root / "identity" / "signing.key"

    @property
    def identity(self) -> Path:
        """Keys and certificates."""
        return self.root / "identity"

    @property
    def address(self) -> Path:
        """`host:port` of the running coordinator; absent when it does not run."""
        return self.root / "address"

    @property
    def database(self) -> Path:
        """The embedded database, readable by its owner only."""
        return self.root / "coordinator.db"

    @property
    def log(self) -> Path:
        """The audit log."""
        return self.root / "log"

    @property
    def releases(self) -> Path:
        """Models and labels, one folder per job."""
        return self.root / "releases"


_PUBLIC = r"^((\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[1-9][0-9]{0,4})?$"


class Peer(BaseModel):
    """A node whose catalogue is read: its name, and where its Dataspace Protocol is served."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    participant: Id
    address: Annotated[Url, Field(pattern=r"^https://[^?#]+$")]


class CoordinatorConfig(BaseModel):
    """The parsed `coordinator.toml`. Port 0 lets the operating system choose one.

    The coordinator listens at `host` and `port`; hospitals reach it at `public` (`host:port`),
    which invitations and the certificate name. The two are the same where `public` is empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]+$", max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8700
    public: Annotated[str, Field(pattern=_PUBLIC, max_length=260)] = ""
    database: str = ""
    signing_key: Annotated[str, Field(max_length=2000)] = "file:identity/signing.key"
    did: Annotated[str, Field(max_length=255)] = ""
    jobs_at_once: Annotated[int, Field(ge=1, le=64)] = 4
    peers: Annotated[tuple[Peer, ...], Field(max_length=1000)] = ()
    dataspace: CoordinatorDataspace | None = None

    @field_validator("public")
    @classmethod
    def _port(cls, public: str) -> str:
        if public and split_address(public)[1] > 65_535:
            raise ValueError("a port is at most 65535")
        return public

    @field_validator("did")
    @classmethod
    def _is_did(cls, did: str) -> str:
        try:
            return check_own(did) if did else did
        except LocalError as error:
            raise ValueError(error.message) from error

    @field_validator("peers")
    @classmethod
    def _each_once(cls, peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
        if len({peer.participant for peer in peers}) != len(peers):
            raise ValueError("a participant is named twice")
        return peers

    @property
    def public_host(self) -> str:
        """The name or address that the certificate is for, an IPv6 address without brackets."""
        return self.public.rpartition(":")[0].strip("[]") or self.host

    def public_address(self, port: int) -> str:
        """`host:port` for hospitals; `port` is the one that the coordinator listens on."""
        return self.public or spell_address(self.host, port)


def spell_address(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(address: str) -> tuple[str, int]:
    """The reverse of `spell_address`. Raises `ValueError`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def load(paths: Paths) -> CoordinatorConfig:
    """Read `coordinator.toml`.

    Raises `LocalError`: CONFIG_MISSING, CONFIG_SYNTAX, CONFIG_INVALID.
    """
    try:
        return check(paths, toml.load(paths.config.read_bytes()))
    except OSError as error:
        raise LocalError(
            "CONFIG_MISSING",
            f"cannot read {paths.config} ({error.strerror})",
            "Run `commensal coordinator init` to create a coordinator's directory",
        ) from error
    except ValueError as error:
        raise LocalError(
            "CONFIG_SYNTAX", f"{paths.config} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error  # fmt: skip


def check(paths: Paths, table: dict[str, Any]) -> CoordinatorConfig:
    """Validate a configuration. Raises `LocalError` (CONFIG_INVALID, PUBLIC_ADDRESS_MISSING)."""
    try:
        settings = CoordinatorConfig.model_validate(table)
    except ValidationError as error:
        raise LocalError(
            "CONFIG_INVALID",
            f"{paths.config} is not valid: {first_problem(error)}",
            "Correct that field; an unknown one is an error too",
        ) from error
    everywhere = not settings.host.strip("0.:")  # 0.0.0.0, ::, and their other spellings
    if everywhere and not settings.public:
        raise LocalError(
            "PUBLIC_ADDRESS_MISSING",
            f"{settings.host} means every address of this machine; hospitals need one of them",
            'Say where they reach it: public = "host:port" (`--public` of `coordinator init`)',
        )
    return settings


def database_url(paths: Paths, config: CoordinatorConfig) -> str:
    """The configured database, or the embedded one."""
    return config.database or f"sqlite:///{paths.database}"
