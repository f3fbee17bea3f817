"""Each thing that a check of an ODRL policy must find, where it lies, and silence otherwise."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from gate_cases import any_policy, job, seeded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odrl_cases import odrl, operand, permission
from odrl_strategies import policies

from policies.odrl import terms
from policies.odrl.evaluate import evaluate
from policies.odrl.inherit import placed
from policies.odrl.lint import lint
from policies.odrl.model import Policy
from policies.odrl.parts import named
from policies.odrl.regions import world_of
from policies.odrl.solve import satisfying
from policies.odrl.world import Request
from policies.remark import Catalogue, Remark, Severity

NOW = datetime(2027, 1, 1, tzinfo=UTC)
CATALOGUE = Catalogue(
    {"training.logistic": frozenset({"model"}), "statistics.count": frozenset({"table"})}
)
R = {"@id": "https://w3id.org/dpv/legal/eu/ehds#HealthcareScientificResearch"}
T = {"@id": "https://w3id.org/dpv/legal/eu/ehds#TrainTestAndEvaluateHealthAlgorithms"}
ADVERTISING = {"@id": "https://w3id.org/commensal/ehds/prohibited#AdvertisingOrMarketing"}
IS_RESEARCH = operand("purpose", "isA", R)
CALM = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def said(remarks: tuple[Remark, ...]) -> list[tuple[str, str, str]]:
    return [(one.severity.value, one.code, one.path.removeprefix("$.")) for one in remarks]


def logical(operator: str, *operands: dict[str, Any]) -> dict[str, Any]:
    return {operator: {"@list": list(operands)}}


def count(operator: str, number: Any) -> dict[str, Any]:
    return operand("count", operator, number)


def since(moment: str) -> dict[str, Any]:
    return operand("dateTime", "gteq", moment)


def until(moment: str) -> dict[str, Any]:
    return operand("dateTime", "lt", moment)


FIRST = "permission[0].constraint[0]"


@pytest.mark.parametrize(
    "constraints",
    [
        (IS_RESEARCH,),
        (IS_RESEARCH, since("2027-01-01T00:00:00Z"), until("2028-01-01T00:00:00Z")),
        (operand("commensal:epsilon", "lteq", 1), operand("commensal:cohortSize", "gteq", 2)),
        (logical("or", count("lt", 2), count("gt", 5)),),
        (operand("spatial", "isPartOf", "EU"), operand("spatial", "neq", "EU")),
        (operand("commensal:column", "isAllOf", ["age", "died"]),),
        (operand("payAmount", "eq", 5, unit="urn:eur"),),
        (operand("event", "lt", {"@id": "urn:launch"}), operand("event", "gt", {"@id": "urn:x"})),
        (
            operand("commensal:task", "eq", "training.logistic"),
            operand("commensal:outputKind", "eq", "model"),
        ),
        (logical("xone", count("lt", 5), count("gt", 3)),),
    ],
)
def test_sound_constraints_are_met_with_silence(constraints: tuple[dict[str, Any], ...]) -> None:
    assert lint(odrl([permission(*constraints)]), NOW, CATALOGUE) == ()


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        (
            (since("2030-01-01T00:00:00Z"), until("2030-01-01T00:00:00Z")),
            ("error", "DATES_CONTRADICT", "permission[0].constraint[1]"),
        ),
        (
            (logical("and", since("2031-01-01T00:00:00Z"), until("2030-01-01T00:00:00Z")),),
            ("error", "DATES_CONTRADICT", FIRST),
        ),
        ((until("2027-01-01T00:00:00Z"),), ("error", "PERIOD_OVER", "permission[0]")),
        (
            (count("gt", 5), count("lt", 6)),
            ("error", "NEVER_SATISFIABLE", "permission[0].constraint[1]"),
        ),
        ((logical("and", count("gt", 5), count("lt", 5)),), ("error", "NEVER_SATISFIABLE", FIRST)),
        (
            (logical("andSequence", count("gt", 5), count("lt", 5)),),
            ("error", "NEVER_SATISFIABLE", FIRST),
        ),
        (
            (logical("xone", count("lt", 5), count("lteq", 4)),),
            ("error", "NEVER_SATISFIABLE", FIRST),
        ),
        (
            (count("isAnyOf", [1, 2]), count("neq", 1), count("neq", 2)),
            ("error", "NEVER_SATISFIABLE", "permission[0]"),
        ),
        (
            (operand("commensal:freshRealShare", "gt", 1),),
            ("error", "NEVER_SATISFIABLE", FIRST),
        ),
        (
            (logical("or", count("lt", 0), count("gt", 5)),),
            ("warning", "NEVER_SATISFIABLE", FIRST + ".or[0]"),
        ),
        ((operand("commensal:epsilon", "gteq", 0),), ("warning", "ALWAYS_TRUE", FIRST)),
        ((operand("commensal:minParticipants", "gteq", 1),), ("warning", "ALWAYS_TRUE", FIRST)),
        (
            (logical("or", count("lt", 5), count("gteq", 5)),),
            ("warning", "ALWAYS_TRUE", FIRST),
        ),
        (
            (count("lt", 5), count("lt", 5)),
            ("warning", "DUPLICATE_CONSTRAINT", "permission[0].constraint[1]"),
        ),
        (
            (count("lt", 7), count("lt", 5)),
            ("warning", "SHADOWED_CONSTRAINT", "permission[0].constraint[0]"),
        ),
        ((operand("purpose", "eq", R),), ("warning", "PURPOSE_EXACT", FIRST)),
        ((operand("purpose", "isAnyOf", [R]),), ("warning", "PURPOSE_EXACT", FIRST)),
        ((operand("purpose", "isA", [R, T]),), ("warning", "PURPOSE_COVERED", FIRST)),
        ((operand("purpose", "isA", ADVERTISING),), ("error", "PURPOSE_PROHIBITED", FIRST)),
        ((operand("purpose", "isA", {"@id": "urn:x"}),), ("warning", "PURPOSE_UNKNOWN", FIRST)),
        ((operand("payAmount", "eq", 5),), ("warning", "UNIT_MISSING", FIRST)),
        (
            (operand("payAmount", "gt", 5, unit="urn:eur"),
             operand("resolution", "eq", 5, unit="urn:a"),
             logical("or", operand("resolution", "eq", 5, unit="urn:b"), count("lt", 9))),
            ("warning", "UNITS_MIXED", "$"),
        ),
        (
            (operand("commensal:task", "isAnyOf", ["training.logistic", "magic"]),),
            ("warning", "TASK_UNKNOWN", FIRST),
        ),
        (
            (operand("commensal:outputKind", "isAnyOf", ["model", "video"]),),
            ("warning", "OUTPUT_UNKNOWN", FIRST),
        ),
        (
            (operand("commensal:task", "eq", "training.logistic"),
             operand("commensal:outputKind", "eq", "table")),
            ("error", "NOTHING_TO_COMPUTE", "permission[0]"),
        ),
        ((operand("commensal:epsilon", "lteq", 11),), ("warning", "EPSILON_LARGE", FIRST)),
        ((operand("commensal:delta", "lteq", "0.01"),), ("warning", "DELTA_LARGE", FIRST)),
    ],
)  # fmt: skip
def test_each_fault_of_a_constraint_is_found_and_nothing_else(
    constraints: tuple[dict[str, Any], ...], expected: tuple[str, str, str]
) -> None:
    found = lint(odrl([permission(*constraints)]), NOW, CATALOGUE)
    assert said(found) == [expected]
    assert found[0].sentence
    assert found[0].remedy


NARROW, WIDE = permission(operand("purpose", "isA", T)), permission(IS_RESEARCH)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (odrl([permission()]), [("warning", "ALWAYS_ALLOWS", "permission[0]")]),
        (odrl([], [permission(IS_RESEARCH)]), [("error", "NO_PERMISSION", "$")]),
        (
            odrl([WIDE], **{"dct:isReplacedBy": {"@id": "urn:newer"}}),
            [("error", "REPLACED", "$")],
        ),
        (odrl([NARROW, WIDE]), [("warning", "SHADOWED_PERMISSION", "permission[0]")]),
        (odrl([WIDE, WIDE]), [("warning", "SHADOWED_PERMISSION", "permission[1]")]),
        (odrl([WIDE, {**NARROW, "action": "transfer"}]), []),
        (odrl([WIDE, {**NARROW, "action": "index"}]),
         [("warning", "SHADOWED_PERMISSION", "permission[1]")]),
        (odrl([{**WIDE, "target": "urn:d"}, {**NARROW, "target": "urn:e"}]), []),
        (odrl([{**WIDE, "duty": [{"action": "inform"}]}, NARROW]), []),
        (odrl([WIDE], [NARROW], conflict="prohibit"), []),
        (
            odrl([NARROW], [WIDE], conflict="prohibit"),
            [("error", "OVERRIDDEN", "permission[0]")],
        ),
        (odrl([NARROW], [WIDE], conflict="perm"), []),
        (odrl([WIDE], [NARROW]), [("warning", "CONFLICT_UNSET", "conflict")]),
        (
            odrl([NARROW], [WIDE]),
            [("error", "OVERRIDDEN", "permission[0]"), ("warning", "CONFLICT_UNSET", "conflict")],
        ),
        (odrl([{**WIDE, "target": "urn:d"}], [{**NARROW, "target": "urn:e"}]), []),
        (odrl([WIDE], [{**NARROW, "action": "transfer"}]), []),
        (
            odrl([WIDE], [permission(count("lt", 2)), permission(count("lt", 1))],
                 conflict="prohibit"),
            [("warning", "SHADOWED_PROHIBITION", "prohibition[1]")],
        ),
        (
            odrl([WIDE], [permission(count("lt", 0))], conflict="prohibit"),
            [("warning", "NEVER_SATISFIABLE", "prohibition[0].constraint[0]")],
        ),
        (
            odrl([WIDE], [permission(operand("purpose", "eq", ADVERTISING))], conflict="prohibit"),
            [],
        ),
    ],
)  # fmt: skip
def test_rules_are_held_against_each_other(
    policy: Policy, expected: list[tuple[str, str, str]]
) -> None:
    assert said(lint(policy, NOW, CATALOGUE)) == expected


def test_a_policy_too_large_to_compare_says_so() -> None:
    many = odrl([permission(IS_RESEARCH, count("eq", number)) for number in range(41)])
    assert said(lint(many, NOW)) == [("warning", "NOT_ALL_CHECKED", "$")]


def test_effort_is_bounded_and_its_end_is_said() -> None:
    large = [logical("xone", *(count("eq", number) for number in range(1500)))]
    assert ("warning", "NOT_ALL_CHECKED", "$") in said(lint(odrl([permission(*large)]), NOW))


def columns(operator: str, *names: str) -> dict[str, Any]:
    return operand("commensal:column", operator, list(names))


def within(*names: str) -> list[dict[str, Any]]:
    return [operand("spatial", "isPartOf", name) for name in names]


@pytest.mark.parametrize(
    "policy",
    [
        odrl([permission(columns("isAllOf", "age", "sex"), columns("isAllOf", "died"),
                         columns("isNoneOf", "ssn"))]),
        odrl([permission(*within("a", "b", "c"))], [permission(*within("d"))],
             conflict="prohibit"),
        odrl([permission(*within("a", "b", "c"), operand("spatial", "neq", "fr"))]),
    ],
)  # fmt: skip
def test_what_some_state_meets_is_no_fault(policy: Policy) -> None:
    assert lint(policy, NOW) == ()


@given(policies())
@settings(max_examples=40, deadline=None, suppress_health_check=CALM)
def test_no_policy_that_can_be_read_makes_it_fail(policy: Policy) -> None:
    for remark in lint(policy, NOW, CATALOGUE):
        assert remark.code.isupper()
        assert remark.path.startswith("$")
        assert remark.sentence
        assert remark.remedy


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_what_is_said_of_permissions_is_so(seed: int) -> None:
    rng = seeded(seed)
    policy = any_policy(rng, *job(rng))
    found = {(one.code, one.path) for one in lint(policy, None) if one.severity is Severity.ERROR}
    for index, rule in enumerate(policy.permissions):
        demanded = [*rule.constraints]
        if len(rule.scope.actions) == 1:
            demanded += rule.scope.actions[0].refinements
        states = satisfying(demanded)
        path = f"$.permission[{index}]"
        never = any(
            code in ("NEVER_SATISFIABLE", "DATES_CONTRADICT") and place.startswith(path)
            for code, place in found
        )
        assert states is None or not never
        if ("OVERRIDDEN", path) in found and states is not None:
            only, scope = replace(policy, permissions=(rule,)), placed(rule, policy.scope).scope
            request = Request(
                "urn:r", scope.actions[0].iri,
                assignee=named(scope.assignees[0])[0] if scope.assignees else None,
                target=named(scope.targets[0])[0] if scope.targets else None,
            )  # fmt: skip
            assert not evaluate(only, request, world_of(states)).permitted


def test_a_prohibited_use_in_a_prohibition_is_as_it_should_be() -> None:
    named = odrl([WIDE], [permission(operand("purpose", "isA", ADVERTISING))], conflict="prohibit")
    assert lint(named, NOW) == ()
    assert terms.BROADER_PURPOSES[ADVERTISING["@id"]]
