"""A data space in which coordinator and nodes negotiate: certificates, ports, configuration."""

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from dataspace import NAMES, DataSpace, hospital, logged

from connector.audit import entries
from connector.clock import utc_now
from connector.identity import certificates
from connector.store import Store
from coordinator import office
from coordinator.sandbox import Sandbox


@dataclass
class Contracted:
    """A running data space with contracts, and where each participant serves the protocol."""

    space: DataSpace
    ports: dict[str, int]

    @property
    def sandbox(self) -> Sandbox:
        return self.space.sandbox

    def moves(self, name: str, kind: str = "negotiation") -> list[str]:
        """States that processes of one kind went through, in the order of a participant's log."""
        return [
            one.after
            for one in self.contract_entries(name, entries.ContractMoved)
            if one.process_kind == kind
        ]

    def contract_entries(self, name: str, kind: type) -> list:
        return list(logged(self.sandbox.directory(name) / "log", kind))

    def store(self, name: str) -> Store:
        place = self.sandbox.directory(name) / "dataspace.db"
        return Store(f"sqlite:///{place}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def open_contracted(root: Path, texts: Path, sandbox: Sandbox, handling: str = "automatic",
                    wait: int = 60) -> Contracted:  # fmt: skip
    """A coordinator and three hospitals, each with a connector of its own behind real TLS."""
    ports = {name: free_port() for name in ("coordinator", *NAMES)}
    office.create(root / "coordinator", "hdab", "127.0.0.1", 0)
    space = DataSpace(sandbox, texts)
    hospitals = [
        hospital(
            name,
            settings=table(ports[name], f'handling = "{handling}"', ports["coordinator"]),
        )
        for name in NAMES
    ]
    config = root / "coordinator" / "coordinator.toml"
    peers = "".join(
        f'\n[[peers]]\nparticipant = "{name}"\naddress = "https://127.0.0.1:{ports[name]}/2025-1"\n'
        for name in NAMES
    )
    own = table(ports["coordinator"], f"wait_seconds = {wait}", 0)
    config.write_text(config.read_text() + own + peers)
    certify(root / "coordinator", root / "coordinator")
    sandbox.start_coordinator()
    for one in hospitals:
        sandbox.prepare(one)
        certify(root / "coordinator", sandbox.directory(one.name))
    sandbox.enrol(NAMES)
    sandbox.start_nodes(NAMES)
    return Contracted(space, ports)


def table(port: int, more: str, peer: int) -> str:
    allowed = f'"127.0.0.1:{peer}"' if peer else ""
    return (
        f'\n[dataspace]\naddress = "https://127.0.0.1:{port}"\nlisten = "127.0.0.1:{port}"\n'
        f'tls = {{ certificate = "tls/server.pem", key = "tls/server.key" }}\n'
        f"private_hosts = [{allowed}]\n{more}\n"
    )


def certify(authority: Path, directory: Path) -> None:
    """A certificate for this machine from the coordinator's own authority."""
    place = directory / "tls"
    place.mkdir(mode=0o700)
    for name in ("ca.key", "ca.pem"):
        shutil.copy2(authority / "identity" / name, place / name)
    certificates.renew_server_certificate(place, "127.0.0.1", utc_now())
    (place / "ca.key").unlink()
