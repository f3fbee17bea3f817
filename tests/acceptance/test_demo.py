"""`commensal demo` as whoever meets the project runs it, and what it leaves behind: nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
from processes import command, family, start_time

pytestmark = pytest.mark.slow
HEART = Path(__file__).parents[3] / "shared" / "data" / "heart4"
STEPS = 9
_POLL_SECONDS = 0.05


def _as_from_a_terminal() -> None:
    """A shell that runs the tests in the background has them ignore Ctrl-C; a terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Demo:
    """A demo in a process of its own, with a place for temporary files that nobody else uses."""

    directory: Path
    arguments: tuple[str, ...] = ()
    family: set[tuple[int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.temporary = self.directory / "temporary"
        self.temporary.mkdir()
        self.labels = self.directory / "labels"
        self.printed = self.directory / "printed"
        environment = os.environ | {
            "TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1", "COLUMNS": "100",
        }  # fmt: skip
        command = [sys.executable, "-m", "connector", "demo", "--output", str(self.labels)]
        with self.printed.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, *self.arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                env=environment, start_new_session=True,
                preexec_fn=_as_from_a_terminal,  # noqa: PLW1509 - no threads here
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def text(self) -> str:
        return self.printed.read_text(errors="replace")

    def wait(self, until: str = "", seconds: float = 240) -> int | None:
        """Wait for the end, or for a text; meanwhile remember every process that it starts."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.family |= family(self.process.pid)
            code = self.process.poll()
            if code is not None or (until and until in self.text):
                return code
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"neither ended nor printed {until!r}: {self.text}")

    def left_behind(self) -> tuple[list[str], list[str]]:
        """Its processes that are still there, and its temporary files."""
        alive = [command(pid) for pid, started in self.family if start_time(pid) == started]
        return alive, [path.name for path in self.temporary.iterdir()]


def steps(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"^(\d)\. ", text, re.MULTILINE)]


def assert_told(demo: Demo) -> None:
    """The whole story, in order, and nothing left of it but the label."""
    assert demo.wait() == 0, demo.text
    assert steps(demo.text) == list(range(1, STEPS + 1))
    assert "Art. 54(c) prohibits advertising" in demo.text
    assert "one byte changed: entry" in demo.text
    assert "Traceback" not in demo.text
    assert "<html" in (demo.labels / "label.html").read_text()
    assert len(demo.family) >= 1 + 5 + 4, "the demo, five participants, four workers"
    assert demo.left_behind() == ([], [])


def test_the_demo_tells_nine_steps_in_order_and_leaves_a_label_and_nothing_else(tmp_path):
    with Demo(tmp_path) as demo:
        assert_told(demo)


@pytest.mark.skipif(not HEART.is_dir(), reason="the heart-disease files are not beside this repo")
def test_the_demo_runs_on_the_files_of_four_real_hospitals(tmp_path):
    with Demo(tmp_path, ("--heart", str(HEART))) as demo:
        assert_told(demo)
        assert "four real hospitals" in demo.text


@pytest.mark.parametrize("step", [1, 3])
def test_an_interrupted_demo_takes_everything_with_it(tmp_path, step):
    with Demo(tmp_path) as demo:
        assert demo.wait(until=f"\n{step}. ") is None, demo.text
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait(seconds=20) == 130, demo.text
        assert "Traceback" not in demo.text
        assert demo.text.rstrip().endswith("stopped")
        assert demo.left_behind() == ([], [])
        assert not list(demo.labels.iterdir())


def test_a_directory_without_the_heart_files_is_named_in_one_line(tmp_path):
    with Demo(tmp_path, ("--heart", str(tmp_path / "nowhere"))) as demo:
        assert demo.wait() == 1
        (line,) = demo.text.strip().splitlines()
        assert str(tmp_path / "nowhere") in line
        assert line.endswith("[DEMO_RECORDS]")
        assert demo.left_behind() == ([], [])
