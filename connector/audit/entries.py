"""What stands in a participant's log: typed entries, canonical JSON, no personal health data.

The log is the memory: budget, jobs under way and releases are folds over these entries. An entry
is at most 65,535 bytes (the framing of tlog-tiles), so large things are logged by their digest.
"""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, field_validator

from connector.revocation import Effect, Reason
from policies.decision import Decision
from policies.document import Document, Instant, first_problem
from policies.errors import PolicyError
from policies.permit import Name, Text
from policies.policy import Policy
from policies.privacy import SampledGaussian
from policies.request import UsageRequest

MAX_BYTES = 65_535
# Ed25519, in base64: over the instruction that `connector.authoring.signed` rebuilds of an entry.
Signature = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]


class Entry(Document):
    """`time` is the writer's clock in UTC; it never goes back within a log."""

    time: AwareDatetime


class Enrolled(Entry):
    """A participant joined (coordinator's log) or this node joined (its own)."""

    kind: Literal["enrolled"] = "enrolled"
    participant: Name
    coordinator: Name
    membership_digest: Name
    not_after: AwareDatetime


class Revoked(Entry):
    """The coordinator took a participant off its list: `signing_key` counts no more, for good."""

    kind: Literal["revoked"] = "revoked"
    participant: Name
    signing_key: Name


class PolicyActivated(Entry):
    """From here on this policy decides; it stands here in full, so decisions can be replayed.

    `officers` are the public keys (vkeys, which begin with a name) of the two people of the
    hospital who signed for it, `signatures` are theirs, in this order; `examples` is the digest of
    the examples that passed.
    """

    kind: Literal["policy-activated"] = "policy-activated"
    policy: Policy
    officers: tuple[Name, ...]
    examples: Name
    signed_at: Instant
    signatures: tuple[Signature, ...]


class Approved(Entry):
    """An officer answered whether a permit may use a dataset; the last answer counts.

    It is about the permit's content, `permit_digest`, as the officer read it: another permit of
    the same name is another question. `officer` is a public key.
    """

    kind: Literal["approved"] = "approved"
    dataset: Name
    permit_id: Name
    permit_digest: Name
    approved: bool
    officer: Name
    signed_at: Instant
    signature: Signature


class PermitIssued(Entry):
    """The coordinator issued a permit; `document` is its signed form."""

    kind: Literal["permit-issued"] = "permit-issued"
    permit_digest: Name
    document: str


class PermitRevoked(Entry):
    """The access body revoked or suspended a permit: from here on nothing happens under it.

    `document` is the body's signed statement (`connector.revocation`), which the other fields
    repeat; `actor` is the public key that signed it. So it can be verified from the log alone.
    """

    kind: Literal["permit-revoked"] = "permit-revoked"
    permit_id: Name
    permit_digest: Name
    effect: Effect
    reason: Reason
    actor: Name
    document: str


class Decided(Entry):
    """A request was decided: with the signed permit, the job's specification and its planned cost.

    All that the decision rested on stands here, so that it can be replayed. `permit_id` is empty
    where no permit could be verified. `dataset_version` commits to records, opt-outs and
    configuration with a key of the node's (a bare digest would tell who knows all other records
    whether one is among them); empty where a job was denied before the records were opened.
    """

    kind: Literal["decided"] = "decided"
    request: UsageRequest
    decision: Decision
    permit_document: str
    permit_id: str
    dataset_version: str
    specification: str
    planned: tuple["Planned", ...]
    job_not_after: AwareDatetime


class Planned(Document):
    """One kind of step of an admitted job: `times` runs of `mechanism` on one fold of people."""

    fold: Literal["train", "holdout"]
    mechanism: dict[str, Any]
    times: Annotated[int, Field(ge=1, le=1000)]

    @field_validator("mechanism")
    @classmethod
    def _known(cls, form: dict[str, Any]) -> dict[str, Any]:
        return _checked_mechanism(form)


class Counted(Entry):
    """The people of a dataset were counted, once, with noise that is paid for.

    Decisions about cohorts rest on `people` alone, so they reveal nothing more.
    """

    kind: Literal["counted"] = "counted"
    dataset: Name
    policy_digest: Name
    people: int
    mechanism: dict[str, Any]

    @field_validator("mechanism")
    @classmethod
    def _known(cls, form: dict[str, Any]) -> dict[str, Any]:
        return _checked_mechanism(form)


