"""From what a researcher writes to a job's specification: the noise that fits the epsilon."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import LocalError
from connector.features import FeatureMap
from connector.jobs import JobId, JobSpec, Strategy, TaskCall
from connector.protocol import Offer
from connector.schema import Column
from policies import toml
from policies.document import first_problem
from policies.errors import PolicyError
from policies.permit import Epsilon, Name, Names, Permit
from policies.privacy import calibrate, spell_decimal

# Wide enough for every number that a task takes, and far from exponents that cost time or memory.
_Number = Annotated[
    Decimal,
    Field(ge=-1_000_000, le=1_000_000, max_digits=24, decimal_places=15, allow_inf_nan=False),
]
_SERVER_RATES = {"fedavg": Decimal(1), "fedyogi": Decimal("0.6")}


class Application(BaseModel):
    """A training job as a researcher asks for it (`job.toml`).

    `epsilon` bounds what the job costs any person at the permit's delta; training and evaluation
    each get noise for it, because they see disjoint people. The numbers of the mechanism are
    public constants: nothing is tuned on the records. `server_learning_rate` is 1 for fedavg and
    0.6 for fedyogi unless it is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: JobId
    permit: Name
    datasets: Names
    inputs: Names
    outcome: Name
    model: Literal["logistic", "mlp"] = "logistic"
    hidden: tuple[int, ...] = ()
    epsilon: Epsilon
    rounds: Annotated[int, Field(ge=1, le=1000)] = 5
    local_steps: Annotated[int, Field(ge=1, le=1000)] = 4
    sampling_rate: _Number = Decimal("0.5")
    clipping_norm: _Number = Decimal(1)
    expected_batch: Annotated[int, Field(ge=1)] = 100
    learning_rate: _Number = Decimal(1)
    momentum: _Number = Decimal("0.8")
    strategy: Literal["fedavg", "fedyogi"] = "fedavg"
    server_learning_rate: _Number | None = None
    holdout: _Number = Decimal("0.25")
    evaluations: Annotated[int, Field(ge=0, le=1000)] = 1
    bins: int = 20
    round_seconds: Annotated[int, Field(ge=1, le=86_400)] = 120
    hours: Annotated[int, Field(ge=1, le=24 * 366)] = 24


def parse(content: bytes, place: str) -> Application:
    """Parse a `job.toml`. Raises `LocalError`: JOB_SYNTAX, JOB_INVALID."""
    try:
        table = toml.load(content)
        return Application.model_validate(table)
    except (ValidationError, toml.NumberError) as error:
        problem = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise LocalError(
            "JOB_INVALID",
            f"{place} is not valid: {problem}",
            "Correct that field; an unknown one is an error too",
        ) from error
    except ValueError as error:
        raise LocalError(
            "JOB_SYNTAX",
            f"{place} is not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error


def specify(
    application: Application, permit: Permit, offers: Mapping[str, Offer], now: datetime
) -> JobSpec:
    """The specification of a job, with calibrated noise and the hospitals' own column bounds.

    Raises `LocalError`: OFFER_UNKNOWN, COLUMN_UNKNOWN, COLUMN_DIFFERS, JOB_INVALID.
    """
    hidden = {"hidden": application.hidden} if application.model == "mlp" else {}
    try:
        return JobSpec(
            id=application.id,
            permit_digest=permit.digest,
            data_user=permit.data_user,
            purpose=permit.purpose,
            datasets=application.datasets,
            features=FeatureMap(
                columns=tuple(_column(name, application, offers) for name in application.inputs),
                outcome=_column(application.outcome, application, offers),
            ),
            holdout=application.holdout,
            rounds=application.rounds,
            training=_training(application, permit.delta, hidden),
            evaluation=_evaluation(application, permit.delta, hidden),
            evaluation_rounds=_spread(application.rounds, application.evaluations),
            strategy=Strategy(
                name=application.strategy, server_learning_rate=_server_rate(application)
            ),
            round_seconds=application.round_seconds,
            not_after=min(now + timedelta(hours=application.hours), permit.not_after),
        )
    except ValidationError as error:
        raise LocalError(
            "JOB_INVALID",
            f"the job is not valid: {first_problem(error)}",
            "Correct what the job asks for",
        ) from error


def _server_rate(application: Application) -> Decimal:
    given = application.server_learning_rate
    return _SERVER_RATES[application.strategy] if given is None else given


def _training(application: Application, delta: Decimal, hidden: dict[str, Any]) -> TaskCall:
    steps = application.rounds * application.local_steps
    noise = calibrate(application.epsilon, delta, application.sampling_rate, steps)
    arguments = {
        "clipping_norm": application.clipping_norm,
        "noise_multiplier": noise,
        "sampling_rate": application.sampling_rate,
        "local_steps": application.local_steps,
        "expected_batch": application.expected_batch,
        "learning_rate": application.learning_rate,
        "momentum": application.momentum,
        **hidden,
    }
    return TaskCall(task=f"training.{application.model}", arguments=_spelled(arguments))


def _evaluation(application: Application, delta: Decimal, hidden: dict[str, Any]) -> TaskCall:
    noise = calibrate(application.epsilon, delta, Decimal(1), max(1, application.evaluations))
    arguments = {"noise_multiplier": noise, "bins": application.bins, **hidden}
    return TaskCall(task=f"evaluation.{application.model}", arguments=_spelled(arguments))


def _spelled(arguments: dict[str, Any]) -> dict[str, Any]:
    """As JSON without floats: decimals and tuples in their one spelling."""
    return {name: _spell(name, value) for name, value in arguments.items()}


def _spell(name: str, value: object) -> object:
    try:
        if isinstance(value, Decimal):
            return spell_decimal(value)
    except PolicyError as error:
        raise LocalError("JOB_INVALID", f"{name}: {error.message}", error.remedy) from error
    return list(value) if isinstance(value, tuple) else value


def _spread(rounds: int, count: int) -> tuple[int, ...]:
    """`count` round numbers, evenly spread, the last round among them."""
    return tuple(sorted({round(rounds * (number + 1) / count) for number in range(count)} - {0}))


def _column(name: str, application: Application, offers: Mapping[str, Offer]) -> Column:
    """The column as every hospital declares it; they must agree, or values cannot be mixed."""
    found: Column | None = None
    for dataset in application.datasets:
        if dataset not in offers:
            raise LocalError(
                "OFFER_UNKNOWN",
                f"no hospital offers {dataset}",
                "See `commensal coordinator catalogue` for what is offered",
            )
        column = offers[dataset].dataset_schema.find(name)
        if column is None:
            raise LocalError(
                "COLUMN_UNKNOWN",
                f"{dataset} has no column {name}",
                "See `commensal coordinator catalogue` for its columns",
            )
        if found is not None and column != found:
            raise LocalError(
                "COLUMN_DIFFERS",
                f"{dataset} declares {name} otherwise than {application.datasets[0]} does",
                "The hospitals must agree on unit, bounds and categories first",
            )
        found = column
    if found is None:
        raise PolicyError("JOB_INVALID", "a job names no dataset")
    return found
