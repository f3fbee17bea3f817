"""The node's side of the process in which a job's tasks run.

The node never holds a record: it opens the file, hands the open descriptor to a child process, and
gets back counts and declared arrays. The child (`node.worker_child`) isolates itself; this side
believes it nothing: lengths are checked before they are read, codes against a closed list, time
against a deadline after which the whole process group is killed.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from pydantic import ValidationError

from connector import frames
from connector.errors import LocalError, RemoteError
from connector.features import FeatureMap
from connector.folds import Split
from node.data.dataset import Dataset
from node.worker_launch import Files, open_files, spawn
from node.worker_messages import FRAME_BYTES, LENGTH_BYTES, Facts, Start, reported

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

_CHUNK_BYTES = 1 << 20
_MAX_WAIT = (1 << 31) - 1  # milliseconds, what poll(2) can wait


@dataclass(frozen=True)
class Sandbox:
    """How a worker is confined, by the hospital's configuration.

    `forbidden`: files that must not open in there (the signing key, the log), tried at each start.
    `start_seconds`: for loading the records, and again for importing what the tasks need.
    `max_call_seconds`: for one call, whatever patience a peer asks for.
    `stderr`: tracebacks can hold records, so they go nowhere, unless the records are invented.
    """

    forbidden: tuple[Path, ...] = ()
    allow_weaker_isolation: bool = False
    memory_bytes: int = 8 << 30
    max_answer_bytes: int = 64 << 20
    start_seconds: float = 300.0
    max_call_seconds: float = 600.0
    threads: int = 1
    stderr: int = subprocess.DEVNULL
    command: tuple[str, ...] = ("-m", "node.worker_child")


@dataclass(frozen=True)
class Assignment:
    """What a worker is for: one job's inputs, tasks and folds on one dataset."""

    dataset: Dataset
    features: FeatureMap
    tasks: tuple[str, ...]
    split: Split