class Reserved(Entry):
    """Privacy that is spent from here on, whatever happens next. Durable before any computation."""

    kind: Literal["reserved"] = "reserved"
    job: Name
    dataset: Name
    round: int
    task: Name
    fold: Literal["train", "holdout"]
    mechanism: dict[str, Any]

    @field_validator("mechanism")
    @classmethod
    def _known(cls, form: dict[str, Any]) -> dict[str, Any]:
        return _checked_mechanism(form)


class Released(Entry):
    """Numbers left the node: `message` is the SHA-256 of the sealed message, as it was sent."""

    kind: Literal["released"] = "released"
    job: Name
    dataset: Name
    round: int
    task: Name
    message: Name
    size: int
    destination: Name


class Refused(Entry):
    """A message was refused: `code` and `rules` are fixed codes, never free text."""

    kind: Literal["refused"] = "refused"
    job: Name
    code: Name
    rules: tuple[Name, ...] = ()


class Failed(Entry):
    """A computation did not finish; what was reserved for it stays spent."""

    kind: Literal["failed"] = "failed"
    job: Name
    round: int
    task: Name
    code: Name


class JobStarted(Entry):
    """The coordinator began a job; `spec_digest` names its specification."""

    kind: Literal["job-started"] = "job-started"
    job: Name
    permit_digest: Name
    participants: tuple[Name, ...]


class JobEnded(Entry):
    """No further round of this job will be answered."""

    kind: Literal["job-ended"] = "job-ended"
    job: Name
    reason: Name


class Received(Entry):
    """The coordinator took a node's message into a round, or turned it away (`code`)."""

    kind: Literal["received"] = "received"
    job: Name
    sender: Name
    round: int
    task: Name
    message: Name
    code: Name = "accepted"


class Labelled(Entry):
    """A label was made for a release; `subject` is what it describes."""

    kind: Literal["labelled"] = "labelled"
    job: Name
    subject: Name
    label_digest: Name


class Reviewed(Entry):
    """A person reviewed a result before it may be downloaded (Art. 73(2))."""

    kind: Literal["reviewed"] = "reviewed"
    job: Name
    subject: Name
    reviewer: Text
    verdict: Literal["approved", "rejected"]


class Pulled(Entry):
    """From here on a participant has these bytes of a released artefact, by this transfer."""

    kind: Literal["pulled"] = "pulled"
    artefact: Name
    recipient: Text
    transfer: Name
    agreement: Name
    first: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=0)]


class OfDuty(Entry):
    """Somebody recorded what became of a duty (`policies.duties`) under a permit.

    `job` is a job's digest, or "none" for the whole permit. `evidence` is the digest of what shows
    it: a certificate of deletion, a publication, a notice, an authority's letter; never its text
    (threat: a notice may speak of a person). `actor` is the public key of the officer whose
    `signature` it is.
    """

    kind: str
    permit_id: Name
    duty: Name
    job: Name = "none"
    evidence: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    actor: Name
    signed_at: Instant
    signature: Signature


class DutyBegan(OfDuty):
    """A duty began that the log cannot see: a finding, the access body's demand for data.

    `days`: working days in which it is to be done, where the law gives none.
    """

    kind: Literal["duty-began"] = "duty-began"
    days: Annotated[int, Field(ge=1, le=1000)] | None = None


class DutyExtended(OfDuty):
    """An authority gave more time: until the end of that day."""

    kind: Literal["duty-extended"] = "duty-extended"
    until: date


class DutyDone(OfDuty):
    """A duty was done."""

    kind: Literal["duty-done"] = "duty-done"


_Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]
# A peer chooses some of these: anything printable, and bounded.
_Peers = Annotated[str, Field(max_length=255, pattern=r"^[\x21-\x7e]*$")]
_Side = Literal["provider", "consumer"]


class Contract(Entry):
    """About a negotiation or transfer of the Dataspace Protocol; `process` is this side's id."""

    kind: str
    process: Name
    process_kind: Literal["negotiation", "transfer"]
    counterparty: _Peers
    dataset: _Peers
    agreement: _Peers = ""


