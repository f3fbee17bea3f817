"""The description (OpenAPI 3.1) of what a participant serves: the protocol, artefacts, identity.

Messages are described by their models, with what `messages.parse` asks for besides.
"""

from typing import Any

from pydantic import BaseModel

from connector import openapi
from connector.dsp import messages, pulls
from connector.dsp.http import PATH
from connector.dsp.messages import CONTEXT
from connector.identity.presentations import QUERY_PATH
from connector.openapi import JSON, Json, content, operation, parameter, ref

_ABOUT = """\
The Dataspace Protocol 2025-1, both roles, and what belongs to it. A message is at most a mebibyte
of JSON, plain or gzip. Every error of the protocol is the protocol's own message; what is not the
caller's is answered as what does not exist."""
_CALLER: list[Json] = [{"caller": []}]
_PID = parameter("pid", "path", "The process's id on this side", maxLength=255)

_MESSAGES: tuple[type[BaseModel], ...] = (
    messages.CatalogRequestMessage,
    messages.ContractRequestMessage,
    messages.ContractOfferMessage,
    messages.ContractAgreementMessage,
    messages.ContractAgreementVerificationMessage,
    messages.ContractNegotiationEventMessage,
    messages.ContractNegotiationTerminationMessage,
    messages.TransferRequestMessage,
    messages.TransferStartMessage,
    messages.TransferCompletionMessage,
    messages.TransferSuspensionMessage,
    messages.TransferTerminationMessage,
)
_ANSWERS: tuple[type[BaseModel], ...] = (
    messages.ContractNegotiation,
    messages.TransferProcess,
    messages.Dataset,
    messages.CatalogError,
    messages.ContractNegotiationError,
    messages.TransferError,
)

# Place, message, what it is for.
_BEGINNINGS = (
    ("negotiations/request", "ContractRequestMessage", "Ask for a contract; this side provides"),
    ("negotiations/offers", "ContractOfferMessage", "Offer a contract; this side consumes"),
    ("transfers/request", "TransferRequestMessage", "Ask for what was agreed; this side provides"),
)
_STEPS = (
    ("negotiations", "request", "ContractRequestMessage", "Answer an offer with another"),
    ("negotiations", "offers", "ContractOfferMessage", "Answer a request with another offer"),
    ("negotiations", "agreement", "ContractAgreementMessage", "Agree, as the provider"),
    ("negotiations", "agreement/verification", "ContractAgreementVerificationMessage",
     "Confirm the agreement, as the consumer"),
    ("negotiations", "events", "ContractNegotiationEventMessage",
     "Accept, as the consumer; finalize, as the provider"),
    ("negotiations", "termination", "ContractNegotiationTerminationMessage", "End a negotiation"),
    ("transfers", "start", "TransferStartMessage", "Start a transfer, or go on with it"),
    ("transfers", "completion", "TransferCompletionMessage", "Say that a transfer is done"),
    ("transfers", "suspension", "TransferSuspensionMessage", "Hold a transfer"),
    ("transfers", "termination", "TransferTerminationMessage", "End a transfer"),
)  # fmt: skip


def dataspace(path: str = PATH, credentials: str = "/credentials", status: str = "") -> Json:
    """The description of a participant's surface.

    `path` is the protocol's, `credentials` the credential service's, `status` an issuer's list's.
    """
    paths = _protocol(path) | _artefacts(path) | _identity(credentials)
    if status:
        paths[status] = {"get": status_list()}
    return openapi.document(
        "Commensal connector", messages.VERSION, _ABOUT, paths,
        {"schemas": _schemas(), "securitySchemes": _schemes()},
    )  # fmt: skip


def status_list() -> Json:
    """The operation that shows an issuer's status list."""
    token = content({"type": "string"}, "application/vc+jwt")
    return operation("Which credentials are revoked, signed", {200: token})


def _protocol(path: str) -> Json:
    paths: Json = {
        "/.well-known/dspace-version": {
            "get": operation("Which versions are spoken, and where", {200: content(_VERSION)})
        }
    }
    paths |= _catalogue(path)
    for place, message, summary in _BEGINNINGS:
        state, error = _spoken(place)
        answers = {201: content(ref(state))} | _errors(error)
        step = operation(summary, answers, body=content(ref(message)), security=_CALLER)
        paths[f"{path}/{place}"] = {"post": step}
    for kind, end, message, summary in _STEPS:
        state, error = _spoken(kind)
        answers = {200: content(ref(state))} | _errors(error)
        step = operation(
            summary, answers, body=content(ref(message)), parameters=[_PID], security=_CALLER
        )
        paths[f"{path}/{kind}/{{pid}}/{end}"] = {"post": step}
    for kind in ("negotiations", "transfers"):
        state, error = _spoken(kind)
        answers = {200: content(ref(state)), 404: content(ref(error)), 503: content(ref(error))}
        look = operation("Its state", answers, parameters=[_PID], security=_CALLER)
        paths[f"{path}/{kind}/{{pid}}"] = {"get": look}
    return paths


def _spoken(place: str) -> tuple[str, str]:
    """The answer and the error of a kind of process."""
    negotiation = ("ContractNegotiation", "ContractNegotiationError")
    return negotiation if place.startswith("negotiations") else ("TransferProcess", "TransferError")


