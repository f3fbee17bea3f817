"""What officers signed, read back from the log: an entry holds all of the instruction but its node.

So whoever has the log alone can check that the keys in it signed what stands there. Whether these
keys are those of the hospital's officers, no log can show: that is known from elsewhere.
"""

from collections.abc import Mapping

from connector.audit import entries
from connector.authoring.instructions import (
    SIGNATURES,
    ActivatePolicy,
    AnswerPermit,
    Instruction,
    RecordDuty,
    people,
)
from connector.errors import RemoteError
from connector.identity import documents
from connector.identity.keys import VerifyKey
from policies.errors import PolicyError

Signed = entries.PolicyActivated | entries.Approved | entries.OfDuty


def attest(entry: Signed, node: str) -> tuple[VerifyKey, ...]:
    """The keys that signed what an entry of the log of `node` says: as many people as must.

    Raises `PolicyError` (LOG_ORDER).
    """
    instruction, signatures = _rebuilt(entry, node), _signatures(entry)
    if people(signatures) < SIGNATURES[type(instruction)]:
        raise _wrong("is signed by fewer officers than must")
    for key, signature in signatures.items():
        if not documents.is_signature(signature, instruction, key):
            raise _wrong(f"does not carry the signature of {key.name} on what it says")
    return tuple(signatures)


def _rebuilt(entry: Signed, node: str) -> Instruction:
    if isinstance(entry, entries.PolicyActivated):
        return ActivatePolicy(
            node=node, policy=entry.policy, examples=entry.examples, issued_at=entry.signed_at
        )
    if isinstance(entry, entries.Approved):
        return AnswerPermit(
            node=node,
            dataset=entry.dataset,
            permit_id=entry.permit_id,
            permit_digest=entry.permit_digest,
            approved=entry.approved,
            issued_at=entry.signed_at,
        )
    about = {
        "node": node, "step": entry.kind.removeprefix("duty-"), "permit_id": entry.permit_id,
        "duty": entry.duty, "job": entry.job, "evidence": entry.evidence,
        "issued_at": entry.signed_at,
    }  # fmt: skip
    if isinstance(entry, entries.DutyBegan):
        about["days"] = entry.days
    if isinstance(entry, entries.DutyExtended):
        about["until"] = entry.until
    return RecordDuty.model_validate(about)


def _signatures(entry: Signed) -> Mapping[VerifyKey, str]:
    if isinstance(entry, entries.PolicyActivated):
        keys, signatures = entry.officers, entry.signatures
    elif isinstance(entry, entries.Approved):
        keys, signatures = (entry.officer,), (entry.signature,)
    else:
        keys, signatures = (entry.actor,), (entry.signature,)
    if len(keys) != len(signatures):
        raise _wrong("has another number of signatures than of officers")
    try:
        return {VerifyKey.parse(key): one for key, one in zip(keys, signatures, strict=True)}
    except RemoteError as error:
        raise _wrong("names an officer without a public key") from error


def _wrong(what: str) -> PolicyError:
    return PolicyError("LOG_ORDER", f"the entry {what}")
