"""A request, and facts, that a policy allows as it is written: where every example starts.

Whatever is asked for, the permit covers it, so that only the policy (and the statute's rules about
the request itself) decides.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import chain, islice
from typing import TypedDict, Unpack

from policies import purposes
from policies.permit import Permit, PermitState
from policies.policy import Policy
from policies.privacy import NOTHING, ORDERS, Budget, Cost, SampledGaussian, epsilon
from policies.request import Facts, UsageRequest

DATA_USER = "a data user"
MOST_HOSPITALS = 1_000  # that a permit lists
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9990, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_EXAMPLE = "sha256:" + "0" * 64

# What one release costs, by how the cost falls over the orders; `scaled` makes it cheap or dear.
PLAIN = Cost(tuple(order / 2 for order in ORDERS))
SAMPLED = SampledGaussian(Decimal(1), Decimal("0.01")).cost


# Data user, purpose, datasets, columns, tasks, output.
Scope = tuple[str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...], str]


class Changes(TypedDict, total=False):
    """What can differ from the baseline.

    A cost is given as such, or as the epsilon that it has at the policy's delta. `purpose` is a
    short name or an IRI, `hours` the time until the job's deadline, `persons` None if not counted.
    """

    dataset: str
    purpose: str
    tasks: tuple[str, ...]
    columns: tuple[str, ...]
    output: str
    participants: int
    epsilon: Decimal | Cost
    spent: Decimal | Cost
    hours: int
    persons: int | None
    now: datetime
    approved: bool | None
    data_user: str


@dataclass(frozen=True, slots=True)
class Situation:
    """A request and its facts, by the things that a policy may look at.

    `partners` are datasets to take part first, before invented ones; `lasts` is the time to the
    job's deadline; `planned` and `spent` are costs on the dataset.
    """

    dataset: str
    purpose: str
    tasks: tuple[str, ...]
    columns: tuple[str, ...]
    output: str
    participants: int
    planned: Cost
    lasts: timedelta
    persons: int | None
    now: datetime
    spent: Cost = NOTHING
    approved: bool | None = None
    data_user: str = DATA_USER
    partners: tuple[str, ...] = ()

    def ask(self) -> tuple[UsageRequest, Facts]:
        """The request with the facts. Raises pydantic's `ValidationError` for unusable names."""
        permit = _permit(
            (self.data_user, self.purpose, self._datasets(), self.columns, self.tasks, self.output),
            self._period(),
        )
        request = UsageRequest(
            job_digest=_EXAMPLE,
            permit_digest=permit.digest,
            data_user=self.data_user,
            purpose=self.purpose,
            dataset=self.dataset,
            datasets=permit.datasets,
            columns=self.columns,
            tasks=self.tasks,
            output=self.output,
            not_after=self.now + self.lasts,
        )
        facts = Facts(
            now=self.now, permit=permit, planned=self.planned, spent_dataset=self.spent,
            spent_permit=NOTHING, persons=self.persons, approved=self.approved,
        )  # fmt: skip
        return request, facts

    def _datasets(self) -> tuple[str, ...]:
        return tuple(islice(self._one_of_each_hospital(), max(1, self.participants)))

    def _one_of_each_hospital(self) -> Iterator[str]:
        seen = set()
        invented = (f"hospital-{number}/patients" for number in range(1, 2 * MOST_HOSPITALS))
        for dataset in chain((self.dataset, *self.partners), invented):
            hospital = dataset.partition("/")[0]
            if hospital not in seen:
                seen.add(hospital)
                yield dataset

    def _period(self) -> tuple[datetime, datetime]:
        # Whole days, so that few permits differ: making one is what costs time in a search.
        start = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        return start, start + timedelta(days=2 + max(0, self.lasts.days))


@lru_cache(maxsize=512)
def _permit(scope: Scope, period: tuple[datetime, datetime]) -> Permit:
    user, purpose, datasets, columns, tasks, output = scope
    permit = Permit(
        id="example",
        issuer="example",
        state=PermitState.GRANTED,
        data_user=user,
        project="an example",
        purpose=purpose,
        datasets=datasets,
        columns=columns,
        tasks=tasks,
        outputs=(output,),
        epsilon=Decimal(100),
        delta=Decimal("0.0999"),
        minimum_participants=1,
        not_before=period[0],
        not_after=period[1],
    )
    permit.digest  # noqa: B018 - worked out once, and kept with the permit
    return permit


