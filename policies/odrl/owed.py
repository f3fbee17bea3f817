"""Duties of an ODRL policy, one by one: their code, their words, their last moment, their state.

A record in the log vouches for what no log can show: that the right party did what the action's
refinements ask, to the right thing. What is left to check is time, and that is exact here: a clock
that runs from the agreement becomes a date.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from policies.odrl import inherit, terms, values
from policies.odrl.duties import Performance, follow
from policies.odrl.evaluate import evaluate
from policies.odrl.model import (
    AnyAsset,
    AnyConstraint,
    AnyParty,
    Asset,
    Constraint,
    Duty,
    LogicalConstraint,
    Permission,
    Policy,
)
from policies.odrl.naming import dataset_iri, dataset_name
from policies.odrl.read import read
from policies.odrl.satisfy import Satisfaction
from policies.odrl.terms import DATE_TIME, Iri, LogicalOperator, Operator
from policies.odrl.values import Duration
from policies.odrl.view import ACTION, BACKGROUND
from policies.odrl.world import DeonticState, Performed, Request, World
from policies.odrl.write import write

_ANCHORED = (terms.ELAPSED_TIME, terms.DELAY_PERIOD)
_CLOCKS = (DATE_TIME, *_ANCHORED)
_UPPER = (Operator.LT, Operator.LTEQ, Operator.TERM_LTEQ)
_OBTAIN_CONSENT = terms.ODRL + "obtainConsent"
_END_OF_DAY = time(23, 59, 59, tzinfo=UTC)
_LONGEST_WORDS = 200
_WORDS = {
    "attribute": "name the source",
    "compensate": "pay for the use",
    "delete": "delete the data",
    "inform": "inform the other party",
    "obtainConsent": "obtain consent",
    "reviewPolicy": "review the policy",
}
_OPERATORS = {
    Operator.EQ: "is", Operator.NEQ: "is not", Operator.GT: "above", Operator.GTEQ: "at least",
    Operator.LT: "below", Operator.LTEQ: "at most", Operator.TERM_LTEQ: "at most",
    Operator.IS_A: "is a", Operator.HAS_PART: "has", Operator.IS_PART_OF: "is part of",
    Operator.IS_ALL_OF: "is all of", Operator.IS_ANY_OF: "is any of",
    Operator.IS_NONE_OF: "is none of",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Owed:
    """One duty: `code` names it in decisions and log entries, `what` says it in words.

    `by_assigner`: the policy's own side has to do it, not who uses the data. `consequences` are
    owed once this one is overdue.
    """

    code: str
    what: str
    duty: Duty
    by_assigner: bool
    consequences: "tuple[Owed, ...]" = ()

    @property
    def asks_consent(self) -> bool:
        """Whether it is done by a person's approval, which stands in the log by itself."""
        return any(action.iri == _OBTAIN_CONSENT for action in self.duty.scope.actions)

    def due(self, agreed_at: datetime | None) -> datetime | None:
        """The last moment, in UTC; None where no upper bound in time gives one."""
        ends = [_end(_anchored(one, agreed_at)) for one in self.duty.constraints]
        return min((end for end in ends if end is not None), default=None)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a duty stands; `by` is the index of the record that did it, in time or late."""

    state: DeonticState
    performed: bool
    by: int | None = None


@lru_cache(maxsize=256)
def owed(
    policy_id: str, rules: str, dataset: str, data_user: str, purpose: str
) -> tuple[Owed, ...]:
    """What `rules` oblige to when `data_user` uses the dataset for a purpose (an IRI); each once.

    These are the duties of all permissions that can apply, and the policy's own obligations. A code
    is of the hospital's policy and of the duty's IRI, or else of its content: it stays the same
    while that does, whatever else changes around it. Raises `PolicyError` (see `read`).
    """
    policy = read(rules.encode(), {})
    world = replace(BACKGROUND, operands={terms.PURPOSE: (Iri(purpose),)})
    asked = Request("urn:commensal:asked", ACTION, data_user, dataset_iri(dataset))
    duties = [
        inherit.placed(duty, outcome.rule.scope)
        for outcome in evaluate(policy, asked, world).rules
        if isinstance(outcome.rule, Permission) and outcome.applies is not Satisfaction.UNSATISFIED
        for duty in outcome.rule.duties
    ]
    duties += [inherit.placed(duty, policy.scope) for duty in policy.obligations]
    found = (_owed(policy_id, duty, policy) for duty in duties)
    return tuple({one.code: one for one in found}.values())


def standing(
    one: Owed, agreed_at: datetime, done: Iterable[tuple[int, datetime]], now: datetime
) -> Standing:
    """The state after what was recorded, (index, time) in order of time, consequences apart."""
    duty = _clocked(one.duty, agreed_at)
    performed = {index: _performed(duty, at) for index, at in done}
    for index, exercised in performed.items():
        if _follow(duty, exercised, now, agreed_at)[0] is DeonticState.FULFILLED:
            return Standing(DeonticState.FULFILLED, performed=True, by=index)
    every = tuple(each for exercised in performed.values() for each in exercised)
    state, done_late = _follow(duty, every, now, agreed_at)
    violated = state is DeonticState.VIOLATED
    return Standing(state, done_late, next(iter(performed), None) if violated else None)


def spell(constraint: AnyConstraint) -> str:
    """A constraint in words."""
    if isinstance(constraint, LogicalConstraint):
        inner = f" {constraint.operator.value} ".join(spell(one) for one in constraint.operands)
        return f"({inner})"
    right = constraint.right if isinstance(constraint.right, tuple) else (constraint.right,)
    shown = ", ".join(_value(value) for value in right)
    if constraint.operator in _UPPER and constraint.left == DATE_TIME:
        return ("before " if constraint.operator is Operator.LT else "by ") + shown
    if constraint.operator in _UPPER and constraint.left in _ANCHORED:
        return f"within {shown} of the first allowance"
    return f"{_local(constraint.left)} {_OPERATORS[constraint.operator]} {shown}"


def _value(value: values.Value) -> str:
    if isinstance(value, Duration) and not value.seconds and value.months > 0:
        return f"{value.months} month{'s' if value.months > 1 else ''}"
    if isinstance(value, Duration) and not value.months and value.seconds % 86400 == 0:
        return f"{int(value.seconds // 86400)} days"
    return _local(value.value) if isinstance(value, Iri) else values.spell(value)[0]


def _follow(
    duty: Duty, performed: tuple[Performed, ...], now: datetime, agreed_at: datetime
) -> tuple[DeonticState, bool]:
    found = follow(duty, None, World(now=now, performed=performed, agreed_at=agreed_at))
    return found.state, found.performance is Performance.PERFORMED


def _owed(policy_id: str, duty: Duty, policy: Policy) -> Owed:
    ours = {name for party in (*policy.scope.assigners, *duty.scope.assigners)
            for name in _names(party)}  # fmt: skip
    consequences = tuple(
        _owed(policy_id, inherit.placed(one, duty.scope), policy) for one in duty.consequences
    )
    return Owed(
        code=_code(policy_id, duty),
        what=_what(duty),
        duty=duty,
        by_assigner=any(name in ours for party in duty.scope.assignees for name in _names(party)),
        consequences=consequences,
    )


def _code(policy_id: str, duty: Duty) -> str:
    content = duty.uid.encode() if duty.uid else write(_alone(duty))
    mark = hashlib.sha256(policy_id.encode() + b"\0" + content).hexdigest()[:8]
    names = [re.sub(r"[^A-Za-z0-9]", "", _local(one.iri))[:40] for one in duty.scope.actions]
    return f"odrl.{next(iter(names), '') or 'duty'}-{mark}"


def _alone(duty: Duty) -> Policy:
    return Policy(uid="urn:commensal:duty", obligations=(replace(duty, consequences=()),))


def _what(duty: Duty) -> str:
    actions = []
    for action in duty.scope.actions:
        name = _local(action.iri)
        plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
        refined = ", ".join(spell(one) for one in action.refinements)
        actions.append(_WORDS.get(name, plain) + (f" ({refined})" if refined else ""))
    text = " and ".join(actions) or "do what the policy says"
    if duty.scope.targets:
        text += ": " + ", ".join(_asset(one) for one in duty.scope.targets)
    if duty.constraints:
        text += "; " + ", ".join(spell(one) for one in duty.constraints)
    # Shown on consoles and logged with each decision: printable, and short whatever was written.
    text = "".join(each if each.isprintable() else "?" for each in text)
    return text if len(text) <= _LONGEST_WORDS else text[: _LONGEST_WORDS - 3] + "..."


def _asset(asset: AnyAsset) -> str:
    return dataset_name(asset.uid or getattr(asset, "source", None) or "a collection")


def _local(iri: str) -> str:
    return re.split(r"[/#:]", iri)[-1] or iri


def _names(party: AnyParty) -> tuple[str, ...]:
    return tuple(name for name in (party.uid, getattr(party, "source", None)) if name)


def _performed(duty: Duty, at: datetime) -> tuple[Performed, ...]:
    """A record as the exercise of every action of the duty, by who should, on what it is about."""
    party = next((name for one in duty.scope.assignees for name in _names(one)), None)
    target = next((one.uid for one in duty.scope.targets if one.uid), None)
    return tuple(Performed(action.iri, at, party, target) for action in duty.scope.actions)


def _clocked(duty: Duty, agreed_at: datetime) -> Duty:
    """The duty with nothing left to check but dates (and without consequences)."""
    actions = tuple(replace(action, refinements=()) for action in duty.scope.actions)
    targets = tuple(Asset(one.uid) for one in duty.scope.targets if one.uid)
    kept = (_only_clocks(_anchored(one, agreed_at)) for one in duty.constraints)
    return replace(
        duty,
        scope=replace(duty.scope, actions=actions, targets=targets),
        constraints=tuple(one for one in kept if one is not None),
        consequences=(),
    )


def _only_clocks(constraint: AnyConstraint) -> AnyConstraint | None:
    """Without what a record vouches for: an `or` with such a part holds by that part."""
    if isinstance(constraint, Constraint):
        return constraint if constraint.left in _CLOCKS else None
    kept = [_only_clocks(one) for one in constraint.operands]
    either = constraint.operator in (LogicalOperator.OR, LogicalOperator.XONE)
    known = tuple(one for one in kept if one is not None)
    if not known or (either and len(known) < len(kept)):
        return None
    return replace(constraint, operands=known)


def _anchored(constraint: AnyConstraint, agreed_at: datetime | None) -> AnyConstraint:
    """Durations since the agreement as dates: months are not a fixed number of days."""
    if isinstance(constraint, LogicalConstraint):
        parts = tuple(_anchored(one, agreed_at) for one in constraint.operands)
        return replace(constraint, operands=parts)
    right = constraint.right
    if constraint.left not in _ANCHORED or agreed_at is None or not isinstance(right, Duration):
        return constraint
    try:
        return replace(constraint, left=DATE_TIME, right=right.added_to(agreed_at))
    except OverflowError:  # beyond the calendar: never due
        return constraint


def _end(constraint: AnyConstraint) -> datetime | None:
    """The last moment at which a constraint can still hold, as far as it says."""
    if isinstance(constraint, LogicalConstraint):
        ends = [_end(one) for one in constraint.operands]
        known = [end for end in ends if end is not None]
        if constraint.operator in (LogicalOperator.OR, LogicalOperator.XONE):
            return max(known) if len(known) == len(ends) else None
        return min(known, default=None)
    right = constraint.right
    if constraint.left != DATE_TIME or constraint.operator not in (*_UPPER, Operator.EQ):
        return None
    if isinstance(right, datetime):
        return right.astimezone(UTC)
    if not isinstance(right, date):
        return None
    before = constraint.operator is Operator.LT
    return datetime.combine(right - timedelta(days=1) if before else right, _END_OF_DAY)
