"""Enrolled hospitals as the Fleet knows them: name, key, node id."""

import threading

from connector.flower.server import FleetServer
from connector.identity.keys import VerifyKey
from connector.store import Participant
from coordinator.jobs.exchange import Member
from coordinator.office import Office, fleet_key_pem


class Roster:
    """Who may connect. Safe from any thread."""

    def __init__(self, office: Office, fleet: FleetServer) -> None:
        self._office = office
        self._fleet = fleet
        self._lock = threading.Lock()
        self._nodes: dict[str, int] = {}
        for participant in office.participants():
            self.admit(participant)

    def drop(self, name: str) -> None:
        """End the connection of a hospital that takes no longer part."""
        with self._lock:
            node_id = self._nodes.pop(name, None)
        if node_id is not None:
            self._fleet.unregister(node_id)

    def admit(self, participant: Participant) -> None:
        """Let a hospital connect by its key; a former key of the same name no longer can."""
        node_id = self._fleet.register(fleet_key_pem(participant), participant.name)
        with self._lock:
            previous = self._nodes.get(participant.name)
            self._nodes[participant.name] = node_id
        if previous is not None and previous != node_id:
            self._fleet.unregister(previous)

    def nodes(self) -> dict[str, int]:
        """Name -> node id."""
        with self._lock:
            return dict(self._nodes)

    def members(self) -> list[Member]:
        """Hospitals whose enrolment is in force, connected or not."""
        nodes, now = self.nodes(), self._office.clock()
        return [
            Member(p.name, VerifyKey.parse(p.signing_key), nodes[p.name])
            for p in self._office.participants()
            if p.name in nodes and p.not_after > now
        ]
