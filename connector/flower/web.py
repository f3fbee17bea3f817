"""uvicorn that stops when it is told to, with nodes connected."""

import asyncio
import socket
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from connector.flower.server import FleetServer

_LAST_WORDS_SECONDS = 0.2


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
