"""What can be wrong with an ODRL policy that reads without error.

Every finding is proven: two constraints contradict each other if no state of their operands meets
both, and one implies another if no state meets it alone. Where that was not settled with bounded
effort nothing is said, but a last remark says that not everything was checked.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain

from policies.odrl import inherit, terms
from policies.odrl.actions import covered_by, entails, with_definitions
from policies.odrl.lint_constraints import MOST, Checks, Placed, without_names
from policies.odrl.model import (
    Action,
    AnyAsset,
    AnyConstraint,
    AnyParty,
    Asset,
    Party,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.odrl.parts import constraints_of, describe_rule, named, short
from policies.odrl.regions import atoms
from policies.odrl.solve import Demand, Solver
from policies.odrl.terms import Conflict
from policies.odrl.world import World
from policies.remark import Catalogue, Remark, error, warning

_MOST_RULES = 200
_MOST_COMPARED = 40
_Entities = Sequence[AnyParty] | Sequence[AnyAsset]


def lint(
    policy: Policy, now: datetime | None, catalogue: Catalogue | None = None
) -> tuple[Remark, ...]:
    """All remarks, in the order of the policy. Parents that are not merged in are not looked at."""
    return tuple(_Lint(policy, now, catalogue).remarks())


class _Lint:
    def __init__(self, policy: Policy, now: datetime | None, catalogue: Catalogue | None) -> None:
        self._policy = policy
        self._solver = Solver()
        self._checks = Checks(self._solver, now, catalogue)
        self._world = with_definitions(World(), policy)
        self._permissions = [inherit.placed(one, policy.scope) for one in policy.permissions]
        self._prohibitions = [inherit.placed(one, policy.scope) for one in policy.prohibitions]

    def remarks(self) -> Iterator[Remark]:
        """Everything that was found."""
        yield from self._whole()
        yield from self._units()
        for index, permission in enumerate(self._permissions[:_MOST_RULES]):
            path = f"$.permission[{index}]"
            yield from self._open(path, permission)
            yield from self._checks.of_rule(path, _placed(path, permission), prohibits=False)
        for index, prohibition in enumerate(self._prohibitions[:_MOST_RULES]):
            path = f"$.prohibition[{index}]"
            yield from self._checks.of_rule(path, _placed(path, prohibition), prohibits=True)
        yield from self._overridden()
        yield from self._shadowed()
        if self._solver.exhausted or self._too_many():
            yield warning(
                "NOT_ALL_CHECKED", "$", "this policy is too large to be checked in full",
                "Split it, so that each part can be understood",
            )  # fmt: skip

    def _too_many(self) -> bool:
        rules: list[Permission | Prohibition] = [*self._permissions, *self._prohibitions]
        return max(len(self._permissions), len(self._prohibitions)) > _MOST_COMPARED or any(
            len(_placed("", one)) > MOST for one in rules
        )

    def _whole(self) -> Iterator[Remark]:
        policy = self._policy
        if not policy.permissions and not policy.inherits:
            yield error(
                "NO_PERMISSION", "$", "the policy has no permission, so it permits nothing",
                "Add a permission",
            )  # fmt: skip
        if any(iri == terms.DCT + "isReplacedBy" for iri, _ in policy.metadata):
            yield error(
                "REPLACED", "$", "the policy says that another one replaced it, so it is void",
                "Use the one that replaced it",
            )  # fmt: skip

    def _units(self) -> Iterator[Remark]:
        found: dict[str, dict[str | None, None]] = {}
        for atom in atoms(constraints_of(self._policy)):
            found.setdefault(atom.left, {})[atom.unit] = None
        for left, units in found.items():
            if len(units) > 1:
                names = ", ".join(short(unit) if unit else "none" for unit in units)
                yield warning(
                    "UNITS_MIXED", "$", f"{short(left)} is compared in several units: {names}",
                    "Use one unit throughout: nothing is converted",
                )  # fmt: skip

    def _open(self, path: str, permission: Permission) -> Iterator[Remark]:
        scope = permission.scope
        narrowed = permission.constraints or permission.duties or scope.assignees
        if not narrowed and not any(action.refinements for action in scope.actions):
            yield warning(
                "ALWAYS_ALLOWS", path, "this permission has no constraint: anyone, for anything",
                "Add at least a purpose and a period",
            )  # fmt: skip

    def _overridden(self) -> Iterator[Remark]:
        conflict = self._policy.conflict
        if conflict is Conflict.PERM:
            return
        clashing = False
        for index, permission in enumerate(self._permissions[:_MOST_COMPARED]):
            wider = next(
                (place for place, one in enumerate(self._prohibitions[:_MOST_COMPARED])
                 if self._always_hit(permission, one)), None,
            )  # fmt: skip
            if wider is not None:
                yield error(
                    "OVERRIDDEN", f"$.permission[{index}]",
                    f"wherever it applies, prohibition {wider} does: it never permits",
                    "Narrow the prohibition, or remove the permission",
                )  # fmt: skip
            clashing = clashing or any(
                self._may_meet(permission, one) for one in self._prohibitions[:_MOST_COMPARED]
            )
        if clashing and conflict is not Conflict.PROHIBIT:
            yield warning(
                "CONFLICT_UNSET", "$.conflict",
                "a permission and a prohibition can both apply, which voids the whole policy",
                'Set "conflict" to "prohibit"',
            )  # fmt: skip

    def _shadowed(self) -> Iterator[Remark]:
        yield from self._covered(
            [(f"$.permission[{index}]", one) for index, one in enumerate(self._permissions)],
            "SHADOWED_PERMISSION",
        )
        yield from self._covered(
            [(f"$.prohibition[{index}]", one) for index, one in enumerate(self._prohibitions)],
            "SHADOWED_PROHIBITION",
        )

    def _covered(
        self, rules: Sequence[tuple[str, Permission | Prohibition]], code: str
    ) -> Iterator[Remark]:
        compared = rules[:_MOST_COMPARED]
        gone: set[str] = set()
        for path, rule in reversed(compared):
            for place, wide in compared:
                if place != path and place not in gone and self._within(rule, wide):
                    gone.add(path)
                    yield warning(
                        code, path, f"it adds nothing to {place} ({describe_rule(wide)})",
                        "Remove it, or narrow the other",
                    )  # fmt: skip
                    break

    # Relations between two rules; where it is not certain, the answer is no.

    def _within(self, narrow: Permission | Prohibition, wide: Permission | Prohibition) -> bool:
        if isinstance(wide, Permission) and isinstance(narrow, Permission):
            duties = set(wide.duties) <= set(narrow.duties)
        else:
            duties = True
        prohibits = isinstance(wide, Prohibition)
        return (
            duties
            and self._covers(wide.scope, narrow.scope, prohibits=prohibits)
            and self._follows(narrow, wide, prohibits, prohibits)
        )

    def _always_hit(self, permission: Permission, prohibition: Prohibition) -> bool:
        return self._covers(prohibition.scope, permission.scope, prohibits=True) and self._follows(
            permission, prohibition, False, True
        )

    def _follows(
        self, narrow: Permission | Prohibition, wide: Permission | Prohibition,
        narrow_any: bool, wide_any: bool,
    ) -> bool:  # fmt: skip
        given = [Demand(one, any_value=narrow_any) for one in _conditions(narrow)]
        if self._solver.solve(given).states is None:
            return False
        return all(
            self._solver.solve([*given, Demand(one, False, wide_any)]).impossible
            for one in wide.constraints
        )

    def _covers(self, wide: Scope, narrow: Scope, *, prohibits: bool) -> bool:
        matches = entails if prohibits else covered_by
        actions = not wide.actions or (
            bool(narrow.actions)
            and all(
                any(
                    _refines(one, by) and matches(one.iri, by.iri, self._world)
                    for by in wide.actions
                )
                for one in narrow.actions
            )
        )
        return (
            actions
            and _include(wide.targets, narrow.targets)
            and _include(wide.assignees, narrow.assignees)
            and _include(wide.assigners, narrow.assigners)
        )

    def _may_meet(self, permission: Permission, prohibition: Prohibition) -> bool:
        one, other = permission.scope, prohibition.scope
        actions = not one.actions or not other.actions or any(
            entails(mine.iri, theirs.iri, self._world)
            or covered_by(theirs.iri, mine.iri, self._world)
            for mine in one.actions
            for theirs in other.actions
        )  # fmt: skip
        if not actions or _apart(one.targets, other.targets):
            return False
        if _apart(one.assignees, other.assignees):
            return False
        demands = [
            *(Demand(each) for each in permission.constraints),
            *(Demand(each, any_value=True) for each in prohibition.constraints),
        ]
        return self._solver.solve(demands).states is not None


def _placed(path: str, rule: Permission | Prohibition) -> tuple[Placed, ...]:
    own = ((f"{path}.constraint[{index}]", one) for index, one in enumerate(rule.constraints))
    return tuple(chain(own, _refined(path, rule.scope)))


def _refined(path: str, scope: Scope) -> Iterator[Placed]:
    # Several actions are alternatives, whose refinements need not hold together.
    for action in scope.actions if len(scope.actions) == 1 else ():
        for index, one in enumerate(action.refinements):
            yield f"{path}.action.refinement[{index}]", one


def _conditions(rule: Permission | Prohibition) -> Iterable[AnyConstraint]:
    return (one for _, one in _placed("", rule))


def _refines(narrow: Action, wide: Action) -> bool:
    own = {without_names(one) for one in narrow.refinements}
    return {without_names(one) for one in wide.refinements} <= own


def _include(wide: _Entities, narrow: _Entities) -> bool:
    """Whether every narrow entity is one of the wide ones, or surely a member of it."""
    if not wide:
        return True
    if not narrow:
        return False
    return all(one in wide or any(_contains(other, one) for other in wide) for one in narrow)


def _contains(wide: AnyParty | AnyAsset, narrow: AnyParty | AnyAsset) -> bool:
    unrefined = isinstance(wide, Asset | Party) or not wide.refinements
    return unrefined and bool(set(named(wide)) & {*named(narrow)[:1], *narrow.part_of})


def _apart(one: _Entities, other: _Entities) -> bool:
    """Whether two lists of single parties or assets have none in common."""
    both = (*one, *other)
    if not one or not other or not all(isinstance(each, Asset | Party) for each in both):
        return False
    if any(each.part_of for each in both):
        return False
    return not {each.uid for each in one} & {each.uid for each in other}
