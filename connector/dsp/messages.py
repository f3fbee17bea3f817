"""The messages, answers and errors of the Dataspace Protocol 2025-1 (HTTPS binding).

Plain JSON: the fixed `@context` must be named, nothing is ever fetched, and keys that the protocol
does not know are dropped, as a JSON-LD processor would. Policies stay JSON here; `terms` reads
them. Everything is bounded: bytes, depth, counts, lengths.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from connector.dsp.states import Signal, State
from connector.errors import RemoteError
from policies.document import first_problem
from policies.errors import PolicyError
from policies.odrl import strict
from policies.odrl.context import DSP_CONTEXT

CONTEXT = DSP_CONTEXT
VERSION = "2025-1"
MAX_BYTES = 1 << 20
# Where the protocol wants a process id and there is none to tell.
NO_PID = "urn:uuid:00000000-0000-0000-0000-000000000000"

Id = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]
Url = Annotated[str, Field(min_length=8, max_length=2000, pattern=r"^https?://[\x21-\x7e]+$")]
_Contexts = Annotated[tuple[Annotated[str, Field(max_length=2000)], ...], Field(max_length=16)]
_Code = Annotated[str, Field(max_length=200)]
_Reasons = Annotated[tuple[Any, ...], Field(min_length=1, max_length=100)]
_Text = Annotated[str, Field(max_length=4096)]
_Policy = dict[str, Any]


class Body(BaseModel):
    """Anything with named fields; `spell` is its JSON."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def spell(self) -> dict[str, Any]:
        """JSON as the protocol wants it, without fields that are not there."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Message(Body):
    """What has a context of its own: messages, answers, errors.

    `id` is the message's own, which a sender need not give; one that is repeated is a repetition.
    """

    context: _Contexts = Field(default=(CONTEXT,), alias="@context")
    id: Id | None = Field(default=None, alias="@id")

    @model_validator(mode="after")
    def _in_context(self) -> "Message":
        if CONTEXT not in self.context:
            raise ValueError(f"@context must name {CONTEXT}")
        return self


class ProcessMessage(Message):
    """About a process that both sides know."""

    provider_pid: Id = Field(alias="providerPid")
    consumer_pid: Id = Field(alias="consumerPid")


class _Ending(ProcessMessage):
    code: _Code | None = None
    reason: _Reasons | None = None


# Catalogue


class CatalogRequestMessage(Message):
    """What is on offer? A filter is for what both sides have agreed on."""

    type: Literal["CatalogRequestMessage"] = Field(default="CatalogRequestMessage", alias="@type")
    filter: Annotated[tuple[Any, ...], Field(max_length=100)] | None = None


class DatasetRequestMessage(Message):
    """One dataset; over HTTP it is a GET."""

    type: Literal["DatasetRequestMessage"] = Field(default="DatasetRequestMessage", alias="@type")
    dataset: Id


class DataService(Body):
    """Where something is served."""

    id: Id = Field(alias="@id")
    type: Literal["DataService"] = Field(default="DataService", alias="@type")
    endpoint_url: Url = Field(alias="endpointURL")


class Distribution(Body):
    """A format in which a dataset can be had, and where."""

    type: Literal["Distribution"] = Field(default="Distribution", alias="@type")
    format: Id
    access_service: DataService | Id = Field(alias="accessService")


class Dataset(Body):
    """A dataset with its offers, which have no target here. Describing terms are kept."""

    model_config = ConfigDict(extra="allow")

    id: Id = Field(alias="@id")
    type: Literal["Dataset"] = Field(default="Dataset", alias="@type")
    policies: Annotated[tuple[_Policy, ...], Field(min_length=1, max_length=100)] = Field(
        alias="hasPolicy"
    )
    distribution: Annotated[tuple[Distribution, ...], Field(min_length=1, max_length=100)]


class CatalogError(Message):
    """No catalogue, no dataset; why."""

    type: Literal["CatalogError"] = Field(default="CatalogError", alias="@type")
    code: _Code | None = None
    reason: _Reasons | None = None


# Negotiation


class ContractRequestMessage(Message):
    """C: a first request (with a callback address), or a counter-offer (with the provider's id)."""

    type: Literal["ContractRequestMessage"] = Field(default="ContractRequestMessage", alias="@type")
    consumer_pid: Id = Field(alias="consumerPid")
    provider_pid: Id | None = Field(default=None, alias="providerPid")
    offer: _Policy
    callback_address: Url | None = Field(default=None, alias="callbackAddress")

    @model_validator(mode="after")
    def _one_of(self) -> "ContractRequestMessage":
        if (self.callback_address is None) == (self.provider_pid is None):
            raise ValueError("exactly one of callbackAddress and providerPid is needed")
        return self


class ContractOfferMessage(Message):
    """P: a first offer (with a callback address), or one within a negotiation."""

    type: Literal["ContractOfferMessage"] = Field(default="ContractOfferMessage", alias="@type")
    provider_pid: Id = Field(alias="providerPid")
    consumer_pid: Id | None = Field(default=None, alias="consumerPid")
    offer: _Policy
    callback_address: Url | None = Field(default=None, alias="callbackAddress")

    @model_validator(mode="after")
    def _one_of(self) -> "ContractOfferMessage":
        if (self.callback_address is None) == (self.consumer_pid is None):
            raise ValueError("exactly one of callbackAddress and consumerPid is needed")
        return self


class ContractAgreementMessage(ProcessMessage):
    """P: the agreement."""

    type: Literal["ContractAgreementMessage"] = Field(
        default="ContractAgreementMessage", alias="@type"
    )
    agreement: _Policy


class ContractAgreementVerificationMessage(ProcessMessage):
    """C: the agreement is what was agreed."""

    type: Literal["ContractAgreementVerificationMessage"] = Field(
        default="ContractAgreementVerificationMessage", alias="@type"
    )


class ContractNegotiationEventMessage(ProcessMessage):
    """C: ACCEPTED; P: FINALIZED."""

    type: Literal["ContractNegotiationEventMessage"] = Field(
        default="ContractNegotiationEventMessage", alias="@type"
    )
    event_type: Literal["ACCEPTED", "FINALIZED"] = Field(alias="eventType")


class ContractNegotiationTerminationMessage(_Ending):
    """Either: no contract."""

    type: Literal["ContractNegotiationTerminationMessage"] = Field(
        default="ContractNegotiationTerminationMessage", alias="@type"
    )


class ContractNegotiation(ProcessMessage):
    """A negotiation's state, as an answer."""

    type: Literal["ContractNegotiation"] = Field(default="ContractNegotiation", alias="@type")
    state: State


class ContractNegotiationError(_Ending):
    """Nothing was changed; why."""

    type: Literal["ContractNegotiationError"] = Field(
        default="ContractNegotiationError", alias="@type"
    )


# Transfer


class EndpointProperty(Body):
    """One property of an address, such as its authorization."""

    type: Literal["EndpointProperty"] = Field(default="EndpointProperty", alias="@type")
    name: Annotated[str, Field(min_length=1, max_length=255)]
    value: _Text


_Properties = Annotated[tuple[EndpointProperty, ...], Field(min_length=1, max_length=50)]


class DataAddress(Body):
    """Where the data is to be had (pull), or put (push)."""

    type: Literal["DataAddress"] = Field(default="DataAddress", alias="@type")
    endpoint_type: Id = Field(alias="endpointType")
    endpoint: _Text | None = None
    properties: _Properties | None = Field(default=None, alias="endpointProperties")


class TransferRequestMessage(Message):
    """C: what was agreed, in this format, please."""

    type: Literal["TransferRequestMessage"] = Field(default="TransferRequestMessage", alias="@type")
    consumer_pid: Id = Field(alias="consumerPid")
    agreement_id: Id = Field(alias="agreementId")
    format: Id
    callback_address: Url = Field(alias="callbackAddress")
    data_address: DataAddress | None = Field(default=None, alias="dataAddress")


class TransferStartMessage(ProcessMessage):
    """P begins, either resumes."""

    type: Literal["TransferStartMessage"] = Field(default="TransferStartMessage", alias="@type")
    data_address: DataAddress | None = Field(default=None, alias="dataAddress")


class TransferSuspensionMessage(_Ending):
    """Either: not now."""

    type: Literal["TransferSuspensionMessage"] = Field(
        default="TransferSuspensionMessage", alias="@type"
    )


class TransferCompletionMessage(ProcessMessage):
    """Either: done."""

    type: Literal["TransferCompletionMessage"] = Field(
        default="TransferCompletionMessage", alias="@type"
    )


class TransferTerminationMessage(_Ending):
    """Either: not at all."""

    type: Literal["TransferTerminationMessage"] = Field(
        default="TransferTerminationMessage", alias="@type"
    )


class TransferProcess(ProcessMessage):
    """A transfer's state, as an answer."""

    type: Literal["TransferProcess"] = Field(default="TransferProcess", alias="@type")
    state: State


class TransferError(_Ending):
    """Nothing was changed; why."""

    type: Literal["TransferError"] = Field(default="TransferError", alias="@type")


Incoming = (
    ContractRequestMessage | ContractOfferMessage | ContractAgreementMessage
    | ContractAgreementVerificationMessage | ContractNegotiationEventMessage
    | ContractNegotiationTerminationMessage | TransferRequestMessage | TransferStartMessage
    | TransferSuspensionMessage | TransferCompletionMessage | TransferTerminationMessage
)  # fmt: skip

_SIGNALS: dict[str, Signal] = {
    "ContractRequestMessage": Signal.REQUEST,
    "ContractOfferMessage": Signal.OFFER,
    "ContractAgreementMessage": Signal.AGREE,
    "ContractAgreementVerificationMessage": Signal.VERIFY,
    "ContractNegotiationTerminationMessage": Signal.TERMINATE,
    "TransferRequestMessage": Signal.REQUEST,
    "TransferStartMessage": Signal.START,
    "TransferSuspensionMessage": Signal.SUSPEND,
    "TransferCompletionMessage": Signal.COMPLETE,
    "TransferTerminationMessage": Signal.TERMINATE,
}


def signal_of(message: Incoming) -> Signal:
    """What a message means in the tables of `states`."""
    if isinstance(message, ContractNegotiationEventMessage):
        return Signal.ACCEPT if message.event_type == "ACCEPTED" else Signal.FINALIZE
    return _SIGNALS[message.type]


M = TypeVar("M", bound=Message)


def parse(content: bytes, kind: type[M]) -> M:
    """Read one message strictly. Raises `RemoteError`: DSP_TOO_LARGE, DSP_MALFORMED."""
    if len(content) > MAX_BYTES:
        raise RemoteError("DSP_TOO_LARGE", f"a message exceeds {MAX_BYTES} bytes")
    try:
        value = strict.load(content)
        if not isinstance(value, dict) or "@context" not in value or "@type" not in value:
            raise RemoteError("DSP_MALFORMED", "a message needs @context and @type")
        return kind.model_validate(value, by_name=False)
    except PolicyError as error:
        raise RemoteError("DSP_MALFORMED", f"not a message: {error.message}") from error
    except ValidationError as error:
        raise RemoteError(
            "DSP_MALFORMED", f"not a valid {kind.__name__}: {first_problem(error)}"
        ) from error


def reasons_of(received: tuple[Any, ...] | None) -> tuple[str, ...]:
    """The peer's reasons as short texts; they may be texts, or objects with a message."""
    texts = []
    for reason in received or ():
        said = reason
        if isinstance(reason, dict):
            said = reason.get("message", reason.get("@value", ""))
        if isinstance(said, str) and said:
            texts.append(said[:200])
    return tuple(texts[:20])
