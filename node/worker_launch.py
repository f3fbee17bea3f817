"""Starting a worker: the files that it may read, its process, its environment."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import node
from connector.errors import LocalError
from node.data import opt_outs
from node.data.dataset import Dataset
from node.data.sources import open_file
from node.data.version import Stamp, stamp


@dataclass(frozen=True)
class Files:
    """Open descriptors of a dataset's files, and what the files were when they were opened."""

    records: int
    opt_outs: int | None
    stamps: dict[Path, Stamp]

    @property
    def descriptors(self) -> list[int]:
        """All of them."""
        return [self.records] if self.opt_outs is None else [self.records, self.opt_outs]

    def are_stale(self) -> bool:
        """Whether a path now names another file, another content, or none. Opens nothing."""
        try:
            return any(stamp(path.stat()) != before for path, before in self.stamps.items())
        except OSError:
            return True


def open_files(dataset: Dataset, opened: contextlib.ExitStack) -> Files:
    """Open the dataset's files, to be closed with `opened`; errors as of `open_file`."""
    records = open_file(dataset.source.path, dataset.source.max_bytes)
    opened.callback(os.close, records)
    stamps = {dataset.source.path: stamp(os.fstat(records))}
    if dataset.opt_outs is None:
        return Files(records, None, stamps)
    listed = open_file(dataset.opt_outs, opt_outs.MAX_BYTES)
    opened.callback(os.close, listed)
    stamps[dataset.opt_outs] = stamp(os.fstat(listed))
    return Files(records, listed, stamps)


def spawn(
    command: Sequence[str], descriptors: Sequence[int], *, threads: int, stderr: int
) -> "subprocess.Popen[bytes]":
    """Run our interpreter with pipes, in a session of its own.

    Raises `LocalError` (WORKER_NOT_STARTED) where the system has no room for a process.
    """
    # -P, -s and -B: no module from the working directory or a home, and nothing is written.
    arguments = [sys.executable, "-P", "-s", "-B", *command]
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            cwd="/",
            env=_environment(threads),
            pass_fds=descriptors,
            start_new_session=True,
        )
    except OSError as error:
        raise LocalError(
            "WORKER_NOT_STARTED",
            f"no process can be started for a job ({error.strerror})",
            "Give the node's user more processes, open files or memory",
        ) from error


def _environment(threads: int) -> dict[str, str]:
    """All that the child gets of our environment: nothing."""
    environment = {
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # torch makes sure at import that its compiler's cache exists; this directory does.
        "TORCHINDUCTOR_CACHE_DIR": "/",
    }
    root = Path(next(iter(node.__path__))).parent
    if not root.is_relative_to(sys.prefix):  # a source tree, not an installed package
        environment["PYTHONPATH"] = str(root)
    return environment
