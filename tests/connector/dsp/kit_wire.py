"""What the conformance kit puts on the wire, and how it judges what it reads.

The messages have the quirks of dsp-tck 1.0.1: bare UUIDs as process ids, an `@id` of their own,
empty constraints, assigner and assignee in offers, timestamps in nanoseconds inside the agreement.
"""

import functools
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SPECS = Path(__file__).parents[4] / "shared" / "specs" / "dsp-2025-1"
CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
PARTICIPANT = "TCK_PARTICIPANT"

Message = dict[str, Any]


def new_pid() -> str:
    return str(uuid.uuid4())


def message(kind: str, **fields: Any) -> Message:
    return {"@context": [CONTEXT], "@id": new_pid(), "@type": kind} | fields


def bare_policy(kind: str, identifier: str, target: str) -> Message:
    permission = {"action": "use", "constraint": []}
    return {"@type": kind, "@id": identifier, "permission": [permission], "target": target}


def full_policy(kind: str, identifier: str, target: str, assigner: str, assignee: str) -> Message:
    parties = {"assigner": assigner, "assignee": assignee}
    return bare_policy(kind, identifier, target) | parties


def agreement(target: str, assignee: str) -> Message:
    made = full_policy("Agreement", new_pid(), target, PARTICIPANT, assignee)
    return made | {"timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.123456789Z"}


def data_address() -> Message:
    return {
        "@type": "DataAddress",
        "endpointType": "https://w3id.org/idsa/v4.1/HTTP",
        "endpoint": "http://example.com",
    }


def problems(received: Message) -> list[str]:
    """What is wrong with a message by the official schema of its @type; none without ../shared."""
    if not SPECS.is_dir():
        return []
    kind = received.get("@type")
    if kind not in _FILES:
        return [f"no schema for @type {kind!r}"]
    return [
        f"{kind}: {'.'.join(map(str, error.absolute_path)) or 'the whole'}: {error.message[:200]}"
        for error in _validator(_FILES[kind]).iter_errors(received)
    ]


def version_problems(received: Message) -> list[str]:
    """The same for the version document, which is plain JSON without @type."""
    if not SPECS.is_dir():
        return []
    path = "common/protocol-version-schema.json"
    return [error.message[:200] for error in _validator(path).iter_errors(received)]


_FILES = {
    "Catalog": "catalog/catalog-schema.json",
    "CatalogError": "catalog/catalog-error-schema.json",
    "CatalogRequestMessage": "catalog/catalog-request-message-schema.json",
    "Dataset": "catalog/dataset-schema.json",
    "ContractAgreementMessage": "negotiation/contract-agreement-message-schema.json",
    "ContractAgreementVerificationMessage": (
        "negotiation/contract-agreement-verification-message-schema.json"
    ),
    "ContractNegotiation": "negotiation/contract-negotiation-schema.json",
    "ContractNegotiationError": "negotiation/contract-negotiation-error-schema.json",
    "ContractNegotiationEventMessage": "negotiation/contract-negotiation-event-message-schema.json",
    "ContractNegotiationTerminationMessage": (
        "negotiation/contract-negotiation-termination-message-schema.json"
    ),
    "ContractOfferMessage": "negotiation/contract-offer-message-schema.json",
    "ContractRequestMessage": "negotiation/contract-request-message-schema.json",
    "TransferCompletionMessage": "transfer/transfer-completion-message-schema.json",
    "TransferError": "transfer/transfer-error-schema.json",
    "TransferProcess": "transfer/transfer-process-schema.json",
    "TransferRequestMessage": "transfer/transfer-request-message-schema.json",
    "TransferStartMessage": "transfer/transfer-start-message-schema.json",
    "TransferSuspensionMessage": "transfer/transfer-suspension-message-schema.json",
    "TransferTerminationMessage": "transfer/transfer-termination-message-schema.json",
}


@functools.cache
def _registry() -> Any:
    from referencing import Registry, Resource  # noqa: PLC0415 - only where ../shared is

    resources = []
    for path in sorted(SPECS.glob("*/*-schema.json")):
        # Three schemas point to `#definitions/...`, which is no JSON pointer.
        text = path.read_text().replace("#definitions/", "#/definitions/")
        resources.append(Resource.from_contents(json.loads(text)))
    return Registry().with_resources((resource.id(), resource) for resource in resources)


@functools.cache
def _validator(path: str) -> Any:
    from jsonschema import Draft201909Validator  # noqa: PLC0415 - only where ../shared is

    schema = _registry()[f"https://w3id.org/dspace/2025/1/{path}"].contents
    return Draft201909Validator(schema, registry=_registry())
