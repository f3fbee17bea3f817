"""One decision with eight constraints and all reasons, beside Cedar and Rego in the same run.

The same policy three times: ours compiled, Cedar with one `forbid` for each constraint (the only
way in which it names all that fail), Rego with one member of a set for each. All three are prepared
before the clock starts: policies parsed, entities parsed, requests in the form that each takes. The
requests are allowed and refused ones in turn, and all three must give the same reasons for each.
"""

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from policies import engine, purposes
from policies.odrl.terms import COMMENSAL
from policies.permit import Permit
from policies.policy import Policy
from policies.privacy import SampledGaussian
from policies.request import Facts, UsageRequest

START = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DATASET = "north/patients"
COLUMNS = tuple(f"x{number}" for number in range(8))
TASKS = ("training.logistic", "evaluation.logistic")
EIGHT = (
    "policy.dataset",
    "policy.purpose",
    "policy.tasks",
    "policy.columns",
    "policy.outputs",
    "policy.period",
    "policy.participants",
    "policy.cohort",
)
COST = SampledGaussian(Decimal(8), Decimal("0.1"), 20).cost

CEDAR = """
permit(principal, action, resource);
forbid(principal, action, resource)
  unless { resource == Dataset::"north/patients" };
forbid(principal, action, resource)
  unless { context.purpose in Purpose::"scientific-research" };
forbid(principal, action, resource)
  unless { ["training.logistic", "evaluation.logistic"].containsAll(context.tasks) };
forbid(principal, action, resource)
  unless { [%COLUMNS%].containsAll(context.columns) };
forbid(principal, action, resource)
  unless { ["model"].contains(context.output) };
forbid(principal, action, resource)
  unless { %START% <= context.now && context.now < %END% };
forbid(principal, action, resource)
  unless { context.participants >= 2 };
forbid(principal, action, resource)
  unless { context.persons >= 10 };
"""

REGO = """
package gate
import rego.v1

tasks := {"training.logistic", "evaluation.logistic"}
columns := {%COLUMNS%}
purposes := {%PURPOSES%}

deny contains "policy.dataset" if input.dataset != "north/patients"
deny contains "policy.purpose" if not input.purpose in purposes
deny contains "policy.tasks" if { some task in input.tasks; not task in tasks }
deny contains "policy.columns" if { some column in input.columns; not column in columns }
deny contains "policy.outputs" if input.output != "model"
deny contains "policy.period" if input.now < %START%
deny contains "policy.period" if input.now >= %END%
deny contains "policy.participants" if input.participants < 2
deny contains "policy.cohort" if input.persons < 10
"""

ODRL = json.dumps(
    {
        "@context": "http://www.w3.org/ns/odrl.jsonld",
        "@type": "Set",
        "uid": "urn:commensal:bench",
        "permission": [
            {
                "action": "use",
                "constraint": [
                    {"leftOperand": left, "operator": operator, "rightOperand": right}
                    for left, operator, right in (
                        ("purpose", "isA", purposes.by_name("scientific-research").iri),
                        ("dateTime", "lt", "2031-01-01T00:00:00Z"),
                        ("recipient", "neq", "an insurer"),
                        (COMMENSAL + "outputKind", "eq", "model"),
                        (COMMENSAL + "minParticipants", "gteq", 2),
                        (COMMENSAL + "cohortSize", "gteq", 5),
                    )
                ],
            }
        ],
    }
)


@dataclass(frozen=True)
class Latency:
    """Seconds of one decision."""

    p50: float
    p99: float


def policy(**changed: Any) -> Policy:
    """What the three engines are given, in our form."""
    known: dict[str, Any] = {
        "id": "north/research",
        "version": 1,
        "dataset": DATASET,
        "purposes": ("scientific-research",),
        "tasks": TASKS,
        "columns": COLUMNS,
        "outputs": ("model",),
        "minimum_cohort": 10,
        "minimum_participants": 2,
        "epsilon_per_job": "1",
        "budget": {"epsilon": "2", "delta": "0.00001"},
        "not_before": START,
        "not_after": START + 100 * DAY,
    }
    return Policy.model_validate(known | changed)


