"""The worker with tasks that misbehave; test_worker.py runs it in place of the real one."""
# ruff: noqa: ARG001, PLC0415, PTH208, S108, S606 - one signature for all; attacks are what it is for

import ctypes
import fcntl
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from node.worker_child import Catalogue, main


def echo(arguments, arrays, features, outcome, person):
    return {"features": features, "outcome": outcome, "person": person, **arrays}


def attempts(arguments, arrays, features, outcome, person):
    """1 for each attempt that works, 0 for each that the system refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    pipe = os.pipe()

    def call(*parts):
        if libc.syscall(*parts) < 0:
            raise OSError(ctypes.get_errno(), "refused")

    def write_to_parent():
        Path(f"/proc/{os.getppid()}/mem").open("r+b").close()

    tries = {
        "tcp": lambda: socket.socket().close(),
        "unix": lambda: socket.socket(socket.AF_UNIX).close(),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "socketpair": lambda: [end.close() for end in socket.socketpair()],
        "key": lambda: Path(arguments["key"]).read_bytes(),
        "records": lambda: Path(arguments["records"]).read_bytes(),
        "passwd": lambda: Path("/etc/passwd").read_bytes(),
        "list": lambda: os.listdir("/"),
        "write": lambda: Path(arguments["key"]).with_name("new").write_text("x"),
        "overwrite": lambda: Path(arguments["key"]).write_text("x"),
        "append to code": lambda: Path(__file__).open("a").close(),
        "delete": lambda: Path(arguments["key"]).unlink(),
        "mode": lambda: Path(arguments["key"]).chmod(0o777),
        "temporary": lambda: os.open("/tmp", os.O_TMPFILE | os.O_RDWR),
        "shared memory": lambda: os.open("/dev/shm/x", os.O_CREAT | os.O_RDWR),
        "environment of the node": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
        "memory of the node": write_to_parent,
        "ptrace the node": lambda: call(
            101 if os.uname().machine == "x86_64" else 117, 16, os.getppid()
        ),
        "signal the node": lambda: os.kill(os.getppid(), 0),
        "signal everybody": lambda: os.kill(-1, 0),
        "signal the group": lambda: os.kill(0, 0),
        "own a pipe for the node": lambda: fcntl.fcntl(pipe[0], fcntl.F_SETOWN, os.getppid()),
        "choose a pipe's signal": lambda: fcntl.fcntl(pipe[0], fcntl.F_SETSIG, 10),
        "own a pipe for a thread": lambda: fcntl.fcntl(
            pipe[0], 15, struct.pack("ii", 1, os.getppid())
        ),
        "processors of the node": lambda: os.sched_setaffinity(
            os.getppid(), os.sched_getaffinity(os.getppid())
        ),
        "pidfd": lambda: os.close(os.pidfd_open(os.getppid())),
        "fork": lambda: os.fork() or os._exit(0),
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "spawn": lambda: subprocess.run(["/bin/true"], check=False),
        "io_uring": lambda: call(425, 1, 0),
        "raise limits": lambda: __import__("resource").setrlimit(9, (1 << 40, 1 << 40)),
        "become dumpable": lambda: prctl(libc, 4, 1),
    }
    # Unconfined, some of these would do harm: the test that shows that they work names its own.
    names = arguments.get("only", list(tries))
    results = {name: np.array([works(tries[name])]) for name in names}
    for end in pipe:
        os.close(end)
    return results


def prctl(libc, option, value):
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "refused")


def works(attempt):
    try:
        attempt()
    except (OSError, ValueError):  # setrlimit turns EPERM into a ValueError
        return 0
    return 1


def ordinary(arguments, arrays, features, outcome, person):
    """What computing needs: threads, memory, randomness, late imports, /dev/null, itself."""
    done = []
    thread = threading.Thread(target=lambda: done.append(1))
    thread.start()
    thread.join()
    mmap.mmap(-1, 1 << 20).close()
    os.kill(os.getpid(), 0)
    signal.pthread_kill(threading.get_ident(), 0)
    Path(os.devnull).write_text("x")
    import decimal
    import xml.dom.minidom

    return {"done": np.array([len(done), len(os.urandom(8)), bool(decimal and xml)])}


def environment(arguments, arrays, features, outcome, person):
    names = "\n".join(sorted(os.environ)).encode()
    descriptors = len(os.listdir("/proc/self/fd")) if os.access("/proc/self/fd", os.R_OK) else -1
    return {
        "names": np.frombuffer(names, np.uint8).astype(np.int64),
        "fds": np.array([descriptors]),
    }


def fail(arguments, arrays, features, outcome, person):
    raise ValueError(f"secret {features.tolist()}")


def odd_code(arguments, arrays, features, outcome, person):
    from connector.errors import LocalError

    raise LocalError(arguments["code"], "secret")


def exhaust(arguments, arrays, features, outcome, person):
    return {"big": np.ones(1 << 40)}


def spin(arguments, arrays, features, outcome, person):
    while True:
        time.sleep(3600)


def vanish(arguments, arrays, features, outcome, person):
    os._exit(3)


def mutate(arguments, arrays, features, outcome, person):
    features[:] = 0
    return {}


def wrong(arguments, arrays, features, outcome, person):
    answers = {
        "type": [1, 2],
        "value": {"x": [1]},
        "dtype": {"x": np.array(["secret"])},
        "large": {"x": np.zeros(1 << 20)},
        "print": {"x": np.zeros(1)},
    }
    print("secret" * 100)
    os.write(1, b"secret")
    return answers[arguments["how"]]


def bypass(arguments, arrays, features, outcome, person):
    """A worker that was taken over writes to the pipe itself."""
    message = bytes.fromhex(arguments["bytes"])
    for descriptor in range(3, 32):
        try:
            os.write(descriptor, message)
        except OSError:
            continue
    os._exit(0)


TASKS = {
    **{task.__name__: task for task in (echo, attempts, ordinary, environment, fail, odd_code)},
    **{task.__name__: task for task in (exhaust, spin, vanish, mutate, wrong, bypass)},
    "holdout": echo,
}

if __name__ == "__main__":
    assert "torch" not in sys.modules
    folds = {name: "holdout" if name == "holdout" else "train" for name in TASKS}
    main(Catalogue(folds, TASKS.__getitem__))
