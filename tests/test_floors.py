"""Imports point down only: policies < connector < node, coordinator; the last two never meet."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "policies": set(),
    "connector": {"policies"},
    "node": {"policies", "connector"},
    "coordinator": {"policies", "connector"},
}
OURS = set(MAY_IMPORT)


def _imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import hides its floor"
            found.add((node.module or "").partition(".")[0])
    return found & OURS


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        assert _imports(file) <= MAY_IMPORT[package] | {package}, file


def test_only_one_package_touches_flower() -> None:
    for package in OURS:
        for file in (ROOT / package).rglob("*.py"):
            touches = "flwr" in {
                name.partition(".")[0]
                for node in ast.walk(ast.parse(file.read_text()))
                for name in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
            }
            assert not touches or file.is_relative_to(ROOT / "connector" / "flower"), file


def test_only_the_gate_seals_what_a_node_sends() -> None:
    for file in (ROOT / "node").rglob("*.py"):
        if file.name != "gate.py":
            assert "messages.seal(" not in file.read_text(), file
    gate = (ROOT / "node" / "gate.py").read_text()
    assert gate.count("messages.seal(") == 1


@pytest.mark.parametrize("word", ["pickle", "marshal", "shelve", "dill", "cloudpickle"])
def test_nothing_that_executes_what_it_reads_is_imported(word: str) -> None:
    for package in OURS:
        for file in (ROOT / package).rglob("*.py"):
            names = {
                alias.name
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Import)
                for alias in node.names
            }
            assert word not in names, file
