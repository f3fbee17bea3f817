"""The templates: explained line by line, and with examples that notice any change of a bound."""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from policies import examples, purposes
from policies.decision import Verdict
from policies.examples import Examples
from policies.policy import Policy, parse

DIRECTORY = Path(__file__).parents[2] / "policies" / "templates"
NAMES = ("statistics", "training", "synthesis", "cohort")
STEP = Decimal("0.05")
# What somebody may come to add to a list: every point of Art. 53(1), what the other templates
# name, and a name that is new. One at a time, for one refusal may hide another.
WIDER = {
    "purposes": [name for name, purpose in purposes.ALLOWED.items() if purpose.broader is None],
    "tasks": [
        "statistics.count", "training.logistic", "training.mlp", "marginals", "another.task",
    ],
    "columns": ["postcode", "name"],
    "outputs": ["statistics", "model", "synthetic", "table"],
}  # fmt: skip


def template(name: str) -> tuple[Policy, Examples]:
    policy, beside = DIRECTORY / f"{name}.toml", DIRECTORY / f"{name}.examples.toml"
    return (
        parse(policy.read_bytes(), policy.name),
        examples.load(beside.read_bytes(), beside.name),
    )


def lists(name: str) -> Iterator[Any]:
    """The template's policy with one name less, or one more, in one of its lists."""
    policy, _ = template(name)
    for field, names in WIDER.items():
        listed = getattr(policy, field)
        for removed in listed:
            if len(listed) > 1:
                fewer = tuple(one for one in listed if one != removed)
                yield pytest.param(name, {field: fewer}, id=f"{name}-without-{removed}")
        for added in names:
            if added not in listed:
                yield pytest.param(name, {field: (*listed, added)}, id=f"{name}-with-{added}")


def bounds(name: str) -> Iterator[Any]:
    """The template's policy with one bound changed, in either direction."""
    policy, _ = template(name)
    for field in ("minimum_cohort", "minimum_participants", "hours_per_job"):
        for change in (-1, 1):
            changed = getattr(policy, field) + change
            yield pytest.param(name, {field: changed}, id=f"{name}-{field}-{change:+}")
    for field in ("not_before", "not_after"):
        for change in (-1, 1):
            moved = getattr(policy, field) + timedelta(days=change)
            yield pytest.param(name, {field: moved}, id=f"{name}-{field}-{change:+}")
    for factor in (1 - STEP, 1 + STEP):
        cap = policy.epsilon_per_job * factor
        yield pytest.param(name, {"epsilon_per_job": cap}, id=f"{name}-epsilon_per_job-{factor}")
        budget = policy.budget.model_copy(update={"epsilon": policy.budget.epsilon * factor})
        yield pytest.param(name, {"budget": budget}, id=f"{name}-budget.epsilon-{factor}")
    for factor in (Decimal("0.5"), Decimal(2)):
        budget = policy.budget.model_copy(update={"delta": policy.budget.delta * factor})
        yield pytest.param(name, {"budget": budget}, id=f"{name}-budget.delta-{factor}")
    other = {"automatic": "person", "person": "automatic"}[policy.approval]
    yield pytest.param(name, {"approval": other}, id=f"{name}-approval-{other}")


def test_these_are_all_the_templates() -> None:
    files = {path.name for path in DIRECTORY.iterdir() if path.suffix == ".toml"}
    assert files == {f"{name}{end}" for name in NAMES for end in (".toml", ".examples.toml")}


@pytest.mark.parametrize("name", NAMES)
def test_all_examples_of_a_template_pass_with_their_reasons(name: str) -> None:
    policy, beside = template(name)
    report = examples.run(policy, beside)
    assert report.activatable, report.objection
    assert report.unrefused == ()
    expected = [one.expect for one in beside.example]
    assert expected.count(Verdict.ALLOW) >= 3
    assert expected.count(Verdict.DENY) >= 8
    assert all(one.because for one in beside.example if one.expect is not Verdict.ALLOW)


@pytest.mark.parametrize(
    ("name", "changed"), [one for name in NAMES for one in (*lists(name), *bounds(name))]
)
def test_a_template_whose_bound_is_changed_fails_its_examples(
    name: str, changed: dict[str, Any]
) -> None:
    policy, beside = template(name)
    mutant = policy.model_copy(update=changed)
    assert mutant != policy
    assert not examples.run(mutant, beside).passed


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_a_template_is_explained_above_it(name: str) -> None:
    lines = (DIRECTORY / f"{name}.toml").read_text().splitlines()
    stated = {line.split()[0] for line in lines if re.match(r"\w+ = ", line)}
    assert stated | {"budget", "rules"} == set(Policy.model_fields) | {"epsilon", "delta"}
    for above, line in pairwise(lines):
        if re.match(r"\w+ = ", line):
            explained = (
                above.startswith("# ") or above == "[budget]" or line.startswith("not_after")
            )
            assert explained, line
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_an_allow_list_that_no_single_hospital_can_use_alone(name: str) -> None:
    policy, _ = template(name)
    assert policy.minimum_participants >= 3
    assert policy.minimum_cohort >= 20
    assert policy.epsilon_per_job < policy.budget.epsilon
    assert (policy.approval == "person") is (name == "cohort")
