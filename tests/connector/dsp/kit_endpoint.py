"""The kit's callback endpoint: a message that nothing expects (yet) gets 404, as the original's."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import kit_wire
from kit_wire import Message

PATIENCE = 10.0
_MOST_BYTES = 1 << 20

Answer = Callable[[Message], Message | None]
Check = Callable[[Message], None]


def _no_body(_: Message) -> None:
    """200 with nothing in it, as the original answers most messages."""


class Expected:
    """One message that must come, how it is answered, and what must be true of it."""

    def __init__(self, path: str, answer: Answer, check: Check) -> None:
        self.path = path
        self._answer = answer
        self._check = check
        self._came = threading.Event()
        self._message: Message = {}

    def take(self, received: Message) -> Message | None:
        """The answer to a message; it is judged by whoever waits for it."""
        self._message = received
        return self._answer(received)

    def answered(self) -> None:
        """Let go who waits."""
        self._came.set()

    def wait(self) -> Message:
        """The message, once it is there."""
        assert self._came.wait(PATIENCE), f"nothing came to {self.path} in {PATIENCE:.0f} s"
        assert not kit_wire.problems(self._message), kit_wire.problems(self._message)
        self._check(self._message)
        return self._message


class Endpoint:
    """An HTTP server on a free port of this machine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: list[Expected] = []
        self._refused: set[str] = set()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                endpoint._serve(self)

            def do_GET(self) -> None:
                endpoint._serve(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """Its root."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def expect(self, path: str, answer: Answer = _no_body, check: Check = _no_body) -> Expected:
        """From now on accept one message at a path."""
        expected = Expected(path, answer, check)
        with self._lock:
            self._expected.append(expected)
        return expected

    def strays(self) -> set[str]:
        """Where messages came that nothing ever expected."""
        with self._lock:
            return set(self._refused)

    def _claim(self, path: str) -> Expected | None:
        with self._lock:
            for expected in self._expected:
                if expected.path == path:
                    self._expected.remove(expected)
                    self._refused.discard(path)
                    return expected
            self._refused.add(path)
        return None

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        length = min(int(request.headers.get("Content-Length") or 0), _MOST_BYTES)
        body = request.rfile.read(length)
        expected = self._claim(request.path.removesuffix("/"))
        if expected is None:
            _reply(request, 404, b"No handler registered on this endpoint")
            return
        answer = expected.take(_parse(body))
        _reply(request, 200, b"" if answer is None else json.dumps(answer).encode())
        expected.answered()


def _parse(body: bytes) -> Message:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {"@type": "not JSON"}
    return parsed if isinstance(parsed, dict) else {"@type": "not an object"}


def _reply(request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
