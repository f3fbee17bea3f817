"""What a job asks of one dataset, and the facts against which that is decided."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from policies.document import Document, Instant
from policies.permit import Name, Names, Permit, Text
from policies.privacy import Cost


class UsageRequest(Document):
    """Who asks what, of which dataset, for which purpose, with which task.

    Everything is taken from the job's signed specification; nothing from the sender's own claims
    about what the hospital would allow.
    """

    job_digest: Name
    permit_digest: Name
    data_user: Text
    purpose: Text
    dataset: Name
    datasets: Names
    columns: Names
    tasks: Names
    output: Name
    not_after: Instant

    @cached_property
    def participants(self) -> int:
        """How many hospitals take part: `datasets` has one entry for each, this one included."""
        return len({dataset.partition("/")[0] for dataset in self.datasets})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the node knows itself at the moment of the decision.

    `permit` is the permit whose signature was verified with the pinned key, or None. `planned` is
    the cost of the whole job, recomputed here; `spent_dataset` and `spent_permit` come from the
    fold over the log, jobs under way counted at their full plan. `persons` is the expected number
    of people in the job's smallest fold, from a count that carries noise and was paid for; None
    while nobody has counted. `approved`: what a person at the hospital said of this permit's use
    of the dataset, None while nobody has; a policy with `approval = "person"` asks for it.
    `revoked`: the log holds the access body's signed word that the permit is revoked or suspended.
    """

    now: datetime
    permit: Permit | None
    planned: Cost
    spent_dataset: Cost
    spent_permit: Cost
    persons: int | None
    approved: bool | None = None
    revoked: bool = False
