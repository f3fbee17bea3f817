"""Policies that nobody should write: refused on the command line, in one line, within bounds."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.authoring import files
from connector.authoring.cli import policy as command
from policies.errors import Error

GIGABYTE = 1 << 30
GOOD, _ = files.template("training")
CONTEXT = "http://www.w3.org/ns/odrl.jsonld"
RULE = {"action": "use", "target": "urn:x"}


def odrl(**fields: object) -> str:
    form = {"@context": CONTEXT, "@type": "Set", "uid": "urn:a", "permission": [RULE]}
    return json.dumps(form | fields)


def replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def bounded(operand: str, right: object) -> str:
    constraint = {"leftOperand": operand, "operator": "lteq", "rightOperand": right}
    return odrl(permission=[RULE | {"constraint": [constraint]}])


# name: (content, code, what the line names)
BAD: dict[str, tuple[str | bytes, str, str]] = {
    "large.toml": ("#" * 10_000_000, "POLICY_TOO_LARGE", "262144 bytes"),
    "large.jsonld": ('{"a":"' + "x" * 10_000_000 + '"}', "POLICY_TOO_LARGE", "262144 bytes"),
    "long.toml": ("#" * 262_145, "POLICY_TOO_LARGE", "262144 bytes"),
    "deep.toml": ("x = " + "[" * 10_000 + "]" * 10_000, "POLICY_SYNTAX", "nested too deeply"),
    "dotted.toml": ("a." * 130_000 + "a = 1", "POLICY_SYNTAX", "dotted parts"),
    "huge.toml": (
        replaced("version = 1", "version = 0x" + "f" * 100_000), "POLICY_INVALID", "version: ",
    ),
    "exponent.toml": (replaced("= 100", "= 1e99999999"), "POLICY_INVALID", "minimum_cohort: "),
    "bom.toml": ("\ufeff" + GOOD, "POLICY_SYNTAX", "byte order mark (BOM)"),
    "bom.jsonld": ("\ufeff" + odrl(), "POLICY_SYNTAX", "byte order mark (BOM)"),
    "deep.jsonld": ('{"a":' * 10_000 + "1" + "}" * 10_000, "ODRL_TOO_LARGE", "deeper than 64"),
    "arrays.jsonld": ('{"a":' + "[" * 10_000 + "]" * 10_000 + "}", "ODRL_TOO_LARGE", "$"),
    "open.jsonld": ("{" * 10_000, "ODRL_TOO_LARGE", "$"),
    "many.jsonld": (odrl(permission=[1] * 60_000), "ODRL_TOO_LARGE", "$"),
    "twice.toml": ("version = 1\n" + GOOD, "POLICY_SYNTAX", "at line"),
    "table.toml": (GOOD + "\n[budget]\n", "POLICY_SYNTAX", "budget"),
    "twice.jsonld": ('{"@context": "x", "uid": "urn:a", "uid": "urn:b"}', "ODRL_SYNTAX", "$.uid"),
    "unknown.toml": ("colour = 1\n" + GOOD, "POLICY_INVALID", "colour"),
    "unknown.jsonld": (odrl(colour=1), "ODRL_TERM", "$.colour"),
    "operand.jsonld": (bounded("moonPhase", 1), "ODRL_TERM", "$.permission[0].constraint[0]"),
    "key.toml": ('"a\\nb\\u001b[2J" = 1\n' + GOOD, "POLICY_INVALID", "*"),
    "version.toml": (replaced("version = 1", 'version = "1"'), "POLICY_INVALID", "version"),
    "true.toml": (replaced("version = 1", "version = true"), "POLICY_INVALID", "version"),
    "cohort.toml": (replaced("= 100", '= "100"'), "POLICY_INVALID", "minimum_cohort"),
    "epsilon.toml": (
        replaced("epsilon = 3.0", 'epsilon = "3.0"'), "POLICY_INVALID", "budget.epsilon",
    ),
    "count.jsonld": (bounded("count", "five"), "ODRL_VALUE", "$.permission[0].constraint[0]"),
    "nan.jsonld": (bounded("count", float("nan")), "ODRL_VALUE", "$.permission[0].constraint[0]"),
    "time.toml": (
        replaced("2027-01-01T00:00:00Z", '"2027-01-01T00:00:00Z"'), "POLICY_INVALID", "not_before",
    ),
    "zone.toml": (replaced("01-01T00:00:00Z", "01-01T00:00:00"), "POLICY_INVALID", "not_before"),
    "cycle.jsonld": (odrl(inheritFrom="urn:a"), "ODRL_CYCLE", "$.inheritFrom[0]"),
    "bytes.toml": (b"\xff\xfe\x00", "POLICY_SYNTAX", "utf-8"),
    "bytes.jsonld": (b"{\xff}", "ODRL_SYNTAX", "$"),
    "empty.toml": ("", "POLICY_INVALID", "id"),
    "empty.jsonld": ("{}", "ODRL_SYNTAX", "@context"),
    "prohibited.toml": (
        replaced('"scientific-research"', '"advertising"'), "POLICY_INVALID", "purposes",
    ),
}  # fmt: skip


def write(directory: Path, name: str) -> tuple[Path, str, str]:
    content, code, named = BAD[name]
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path, code, named


@pytest.mark.parametrize("name", BAD)
def test_it_is_refused_with_its_path_and_reason_by_every_verb(tmp_path: Path, name: str) -> None:
    path, code, named = write(tmp_path, name)
    for verb in (("check", path), ("show", path), ("test", path), ("diff", path, path)):
        error = CliRunner().invoke(command, [str(word) for word in verb]).exception
        assert isinstance(error, Error), error
        line = error.diagnostics()
        assert error.code == code
        assert str(path) in line
        assert named in line
        assert error.remedy
        assert len(line) < 600
        assert line.isprintable()


@pytest.mark.parametrize("examples", [False, True])
def test_a_pipe_or_a_device_is_refused_and_not_waited_for(
    tmp_path: Path, *, examples: bool
) -> None:
    good = tmp_path / "good.toml"
    good.write_text(GOOD)
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        done = _in_a_process(*(("test", good, "--examples") if examples else ("check",)), path)
        assert done.returncode == 1, done.stderr
        assert done.stderr.startswith(f"commensal: {path} is not a regular file")
        assert done.stderr.count("\n") == 1
        assert done.stderr.endswith(f"[{'EXAMPLES' if examples else 'POLICY'}_MISSING]\n")


def test_contradictory_dates_are_an_error_of_the_check(tmp_path: Path) -> None:
    path = tmp_path / "dates.toml"
    path.write_text(replaced("not_after = 2028", "not_after = 2026"))
    outcome = CliRunner().invoke(command, ["check", str(path)])
    assert outcome.exit_code == 1
    assert "✗ not_after: " in outcome.output
    assert "DATES_CONTRADICT" in outcome.output


def test_one_after_another_in_a_real_process_with_little_memory(tmp_path: Path) -> None:
    """Each is one line on stderr and exit code 1, within a gigabyte of address space."""
    for name in ("large.jsonld", "deep.jsonld", "deep.toml", "many.jsonld", "cycle.jsonld"):
        path, code, _ = write(tmp_path, name)
        done = _in_a_process("check", path)
        assert done.returncode == 1, done.stderr
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("commensal: ")
        assert done.stderr.endswith(f"[{code}]\n")


def _in_a_process(*words: object) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys\nfrom connector.cli import main\n"
        f"sys.argv[1:] = {['policy', *map(str, words)]!r}\nmain()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60,
        check=False, preexec_fn=_little_memory,
    )  # fmt: skip


def _little_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTE, GIGABYTE))


def _mutations(text: str) -> Callable[[tuple[int, int, str]], str]:
    def mutate(change: tuple[int, int, str]) -> str:
        start, length, inserted = change
        place = start % (len(text) + 1)
        return text[:place] + inserted + text[place + length :]

    return mutate


_CHANGES = st.tuples(st.integers(0, 10_000), st.integers(0, 40), st.text(max_size=20))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.one_of(
        _CHANGES.map(_mutations(GOOD)),
        _CHANGES.map(_mutations(bounded("count", 5))),
        st.text(max_size=300),
        st.text(max_size=300).map("{{{}".format),
    )
)
def test_no_file_reaches_a_traceback(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    outcome = CliRunner().invoke(command, ["check", str(path)])
    if isinstance(outcome.exception, Error):
        assert "\n" not in outcome.exception.diagnostics()
    else:
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
        assert outcome.output
