"""A job's specification: one spelling, one digest, and nothing in it that was not agreed."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from specimens import AGE, DIED, EVALUATION, TRAINING, evaluation, spec, training

from connector.features import FeatureMap
from connector.jobs import JobSpec, TaskCall, parse_spec
from policies import canonical
from policies.document import first_problem
from policies.errors import PolicyError
from policies.privacy import NOTHING, SampledGaussian, epsilon

DELTA = Decimal("0.00001")


def problem(**changed: Any) -> str:
    with pytest.raises(ValidationError) as refusal:
        spec(**changed)
    return first_problem(refusal.value)


def sent(**changed: Any) -> str:
    """What a node says to a specification that a peer sent with other fields."""
    table = json.loads(spec().encode()) | changed
    with pytest.raises(PolicyError) as refusal:
        parse_spec(canonical.encode(table))
    assert refusal.value.code == "DOCUMENT_INVALID"
    return refusal.value.diagnostics()


def call(task: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"task": task, "arguments": arguments}


def test_a_specification_survives_its_own_spelling() -> None:
    assert parse_spec(spec().encode()) == spec()


@settings(max_examples=30, deadline=None)
@given(
    rounds=st.integers(1, 50),
    noise=st.integers(1, 500).map(lambda n: f"{Decimal(n) / 8:f}".rstrip("0").rstrip(".")),
    holdout=st.integers(1, 90).map(lambda n: Decimal(n) / 100),
    name=st.text("abcXYZ019._-", min_size=1, max_size=20).filter(lambda name: name[0].isalnum()),
)
def test_every_specification_has_one_digest(
    rounds: int, noise: str, holdout: Decimal, name: str
) -> None:
    made = spec(
        id=name,
        rounds=rounds,
        holdout=holdout,
        training=training(noise_multiplier=noise),
        evaluation_rounds=(rounds,),
    )
    again = parse_spec(made.encode())
    assert again == made
    assert again.digest == made.digest == canonical.digest(made.encode())


def test_the_digest_depends_on_content_only() -> None:
    table = json.loads(spec().encode())
    turned = JobSpec.model_validate_json(json.dumps(dict(reversed(table.items()))))
    assert turned.digest == spec().digest


@pytest.mark.parametrize("field", sorted(JobSpec.model_fields))
def test_every_field_changes_the_digest(field: str) -> None:
    others = {
        "id": "job-2",
        "permit_digest": "sha256:02",
        "data_user": "b",
        "purpose": "urn:other",
        "datasets": ("south/patients", "north/patients"),
        "features": FeatureMap(
            columns=(AGE.model_copy(update={"maximum": Decimal(121)}),), outcome=DIED
        ),
        "holdout": Decimal("0.26"),
        "rounds": 4,
        "training": training(noise_multiplier="4.6"),
        "evaluation": evaluation(bins=12),
        "evaluation_rounds": (3,),
        "strategy": {"name": "fedyogi"},
        "output": "table",
        "round_seconds": 601,
        "not_after": "2026-11-24T12:00:00Z",
    }
    assert spec(**{field: others[field]}).digest != spec().digest


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"datasets": ["north/patients", "north/others"]}, "datasets"),
        ({"datasets": ["north/patients", "north/patients"]}, "datasets"),
        ({"datasets": []}, "datasets"),
        ({"evaluation_rounds": [4]}, "evaluation_rounds"),
        ({"evaluation_rounds": [0]}, "evaluation_rounds"),
        ({"evaluation_rounds": [3, 1]}, "evaluation_rounds"),
        ({"evaluation_rounds": [1, 1]}, "evaluation_rounds"),
        ({"holdout": "0"}, "holdout"),
        ({"holdout": "0.95"}, "holdout"),
        ({"holdout": "-0.1"}, "holdout"),
        ({"rounds": 0}, "rounds"),
        ({"rounds": 1001}, "rounds"),
        ({"round_seconds": 0}, "round_seconds"),
        ({"round_seconds": 86_401}, "round_seconds"),
        ({"not_after": "2026-11-23T12:00:00"}, "not_after"),
        ({"strategy": {"name": "fedprox"}}, "strategy.name"),
        ({"strategy": {"name": "fedavg", "server_learning_rate": "0"}}, "server_learning_rate"),
        ({"training": call("training.forest", TRAINING)}, "training"),
        ({"training": call("evaluation.logistic", EVALUATION)}, "training"),
        ({"evaluation": call("training.logistic", TRAINING)}, "evaluation"),
        ({"training": call("training.logistic", TRAINING | {"seed": 4711})}, "seed"),
        ({"training": call("training.logistic", TRAINING | {"local_steps": 0})}, "local_steps"),
        ({"training": call("training.logistic", TRAINING | {"local_steps": True})}, "local_steps"),
        ({"training": call("training.logistic", TRAINING | {"local_steps": "2"})}, "local_steps"),
        ({"training": call("training.logistic", TRAINING | {"momentum": "1"})}, "momentum"),
        ({"training": call("training.logistic", TRAINING | {"momentum": "0.50"})}, "momentum"),
        ({"training": call("training.logistic", TRAINING | {"momentum": "-0.5"})}, "momentum"),
        ({"training": call("training.logistic", {})}, "clipping_norm"),
        ({"training": call("training.mlp", TRAINING)}, "hidden"),
        ({"training": call("training.mlp", TRAINING | {"hidden": [4]})}, "evaluation"),
        ({"evaluation": call("evaluation.mlp", EVALUATION | {"hidden": [4]})}, "evaluation"),
        (
            {
                "training": call("training.mlp", TRAINING | {"hidden": [1024] * 3}),
                "evaluation": call("evaluation.mlp", EVALUATION | {"hidden": [1024] * 3}),
            },
            "parameters",
        ),
        ({"evaluation": call("evaluation.logistic", EVALUATION | {"bins": 11})}, "bins"),
        ({"code": "import os"}, "code"),
    ],
)
def test_a_specification_that_is_wrong_is_refused_with_its_field(
    changed: dict[str, Any], says: str
) -> None:
    assert says in sent(**changed)


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "a/b", ".hidden", "", "a b", "x" * 121, "a\n"]
)
def test_a_jobs_name_is_never_a_path(name: str) -> None:
    assert sent(id=name).startswith("not a valid JobSpec: id:")


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "PATIENT 4711"},
        {"training": call("PATIENT-4711", TRAINING)},
        {"training": call("training.logistic", TRAINING | {"momentum": "PATIENT-4711"})},
        {"training": call("training.logistic", TRAINING | {"local_steps": "PATIENT-4711"})},
        {"strategy": {"name": "PATIENT-4711"}},
        {"datasets": ["PATIENT 4711"]},
    ],
)
def test_a_refusal_does_not_repeat_the_value(changed: dict[str, Any]) -> None:
    assert "4711" not in sent(**changed)


@pytest.mark.parametrize(
    "name", ["noise_multiplier", "clipping_norm", "learning_rate", "local_steps"]
)
def test_a_float_as_an_argument_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        training(**{name: 2.0})
    assert name in first_problem(refusal.value)


def test_a_name_that_is_no_task_names_those_that_are() -> None:
    with pytest.raises(ValidationError) as refusal:
        TaskCall(task="statistics.mean", arguments={})
    assert "training.logistic" in first_problem(refusal.value)
    assert "statistics" not in first_problem(refusal.value)


def test_evaluation_without_held_out_people_is_refused_and_without_evaluation_is_not() -> None:
    assert "holdout" in problem(holdout=Decimal(0))
    made = spec(holdout=Decimal(0), evaluation_rounds=())
    assert made.tasks == ("training.logistic",)


def test_what_a_job_reads_and_calls_is_all_of_it() -> None:
    assert spec().columns == ("age", "died")
    assert spec().tasks == ("training.logistic", "evaluation.logistic")


def test_a_hospital_takes_part_with_its_own_dataset() -> None:
    assert spec().dataset_of("south") == "south/patients"
    assert spec().dataset_of("sout") is None
    assert spec().dataset_of("south/patients") is None
    assert spec().dataset_of("") is None


def test_steps_are_those_of_the_specification_in_order() -> None:
    steps = [(step.round, step.call.task) for step in spec().steps()]
    train, test = "training.logistic", "evaluation.logistic"
    assert steps == [(1, train), (1, test), (2, train), (3, train), (3, test)]
    for number, task in steps:
        assert spec().step(number, task) is not None
    for number, task in ((2, test), (4, train), (0, train), (1, "training.mlp")):
        assert spec().step(number, task) is None


def test_the_cost_is_the_larger_of_the_two_folds() -> None:
    train = SampledGaussian(Decimal("4.5"), Decimal("0.5"), 2 * 3).cost
    test = SampledGaussian(Decimal(10)).cost
    assert spec().cost().rdp == pytest.approx(train.maximum(test + test).rdp)
    quiet = spec(training=training(noise_multiplier="10000"))
    assert quiet.cost().rdp == pytest.approx((test + test).rdp)


def test_every_round_and_every_evaluation_costs() -> None:
    costs = [epsilon(spec(rounds=n, evaluation_rounds=()).cost(), DELTA) for n in range(1, 20)]
    assert costs == sorted(set(costs))
    noisy = training(noise_multiplier="10000")
    evaluated = [
        epsilon(spec(rounds=9, training=noisy, evaluation_rounds=tuple(range(1, n))).cost(), DELTA)
        for n in range(2, 10)
    ]
    assert evaluated == sorted(set(evaluated))
    assert spec().cost() != NOTHING
