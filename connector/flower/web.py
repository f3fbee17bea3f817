"""uvicorn that stops when it is told to, and that idle or many connections do not wear down."""

import asyncio
import socket
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from connector.flower.server import FleetServer

_LAST_WORDS_SECONDS = 0.2
HEAD_SECONDS = 15.0
MAX_CONNECTIONS = 1000
MAX_PER_ADDRESS = 250  # a node holds three; several can stand behind one address


class Connection(H11Protocol):
    """One connection. It is cut unless a whole request head arrives within `HEAD_SECONDS`.

    uvicorn alone waits for ever for a first request, and counts its connections only when one
    arrives (threat: a stranger who opens connections and says nothing).
    """

    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Refuse what is too much: of one address, or in all."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        same = sum(other.client is not None and other.client[0] == address
                   for other in self.connections if isinstance(other, Connection))  # fmt: skip
        if same > MAX_PER_ADDRESS or len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """A head that is complete is a request that is being answered."""
        super().handle_events()
        if self._answering():
            self._cancel()

    def on_response_complete(self) -> None:
        """Wait for the next request's head."""
        super().on_response_complete()
        if not self._answering() and not self.transport.is_closing():
            self._expect()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect(self) -> None:
        self._cancel()
        self._overdue = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _cancel(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


class WebServer(uvicorn.Server):
    """Answers held pulls, then cuts the connections, then stops as uvicorn does.

    uvicorn alone waits for held requests (20 s), and for every peer to close its side of TLS,
    which an HTTP client with an idle connection does when it next looks at it. What is cut in the
    middle, a node sends again.
    """

    def __init__(self, config: uvicorn.Config, fleet: "FleetServer") -> None:
        super().__init__(config)
        self._fleet = fleet

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn when it has seen `should_exit` or a signal."""
        self._fleet.close()
        await asyncio.sleep(_LAST_WORDS_SECONDS)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await super().shutdown(sockets)