class ContractMoved(Contract):
    """A negotiation or transfer changed its state; `before` is empty at its beginning.

    `permit_digest` is that of the permit which the policy on the table shows, `job` the digest of
    the job that a transfer is for. `reasons` are fixed codes; a peer's own words are not repeated.
    """

    kind: Literal["contract-moved"] = "contract-moved"
    peer_process: _Peers = ""
    role: _Side
    permit_digest: _Digest = ""
    job: _Digest = ""
    before: Annotated[str, Field(pattern=r"^[A-Z]*$", max_length=12)]
    after: Annotated[str, Field(pattern=r"^[A-Z]+$", max_length=12)]
    by: _Side
    reasons: tuple[Name, ...] = ()


class ContractJudged(Contract):
    """The hospital's policy was asked about a permit in a contract; `answer` is what it said.

    The request is the most that the permit could ask for under the policy: each job is decided
    again by itself. Written when the answer is another than before.
    """

    kind: Literal["contract-judged"] = "contract-judged"
    moment: Name
    answer: Literal["allow", "deny", "hold"]
    reasons: tuple[Name, ...] = ()
    permit_document: str = ""
    permit_id: Annotated[str, Field(max_length=120)] = ""
    request: UsageRequest | None = None
    decision: Decision | None = None


class AgreementEnded(Entry):
    """An agreement that was in force is so no more, and why, in codes."""

    kind: Literal["agreement-ended"] = "agreement-ended"
    counterparty: _Peers
    dataset: _Peers
    agreement: _Peers
    role: _Side
    permit_digest: _Digest = ""
    reasons: tuple[Name, ...] = ()


class ContractRefused(Entry):
    """A request over the Dataspace Protocol was answered with an error, and changed nothing."""

    kind: Literal["contract-refused"] = "contract-refused"
    caller: _Peers
    place: _Peers
    code: Name


class ContractUndelivered(Entry):
    """A message over the Dataspace Protocol was given up."""

    kind: Literal["contract-undelivered"] = "contract-undelivered"
    process: Name
    counterparty: _Peers
    message: Name
    code: Name


class Incident(Entry):
    """Something that a person should look at."""

    kind: Literal["incident"] = "incident"
    code: Name


AnyEntry = Annotated[
    Enrolled | Revoked | PolicyActivated | Approved | PermitIssued | PermitRevoked | Counted
    | Decided | Reserved
    | Released | Refused | Failed | JobStarted | JobEnded | Received | Labelled | Reviewed
    | Pulled | DutyBegan | DutyExtended | DutyDone | ContractMoved | ContractJudged
    | AgreementEnded | ContractRefused | ContractUndelivered | Incident,
    Field(discriminator="kind"),
]  # fmt: skip
_ANY: TypeAdapter[Any] = TypeAdapter(AnyEntry)


def parse(content: bytes) -> Any:
    """Parse one entry strictly. Raises `PolicyError` (ENTRY_INVALID, CANONICAL_VALUE)."""
    if len(content) > MAX_BYTES:
        raise PolicyError("ENTRY_INVALID", f"a log entry exceeds {MAX_BYTES} bytes")
    try:
        entry = _ANY.validate_json(content)
    except ValidationError as error:
        raise PolicyError(
            "ENTRY_INVALID", f"not a valid log entry: {first_problem(error)}"
        ) from error
    # Canonical bytes are what an entry encodes to: an unknown form of anything cannot pass.
    if entry.encode() != content:
        raise PolicyError("ENTRY_INVALID", "not the canonical form of a log entry")
    return entry


def spell(entry: Entry) -> bytes:
    """The entry's bytes, as every writer must make them: what is written can be read back.

    Raises `PolicyError` (ENTRY_INVALID, ENTRY_TOO_LARGE) before anything is written: an entry that
    no reader takes would end the log for good.
    """
    content = entry.encode()
    if len(content) > MAX_BYTES:
        raise PolicyError("ENTRY_TOO_LARGE", f"a log entry exceeds {MAX_BYTES} bytes")
    parse(content)
    return content


def _checked_mechanism(form: dict[str, Any]) -> dict[str, Any]:
    try:
        SampledGaussian.from_json(form)
    except PolicyError as error:
        raise ValueError(error.message) from error
    return form
