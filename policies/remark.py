"""What a check of a policy has to say about one place in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from policies.privacy import MAX_NOISE_MULTIPLIER, Cost, SampledGaussian


class Severity(StrEnum):
    """ERROR: it does not do what a policy is for. WARNING: it may not do what was meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Remark:
    """`code` is stable, `path` a field or a JSON path; the rest is for people."""

    severity: Severity
    code: str
    path: str
    sentence: str
    remedy: str


@dataclass(frozen=True)
class Catalogue:
    """What nodes can compute: each task with the kinds of output that it serves.

    `cheapest` is the least cost of any job; `person_level` are kinds of output in which one
    hospital's own result shows if it takes part alone.
    """

    outputs_of: Mapping[str, frozenset[str]]
    cheapest: Cost = field(default_factory=lambda: SampledGaussian(MAX_NOISE_MULTIPLIER).cost)
    person_level: frozenset[str] = frozenset({"model"})

    @property
    def outputs(self) -> frozenset[str]:
        """Every kind of output that some task serves."""
        return frozenset().union(*self.outputs_of.values())


def error(code: str, path: str, sentence: str, remedy: str) -> Remark:
    """A remark about what must be corrected."""
    return Remark(Severity.ERROR, code, path, sentence, remedy)


def warning(code: str, path: str, sentence: str, remedy: str) -> Remark:
    """A remark about what should be looked at."""
    return Remark(Severity.WARNING, code, path, sentence, remedy)
