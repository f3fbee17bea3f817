"""A permit and a job come from files: a pipe is not waited for, and a device not read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator import office


@pytest.mark.parametrize("verb", [("permit", "issue"), ("submit",)])
def test_a_pipe_or_a_device_is_refused_in_one_line(tmp_path: Path, verb: tuple[str, ...]) -> None:
    office.create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    pipe, device = tmp_path / "pipe", tmp_path / "device"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        words = ["coordinator", *verb, str(tmp_path / "hdab"), str(path)]
        script = f"import sys\nfrom connector.cli import main\nsys.argv[1:] = {words!r}\nmain()\n"
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1, done.stderr
        assert f"cannot read {path} (it is not a regular file)" in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stderr.endswith("[FILE_MISSING]\n")
