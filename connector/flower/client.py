"""A node's side: connect, receive bytes, reply. Outbound connections only.

A loop of our own over Flower's Fleet calls, not Flower's SuperNode connection: that one ends the
process, by signal, when the coordinator has forgotten the node.
"""

import logging
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import httpx
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node

from connector.errors import LocalError, RemoteError
from connector.flower import MAX_BODY_BYTES, MAX_HOLD_SECONDS, FleetMessage, keys, version, wire
from connector.flower.http import FleetHttp, translate

_log = logging.getLogger("connector.flower")

# A node counts as offline after two intervals without a heartbeat.
HEARTBEAT_INTERVAL = 15.0
_MAX_HELD = 512
_MAX_DELAY = 5.0
_ADDRESS = re.compile(r"[A-Za-z0-9.\[\]:-]{1,255}:[0-9]{1,5}\Z", re.ASCII)


class FleetClient:
    """One node's connection. `receive` and `receive_urgent`: one thread each; others: any."""

    def __init__(
        self,
        address: str,
        *,
        root_certificates: bytes,
        private_key: bytes,
        max_body_bytes: int = MAX_BODY_BYTES,
        give_up: float = 60.0,
    ) -> None:
        """Prepare, without connecting.

        `address` is host:port; `root_certificates` PEM, the only authority that is trusted;
        `private_key` PEM (see `keys`); `give_up` the seconds for which a lost coordinator is
        sought. Raises `LocalError` (ADDRESS_MALFORMED, CERTIFICATE_MALFORMED, KEY_MALFORMED).
        """
        version.check()
        version.silence()
        if not _ADDRESS.match(address):
            raise LocalError(
                "ADDRESS_MALFORMED", f"{address!r} is not an address", "Write it as host:port"
            )
        self.max_payload_bytes = max_body_bytes - wire.OVERHEAD_BYTES
        self._address = address
        self._public_key = keys.public_bytes(private_key)
        self._http = FleetHttp(address, root_certificates, keys.load(private_key), max_body_bytes)
        self._give_up = give_up
        self._node: Any = None
        self._held: deque[str] = deque(maxlen=_MAX_HELD)
        self._troubled_since: float | None = None
        self._closed = threading.Event()
        self._closing = threading.Lock()
        self._receiving = threading.Lock()
        self._heart = threading.Thread(target=self._beat, name="fleet-heartbeat", daemon=True)

    def connect(self) -> None:
        """Take this node's place; a former process of the same node loses it.

        Raises `RemoteError`: COORDINATOR_UNREACHABLE, COORDINATOR_CERTIFICATE, NODE_NOT_ENROLLED
        or COORDINATOR_REFUSED.
        """
        request = ActivateNodeRequest(
            public_key=self._public_key, heartbeat_interval=HEARTBEAT_INTERVAL
        )
        response = self._call(self._http.ActivateNode, request)
        self._node = Node(node_id=response.node_id)
        self._held.clear()
        if not self._heart.is_alive():
            self._heart.start()

    def receive(self, timeout: float) -> FleetMessage | None:
        """The next message, or None after `timeout` seconds or `close`.

        A coordinator that has gone is sought for `give_up` seconds, then the `RemoteError` is
        raised (COORDINATOR_UNREACHABLE; NODE_NOT_ENROLLED if it came back without this node).
        """
        deadline = time.monotonic() + timeout
        delay = 0.1
        with self._receiving:
            while not self._closed.is_set():
                remaining = max(deadline - time.monotonic(), 0.0)
                try:
                    message = self._pull(remaining)
                    self._troubled_since = None
                except RemoteError as error:
                    self._endure(error)
                    delay = self._pause(min(delay, remaining))
                    message = None
                if message is not None or time.monotonic() >= deadline:
                    return message
        return None

    def receive_urgent(self, timeout: float) -> FleetMessage | None:
        """The next message that waits for no computation; for another thread, while one runs.

        `receive` ends it, and meets whatever trouble there is. None after `timeout`, too.
        """
        try:
            return self._pull(timeout, urgent=True)
        except RemoteError:
            self._closed.wait(min(timeout, 1.0))
            return None

    def reply(self, message: FleetMessage, payload: bytes) -> None:
        """Answer a message, trying for `give_up` seconds.

        Raises `LocalError` (MESSAGE_TOO_LARGE) or `RemoteError`: REPLY_REFUSED if the answer is
        no longer awaited (the job has ended), COORDINATOR_UNREACHABLE.
        """
        if len(payload) > self.max_payload_bytes:
            raise LocalError(
                "MESSAGE_TOO_LARGE",
                f"a reply of {len(payload)} bytes exceeds {self.max_payload_bytes}",
            )
        request = wire.reply(self._node.node_id, message, payload)
        since = time.monotonic()
        delay, attempts = 0.1, 0
        while True:
            attempts += 1
            try:
                self._call(self._http.PushMessages, request)
            except RemoteError as error:
                if error.code == "REPLY_REFUSED" and attempts > 1:
                    break  # an earlier attempt arrived, and only its acknowledgement was lost
                if error.code == "NODE_NOT_ENROLLED":
                    raise RemoteError(
                        "REPLY_REFUSED", "the coordinator was restarted and forgot the message"
                    ) from error
                gone = time.monotonic() - since > self._give_up or self._closed.is_set()
                if error.code != "COORDINATOR_UNREACHABLE" or gone:
                    raise
                delay = self._pause(delay)
            else:
                break
        with suppress(ValueError):
            self._held.remove(message.message_id)

    def close(self) -> None:
        """Leave. The coordinator answers the held request of a blocked `receive` at once.

        A second call waits for the first, so that a process does not end in the middle of it.
        """
        with self._closing:
            if self._closed.is_set():
                return
            self._closed.set()
            if self._node is not None:
                with suppress(RemoteError):  # it will notice by the missing heartbeat
                    request = DeactivateNodeRequest(node_id=self._node.node_id)
                    self._call(self._http.DeactivateNode, request)
                self._heart.join(timeout=1.0)
            received = self._receiving.acquire(timeout=2.0)
            self._http.close()
            if received:
                self._receiving.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _pull(self, timeout: float, *, urgent: bool = False) -> FleetMessage | None:
        asked = min(timeout, MAX_HOLD_SECONDS)
        self._http.pull.hold_seconds, self._http.pull.urgent = asked, urgent
        began = time.monotonic()
        request = PullMessagesRequest(node=self._node, message_ids=list(self._held))
        response: PullMessagesResponse = self._call(self._http.PullMessages, request)
        if not response.messages_list:
            # The server is stopping, or another process of this node takes turns with us.
            if time.monotonic() - began < asked / 2:
                self._closed.wait(min(asked / 2, 0.5))
            return None
        self._held.append(response.messages_list[0].metadata.message_id)
        message = wire.received(response.messages_list[0])
        if message is None:
            raise RemoteError("MESSAGE_MALFORMED", "the coordinator sent what is not a message")
        return message

    def _endure(self, error: RemoteError) -> None:
        now = time.monotonic()
        self._troubled_since = self._troubled_since or now
        lost = error.code in ("COORDINATOR_UNREACHABLE", "NODE_NOT_ENROLLED")
        if not lost or now - self._troubled_since > self._give_up:
            raise error
        if error.code == "NODE_NOT_ENROLLED":
            # The coordinator was restarted: it knows us again once it has registered its nodes.
            with suppress(RemoteError):
                self.connect()

    def _pause(self, delay: float) -> float:
        # Jitter, so that a restarted coordinator is not met by all nodes at one moment.
        self._closed.wait(delay * (0.5 + secrets.randbelow(1000) / 1000))
        return min(delay * 2, _MAX_DELAY)

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT_INTERVAL / 2):
            request = SendNodeHeartbeatRequest(
                node=self._node, heartbeat_interval=HEARTBEAT_INTERVAL
            )
            try:
                self._call(self._http.SendNodeHeartbeat, request)
            except RemoteError as error:
                # `receive` meets the same trouble and decides what becomes of it.
                _log.debug("heartbeat failed: %s", error.code)

    def _call(self, method: Callable[[Any], Any], request: Any) -> Any:
        try:
            return method(request)
        except httpx.HTTPError as error:
            raise translate(self._address, error) from error
        except ValueError as error:  # Flower's word for bytes that are not its protobuf
            raise RemoteError(
                "COORDINATOR_REFUSED", "an answer is not of the Fleet protocol"
            ) from error
        except RuntimeError as error:  # httpx's, for a client that was closed in another thread
            raise RemoteError("COORDINATOR_UNREACHABLE", "the connection was closed") from error
