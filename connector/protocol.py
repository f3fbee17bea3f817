"""The bodies of the messages between coordinator and node, strictly parsed.

describe  {}                                what do you offer?
start     StartJob                          will you take part?
step      TakeStep + the task's arrays      one task of one round
end       EndJob                            no further rounds
reply     {in_reply_to, status, ...}        ok | refused | failed, codes only
"""

from typing import Annotated, Any, Self

from pydantic import Field, ValidationError

from connector.errors import RemoteError
from policies.document import Document, first_problem
from policies.permit import Name

_Text = Annotated[str, Field(min_length=2, max_length=1 << 17)]
_Code = Annotated[str, Field(pattern=r"^[A-Z0-9_]{0,60}$")]


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


class Reply(Body):
    """A node's answer. `code` and `rules` are fixed codes."""

    in_reply_to: Name
    status: Annotated[str, Field(pattern="^(ok|refused|failed)$")]
    code: _Code = ""
    rules: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    offers: Annotated[tuple[dict[str, Any], ...], Field(max_length=100)] = ()
