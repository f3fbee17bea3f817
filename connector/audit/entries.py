"""What stands in a participant's log: typed entries, canonical JSON, no personal health data.

The log is the memory: budget, jobs under way and releases are folds over these entries. An entry
is at most 65,535 bytes (the framing of tlog-tiles), so large things are logged by their digest.
"""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError, field_validator

from policies import canonical
from policies.decision import Decision
from policies.document import Document, first_problem
from policies.errors import PolicyError
from policies.permit import Name, Text
from policies.policy import Policy
from policies.privacy import SampledGaussian
from policies.request import UsageRequest

MAX_BYTES = 65_535


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


class PolicyActivated(Entry):
    """From here on this policy decides; it stands here in full, so decisions can be replayed."""

    kind: Literal["policy-activated"] = "policy-activated"
    policy: Policy


class PermitIssued(Entry):
    """The coordinator issued a permit; `document` is its signed form."""

    kind: Literal["permit-issued"] = "permit-issued"
    permit_digest: Name
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


class Incident(Entry):
    """Something that a person should look at."""

    kind: Literal["incident"] = "incident"
    code: Name


AnyEntry = Annotated[
    Enrolled | PolicyActivated | PermitIssued | Counted | Decided | Reserved | Released | Refused
    | Failed | JobStarted | JobEnded | Received | Labelled | Reviewed | Incident,
    Field(discriminator="kind"),
]  # fmt: skip
_ANY: TypeAdapter[Any] = TypeAdapter(AnyEntry)


def parse(content: bytes) -> Any:
    """Parse one entry strictly. Raises `PolicyError` (ENTRY_INVALID)."""
    canonical.decode(content)
    try:
        entry = _ANY.validate_json(content)
    except ValidationError as error:
        raise PolicyError(
            "ENTRY_INVALID", f"not a valid log entry: {first_problem(error)}"
        ) from error
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
