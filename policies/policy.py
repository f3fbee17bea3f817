"""The hospital's policy for one dataset: a first, typed form of what will be ODRL.

It is a TOML file that the hospital owns. What it does not name is not allowed.
"""

import tomllib
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AwareDatetime, Field, ValidationError, field_validator

from policies import purposes
from policies.document import Document, first_problem
from policies.errors import PolicyError
from policies.permit import Delta, Epsilon, Name, Names

MAX_BYTES = 1 << 18


class PrivacyBudget(Document):
    """What any one person may lose in all, over all permits (add or remove a person)."""

    epsilon: Epsilon
    delta: Delta


class Policy(Document):
    """What may be computed on one dataset.

    `purposes` are the short names of `policies.purposes`; `columns` and `tasks` are allow-lists;
    `minimum_cohort` counts people in every fold that a job touches; `epsilon_per_job` caps one
    job, `budget` all jobs together. A job that is admitted holds its whole cost until it ends, so
    `hours_per_job` bounds for how long it may.
    """

    id: Name
    version: Annotated[int, Field(ge=1)]
    dataset: Name
    purposes: Names
    tasks: Names
    columns: Names
    outputs: Names
    minimum_cohort: Annotated[int, Field(ge=1)]
    minimum_participants: Annotated[int, Field(ge=1)]
    epsilon_per_job: Epsilon
    hours_per_job: Annotated[int, Field(ge=1, le=24 * 366)] = 24 * 7
    budget: PrivacyBudget
    not_before: AwareDatetime
    not_after: AwareDatetime

    @field_validator("purposes")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name in purposes.PROHIBITED:
                raise ValueError(f"{name!r} is prohibited by {purposes.PROHIBITED[name].article}")
            if name not in purposes.ALLOWED:
                raise ValueError(f"{name!r} is not a purpose of Art. 53")
        return names


def parse(content: bytes, place: str) -> Policy:
    """Parse a policy file's content; `place` is named in errors.

    Raises `PolicyError`: POLICY_SYNTAX, POLICY_INVALID.
    """
    if len(content) > MAX_BYTES:
        raise PolicyError("POLICY_SYNTAX", f"the policy {place} is larger than {MAX_BYTES} bytes")
    try:
        table = tomllib.loads(content.decode(), parse_float=Decimal)
    except (ValueError, InvalidOperation, RecursionError) as error:
        raise PolicyError(
            "POLICY_SYNTAX", f"the policy {place} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error  # fmt: skip
    try:
        return Policy.model_validate(table)
    except ValidationError as error:
        raise PolicyError(
            "POLICY_INVALID",
            f"the policy {place} is not valid: {first_problem(error)}",
            "Correct that field; an unknown field is an error, never ignored",
        ) from error
