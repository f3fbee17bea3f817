"""The coordinator in a data space: contracts that carry the permit, before a job; and its results.

For each hospital of a job whose connector is known (`peers`), an agreement under the job's permit
is negotiated, or one that is in force is used again; then a transfer for this very job is asked
for. What the permit no longer covers is ended here too, about once a second.
"""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from sqlalchemy import select
from starlette.routing import Route

from connector.dsp import conduct, consumer, evidence, journal, terms
from connector.dsp.addresses import Addresses
from connector.dsp.agreements import end_agreement, in_force, under_way
from connector.dsp.authentication import SignedTokens
from connector.dsp.catalog import DescribedDatasets
from connector.dsp.desk import FEDERATED_JOB, HTTP_PULL, Desk
from connector.dsp.handling import AUTOMATIC
from connector.dsp.judge import Answer, Event, Moment, Question, Verdict
from connector.dsp.serving import Connector, Site, trusted
from connector.dsp.settings import CoordinatorDataspace
from connector.dsp.states import Kind, Role, Signal, State
from connector.dsp.tables import AgreementRow, ProcessRow
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import VerifyKey
from connector.jobs import JobSpec
from connector.store import JobRow
from coordinator import artefacts
from coordinator.config import Peer
from coordinator.jobs.states import FINAL
from coordinator.office import Office
from coordinator.recorder import Record, Recorder
from policies.errors import Error, PolicyError
from policies.odrl import strict
from policies.odrl.model import Policy
from policies.odrl.read import read_embedded
from policies.permit import ENTITLING, Permit

_POLL_SECONDS = 0.2
_RETRY_SECONDS = 1.0
_PATIENT_SECONDS = 5.0
_MAX_DATASET = 1 << 20
_CLOSED = frozenset({State.TERMINATED, State.COMPLETED})

Tell = Callable[[dict[str, Any]], None]


