"""The provider: takes requests, makes offers and agreements, starts transfers.

Each function is called within a transaction; `takes` and `makes` are the effects of a message
received and of an action of ours, by kind and signal, before `conduct` moves the process.
"""

import hashlib
import secrets
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.dsp import processes, terms
from connector.dsp.desk import HTTP_PULL, Desk
from connector.dsp.messages import (
    ContractRequestMessage,
    DataAddress,
    EndpointProperty,
    Incoming,
    TransferRequestMessage,
)
from connector.dsp.processes import Draft
from connector.dsp.states import Kind, Role, Signal, State
from connector.dsp.tables import AgreementRow, OfferRow, ProcessRow
from connector.errors import LocalError, RemoteError
from policies.odrl.model import Policy

_ROLE = Role.PROVIDER
_HTTP = "https://w3id.org/idsa/v4.1/HTTP"


def begin_negotiation(
    desk: Desk, session: Session, caller: str, message: ContractRequestMessage
) -> ProcessRow:
    """A first request. The same again gives the same process.

    Raises `RemoteError`: DSP_UNKNOWN (no such dataset), DSP_POLICY, DSP_CALLBACK, DSP_PID_TAKEN.
    """
    callback = _callback(desk, message.callback_address)
    said = processes.digest(message)
    known = processes.repeated(session, Kind.NEGOTIATION, _ROLE, caller, message.consumer_pid, said)
    if known is not None:
        return known
    policy, dataset = terms.read_offer(message.offer)
    ours = _offers_for(session, dataset)
    if not ours:
        raise processes.unknown()
    named = next((offer for offer in ours if offer.id == policy.uid), ours[0])
    now = desk.clock()
    row = ProcessRow(
        pid=processes.new_id(), peer_pid=message.consumer_pid, kind=Kind.NEGOTIATION, role=_ROLE,
        counterparty=caller, callback=callback, state=State.REQUESTED, version=0, dataset=dataset,
        offer=terms.spell(policy), as_offered=_is_ours(policy, ours), handling=named.handling,
        script_step=0, request_digest=said, created_at=now, updated_at=now,
    )  # fmt: skip
    _begin(desk, session, row)
    return row


def begin_transfer(
    desk: Desk, session: Session, caller: str, message: TransferRequestMessage
) -> ProcessRow:
    """A first request for what was agreed. The same again gives the same process.

    Raises `RemoteError`: DSP_UNKNOWN (no such agreement with the caller), DSP_AGREEMENT (not in
    force), DSP_FORMAT, DSP_CALLBACK, DSP_PID_TAKEN.
    """
    callback = _callback(desk, message.callback_address)
    said = processes.digest(message)
    known = processes.repeated(session, Kind.TRANSFER, _ROLE, caller, message.consumer_pid, said)
    if known is not None:
        return known
    agreement = session.get(AgreementRow, (_ROLE, caller, message.agreement_id))
    if agreement is None:
        raise processes.unknown()
    if agreement.state != "in-force":
        raise RemoteError("DSP_AGREEMENT", f"the agreement is {agreement.state}")
    allowed = set(agreement.formats) or desk.formats
    if allowed is not None and message.format not in allowed:
        raise RemoteError("DSP_FORMAT", "the agreement entitles to no such format")
    now = desk.clock()
    row = ProcessRow(
        pid=processes.new_id(), peer_pid=message.consumer_pid, kind=Kind.TRANSFER, role=_ROLE,
        counterparty=caller, callback=callback, state=State.REQUESTED, version=0,
        dataset=agreement.dataset, offer=agreement.policy, as_offered=True, agreement=agreement.id,
        format=message.format, handling=agreement.handling, script_step=0, request_digest=said,
        data_address=message.data_address.spell() if message.data_address else None,
        created_at=now, updated_at=now,
    )  # fmt: skip
    _begin(desk, session, row)
    return row


def _begin(desk: Desk, session: Session, row: ProcessRow) -> None:
    session.add(row)
    session.flush()
    processes.follow_up(desk, session, row, State.REQUESTED, 1)
    processes.move(desk, session, row, Signal.REQUEST, Role.CONSUMER)


