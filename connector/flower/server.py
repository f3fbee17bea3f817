"""The coordinator's side: send bytes to nodes, wait for what comes back."""

import threading
import time
from collections.abc import Iterable
from typing import Self

from connector.errors import LocalError, RemoteError
from connector.flower import MAX_BODY_BYTES, FleetReply, version, wire
from connector.flower.door import Door
from connector.flower.hold import Holds
from connector.flower.keys import check_public
from connector.flower.mailbox import Mailbox


class _Changes:
    """A count of what has happened; a waiter sleeps until it grows."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def count(self) -> int:
        with self._condition:
            return self._count

    def announce(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait_beyond(self, seen: int, timeout: float) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout)


class FleetServer:
    """Nodes, and the runs that exchange messages with them. Safe from any thread.

    `app` is the ASGI application: to be served over TLS only (see `keys`), by `web.WebServer`
    or by a server that calls `close` before it waits for its requests to end.
    """

    def __init__(self, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        version.check()
        version.silence()
        self.max_payload_bytes = max_body_bytes - wire.OVERHEAD_BYTES
        self._changes = _Changes()
        self._mailbox = Mailbox(self._changes.announce)
        self._holds = Holds()
        self.app = Door(self._mailbox, self._holds, max_body_bytes)

    def register(self, public_key: bytes, name: str) -> int:
        """Admit a node by its PEM public key; returns its id, the same for the same key.

        Ids last as long as this object: register enrolled nodes again after a restart. Raises
        `RemoteError` (KEY_MALFORMED).
        """
        return self._mailbox.register(check_public(public_key), name)

    def unregister(self, node_id: int) -> None:
        """Refuse a node from now on; what it was asked is answered NODE_OFFLINE."""
        self._mailbox.forget(node_id)
        self._holds.end(node_id)

    def online(self) -> frozenset[int]:
        """Nodes that have connected and whose heartbeat is fresh."""
        return self._mailbox.online()

    def visits(self) -> dict[int, int]:
        """How often each node that is online has connected: a restarted node counts anew."""
        return self._mailbox.visits()

    def open_run(self) -> "FleetRun":
        """Start an exchange; close it, or use it as a context manager."""
        return FleetRun(self._mailbox, self._holds, self._changes, self.max_payload_bytes)

    def close(self) -> None:
        """Answer held requests at once, so that the web server can stop."""
        self._holds.close()


class FleetRun:
    """Messages of one job and their replies. Several can be open, each used by any threads."""

    def __init__(
        self, mailbox: Mailbox, holds: Holds, changes: _Changes, max_payload_bytes: int
    ) -> None:
        self._mailbox = mailbox
        self._holds = holds
        self._changes = changes
        self._max_payload_bytes = max_payload_bytes
        self._lock = threading.Lock()
        self._awaited: dict[str, int] = {}
        self._arrived: dict[str, FleetReply] = {}
        self._closed = False

    def send(self, node_id: int, payload: bytes, *, urgent: bool = False) -> str:
        """Lay a message out for a node; returns its id. `urgent`: even while the node computes.

        Raises `LocalError` (MESSAGE_TOO_LARGE, RUN_CLOSED) or `RemoteError` (NODE_OFFLINE: not
        registered, or never connected).
        """
        if len(payload) > self._max_payload_bytes:
            raise LocalError(
                "MESSAGE_TOO_LARGE",
                f"a message of {len(payload)} bytes exceeds {self._max_payload_bytes}",
            )
        message = wire.instruction(self._mailbox.run_id, node_id, payload, urgent=urgent)
        message_id = str(message.metadata.message_id)
        with self._lock:
            if self._closed:
                raise LocalError("RUN_CLOSED", "the run that this message belongs to has ended")
            if self._mailbox.store_message_ins(message) is None:
                raise RemoteError("NODE_OFFLINE", f"node {node_id} has never connected")
            self._awaited[message_id] = node_id
        self._holds.ring(node_id)
        return message_id

    def replies(self, message_ids: Iterable[str]) -> dict[str, FleetReply]:
        """Those of the replies that have arrived, each returned once."""
        self._collect()
        with self._lock:
            arrived = [one for one in message_ids if one in self._arrived]
            return {one: self._arrived.pop(one) for one in arrived}

    def wait(self, message_ids: Iterable[str], timeout: float, *, count: int | None = None) -> bool:
        """Block until `count` (default: all) of these messages are answered; False at timeout.

        A message counts as answered when `replies` would return something for it, or already has.
        """
        wanted = set(message_ids)
        count = len(wanted) if count is None else count
        deadline = time.monotonic() + timeout
        while True:
            seen = self._changes.count()
            self._collect()
            with self._lock:
                if self._closed:
                    return False
                open_ids = wanted & self._awaited.keys()
                nodes = {self._awaited[one] for one in open_ids}
            if len(wanted) - len(open_ids) >= count:
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            # A node that falls silent announces nothing, but when it counts as offline is known.
            silence = max(self._mailbox.online_until(nodes) - time.time(), 0.0) + 0.05
            self._changes.wait_beyond(seen, min(remaining, silence))

    def wait_online(self, node_ids: Iterable[int], timeout: float) -> bool:
        """Block until all of these nodes are connected; False at timeout or when the run closes."""
        wanted = frozenset(node_ids)
        deadline = time.monotonic() + timeout
        while True:
            seen = self._changes.count()
            with self._lock:
                if self._closed:
                    return False
            if wanted <= self._mailbox.online():
                return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            self._changes.wait_beyond(seen, remaining)

    def withdraw(self, message_ids: Iterable[str]) -> None:
        """Take back messages that nobody waits for any more; replies to them are refused.

        A node that comes back late must not compute, and spend, for a round that is over.
        """
        with self._lock:
            for message_id in set(message_ids) & self._awaited.keys():
                self._mailbox.delete_messages({message_id})
                del self._awaited[message_id]

    def close(self) -> None:
        """Forget every message and reply of the run; replies that still come are refused."""
        with self._lock:
            self._closed = True
            self._mailbox.delete_messages(set(self._awaited))
            self._awaited.clear()
            self._arrived.clear()
        self._changes.announce()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _collect(self) -> None:
        with self._lock:
            for message_id, node_id in list(self._awaited.items()):
                outcome = self._mailbox.outcome(message_id, node_id)
                if outcome is not None:
                    self._mailbox.delete_messages({message_id})
                    del self._awaited[message_id]
                    self._arrived[message_id] = outcome
