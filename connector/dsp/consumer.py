"""The consumer: requests, accepts offers, verifies agreements, asks for transfers.

`takes` and `makes` as in `provider`.
"""

from typing import Any

from sqlalchemy.orm import Session

from connector.dsp import processes, terms
from connector.dsp.desk import Desk
from connector.dsp.handling import Handling
from connector.dsp.messages import (
    ContractAgreementMessage,
    ContractNegotiationEventMessage,
    ContractOfferMessage,
    DataAddress,
    Incoming,
    TransferStartMessage,
)
from connector.dsp.processes import Draft
from connector.dsp.provider import enforce
from connector.dsp.states import Kind, Role, Signal, State
from connector.dsp.tables import AgreementRow, ProcessRow
from connector.errors import LocalError, RemoteError
from policies.odrl.model import Policy

_ROLE = Role.CONSUMER


def request(
    desk: Desk, counterparty: str, address: str, offer: Policy, dataset: str, handling: Handling
) -> str:
    """Begin a negotiation about an offer of a provider's catalogue; returns its pid.

    Raises `RemoteError` (DSP_CALLBACK), `PolicyError` for an offer that cannot be written.
    """
    desk.check_address(address)

    def work(session: Session) -> str:
        row = _row(desk, Kind.NEGOTIATION, counterparty, address, handling)
        row.dataset, row.as_offered = dataset, True
        row.offer = terms.spell(terms.offered(offer, dataset))
        session.add(row)
        session.flush()
        fields = {"offer": row.offer, "callbackAddress": desk.address}
        draft = Draft("ContractRequestMessage", "negotiations/request", fields, first=True)
        processes.post(desk, session, row, draft, State.REQUESTED)
        processes.move(desk, session, row, Signal.REQUEST, _ROLE)
        return row.pid

    return desk.transact(work)


def request_transfer(
    desk: Desk, counterparty: str, agreement: str, format_name: str, *,
    address: str = "", handling: Handling | None = None, data_address: DataAddress | None = None,
) -> str:  # fmt: skip
    """Ask for what was agreed; returns the transfer's pid. `address` unless the agreement's own.

    `data_address` says what it is for.

    Raises `LocalError` (DSP_AGREEMENT_UNKNOWN), `RemoteError` (DSP_CALLBACK).
    """

    def work(session: Session) -> str:
        agreed = session.get(AgreementRow, (_ROLE, counterparty, agreement))
        if agreed is None or agreed.state != "in-force":
            raise LocalError(
                "DSP_AGREEMENT_UNKNOWN",
                f"there is no agreement {agreement} in force with {counterparty}",
                "Negotiate one first",
            )
        target = address or agreed.address
        desk.check_address(target)
        how = handling or Handling.model_validate(agreed.handling)
        row = _row(desk, Kind.TRANSFER, counterparty, target, how)
        row.dataset, row.offer, row.as_offered = agreed.dataset, agreed.policy, True
        row.agreement, row.format = agreement, format_name
        session.add(row)
        session.flush()
        fields: dict[str, Any] = {
            "agreementId": agreement, "format": format_name, "callbackAddress": desk.address
        }  # fmt: skip
        if data_address is not None:
            row.data_address = fields["dataAddress"] = data_address.spell()
        draft = Draft("TransferRequestMessage", "transfers/request", fields, first=True)
        processes.post(desk, session, row, draft, State.REQUESTED)
        processes.move(desk, session, row, Signal.REQUEST, _ROLE)
        return row.pid

    return desk.transact(work)


