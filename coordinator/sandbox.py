"""A whole data space on one machine: real processes, real TLS, nothing left behind.

Everything is done with the commands that an operator would type; this module only starts them,
waits for them, and cleans up. It never reads a node's records from a running node.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self, TypeVar

from connector.authoring import activation
from connector.authoring.officers import create, read_hospital
from connector.clock import utc_now
from connector.errors import LocalError
from connector.identity.keys import SigningKey
from coordinator import office
from coordinator.office import Office

T = TypeVar("T")
_STOP_SECONDS = 10.0
_READY_SECONDS = 60.0
# The two people of every simulated hospital who sign for its policies.
OFFICERS = ("alice", "bob")


@dataclass(frozen=True)
class Hospital:
    """A simulated hospital: its name and the files of its node's directory, by relative path.

    Officers are added to its node.toml, and sign for its policies, which need their examples.
    """

    name: str
    files: Mapping[str, str | Path]


@dataclass(frozen=True)
class Finished:
    """How a command ended, and what it printed."""

    code: int
    output: str
    errors: str


class Sandbox:
    """A coordinator and its hospitals in a temporary directory. Use it as a context manager."""

    def __init__(self, root: Path | None = None) -> None:
        self._own = root is None
        self.root = root or Path(tempfile.mkdtemp(prefix="commensal-"))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._office: Office | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def office(self) -> Office:
        """The coordinator's desk."""
        if self._office is None:
            self._office = Office.open(self.root / "coordinator")
        return self._office

    def start_coordinator(self, name: str = "hdab") -> None:
        """Create a coordinator (once) and run it, on a port that the system chooses."""
        directory = self.root / "coordinator"
        if not directory.exists():
            office.create(directory, name, "127.0.0.1", 0)
        address = directory / "address"
        address.unlink(missing_ok=True)  # what a killed coordinator left is no sign of life
        self._start("coordinator", "coordinator", "run", str(directory))
        self.wait_for("coordinator", lambda: address.exists() or None)

    def keep_port(self) -> None:
        """Configure the port that was chosen, so that nodes find a restarted coordinator again."""
        port = self.office.address().rpartition(":")[2]
        config = self.office.paths.config
        config.write_text(config.read_text().replace("port = 0\n", f"port = {port}\n"))

    def prepare(self, hospital: Hospital) -> Path:
        """Write a node's directory, and have two officers activate its policies.

        Paths to files are linked, text is written.
        """
        directory = self.directory(hospital.name)
        directory.mkdir(mode=0o700)
        for name, content in hospital.files.items():
            if isinstance(content, Path):
                (directory / name).symlink_to(content.resolve())
            else:
                (directory / name).write_text(content)
        self._appoint(hospital.name)
        for policy in dict.fromkeys(read_hospital(directory).policies.values()):
            self.activate(hospital.name, policy)
        return directory

    def activate(self, name: str, policy: Path) -> None:
        """Have both officers of a hospital sign for a policy, as `commensal policy activate`."""
        for officer in OFFICERS:
            key = SigningKey.load(self.officer_key(name, officer))
            draft = activation.prepare(policy, self.directory(name), key, utc_now())
            activation.sign(draft, key)

    def officer_key(self, name: str, officer: str) -> Path:
        """The key file of one of a hospital's officers; it lies outside of the node's directory."""
        return self.root / "officers" / f"{name}-{officer}.key"

    def _appoint(self, name: str) -> None:
        keys = [create(officer, self.officer_key(name, officer)).vkey for officer in OFFICERS]
        config = self.directory(name) / "node.toml"
        config.write_text(f"officers = {json.dumps(keys)}\n{config.read_text()}")

    def enrol(self, names: list[str]) -> None:
        """Invite and enrol nodes, all at once; the invitation goes through a pipe, not argv."""
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(self._enrol, names))

    def start_nodes(self, names: list[str]) -> None:
        """Run nodes, all at once, and wait until the coordinator knows what they offer."""
        now = utc_now()
        for name in names:
            self._start(name, "node", "run", str(self.directory(name)))
        self.wait_for_nodes(names, now)

    def wait_for_nodes(self, names: list[str], since: datetime) -> None:
        """Wait until the coordinator has spoken with these running nodes, after `since`."""
        for name in names:
            self.wait_for(name, lambda name=name: self._seen(name, since))  # type: ignore[misc] # default argument binds the loop's name

    def run_command(self, *arguments: str) -> str:
        """What one `commensal` command prints. Raises `LocalError` (COMMAND_FAILED)."""
        finished = self.attempt(*arguments)
        if finished.code:
            raise LocalError("COMMAND_FAILED", finished.errors.strip())
        return finished.output.rstrip()

    def attempt(self, *arguments: str, given: str = "") -> Finished:
        """Run one `commensal` command to its end, with `given` on its standard input."""
        finished = subprocess.run(  # noqa: S603 - our own command
            _command(*arguments), input=given.encode(), capture_output=True, check=False,
            timeout=_READY_SECONDS, env=environment() | {"COLUMNS": "80"},
        )  # fmt: skip
        output, errors = (
            part.decode(errors="replace") for part in (finished.stdout, finished.stderr)
        )
        return Finished(finished.returncode, output, errors)

    def stop(self, name: str) -> None:
        """Stop one process as its operator would (SIGTERM)."""
        process = self._processes.pop(name)
        _end(process)

    def kill(self, name: str) -> None:
        """Kill one process without warning (SIGKILL to its whole group)."""
        process = self._processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def wait_until_ended(self, name: str) -> int:
        """Wait for a process to end by itself; returns its exit code."""
        return self._processes.pop(name).wait(_READY_SECONDS)

    def directory(self, name: str) -> Path:
        """A participant's directory."""
        return self.root / name

    def output(self, name: str) -> str:
        """What a process has printed, over all of its starts."""
        path = self.root / f"{name}.out"
        return path.read_text(errors="replace") if path.exists() else ""

    def process_id(self, name: str) -> int:
        """The process id of a running participant."""
        return self._processes[name].pid

    def wait_for(self, name: str, found: Callable[[], T | None]) -> T:
        """Poll until `found` returns something. Raises `LocalError` when the process has ended."""
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            result = found()
            if result is not None:
                return result
            if self._processes[name].poll() is not None:
                raise LocalError("PROCESS_ENDED", f"{name} stopped: {self._last_line(name)}")
            time.sleep(0.02)
        raise LocalError(
            "PROCESS_SILENT",
            f"{name} was not ready within {_READY_SECONDS:.0f} s; last: {self._last_line(name)}",
        )

    def close(self) -> None:
        """Stop everything that was started and remove the directory."""
        with _uninterrupted():
            for process in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            for process in self._processes.values():
                _end(process)
            self._processes.clear()
            if self._office is not None:
                self._office.close()
                self._office = None
            if self._own:
                shutil.rmtree(self.root, ignore_errors=True)

    def _start(self, name: str, *arguments: str) -> None:
        # A session of its own, so that Ctrl-C reaches only the demo, which then stops the others.
        with (self.root / f"{name}.out").open("ab") as output, _interrupted_later():
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own command
                _command(*arguments), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, env=environment(),
            )  # fmt: skip

    def _enrol(self, name: str) -> None:
        line = self.office.invite(name).as_line()
        directory = str(self.directory(name))
        finished = self.attempt("node", "enrol", directory, "--invitation", "-", given=line)
        if finished.code:
            raise LocalError("ENROLMENT_FAILED", f"{name}: {finished.errors.strip()}")

    def _seen(self, name: str, since: datetime) -> bool | None:
        seen = {p.name: p.last_seen for p in self.office.participants()}.get(name)
        return (seen is not None and seen >= since) or None

    def _last_line(self, name: str) -> str:
        lines = self.output(name).strip().splitlines()
        return lines[-1] if lines else "it printed nothing"


def environment() -> dict[str, str]:
    """A child's environment: where to find programs, and this very source tree."""
    kept = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "HOME", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "PYTHONUNBUFFERED": "1"
    }


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "connector", *arguments]


def _end(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """A Ctrl-C between a process's start and its entry in the list would leave it behind."""
    caught: list[int] = []
    try:
        previous = {
            number: signal.signal(number, lambda caught_number, _: caught.append(caught_number))
            for number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # not the main thread: nobody can interrupt it
        yield
        return
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if caught:
        signal.raise_signal(caught[0])


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C, or the closing of the terminal, must not leave processes behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        previous = [(number, signal.signal(number, signal.SIG_IGN)) for number in numbers]
    except ValueError:  # not the main thread: nobody can interrupt it
        yield
        return
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
