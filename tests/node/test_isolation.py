import subprocess
import sys
from pathlib import Path

import pytest

from connector.errors import LocalError
from node import isolation, landlock, seccomp

PREAMBLE = """
import errno, os, sys
from node import isolation, landlock, seccomp

def unavailable(*arguments, **options):
    raise OSError(errno.ENOSYS, "Function not implemented")

def apply(**options):
    return isolation.apply(memory_bytes=4 << 30, **options)
"""


def run(program, *arguments):
    """Isolation is for good, so each test of it is a process. Returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("layer", ["landlock.restrict", "seccomp.install"])
def test_a_missing_layer_stops_the_worker_unless_the_hospital_allows_it(layer):
    refused = f"""
{layer} = unavailable
try:
    apply()
except Exception as error:
    print(error.code, error.remedy)
"""
    assert run(refused).startswith("ISOLATION_UNAVAILABLE Use Linux")
    layers = run(f"{layer} = unavailable\nprint(*apply(allow_weaker=True))").split()
    assert len(layers) == 2
    assert layer.partition(".")[0] not in layers


def test_a_second_thread_stops_the_worker_even_where_weaker_is_allowed():
    program = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
try:
    apply(allow_weaker=True)
except Exception as error:
    print(error.code, error)
"""
    assert "ISOLATION_UNAVAILABLE a thread runs" in run(program)


def test_no_core_no_file_and_bounded_memory():
    program = """
import resource as r
apply()
print(r.getrlimit(r.RLIMIT_CORE), r.getrlimit(r.RLIMIT_FSIZE), r.getrlimit(r.RLIMIT_DATA)[0] >> 30)
try:
    bytearray(8 << 30)
except MemoryError:
    print("bounded")
"""
    assert run(program) == "(0, 0) (0, 0) 4\nbounded"


def test_only_the_named_paths_can_be_read(tmp_path):
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    allowed.write_text("yes")
    secret.write_text("no")
    program = """
from pathlib import Path
allowed, secret = map(Path, sys.argv[1:])
apply(readable=[allowed, Path("/nowhere")])
print(allowed.read_text())
def overwrite():
    allowed.write_text("x")
for attempt in (secret.read_text, overwrite, lambda: list(secret.parent.iterdir())):
    try:
        attempt()
        print("worked")
    except PermissionError:
        print("refused")
"""
    assert run(program, str(allowed), str(secret)).split() == [
        "yes",
        "refused",
        "refused",
        "refused",
    ]


def test_threads_that_start_later_are_bound_too():
    program = """
import threading
apply()
seen = []
def attempt():
    for path in ("/etc/passwd", "/etc/hostname"):
        try:
            open(path)
            seen.append("worked")
        except OSError:
            seen.append("refused")
thread = threading.Thread(target=attempt)
thread.start()
thread.join()
print(*seen)
"""
    assert run(program) == "refused refused"


def test_it_notices_when_a_layer_that_should_hold_does_not(tmp_path):
    key = tmp_path / "node.key"
    key.write_text("k")
    for layers in ([isolation.SYSTEM_CALLS], [isolation.FILES]):
        with pytest.raises(LocalError) as caught:
            isolation.verify(layers, [key])
        assert caught.value.code == "ISOLATION_BROKEN"
    isolation.verify([isolation.LIMITS], [key])  # nothing is claimed of files or network


def test_forbidden_files_within_the_runtime_are_noticed():
    program = """
layers = apply()
isolation.verify(layers)
try:
    isolation.verify(layers, [isolation.Path(os.__file__)])
except Exception as error:
    print(error.code)
"""
    assert run(program) == "ISOLATION_BROKEN"


def test_inherited_descriptors_are_closed():
    program = """
first, second, third = (os.dup(0) for _ in range(3))
isolation.close_descriptors({0, 1, 2, second})
for descriptor in (first, second, third):
    try:
        os.fstat(descriptor)
        print("open")
    except OSError:
        print("closed")
"""
    assert run(program).split() == ["closed", "open", "closed"]


def test_the_runtime_is_not_the_directory_that_holds_it():
    root = Path(isolation.__file__).parents[1]
    paths = isolation.runtime_paths()
    assert root not in paths
    assert root / "coordinator" not in paths
    assert root / "connector" in paths
    assert Path("/usr") not in paths
    assert Path(sys.prefix) not in paths


@pytest.mark.parametrize(("filtered", "outcome"), [(False, "received"), (True, "refused nothing")])
def test_a_pipe_does_not_signal_the_node(filtered, outcome):
    # Without Landlock, which knows signals only on recent kernels. The node here is this program.
    program = """
import ctypes, fcntl, signal
filtered = sys.argv[1] == "True"
received = []
signal.signal(signal.SIGUSR1, lambda *_: received.append(1))
child = os.fork()
if child == 0:
    node = os.getppid()
    if filtered:
        ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
        seccomp.install()
    ours, theirs = os.pipe()
    refused = 0
    for command, value in ((fcntl.F_SETOWN, node), (fcntl.F_SETSIG, int(signal.SIGUSR1))):
        try:
            fcntl.fcntl(ours, command, value)
        except PermissionError:
            refused += 1
    fcntl.fcntl(ours, fcntl.F_SETFL, fcntl.fcntl(ours, fcntl.F_GETFL) | os.O_ASYNC)
    if refused in (0, 2):
        os.write(theirs, b"x")
    os._exit(refused)
refused = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(*(["refused"] if refused == 2 else []), "received" if received else "nothing")
"""
    assert run(program, str(filtered)) == outcome


def test_an_unknown_machine_has_no_filter(monkeypatch):
    monkeypatch.setattr(seccomp, "ARCHITECTURES", {})
    with pytest.raises(OSError, match="no system call table"):
        seccomp.install()


def test_landlock_is_there():
    assert landlock.version() >= 1
