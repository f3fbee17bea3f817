"""What README and guides show is what the commands and models take."""

import contextlib
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from connector import frames
from connector.cli import commensal
from connector.features import FeatureMap
from connector.protocol import Offer
from connector.schema import Column
from coordinator import permits
from coordinator.config import CoordinatorConfig
from coordinator.jobs import plan
from coordinator.views import RULES
from node import config
from node.data import dataset
from policies import examples
from policies import policy as policies
from policies.permit import Permit
from policies.policy import Policy, PrivacyBudget

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PLACE = r"`((?:[\w.]+/)+[\w.]*)`"


def _text(page: Path) -> str:
    return page.read_text()


def _blocks(page: Path, *languages: str) -> list[str]:
    return [body for language, body in _BLOCK.findall(_text(page)) if language in languages]


def _to_type(page: Path) -> Iterator[str]:
    """Shell lines as a reader would type them."""
    for body in _blocks(page, "sh", "ini"):
        yield from body.splitlines()
    for body in _blocks(page, "console"):
        yield from (line[2:] for line in body.splitlines() if line.startswith("$ "))


def _mentions(page: Path) -> list[str]:
    """Commands in running text, which may leave their arguments out."""
    return re.findall(r"`((?:\.venv/bin/)?commensal [^`\n]+)`", _BLOCK.sub("", _text(page)))


def _commands(lines: Callable[[Path], Iterable[str]]) -> list[Any]:
    found = []
    for page in PAGES:
        for line in lines(page):
            for part in re.split(r"[|;<>]|&&|#", line):
                words = shlex.split(part.replace("ExecStart=", ""))
                if words and words[0].rpartition("/")[2] == "commensal":
                    case = f"{page.name}: {part.strip()}"
                    found.append(pytest.param(tuple(words[1:]), id=case))
    return found


def _parse(command: click.Command, words: list[str]) -> None:
    """Parse as click would, down to the last verb, and run nothing."""
    context = command.make_context(command.name, list(words))
    with context:
        rest = [
            *getattr(context, "_protected_args", ()),
            *context.args,
        ]  # click 8 keeps verbs apart
        if isinstance(command, click.Group) and rest:
            _, verb, rest = command.resolve_command(context, rest)
            assert verb is not None
            _parse(verb, rest)


def test_the_guides_show_commands_of_every_kind() -> None:
    shown = {case.values[0][:2] for case in _commands(_to_type)}
    verbs = ("init", "check", "enrol", "run", "budget")
    assert shown >= {("node", verb) for verb in verbs} | {("audit", "verify"), ("audit", "show")}


@pytest.mark.parametrize("words", _commands(_to_type))
def test_a_command_to_type_is_one_with_all_its_arguments(words: tuple[str, ...]) -> None:
    _parse(commensal, list(words))


@pytest.mark.parametrize("words", _commands(_mentions))
def test_a_command_that_a_text_names_exists_with_its_options(words: tuple[str, ...]) -> None:
    with contextlib.suppress(click.MissingParameter):
        _parse(commensal, list(words))