def offer_to(desk: Desk, counterparty: str, address: str, offer: str) -> str:
    """Begin a negotiation with an offer of ours; returns its pid.

    Raises `LocalError` (DSP_OFFER_UNKNOWN), `RemoteError` (DSP_CALLBACK).
    """
    desk.check_address(address)

    def work(session: Session) -> str:
        ours = session.get(OfferRow, offer)
        if ours is None:
            raise LocalError("DSP_OFFER_UNKNOWN", f"there is no offer {offer}")
        policy = terms.offered(terms.stored(ours.policy), ours.dataset)
        now = desk.clock()
        row = ProcessRow(
            pid=processes.new_id(), peer_pid=None, kind=Kind.NEGOTIATION, role=_ROLE,
            counterparty=counterparty, callback=address.rstrip("/"), state=State.OFFERED,
            version=0, dataset=ours.dataset, offer=terms.spell(policy), as_offered=True,
            handling=ours.handling, script_step=0, created_at=now, updated_at=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        fields = {"offer": row.offer, "callbackAddress": desk.address}
        draft = Draft("ContractOfferMessage", "negotiations/offers", fields, first=True)
        processes.post(desk, session, row, draft, State.OFFERED)
        processes.move(desk, session, row, Signal.OFFER, _ROLE)
        return row.pid

    return desk.transact(work)


def takes(desk: Desk, session: Session, row: ProcessRow, message: Incoming) -> None:
    """What a consumer's message changes besides the state."""
    del desk
    if isinstance(message, ContractRequestMessage):
        policy, dataset = terms.read_offer(message.offer)
        if dataset != row.dataset:
            raise RemoteError("DSP_POLICY", "a counter-offer must be for the same dataset")
        row.offer = terms.spell(policy)
        row.as_offered = _is_ours(policy, _offers_for(session, dataset))


def makes(
    desk: Desk, session: Session, row: ProcessRow, signal: Signal, offer: Policy | None
) -> Draft:
    """What an action of the provider changes besides the state, and what it says."""
    match Kind(row.kind), signal:
        case Kind.NEGOTIATION, Signal.OFFER:
            policy = offer or _our_offer(session, row)
            row.offer, row.as_offered = terms.spell(policy), True
            return Draft("ContractOfferMessage", "offers", {"offer": row.offer})
        case Kind.NEGOTIATION, Signal.AGREE:
            return _agree(desk, session, row)
        case Kind.NEGOTIATION, Signal.FINALIZE:
            enforce(session, row, "in-force")
            fields: dict[str, Any] = {"eventType": "FINALIZED"}
            return Draft("ContractNegotiationEventMessage", "events", fields)
        case Kind.TRANSFER, Signal.START:
            return _start(desk, row)
        case _:
            raise LocalError("DSP_STATE", f"a provider has no {signal!s} for a {row.kind}")


def enforce(session: Session, row: ProcessRow, state: str) -> None:
    """Set the state of the agreement that a negotiation has led to, if it has."""
    if row.agreement:
        agreement = session.get(AgreementRow, (row.role, row.counterparty, row.agreement))
        if agreement is not None:
            agreement.state = state


def _agree(desk: Desk, session: Session, row: ProcessRow) -> Draft:
    now = desk.clock()
    parties = (desk.participant, row.counterparty)
    offer = desk.bind(terms.stored(row.offer))
    policy = terms.agreed(offer, processes.new_id(), row.dataset, parties, now)
    row.agreement, row.offer = policy.uid, terms.spell(policy)
    formats = sorted(
        {name for offer in _offers_for(session, row.dataset) for name in offer.formats}
    )
    session.add(
        AgreementRow(
            role=_ROLE, counterparty=row.counterparty, id=policy.uid, negotiation=row.pid,
            dataset=row.dataset, policy=row.offer, state="pending", formats=formats,
            handling=row.handling, agreed_at=now,
        )
    )  # fmt: skip
    return Draft("ContractAgreementMessage", "agreement", {"agreement": row.offer})


def _start(desk: Desk, row: ProcessRow) -> Draft:
    if row.format != HTTP_PULL:
        return Draft("TransferStartMessage", "start")
    # Only the digest is kept: once delivered, a copy of the database opens nothing.
    token = secrets.token_urlsafe(32)
    row.token_digest = hashlib.sha256(token.encode()).hexdigest()
    row.token_expires = desk.clock() + desk.token_life
    address = DataAddress(
        endpoint_type=_HTTP,
        endpoint=f"{desk.address}/artefacts/{row.pid}",
        properties=(
            EndpointProperty(name="authorization", value=token),
            EndpointProperty(name="authType", value="bearer"),
        ),
    )
    return Draft("TransferStartMessage", "start", {"dataAddress": address.spell()})


def _offers_for(session: Session, dataset: str) -> list[OfferRow]:
    query = select(OfferRow).where(OfferRow.dataset == dataset).order_by(OfferRow.id)
    return list(session.scalars(query))


def _our_offer(session: Session, row: ProcessRow) -> Policy:
    asked = terms.stored(row.offer)
    ours = _offers_for(session, row.dataset)
    named = next((offer for offer in ours if offer.id == asked.uid), None) or next(iter(ours), None)
    if named is None:
        raise LocalError(
            "DSP_OFFER_UNKNOWN", f"there is no longer an offer for {row.dataset}", "Terminate"
        )
    return terms.offered(terms.stored(named.policy), row.dataset)


def _is_ours(policy: Policy, ours: list[OfferRow]) -> bool:
    return any(terms.same_terms(policy, terms.stored(offer.policy)) for offer in ours)


def _callback(desk: Desk, address: str | None) -> str:
    if address is None:
        raise RemoteError("DSP_MALFORMED", "a first request needs a callbackAddress")
    desk.check_address(address)
    return address.rstrip("/")
