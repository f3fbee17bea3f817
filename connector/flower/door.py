"""The five calls of the Fleet API that exist here, as one small ASGI application.

Order at the door: the path (all else is 404), the caller's key and signature, for a reply whether
one is owed, the size, the body, the caller's right to what the body says, and only then Flower's
handler. Flower reads bodies before it knows the caller, and lets a node answer in another's name;
both end here.
"""

import asyncio
import json
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import HTTPException, Request
from flwr.proto import fleet_pb2, heartbeat_pb2
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supercore.error import FlowerError
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from flwr.superlink.servicer.fleet import fleet_handlers
from google.protobuf.message import (  # type: ignore[import-untyped] # ships no types
    DecodeError,
    Message,
)

from connector.flower import MAX_HOLD_SECONDS, URGENT_HEADER, WAIT_HEADER, wire
from connector.flower.hold import Holds
from connector.flower.mailbox import Mailbox, NotAwaitedError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_REQUESTS: dict[str, type[Message]] = {
    "/v1/fleet/activate-node": fleet_pb2.ActivateNodeRequest,
    "/v1/fleet/deactivate-node": fleet_pb2.DeactivateNodeRequest,
    "/v1/fleet/send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest,
    "/v1/fleet/pull-messages": fleet_pb2.PullMessagesRequest,
    "/v1/fleet/push-messages": fleet_pb2.PushMessagesRequest,
}
_PUSH = "/v1/fleet/push-messages"
_SMALL_BODY_BYTES = 64 << 10
_BODY_SECONDS = 600
_MESSAGE_ID = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_WAIT = re.compile(r"[0-9]{1,4}(\.[0-9]{1,3})?\Z", re.ASCII)


