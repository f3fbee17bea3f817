"""`coordinator.toml` and the coordinator's directory."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import LocalError
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


class CoordinatorConfig(BaseModel):
    """The parsed `coordinator.toml`. Port 0 lets the operating system choose one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]+$", max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8700
    database: str = ""
    jobs_at_once: Annotated[int, Field(ge=1, le=64)] = 4


def load(paths: Paths) -> CoordinatorConfig:
    """Read `coordinator.toml`.

    Raises `LocalError`: CONFIG_MISSING, CONFIG_SYNTAX, CONFIG_INVALID.
    """
    try:
        return check(paths, tomllib.loads(paths.config.read_text()))
    except OSError as error:
        raise LocalError(
            "CONFIG_MISSING",
            f"cannot read {paths.config} ({error.strerror})",
            "Run `commensal coordinator init` to create a coordinator's directory",
        ) from error
    except (ValueError, RecursionError) as error:
        raise LocalError(
            "CONFIG_SYNTAX", f"{paths.config} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error  # fmt: skip


def check(paths: Paths, table: dict[str, Any]) -> CoordinatorConfig:
    """Validate a configuration. Raises `LocalError` (CONFIG_INVALID)."""
    try:
        return CoordinatorConfig.model_validate(table)
    except ValidationError as error:
        raise LocalError(
            "CONFIG_INVALID",
            f"{paths.config} is not valid: {first_problem(error)}",
            "Correct that field; an unknown one is an error too",
        ) from error


def database_url(paths: Paths, config: CoordinatorConfig) -> str:
    """The configured database, or the embedded one."""
    return config.database or f"sqlite:///{paths.database}"
