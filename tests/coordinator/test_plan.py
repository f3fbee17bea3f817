"""From what a researcher writes to a specification: noise that fits, columns that agree."""

from decimal import Decimal
from typing import Any

import pytest
from desk import AGE, DIED, NOW, WEIGHT, permit
from desk import offer as described

from connector.errors import LocalError
from connector.jobs import JobSpec, parse_spec
from connector.protocol import Offer
from connector.schema import Column
from coordinator.jobs import plan
from coordinator.jobs.plan import Application
from policies.errors import Error
from policies.privacy import epsilon

GRANTED = permit()
TEXT = """\
id = "job-1"
permit = "permit-1"
datasets = ["north/patients", "south/patients"]
inputs = ["age", "weight"]
outcome = "died"
epsilon = 1.0
"""


def offer(dataset: str, *columns: Column) -> Offer:
    return Offer.parse(described(dataset, *columns))


OFFERS = {name: offer(name) for name in ("north/patients", "south/patients")}


def application(**changed: Any) -> Application:
    known = {
        "id": "job-1",
        "permit": "permit-1",
        "datasets": ("north/patients", "south/patients"),
        "inputs": ("age", "weight"),
        "outcome": "died",
        "epsilon": "1",
    }
    return Application.model_validate(known | changed)


def specify(offers: dict[str, Offer] | None = None, **changed: Any) -> JobSpec:
    return plan.specify(application(**changed), GRANTED, OFFERS if offers is None else offers, NOW)


def refused(offers: dict[str, Offer] | None = None, **changed: Any) -> LocalError:
    with pytest.raises(LocalError) as refusal:
        specify(offers, **changed)
    return refusal.value


@pytest.mark.parametrize(
    ("asked", "rounds", "local_steps", "rate", "evaluations"),
    [
        ("1", 5, 4, "0.5", 1),
        ("1", 10, 4, "0.25", 3),
        ("0.1", 3, 1, "0.01", 1),
        ("0.5", 1, 1, "1", 1),
        ("3", 40, 8, "0.05", 2),
        ("8", 2, 50, "0.9", 5),
        ("100", 1, 1, "1", 1),
        ("1", 5, 4, "0.5", 0),
    ],
)
def test_the_noise_keeps_the_job_within_the_epsilon_that_was_asked(
    asked: str, rounds: int, local_steps: int, rate: str, evaluations: int
) -> None:
    made = specify(
        epsilon=asked, rounds=rounds, local_steps=local_steps, sampling_rate=rate,
        evaluations=evaluations,
    )  # fmt: skip
    cost = epsilon(made.cost(), GRANTED.delta)
    assert cost <= Decimal(asked)
    assert cost >= Decimal(asked) * Decimal("0.7"), "no more noise than it takes"
    assert made.rounds == rounds
    assert len(made.evaluation_rounds) == min(evaluations, rounds)


def test_less_epsilon_is_more_noise() -> None:
    noise = [
        specify(epsilon=e).training.mechanism.noise_multiplier for e in ("2", "1", "0.5", "0.1")
    ]
    assert noise == sorted(set(noise))


def test_a_specification_says_what_was_asked_and_survives_its_spelling() -> None:
    made = specify(rounds=7, strategy="fedyogi", server_learning_rate="0.25", hours=2)
    assert made.permit_digest == GRANTED.digest
    assert (made.data_user, made.purpose) == (GRANTED.data_user, GRANTED.purpose)
    assert made.columns == ("age", "weight", "died")
    assert made.features.columns == (AGE, WEIGHT)
    assert made.features.outcome == DIED
    assert (made.strategy.name, made.strategy.server_learning_rate) == ("fedyogi", Decimal("0.25"))
    assert (made.not_after - NOW).total_seconds() == 2 * 3600
    assert parse_spec(made.encode()) == made
    assert (
        parse_spec(made.encode()).digest
        == made.digest
        == specify(rounds=7, strategy="fedyogi", server_learning_rate="0.25", hours=2).digest
    )


def test_the_servers_rate_is_the_strategys_own_unless_it_is_given() -> None:
    assert specify().strategy.server_learning_rate == 1
    assert specify(strategy="fedyogi").strategy.server_learning_rate == Decimal("0.6")
    given = specify(strategy="fedyogi", server_learning_rate="1").strategy
    assert given.server_learning_rate == 1


@pytest.mark.parametrize(
    "name",
    [
        "sampling_rate",
        "clipping_norm",
        "learning_rate",
        "momentum",
        "server_learning_rate",
        "holdout",
    ],
)
@pytest.mark.parametrize("number", ["1e-999999999", "1e999999", "-1e999999", "1e-30", "inf"])
def test_numbers_beyond_all_measure_are_refused_by_name(name: str, number: str) -> None:
    with pytest.raises(LocalError) as refusal:
        plan.parse(f"{TEXT}\n{name} = {number}\n".encode(), "job.toml")
    assert refusal.value.code == "JOB_INVALID"
    assert name in refusal.value.message


def test_a_perceptron_has_its_layers_in_both_tasks() -> None:
    made = specify(model="mlp", hidden=(8, 4))
    assert made.tasks == ("training.mlp", "evaluation.mlp")
    assert made.training.arguments["hidden"] == made.evaluation.arguments["hidden"] == [8, 4]
    assert parse_spec(made.encode()) == made


@pytest.mark.parametrize(
    ("rounds", "count", "expected"),
    [
        (5, 1, (5,)),
        (5, 5, (1, 2, 3, 4, 5)),
        (10, 2, (5, 10)),
        (1, 1, (1,)),
        (4, 0, ()),
        (2, 9, (1, 2)),
    ],
)
def test_evaluations_are_spread_and_the_last_round_is_one(
    rounds: int, count: int, expected: tuple[int, ...]
) -> None:
    assert specify(rounds=rounds, evaluations=count).evaluation_rounds == expected


