"""Policies as Cedar, written from the words of the two languages and not from our evaluator.

Cedar has two values where ODRL has three: a permission needs what it asks for to be known, and a
prohibition applies unless it is known not to. Moments and durations are microseconds, epsilon is in
millionths, a purpose is an entity whose parents are the broader purposes.
"""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from policies import purposes
from policies.odrl import terms
from policies.odrl.model import (
    AnyConstraint,
    Asset,
    Constraint,
    LogicalConstraint,
    Permission,
    Prohibition,
)
from policies.odrl.model import Policy as Odrl
from policies.odrl.terms import Conflict, Iri, LogicalOperator, Operator
from policies.odrl.values import Duration, Value
from policies.policy import Policy
from policies.privacy import Budget, epsilon
from policies.request import Facts, UsageRequest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT = timedelta(microseconds=1)

ENTITIES: list[dict[str, Any]] = [
    {
        "uid": {"type": "Purpose", "id": one.iri},
        "attrs": {},
        "parents": [{"type": "Purpose", "id": purposes.by_name(one.broader).iri}]
        if one.broader
        else [],
    }
    for one in purposes.ALLOWED.values()
]


def request_of(policy: Policy, request: UsageRequest, facts: Facts) -> dict[str, Any]:
    """The same question, for cedarpy; what is not known is left out."""
    budget = Budget(policy.budget.epsilon, policy.budget.delta)
    spent = budget.spent_epsilon(facts.spent_dataset + facts.planned)
    context: dict[str, Any] = {
        "purpose": {"__entity": {"type": "Purpose", "id": request.purpose}},
        "tasks": list(request.tasks),
        "columns": list(request.columns),
        "datasets": sorted({request.dataset, *request.datasets}),
        "output": request.output,
        "recipient": request.data_user,
        "now": (facts.now - _EPOCH) // _MOMENT,
        "elapsed": (request.not_after - facts.now) // _MOMENT,
        "participants": len({one.split("/")[0] for one in request.datasets}),
        "epsilon": _millionths(epsilon(facts.planned, policy.budget.delta)),
        "budget": _millionths(spent),
    }
    if facts.persons is not None:
        context["persons"] = facts.persons
    if facts.approved is not None:
        context["approval"] = "granted" if facts.approved else "refused"
    return {
        "principal": "User::" + _text(request.data_user),
        "action": 'Action::"use"',
        "resource": "Dataset::" + _text(request.dataset),
        "context": context,
    }


def fields(policy: Policy) -> str:
    """A typed policy: one permit, and one forbid-unless for each of its bounds."""
    hours = policy.hours_per_job * 3_600_000_000
    wide = [Iri(purposes.by_name(name).iri) for name in policy.purposes]
    unless = [
        f"resource == Dataset::{_text(policy.dataset)}",
        f"context.purpose in {_purposes(wide)}",
        f"{_texts(policy.tasks)}.containsAll(context.tasks)",
        f"{_texts(policy.columns)}.containsAll(context.columns)",
        f"{_texts(policy.outputs)}.contains(context.output)",
        f"context.now >= {_number(policy.not_before)} && context.now < {_number(policy.not_after)}",
        f"context.participants >= {policy.minimum_participants}",
        f"context has persons && context.persons >= {policy.minimum_cohort}",
        f"context.elapsed <= {hours}",
        f"context.epsilon <= {_millionths(policy.epsilon_per_job)}",
        f"context.budget <= {_millionths(policy.budget.epsilon)}",
    ]
    if policy.approval == "person":
        unless.append('context has approval && context.approval == "granted"')
    head = "(principal, action, resource)"
    return f"permit{head};\n" + "".join(f"forbid{head} unless {{ {one} }};\n" for one in unless)


def rules(policy: Odrl) -> str:
    """An ODRL policy of `gate_cases.simple_policy`: permits, and forbids unless permits win."""
    found = "".join(_rule("permit", rule) for rule in policy.permissions)
    if policy.conflict is not Conflict.PERM:
        found += "".join(_rule("forbid", rule) for rule in policy.prohibitions)
    return found


