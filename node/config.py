"""`node.toml`: who this node is, which datasets it holds, and the policy file of each.

name = "hospital-north"

[[datasets]]
policy = "policy.toml"          # relative to node.toml
id = "hospital-north/flchain"
...                             # see node.data.dataset
"""

import tomllib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import LocalError
from node.admission import Holding
from node.data.dataset import Dataset
from policies import policy as policies
from policies.document import first_problem
from policies.errors import PolicyError

_MAX_BYTES = 1 << 20
# A decision repeats what a policy allows, beside the job and its permit, in one entry of the log.
_MAX_POLICY_BYTES = 12_000


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


class NodeConfig(BaseModel):
    """The parsed `node.toml`.

    `give_up_seconds`: for how long a coordinator that has gone is sought before the node ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    datasets: Annotated[tuple[dict[str, Any], ...], Field(min_length=1, max_length=100)]
    allow_weaker_isolation: bool = False
    messages_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 1200
    give_up_seconds: Annotated[int, Field(ge=1, le=7 * 86_400)] = 60


def load(paths: Paths) -> NodeConfig:
    """Read `node.toml`. Raises `LocalError`: CONFIG_MISSING, CONFIG_SYNTAX, CONFIG_INVALID."""
    content = _read(paths.config, "CONFIG_MISSING", "Run `commensal node init` to write one")
    try:
        table = tomllib.loads(content.decode(), parse_float=Decimal)
        return NodeConfig.model_validate(table)
    except ValidationError as error:
        raise LocalError(
            "CONFIG_INVALID",
            f"{paths.config} is not valid: {first_problem(error)}",
            "Correct that field; see docs/hospital.md",
        ) from error
    except (ValueError, InvalidOperation, RecursionError) as error:
        raise LocalError(
            "CONFIG_SYNTAX", f"{paths.config} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error  # fmt: skip


def holdings(paths: Paths, config: NodeConfig) -> tuple[Holding, ...]:
    """Every dataset with its policy, checked against each other before anything starts.

    Raises `LocalError`: CONFIG_INVALID, DATASET_NOT_OURS, POLICY_DATASET, POLICY_COLUMN,
    POLICY_TOO_LARGE;
    `PolicyError` for a policy that cannot be read.
    """
    found = tuple(_holding(paths, config, table) for table in config.datasets)
    names = [holding.dataset.id for holding in found]
    for name in names:
        if names.count(name) > 1:
            raise LocalError(
                "CONFIG_INVALID",
                f"dataset {name} occurs twice in {paths.config}",
                "Only one policy can decide on a dataset",
            )
    sources = [holding.dataset.source.path.resolve() for holding in found]
    for source in sources:
        if sources.count(source) > 1:
            raise LocalError(
                "CONFIG_INVALID",
                f"{source} is the source of two datasets in {paths.config}",
                "The same people must not have two budgets: offer the file once",
            )
    return found


def _holding(paths: Paths, config: NodeConfig, table: dict[str, Any]) -> Holding:
    rest = {key: value for key, value in table.items() if key != "policy"}
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
    place = paths.root / str(table.get("policy", "policy.toml"))
    try:
        content = _read(place, "POLICY_MISSING", "Without a policy nothing is allowed")
        policy = policies.parse(content, str(place))
    except PolicyError as error:
        raise LocalError(error.code, error.message, error.remedy) from error
    _check_policy(policy, dataset, place)
    return Holding(dataset, policy)


def _check_policy(policy: policies.Policy, dataset: Dataset, place: Path) -> None:
    if policy.dataset != dataset.id:
        raise LocalError(
            "POLICY_DATASET",
            f"the policy {place} is for {policy.dataset}, not for {dataset.id}",
            "Name the right policy file beside the dataset in node.toml",
        )
    if len(policy.encode()) > _MAX_POLICY_BYTES:
        raise LocalError(
            "POLICY_TOO_LARGE",
            f"the policy {place} is larger than {_MAX_POLICY_BYTES} bytes",
            "It must fit into one entry of the log: name fewer or shorter columns",
        )
    missing = [name for name in policy.columns if dataset.schema.find(name) is None]
    if missing:
        raise LocalError(
            "POLICY_COLUMN",
            f"the policy {place} names column {missing[0]}, which {dataset.id} does not have",
            f"The dataset's columns are: {', '.join(dataset.schema.names)}",
        )


def _read(path: Path, code: str, remedy: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise LocalError(code, f"cannot read {path} ({error.strerror})", remedy) from error
    if len(content) > _MAX_BYTES:
        raise LocalError(code, f"{path} is larger than {_MAX_BYTES} bytes", remedy)
    return content