def questions() -> list[tuple[UsageRequest, Facts]]:
    """Sixteen jobs: half are allowed, the others are refused for one reason, or for several."""
    permit = _permit()
    wrong: list[dict[str, Any]] = [
        {"columns": (*COLUMNS[:3], "name")},
        {"output": "records"},
        {"tasks": (*TASKS, "training.mlp")},
        {"now": START - DAY},
        {"persons": 3},
        {"datasets": (DATASET,)},
        {"dataset": "north/others", "purpose": purposes.by_name("education").iri},
        {"columns": ("name",), "tasks": ("t",), "output": "records", "persons": 1,
         "datasets": (DATASET,), "now": START + 200 * DAY},
    ]  # fmt: skip
    right: list[dict[str, Any]] = [
        {"columns": COLUMNS[: 1 + number], "persons": 100 + number, "now": START + number * DAY}
        for number in range(6)
    ] + [{"purpose": purposes.by_name("train-algorithms").iri}, {"tasks": TASKS[:1]}]
    return [
        _question(permit, **changed) for pair in zip(right, wrong, strict=True) for changed in pair
    ]


def _question(permit: Permit, **changed: Any) -> tuple[UsageRequest, Facts]:
    now = changed.pop("now", START + DAY)
    persons = changed.pop("persons", 200)
    known: dict[str, Any] = {
        "job_digest": "sha256:" + "a" * 64,
        "permit_digest": permit.digest,
        "data_user": permit.data_user,
        "purpose": permit.purpose,
        "dataset": DATASET,
        "datasets": (DATASET, "south/patients", "west/patients"),
        "columns": COLUMNS,
        "tasks": TASKS,
        "output": "model",
        "not_after": now + DAY,
    }
    return (
        UsageRequest(**(known | changed)),
        Facts(now, permit, COST, COST, COST, persons, approved=True),
    )


def _permit() -> Permit:
    return Permit.model_validate(
        {
            "id": "permit",
            "issuer": "hdab",
            "state": "granted",
            "data_user": "a university",
            "project": "survival",
            "purpose": purposes.by_name("scientific-research").iri,
            "datasets": (DATASET, "south/patients", "west/patients"),
            "columns": COLUMNS,
            "tasks": TASKS,
            "outputs": ("model",),
            "epsilon": "2",
            "delta": "0.00001",
            "minimum_participants": 2,
            "not_before": START - DAY,
            "not_after": START + 300 * DAY,
        }
    )


def ours() -> Callable[[Any], Any]:
    """The compiled policy, its eight constraints alone."""
    rules = tuple(rule for rule in engine.policy_rules(policy()) if rule.code in EIGHT)
    if len(rules) != len(EIGHT):
        raise RuntimeError("the policy does not have the eight constraints")
    return _reasons(engine.Compiled("sha256:" + "0" * 64, rules, lambda _permit: ()))


def gate(rules: str = "") -> Callable[[Any], Any]:
    """The whole decision of a gate: statute, permit, budgets, policy and, if given, its ODRL."""
    return _reasons(engine.compile(policy(rules=rules)))


def _reasons(evaluate: engine.Compiled) -> Callable[[Any], Any]:
    def decide(question: tuple[UsageRequest, Facts]) -> Any:
        return evaluate(*question).failed

    return decide


def cedar() -> tuple[Callable[[Any], Any], Callable[[tuple[UsageRequest, Facts]], Any]]:
    """Cedar's decision, and a question in its form."""
    import cedarpy  # noqa: PLC0415 - a peer; who has it not benchmarks the rest

    text = _filled(CEDAR)
    known = cedarpy.PolicySet.from_str(text)
    entities = cedarpy.Entities.from_json_str(_cedar_purposes())

    def decide(asked: dict[str, Any]) -> Any:
        return cedarpy.is_authorized(asked, known, entities).diagnostics.reasons

    def question(one: tuple[UsageRequest, Facts]) -> dict[str, Any]:
        plain = _plain(one)
        purpose = {"__entity": {"type": "Purpose", "id": plain["purpose"]}}
        return {
            "principal": {"type": "User", "id": one[0].data_user},
            "action": {"type": "Action", "id": "use"},
            "resource": {"type": "Dataset", "id": plain.pop("dataset")},
            "context": plain | {"purpose": purpose},
        }

    return decide, question


