"""One example request in the hospital's own words, and the request and facts that it stands for."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, field_validator

from policies import purposes
from policies.baseline import DATA_USER, MOST_HOSPITALS, Changes, baseline, cost_of
from policies.decision import Verdict
from policies.document import Document, Instant
from policies.permit import Delta, Name, Names, Text
from policies.policy import Policy
from policies.privacy import NOTHING, Cost, spell_decimal
from policies.request import Facts, UsageRequest

_NOON = time(12, tzinfo=UTC)
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("must be a number, without quotes")  # noqa: TRY004 - what pydantic reports
    return value


def _plain(value: Decimal) -> Decimal:
    return Decimal(spell_decimal(value))


def _moment(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, _NOON)
    raise ValueError("must be a date like 2027-01-31, without quotes")


_Spent = Annotated[
    Decimal, BeforeValidator(_number), Field(ge=0, le=100, decimal_places=6), AfterValidator(_plain)
]
ExampleDelta = Annotated[Delta, BeforeValidator(_number), Field(decimal_places=12)]
_Moment = Annotated[Instant, BeforeValidator(_moment), Field(ge=_FIRST, lt=_LAST)]
_Count = Annotated[int, Strict(), Field(ge=0, le=1 << 40)]


class Example(Document):
    """One request in the hospital's own words, and what is expected of the policy.

    `purpose` is a short name of `policies.purposes` or an IRI; `epsilon` what the job costs a
    person, `already_spent` what all earlier jobs cost together; `hours` until its deadline;
    `people` in the smallest fold, `"unknown"` while nobody has counted; `on` a date (its noon,
    UTC) or a time; `approved` what a person at the hospital said, where the policy asks one.
    """

    name: Text
    expect: Verdict
    because: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    purpose: Text
    tasks: Names
    columns: Names
    output: Name
    hospitals: Annotated[int, Strict(), Field(ge=1, le=MOST_HOSPITALS)] | None = None
    epsilon: Annotated[_Spent, Field(gt=0)] | None = None
    hours: Annotated[int, Strict(), Field(ge=1, le=24 * 3650)] | None = None
    people: _Count | Literal["unknown"] | None = None
    on: _Moment | None = None
    already_spent: _Spent = Decimal(0)
    data_user: Text = DATA_USER
    approved: Annotated[bool, Strict()] | Literal["unanswered"] = True

    @field_validator("purpose")
    @classmethod
    def _known(cls, purpose: str) -> str:
        if ":" not in purpose and purpose not in purposes.ALLOWED | purposes.PROHIBITED:
            raise ValueError("is neither a purpose of Art. 53 or 54 nor an IRI")
        return purpose


def pose(policy: Policy, example: Example, delta: Decimal) -> tuple[UsageRequest, Facts]:
    """The request and the facts that an example stands for; its epsilons are meant at `delta`."""
    changed = Changes(
        purpose=example.purpose,
        tasks=example.tasks,
        columns=example.columns,
        output=example.output,
        spent=_cost(example.already_spent, delta),
        data_user=example.data_user,
        approved=None if example.approved == "unanswered" else example.approved,
    )
    if example.hospitals is not None:
        changed["participants"] = example.hospitals
    if example.epsilon is not None:
        changed["epsilon"] = _cost(example.epsilon, delta)
    if example.hours is not None:
        changed["hours"] = example.hours
    if example.people is not None:
        changed["persons"] = None if example.people == "unknown" else example.people
    if example.on is not None:
        changed["now"] = example.on
    return baseline(policy, **changed)


@lru_cache(maxsize=1024)
def _cost(target: Decimal, delta: Decimal) -> Cost:
    """The dearest cost of at most that epsilon: what people state is where they mean the edge."""
    return cost_of(target, delta) if target else NOTHING