class _Refused(Exception):  # noqa: N818 - an answer, not an error of ours
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Door:
    """ASGI application. Works alone, mounted at any prefix, or called for `/v1/fleet/` paths."""

    def __init__(self, mailbox: Mailbox, holds: Holds, max_body_bytes: int) -> None:
        self._mailbox = mailbox
        self._holds = holds
        self._max_body_bytes = max_body_bytes
        self._pushes: dict[int, asyncio.Future[bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a refusal is JSON with a fixed code and nothing of the request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        if scope["type"] != "http":
            return
        media_type = PROTOBUF_MEDIA_TYPE
        try:
            status, content = 200, await self._answer(scope, receive)
        except _Refused as refusal:
            status, content = refusal.status, json.dumps({"code": refusal.code}).encode()
            media_type = "application/json"
        length = str(len(content)).encode()
        headers = [(b"content-type", media_type.encode()), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Scope, receive: Receive) -> bytes:
        # The whole path, so that a mount's prefix (`root_path`) changes nothing.
        path = scope["path"]
        if scope["method"] != "POST" or path not in _REQUESTS:
            raise _Refused(404, "NOT_FOUND")
        key, node_id = await asyncio.to_thread(self._authenticate, scope)
        if path == _PUSH:
            body = await self._read_push(scope, receive, node_id)
        else:
            body = await _read(scope, receive, min(_SMALL_BODY_BYTES, self._max_body_bytes))
        try:
            request = _REQUESTS[path].FromString(body)
        except DecodeError as error:
            raise _Refused(400, "REQUEST_MALFORMED") from error
        del body
        _check_claim(request, key, node_id)
        if isinstance(request, fleet_pb2.PullMessagesRequest):
            urgent = URGENT_HEADER.encode() in dict(scope["headers"])
            self._mailbox.redeliver(node_id, frozenset(request.message_ids))
            if urgent:
                self._mailbox.withhold(node_id)
            if not await self._hold(node_id, scope, receive):
                return b""  # an empty PullMessagesResponse
            if urgent:  # the news may have been another message
                self._mailbox.withhold(node_id)
        return await asyncio.to_thread(self._handle, request, node_id)

    async def _read_push(self, scope: Scope, receive: Receive, node_id: int) -> bytes:
        """Read a reply of a node that owes one; a newer push of the same node ends the older.

        Threat: one enrolled node that fills the memory with pushes that it never finishes.
        """
        if not self._mailbox.owes(node_id):
            raise _Refused(409, "REPLY_NOT_AWAITED")
        older = self._pushes.get(node_id)
        if older is not None:
            older.cancel()
        reading = asyncio.ensure_future(_read(scope, receive, self._max_body_bytes))
        self._pushes[node_id] = reading
        try:
            await asyncio.wait({reading})
            if reading.cancelled():
                raise _Refused(408, "REQUEST_REPLACED")
            return reading.result()
        finally:
            reading.cancel()
            if self._pushes.get(node_id) is reading:
                del self._pushes[node_id]

    def _authenticate(self, scope: Scope) -> tuple[bytes, int]:
        unknown = _Refused(401, "NODE_NOT_ENROLLED")
        try:
            encoded = dict(scope["headers"])[FLEET_HTTP_PUBLIC_KEY_HEADER.lower().encode()]
            key = b64decode(encoded, validate=True)
        except (KeyError, Base64Error) as error:
            raise unknown from error
        node_id = self._mailbox.get_node_id_by_public_key(key)
        if node_id is None:
            raise unknown
        # Flower checks timestamp and signature against the key of an activation; the rest of its
        # check needs the body, which is not read for strangers.
        request = Request({**scope, "state": {}})
        request.state.protobuf_request = fleet_pb2.ActivateNodeRequest(public_key=key)
        try:
            authenticate_node(request)
        except HTTPException as error:
            raise unknown from error
        return key, int(node_id)

    async def _hold(self, node_id: int, scope: Scope, receive: Receive) -> bool:
        wanted = dict(scope["headers"]).get(WAIT_HEADER.encode(), b"").decode("latin-1")
        if not _WAIT.match(wanted):
            return True
        seconds = min(float(wanted), MAX_HOLD_SECONDS)
        # The body has been read: the next thing to receive is the news that the caller has gone,
        # and then the message must stay here.
        return await self._holds.hold(
            node_id, seconds, gone=receive, verdict=lambda: self._mailbox.news(node_id)
        )

    def _handle(self, request: Any, node_id: int) -> bytes:
        mailbox = self._mailbox
        try:
            match request:
                case fleet_pb2.PullMessagesRequest():
                    result = fleet_handlers.pull_messages(request, mailbox, mailbox.object_store)
                case fleet_pb2.PushMessagesRequest():
                    self._check_reply(request, node_id)
                    result = fleet_handlers.push_messages(request, mailbox)
                case fleet_pb2.ActivateNodeRequest():
                    self._holds.end(node_id)
                    result = fleet_handlers.activate_node(request, mailbox)
                case fleet_pb2.DeactivateNodeRequest():
                    result = fleet_handlers.deactivate_node(request, mailbox)
                    self._holds.end(node_id)  # after: a pull that comes later sees it offline
                case _:
                    result = fleet_handlers.send_node_heartbeat(request, mailbox)
        except NotAwaitedError as error:
            raise _Refused(409, "REPLY_NOT_AWAITED") from error
        except FlowerError as error:
            raise _Refused(409, "REQUEST_REFUSED") from error
        return bytes(result.SerializeToString())

    def _check_reply(self, request: Any, node_id: int) -> None:
        if len(request.messages_list) != 1 or len(request.message_object_trees) != 1:
            raise _Refused(400, "REQUEST_MALFORMED")
        metadata = request.messages_list[0].metadata
        if metadata.src_node_id != node_id:
            raise _Refused(403, "NOT_YOURS")
        if metadata.message_type != wire.MESSAGE_TYPE or not _MESSAGE_ID.match(metadata.message_id):
            raise _Refused(400, "REQUEST_MALFORMED")
        asked = metadata.run_id == self._mailbox.run_id
        if not asked or not self._mailbox.awaits(metadata.reply_to_message_id, node_id):
            raise NotAwaitedError
        wire.admit(request.messages_list[0])


def _check_claim(request: Any, key: bytes, node_id: int) -> None:
    if isinstance(request, fleet_pb2.ActivateNodeRequest):
        own = request.public_key == key
    elif isinstance(request, fleet_pb2.DeactivateNodeRequest):
        own = request.node_id == node_id
    else:
        own = request.node.node_id == node_id
    if not own:
        raise _Refused(401, "NODE_NOT_ENROLLED")


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes:
    too_large = _Refused(413, "REQUEST_TOO_LARGE")
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:
        raise too_large
    body = bytearray()
    more = True
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while more:
                event = await receive()
                if event["type"] != "http.request":
                    raise _Refused(400, "REQUEST_MALFORMED")
                body += event.get("body", b"")
                more = event.get("more_body", False)
                if len(body) > limit:
                    raise too_large
    except TimeoutError as error:
        raise _Refused(408, "REQUEST_TOO_SLOW") from error
    return bytes(body)