def rego() -> tuple[Callable[[Any], Any], Callable[[tuple[UsageRequest, Facts]], Any]]:
    """Rego's decision (rego-cpp), and a question in its form."""
    import regopy  # noqa: PLC0415 - as above

    interpreter = regopy.Interpreter()
    interpreter.add_module("gate", _filled(REGO))
    bundle = interpreter.build("data.gate.deny")

    def decide(asked: dict[str, Any]) -> Any:
        interpreter.set_input(asked)
        return interpreter.query_bundle(bundle).results[0].expressions[0]

    return decide, _plain


def _plain(one: tuple[UsageRequest, Facts]) -> dict[str, Any]:
    request, facts = one
    purpose = purposes.by_iri(request.purpose)
    return {
        "dataset": request.dataset,
        "purpose": purpose.name if purpose else request.purpose,
        "tasks": list(request.tasks),
        "columns": list(request.columns),
        "output": request.output,
        "now": int(facts.now.timestamp()),
        "participants": request.participants,
        "persons": facts.persons,
    }


def _filled(text: str) -> str:
    within = [name for name in purposes.ALLOWED if purposes.is_within(name, "scientific-research")]
    values = {
        "COLUMNS": ", ".join(f'"{name}"' for name in COLUMNS),
        "PURPOSES": ", ".join(f'"{name}"' for name in within),
        "START": str(int(START.timestamp())),
        "END": str(int((START + 100 * DAY).timestamp())),
    }
    for name, value in values.items():
        text = text.replace(f"%{name}%", value)
    return text


def _cedar_purposes() -> str:
    return json.dumps(
        [
            {
                "uid": {"type": "Purpose", "id": one.name},
                "attrs": {},
                "parents": [{"type": "Purpose", "id": one.broader}] if one.broader else [],
            }
            for one in purposes.ALLOWED.values()
        ]
    )


def latency(decide: Callable[[Any], Any], asked: Sequence[Any], decisions: int) -> Latency:
    """Time single decisions, the questions in turn."""
    for question in asked:
        decide(question)
    taken = []
    clock = time.perf_counter_ns
    gc.collect()
    for number in range(decisions):
        question = asked[number % len(asked)]
        began = clock()
        decide(question)
        taken.append(clock() - began)
    cuts = statistics.quantiles(taken, n=100)
    return Latency(cuts[49] / 1e9, cuts[98] / 1e9)


def check(name: str, reasons: Sequence[frozenset[str]], expected: Sequence[frozenset[str]]) -> None:
    """Times of engines that give other answers could not be compared."""
    if list(reasons) != list(expected):
        raise RuntimeError(f"{name} gives other reasons")


def compare(decisions: int = 50_000) -> dict[str, Latency]:
    """Every engine on the same questions, by name."""
    asked = questions()
    decide = ours()
    expected = [frozenset(decide(question)) for question in asked]
    found = {"Commensal": latency(decide, asked, decisions)}
    decide, form = cedar()
    translated = [form(question) for question in asked]
    named = dict(zip((f"policy{number}" for number in range(1, 9)), EIGHT, strict=True))
    reasons = [
        frozenset(named[one] for one in decide(question) if one in named) for question in translated
    ]
    check("Cedar", reasons, expected)
    found["Cedar (cedarpy)"] = latency(decide, translated, decisions // 10)
    decide, form = rego()
    translated = [form(question) for question in asked]
    check("Rego", [frozenset(decide(question)) for question in translated], expected)
    found["Rego (regopy)"] = latency(decide, translated, decisions // 50)
    return found


def main() -> None:
    """Print the table."""
    try:
        found = compare()
    except ModuleNotFoundError as error:
        found = {"Commensal": latency(ours(), questions(), 50_000)}
        print(f"   (no comparison: {error.name} is not installed)")
    own = found["Commensal"].p50
    for name, one in found.items():
        ratio = f"{one.p50 / own:5.0f} x" if one.p50 != own else ""
        print(f"{one.p50 * 1e6:8.2f} us p50 {one.p99 * 1e6:8.2f} us p99  {name:18} {ratio}")
    for what, decide in (
        ("statute, permit, budgets and policy", gate()),
        ("the same with six ODRL constraints", gate(ODRL)),
    ):
        one = latency(decide, questions(), 50_000)
        print(f"{one.p50 * 1e6:8.2f} us p50 {one.p99 * 1e6:8.2f} us p99  a gate's decision: {what}")


if __name__ == "__main__":
    main()