def test_a_dataset_that_nobody_offers_is_named() -> None:
    error = refused({"north/patients": OFFERS["north/patients"]})
    assert error.code == "OFFER_UNKNOWN"
    assert "south/patients" in error.message
    assert "catalogue" in error.remedy


@pytest.mark.parametrize("changed", [{"inputs": ("age", "height")}, {"outcome": "height"}])
def test_a_column_that_a_hospital_lacks_is_named(changed: dict[str, Any]) -> None:
    error = refused(**changed)
    assert error.code == "COLUMN_UNKNOWN"
    assert "height" in error.message
    assert "north/patients" in error.message


@pytest.mark.parametrize(
    "other",
    [
        {"maximum": Decimal(110)},
        {"minimum": Decimal(18)},
        {"unit": "months"},
        {"nullable": True},
    ],
)
def test_a_column_that_hospitals_declare_differently_is_named(other: dict[str, Any]) -> None:
    south = offer("south/patients", AGE.model_copy(update=other), WEIGHT, DIED)
    error = refused(OFFERS | {"south/patients": south})
    assert error.code == "COLUMN_DIFFERS"
    assert "age" in error.message
    assert "south/patients" in error.message


def test_other_columns_may_differ() -> None:
    south = offer("south/patients", AGE, WEIGHT, DIED, Column(name="smokes", kind="binary"))
    assert specify(OFFERS | {"south/patients": south}).columns == ("age", "weight", "died")


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"datasets": ("north/patients", "north/patients")}, "datasets"),
        ({"outcome": "age", "inputs": ("weight",)}, "outcome"),
        ({"inputs": ("age", "age")}, "column"),
        ({"inputs": ("age", "died")}, "outcome"),
        ({"holdout": "0"}, "holdout"),
        ({"holdout": "0.95"}, "holdout"),
        ({"bins": 7}, "bins"),
        ({"bins": 1000}, "bins"),
        ({"momentum": "1"}, "momentum"),
        ({"momentum": "-0.5"}, "momentum"),
        ({"learning_rate": "0"}, "learning_rate"),
        ({"learning_rate": "-1"}, "learning_rate"),
        ({"learning_rate": "0.0000000000001"}, "learning_rate"),
        ({"clipping_norm": "0"}, "clipping_norm"),
        ({"server_learning_rate": "0"}, "server_learning_rate"),
        ({"model": "mlp"}, "hidden"),
        ({"model": "mlp", "hidden": (0,)}, "hidden"),
        ({"model": "mlp", "hidden": (1024, 1024, 1024)}, "parameters"),
    ],
)
def test_a_job_that_cannot_be_is_refused_with_its_field(
    changed: dict[str, Any], names: str
) -> None:
    error = refused(**changed)
    assert error.code == "JOB_INVALID"
    assert names in error.message


@pytest.mark.parametrize("rate", ["0", "1.5", "-0.5"])
def test_a_sampling_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(Error) as refusal:
        specify(sampling_rate=rate)
    assert refusal.value.code == "PRIVACY_RATE"
    assert "sampling rate" in refusal.value.message


def test_an_application_is_read_exactly() -> None:
    read = plan.parse(TEXT.encode(), "job.toml")
    assert read.epsilon == Decimal(1)
    assert plan.parse(TEXT.replace("1.0", "0.3").encode(), "job.toml").epsilon == Decimal("0.3")
    assert plan.specify(read, GRANTED, OFFERS, NOW) == specify(epsilon="1.0")


@pytest.mark.parametrize(
    ("old", "new", "code", "names"),
    [
        ("epsilon = 1.0", "epsilon = 0", "JOB_INVALID", "epsilon"),
        ("epsilon = 1.0", "epsilon = nan", "JOB_INVALID", "epsilon"),
        ("epsilon = 1.0", "", "JOB_INVALID", "epsilon"),
        ("epsilon = 1.0", "epsilon = 1.0\nrounds = 0", "JOB_INVALID", "rounds"),
        ("epsilon = 1.0", "epsilon = 1.0\nrounds = 1001", "JOB_INVALID", "rounds"),
        ("epsilon = 1.0", "epsilon = 1.0\nlearning_rate = nan", "JOB_INVALID", "learning_rate"),
        ("epsilon = 1.0", 'epsilon = 1.0\nstrategy = "fedprox"', "JOB_INVALID", "strategy"),
        ("epsilon = 1.0", 'epsilon = 1.0\nmodel = "forest"', "JOB_INVALID", "model"),
        ("epsilon = 1.0", "epsilon = 1.0\nseed = 4711", "JOB_INVALID", "seed"),
        ('id = "job-1"', 'id = "../../etc"', "JOB_INVALID", "id"),
        ('id = "job-1"', 'id = "a/b"', "JOB_INVALID", "id"),
        ('outcome = "died"', 'outcome = ""', "JOB_INVALID", "outcome"),
        ('["age", "weight"]', "[]", "JOB_INVALID", "inputs"),
        ("epsilon = 1.0", "epsilon = ", "JOB_SYNTAX", "job.toml"),
        ("epsilon = 1.0", "a = " + "[" * 5000, "JOB_SYNTAX", "job.toml"),
    ],
)
def test_an_application_that_is_wrong_says_where(old: str, new: str, code: str, names: str) -> None:
    assert old in TEXT
    with pytest.raises(LocalError) as refusal:
        plan.parse(TEXT.replace(old, new).encode(), "job.toml")
    assert refusal.value.code == code
    assert names in refusal.value.message
    assert "job.toml" in refusal.value.message
    assert "4711" not in refusal.value.message