def _catalogue(path: str) -> Json:
    error = "CatalogError"
    where = parameter(
        "continuation", "query", "From a Link header of an earlier page", maxLength=255
    )
    name = parameter("dataset", "path", "A dataset's id", maxLength=255)
    found = {200: content(_CATALOG), 401: content(ref(error))}
    looked = {
        200: content(ref("Dataset")), 401: content(ref(error)), 404: content(ref(error)),
        503: content(ref(error)),
    }  # fmt: skip
    return {
        f"{path}/catalog/request": {
            "post": operation(
                "What is on offer for the caller", found | _errors(error),
                body=content(ref("CatalogRequestMessage")), parameters=[where], security=_CALLER,
            ),
            "get": operation(
                "A further page",
                found | {400: content(ref(error)), 503: content(ref(error))},
                parameters=[where], security=_CALLER,
            ),
        },
        f"{path}/catalog/datasets/{{dataset}}": {
            "get": operation("One dataset", looked, parameters=[name], security=_CALLER)
        },
    }  # fmt: skip


def _errors(name: str) -> dict[int, Json]:
    return {status: content(ref(name)) for status in (400, 404, 408, 413, 415, 503)}


def _artefacts(path: str) -> Json:
    whole: Json = {"schema": {"type": "string", "format": "binary"}}
    bytes_ = {"application/octet-stream": whole, JSON: {"schema": True}}
    code = content(ref("Code"))
    wanted = [
        _PID,
        parameter("Range", "header", "One range of bytes", maxLength=100),
        parameter("If-Range", "header", "The ETag of the artefact that it is a range of",
                  maxLength=100),
    ]  # fmt: skip
    answers = {200: bytes_, 206: bytes_, 404: code, 416: code, 503: code}
    token: list[Json] = [{"transfer": []}]
    return {
        path + pulls.PLACE: {
            "get": operation(
                "The released artefact of a started transfer", answers, parameters=wanted,
                security=token,
            ),
            "head": operation(
                "Its size and digest", {200: {}, 404: {}, 503: {}}, parameters=[_PID],
                security=token,
            ),
        }
    }  # fmt: skip


def _identity(credentials: str) -> Json:
    code = content(ref("Code"))
    statuses = (400, 401, 403, 408, 413, 501, 503)
    return {
        "/.well-known/did.json": {
            "get": operation(
                "This participant's DID document",
                {200: content({"type": "object"}, "application/did+json")},
            )
        },
        credentials + QUERY_PATH: {
            "post": operation(
                "Show the caller what credentials we hold, if we have asked it for something",
                {200: content({"type": "object"})} | dict.fromkeys(statuses, code),
                body=content(ref("PresentationQueryMessage")), security=_CALLER,
            )
        },
    }  # fmt: skip


def _schemas() -> Json:
    found = openapi.schemas(*_MESSAGES, *_ANSWERS)
    for model in (*_MESSAGES, *_ANSWERS):
        schema = found[model.__name__]
        if "@context" in schema["properties"]:
            schema["properties"]["@context"] |= {"contains": {"const": CONTEXT}}
            schema["required"] = ["@context", "@type", *schema.get("required", [])]
    for name, ours in (("ContractRequestMessage", "providerPid"),
                       ("ContractOfferMessage", "consumerPid")):  # fmt: skip
        # A first message says where to answer, a later one which process it is about.
        sides = (("callbackAddress", ours), (ours, "callbackAddress"))
        found[name]["oneOf"] = [_only(one, other) for one, other in sides]
    return found | {
        "Code": {"type": "object", "required": ["code"], "properties": {"code": _CODE}},
        "PresentationQueryMessage": {
            "type": "object",
            "required": ["@context", "type"],
            "properties": {
                "@context": {"type": "array", "items": {"type": "string"}},
                "type": {"const": "PresentationQueryMessage"},
                "scope": {"type": "array", "items": {"type": "string"}},
            },
        },
    }


def _only(name: str, other: str) -> Json:
    given: Json = {name: {"type": "string"}, other: {"type": "null"}}
    return {"required": [name], "properties": given}


def _schemes() -> Json:
    bearer: dict[str, Any] = {"type": "http", "scheme": "bearer"}
    return {
        "caller": bearer | {"bearerFormat": "JWT", "description": "Self-issued, used once"},
        "transfer": bearer | {"description": "From the data address of a started transfer"},
    }


_CODE: Json = {"type": "string", "pattern": "^[A-Z][A-Z_]*$"}
_VERSION: Json = {
    "type": "object",
    "required": ["protocolVersions"],
    "properties": {
        "protocolVersions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["version", "path", "binding"],
                "properties": {
                    "version": {"type": "string"},
                    "path": {"type": "string"},
                    "binding": {"const": "HTTPS"},
                },
            },
        }
    },
}
_CATALOG: Json = {
    "type": "object",
    "required": ["@context", "@id", "@type", "participantId"],
    "properties": {
        "@context": {"type": "array", "contains": {"const": CONTEXT}},
        "@id": {"type": "string"},
        "@type": {"const": "Catalog"},
        "participantId": {"type": "string"},
        "dataset": {"type": "array", "minItems": 1, "items": ref("Dataset")},
    },
}