def _rule(effect: str, rule: Permission | Prohibition) -> str:
    (target,) = rule.scope.targets
    assert isinstance(target, Asset)
    forbids = effect == "forbid"
    name = _text(target.uid.removeprefix("urn:commensal:dataset:"))
    conditions = [f"resource == Dataset::{name}"]
    conditions += [_condition(one, forbids) for one in rule.constraints]
    return f"{effect}(principal, action, resource) when {{ {' && '.join(conditions)} }};\n"


def _condition(constraint: AnyConstraint, forbids: bool) -> str:
    if isinstance(constraint, LogicalConstraint):
        word = " && " if constraint.operator is LogicalOperator.AND else " || "
        return "(" + word.join(_condition(one, forbids) for one in constraint.operands) + ")"
    attribute = _ATTRIBUTES[constraint.left]
    atom = _atom(constraint, f"context.{attribute}", forbids)
    known = f"context has {attribute}"
    return f"(!({known}) || ({atom}))" if forbids else f"({known} && ({atom}))"


def _atom(constraint: Constraint, found: str, forbids: bool) -> str:
    operator, right = constraint.operator, constraint.right
    bounds = right if isinstance(right, tuple) else (right,)
    if constraint.left in _SETS:
        return _of_set(operator, found, _texts(bounds), forbids)
    if constraint.left == terms.PURPOSE:
        if operator in (Operator.IS_A, Operator.IS_PART_OF):
            return f"{found} in {_purposes(bounds)}"
        listed = f"{_purposes(bounds)}.contains({found})"
    elif operator in _SYMBOLS and not isinstance(bounds[0], Iri | str):
        bound = bounds[0]
        exact = _millionths(bound) if constraint.left == terms.EPSILON else _number(bound)
        return f"{found} {_SYMBOLS[operator]} {exact}"
    else:
        listed = f"{_texts(bounds)}.contains({found})"
    return f"!({listed})" if operator in (Operator.NEQ, Operator.IS_NONE_OF) else listed


def _of_set(operator: Operator, found: str, bounds: str, forbids: bool) -> str:
    """Each of several values must satisfy a permission; one is enough for a prohibition."""
    if operator in (Operator.IS_ALL_OF, Operator.HAS_PART):
        return f"{found}.containsAll({bounds})"
    every, some = f"{bounds}.containsAll({found})", f"{bounds}.containsAny({found})"
    if operator in (Operator.EQ, Operator.IS_ANY_OF):
        return some if forbids else every
    return f"!{every}" if forbids else f"!{some}"


_SETS = frozenset({terms.TASK, terms.COLUMN, terms.DATASET})
_ATTRIBUTES = {
    terms.PURPOSE: "purpose",
    terms.TASK: "tasks",
    terms.COLUMN: "columns",
    terms.DATASET: "datasets",
    terms.OUTPUT_KIND: "output",
    terms.RECIPIENT: "recipient",
    terms.DATE_TIME: "now",
    terms.ELAPSED_TIME: "elapsed",
    terms.MIN_PARTICIPANTS: "participants",
    terms.COHORT_SIZE: "persons",
    terms.EPSILON: "epsilon",
    terms.APPROVAL: "approval",
    terms.COMMENSAL + "generationDepth": "depth",  # never known
}
_SYMBOLS = {
    Operator.LT: "<",
    Operator.LTEQ: "<=",
    Operator.GT: ">",
    Operator.GTEQ: ">=",
    Operator.EQ: "==",
    Operator.NEQ: "!=",
}


def _number(value: Value) -> int:
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MOMENT
    if isinstance(value, Duration):
        return int(value.seconds.scaleb(6))
    assert isinstance(value, Decimal)
    assert value == value.to_integral_value()
    return int(value)


def _millionths(value: Value) -> int:
    assert isinstance(value, Decimal)
    scaled = value.scaleb(6)
    assert scaled == scaled.to_integral_value()
    return int(scaled)


def _purposes(values: Any) -> str:
    return "[" + ", ".join(f"Purpose::{_text(one.value)}" for one in values) + "]"


def _texts(values: Any) -> str:
    texts = (one.value if isinstance(one, Iri) else one for one in values)
    return "[" + ", ".join(_text(one) for one in texts) + "]"


def _text(text: str) -> str:
    assert text.isascii()
    return json.dumps(text)
