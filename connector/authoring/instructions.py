"""What officers tell their node, signed: activate a policy, answer about a permit, record a duty.

An instruction names its node and its dataset, so that it cannot be used elsewhere, and is obeyed
once: a policy's version only ever rises (rolling back is a new version), what was signed earlier
than the dataset's active policy or than the last answer about a permit comes too late, and no
record of a duty is written down twice.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from connector.audit import entries
from connector.audit.standing import Standing
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import SigningKey, VerifyKey
from policies import engine
from policies.document import Document, Instant
from policies.duties import RECORDABLE
from policies.history import BEGUN_BY_ENTRY, EXTENDABLE
from policies.permit import Name
from policies.policy import Policy

# A signature that waited longer is not acted upon.
LONGEST = timedelta(days=30)
# A decision repeats what a policy allows, beside the job and its permit, in one entry of the log.
MAX_POLICY_BYTES = 12_000


class ActivatePolicy(Document):
    """From now on this policy decides about its dataset. Two officers sign it.

    `examples` is the digest of the examples that the policy passed.
    """

    node: Name
    policy: Policy
    examples: Name
    issued_at: Instant


class AnswerPermit(Document):
    """Whether a permit may use a dataset whose policy asks a person. One officer signs it."""

    node: Name
    dataset: Name
    permit_id: Name
    permit_digest: Name
    approved: bool
    issued_at: Instant


class RecordDuty(Document):
    """What became of a duty under a permit (see `entries.OfDuty`). One officer signs it.

    `days` goes with a duty that began, `until` with one that was extended.
    """

    node: Name
    step: Literal["began", "extended", "done"]
    permit_id: Name
    duty: Name
    job: Name = "none"
    evidence: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    days: Annotated[int, Field(ge=1, le=1000)] | None = None
    until: date | None = None
    issued_at: Instant

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.days is not None and self.step != "began":
            raise ValueError("days are for a duty that began")
        if (self.until is not None) != (self.step == "extended"):
            raise ValueError("a duty that was extended has a new last day, and no other has")
        return self


Instruction = ActivatePolicy | AnswerPermit | RecordDuty
Kind = type[ActivatePolicy] | type[AnswerPermit] | type[RecordDuty]
# How many officers must have signed.
SIGNATURES: Mapping[Kind, int] = {ActivatePolicy: 2, AnswerPermit: 1, RecordDuty: 1}


def sign(key: SigningKey, instruction: Instruction) -> str:
    """An instruction with its first signature."""
    return documents.sign(key, instruction)


def verify(
    text: str, kind: Kind, officers: Iterable[VerifyKey]
) -> tuple[Instruction, Mapping[VerifyKey, str]]:
    """An instruction and the signature of each who signed it, if enough officers and nobody else.

    Raises `RemoteError`: SIGNATURE_MALFORMED, SIGNATURE_INVALID, SIGNATURE_MISSING.
    """
    instruction, signatures = documents.verify_all(text, kind, officers)
    if people(signatures) < SIGNATURES[kind]:
        raise RemoteError(
            "SIGNATURE_MISSING",
            "fewer officers have signed it than must",
            "A policy needs the signatures of two different people",
        )
    assert isinstance(instruction, kind)  # noqa: S101 - for the type checker
    return instruction, signatures


def people(keys: Collection[VerifyKey]) -> int:
    """How many different people with different keys these are at least."""
    return min(len({key.name for key in keys}), len({key.public_bytes for key in keys}))


def check(
    instruction: Instruction,
    node: str,
    columns: Mapping[str, Collection[str]],
    standing: Standing,
    now: datetime,
) -> None:
    """Whether a node may follow an instruction now; `columns` are those of its datasets.

    Raises `LocalError`: INSTRUCTION_FOR_ANOTHER, INSTRUCTION_STALE, INSTRUCTION_REPEATED,
    DATASET_UNKNOWN, POLICY_COLUMN, POLICY_TOO_LARGE, POLICY_VERSION, DUTY_UNKNOWN; `PolicyError`
    for ODRL rules that cannot be read.
    """
    if instruction.node != node:
        raise LocalError(
            "INSTRUCTION_FOR_ANOTHER", f"it is for {instruction.node}, not for {node}",
            "Sign it for this node",
        )  # fmt: skip
    if not now - LONGEST < instruction.issued_at <= now:
        raise LocalError(
            "INSTRUCTION_STALE",
            f"it was signed at {instruction.issued_at:%Y-%m-%d %H:%M:%S} UTC, which is in the "
            f"future or more than {LONGEST.days} days ago",
            "Compare the clocks, and sign it again",
        )
    if isinstance(instruction, ActivatePolicy):
        check_policy(instruction.policy, columns)
        _check_version(instruction.policy, standing)
        _check_moment(instruction, standing)
    elif isinstance(instruction, AnswerPermit):
        _check_answer(instruction, columns, standing)
    else:
        _check_record(instruction, standing)


def check_policy(policy: Policy, columns: Mapping[str, Collection[str]], place: str = "") -> None:
    """Whether a policy fits the node's datasets, and could decide; `place` is its file, if any.

    Raises `LocalError`: DATASET_UNKNOWN, POLICY_COLUMN, POLICY_TOO_LARGE; `PolicyError`.
    """
    if policy.dataset not in columns:
        raise _unknown(policy.dataset, columns)
    known, name = columns[policy.dataset], place or policy.id
    if len(policy.encode()) > MAX_POLICY_BYTES:
        raise LocalError(
            "POLICY_TOO_LARGE",
            f"the policy {name} is larger than {MAX_POLICY_BYTES} bytes",
            "It must fit into one entry of the log: name fewer or shorter columns",
        )
    missing = [column for column in policy.columns if column not in known]
    if missing:
        raise LocalError(
            "POLICY_COLUMN",
            f"the policy {name} names column {missing[0]}, which {policy.dataset} does not have",
            f"The dataset's columns are: {', '.join(known)}",
        )
    engine.compile(policy)


def entry(
    instruction: Instruction, signatures: Mapping[VerifyKey, str], time: datetime
) -> entries.PolicyActivated | entries.Approved | entries.OfDuty:
    """What stands in the log once an instruction is followed; `signed.attest` reads it back."""
    by, made = tuple(key.vkey for key in signatures), tuple(signatures.values())
    if isinstance(instruction, ActivatePolicy):
        return entries.PolicyActivated(
            time=time,
            policy=instruction.policy,
            officers=by,
            examples=instruction.examples,
            signed_at=instruction.issued_at,
            signatures=made,
        )
    if isinstance(instruction, RecordDuty):
        return _record(instruction, by[0], made[0], time)
    return entries.Approved(
        time=time,
        dataset=instruction.dataset,
        permit_id=instruction.permit_id,
        permit_digest=instruction.permit_digest,
        approved=instruction.approved,
        officer=by[0],
        signed_at=instruction.issued_at,
        signature=made[0],
    )


def _check_version(policy: Policy, standing: Standing) -> None:
    active, highest = standing.policy(policy.dataset), standing.version(policy.dataset, policy.id)
    if active is not None and active.digest == policy.digest:
        raise LocalError(
            "INSTRUCTION_REPEATED",
            f"{policy.id} version {policy.version} is active already",
            "There is nothing to do; a change needs a higher version",
        )
    if policy.version <= highest:
        raise LocalError(
            "POLICY_VERSION",
            f"the policy {policy.id} has version {policy.version}, and {highest} was active "
            f"already on {policy.dataset}",
            f"Set its version to {highest + 1}; to roll back, give the old terms a new version",
        )


def _check_moment(activation: ActivatePolicy, standing: Standing) -> None:
    """Versions are counted for each id: between two ids, what was signed last decides."""
    active = standing.active.get(activation.policy.dataset)
    if active is not None and activation.issued_at <= active.signed_at:
        raise LocalError(
            "INSTRUCTION_REPEATED",
            f"{active.policy.id} version {active.policy.version} is active, and was signed no "
            f"earlier, at {active.signed_at:%Y-%m-%d %H:%M:%S} UTC",
            "Sign again for what is to replace it",
        )


def _check_answer(
    answer: AnswerPermit, columns: Mapping[str, Collection[str]], standing: Standing
) -> None:
    if answer.dataset not in columns:
        raise _unknown(answer.dataset, columns)
    last = standing.answered_at(answer.dataset, answer.permit_digest)
    if last is not None and answer.issued_at <= last:
        raise LocalError(
            "INSTRUCTION_REPEATED",
            f"the answer about {answer.permit_id} that counts is no older: it was signed at "
            f"{last:%Y-%m-%d %H:%M:%S} UTC",
            "Answer again",
        )


def _check_record(record: RecordDuty, standing: Standing) -> None:
    if not can_be_recorded(record.step, record.duty):
        raise LocalError(
            "DUTY_UNKNOWN",
            f"there is no duty {record.duty} that could be recorded as {record.step}",
            "`commensal policy duties --all` lists what there is",
        )
    # A duty can begin under a permit that nobody has used here yet.
    if record.step != "began" and record.permit_id not in standing.permits:
        raise LocalError(
            "DUTY_UNKNOWN",
            f"nothing is owed here under a permit {record.permit_id}",
            "`commensal policy duties --all` lists what there is",
        )
    about = (record.step, record.permit_id, record.duty, record.job)
    if standing.holds((*about, record.evidence, record.issued_at)):
        raise LocalError(
            "INSTRUCTION_REPEATED",
            f"this record about {record.duty} stands in the log already",
            "There is nothing to do; another one is signed anew",
        )


def can_be_recorded(step: str, duty: str) -> bool:
    """Whether an entry can say so of a duty, by its code."""
    if step == "began":
        return duty in BEGUN_BY_ENTRY
    if step == "extended":
        return duty in EXTENDABLE
    return duty in RECORDABLE or duty.startswith("odrl.")


def _record(record: RecordDuty, officer: str, signature: str, time: datetime) -> entries.OfDuty:
    about = {
        "time": time, "permit_id": record.permit_id, "duty": record.duty, "job": record.job,
        "evidence": record.evidence, "actor": officer, "signed_at": record.issued_at,
        "signature": signature,
    }  # fmt: skip
    if record.step == "began":
        return entries.DutyBegan.model_validate({**about, "days": record.days})
    if record.step == "extended":
        return entries.DutyExtended.model_validate({**about, "until": record.until})
    return entries.DutyDone.model_validate(about)


def _unknown(dataset: str, known: Iterable[str]) -> LocalError:
    return LocalError(
        "DATASET_UNKNOWN",
        f"this node has no dataset {dataset}",
        f"node.toml names: {', '.join(sorted(known))}",
    )