def begin_negotiation(
    desk: Desk, session: Session, caller: str, message: ContractOfferMessage
) -> ProcessRow:
    """A provider's first offer. The same again gives the same process.

    Raises `RemoteError`: DSP_POLICY, DSP_CALLBACK, DSP_MALFORMED, DSP_PID_TAKEN.
    """
    if message.callback_address is None:
        raise RemoteError("DSP_MALFORMED", "a first offer needs a callbackAddress")
    desk.check_address(message.callback_address)
    said = processes.digest(message)
    known = processes.repeated(session, Kind.NEGOTIATION, _ROLE, caller, message.provider_pid, said)
    if known is not None:
        return known
    policy, dataset = terms.read_offer(message.offer)
    row = _row(desk, Kind.NEGOTIATION, caller, message.callback_address, desk.unsolicited)
    row.peer_pid, row.dataset, row.offer = message.provider_pid, dataset, terms.spell(policy)
    row.request_digest, row.state = said, State.OFFERED
    session.add(row)
    session.flush()
    processes.follow_up(desk, session, row, State.OFFERED, 1)
    processes.move(desk, session, row, Signal.OFFER, Role.PROVIDER)
    return row


def takes(desk: Desk, session: Session, row: ProcessRow, message: Incoming) -> None:
    """What a provider's message changes besides the state."""
    match message:
        case ContractOfferMessage():
            policy, dataset = terms.read_offer(message.offer)
            if dataset != row.dataset:
                raise RemoteError("DSP_POLICY", "an offer must be for the dataset that was asked")
            row.as_offered = terms.same_terms(policy, terms.stored(row.offer))
            row.offer = terms.spell(policy)
        case ContractAgreementMessage():
            _take_agreement(desk, session, row, message)
        case ContractNegotiationEventMessage():
            enforce(session, row, "in-force")
        case TransferStartMessage() if message.data_address is not None:
            row.data_address = message.data_address.spell()
        case _:
            pass


def _take_agreement(
    desk: Desk, session: Session, row: ProcessRow, message: ContractAgreementMessage
) -> None:
    policy, dataset = terms.read_agreement(message.agreement)
    if dataset != row.dataset:
        raise RemoteError("DSP_POLICY", "an agreement must be for the dataset that was asked")
    if session.get(AgreementRow, (_ROLE, row.counterparty, policy.uid)) is not None:
        raise RemoteError("DSP_AGREEMENT", "an agreement of this id exists already")
    parties = ({row.counterparty}, {desk.participant})
    row.as_offered = (
        terms.same_terms(policy, desk.bind(terms.stored(row.offer)))
        and terms.parties_of(policy) == parties
    )
    row.agreement = policy.uid
    row.offer = terms.spell_agreement(policy, message.agreement)
    session.add(
        AgreementRow(
            role=_ROLE, counterparty=row.counterparty, id=policy.uid, negotiation=row.pid,
            dataset=dataset, policy=row.offer, state="pending", address=row.callback,
            handling=row.handling, agreed_at=desk.clock(),
        )
    )  # fmt: skip


def makes(row: ProcessRow, signal: Signal, offer: Policy | None) -> Draft:
    """What an action of the consumer changes besides the state, and what it says."""
    match Kind(row.kind), signal:
        case Kind.NEGOTIATION, Signal.REQUEST:
            if offer is not None:
                row.offer = terms.spell(terms.offered(offer, row.dataset))
            row.as_offered = True
            return Draft("ContractRequestMessage", "request", {"offer": row.offer})
        case Kind.NEGOTIATION, Signal.ACCEPT:
            fields = {"eventType": "ACCEPTED"}
            return Draft("ContractNegotiationEventMessage", "events", fields)
        case Kind.NEGOTIATION, Signal.VERIFY:
            return Draft("ContractAgreementVerificationMessage", "agreement/verification")
        case Kind.TRANSFER, Signal.START:
            return Draft("TransferStartMessage", "start")
        case _:
            raise LocalError("DSP_STATE", f"a consumer has no {signal!s} for a {row.kind}")


def _row(desk: Desk, kind: Kind, counterparty: str, address: str, handling: Handling) -> ProcessRow:
    now = desk.clock()
    return ProcessRow(
        pid=processes.new_id(), peer_pid=None, kind=kind, role=_ROLE, counterparty=counterparty,
        callback=address.rstrip("/"), state=State.REQUESTED, version=0, as_offered=False,
        handling=handling.model_dump(mode="json"), script_step=0, created_at=now, updated_at=now,
    )  # fmt: skip
