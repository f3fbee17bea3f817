"""Starts the connector under test as users start it, and reads what it prints for the kit."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit import Target

# As a properties file spells it; it is sent verbatim.
TOKEN = '{"region": "any", "audience": "any", "clientId": "TCK_PARTICIPANT"}'  # noqa: S105 - public
_PREFIX = "dataspacetck.dsp."
_LAST = f"{_PREFIX}default.wait"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@contextmanager
def serve(directory: Path) -> Iterator[Target]:
    """`commensal conformance serve --profile dsp-tck` on a free port, ended afterwards."""
    command = [sys.executable, "-m", "connector", "conformance", "serve"]
    command += ["--profile", "dsp-tck", "--port", "0", "--token", TOKEN]
    printed = directory / "printed.txt"
    with printed.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield _target(_printed_properties(process, printed))
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)
    assert "Traceback" not in printed.read_text(), printed.read_text()


def _target(properties: dict[str, str]) -> Target:
    return Target(
        root=properties[f"{_PREFIX}connector.http.base.url"].removesuffix("/"),
        dsp=properties[f"{_PREFIX}connector.http.url"].removesuffix("/"),
        negotiation_webhook=properties[f"{_PREFIX}connector.negotiation.initiate.url"],
        transfer_webhook=properties[f"{_PREFIX}connector.transfer.initiate.url"],
        token=TOKEN,
        participant=properties[f"{_PREFIX}connector.agent.id"],
        properties=properties,
    )


def _printed_properties(process: "subprocess.Popen[bytes]", printed: Path) -> dict[str, str]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, printed.read_text()
        lines = printed.read_text().splitlines()
        found = dict(line.split("=", 1) for line in lines if "=" in line)
        if len(found) > 1 and _complete(found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the connector did not start: {printed.read_text()}")


def _complete(found: dict[str, str]) -> bool:
    return _LAST in found and any(name.startswith("TP_C_03_06") for name in found)
