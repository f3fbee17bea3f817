"""`commensal node run`: messages from the coordinator go to the gate, its answers go back.

The node only makes outbound connections. What it prints is for the hospital's own console and
holds codes and counts, never a record.
"""

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from connector.audit import entries
from connector.audit.log import Log
from connector.clock import utc_now
from connector.errors import LocalError, RemoteError
from connector.flower import FleetMessage
from connector.flower.client import FleetClient
from connector.folds import Split
from connector.identity.enrolment import Membership
from connector.identity.keys import SigningKey, VerifyKey, read_secret
from connector.jobs import JobSpec
from node import config
from node.config import Paths
from node.data.dataset import Dataset
from node.enrol import read_membership, read_pinned
from node.gate import Gate
from node.intake import Intake
from node.participants import Follower
from node.renewal import due_at, renew
from node.worker import Assignment, Sandbox, Worker
from policies.errors import Error

if TYPE_CHECKING:
    from node.dataspace import NodeConnector

# Also how soon the coordinator learns of a policy that was activated.
_RECEIVE_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_URGENT_SECONDS = 1.0
_RETRY = timedelta(hours=1)


class Service:
    """One running node. Everything that can be wrong is found before the first connection."""

    def __init__(self, paths: Paths, say: Callable[[str], None]) -> None:
        self._paths = paths
        self._say = say
        self._stop = threading.Event()
        self._offers_changed = threading.Event()
        self._trouble: LocalError | None = None
        self._newest: Worker | None = None
        self._leaving = False
        self._busy_since: float | None = None
        self._renew_at = datetime.min.replace(tzinfo=UTC)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; an enrolment that is renewed begins a new connection.

        Raises `LocalError` for configuration, keys, enrolment and the log; `RemoteError` when the
        coordinator cannot be reached for `give_up_seconds`.
        """
        while self._run_once():
            self._stop.clear()
            if self._leaving:  # told so in between
                return

    def _run_once(self) -> bool:
        """Whether to go on, with what has been renewed."""
        settings = config.load(self._paths)
        address, coordinator = read_pinned(self._paths)
        key = SigningKey.load(self._paths.signing_key)
        membership = self._membership(key, address, coordinator)
        self._check_name(settings.name, key)
        datasets = config.datasets(self._paths, settings)
        with Log.open(self._paths.log, key) as log:
            for line in log.recovered:
                self._say(line)
            gate = Gate(
                key=key,
                coordinator=coordinator,
                log=log,
                intake=Intake(
                    key.name, settings.officer_keys, datasets, self._paths.inbox, self._say
                ),
                open_worker=self._worker_opener(settings),
                clock=utc_now,
                messages_per_minute=settings.messages_per_minute,
                by_contract=settings.dataspace is not None,
            )
            gate.interrupt_by(self._interrupt)
            gate.on_revoked(self._tell_revoked)
            self._check_log(gate, membership)
            self._tell_unfit(gate, datasets)
            client = FleetClient(
                address,
                root_certificates=self._paths.authority.read_bytes(),
                private_key=read_secret(self._paths.fleet_key),
                give_up=settings.give_up_seconds,
            )
            beside = (
                threading.Thread(target=self._watch, args=(client, gate), daemon=True),
                threading.Thread(target=self._listen, args=(client, gate, membership), daemon=True),
            )
            follower = Follower(self._paths, address, coordinator, self._say)
            ended = threading.Event()
            dataspace = self._dataspace(settings, key, coordinator, client, gate)
            try:
                if dataspace is not None and settings.dataspace is not None:
                    dataspace.start()
                    self._say(f"dataspace: served at {settings.dataspace.root}")
                threading.Thread(target=follower.run, args=(ended,), daemon=True).start()
                self._serve(client, gate, membership, beside)
            except RemoteError:
                if not self._stop.is_set():  # else it is our own closing of the connection
                    raise
            finally:
                self._stop.set()
                ended.set()
                if dataspace is not None:
                    dataspace.close()
                gate.close()
                client.close()
                for thread in beside:
                    if thread.ident is not None:
                        thread.join()
            if self._trouble is not None:
                raise self._trouble
            if self._leaving:
                self._say("stopped")
            return not self._leaving

    def _dataspace(
        self, settings: config.NodeConfig, key: SigningKey, coordinator: VerifyKey,
        client: FleetClient, gate: Gate,
    ) -> "NodeConnector | None":  # fmt: skip
        if settings.dataspace is None:
            return None
        # A node without it must not carry its libraries.
        from node.dataspace import Identity, NodeConnector  # noqa: PLC0415 - as said

        return NodeConnector(
            settings.dataspace,
            self._paths.root,
            Identity(key, coordinator),
            gate,
            utc_now,
            say=self._say,
            on_end=lambda: None if self._stop.is_set() else self._dataspace_ended(client, gate),
            authority=self._paths.authority,
        )

    def _dataspace_ended(self, client: FleetClient, gate: Gate) -> None:
        """It has ended by itself: no contract is kept any more, so no job may go on."""
        self._trouble = LocalError(
            "DATASPACE_FAILED",
            "the dataspace connector has ended by itself",
            "Start the node again",
        )
        self._leave(client, gate)

    def _membership(self, key: SigningKey, address: str, coordinator: VerifyKey) -> Membership:
        """The enrolment; renewed if it is time. A failure is said, and tried again in an hour."""
        now = utc_now()
        membership = read_membership(self._paths, coordinator, now)
        self._renew_at = max(due_at(membership), self._renew_at)
        if self._renew_at <= now:
            self._renew_at = now + _RETRY
            try:
                membership = renew(self._paths, key, address, coordinator, now)
                self._renew_at = due_at(membership)
                self._say(f"the enrolment is renewed until {membership.not_after:%Y-%m-%d}")
            except RemoteError as error:
                self._say(f"the enrolment is not renewed: {error.diagnostics()}")
        return membership

    def _serve(
        self, client: FleetClient, gate: Gate, membership: Membership,
        beside: tuple[threading.Thread, ...],
    ) -> None:  # fmt: skip
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._leave(client, gate))
        client.connect()
        self._say("connected; waiting for jobs")
        for thread in beside:
            thread.start()
        while not self._stop.is_set():
            gate.sweep()
            if self._offers_changed.is_set():
                self._announce(client)
            message = client.receive(_RECEIVE_SECONDS)
            if message is None:
                if utc_now() >= self._renew_at:
                    return
                continue
            # Also the end of a clock that jumped ahead: nothing is logged by its time.
            membership.check_validity(utc_now())
            self._busy_since = time.monotonic()
            try:
                self._answer(client, gate, message)
            finally:
                self._busy_since = None

    def _answer(self, client: FleetClient, gate: Gate, message: FleetMessage) -> None:
        answer = gate.handle(message.payload)
        if answer is None:
            return
        try:
            client.reply(message, answer)
        except RemoteError as error:
            if error.code != "REPLY_REFUSED":
                raise
            self._say("an answer came too late and was not taken")

    def _listen(self, client: FleetClient, gate: Gate, membership: Membership) -> None:
        """Hear what ends a computation that is under way: a date, or the access body's word."""
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                if utc_now() < membership.not_after:  # else the clock may have jumped ahead
                    gate.expire()
                if self._is_busy() and (message := client.receive_urgent(_URGENT_SECONDS)):
                    self._answer(client, gate, message)
            except LocalError as error:  # the log: the node must stop
                self._trouble = error
                self._leave(client, gate)
            except RemoteError as error:  # `receive` meets it, too; the word comes again
                self._say(f"an answer could not be given: {error.diagnostics()}")

    def _is_busy(self) -> bool:
        """Whether a message has been worked on for a while: most take no time."""
        since = self._busy_since
        return since is not None and time.monotonic() - since > _LOOK_SECONDS

    def _interrupt(self) -> None:
        if self._newest is not None:
            self._newest.abort()

    def _tell_revoked(self, entry: entries.PermitRevoked) -> None:
        self._say(f"permit {entry.permit_id} is {entry.effect} ({entry.reason}): its jobs end")

    def _announce(self, client: FleetClient) -> None:
        """Connect anew: the coordinator asks who connects what is on offer."""
        self._offers_changed.clear()
        try:
            client.connect()
        except RemoteError:  # `receive` seeks it for as long as the node may
            self._offers_changed.set()

    def _watch(self, client: FleetClient, gate: Gate) -> None:
        """Look for what officers sign, while the node waits for messages (or computes)."""
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                if gate.take_in():
                    self._offers_changed.set()
            except LocalError as error:  # the log: the node must stop
                self._trouble = error
                self._leave(client, gate)

    def _leave(self, client: FleetClient, gate: Gate) -> None:
        self._leaving = True
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
            self._newest = None
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

    def _tell_unfit(self, gate: Gate, datasets: tuple[Dataset, ...]) -> None:
        for dataset in datasets:
            active = gate.ledger.standing.policy(dataset.id)
            if active is None:
                self._say(
                    f"{dataset.id}: no policy is active, so nothing is offered; "
                    "see `commensal policy activate`"
                )
            elif wrong := config.misfit(active, dataset):
                self._say(f"{dataset.id}: {wrong}")

    def _check_name(self, name: str, key: SigningKey) -> None:
        if name != key.name:
            raise LocalError(
                "NAME_DIFFERS",
                f"{self._paths.config} says {name}, but this node is enrolled as {key.name}",
                "Correct `name` in node.toml, or enrol again",
            )