def situation(policy: Policy) -> Situation:
    """All that the policy's fields allow, in the middle of its period, of a fresh budget.

    Rules in ODRL are not looked at. Raises `PolicyError` (PRIVACY_*) for a budget without sense.
    """
    now = policy.not_before
    if policy.not_before < policy.not_after:
        now += (policy.not_after - policy.not_before) / 2
    return Situation(
        dataset=policy.dataset,
        purpose=purposes.by_name(policy.purposes[0]).iri,
        tasks=policy.tasks,
        columns=policy.columns,
        output=policy.outputs[0],
        participants=policy.minimum_participants,
        planned=_most(policy),
        lasts=timedelta(hours=policy.hours_per_job),
        persons=policy.minimum_cohort,
        now=min(max(now.astimezone(UTC), _FIRST), _LAST),
        approved=True if policy.approval == "person" else None,
    )


def baseline(policy: Policy, **changed: Unpack[Changes]) -> tuple[UsageRequest, Facts]:
    """A request that the policy's fields just allow, but for what is `changed`.

    Raises `PolicyError` (PRIVACY_*), and pydantic's `ValidationError` for names that no request
    can carry.
    """
    fitting = situation(policy)
    names = purposes.ALLOWED | purposes.PROHIBITED
    purpose = changed.get("purpose", fitting.purpose)
    delta = policy.budget.delta
    return replace(
        fitting,
        dataset=changed.get("dataset", fitting.dataset),
        purpose=names[purpose].iri if purpose in names else purpose,
        tasks=changed.get("tasks", fitting.tasks),
        columns=changed.get("columns", fitting.columns),
        output=changed.get("output", fitting.output),
        participants=changed.get("participants", fitting.participants),
        planned=_cost(changed.get("epsilon", fitting.planned), delta),
        spent=_cost(changed.get("spent", NOTHING), delta),
        lasts=timedelta(hours=changed["hours"]) if "hours" in changed else fitting.lasts,
        persons=changed.get("persons", fitting.persons),
        now=changed.get("now", fitting.now),
        approved=changed.get("approved", fitting.approved),
        data_user=changed.get("data_user", fitting.data_user),
    ).ask()


def scaled(cost: Cost, factor: float) -> Cost:
    """A cost of the same kind, `factor` times as dear."""
    return Cost(tuple(loss * factor for loss in cost.rdp))


def edge(fits: Callable[[Cost], bool], kind: Cost = PLAIN) -> tuple[Cost, Cost] | None:
    """The dearest release of a kind that fits, and the next one, which does not.

    `fits` must not hold again for anything dearer. None if nothing fits, or everything does.
    """
    low, high = 1e-12, 1e9
    if not fits(scaled(kind, low)) or fits(scaled(kind, high)):
        return None
    while True:
        middle = (low * high) ** 0.5
        if high / low < 1 + 1e-12 or not low < middle < high:
            return scaled(kind, low), scaled(kind, high)
        low, high = (middle, high) if fits(scaled(kind, middle)) else (low, middle)


def cost_of(target: Decimal, delta: Decimal) -> Cost:
    """The dearest plain Gaussian release of at most epsilon `target` at `delta`.

    None is that cheap below the fixed part of the conversion to epsilon: then it costs nothing.
    """
    found = edge(lambda cost: epsilon(cost, delta) <= target)
    return found[0] if found else NOTHING


def _cost(given: Decimal | Cost, delta: Decimal) -> Cost:
    return given if isinstance(given, Cost) else cost_of(given, delta)


def _most(policy: Policy) -> Cost:
    budget = Budget(policy.budget.epsilon, policy.budget.delta)
    cap, delta = policy.epsilon_per_job, policy.budget.delta
    found = edge(lambda cost: budget.admits(NOTHING, cost) and epsilon(cost, delta) <= cap)
    return found[0] if found else NOTHING
