"""The road that messages travel: Flower's Fleet protocol, embedded, and nothing else of Flower.

The only package that touches Flower. What its users see is free of it: bytes go to a node, bytes
come back. No code travels: there is no app bundle, and the calls that would fetch one, or
register a node, or control a run, do not exist on this server.

How Flower is used. The payload travels inside Flower's message, as one `ConfigRecord` with one
`bytes` value, in `PullMessages` and `PushMessages` themselves. Stock Flower strips the content and
moves every nested object with a request of its own; inline, an exchange is two HTTP requests
instead of nine, a reply is complete when it is listed, and the calls that move single objects
(which check no ownership: any node may read or delete any object whose hash it knows) are not
served. Five calls remain: activate, deactivate, heartbeat, pull, push.

Delivery is at least once: a pull lists the messages that the node holds, and what was delivered,
is unanswered and is not listed is delivered again (a connection broke, a node was restarted).
Replies are accepted once.

A node that computes leaves its messages at the server, where they can still be taken back; it goes
on asking for those that are *urgent* alone (a permit's revocation), which wait for no computation.
"""

import os
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connector.flower.client import FleetClient as FleetClient
    from connector.flower.server import FleetRun as FleetRun
    from connector.flower.server import FleetServer as FleetServer

# Read when Flower is imported: it would report to its makers and look for updates.
os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"

MAX_BODY_BYTES = 64 << 20
MAX_HOLD_SECONDS = 20.0
WAIT_HEADER = "commensal-wait"
URGENT_HEADER = "commensal-urgent"

_HOMES = {"FleetClient": "client", "FleetRun": "server", "FleetServer": "server"}


@dataclass(frozen=True)
class FleetMessage:
    """What a node received; the rest is what it takes to reply."""

    payload: bytes
    message_id: str
    run_id: int
    source: int
    expires_at: float


@dataclass(frozen=True)
class FleetReply:
    """What came back: a payload, or why there is none.

    Codes: NODE_OFFLINE, MESSAGE_EXPIRED, REPLY_ERROR (a Flower error), REPLY_MALFORMED.
    """

    payload: bytes | None
    error_code: str | None = None


def __getattr__(name: str) -> Any:
    """Load one side of the protocol when it is asked for: Flower takes a second to import."""
    if name not in _HOMES:
        raise AttributeError(name)
    import_module("connector.flower.version").check()
    return getattr(import_module(f"connector.flower.{_HOMES[name]}"), name)
