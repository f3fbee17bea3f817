"""A policy in ODRL, and a question put to it, in sentences."""

from collections.abc import Iterator

from policies.odrl import values
from policies.odrl.model import (
    Action,
    AnyAsset,
    AnyConstraint,
    AnyParty,
    Asset,
    Constraint,
    LogicalConstraint,
    Party,
    Policy,
    Rule,
    Scope,
)
from policies.odrl.terms import Conflict, Iri, LogicalOperator, Operator
from policies.odrl.values import Value
from policies.odrl.world import Request, World

_WORDS = {
    Operator.EQ: "is",
    Operator.NEQ: "is not",
    Operator.LT: "is below",
    Operator.LTEQ: "is at most",
    Operator.TERM_LTEQ: "is at most",
    Operator.GT: "is above",
    Operator.GTEQ: "is at least",
    Operator.IS_A: "is, or is a kind of,",
    Operator.HAS_PART: "contains",
    Operator.IS_PART_OF: "is within",
    Operator.IS_ALL_OF: "is all of",
    Operator.IS_ANY_OF: "is any of",
    Operator.IS_NONE_OF: "is none of",
}
_JOINED = {
    LogicalOperator.AND: " and ",
    LogicalOperator.OR: " or ",
    LogicalOperator.XONE: " or else ",
    LogicalOperator.AND_SEQUENCE: ", and then ",
}

_CONFLICTS = {
    Conflict.PERM: "Where both a permission and a prohibition apply, the permission wins",
    Conflict.PROHIBIT: "Where both a permission and a prohibition apply, the prohibition wins",
    Conflict.INVALID: "Where both a permission and a prohibition apply, nothing is permitted",
}


def describe_odrl(policy: Policy) -> tuple[str, ...]:
    """What a policy says, one sentence for each rule."""
    return tuple(_rules(policy))


def describe_question(request: Request, world: World) -> str:
    """Who asks to do what, in which state of the world, in one line."""
    action = _short(request.action) if request.action else "any action"
    target, assignee = request.target or "anything", request.assignee or "anybody"
    parts = [f"{action} of {target} by {assignee}"]
    if world.now is not None:
        parts.append(f"dateTime {values.spell(world.now)[0]}")
    known = {**request.context, **world.operands}
    parts += [f"{_short(left)} {_spelled(found)}" for left, found in sorted(known.items())]
    for entity, attributes in world.attributes.items():
        parts += [
            f"{_short(left)} of {entity} {_spelled(found)}" for left, found in attributes.items()
        ]
    parts += [f"{_short(done.action)} was done" for done in world.performed]
    parts += [f"duty {record.duty} {record.state.value.lower()}" for record in world.records]
    return ", ".join(parts)


def _rules(policy: Policy) -> Iterator[str]:
    for parent in policy.inherits:
        yield f"Inherits all rules of {parent}"
    for permission in policy.permissions:
        yield f"Permission: {_rule(permission, policy.scope)}"
        for duty in permission.duties:
            yield f"with the duty to {_rule(duty, policy.scope)}"
    for prohibition in policy.prohibitions:
        yield f"Prohibition: {_rule(prohibition, policy.scope)}"
        yield from (
            f"else the duty to {_rule(duty, policy.scope)}" for duty in prohibition.remedies
        )
    for obligation in policy.obligations:
        yield f"Obligation: {_rule(obligation, policy.scope)}"
    if policy.permissions and policy.prohibitions:
        yield _CONFLICTS[policy.conflict or Conflict.INVALID]


def _rule(rule: Rule, shared: Scope) -> str:
    own = rule.scope
    words = [" or ".join(map(_action, own.actions or shared.actions)) or "any action"]
    targets, assignees = own.targets or shared.targets, own.assignees or shared.assignees
    if targets:
        words.append("of " + " or ".join(map(_entity, targets)))
    if assignees:
        words.append("by " + " or ".join(map(_entity, assignees)))
    return " ".join(words) + _conditions(rule.constraints)


def _action(action: Action) -> str:
    return _short(action.iri) + _conditions(action.refinements)


def _entity(entity: AnyAsset | AnyParty) -> str:
    if isinstance(entity, Asset | Party):
        return entity.uid
    named = entity.uid or entity.source
    return f"whatever is in {named or 'a collection'}{_conditions(entity.refinements)}"


def _conditions(constraints: tuple[AnyConstraint, ...]) -> str:
    return f", if {' and '.join(map(_condition, constraints))}" if constraints else ""


def _condition(constraint: AnyConstraint) -> str:
    if isinstance(constraint, LogicalConstraint):
        joined = _JOINED[constraint.operator].join(map(_condition, constraint.operands))
        return f"({joined})"
    return f"{_short(constraint.left)} {_WORDS[constraint.operator]} {_right(constraint)}"


def _right(constraint: Constraint) -> str:
    right = constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)
    unit = f" {_short(constraint.unit)}" if constraint.unit else ""
    return _spelled(right) + unit


def _spelled(found: tuple[Value, ...]) -> str:
    names = (_short(one.value) if isinstance(one, Iri) else values.spell(one)[0] for one in found)
    return ", ".join(names) or "none"


def _short(iri: str) -> str:
    """The last part of an IRI: what people call it."""
    return iri.rstrip("/#").replace("#", "/").rpartition("/")[2] or iri
