"""`commensal node run`: messages from the coordinator go to the gate, its answers go back.

The node only makes outbound connections. What it prints is for the hospital's own console and
holds codes and counts, never a record.
"""

import signal
import threading
from collections.abc import Callable

from connector.audit.log import Log
from connector.clock import utc_now
from connector.errors import LocalError, RemoteError
from connector.flower.client import FleetClient
from connector.folds import Split
from connector.identity.enrolment import Membership
from connector.identity.keys import SigningKey, read_secret
from connector.jobs import JobSpec
from node import config
from node.config import Paths
from node.data.dataset import Dataset
from node.enrol import read_membership, read_pinned
from node.gate import Gate
from node.worker import Assignment, Sandbox, Worker
from policies.errors import Error

_RECEIVE_SECONDS = 20.0


class Service:
    """One running node. Everything that can be wrong is found before the first connection."""

    def __init__(self, paths: Paths, say: Callable[[str], None]) -> None:
        self._paths = paths
        self._say = say
        self._stop = threading.Event()
        self._newest: Worker | None = None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises `LocalError` for configuration, keys, enrolment and the log; `RemoteError` when the
        coordinator cannot be reached for `give_up_seconds`.
        """
        settings = config.load(self._paths)
        address, coordinator = read_pinned(self._paths)
        key = SigningKey.load(self._paths.signing_key)
        membership = read_membership(self._paths, coordinator, utc_now())
        self._check_name(settings.name, key)
        holdings = config.holdings(self._paths, settings)
        with Log.open(self._paths.log, key) as log:
            for line in log.recovered:
                self._say(line)
            gate = Gate(
                key=key,
                coordinator=coordinator,
                log=log,
                holdings=holdings,
                open_worker=self._worker_opener(settings),
                clock=utc_now,
                messages_per_minute=settings.messages_per_minute,
            )
            self._check_log(gate, membership)
            client = FleetClient(
                address,
                root_certificates=self._paths.authority.read_bytes(),
                private_key=read_secret(self._paths.fleet_key),
                give_up=settings.give_up_seconds,
            )
            try:
                self._serve(client, gate, membership)
            except RemoteError:
                if not self._stop.is_set():  # else it is our own closing of the connection
                    raise
            finally:
                gate.close()
                client.close()
            self._say("stopped")

    def _serve(self, client: FleetClient, gate: Gate, membership: Membership) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._leave(client, gate))
        client.connect()
        self._say("connected; waiting for jobs")
        while not self._stop.is_set():
            gate.sweep()
            message = client.receive(_RECEIVE_SECONDS)
            if message is None:
                continue
            # Also the end of a clock that jumped ahead: nothing is logged by its time.
            membership.check_validity(utc_now())
            answer = gate.handle(message.payload)
            if answer is None:
                continue
            try:
                client.reply(message, answer)
            except RemoteError as error:
                if error.code != "REPLY_REFUSED":
                    raise
                self._say("an answer came too late and was not taken")

    def _leave(self, client: FleetClient, gate: Gate) -> None:
        self._stop.set()

        def end() -> None:
            if self._newest is not None:  # it may still be loading, unknown to the gate
                self._newest.abort()
            gate.abort()
            client.close()

        # `close` speaks to the network: not from within a signal handler.
        threading.Thread(target=end, daemon=True).start()

    def _worker_opener(self, settings: config.NodeConfig) -> Callable[[Dataset, JobSpec], Worker]:
        sandbox = Sandbox(
            forbidden=(self._paths.signing_key, self._paths.log / "entries"),
            allow_weaker_isolation=settings.allow_weaker_isolation,
        )

        def open_worker(dataset: Dataset, spec: JobSpec) -> Worker:
            split = Split(salt=spec.digest.removeprefix("sha256:"), holdout=spec.holdout)
            try:
                return Worker.start(
                    Assignment(dataset, spec.features, spec.tasks, split),
                    sandbox,
                    spawned=self._spawned,
                )
            except Error as error:
                # The coordinator gets the code only; the hospital's own console gets the remedy.
                self._say(f"{dataset.id}: {error.diagnostics()} [{error.code}]")
                raise

        return open_worker

    def _spawned(self, worker: Worker) -> None:
        self._newest = worker

    def _check_log(self, gate: Gate, membership: Membership) -> None:
        """The log is the memory: a new one would know of no budget that was spent."""
        if membership.digest not in gate.ledger.memberships:
            raise LocalError(
                "LOG_MISSING",
                f"the log in {self._paths.log} does not hold this node's enrolment",
                "Restore it from a backup; without it nobody knows what was spent",
            )

    def _check_name(self, name: str, key: SigningKey) -> None:
        if name != key.name:
            raise LocalError(
                "NAME_DIFFERS",
                f"{self._paths.config} says {name}, but this node is enrolled as {key.name}",
                "Correct `name` in node.toml, or enrol again",
            )