class Dataspace:
    """Everything of `[dataspace]` that runs while `commensal coordinator run` runs."""

    def __init__(
        self,
        office: Office,
        settings: CoordinatorDataspace,
        recorder: Recorder,
        say: Callable[[str], None],
        on_end: Callable[[], None],
    ) -> None:
        """Take the port. Raises `LocalError`."""
        self._office = office
        self._settings = settings
        self._recorder = recorder
        self._keys: dict[str, VerifyKey] = {}
        self.peers = {peer.participant: peer for peer in office.config.peers}
        hosts = {_host(peer.address) for peer in self.peers.values()}
        addresses = Addresses(allowed=frozenset(hosts | set(settings.private_hosts)))
        self._desk = Desk(
            participant=office.key.name,
            address=settings.root,
            store=office.store,
            judge=self._judge,
            record=self._record,
            check_address=addresses.check,
            clock=office.clock,
            formats=frozenset({FEDERATED_JOB, HTTP_PULL}),
            bind=evidence.bind,
        )
        root = office.paths.root
        more = (root / settings.authorities,) if settings.authorities else ()
        self._connector = Connector(
            Site(settings, root, addresses, trusted((office.paths.identity / "ca.pem", *more))),
            self._desk,
            SignedTokens(office.key, self._key_of, office.clock),
            DescribedDatasets(self._desk),
            tick=self.look_again,
            say=say,
            on_end=on_end,
            routes=self._routes,
        )

    def start(self) -> None:
        """Return once it listens."""
        self._learn_keys()
        self._connector.start()

    def close(self) -> None:
        """Stop it."""
        self._connector.close()

    def prepare(
        self,
        spec: JobSpec,
        permit: Permit,
        document: str,
        hospitals: Iterable[str],
        tell: Tell,
        stopping: threading.Event,
    ) -> None:
        """Get a started transfer from every hospital whose connector is known, or know why not.

        Waits for at most `wait_seconds`; `tell` says what becomes of each. A hospital without one
        is asked all the same: its own gate decides.
        """
        wanted = [
            _Wanted(
                self._desk,
                self._connector,
                self.peers[name],
                spec,
                permit,
                document,
                tell,
                self._recorder.record,
            )
            for name in hospitals
            if name in self.peers
        ]
        deadline = time.monotonic() + self._settings.wait_seconds
        while not stopping.is_set() and time.monotonic() < deadline:
            on_the_way = [one.go_on() for one in wanted]
            if not any(on_the_way):
                return
            stopping.wait(_POLL_SECONDS)
        for one in wanted:
            one.give_up()

    # The judge, and what is looked at again

    def _judge(self, question: Question) -> Verdict:
        """Our own permit must entitle; what a hospital offers on its own terms is for a person."""
        if question.role is Role.PROVIDER:
            return artefacts.verdict(self._office, question)
        if question.moment is Moment.REQUEST:
            return Verdict(Answer.HOLD)
        document = evidence.permit_document(question.policy)
        bound = evidence.bound_permit(question.policy)
        if not document or not bound:
            return Verdict(Answer.DENY, ("PERMIT_NOT_BOUND",))
        return self._permit_verdict(document)

    def _permit_verdict(self, document: str) -> Verdict:
        try:
            permit = _own_permit(document, self._office)
        except Error as error:
            return Verdict(Answer.DENY, (error.code,))
        if permit.state not in ENTITLING:
            return Verdict(Answer.DENY, ("ehds.art68.permit",))
        if self._recorder.revoked & {permit.id, permit.digest}:
            return Verdict(Answer.DENY, ("ehds.art63.revoked",))
        if not permit.not_before <= self._office.clock() < permit.not_after:
            return Verdict(Answer.DENY, ("ehds.art68.period",))
        return Verdict(Answer.ALLOW)

    def look_again(self) -> None:
        """End what the permit no longer covers; complete what is over; offer what is approved."""
        self._learn_keys()
        artefacts.publish(self._office, self._desk)
        over = self._jobs_over()
        for row in under_way(self._office.store, Role.CONSUMER):
            verdict = self._permit_verdict(evidence.permit_document(terms.stored(row.offer)))
            if verdict.answer is Answer.DENY:
                self._act(row.pid, Signal.TERMINATE, verdict.reasons)
            elif evidence.job_of(row.data_address) in over:
                done = Signal.COMPLETE if row.state == State.STARTED else Signal.TERMINATE
                self._act(row.pid, done, ())
        for agreement in in_force(self._office.store, Role.CONSUMER):
            document = evidence.permit_document(terms.stored(agreement.policy))
            verdict = self._permit_verdict(document)
            if verdict.answer is Answer.DENY:
                end_agreement(self._desk, agreement, verdict.reasons, self._recorder.record)

    def _jobs_over(self) -> set[str]:
        """Digests of jobs in a final state that a transfer which is not over still names."""
        named = {
            evidence.job_of(row.data_address)
            for row in under_way(self._office.store, Role.CONSUMER)
            if row.kind == Kind.TRANSFER
        }
        query = select(JobRow.digest).where(
            JobRow.digest.in_(named - {""}), JobRow.state.in_(FINAL)
        )
        with self._office.store.read() as session:
            return set(session.scalars(query))

    def _act(self, pid: str, signal: Signal, reasons: tuple[str, ...]) -> None:
        act_if_possible(self._desk, pid, signal, reasons)

    def _record(self, event: Event) -> None:
        try:
            self._recorder.record(journal.entry_of(event))
        except PolicyError as error:
            raise LocalError(error.code, error.message, error.remedy) from error

    def _routes(self, executor: Executor) -> list[Route]:
        office, record = self._office, self._recorder.record
        return artefacts.artefact_routes(office, self._desk, executor, record)

    def _key_of(self, name: str) -> VerifyKey | None:
        return self._keys.get(name)

    def _learn_keys(self) -> None:
        self._keys = {
            one.name: VerifyKey.parse(one.signing_key) for one in self._office.participants()
        }


