"""Landlock (Linux >= 5.13): what this process, and only it, may still open.

See `man 7 landlock` and Documentation/userspace-api/landlock.rst. A ruleset denies every kind of
access that it *handles*, except below the paths that its rules name; it cannot be taken back.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
_VERSION = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIRECTORY = 1 << 1, 1 << 2, 1 << 3
# The number of kinds of access to files that each version of the interface knows.
_KINDS = {1: 13, 2: 14, 3: 15, 4: 15}
_KINDS_SINCE_5 = 16
_TCP_BIND_AND_CONNECT = 0b11  # since version 4
_OTHERS_SOCKETS_AND_SIGNALS = 0b11  # since version 6


def version() -> int:
    """The kernel's version of the interface. Raises `OSError` where there is none."""
    return _call(_CREATE, None, 0, _VERSION)


def restrict(readable: Iterable[Path], writable: Iterable[Path] = ()) -> int:
    """Allow the calling thread, and what it starts later, to open only what is named.

    Directories are named with all below. Paths that do not exist are left out: what is not
    there needs no rule. No TCP either (version >= 4), and no signals to other processes (>= 6).
    Needs no_new_privs. Returns the version; raises `OSError`.
    """
    available = version()
    kinds = (1 << _KINDS.get(available, _KINDS_SINCE_5)) - 1
    attributes = struct.pack("=Q", kinds)
    if available >= 4:
        attributes += struct.pack("=Q", _TCP_BIND_AND_CONNECT)
    if available >= 6:
        attributes += struct.pack("=Q", _OTHERS_SOCKETS_AND_SIGNALS)
    ruleset = _call(_CREATE, attributes, len(attributes), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE)
        for path in writable:
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return available


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if path.is_dir():
            access |= _READ_DIRECTORY
        rule = struct.pack("=Qi", access, descriptor)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: bytes | int | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    return result
