"""The bodies of the messages between coordinator and node, strictly parsed.

describe  {}                                what do you offer?
start     StartJob                          will you take part?
step      TakeStep + the task's arrays      one task of one round
end       EndJob                            no further rounds
revoke    RevokePermit                      nothing more under this permit
reply     {in_reply_to, status, ...}        ok | refused | failed, codes only; offers of a describe
"""

from typing import Annotated, Any, Self

from pydantic import AwareDatetime, ConfigDict, Field, ValidationError

from connector.errors import RemoteError
from connector.revocation import MAX_BYTES
from connector.schema import Schema
from policies.document import Document, first_problem
from policies.permit import Epsilon, Name, Names, Text

_Text = Annotated[str, Field(min_length=2, max_length=1 << 17)]
# Fits `entries.Received.code`: what comes in can be written down.
_Code = Annotated[str, Field(pattern=r"^([A-Z0-9][A-Z0-9_]*)?$", max_length=60)]
_DatasetId = Annotated[
    str, Field(max_length=120, pattern=r"^[a-z0-9][a-z0-9.-]*/[A-Za-z0-9][A-Za-z0-9._/:#+-]*$")
]


class Body(Document):
    """A message's body; unknown fields are refused."""

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Self:
        """Raises `RemoteError` (MESSAGE_MALFORMED)."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise RemoteError(
                "MESSAGE_MALFORMED", f"a message's body is not valid: {first_problem(error)}"
            ) from error


class StartJob(Body):
    """A signed permit and the specification that it is for (canonical JSON)."""

    permit: _Text
    specification: _Text


class TakeStep(Body):
    """One step of an admitted job; its arguments are those of the specification."""

    job: Name
    round: Annotated[int, Field(ge=1, le=1000)]
    task: Name


class EndJob(Body):
    """The job is over; its unused plan no longer counts."""

    job: Name
    reason: Name


class RevokePermit(Body):
    """A `connector.revocation.Revocation`, signed by the access body's own key."""

    statement: Annotated[str, Field(min_length=2, max_length=MAX_BYTES)]


class Terms(Document):
    """What of a dataset's policy others need in order to write a job that it will not refuse.

    A policy's further fields are left behind: the hospital decides by them, nobody else does.
    """

    model_config = ConfigDict(extra="ignore")

    purposes: Names
    tasks: Names
    columns: Names
    minimum_cohort: Annotated[int, Field(ge=1)]
    minimum_participants: Annotated[int, Field(ge=1)]
    epsilon_per_job: Epsilon
    not_after: AwareDatetime


class Offer(Body):
    """One dataset on offer: what its columns mean, and on which terms."""

    dataset: _DatasetId
    title: Text
    dataset_schema: Annotated[Schema, Field(alias="schema")]
    policy: Terms

    @property
    def hospital(self) -> str:
        """Who offers it, by the dataset's own name."""
        return self.dataset.partition("/")[0]


class Reply(Body):
    """A node's answer. `code` and `rules` are fixed codes.

    Each of `offers` is one `Offer`, parsed by itself: a bad one does not cost the others.
    """

    in_reply_to: Name
    status: Annotated[str, Field(pattern="^(ok|refused|failed)$")]
    code: _Code = ""
    rules: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    offers: Annotated[tuple[dict[str, Any], ...], Field(max_length=100)] = ()
