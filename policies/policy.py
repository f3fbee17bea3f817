"""The hospital's policy for one dataset: a first, typed form of what will be ODRL.

It is a TOML file that the hospital owns. What it does not name is not allowed.
"""

import codecs
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from policies import purposes, toml
from policies.document import Document, Instant, first_problem
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
    `hours_per_job` bounds for how long it may. With `approval = "person"` somebody at the hospital
    approves each permit's use of the dataset first. `rules` is the JSON-LD text of an ODRL policy
    that must permit a job as well.
    """

    id: Name
    version: Annotated[int, Field(ge=1, le=10**9)]
    dataset: Name
    purposes: Names
    tasks: Names
    columns: Names
    outputs: Names
    minimum_cohort: Annotated[int, Field(ge=1, le=10**9)]
    minimum_participants: Annotated[int, Field(ge=1, le=1000)]
    epsilon_per_job: Epsilon
    hours_per_job: Annotated[int, Field(ge=1, le=24 * 366)] = 24 * 7
    budget: PrivacyBudget
    not_before: Instant
    not_after: Instant
    approval: Literal["automatic", "person"] = "automatic"
    rules: str = ""

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
    """Parse a policy file's content, TOML or JSON-LD; `place` is named in errors.

    Raises `PolicyError`: POLICY_SYNTAX, POLICY_INVALID; for JSON-LD also ODRL_*, POLICY_UNBOUNDED.
    """
    if len(content) > MAX_BYTES:
        raise PolicyError("POLICY_SYNTAX", f"the policy {place} is larger than {MAX_BYTES} bytes")
    if content.startswith(codecs.BOM_UTF8):
        raise PolicyError(
            "POLICY_SYNTAX", f"the policy {place} begins with a byte order mark (BOM)",
            "Save it as UTF-8 without one",
        )  # fmt: skip
    if content.lstrip().startswith(b"{"):
        from policies.odrl import lift  # noqa: PLC0415 - most policies are TOML; it imports this

        return lift.parse(content, place)
    try:
        table = toml.load(content)
    except toml.NumberError as error:
        raise _invalid(place, str(error)) from error
    except ValueError as error:
        raise PolicyError(
            "POLICY_SYNTAX", f"the policy {place} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error  # fmt: skip
    try:
        _check_types(table)
        return Policy.model_validate(table)
    except ValueError as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise _invalid(place, problem) from error


def _invalid(place: str, problem: str) -> PolicyError:
    return PolicyError(
        "POLICY_INVALID",
        f"the policy {place} is not valid: {problem}",
        "Correct that field; an unknown field is an error, never ignored",
    )


_NUMBERS = frozenset(
    {
        "version", "minimum_cohort", "minimum_participants", "epsilon_per_job", "hours_per_job",
        "epsilon", "delta",
    }
)  # fmt: skip
_TIMES = frozenset({"not_before", "not_after"})


def _check_types(table: dict[str, Any]) -> None:
    """TOML has numbers and times of its own: a text, or true, is not taken for one."""
    budget = table.get("budget")
    inner = budget.items() if isinstance(budget, dict) else ()
    for name, value in (*table.items(), *((f"budget.{key}", one) for key, one in inner)):
        field = name.removeprefix("budget.")
        if field in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int | Decimal)):
            raise ValueError(f"{name}: must be a number, without quotes")
        if field in _TIMES and not isinstance(value, datetime):
            raise ValueError(f"{name}: must be a time with its zone, like 2027-01-31T00:00:00Z")
