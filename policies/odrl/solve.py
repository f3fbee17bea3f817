"""Can constraints hold together? A search over the critical points of their operands.

Exhaustive as far as `policies.odrl.regions` is, until `STEPS` combinations were tried: otherwise
the answer is not sure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.odrl.model import (
    AnyConstraint,
    Constraint,
    LogicalConstraint,
    Permission,
    Policy,
    Prohibition,
)
from policies.odrl.regions import UNKNOWN, Point, atoms, regions, rights, world_of
from policies.odrl.satisfy import Satisfaction, Subject, satisfy
from policies.odrl.terms import LogicalOperator

STEPS = 5_000
EFFORT = 100_000
_MOST = 12  # rules of a policy that are looked at one by one
States = Mapping[str, Point]


@dataclass(frozen=True, slots=True)
class Demand:
    """A constraint that must hold, or (`holds` False) must not be satisfied.

    `any_value` reads it as a prohibition's: one of several values is enough.
    """

    constraint: AnyConstraint
    holds: bool = True
    any_value: bool = False


@dataclass(frozen=True, slots=True)
class Solution:
    """States in which all demands are met, or None; `sure` if nothing was left out."""

    states: States | None
    sure: bool = True

    @property
    def impossible(self) -> bool:
        """It is certain that the demands cannot be met together."""
        return self.states is None and self.sure


def satisfying(constraints: Iterable[AnyConstraint]) -> States | None:
    """States in which all constraints of a permission hold, or None."""
    return Solver().solve([Demand(one) for one in constraints]).states


class Solver:
    """Finds states that meet demands, with `effort` for all questions together.

    What is asked once it is used up gets no answer, and `exhausted` says so.
    """

    def __init__(self, effort: int = EFFORT) -> None:
        self._effort = effort
        self.exhausted = False

    def solve(self, demands: Sequence[Demand], *, known: bool = False) -> Solution:
        """Operands that share no constraint are solved apart.

        An operand may be not known, if that can meet a demand not to hold; `known` excludes it.
        """
        states: dict[str, Point] = {}
        sure = True
        if self._effort <= 0:
            self.exhausted = True
            return Solution(None, sure=False)
        for group in _independent(demands):
            search = _Search(group, min(STEPS, self._effort), known)
            found = search.run()
            self._effort -= search.used
            if found is not None:
                states.update(found)
            elif search.cut or not search.complete:
                sure = False
                self.exhausted = self.exhausted or search.cut
            else:
                return Solution(None)
        return Solution(states) if sure else Solution(None, sure=False)


def separating(allowing: Policy, refusing: Policy) -> Iterator[tuple[Permission, States]]:
    """Where a permission of one policy applies, and the other policy seems not to permit.

    Only constraints are looked at, not parties, assets and actions: places to look, not proofs.
    """
    solver = Solver(EFFORT // 4)
    refused = [Demand(_all(one), holds=False) for one in refusing.permissions if one.constraints]
    free = [Demand(_all(one), False, True) for one in allowing.prohibitions if one.constraints]
    hit = [Demand(_all(one), True, True) for one in refusing.prohibitions if one.constraints]
    for permission in allowing.permissions[:_MOST]:
        applies = [*(Demand(one) for one in permission.constraints), *free]
        for other in (refused, *([one] for one in hit[:_MOST])):
            states = solver.solve([*applies, *other], known=True).states if other else None
            if states is not None:
                yield permission, states


def _all(rule: Permission | Prohibition) -> AnyConstraint:
    return LogicalConstraint(LogicalOperator.AND, rule.constraints)


def _weight(found: Iterable[Constraint]) -> int:
    """About what it takes to check these once, in steps of the search."""
    return sum(4 + len(rights(one)) for one in found) // 16


def _atoms(demands: Sequence[Demand]) -> list[Constraint]:
    return list(atoms(demand.constraint for demand in demands))


def _independent(demands: Sequence[Demand]) -> list[list[Demand]]:
    groups: list[tuple[set[str], list[Demand]]] = []
    for demand in demands:
        lefts = {one.left for one in atoms((demand.constraint,))}
        members = [demand]
        for group in [one for one in groups if one[0] & lefts]:
            groups.remove(group)
            lefts |= group[0]
            members = [*group[1], *members]
        groups.append((lefts, members))
    return [members for _, members in groups]


class _Search:
    """Depth first: a demand is checked as soon as its last operand has a state.

    `complete`: what was not found is nowhere. `cut`: the search did not come to its end.
    """

    def __init__(self, demands: list[Demand], steps: int, known: bool) -> None:
        self._steps = steps
        found = _atoms(demands)
        self.used = _weight(found)
        self.cut = steps <= self.used
        found = [] if self.cut else found
        self._lefts = tuple(dict.fromkeys(one.left for one in found))
        unknown = () if known or all(demand.holds for demand in demands) else (UNKNOWN,)
        spaces = {left: regions(left, found) for left in self._lefts}
        self.used += sum(one.work for one in spaces.values()) // 8
        self.complete = all(one.complete for one in spaces.values())
        self._partial = any(one.cut for one in spaces.values())
        self._points = {left: (*one.points, *unknown) for left, one in spaces.items()}
        self._due: dict[str, list[Demand]] = {left: [] for left in self._lefts}
        for demand in demands if found else ():
            own = {one.left for one in atoms((demand.constraint,))}
            self._due[max(own, key=self._lefts.index)].append(demand)
        self._cost = {
            left: 1 + sum(map(_weight, ([*atoms((one.constraint,))] for one in due)))
            for left, due in self._due.items()
        }

    def run(self) -> States | None:
        """States that meet the demands; None if there are none, or if it was `cut` short."""
        if self.cut:
            return None
        found = self._extend({}, 0)
        self.cut = self.cut or self._partial
        return found

    def _extend(self, states: dict[str, Point], depth: int) -> States | None:
        if depth == len(self._lefts):
            return states
        left = self._lefts[depth]
        for point in self._points[left]:
            if self.used >= self._steps:
                self.cut = True
                return None
            self.used += self._cost[left]
            tried = {**states, left: point}
            if all(_met(demand, tried) for demand in self._due[left]):
                found = self._extend(tried, depth + 1)
                if found is not None or self.cut:
                    return found
        return None


def _met(demand: Demand, states: States) -> bool:
    subject = Subject(world_of(states), any_value=demand.any_value)
    outcome = satisfy(demand.constraint, subject).satisfaction
    return (outcome is Satisfaction.SATISFIED) is demand.holds
