"""The specification of a federated job. Its digest names the job; nodes take part in nothing else.

Everything that costs privacy or shapes a result is in here and is fixed before the first round:
a coordinator cannot send other parameters in round 7 than were agreed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from connector.features import FeatureMap
from connector.tasks import TASKS, Task, parameter_count
from policies.document import Document, first_problem
from policies.errors import PolicyError
from policies.permit import Name, Names, Text
from policies.privacy import NOTHING, Cost, SampledGaussian
from policies.request import UsageRequest

MAX_ROUNDS = 1000
# No slash and no leading dot: results lie in a folder of this name.
JobId = Annotated[str, Field(min_length=1, max_length=120, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Round = Annotated[int, Field(ge=1, le=MAX_ROUNDS)]


class TaskCall(Document):
    """A task of the nodes' catalogue with its arguments, validated by that task's own model."""

    task: Name
    arguments: dict[str, Any]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.task not in TASKS:
            raise ValueError(f"not a task; known: {', '.join(TASKS)}")
        try:
            TASKS[self.task].parse(self.arguments)
        except ValidationError as error:
            raise ValueError(f"arguments of {self.task}: {first_problem(error)}") from error
        except PolicyError as error:
            raise ValueError(f"arguments of {self.task}: {error.message}") from error
        return self

    @property
    def definition(self) -> Task:
        """The catalogue's definition of the task."""
        return TASKS[self.task]

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes of the model's hidden layers."""
        return self.definition.parse(self.arguments).layers

    @property
    def mechanism(self) -> SampledGaussian:
        """What one call of the task does to privacy."""
        return self.definition.mechanism(self.arguments)


class Strategy(Document):
    """How the coordinator turns the hospitals' updates into the next model."""

    name: Literal["fedavg", "fedyogi"]
    server_learning_rate: Annotated[Decimal, Field(gt=0, le=10)] = Decimal(1)


class JobSpec(Document):
    """One training job: who, what for, on which data, with which tasks, for how long.

    `datasets` has one entry per hospital, `<hospital>/<dataset>`. `holdout` is the share of people
    who are kept out of training and used for evaluation only; the two sets are disjoint, so a
    person pays for one of them.
    """

    id: JobId
    permit_digest: Name
    data_user: Text
    purpose: Text
    datasets: Names
    features: FeatureMap
    holdout: Annotated[Decimal, Field(ge=0, le=Decimal("0.9"), decimal_places=6)]
    rounds: Round
    training: TaskCall
    evaluation: TaskCall
    evaluation_rounds: tuple[Round, ...]
    strategy: Strategy
    output: Name = "model"
    round_seconds: Annotated[int, Field(ge=1, le=86_400)] = 600
    not_after: AwareDatetime

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        hospitals = [dataset.partition("/")[0] for dataset in self.datasets]
        if len(set(hospitals)) != len(hospitals):
            raise ValueError("datasets: one dataset per hospital")
        if self.training.definition.fold != "train" or self.evaluation.definition.fold != "holdout":
            raise ValueError("training and evaluation must be tasks of those kinds")
        if self.training.layers != self.evaluation.layers:
            raise ValueError("evaluation: another model than the one that is trained")
        try:
            parameter_count(self.training.layers, self.features.width)
        except PolicyError as error:
            raise ValueError(f"training: {error.message}") from error
        rounds = self.evaluation_rounds
        if list(rounds) != sorted(set(rounds)) or any(number > self.rounds for number in rounds):
            raise ValueError("evaluation_rounds: rising round numbers within the job")
        if self.evaluation_rounds and self.holdout == 0:
            raise ValueError("holdout: evaluation needs people who are held out")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the job reads, the outcome included."""
        return (*(column.name for column in self.features.columns), self.features.outcome.name)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task that the job calls."""
        calls = (self.training, self.evaluation) if self.evaluation_rounds else (self.training,)
        return tuple(call.task for call in calls)

    def request(self, dataset: str) -> UsageRequest:
        """What the job asks of one of its datasets; nothing but the specification counts."""
        return UsageRequest(
            job_digest=self.digest,
            permit_digest=self.permit_digest,
            data_user=self.data_user,
            purpose=self.purpose,
            dataset=dataset,
            datasets=self.datasets,
            columns=self.columns,
            tasks=self.tasks,
            output=self.output,
            not_after=self.not_after,
        )

    def dataset_of(self, hospital: str) -> str | None:
        """The dataset with which a hospital takes part."""
        return next((d for d in self.datasets if d.partition("/")[0] == hospital), None)

    def steps(self) -> Iterator["Step"]:
        """Every message of the job in order: a training step per round, evaluations after some."""
        for number in range(1, self.rounds + 1):
            yield Step(number, self.training)
            if number in self.evaluation_rounds:
                yield Step(number, self.evaluation)

    def step(self, number: int, task: str) -> "Step | None":
        """The step of that round and task, or None if the job has no such step."""
        return next((s for s in self.steps() if (s.round, s.call.task) == (number, task)), None)

    def kinds(self) -> Iterator[tuple[TaskCall, int]]:
        """Each task that the job calls, and how often."""
        yield self.training, self.rounds
        if self.evaluation_rounds:
            yield self.evaluation, len(self.evaluation_rounds)

    def cost(self) -> Cost:
        """What the whole job costs any one person in one dataset (add or remove a person).

        Steps on the same fold add up; the folds are disjoint sets of people, so the job costs a
        person the larger of the two (parallel composition).
        """
        return self._cost  # a gate asks at every step

    @cached_property
    def _cost(self) -> Cost:
        folds: dict[str, Cost] = {}
        for call, times in self.kinds():
            fold, cost = call.definition.fold, call.mechanism.cost
            for _ in range(times):
                folds[fold] = folds.get(fold, NOTHING) + cost
        total = NOTHING
        for cost in folds.values():
            total = total.maximum(cost)
        return total


@dataclass(frozen=True)
class Step:
    """One task call of one round."""

    round: int
    call: TaskCall


def parse_spec(content: bytes) -> JobSpec:
    """Parse a specification that a peer sent. Raises `PolicyError` (DOCUMENT_INVALID)."""
    return JobSpec.decode(content)
