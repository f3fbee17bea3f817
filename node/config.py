"""`node.toml`: who this node is, whom it obeys, which datasets it holds, and the policy of each.

A policy's file is a proposal: what decides is the active policy in the log.

name = "hospital-north"
officers = ["alice+...", "bob+..."]   # see connector.authoring.officers

[[datasets]]
policy = "policy.toml"          # relative to node.toml
id = "hospital-north/flchain"
...                             # see node.data.dataset
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from connector.authoring import instructions
from connector.authoring.officers import MOST, parse_officers
from connector.dsp.settings import NodeDataspace
from connector.errors import LocalError
from connector.identity.keys import VerifyKey
from node import description
from node.data.dataset import Dataset
from policies import policy as policies
from policies import toml
from policies.document import first_problem
from policies.errors import Error, PolicyError

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Paths:
    """Where things lie in a node's directory. `identity` and `log` are the node's own."""

    root: Path

    @property
    def config(self) -> Path:
        """The configuration that hospital IT writes."""
        return self.root / "node.toml"

    @property
    def signing_key(self) -> Path:
        """Ed25519, signs messages and the log."""
        return self.root / "identity" / "signing.key"

    @property
    def fleet_key(self) -> Path:
        """P-256, authenticates the connection to the coordinator."""
        return self.root / "identity" / "fleet.key"

    @property
    def authority(self) -> Path:
        """The coordinator's certificate authority, pinned at enrolment."""
        return self.root / "identity" / "ca.pem"

    @property
    def membership(self) -> Path:
        """The signed membership."""
        return self.root / "identity" / "membership.json"

    @property
    def coordinator(self) -> Path:
        """Address and key of the coordinator, pinned at enrolment."""
        return self.root / "identity" / "coordinator.json"

    @property
    def log(self) -> Path:
        """The audit log."""
        return self.root / "log"

    @property
    def inbox(self) -> Path:
        """Where officers hand in what they have signed."""
        return self.root / "inbox"


class NodeConfig(BaseModel):
    """The parsed `node.toml`.

    `officers`: public keys of the people whose signatures activate policies and answer permits.
    `dataspace`: that the node also serves the Dataspace Protocol, and where.
    `give_up_seconds`: for how long a coordinator that has gone is sought before the node ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    officers: Annotated[tuple[str, ...], Field(max_length=MOST)] = ()
    datasets: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=100)]
    allow_weaker_isolation: bool = False
    messages_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 1200
    give_up_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 60
    dataspace: NodeDataspace | None = None

    @field_validator("officers")
    @classmethod
    def _are_keys(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        parse_officers(lines)
        return lines

    @property
    def officer_keys(self) -> tuple[VerifyKey, ...]:
        """The officers' public keys."""
        return parse_officers(self.officers)


@dataclass(frozen=True)
class Holding:
    """A dataset of this hospital, with the policy that its file proposes."""

    dataset: Dataset
    policy: policies.Policy


def load(paths: Paths) -> NodeConfig:
    """Read `node.toml`. Raises `LocalError`: CONFIG_MISSING, CONFIG_SYNTAX, CONFIG_INVALID."""
    content = _read(paths.config, "CONFIG_MISSING", "Run `commensal node init` to write one")
    try:
        table = toml.load(content)
        return NodeConfig.model_validate(table)
    except ValidationError as error:
        raise LocalError(
            "CONFIG_INVALID",
            f"{paths.config} is not valid: {first_problem(error)}",
            "Correct that field; see docs/hospital.md",
        ) from error
    except ValueError as error:
        raise LocalError(
            "CONFIG_SYNTAX", f"{paths.config} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error  # fmt: skip


def datasets(paths: Paths, config: NodeConfig) -> tuple[Dataset, ...]:
    """Every dataset, checked before anything starts.

    Raises `LocalError`: CONFIG_INVALID, DATASET_NOT_OURS.
    """
    found = tuple(_dataset(paths, config, table) for table in config.datasets)
    names = [dataset.id for dataset in found]
    for name in names:
        if names.count(name) > 1:
            raise LocalError(
                "CONFIG_INVALID",
                f"dataset {name} occurs twice in {paths.config}",
                "Only one policy can decide on a dataset",
            )
    sources = [dataset.source.path.resolve() for dataset in found]
    for source in sources:
        if sources.count(source) > 1:
            raise LocalError(
                "CONFIG_INVALID",
                f"{source} is the source of two datasets in {paths.config}",
                "The same people must not have two budgets: offer the file once",
            )
    return found


def holdings(paths: Paths, config: NodeConfig) -> tuple[Holding, ...]:
    """Every dataset with the policy that its file proposes, checked against each other.

    Raises `LocalError`: those of `datasets`, POLICY_MISSING, POLICY_DATASET, POLICY_COLUMN,
    POLICY_TOO_LARGE, and what makes a policy unreadable.
    """
    found = datasets(paths, config)
    return tuple(
        Holding(dataset, _policy(policy_place(paths, table), dataset))
        for dataset, table in zip(found, config.datasets, strict=True)
    )


def misfit(active: policies.Policy, dataset: Dataset) -> str:
    """Why the active policy of a dataset does not fit it any more, in words; empty if it does."""
    try:
        instructions.check_policy(active, {dataset.id: dataset.schema.names})
    except Error as error:
        return f"the active one does not fit: {error.message}. Activate one that does"
    return ""


def policy_place(paths: Paths, table: dict[str, Any]) -> Path:
    """The file that proposes a policy for a dataset of `node.toml`."""
    return paths.root / str(table.get("policy", "policy.toml"))


def _dataset(paths: Paths, config: NodeConfig, table: dict[str, Any]) -> Dataset:
    rest = {key: value for key, value in table.items() if key not in ("policy", "description")}
    try:
        dataset = Dataset.model_validate(rest).relative_to(paths.root)
    except ValidationError as error:
        raise LocalError(
            "CONFIG_INVALID",
            f"a dataset in {paths.config} is not valid: {first_problem(error)}",
            "Correct that field; see docs/hospital.md",
        ) from error
    if dataset.id.partition("/")[0] != config.name:
        raise LocalError(
            "DATASET_NOT_OURS",
            f"dataset {dataset.id} in {paths.config} does not begin with {config.name}/",
            "A dataset's id is <node name>/<dataset>",
        )
    description.parse(table.get("description", {}), dataset, str(paths.config))
    return dataset


def _policy(place: Path, dataset: Dataset) -> policies.Policy:
    try:
        content = _read(place, "POLICY_MISSING", "Without a policy nothing is allowed")
        policy = policies.parse(content, str(place))
        _check_policy(policy, dataset, place)
    except PolicyError as error:
        raise LocalError(error.code, error.message, error.remedy) from error
    return policy


def _check_policy(policy: policies.Policy, dataset: Dataset, place: Path) -> None:
    if policy.dataset != dataset.id:
        raise LocalError(
            "POLICY_DATASET",
            f"the policy {place} is for {policy.dataset}, not for {dataset.id}",
            "Name the right policy file beside the dataset in node.toml",
        )
    instructions.check_policy(policy, {dataset.id: dataset.schema.names}, str(place))


def _read(path: Path, code: str, remedy: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise LocalError(code, f"cannot read {path} ({error.strerror})", remedy) from error
    if len(content) > _MAX_BYTES:
        raise LocalError(code, f"{path} is larger than {_MAX_BYTES} bytes", remedy)
    return content
