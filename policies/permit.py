"""The data permit that a health data access body issues: the content of Art. 68(10)."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Self

from pydantic import Field, model_validator

from policies.document import Document, Instant
from policies.privacy import Budget

# Printable: people read it on a hospital's console (threat: a peer that steers a terminal).
Text = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")
]
Name = Annotated[
    str, Field(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:#+-]*$")
]
Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
Epsilon = Annotated[Decimal, Field(gt=0, le=100)]
Delta = Annotated[Decimal, Field(gt=0, lt=Decimal("0.1"))]

_LONGEST = timedelta(days=3653)


class PermitState(StrEnum):
    """States of a permit (TEHDAS2 D6.4); only the first three entitle to processing."""

    GRANTED = "granted"
    AMENDED = "amended"
    RENEWED = "renewed"
    REVOKED = "revoked"
    EXPIRED = "expired"


ENTITLING = frozenset({PermitState.GRANTED, PermitState.AMENDED, PermitState.RENEWED})


@dataclass(frozen=True, slots=True)
class Scope:
    """A permit's allow-lists, for looking up."""

    datasets: frozenset[str]
    columns: frozenset[str]
    tasks: frozenset[str]
    outputs: frozenset[str]


class Permit(Document):
    """What one data user may do, with which datasets, for which purpose, until when.

    `purpose` is an IRI (see `policies.purposes`); `columns` and `tasks` are allow-lists; `epsilon`
    and `delta` bound the privacy loss of any person in each dataset over all jobs under this
    permit (Art. 68(10)(h), "specific conditions"; neighbouring relation: add or remove a person).
    """

    id: Name
    issuer: Name
    state: PermitState
    data_user: Text
    project: Text
    purpose: Text
    datasets: Names
    columns: Names
    tasks: Names
    outputs: Names
    epsilon: Epsilon
    delta: Delta
    minimum_participants: Annotated[int, Field(ge=1, le=1000)]
    not_before: Instant
    not_after: Instant

    @model_validator(mode="after")
    def _period(self) -> Self:
        if not self.not_before < self.not_after:
            raise ValueError("not_after must lie behind not_before")
        if self.not_after - self.not_before > _LONGEST:
            raise ValueError("a permit lasts at most ten years (Art. 68(12))")
        return self

    @cached_property
    def scope(self) -> Scope:
        """What it lists."""
        return Scope(
            frozenset(self.datasets),
            frozenset(self.columns),
            frozenset(self.tasks),
            frozenset(self.outputs),
        )

    @cached_property
    def budget(self) -> Budget:
        """What any person may lose in each dataset over all its jobs (Art. 68(10)(h))."""
        return Budget(self.epsilon, self.delta)
