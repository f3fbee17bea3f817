"""What a worker does to itself before it sees a record.

Threat: a flaw in a numerical library, a task or a crafted array takes over the worker. It then
has the job's minimised view in its memory and nothing else: no network, no file but the
interpreter's, no key, no log, no other process, and one pipe whose far end checks every byte.
"""

import ctypes
import os
import resource
import socket
import sys
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path

import connector
import node
import policies
from connector.errors import LocalError
from node import landlock, seccomp

LIMITS, FILES, SYSTEM_CALLS = "limits", "landlock", "seccomp"

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_MOST_DESCRIPTORS = 1 << 16
_RUNTIME = (
    *("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache"),
    *("/usr/share/zoneinfo", "/dev/urandom", "/proc/self", "/proc/cpuinfo", "/proc/meminfo"),
    "/sys/devices/system/cpu",
)


def apply(
    *, memory_bytes: int, readable: Iterable[Path] = (), allow_weaker: bool = False
) -> tuple[str, ...]:
    """Give up everything that computing does not need; returns the layers in force.

    To be called before a second thread exists: Landlock binds the calling thread and its
    descendants. Fails closed: without Landlock (files) or seccomp (network, processes) it raises
    `LocalError` (ISOLATION_UNAVAILABLE), unless the hospital's configuration allows weaker.
    """
    _limit(memory_bytes)
    layers = [LIMITS]
    paths = [*runtime_paths(), *readable]
    wanted: dict[str, Callable[[], object]] = {
        FILES: lambda: _restrict_files(paths),
        SYSTEM_CALLS: seccomp.install,
    }
    for layer, engage in wanted.items():
        try:
            engage()
        except OSError as error:
            if not allow_weaker:
                raise LocalError(
                    "ISOLATION_UNAVAILABLE",
                    f"this machine cannot isolate a worker: {layer} ({error.strerror})",
                    "Use Linux 5.13 or later with Landlock enabled, on x86_64 or aarch64, or set"
                    " allow_weaker_isolation if the machine is protected otherwise",
                ) from error
        else:
            layers.append(layer)
    return tuple(layers)


def verify(layers: Collection[str], forbidden: Iterable[Path] = ()) -> None:
    """Try what must fail: a socket, the root directory, the `forbidden` files (keys, the log).

    Raises `LocalError` (ISOLATION_BROKEN) if a layer is in force and something works all the same.
    """
    worked = []
    if SYSTEM_CALLS in layers and not _fails(lambda: socket.socket().close()):
        worked.append("opening a socket")
    if FILES in layers:
        paths = (Path("/"), *forbidden)
        worked += [f"opening {path}" for path in paths if not _fails(partial(_open, path))]
    if worked:
        raise LocalError(
            "ISOLATION_BROKEN",
            f"the worker is isolated, yet {worked[0]} still works",
            "Keep the node's data directory outside of the Python installation; otherwise report"
            " this with the kernel's version",
        )


def runtime_paths() -> list[Path]:
    """What an interpreter reads: its libraries, ours, and facts about the processor.

    Not a prefix as a whole: a virtual environment may sit in the directory that holds the data.
    """
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    libraries = [Path(prefix, name) for prefix in sorted(prefixes) for name in ("lib", "lib64")]
    packages = [Path(path) for ours in (policies, connector, node) for path in ours.__path__]
    return [*(Path(path) for path in _RUNTIME), *libraries, *packages]


def close_descriptors(keep: Collection[int]) -> None:
    """Close whatever was inherited above standard error, except what is named."""
    start = 3
    for descriptor in sorted(number for number in keep if number >= start):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, _MOST_DESCRIPTORS)


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold records
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # RLIMIT_DATA, not RLIMIT_AS: torch maps gigabytes of address space that it never touches.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # Not dumpable: no core, and no other process of this user may read its memory.
        for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
            if libc.prctl(option, value, 0, 0, 0):
                raise LocalError("ISOLATION_UNAVAILABLE", f"prctl({option}) failed", "Use Linux")


def _restrict_files(readable: Iterable[Path]) -> None:
    if len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208 - names are counted, not used
        raise LocalError(
            "ISOLATION_UNAVAILABLE",
            "a thread runs that file restrictions would not bind",
            "Report this: isolation must come first",
        )
    landlock.restrict(readable, writable=[Path("/dev/null")])


def _open(path: Path) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))


def _fails(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except OSError:
        return True
    return False