class Worker:
    """A running worker. One call at a time; after a failure of the process it is over."""

    def __init__(self, process: "subprocess.Popen[bytes]", sandbox: Sandbox, files: Files) -> None:
        assert process.stdin is not None  # noqa: S101 - for the type: both are pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._requests, self._answers = process.stdin.fileno(), process.stdout.fileno()
        for descriptor in (self._requests, self._answers):
            os.set_blocking(descriptor, False)
        self._sandbox = sandbox
        self._files = files
        self._turn = threading.Lock()
        # Reentrant: a signal handler that aborts may have interrupted its own thread in there.
        self._ending = threading.RLock()
        self._killed = False
        self._warm = False
        self._facts: Facts | None = None

    @classmethod
    def start(
        cls,
        assignment: Assignment,
        sandbox: Sandbox | None = None,
        *,
        spawned: "Callable[[Self], object] | None" = None,
    ) -> Self:
        """Start a process, let it isolate itself and load the view; returns when it has.

        The tasks' libraries are imported meanwhile and after; the first call waits for them.
        `spawned` gets the worker before it loads, so that loading can be aborted too.
        Raises `LocalError`: SCHEMA_MISMATCH, WORKER_NOT_STARTED, WORKER_DIED, TASK_TIMEOUT, a code
        of `LOAD_CODES`, and DATASET_UNAVAILABLE for what the worker has no business to say.
        """
        sandbox = sandbox or Sandbox()
        _check_features(assignment)
        with contextlib.ExitStack() as opened:
            files = open_files(assignment.dataset, opened)
            process = spawn(
                sandbox.command, files.descriptors, threads=sandbox.threads, stderr=sandbox.stderr
            )
        worker = cls(process, sandbox, files)
        try:
            if spawned is not None:
                spawned(worker)
            worker._load(_start(assignment, sandbox, files))
        except BaseException:
            worker.close()
            raise
        return worker

    @property
    def facts(self) -> Facts:
        """Counts of the loaded view, for decisions inside of the node."""
        assert self._facts is not None  # noqa: S101 - `start` returns only workers that have them
        return self._facts

    def people(self) -> int:
        """Distinct persons in the view after opt-outs; sensitivity 1 to a person."""
        return self.facts.people

    def persons(self) -> int:
        """People with all required values in the smallest fold that the job's tasks touch."""
        return min(self.facts.persons.values(), default=0)

    def version(self) -> str:
        """What the view was made from (`node.data.version`): SHA-256, 64 hexadecimal digits."""
        return self.facts.version

    def stale(self) -> bool:
        """Whether the records or the opt-outs are no longer those that this worker has read."""
        return self._files.are_stale()

    def call(
        self, task: str, arguments: dict[str, Any], arrays: "Arrays", seconds: float
    ) -> "dict[str, np.ndarray[Any, Any]]":
        """Run one task and return its arrays (read-only). `seconds` count up to the sandbox's own.

        Raises `LocalError`: a code of `TASK_CODES` and the worker goes on; TASK_TIMEOUT,
        WORKER_DIED, ANSWER_TOO_LARGE or ANSWER_MALFORMED and the process has been killed.
        """
        request = frames.pack({"task": task, "arguments": arguments}, arrays)
        with self._turn:
            if not self._warm:
                self._receive(time.monotonic() + self._sandbox.start_seconds)
                self._warm = True
            deadline = time.monotonic() + min(seconds, self._sandbox.max_call_seconds)
            self._send(request, deadline)
            return self._receive(deadline)[1]

    def abort(self) -> None:
        """Kill the process group, at once and for good. A call under way ends with WORKER_DIED.

        Takes no turn and waits for nobody: for any thread, and for a signal handler, which may
        have interrupted the very thread that calls. `close` has still to be called.
        """
        with self._ending:
            if not self._killed:
                self._killed = True
                # Only `_kill` reaps, after this: the number is still this process's.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill the process group and forget it, after a call under way, which ends.

        For any thread but the one whose call it would have to wait for (a signal handler).
        """
        self._kill()
        with self._turn:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._requests = self._answers = -1  # the numbers may soon be other files

    def _load(self, start: Start) -> None:
        deadline = time.monotonic() + self._sandbox.start_seconds
        with self._turn:
            self._send(start.model_dump_json().encode(), deadline)
            header, _ = self._receive(deadline)
        try:
            self._facts = Facts.model_validate(header.get("facts"))
        except ValidationError:
            self._fail("ANSWER_MALFORMED", "a worker's facts cannot be read")

    def _send(self, message: bytes, deadline: float) -> None:
        content = memoryview(len(message).to_bytes(LENGTH_BYTES, "big") + message)
        try:
            while content:
                _wait(self._requests, select.POLLOUT, deadline)
                content = content[os.write(self._requests, content[:_CHUNK_BYTES]) :]
        except TimeoutError:
            self._fail("TASK_TIMEOUT", "a worker did not take a request in time")
        except (OSError, ValueError):
            self._fail("WORKER_DIED", "a worker has ended")

    def _receive(self, deadline: float) -> "tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]":
        limit = self._sandbox.max_answer_bytes + FRAME_BYTES
        try:
            length = int.from_bytes(self._read(LENGTH_BYTES, deadline), "big")
            frame = self._read(length, deadline) if length <= limit else b""
        except TimeoutError:
            self._fail("TASK_TIMEOUT", "a task did not end in time")
        except (OSError, EOFError, ValueError):
            self._fail("WORKER_DIED", "a worker has ended")
        if length > limit:
            self._fail("ANSWER_TOO_LARGE", f"a worker's answer exceeds {limit} bytes")
        try:
            header, arrays = frames.unpack(frame, max_bytes=limit)
        except RemoteError:
            self._fail("ANSWER_MALFORMED", "a worker's answer cannot be read")
        if header.get("status") != "ok":
            raise reported(header, loading=self._facts is None)
        return header, arrays

    def _read(self, length: int, deadline: float) -> bytes:
        parts = []
        while length:
            _wait(self._answers, select.POLLIN, deadline)
            part = os.read(self._answers, min(length, _CHUNK_BYTES))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _fail(self, code: str, message: str) -> NoReturn:
        self._kill()
        raise LocalError(code, message, "The job can be continued with a new worker")

    def _kill(self) -> None:
        self.abort()
        self._process.wait()


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    milliseconds = max(0.0, deadline - time.monotonic()) * 1000
    if not poll.poll(min(milliseconds, _MAX_WAIT)):
        raise TimeoutError


def _start(assignment: Assignment, sandbox: Sandbox, files: Files) -> Start:
    return Start(
        dataset=assignment.dataset,
        features=assignment.features,
        tasks=assignment.tasks,
        split=assignment.split,
        records=files.records,
        opt_outs=files.opt_outs,
        forbidden=sandbox.forbidden,
        allow_weaker_isolation=sandbox.allow_weaker_isolation,
        memory_bytes=sandbox.memory_bytes,
        max_answer_bytes=sandbox.max_answer_bytes,
    )


def _check_features(assignment: Assignment) -> None:
    schema = assignment.dataset.schema
    features = assignment.features
    for column in (*features.columns, features.outcome):
        declared = schema.find(column.name)
        if declared is not None and not declared.means_the_same_as(column):
            raise LocalError(
                "SCHEMA_MISMATCH",
                f"the job means another column {column.name!r} than {assignment.dataset.id} has",
                "Kind, unit and categories must be the same",
            )
