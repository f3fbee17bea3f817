"""Policies, examples and templates as files: read within bounds, written only where nothing is."""

import re
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from connector.errors import LocalError
from connector.files import NotRegularError, open_regular, write_durably
from policies import examples as cases
from policies import policy as policies
from policies.errors import PolicyError
from policies.examples import Examples
from policies.odrl.lower import lower
from policies.odrl.model import Policy as Odrl
from policies.odrl.read import read
from policies.policy import Policy

MAX_BYTES = policies.MAX_BYTES
_REMEDY = "Correct it there; docs/hospital.md says what a policy may hold"
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,50}/[A-Za-z0-9][A-Za-z0-9._-]{0,60}")
_YEAR = timedelta(days=365)


class _Kind(NamedTuple):
    """What a file holds, and the codes of what can be wrong with it."""

    what: str
    missing: str
    too_large: str


_POLICY = _Kind("a policy", "POLICY_MISSING", "POLICY_TOO_LARGE")
_EXAMPLES = _Kind("examples", "EXAMPLES_MISSING", "EXAMPLES_TOO_LARGE")


@dataclass(frozen=True)
class Plain:
    """A policy in ODRL by which no node of ours can decide, and why not."""

    odrl: Odrl
    why: str


def read_any(path: Path) -> Policy | Plain:
    """A node's policy, or one in plain ODRL. Raises `PolicyError` for anything else, `LocalError`.

    POLICY_MISSING, POLICY_TOO_LARGE.
    """
    content = _read(path, _POLICY)
    try:
        return _parsed(content, path)
    except PolicyError as error:
        if not is_json(content):
            raise
        try:
            return Plain(read(content, {}), error.message)
        except PolicyError:
            raise error from None


def as_odrl(policy: Policy | Plain) -> Odrl:
    """A policy in ODRL, whatever it was written in."""
    return policy.odrl if isinstance(policy, Plain) else lower(policy)


def is_json(content: bytes) -> bool:
    """Whether a policy's file is ODRL in JSON-LD, and not TOML."""
    return content.lstrip()[:1] == b"{"


def read_policy(path: Path) -> Policy:
    """A node's policy. Raises `PolicyError`; `LocalError` as `read_any`."""
    return _parsed(_read(path, _POLICY), path)


def _parsed(content: bytes, path: Path) -> Policy:
    try:
        return policies.parse(content, str(path))
    except PolicyError as error:
        raise PolicyError(error.code, error.message, error.remedy or _REMEDY) from error


def beside(policy: Path) -> Path:
    """Where a policy's examples are: `policy.toml` has its own in `policy.examples.toml`."""
    return policy.with_name(f"{policy.stem}.examples.toml")


def read_examples(policy: Path, examples: Path | None) -> Examples:
    """The examples in a file, or those beside the policy.

    Raises `PolicyError`; `LocalError`: EXAMPLES_MISSING, EXAMPLES_TOO_LARGE.
    """
    path = examples or beside(policy)
    return cases.load(_read(path, _EXAMPLES), str(path))


def _read(path: Path, kind: _Kind) -> bytes:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise LocalError(
            kind.missing,
            f"there is no file {path} with {kind.what}",
            "Check the path; `commensal policy template` writes both a policy and its examples",
        ) from error
    except NotRegularError as error:
        raise LocalError(
            kind.missing,
            f"{path} is not a regular file, and {kind.what} can only be read from one",
            "Name a file; what comes out of a pipe or a device has to be saved first",
        ) from error
    if len(content) > MAX_BYTES:
        raise LocalError(
            kind.too_large,
            f"{path} has more than {MAX_BYTES} bytes, too many for {kind.what}",
            "Keep what decides something",
        )
    return content


def template(name: str) -> tuple[str, str]:
    """A ready policy and its examples, for invented columns and the year 2027."""
    directory = resources.files("policies") / "templates"
    return (
        (directory / f"{name}.toml").read_text(encoding="utf-8"),
        (directory / f"{name}.examples.toml").read_text(encoding="utf-8"),
    )


def write_template(name: str, dataset: str, out: Path, first: date) -> tuple[Path, Path]:
    """Write a ready policy for `dataset` and its examples to `out`, in force a year from `first`.

    Raises `LocalError`: DATASET_NAME, POLICY_EXISTS.
    """
    if not _DATASET.fullmatch(dataset):
        raise LocalError(
            "DATASET_NAME", "that is not the name of a dataset",
            "It is <node name>/<dataset>, as in node.toml: hospital-north/patients",
        )  # fmt: skip
    paths = (out / "policy.toml", out / "policy.examples.toml")
    for path in paths:
        if path.exists():
            raise LocalError("POLICY_EXISTS", f"{path} exists already", "It is not overwritten")
    words = _words(dataset, first)
    pattern = re.compile("|".join(map(re.escape, words)))
    for path, text in zip(paths, template(name), strict=True):
        content = pattern.sub(lambda word: words[word[0]], text)
        write_durably(path, content.encode(), mode=0o644)
    return paths


def _words(dataset: str, first: date) -> dict[str, str]:
    """What stands in a template for what a hospital has: the longest first."""
    end = first + _YEAR
    one = timedelta(days=1)
    return {
        '"hospital-north/patients"': f'"{dataset}"',
        '"hospital-north/': f'"{dataset.partition("/")[0]}/',
        "2026-12-31": f"{first - one}",
        "2027-01-01": f"{first}",
        "2027-12-31": f"{end - one}",
        "2028-01-01": f"{end}",
    }
