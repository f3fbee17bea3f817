"""Officers: the people of a hospital whose signatures its node obeys, each with a key of their own.

Their public keys stand in node.toml (`officers`), none or at least two: a policy needs two pairs of
eyes. Who can write node.toml decides who they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import LocalError, RemoteError
from connector.identity.keys import SigningKey, VerifyKey
from policies import toml
from policies.document import first_problem

MOST = 50
_MAX_BYTES = 1 << 20


def create(name: str, path: Path) -> VerifyKey:
    """Make an officer's key file, for its owner only.

    Raises `LocalError`: NAME_INVALID, KEY_EXISTS.
    """
    key = SigningKey.generate(name)
    key.save(path)
    return key.verify_key


def parse_officers(lines: Iterable[str]) -> tuple[VerifyKey, ...]:
    """The officers' public keys: none, or at least two different people with different keys.

    Raises `ValueError` in words that complete "officers: ...".
    """
    lines = tuple(lines)
    try:
        keys = tuple(VerifyKey.parse(line) for line in lines)
    except RemoteError as error:
        raise ValueError("each must be the line that `commensal policy officer` printed") from error
    if len(keys) == 1:
        raise ValueError("one alone cannot activate a policy: name two or more, or none")
    if len({key.name for key in keys}) < len(keys):
        raise ValueError("two have the same name")
    if len({key.public_bytes for key in keys}) < len(keys):
        raise ValueError("two have the same key")
    return keys


class _Dataset(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    policy: str = "policy.toml"
    columns: tuple[dict[str, Any], ...] = ()
    derived: tuple[dict[str, Any], ...] = ()


class _Node(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    officers: Annotated[tuple[str, ...], Field(max_length=MOST)] = ()
    datasets: tuple[_Dataset, ...] = ()


@dataclass(frozen=True)
class Hospital:
    """What those who sign have to know of a node: its name, officers and datasets.

    `columns`: by dataset, the names that a policy may speak of; `policies`: by dataset, its file.
    """

    directory: Path
    name: str
    officers: tuple[VerifyKey, ...]
    columns: dict[str, tuple[str, ...]]
    policies: dict[str, Path]

    def officer(self, key: SigningKey) -> VerifyKey:
        """The officer whose key this is. Raises `LocalError`: OFFICERS_MISSING, OFFICER_UNKNOWN."""
        if not self.officers:
            raise LocalError(
                "OFFICERS_MISSING",
                f"{self.directory / 'node.toml'} names no officers, so nobody can sign for it",
                "Make two keys with `commensal policy officer`, and list them under `officers`",
            )
        if key.verify_key not in self.officers:
            raise LocalError(
                "OFFICER_UNKNOWN",
                f"the key of {key.name} is not among the officers of {self.name}",
                f"They are: {', '.join(officer.name for officer in self.officers)}",
            )
        return key.verify_key


def read_hospital(directory: Path) -> Hospital:
    """Read of `node.toml` what concerns officers; the node itself checks the rest.

    Raises `LocalError`: CONFIG_MISSING, CONFIG_SYNTAX, CONFIG_INVALID.
    """
    place = directory / "node.toml"
    try:
        with place.open("rb") as file:
            table = toml.load(file.read(_MAX_BYTES + 1)[:_MAX_BYTES])
        node = _Node.model_validate(table)
    except OSError as error:
        raise LocalError(
            "CONFIG_MISSING",
            f"cannot read {place} ({error.strerror})",
            "Name the node's directory with --data",
        ) from error
    except ValidationError as error:
        raise LocalError(
            "CONFIG_INVALID",
            f"{place} is not valid: {first_problem(error)}",
            "Correct that field; see docs/hospital.md",
        ) from error
    except ValueError as error:
        raise LocalError(
            "CONFIG_SYNTAX", f"{place} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error  # fmt: skip
    try:
        officers = parse_officers(node.officers)
    except ValueError as error:
        raise LocalError(
            "CONFIG_INVALID", f"{place} is not valid: officers: {error}", "Correct that field"
        ) from error
    return Hospital(
        directory,
        node.name,
        officers,
        {
            one.id: tuple(str(column.get("name")) for column in (*one.columns, *one.derived))
            for one in node.datasets
        },
        {one.id: directory / one.policy for one in node.datasets},
    )
