"""A payload as a Flower message: one record, one `bytes` value, inside the message itself."""

import hashlib
import secrets
import time

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message.message import make_message
from flwr.app.metadata import Metadata
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.error_pb2 import Error as ErrorProto
from flwr.proto.fleet_pb2 import PushMessagesRequest
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.message_pb2 import Metadata as MetadataProto
from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.node_pb2 import Node
from flwr.proto.recorddict_pb2 import ConfigRecord as ConfigRecordProto
from flwr.proto.recorddict_pb2 import ConfigRecordValue
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictProto

from connector.flower import FleetMessage, FleetReply

MESSAGE_TYPE = "query"
LIFETIME_SECONDS = 12 * 3600.0
URGENT = "urgent"  # the group of messages that wait for no computation
OVERHEAD_BYTES = 4096  # what a request adds to its payload; in fact a few hundred bytes

_KEY = "payload"
_MALFORMED = 1000  # a Flower error code beyond those that Flower uses


def instruction(run_id: int, node_id: int, payload: bytes, *, urgent: bool = False) -> Message:
    """A message from the coordinator to a node, ready to be stored."""
    # Not `Message(content, dst_node_id=...)`: that reads the run from process-global state, and
    # several runs are open at once. The id only has to be unique and look like an object's.
    metadata = Metadata(
        run_id=run_id,
        message_id=secrets.token_hex(32),
        src_node_id=SUPERLINK_NODE_ID,
        dst_node_id=node_id,
        reply_to_message_id="",
        group_id=URGENT if urgent else "",
        created_at=time.time(),
        ttl=LIFETIME_SECONDS,
        message_type=MESSAGE_TYPE,
    )
    metadata.delivered_at = ""
    return make_message(metadata, RecordDict({_KEY: ConfigRecord({_KEY: payload})}))


def received(message: MessageProto) -> FleetMessage | None:
    """What a node was sent, or None if it does not have the one form that is understood."""
    payload = _payload(message)
    if payload is None:
        return None
    metadata = message.metadata
    return FleetMessage(
        payload=payload,
        message_id=metadata.message_id,
        run_id=metadata.run_id,
        source=metadata.src_node_id,
        expires_at=metadata.created_at + metadata.ttl,
    )


def reply(node_id: int, message: FleetMessage, payload: bytes) -> PushMessagesRequest:
    """A node's answer. Sent twice (a connection broke), it is the same answer."""
    created_at = time.time()
    metadata = MetadataProto(
        run_id=message.run_id,
        src_node_id=node_id,
        dst_node_id=message.source,
        reply_to_message_id=message.message_id,
        created_at=created_at,
        ttl=message.expires_at - created_at,
        message_type=MESSAGE_TYPE,
    )
    digest = hashlib.sha256(metadata.SerializeToString(deterministic=True) + payload)
    metadata.message_id = digest.hexdigest()
    value = ConfigRecordValue(bytes=payload)
    record = ConfigRecordProto(items=[ConfigRecordProto.Item(key=_KEY, value=value)])
    content = RecordDictProto(items=[RecordDictProto.Item(key=_KEY, config_record=record)])
    return PushMessagesRequest(
        node=Node(node_id=node_id),
        messages_list=[MessageProto(metadata=metadata, content=content)],
        message_object_trees=[ObjectTree(object_id=metadata.message_id)],
    )


def admit(message: MessageProto) -> None:
    """Replace a reply's content that is not one payload by an error, before Flower reads it."""
    if message.HasField("content") and _payload(message) is None:
        message.ClearField("content")
    if not message.HasField("content") and not message.HasField("error"):
        message.error.CopyFrom(ErrorProto(code=_MALFORMED))


def outcome(reply_message: Message) -> FleetReply:
    """What an admitted reply says. A Flower error's text is the node's and is not passed on."""
    if reply_message.has_error():
        malformed = reply_message.error.code == _MALFORMED
        return FleetReply(None, "REPLY_MALFORMED" if malformed else "REPLY_ERROR")
    return FleetReply(reply_message.content[_KEY][_KEY])


def _payload(message: MessageProto) -> bytes | None:
    records = message.content.items
    if message.HasField("error") or len(records) != 1 or records[0].key != _KEY:
        return None
    values = records[0].config_record.items
    if len(values) != 1 or values[0].key != _KEY or values[0].value.WhichOneof("value") != "bytes":
        return None
    payload: bytes = values[0].value.bytes
    return payload