@dataclass
class _Wanted:
    """The way to a started transfer from one hospital, one step at a time."""

    desk: Desk
    connector: Connector
    peer: Peer
    spec: JobSpec
    permit: Permit
    document: str
    tell: Tell
    record: Record
    negotiation: str = ""
    transfer: str = ""
    settled: bool = False
    renewed: bool = False
    said: str = ""
    quiet_until: float = 0.0
    patient_until: float = 0.0

    def go_on(self) -> bool:
        """Take the next step, if there is one now; whether it is still on the way."""
        if self.settled:
            return False
        try:
            if self.transfer:
                self._see_transfer()
            elif self.negotiation:
                self._see_negotiation()
            elif time.monotonic() >= self.quiet_until:
                self._begin()
        except Error as error:
            self._say("delayed", (error.code,))
            self.quiet_until = time.monotonic() + _RETRY_SECONDS
        return not self.settled

    def give_up(self) -> None:
        """The time is over: the negotiation may still lead to an agreement, for another job."""
        if self.settled:
            return
        self._settle("late", ())
        if self.transfer:
            act_if_possible(self.desk, self.transfer, Signal.TERMINATE, ("JOB_STARTED_WITHOUT",))

    @property
    def _dataset(self) -> str:
        return self.spec.dataset_of(self.peer.participant) or ""

    def _begin(self) -> None:
        agreement = self._agreement()
        if agreement is not None:
            self._request_transfer(agreement.id)
            return
        known = self._negotiation_under_way()
        if known:
            self.negotiation = known
            return
        offer = self._fetch_offer()
        self.negotiation = consumer.request(
            self.desk, self.peer.participant, self.peer.address.rstrip("/"),
            evidence.with_permit(offer, self.document), self._dataset, AUTOMATIC,
        )  # fmt: skip
        self.patient_until = time.monotonic() + _PATIENT_SECONDS
        self.connector.wake()
        self._say("asked", ())

    def _agreement(self) -> AgreementRow | None:
        """One in force for the same permit and dataset."""
        return next(
            (
                row
                for row in in_force(self.desk.store, Role.CONSUMER)
                if row.counterparty == self.peer.participant
                and row.dataset == self._dataset
                and evidence.shown_permit(row.policy) == self.permit.digest
            ),
            None,
        )

    def _negotiation_under_way(self) -> str:
        return next(
            (
                row.pid
                for row in under_way(self.desk.store, Role.CONSUMER)
                if row.kind == Kind.NEGOTIATION
                and row.counterparty == self.peer.participant
                and row.dataset == self._dataset
                and evidence.shown_permit(row.offer) == self.permit.digest
            ),
            "",
        )

    def _fetch_offer(self) -> Policy:
        """The offer of the hospital's own catalogue. Raises `RemoteError`."""
        place = f"{self.peer.address.rstrip('/')}/catalog/datasets/{quote(self._dataset)}"
        content = self.connector.fetch(self.peer.participant, place, _MAX_DATASET)
        try:
            described = strict.load(content) if content else None
            offers = described.get("hasPolicy") if isinstance(described, dict) else None
            if isinstance(offers, list) and offers:
                return read_embedded(offers[0])
        except PolicyError as error:
            raise RemoteError("OFFER_MALFORMED", error.message) from error
        raise RemoteError("OFFER_UNKNOWN", f"{self.peer.participant} shows no such dataset")

    def _request_transfer(self, agreement: str) -> None:
        self.transfer = consumer.request_transfer(
            self.desk, self.peer.participant, agreement, FEDERATED_JOB, handling=AUTOMATIC,
            data_address=evidence.for_job(self.spec.digest),
        )  # fmt: skip
        self.connector.wake()

    def _see_negotiation(self) -> None:
        row = conduct.as_it_is(self.desk, self.negotiation)
        if row.state == State.FINALIZED:
            self._say("agreed", ())
            self._request_transfer(row.agreement)
        elif row.state == State.TERMINATED:
            self._settle("refused", journal.codes(tuple(row.reasons)))
        elif row.state == State.REQUESTED and time.monotonic() > self.patient_until:
            self._say("waiting", ())

    def _see_transfer(self) -> None:
        row = conduct.as_it_is(self.desk, self.transfer)
        if row.state == State.STARTED:
            self._settle("started", ())
        elif row.state in _CLOSED and not self.renewed and not row.peer_pid:
            # The hospital has ended the agreement, and we did not hear of it: one new attempt.
            self._forget(row)
        elif row.state in _CLOSED:
            self._settle("refused", journal.codes(tuple(row.reasons)))

    def _forget(self, row: ProcessRow) -> None:
        agreement = self._agreement()
        if agreement is not None and agreement.id == row.agreement:
            end_agreement(self.desk, agreement, ("NOT_KEPT",), self.record)
        self.renewed, self.transfer, self.negotiation = True, "", ""

    def _settle(self, state: str, reasons: tuple[str, ...]) -> None:
        self.settled = True
        self._say(state, reasons)

    def _say(self, state: str, reasons: tuple[str, ...]) -> None:
        if self.said != state:
            self.said = state
            self.tell(
                {
                    "hospital": self.peer.participant,
                    "contract": state,
                    "code": reasons[0] if reasons else "",
                    "rules": list(reasons),
                }
            )


def act_if_possible(desk: Desk, pid: str, signal: Signal, reasons: tuple[str, ...]) -> None:
    """As `conduct.act`, where the process has not moved meanwhile."""
    try:
        conduct.act(desk, pid, signal, reasons)
    except (LocalError, RemoteError) as error:
        if error.code not in ("DSP_MOVED", "DSP_STATE", "DSP_DENIED"):
            raise


def _own_permit(document: str, office: Office) -> Permit:
    return documents.verify(document, Permit, office.key.verify_key)


def _host(address: str) -> str:
    """As `Addresses.allowed` spells it."""
    parts = urlsplit(address)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
