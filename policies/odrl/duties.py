"""Where a duty stands: pending, fulfilled or violated, from what was done and when (2.6.3-5)."""

from dataclasses import dataclass, replace
from enum import StrEnum

from policies.odrl import terms
from policies.odrl.actions import covered_by
from policies.odrl.model import (
    Action,
    AnyConstraint,
    AnyParty,
    Constraint,
    Duty,
    LogicalConstraint,
    PartyCollection,
)
from policies.odrl.satisfy import Satisfaction, Subject, conjunction, satisfy
from policies.odrl.terms import LogicalOperator, Operator
from policies.odrl.world import DeonticState, Performed, Request, World

_CLOCKS = (terms.DATE_TIME, terms.ELAPSED_TIME, terms.DELAY_PERIOD)
_UPPER = (Operator.LT, Operator.LTEQ, Operator.TERM_LTEQ)


class Performance(StrEnum):
    """Whether the duty's action was exercised, in the words of the FORCE vocabulary."""

    PERFORMED = "Performed"
    UNPERFORMED = "Unperformed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class DutyOutcome:
    """The state of one duty; `record` is the uid of an earlier report that was believed."""

    duty: Duty
    state: DeonticState
    performance: Performance
    record: str | None = None
    consequences: "tuple[DutyOutcome, ...]" = ()


def follow(duty: Duty, request: Request | None, world: World) -> DutyOutcome:
    """The state of a duty. A record about it in the world is believed; else it is worked out.

    Every action of the duty must have been exercised, by its assignee (or else by the requester)
    and within its constraints at that time. It is violated once an upper bound in time has passed.
    A violated duty counts as fulfilled when it was done late and all its consequences were done.
    """
    consequences = tuple(follow(one, request, world) for one in duty.consequences)
    for record in world.records:
        if duty.uid is not None and record.duty == duty.uid:
            return DutyOutcome(
                duty, record.state, _performance(record.state), record.uid, consequences
            )
    if _done(duty, request, world, in_time=True):
        return DutyOutcome(
            duty, DeonticState.FULFILLED, Performance.PERFORMED, consequences=consequences
        )
    late = _done(duty, request, world, in_time=False)
    performance = Performance.PERFORMED if late else Performance.UNPERFORMED
    state = DeonticState.NON_SET
    if any(_expired(constraint, Subject(world)) for constraint in duty.constraints):
        healed = late and consequences and all(
            one.state is DeonticState.FULFILLED for one in consequences
        )  # fmt: skip
        state = DeonticState.FULFILLED if healed else DeonticState.VIOLATED
    return DutyOutcome(duty, state, performance, consequences=consequences)


def _performance(state: DeonticState) -> Performance:
    return {
        DeonticState.FULFILLED: Performance.PERFORMED,
        DeonticState.VIOLATED: Performance.UNPERFORMED,
        DeonticState.NON_SET: Performance.UNKNOWN,
    }[state]


def _done(duty: Duty, request: Request | None, world: World, *, in_time: bool) -> bool:
    actions = duty.scope.actions
    return bool(actions) and all(
        any(_discharges(one, action, duty, request, world, in_time) for one in world.performed)
        for action in actions
    )


def _discharges(
    performed: Performed, action: Action, duty: Duty, request: Request | None, world: World,
    in_time: bool,
) -> bool:  # fmt: skip
    if not covered_by(performed.action, action.iri, world):
        return False
    if world.now is not None and performed.at > world.now:
        return False
    if not _by_the_right_party(performed, duty, request, world):
        return False
    targets = {asset.uid for asset in duty.scope.targets}
    if targets and (performed.target is None or not targets & world.collections(performed.target)):
        return False
    operands = {**world.operands, **performed.values}
    then = Subject(replace(world, now=performed.at, operands=operands))
    needed: tuple[AnyConstraint, ...] = action.refinements
    if in_time:
        needed = (*needed, *duty.constraints)
    states = [satisfy(constraint, then).satisfaction for constraint in needed]
    return conjunction(states) is Satisfaction.SATISFIED


def _by_the_right_party(
    performed: Performed, duty: Duty, request: Request | None, world: World
) -> bool:
    expected = {name for party in duty.scope.assignees for name in _names(party)}
    if not expected and request is not None and request.assignee is not None:
        expected = {request.assignee}
    if not expected:
        return True
    return performed.party is not None and bool(expected & world.collections(performed.party))


def _names(party: AnyParty) -> tuple[str, ...]:
    if isinstance(party, PartyCollection):
        return tuple(name for name in (party.uid, party.source) if name is not None)
    return (party.uid,)


def _expired(constraint: AnyConstraint, subject: Subject) -> bool:
    """Whether an upper bound in time makes it impossible to fulfil the constraint from now on."""
    if isinstance(constraint, LogicalConstraint):
        over = [_expired(one, subject) for one in constraint.operands]
        either = constraint.operator in (LogicalOperator.OR, LogicalOperator.XONE)
        return all(over) if either else any(over)
    return _is_deadline(constraint) and (
        satisfy(constraint, subject).satisfaction is Satisfaction.UNSATISFIED
    )


def _is_deadline(constraint: Constraint) -> bool:
    return constraint.left in _CLOCKS and constraint.operator in _UPPER
