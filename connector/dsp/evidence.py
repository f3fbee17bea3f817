"""The permit in a contract: the signed document as evidence, and what an agreement binds of it.

The document travels as a Dublin Core statement of the offer (`dct:license`), which survives any
JSON-LD processor and every schema. The agreement repeats it, and adds to each permission what the
permit allows: so both sides come to the same words without another message.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connector.dsp.messages import DataAddress, EndpointProperty
from connector.dsp.terms import EVIDENCE
from connector.errors import RemoteError
from connector.identity import documents
from policies.errors import PolicyError
from policies.odrl import operands, terms
from policies.odrl.model import AnyConstraint, Constraint, Policy
from policies.odrl.terms import LEFT_OPERANDS, Iri, Operator
from policies.permit import Permit

MAX_PERMIT_BYTES = 16_000
ENDPOINT_TYPE = "commensal:FederatedJob"
_JOB = "job"
_DIGEST_LENGTH = 71


def with_permit(offer: Policy, document: str) -> Policy:
    """An offer with a signed permit as evidence."""
    others = tuple(one for one in offer.metadata if one[0] != EVIDENCE)
    return replace(offer, metadata=(*others, (EVIDENCE, document)))


def permit_document(policy: Policy) -> str:
    """The signed permit that is shown, unverified; empty if there is none, or several."""
    found = [value for name, value in policy.metadata if name == EVIDENCE]
    if len(found) != 1 or not isinstance(found[0], str) or len(found[0]) > MAX_PERMIT_BYTES:
        return ""
    return found[0]


def bind(offer: Policy) -> Policy:
    """What an agreement on this offer says: each permission within the permit that was shown.

    An offer that shows none is agreed on as it stands; whether that may be is the judge's to say.
    """
    document = permit_document(offer)
    try:
        permit = documents.read_unverified(document, Permit) if document else None
    except (RemoteError, PolicyError):
        permit = None
    if permit is None:
        return offer
    found = _constraints(permit)
    return replace(
        offer,
        permissions=tuple(
            replace(
                one,
                constraints=(
                    *one.constraints, *(each for each in found if each not in one.constraints)
                ),
            )
            for one in offer.permissions
        ),
    )  # fmt: skip


def _constraints(permit: Permit) -> tuple[AnyConstraint, ...]:
    """Digest, purpose, kinds of job, cost and end of a permit; the dataset is the target."""
    tasks = tuple(operands.name(one, LEFT_OPERANDS[terms.TASK]) for one in permit.tasks)
    return (
        Constraint(terms.PERMIT, Operator.EQ, permit.digest),
        Constraint(terms.PURPOSE, Operator.EQ, Iri(permit.purpose)),
        Constraint(terms.TASK, Operator.IS_ANY_OF, tasks),
        Constraint(terms.EPSILON, Operator.LTEQ, permit.epsilon),
        Constraint(terms.DELTA, Operator.LTEQ, permit.delta),
        Constraint(terms.DATE_TIME, Operator.LT, permit.not_after),
    )


def bound_permit(policy: Policy) -> str:
    """The digest of the permit that every permission of an agreement is bound to; else empty."""
    digests = {
        next(
            (
                one.right
                for one in permission.constraints
                if isinstance(one, Constraint)
                and one.left == terms.PERMIT
                and one.operator is Operator.EQ
            ),
            "",
        )
        for permission in policy.permissions
    }
    digest = digests.pop() if len(digests) == 1 else ""
    return digest if isinstance(digest, str) else ""


def shown_permit(spelled: Mapping[str, Any]) -> str:
    """The digest of the permit in a policy as messages spell it, unverified; empty if none."""
    try:
        document = spelled.get("dct:license")
        if isinstance(document, list) and len(document) == 1:
            document = document[0]
        if not isinstance(document, str) or len(document) > MAX_PERMIT_BYTES:
            return ""
        return documents.read_unverified(document, Permit).digest
    except (RemoteError, PolicyError):
        return ""


def for_job(digest: str) -> DataAddress:
    """What a transfer of format `commensal:FederatedJob` is for: one job, by its digest."""
    return DataAddress(
        endpoint_type=ENDPOINT_TYPE, properties=(EndpointProperty(name=_JOB, value=digest),)
    )


def job_of(address: Mapping[str, Any] | None) -> str:
    """The digest of the job that a transfer names; empty if it names none."""
    if address is None or address.get("endpointType") != ENDPOINT_TYPE:
        return ""
    named = [
        one.get("value") for one in address.get("endpointProperties", ())
        if isinstance(one, Mapping) and one.get("name") == _JOB
    ]  # fmt: skip
    digest = named[0] if len(named) == 1 else None
    if not isinstance(digest, str) or len(digest) != _DIGEST_LENGTH:
        return ""
    kind, _, digits = digest.partition(":")
    return digest if kind == "sha256" and set(digits) <= set("0123456789abcdef") else ""
