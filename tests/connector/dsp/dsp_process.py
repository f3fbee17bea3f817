"""`commensal conformance serve` as a process that can be killed at any time."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

_START_SECONDS = 30.0


class Killable:
    """The profile's connector with its state in a directory, on a port that stays the same."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.root = f"http://127.0.0.1:{self._port}"
        self._output = (directory / "printed.txt").open("ab")
        self._process = self._start()

    def restart(self) -> None:
        """Pull the plug, and begin again with what is on the disk."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def close(self) -> None:
        """Pull the plug for good."""
        self._process.kill()
        self._process.wait()
        self._output.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "connector", "conformance", "serve"]
        command += ["--profile", "dsp-tck", "--port", str(self._port)]
        command += ["--directory", str(self.directory)]
        process = subprocess.Popen(command, stdout=self._output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert process.poll() is None, (self.directory / "printed.txt").read_text()
            assert time.monotonic() < deadline, "it does not start"
            time.sleep(0.02)
        return process

    def _answers(self) -> bool:
        try:
            url = f"{self.root}/.well-known/dspace-version"
            return httpx.get(url, trust_env=False).is_success
        except httpx.TransportError:
            return False
