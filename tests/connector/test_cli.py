"""The command: quick to start, one line for every error, and never a traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from connector import cli
from connector.errors import LocalError

VERBS = ("audit", "conformance", "coordinator", "demo", "node", "policy")
HEAVY = ("torch", "numpy", "flwr", "sqlalchemy", "pydantic", "opacus", "rich", "httpx")


def commensal(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own; what it had imported is the last line of stdout."""
    script = (
        "import sys\nfrom connector.cli import main\n"
        f"sys.argv[1:] = {list(arguments)!r}\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command in this process; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["commensal", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """The exit code of a verb that raises `error`."""

    @click.command()
    def verb() -> None:
        raise error

    monkeypatch.setattr(cli.LazyCommands, "get_command", lambda *_: verb)
    return run(monkeypatch, "verb")


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_help_lists_every_verb_and_imports_nothing_heavy() -> None:
    done = commensal("--help")
    assert done.returncode == 0, done.stderr
    *text, imported = done.stdout.splitlines()
    listed = {line.split()[0] for line in text if line.startswith("  ") and line.strip()}
    assert set(VERBS) <= listed
    for name in VERBS:
        assert cli._SUMMARIES[name].split()[0] in done.stdout
    assert not set(HEAVY) & set(imported.split())


def test_the_verbs_are_those_of_the_summaries() -> None:
    assert tuple(sorted(cli._installed())) == VERBS == tuple(sorted(cli._SUMMARIES))


def test_the_version_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("commensal 0.")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run(monkeypatch, verb, "--help") == 0
    assert f"commensal {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("dance",), ("--dance",), ("coordinator", "dance")])
def test_an_unknown_verb_or_option_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "dance" in err
    assert "Traceback" not in err


def test_an_error_of_ours_is_one_line_with_its_remedy_and_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(monkeypatch, LocalError("KEY_LOST", "the key is gone", "Look for it")) == 1
    assert one_line(capsys) == "commensal: the key is gone. Look for it [KEY_LOST]\n"


@pytest.mark.parametrize(
    ("error", "names"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/log"), "/data/log"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left"),
        (PermissionError(errno.EACCES, "Permission denied", Path("/data")), "/data"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_of_the_system_is_one_line_that_names_the_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: OSError, names: str
) -> None:
    assert failing(monkeypatch, error) == 1
    line = one_line(capsys)
    assert line.startswith("commensal: ")
    assert line.endswith("[FILE_SYSTEM]\n")
    assert names in line
    assert "Check the path" in line


@pytest.mark.parametrize(
    ("error", "code"),
    [(KeyboardInterrupt(), 130), (BrokenPipeError(), 141), (click.exceptions.Exit(3), 3)],
)
def test_being_stopped_is_not_an_error_message(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    assert failing(monkeypatch, error) == code
    assert "FILE_SYSTEM" not in capsys.readouterr().err


def test_a_programming_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def verb() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.LazyCommands, "get_command", lambda *_: verb)
    monkeypatch.setattr(sys, "argv", ["commensal", "verb"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize(
    ("verb", "package", "extra"),
    [("coordinator", "sqlalchemy", "coordinator"), ("node", "pyarrow", "node")],
)
def test_a_missing_extra_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
    package: str,
    extra: str,
) -> None:
    class Point:
        def load(self) -> Any:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(cli, "_installed", lambda: {verb: Point()})
    assert run(monkeypatch, verb, "--help") == 1
    err = capsys.readouterr().err
    assert package in err
    assert f"pip install 'commensal[{extra}]'" in err


@pytest.mark.parametrize(
    "arguments",
    [("coordinator", "init", "{}/x", "--name", "hdab"), ("node", "init", "{}/x", "--name", "a")],
)
def test_a_file_in_the_way_of_a_directory_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
) -> None:
    place = tmp_path / "file"
    place.write_text("")
    assert run(monkeypatch, *(word.format(place) for word in arguments)) == 1
    line = one_line(capsys)
    assert str(place) in line
    assert line.endswith("[FILE_SYSTEM]\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("verb", ["coordinator", "node"])
def test_a_directory_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: str
) -> None:
    tmp_path.chmod(0o500)
    assert run(monkeypatch, verb, "init", str(tmp_path / "x"), "--name", "a") == 1
    assert str(tmp_path) in one_line(capsys)


def test_a_directory_on_a_read_only_file_system_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert run(monkeypatch, "node", "init", str(tmp_path / "x"), "--name", "a") == 1
    assert f"{tmp_path / 'x'}: Read-only file system" in one_line(capsys)
