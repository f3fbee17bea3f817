"""Example requests beside a policy: what the hospital means it to allow, and what not.

    delta = 0.00001                     # at which each `epsilon` is meant; else the policy's

    [usual]                             # what an example asks for where it says nothing else
    purpose = "scientific-research"
    tasks = ["training.logistic"]
    columns = ["age", "died"]
    output = "model"

    [[example]]
    name = "a job that uses all that it may"
    expect = "allow"                    # or "deny", "undetermined"
    hospitals = 3
    people = 100
    epsilon = 1.0
    hours = 168

    [[example]]
    name = "one hospital too few"
    expect = "deny"
    because = ["policy.participants"]   # exactly the rules that fail or lack a fact
    hospitals = 2

What is stated in neither just fits the policy, and the permit covers whatever is asked, so that
only what is stated can decide. So examples that state nothing pass with any policy, and are worth
nothing: an activation asks for more than that all pass (`Report.objection`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from policies import engine, toml
from policies.decision import Verdict
from policies.document import Document
from policies.engine import Outcome
from policies.errors import PolicyError
from policies.example import Example, ExampleDelta, pose
from policies.policy import Policy

MAX_BYTES = 1 << 18
MAX_EXAMPLES = 200

_USUAL = Example.model_fields.keys() - {"name", "expect", "because"}
# What one allowed example states by itself, or nobody has said how far the policy may go.
_STATED = ("epsilon", "people", "hospitals", "hours")
# Refusals that show nothing of how much is allowed.
_OF_THE_ASKER = frozenset({"policy.purpose", "policy.dataset", "odrl.purpose", "odrl.target"})
# The bounds of a policy, and the rule that refuses what exceeds each.
_BOUNDS = {
    "purposes": "policy.purpose",
    "tasks": "policy.tasks",
    "columns": "policy.columns",
    "outputs": "policy.outputs",
    "minimum_cohort": "policy.cohort",
    "minimum_participants": "policy.participants",
    "epsilon_per_job": "policy.epsilon-per-job",
    "hours_per_job": "policy.hours-per-job",
    "budget": "policy.budget",
    "approval": "policy.approval",
}


class Examples(Document):
    """The examples of one policy, in their order; `digest` identifies them."""

    delta: ExampleDelta | None = None
    example: Annotated[tuple[Example, ...], Field(min_length=1, max_length=MAX_EXAMPLES)]

    @field_validator("example")
    @classmethod
    def _each_has_its_name(cls, examples: tuple[Example, ...]) -> tuple[Example, ...]:
        names = [example.name for example in examples]
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two are named {repeated!r}")
        return examples

    def delta_of(self, policy: Policy) -> Decimal:
        """The delta at which each epsilon is meant."""
        return self.delta or policy.budget.delta

    def named(self, name: str) -> Example:
        """The example of that name. Raises `PolicyError` (EXAMPLE_UNKNOWN)."""
        found = next((example for example in self.example if example.name == name), None)
        if found is None:
            known = "; ".join(example.name for example in self.example[:20])
            raise PolicyError("EXAMPLE_UNKNOWN", f"no example is named {name!r}", f"Use: {known}")
        return found


def load(content: bytes, place: str) -> Examples:
    """Parse a file of examples; `place` is named in errors.

    Raises `PolicyError`: EXAMPLES_SYNTAX, EXAMPLES_INVALID.
    """
    if len(content) > MAX_BYTES:
        raise PolicyError(
            "EXAMPLES_SYNTAX", f"the examples {place} are larger than {MAX_BYTES} bytes",
            f"Keep the examples that decide something: {MAX_EXAMPLES} at most",
        )  # fmt: skip
    try:
        table = toml.load(content)
    except ValueError as error:
        raise PolicyError(
            "EXAMPLES_SYNTAX", f"the examples {place} are not TOML: {error}",
            "Correct it there; texts stand in double quotes",
        ) from error  # fmt: skip
    try:
        return Examples.model_validate(_completed(table))
    except (ValidationError, _UsualError) as error:
        problem = _problem(error) if isinstance(error, ValidationError) else str(error)
        raise PolicyError(
            "EXAMPLES_INVALID",
            f"the examples {place} are not valid: {problem}",
            "Correct it there; an unknown field is an error, never ignored",
        ) from error


class _UsualError(ValueError):
    """What stands in `usual` is nothing that an example can leave out."""


def _completed(table: dict[str, Any]) -> dict[str, Any]:
    """Every example with the usual requests' fields that it leaves out."""
    usual, examples = table.pop("usual", {}), table.get("example")
    if not isinstance(usual, dict):
        raise _UsualError("usual: must be a table")
    for name in usual:
        if name not in _USUAL:
            raise _UsualError(f"usual, {_word(name)}: Extra inputs are not permitted")
    if isinstance(examples, list):
        table["example"] = [
            usual | example if isinstance(example, dict) else example for example in examples
        ]
    return table