@pytest.mark.parametrize(
    "words", [("node", "start", "north"), ("node", "check", "north", "--quick"), ("node", "check")]
)
def test_a_command_that_does_not_exist_would_be_noticed(words: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        _parse(commensal, list(words))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(_text(page)):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_every_file_and_test_of_the_threat_model_exists() -> None:
    text = _text(ROOT / "docs" / "threat-model.md")
    places, names = re.findall(_PLACE, text), set(re.findall(r"`(test_\w+)`", text))
    assert places
    assert names
    for place in places:
        assert (ROOT / place).exists(), place
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    assert not [name for name in names if f"def {name}(" not in tests]


def _toml(page: str, kind: str) -> dict[str, Any]:
    """The TOML block of a guide that begins with `# <kind>`."""
    for body in _blocks(ROOT / "docs" / page, "toml"):
        if body.startswith(f"# {kind}"):
            return tomllib.loads(body, parse_float=Decimal)
    raise AssertionError(f"{page} shows no {kind}")


def test_every_toml_block_says_which_file_it_is_and_is_toml() -> None:
    known = (
        "node.toml", "policy.toml", "policy.examples.toml", "permit.toml", "job.toml",
        "coordinator.toml",
    )  # fmt: skip
    for page in PAGES:
        for body in _blocks(page, "toml"):
            assert body.startswith(tuple(f"# {name}" for name in known)), page
            tomllib.loads(body)


def _write(directory: Path, page: str, kind: str) -> bytes:
    body = next(b for b in _blocks(ROOT / "docs" / page, "toml") if b.startswith(f"# {kind}"))
    (directory / kind).write_text(body)
    return body.encode()


def test_the_node_and_its_policy_fit_each_other(tmp_path: Path) -> None:
    _write(tmp_path, "hospital.md", "node.toml")
    _write(tmp_path, "hospital.md", "policy.toml")
    paths = config.Paths(tmp_path)
    (holding,) = config.holdings(paths, config.load(paths))
    assert holding.dataset.schema.names == holding.policy.columns


def test_the_policy_of_the_guide_can_be_activated_with_its_examples() -> None:
    found = {
        kind: next(
            body for body in _blocks(ROOT / "docs" / "hospital.md", "toml")
            if body.startswith(f"# {kind}")
        )
        for kind in ("policy.toml", "policy.examples.toml")
    }  # fmt: skip
    policy = policies.parse(found["policy.toml"].encode(), "policy.toml")
    shown = examples.load(found["policy.examples.toml"].encode(), "policy.examples.toml")
    assert examples.run(policy, shown).objection == ""


def test_the_job_fits_the_permit_and_the_offer(tmp_path: Path) -> None:
    permit = permits.parse(_write(tmp_path, "hdab.md", "permit.toml"), "permit.toml", "hdab-demo")
    job = plan.parse(_write(tmp_path, "researcher.md", "job.toml"), "job.toml")
    _write(tmp_path, "hospital.md", "node.toml")
    _write(tmp_path, "hospital.md", "policy.toml")
    paths = config.Paths(tmp_path)
    (holding,) = config.holdings(paths, config.load(paths))
    offer = Offer.parse(
        {
            "dataset": holding.dataset.id,
            "title": holding.dataset.title,
            "schema": holding.dataset.schema.model_dump(mode="json"),
            "policy": holding.policy.model_dump(mode="json", exclude={"budget"}),
        }
    )
    now = datetime(2026, 12, 1, tzinfo=UTC)
    spec = plan.specify(job, permit, dict.fromkeys(job.datasets, offer), now)
    assert job.permit == permit.id
    assert set(spec.datasets) <= set(permit.datasets)
    assert set(spec.columns) <= set(permit.columns)
    assert set(spec.tasks) <= set(permit.tasks)
    # The noise that the guide quotes from the label.
    noise = str(spec.training.mechanism.noise_multiplier)
    assert noise in _text(ROOT / "docs" / "researcher.md")


def test_the_coordinators_configuration_is_one() -> None:
    CoordinatorConfig.model_validate(_toml("hdab.md", "coordinator.toml"))


def _models(page: str) -> list[Any]:
    described = (dataset.Dataset, dataset.SourceColumn, dataset.EventWithin, dataset.Above)
    found: dict[str, list[Any]] = {
        "hospital.md": [
            config.NodeConfig, *described, dataset.CsvSource, dataset.ParquetSource, Policy,
            PrivacyBudget,
        ],
        "hdab.md": [CoordinatorConfig, Permit],
        "researcher.md": [plan.Application],
    }  # fmt: skip
    return found[page]


@pytest.mark.parametrize("page", ["hospital.md", "hdab.md", "researcher.md"])
def test_a_reference_names_every_field(page: str) -> None:
    text = _text(ROOT / "docs" / page)
    for model in _models(page):
        for name in model.model_fields:
            assert f"`{name}`" in text or f"`{name} = " in text, f"{model.__name__}.{name}"


@pytest.mark.parametrize("page", ["hospital.md", "hdab.md", "researcher.md"])
def test_a_reference_gives_the_real_defaults(page: str) -> None:
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in _text(ROOT / "docs" / page).splitlines()
        if line.startswith("| `")
    ]
    checked = 0
    for model in _models(page):
        for name, field in model.model_fields.items():
            if type(field.default) in (int, str, Decimal) and field.default and name != "max_bytes":
                row = next(row for row in rows if name in re.split(r"`, `", row[0]))
                assert str(field.default) in row[1:-1], f"{model.__name__}.{name}: {row}"
                checked += 1
    assert checked


def test_every_rule_that_can_refuse_is_explained() -> None:
    text = _text(ROOT / "docs" / "researcher.md")
    points = {f"ehds.art54.{letter}" for letter in "bcd"}  # "`ehds.art54.a` to `ehds.art54.e`"
    assert not [rule for rule in set(RULES) - points if f"`{rule}`" not in text]


def test_every_code_that_a_guide_explains_exists() -> None:
    code = "\n".join(
        file.read_text()
        for package in ("policies", "connector", "node", "coordinator")
        for file in (ROOT / package).rglob("*.py")
    )
    for page in PAGES:
        for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", _text(page)):
            assert f'"{name}"' in code, f"{page.name}: {name}"


def test_the_programs_for_researchers_run(tmp_path: Path) -> None:
    columns = (
        Column(name="age", kind="numeric", minimum=Decimal(50), maximum=Decimal(100)),
        Column(name="female", kind="binary"),
        Column(
            name="creatinine", kind="numeric", nullable=True, transform="log",
            minimum=Decimal("0.3"), maximum=Decimal(5),
        ),
    )  # fmt: skip
    features = FeatureMap(columns=columns, outcome=Column(name="died", kind="binary"))
    weights = np.array([1, 2, 4, 8, -9], dtype=np.float32)
    header = {"features": features.model_dump(mode="json"), "training": "training.logistic"}
    (tmp_path / "model.cmf").write_bytes(frames.pack(header, {"parameters": weights}))
    programs = {
        body.splitlines()[0]: body for body in _blocks(ROOT / "docs/researcher.md", "python")
    }
    done = subprocess.run(
        [sys.executable, "-c", programs["# score.py"]], cwd=tmp_path, capture_output=True,
        check=True, text=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    risk = float(done.stdout.rpartition("[")[2].rstrip("]\n"))
    # age 71 of 50 to 100 is -0.16; female; creatinine missing; bias -9
    assert risk == pytest.approx(1 / (1 + np.exp(-(-0.16 + 2 + 8 - 9))))
    assert "creatinine missing" in done.stdout
    compile(programs["# label.py, with the body's key as argument"], "label.py", "exec")
