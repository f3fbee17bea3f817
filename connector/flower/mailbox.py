"""Flower's link state, in memory, holding messages whole: nodes, messages and replies.

Only what is between sending and answering is kept. The coordinator's own state is elsewhere; after
its restart nodes are registered again and start a new exchange.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Message
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID
from flwr.proto.message_pb2 import ObjectTree
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.constant import NOOP_FEDERATION_ID, NodeStatus, TaskType
from flwr.supercore.date import now
from flwr.supercore.object_store.in_memory_object_store import InMemoryObjectStore
from flwr.superlink.federation import NoOpFederationManager

from connector.flower import FleetReply, wire


class NotAwaitedError(Exception):
    """A reply that answers no open message of that node."""


class _NoObjects(InMemoryObjectStore):  # type: ignore[misc] # mypy is told to skip flwr
    # Messages are whole; to Flower each is a tree of one object that nobody fetches.
    def preregister(self, run_id: int, object_tree: Any) -> list[str]:  # noqa: ARG002 - Flower's signature
        return []

    def get_object_tree(self, object_id: str) -> Any:
        return ObjectTree(object_id=object_id)

    def put(self, object_id: str, object_content: bytes) -> None:
        pass


class Mailbox(InMemoryLinkState):  # type: ignore[misc] # mypy is told to skip flwr
    """Link state of one permanent Flower run; `on_change` is called without any lock held."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        super().__init__(NoOpFederationManager(), _NoObjects())
        self._on_change = on_change
        self._visits: Counter[int] = Counter()
        self.run_id: int = self._open_permanent_run()

    def _open_permanent_run(self) -> int:
        run_id: int = self.create_run(
            None, None, None, {}, NOOP_FEDERATION_ID, None, None, TaskType.SERVER_APP
        )
        task_id = self.run_ids[run_id].run.primary_task_id
        self.claim_task(task_id)
        self.activate_task(task_id)
        # Flower fails a run whose task has not sent a heartbeat for a minute; without its token
        # there is nothing to expire (threat: a laptop that slept in the middle of a job).
        self.task_token_store.clear()
        self.task_token_to_task_id.clear()
        return run_id

    def register(self, public_key: bytes, name: str) -> int:
        """The node id of a key; the same one as long as the key is registered."""
        with self.lock:
            node_id = self.get_node_id_by_public_key(public_key)
            if node_id is None:
                node_id = self.create_node(
                    NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, public_key, 0, name=name
                )
            return int(node_id)

    def forget(self, node_id: int) -> None:
        """Remove a node and its key; Flower would keep the key barred for ever."""
        with self.lock:
            node = self.nodes.pop(node_id, None)
            self._visits.pop(node_id, None)
            if node is not None:
                del self.node_public_key_to_node_id[node.public_key]
                self.owner_to_node_ids[node.owner_aid].discard(node_id)
        self._on_change()

    def activate_node(self, node_id: int, heartbeat_interval: float) -> bool:
        """Let a restarted node take its place back at once.

        Flower refuses until the old heartbeat has expired. The caller has proved that it holds
        the node's key, so the old process is gone or is an impostor either way.
        """
        with self.lock:
            super().deactivate_node(node_id)
            activated = bool(super().activate_node(node_id, heartbeat_interval))
            self._visits[node_id] += activated
        self._on_change()
        return activated

    def deactivate_node(self, node_id: int) -> bool:
        """As in Flower; whoever waits for the node learns of it."""
        left = bool(super().deactivate_node(node_id))
        self._on_change()
        return left

    def online(self) -> frozenset[int]:
        """Nodes whose heartbeat has not expired."""
        return frozenset(node.node_id for node in self.get_node_info(statuses=[NodeStatus.ONLINE]))

    def visits(self) -> dict[int, int]:
        """How often each node that is online has been activated."""
        with self.lock:
            return {node_id: self._visits[node_id] for node_id in self.online()}

    def owes(self, node_id: int) -> bool:
        """Whether any message to the node is unanswered."""
        return bool(self._unanswered(node_id))

    def online_until(self, node_ids: Iterable[int]) -> float:
        """Unix time at which the first of these nodes will count as offline."""
        with self.lock:
            known = [
                self.nodes[node_id].online_until for node_id in node_ids if node_id in self.nodes
            ]
        return min(known, default=0.0)

    def start_session(self, run_id: int) -> str:  # noqa: ARG002 - Flower's signature
        """No object follows a message, so there is nothing to keep a session of."""
        return ""

    def store_message_and_object_tree(
        self,
        message: Message,
        object_tree: Any,  # noqa: ARG002 - Flower's signature
        session_id: str,  # noqa: ARG002 - Flower's signature
    ) -> tuple[bool, list[str]]:
        """Store a reply. Raises `NotAwaitedError`, where Flower would report success."""
        if self.store_message_res(message) is None:
            raise NotAwaitedError
        self._on_change()
        return True, []

    def awaits(self, message_id: str, node_id: int) -> bool:
        """Whether `node_id` was sent this message and has not answered it."""
        with self.lock:
            sent = self.message_ins_store.get(message_id)
            answered = message_id in self.message_ins_id_to_message_res_id
            return sent is not None and not answered and sent.metadata.dst_node_id == node_id

    def news(self, node_id: int) -> bool | None:
        """True if a message lies here for the node, False if it has left, None otherwise."""
        if any(not sent.metadata.delivered_at for sent in self._unanswered(node_id)):
            return True
        return None if node_id in self.online() else False

    def redeliver(self, node_id: int, held: frozenset[str]) -> None:
        """Lay out again what was given to a node, is unanswered and is not held by it."""
        for sent in self._unanswered(node_id):
            if sent.metadata.message_id not in held:
                sent.metadata.delivered_at = ""

    def withhold(self, node_id: int) -> None:
        """Leave all but urgent messages for the node's next pull that asks for any."""
        delivered_at = now().isoformat()
        for sent in self._unanswered(node_id):
            if sent.metadata.group_id != wire.URGENT and not sent.metadata.delivered_at:
                sent.metadata.delivered_at = delivered_at

    def _unanswered(self, node_id: int) -> list[Message]:
        with self.lock:
            return [
                sent
                for message_id, sent in self.message_ins_store.items()
                if sent.metadata.dst_node_id == node_id
                and message_id not in self.message_ins_id_to_message_res_id
            ]

    def outcome(self, message_id: str, node_id: int) -> FleetReply | None:
        """The reply, or why there will be none, or None while it can still come.

        Flower's own `get_message_res` drops the reply of a node that answered and then left.
        """
        with self.lock:
            reply_id = self.message_ins_id_to_message_res_id.get(message_id)
            if reply_id is not None:
                return wire.outcome(self.message_res_store[reply_id])
            self._check_stored_messages({message_id})
            if message_id not in self.message_ins_store:
                return FleetReply(None, "MESSAGE_EXPIRED")
            if not self.get_node_info(node_ids=[node_id], statuses=[NodeStatus.ONLINE]):
                return FleetReply(None, "NODE_OFFLINE")
            return None