def _problem(error: ValidationError) -> str:
    """Where and what is wrong first; examples are counted from 1, as people do."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    first, *rest = (*problem["loc"], "")
    if first == "example" and isinstance(rest[0], int):
        first, rest = f"example {rest[0] + 1}", rest[1:]
    # Members of a union that did not match are pydantic's, not the author's.
    field = rest[0] if rest else ""
    place = f"{_word(first)}, {_word(field)}" if field else _word(first or "the whole")
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _word(part: object) -> str:
    # A key may hold anything; an error stays one line (threat: a file that steers a terminal).
    text = str(part)
    return text if text.isprintable() and len(text) <= 80 else "a key that cannot be shown"


@dataclass(frozen=True)
class Result:
    """An example, and what the policy makes of it."""

    example: Example
    outcome: Outcome

    @property
    def rules(self) -> tuple[str, ...]:
        """Codes of the rules that fail or lack a fact."""
        return (*self.outcome.failed, *self.outcome.open)

    @property
    def passed(self) -> bool:
        """Whether the verdict is the expected one, for the expected reasons if any are given."""
        reasons = self.example.because
        return self.outcome.verdict is self.example.expect and (
            not reasons or set(reasons) == set(self.rules)
        )

    @property
    def refused_by(self) -> frozenset[str]:
        """The policy's own rules that refuse what is meant to be refused.

        Empty where the statute refuses it too: that would come out the same with any policy.
        """
        failed = frozenset(self.outcome.failed)
        own = frozenset(rule for rule in failed if rule.startswith(("policy.", "odrl.")))
        return own if self.example.expect is Verdict.DENY and own == failed else frozenset()

    @property
    def unstated(self) -> tuple[str, ...]:
        """What the example leaves to the policy, of what one allowed example has to state."""
        return tuple(name for name in _STATED if getattr(self.example, name) is None)


@dataclass(frozen=True)
class Report:
    """All examples of a policy with their results; `digest` is that of the examples.

    `unrefused`: bounds of the policy that no example is refused by, as its fields are called.
    """

    digest: str
    results: tuple[Result, ...]
    unrefused: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every example came out as expected."""
        return all(result.passed for result in self.results)

    @property
    def objection(self) -> str:
        """Why a policy with these examples cannot be activated; empty if it can."""
        wrong = [result.example.name for result in self.results if not result.passed]
        if wrong:
            return f"{len(wrong)} of {len(self.results)} examples fail: {_first(wrong)}"
        expected = {result.example.expect for result in self.results}
        for verdict in (Verdict.ALLOW, Verdict.DENY):
            if verdict not in expected:
                return f'no example expects "{verdict.value}"'
        return self._shows_too_little()

    def _shows_too_little(self) -> str:
        """Threat: examples that any policy passes, however far it goes."""
        allowed = [one for one in self.results if one.example.expect is Verdict.ALLOW]
        fullest = min(allowed, key=lambda result: len(result.unstated))
        if fullest.unstated:
            return (
                f'no example that expects "allow" states {_listed(_STATED)} itself: '
                f'"{fullest.example.name}" lacks {_listed(fullest.unstated)}'
            )
        if not any(result.refused_by - _OF_THE_ASKER for result in self.results):
            return (
                'no example that expects "deny" is refused by a bound of the policy: '
                "a purpose, or what the law refuses anyway, shows none"
            )
        return ""

    @property
    def activatable(self) -> bool:
        """All pass, and they show how far the policy goes, and where it ends."""
        return not self.objection


def _first(names: list[str]) -> str:
    return f'"{names[0]}"' + (", ..." if len(names) > 1 else "")


def _listed(names: tuple[str, ...]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def run(policy: Policy, examples: Examples) -> Report:
    """Try every example on the policy. Raises `PolicyError` for a policy that cannot decide."""
    evaluate = engine.compile(policy)
    delta = examples.delta_of(policy)
    results = tuple(
        Result(example, evaluate(*pose(policy, example, delta))) for example in examples.example
    )
    return Report(examples.digest, results, tuple(_unrefused(policy, results)))


def _unrefused(policy: Policy, results: tuple[Result, ...]) -> Iterator[str]:
    refusing = frozenset(rule for result in results for rule in result.refused_by)
    for bound, code in _BOUNDS.items():
        if code not in refusing and (bound != "approval" or policy.approval == "person"):
            yield bound
    outside = [
        result.outcome.facts.now for result in results if "policy.period" in result.refused_by
    ]
    if not any(moment < policy.not_before for moment in outside):
        yield "not_before"
    if not any(moment >= policy.not_after for moment in outside):
        yield "not_after"
    if policy.rules and not any(rule.startswith("odrl.") for rule in refusing):
        yield "rules"
