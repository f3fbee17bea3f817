"""The node as a provider in a data space: offers from its policies, contracts that carry a permit.

The hospital's own engine judges at every moment: when a catalogue is shown, when a contract is
asked for, before it is agreed on, before a transfer starts, and about once a second for as long as
it lasts. What it says is written through the gate, which alone writes the log.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.audit import entries
from connector.dsp import (
    catalog,
    conduct,
    evidence,
    journal,
    tables,  # noqa: F401 - its tables must be known before the store is opened
    terms,
)
from connector.dsp.addresses import Addresses
from connector.dsp.agreements import end_agreement, in_force, under_way
from connector.dsp.authentication import SignedTokens
from connector.dsp.catalog import DescribedDatasets, Offering
from connector.dsp.desk import FEDERATED_JOB, Desk
from connector.dsp.handling import AUTOMATIC
from connector.dsp.healthdcat_jsonld import Service as PublicService
from connector.dsp.healthdcat_jsonld import plain_dataset
from connector.dsp.judge import Answer, Event, Moment, Question, Verdict
from connector.dsp.serving import Connector, Site, trusted
from connector.dsp.settings import NodeDataspace
from connector.dsp.states import Kind, Role, Signal, State
from connector.dsp.tables import AgreementRow, OfferRow, ProcessRow
from connector.errors import LocalError, RemoteError
from connector.identity.keys import Signer, VerifyKey
from connector.store import Store
from node.gate import Gate
from policies import decision as decisions
from policies.errors import PolicyError
from policies.odrl import lower, model
from policies.odrl import terms as odrl
from policies.odrl.model import Permission
from policies.odrl.terms import PolicyKind
from policies.policy import Policy
from policies.request import UsageRequest

_FORMATS = (FEDERATED_JOB,)
_NO_PERMIT = "PERMIT_MISSING"
_NO_JOB = "JOB_MISSING"
_UNBOUND = "PERMIT_NOT_BOUND"
_NOT_OFFERED = "POLICY_NOT_ACTIVE"
_NOT_KEPT = "NOT_KEPT"
_LOOK_AGAIN = timedelta(seconds=5)
_WAITS_FOR = {
    Kind.NEGOTIATION: (Moment.REQUEST, Signal.AGREE),
    Kind.TRANSFER: (Moment.TRANSFER, Signal.START),
}
_MOST_JUDGED = 10_000


def offer_of(policy: Policy) -> model.Policy:
    """The policy of a dataset as everybody may read it: an Offer, without its target.

    Its bounds are public, as in the offers that a coordinator is told. The whole budget is not
    (with it the others' use could be worked out), nor are further rules in ODRL: the hospital
    decides by both at every step all the same.
    """
    lowered = lower.lower(policy.model_copy(update={"rules": ""}))
    return replace(
        lowered,
        uid=f"{lowered.uid}:v{policy.version}",
        kind=PolicyKind.OFFER,
        permissions=tuple(_public(one) for one in lowered.permissions),
    )


def _public(permission: Permission) -> Permission:
    return replace(
        permission,
        scope=replace(permission.scope, targets=()),
        constraints=tuple(
            one
            for one in permission.constraints
            if not (isinstance(one, model.Constraint) and one.left == odrl.BUDGET_EPSILON)
        ),
    )


class Judge:
    """The hospital's word on contracts, by its own engine; safe from any thread.

    With `person` somebody must have approved the permit's use of the dataset, whatever the policy
    says of approval.
    """

    def __init__(self, gate: Gate, clock: Callable[[], datetime], *, person: bool) -> None:
        self._gate = gate
        self._clock = clock
        self._person = person
        self._written: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {}

    def __call__(self, question: Question) -> Verdict:
        """See `connector.dsp.judge`. Raises `LocalError` of the log."""
        if question.moment is Moment.CATALOGUE:
            policy = self._gate.ledger.standing.policy(question.dataset)
            open_now = policy is not None and policy.not_before <= self._clock() < policy.not_after
            return Verdict(Answer.ALLOW if open_now else Answer.DENY, (_NOT_OFFERED,))
        document = evidence.permit_document(question.policy)
        if not document:
            return self._told(question, Verdict(Answer.DENY, (_NO_PERMIT,)), "")
        bound = evidence.bound_permit(question.policy)
        if question.moment is Moment.TRANSFER:
            if not evidence.job_of(question.data_address):
                return self._told(question, Verdict(Answer.DENY, (_NO_JOB,)), document)
            if not bound:
                return self._told(question, Verdict(Answer.DENY, (_UNBOUND,)), document)
        return self._judged(question, document)

    def _judged(self, question: Question, document: str) -> Verdict:
        found = self._gate.contract(question.dataset, document)
        if found is None:
            return self._told(question, Verdict(Answer.DENY, (_NOT_OFFERED,)), document)
        request, outcome = found
        verdict = _verdict(outcome.verdict, outcome.failed, outcome.open)
        if self._person and verdict.answer is Answer.ALLOW:
            verdict = _ANSWERED[outcome.facts.approved]
        permit = outcome.facts.permit
        return self._told(
            question, verdict, document, permit.id if permit else "", request, outcome.decision
        )

    def _told(
        self,
        question: Question,
        verdict: Verdict,
        document: str,
        permit_id: str = "",
        request: UsageRequest | None = None,
        decision: Callable[[], decisions.Decision] | None = None,
    ) -> Verdict:
        """Write an answer down that is another than before; the first allowance goes without."""
        said = verdict.answer.value, verdict.reasons
        place = question.pid or question.agreement, question.dataset
        known = self._written.get(place, (Answer.ALLOW.value, ()))
        if said == known:
            return verdict
        made = decision() if decision is not None else None
        self._gate.record(
            entries.ContractJudged(
                time=self._clock(),
                process=question.pid or "none",
                process_kind="transfer" if question.moment is Moment.TRANSFER else "negotiation",
                counterparty=question.counterparty,
                dataset=question.dataset,
                agreement=question.agreement,
                moment=question.moment.value,
                answer=verdict.answer.value,
                reasons=journal.codes(verdict.reasons),
                permit_document=document if made is not None else "",
                permit_id=permit_id,
                request=request,
                decision=made,
            )
        )
        if len(self._written) >= _MOST_JUDGED:  # a memory of what was said, not of what is so
            self._written.clear()
        self._written[place] = said
        return verdict


_HOLD = Verdict(Answer.HOLD, ("policy.approval",))
_ANSWERED = {
    None: _HOLD,
    True: Verdict(Answer.ALLOW),
    False: Verdict(Answer.DENY, ("policy.approval",)),
}


def _verdict(
    verdict: decisions.Verdict, failed: tuple[str, ...], undetermined: tuple[str, ...]
) -> Verdict:
    if verdict is decisions.Verdict.ALLOW:
        return Verdict(Answer.ALLOW)
    if verdict is decisions.Verdict.DENY:
        return Verdict(Answer.DENY, failed)
    if "policy.approval" in undetermined:
        return _HOLD
    return Verdict(Answer.DENY, undetermined)  # what is not known permits nothing


@dataclass(frozen=True)
class Identity:
    """Who this node is, and whose word it takes: its coordinator's."""

    key: Signer
    coordinator: VerifyKey


class NodeConnector:
    """Everything of `[dataspace]` that runs while `commensal node run` runs."""

    def __init__(
        self,
        settings: NodeDataspace,
        directory: Path,
        identity: Identity,
        gate: Gate,
        clock: Callable[[], datetime],
        *,
        say: Callable[[str], None],
        on_end: Callable[[], None],
        authority: Path,
    ) -> None:
        """Open the tables and the port, and offer what is active. Raises `LocalError`."""
        self._gate = gate
        self._clock = clock
        self._say = say
        self._offered: dict[str, str] = {}
        self._seen: datetime | None = None
        self._looked_at = datetime.min.replace(tzinfo=UTC)
        self._judge = Judge(gate, clock, person=settings.handling == "person")
        place = directory / "dataspace.db"
        place.touch(mode=0o600)
        self._store = Store(f"sqlite:///{place}")
        addresses = Addresses(allowed=frozenset(settings.private_hosts))
        self._desk = Desk(
            participant=identity.key.name,
            address=settings.root,
            store=self._store,
            judge=self._judge,
            record=self._record,
            check_address=addresses.check,
            clock=clock,
            formats=frozenset(_FORMATS),
            bind=evidence.bind,
        )
        keys = {identity.coordinator.name: identity.coordinator}
        keys |= {peer.participant: VerifyKey.parse(peer.key) for peer in settings.peers}
        more = (directory / settings.authorities,) if settings.authorities else ()
        try:
            self._connector = Connector(
                Site(settings, directory, addresses, trusted((authority, *more))),
                self._desk,
                SignedTokens(identity.key, keys.get, clock),
                DescribedDatasets(self._desk),
                tick=self.look_again,
                say=say,
                on_end=on_end,
            )
        except BaseException:
            self._store.close()
            raise

    @property
    def trouble(self) -> BaseException | None:
        """What ended it, if it has ended by itself."""
        return self._connector.trouble

    def start(self) -> None:
        """Return once it listens."""
        self._drop_lost()
        self._offer()
        self._connector.start()

    def close(self) -> None:
        """Stop, and close the tables."""
        self._connector.close()
        self._store.close()

    def _record(self, event: Event) -> None:
        try:
            self._gate.record(journal.entry_of(event))
        except PolicyError as error:
            raise LocalError(error.code, error.message, error.remedy) from error

    def _drop_lost(self) -> None:
        """What the log knows and the tables do not (a database that was lost) entitles no more."""
        known = {row.pid for row in under_way(self._store, Role.PROVIDER)}
        kept = {(row.counterparty, row.id) for row in in_force(self._store, Role.PROVIDER)}
        for transfer in list(self._gate.contracts.transfers.values()):
            if transfer.process not in known:
                ended = {"before": transfer.after, "after": State.TERMINATED.value}
                changed = ended | {"by": "provider", "reasons": (_NOT_KEPT,)}
                self._gate.record(transfer.model_copy(update=changed))
        for place, agreed in list(self._gate.contracts.agreements.items()):
            if place not in kept:
                self._gate.record(
                    entries.AgreementEnded(
                        time=self._clock(),
                        counterparty=agreed.counterparty,
                        dataset=agreed.dataset,
                        agreement=agreed.agreement,
                        role="provider",
                        permit_digest=agreed.permit_digest,
                        reasons=(_NOT_KEPT,),
                    )
                )

    # What is offered

    def _offer(self) -> None:
        """Show the active policies' offers, and none of a policy that decides no more."""
        active = dict(self._gate.ledger.standing.active)  # officers may activate another meanwhile
        shown = {name: one.policy.digest for name, one in active.items()}
        if shown == self._offered:
            return
        service = PublicService(id=f"{self._desk.address}#service", url=self._desk.address)
        offerings = dict(self._offerings(one.policy for one in active.values()))

        def work(session: Session) -> None:
            for name in session.scalars(select(OfferRow.dataset).distinct()):
                if name not in offerings:
                    catalog.withdraw(session, name)
            for name, offering in offerings.items():
                node = plain_dataset(name, service, _FORMATS)
                catalog.publish(session, node, [offering], self._clock())

        self._desk.transact(work)
        self._offered = shown

    def _offerings(self, policies: Iterator[Policy]) -> Iterator[tuple[str, Offering]]:
        for policy in policies:
            try:
                offer = offer_of(policy)
                terms.spell(offer)
            except PolicyError as error:
                self._say(f"{policy.dataset}: not offered: {error.diagnostics()} [{error.code}]")
                continue
            yield (
                policy.dataset,
                Offering(offer, _FORMATS, AUTOMATIC, policy.not_before, policy.not_after),
            )

    # What is agreed on, looked at again

    def look_again(self) -> None:
        """Judge all that is under way anew: answers of people, ends of permits, ends of jobs.

        At once when anything was logged, else every few seconds: time alone ends permits, too.
        """
        now, last = self._clock(), self._gate.ledger.last_time
        if last == self._seen and timedelta(0) <= now - self._looked_at < _LOOK_AGAIN:
            return
        self._seen, self._looked_at = last, now
        self._offer()
        self._answer_held()
        for row in under_way(self._store, Role.PROVIDER):
            if row.kind == Kind.TRANSFER:
                self._look_at_transfer(row)
            else:
                self._end_denied(row)
        for agreement in in_force(self._store, Role.PROVIDER):
            self._look_at_agreement(agreement)

    def _answer_held(self) -> None:
        for held in conduct.held(self._desk):
            if held.role is not Role.PROVIDER or held.state is not State.REQUESTED:
                continue
            row = conduct.as_it_is(self._desk, held.pid)
            moment, signal = _WAITS_FOR[held.kind]
            verdict = self._ask(row, moment)
            if verdict.answer is Answer.ALLOW and row.as_offered:
                self._act(held.pid, signal, (), held.version)

    def _look_at_transfer(self, row: ProcessRow) -> None:
        if self._end_denied(row) or row.state != State.STARTED:
            return
        account = self._gate.ledger.jobs.get(evidence.job_of(row.data_address))
        if account is not None and not account.is_open(self._clock()):
            self._act(row.pid, Signal.COMPLETE, ())

    def _end_denied(self, row: ProcessRow) -> bool:
        moment = Moment.TRANSFER if row.kind == Kind.TRANSFER else Moment.AGREEMENT
        verdict = self._ask(row, moment)
        if verdict.answer is Answer.DENY:
            self._act(row.pid, Signal.TERMINATE, verdict.reasons)
        return verdict.answer is Answer.DENY

    def _look_at_agreement(self, row: AgreementRow) -> None:
        verdict = self._judge(
            Question(
                Moment.AGREEMENT, Role.PROVIDER, row.counterparty, row.dataset,
                terms.stored(row.policy), "", row.id,
            )
        )  # fmt: skip
        if verdict.answer is Answer.DENY:
            end_agreement(self._desk, row, verdict.reasons, self._gate.record)

    def _ask(self, row: ProcessRow, moment: Moment) -> Verdict:
        return self._judge(
            Question(
                moment, Role.PROVIDER, row.counterparty, row.dataset, terms.stored(row.offer),
                row.pid, row.agreement, row.format, row.data_address,
            )
        )  # fmt: skip

    def _act(
        self, pid: str, signal: Signal, reasons: tuple[str, ...], version: int | None = None
    ) -> None:
        try:
            conduct.act(self._desk, pid, signal, reasons, version=version)
        except (LocalError, RemoteError) as error:
            # It has moved meanwhile; the next look sees how.
            if error.code not in ("DSP_MOVED", "DSP_STATE", "DSP_DENIED"):
                raise
