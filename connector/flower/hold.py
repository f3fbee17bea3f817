"""Held pulls: an idle node's request waits at the server until there is something to say.

At most one request is held for a node; a newer one ends the older. Messages are stored by other
threads, so a bell is rung through the event loop that holds the request.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress


class _Held:
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.released = asyncio.Event()
        self.ended = False

    def release(self) -> None:
        with suppress(RuntimeError):  # the loop has been closed, and with it the request
            self._loop.call_soon_threadsafe(self.released.set)


class Holds:
    """The pulls that are being held, by node. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, _Held] = {}
        self._closed = False

    async def hold(
        self,
        node_id: int,
        seconds: float,
        *,
        gone: Callable[[], Awaitable[object]],
        verdict: Callable[[], bool | None],
    ) -> bool:
        """Wait for news. True: look for a message; False: answer with nothing.

        `verdict` says which of the two already holds, or None to wait; `gone` returns when the
        caller has left.
        """
        held = _Held()
        with self._lock:
            older = self._held.pop(node_id, None)
            held.ended = self._closed
            self._held[node_id] = held
        if older is not None:
            older.ended = True
            older.release()
        try:
            # Asked after it can be released, so that nothing falls between the two.
            known = False if held.ended else verdict()
            return await _first(held, gone, seconds) if known is None else known
        finally:
            with self._lock:
                if self._held.get(node_id) is held:
                    del self._held[node_id]

    def ring(self, node_id: int) -> None:
        """There is a message for this node."""
        with self._lock:
            held = self._held.get(node_id)
        if held is not None:
            held.release()

    def end(self, node_id: int) -> None:
        """Answer a node's held request now, with nothing."""
        with self._lock:
            held = self._held.get(node_id)
        if held is not None:
            held.ended = True
            held.release()

    def close(self) -> None:
        """Answer every held request now and hold none from here on."""
        with self._lock:
            self._closed = True
            nodes = list(self._held)
        for node_id in nodes:
            self.end(node_id)


async def _first(held: _Held, gone: Callable[[], Awaitable[object]], seconds: float) -> bool:
    leaving = asyncio.ensure_future(gone())
    release = asyncio.ensure_future(held.released.wait())
    try:
        await asyncio.wait({leaving, release}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return held.released.is_set() and not leaving.done() and not held.ended
    finally:
        for task in (leaving, release):
            task.cancel()
        await asyncio.gather(leaving, release, return_exceptions=True)
