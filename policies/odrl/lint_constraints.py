"""What can be wrong with the constraints of one rule."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import combinations, permutations

from policies import purposes
from policies.odrl import terms
from policies.odrl.model import AnyConstraint, Constraint, LogicalConstraint
from policies.odrl.parts import describe, short
from policies.odrl.regions import atoms, rights
from policies.odrl.solve import Demand, Solver
from policies.odrl.terms import Iri, LogicalOperator, Operator
from policies.odrl.values import Value
from policies.odrl.world import World
from policies.remark import Catalogue, Remark, Severity, error, warning

MOST = 20  # constraints of one rule that are held against each other
_EXACT = frozenset({Operator.EQ, Operator.NEQ, Operator.IS_ANY_OF, Operator.IS_NONE_OF})
_POSITIVE = frozenset({Operator.EQ, Operator.IS_ANY_OF, Operator.IS_A, Operator.IS_PART_OF})
_HIERARCHY = frozenset({Operator.IS_A, Operator.IS_PART_OF})
_UPPER = frozenset({Operator.EQ, Operator.LT, Operator.LTEQ, Operator.TERM_LTEQ})
_EITHER = frozenset({LogicalOperator.OR, LogicalOperator.XONE})
# Numbers that mean nothing without their unit.
_MEASURED = frozenset(
    terms.ODRL + name
    for name in (
        "payAmount", "resolution", "absolutePosition", "absoluteSize", "absoluteSpatialPosition",
        "absoluteTemporalPosition",
    )
)  # fmt: skip
LARGE_EPSILON = Decimal(10)
LARGE_DELTA = Decimal("0.001")
_WORLD = World()

Placed = tuple[str, AnyConstraint]


@dataclass(frozen=True)
class Checks:
    """What the checks share: the moment, what nodes can compute, and a bounded effort."""

    solver: Solver
    now: datetime | None = None
    catalogue: Catalogue | None = None

    def of_rule(self, path: str, placed: Sequence[Placed], *, prohibits: bool) -> Iterator[Remark]:
        """Everything about the constraints of one rule, which must hold together."""
        impossible = list(self._impossible(path, placed, prohibits))
        yield from impossible
        if not impossible:
            yield from self._over(path, placed, prohibits)
            yield from self._idle(placed)
            if self.catalogue is not None and not prohibits:
                yield from self._uncomputable(path, placed, self.catalogue)
        for place, constraint in placed:
            yield from self._branches(place, constraint)
            for spot, atom in atoms_at(place, constraint):
                yield from self._atom(spot, atom, prohibits)

    # Together

    def _impossible(self, path: str, placed: Sequence[Placed], prohibits: bool) -> Iterator[Remark]:
        say = _never_applies if prohibits else _never_permits
        alone = [one for one in placed if self._clash((one,), prohibits=prohibits)]
        for place, constraint in alone:
            yield say(place, constraint, f"{describe(constraint)} can never hold")
        if alone:
            return
        found = False
        for one, other in combinations(placed[:MOST], 2):
            if _share(one[1], other[1]) and self._clash((one, other), prohibits=prohibits):
                found = True
                yield say(
                    other[0], other[1], f"{describe(other[1])} contradicts {describe(one[1])}"
                )
        if not found and len(placed) > 2 and self._clash(placed, prohibits=prohibits):
            yield say(path, None, "the constraints of this rule can never hold together")

    def _clash(self, placed: Sequence[Placed], *, prohibits: bool) -> bool:
        demands = [Demand(one, any_value=prohibits) for _, one in placed]
        return self.solver.solve(demands).impossible

    def _over(self, path: str, placed: Sequence[Placed], prohibits: bool) -> Iterator[Remark]:
        timed = any(one.left == terms.DATE_TIME for one in atoms(one for _, one in placed))
        if self.now is None or not timed:
            return
        today = Constraint(terms.DATE_TIME, Operator.GTEQ, self.now)
        if self._clash((*placed, (path, today)), prohibits=prohibits):
            what = "prohibits" if prohibits else "permits"
            severity = Severity.WARNING if prohibits else Severity.ERROR
            yield Remark(
                severity, "PERIOD_OVER", path, f"its time is over: it never {what} again",
                "Give it a later date, or remove it",
            )  # fmt: skip

    def _uncomputable(
        self, path: str, placed: Sequence[Placed], catalogue: Catalogue
    ) -> Iterator[Remark]:
        lefts = {one.left for one in atoms(one for _, one in placed)}
        if not lefts & {terms.TASK, terms.OUTPUT_KIND}:
            return
        for task, outputs in catalogue.outputs_of.items():
            for output in sorted(outputs):
                job = (
                    (path, Constraint(terms.TASK, Operator.EQ, task)),
                    (path, Constraint(terms.OUTPUT_KIND, Operator.EQ, output)),
                )
                if not self._clash((*placed, *job), prohibits=False):
                    return
        yield error(
            "NOTHING_TO_COMPUTE", path, "no task that it allows makes an output that it allows",
            "Name tasks of the catalogue, and what they make",
        )  # fmt: skip

    def _idle(self, placed: Sequence[Placed]) -> Iterator[Remark]:
        """Constraints that change nothing: always true, said twice, or implied by another."""
        useful = []
        for place, constraint in placed:
            if self.solver.solve([Demand(constraint, holds=False)], known=True).impossible:
                yield warning(
                    "ALWAYS_TRUE", place, f"{describe(constraint)} always holds",
                    "Set a bound that can be missed, or remove it",
                )  # fmt: skip
            else:
                useful.append((place, constraint))
        told: set[str] = set()
        for one, other in permutations(useful[:MOST], 2):
            if one[0] in told or other[0] in told or not _share(one[1], other[1]):
                continue
            if without_names(one[1]) == without_names(other[1]):
                told.add(other[0])
                yield warning(
                    "DUPLICATE_CONSTRAINT", other[0], f"{describe(other[1])} is said twice",
                    "Remove one of them",
                )  # fmt: skip
            elif self._implies(one[1], other[1]):
                told.add(other[0])
                yield warning(
                    "SHADOWED_CONSTRAINT", other[0],
                    f"{describe(other[1])} adds nothing to {describe(one[1])}",
                    "Remove the wider of the two",
                )  # fmt: skip

    def _implies(self, narrow: AnyConstraint, wide: AnyConstraint) -> bool:
        return self.solver.solve([Demand(narrow), Demand(wide, holds=False)]).impossible

    # One by one

    def _branches(self, path: str, constraint: AnyConstraint) -> Iterator[Remark]:
        if not isinstance(constraint, LogicalConstraint):
            return
        for index, operand in enumerate(constraint.operands):
            place = f"{path}.{constraint.operator.value}[{index}]"
            if constraint.operator in _EITHER and self._clash(((place, operand),), prohibits=False):
                yield warning(
                    "NEVER_SATISFIABLE", place, f"the alternative {describe(operand)} never holds",
                    "Correct it, or remove it",
                )  # fmt: skip
            yield from self._branches(place, operand)

    def _atom(self, path: str, atom: Constraint, prohibits: bool) -> Iterator[Remark]:
        if atom.left == terms.PURPOSE:
            yield from _purpose(path, atom, prohibits)
        if atom.left in _MEASURED and atom.unit is None:
            yield warning(
                "UNIT_MISSING", path, f"{describe(atom)} has no unit",
                "State the unit, by its IRI: without one it is compared as a bare number",
            )  # fmt: skip
        if not prohibits:
            yield from _magnitude(path, atom)
        if self.catalogue is not None:
            yield from _catalogued(path, atom, self.catalogue)


def atoms_at(path: str, constraint: AnyConstraint) -> Iterator[tuple[str, Constraint]]:
    """Each atomic constraint with its path."""
    if isinstance(constraint, Constraint):
        yield path, constraint
        return
    for index, operand in enumerate(constraint.operands):
        yield from atoms_at(f"{path}.{constraint.operator.value}[{index}]", operand)


def without_names(constraint: AnyConstraint) -> AnyConstraint:
    """The same constraint without the IRIs by which it is called."""
    if isinstance(constraint, LogicalConstraint):
        return replace(
            constraint, uid=None, operands=tuple(map(without_names, constraint.operands))
        )
    return replace(constraint, uid=None)


def _share(one: AnyConstraint, other: AnyConstraint) -> bool:
    return bool({atom.left for atom in atoms((one,))} & {atom.left for atom in atoms((other,))})


def _never_permits(path: str, constraint: AnyConstraint | None, sentence: str) -> Remark:
    dates = constraint is not None and {atom.left for atom in atoms((constraint,))} == {
        terms.DATE_TIME
    }
    code = "DATES_CONTRADICT" if dates else "NEVER_SATISFIABLE"
    return error(code, path, f"{sentence}, so nothing is permitted by it", "Correct the bounds")


def _never_applies(path: str, constraint: AnyConstraint | None, sentence: str) -> Remark:
    said = _never_permits(path, constraint, sentence)
    return warning(said.code, path, f"{sentence}, so nothing is prohibited by it", said.remedy)


def _purpose(path: str, atom: Constraint, prohibits: bool) -> Iterator[Remark]:
    named = [value.value for value in rights(atom) if isinstance(value, Iri)]
    wide = [iri for iri in named if any(iri in _above(one) for one in terms.BROADER_PURPOSES)]
    if atom.operator in _EXACT and wide:
        yield warning(
            "PURPOSE_EXACT", path,
            f"{describe(atom)} compares exactly: the parts of {short(wide[0])} are not meant",
            "Use odrl:isA, if its parts are meant as well",
        )  # fmt: skip
    for iri in named:
        above = _above(iri)
        covering = next((one for one in named if one in above), None) if above else None
        if atom.operator in _HIERARCHY and covering is not None:
            yield warning(
                "PURPOSE_COVERED", path, f"{short(iri)} is already a part of {short(covering)}",
                f"Leave out {short(iri)}, or {short(covering)} if only the part is meant",
            )  # fmt: skip
    if prohibits or atom.operator not in _POSITIVE:
        return
    for iri in named:
        purpose = purposes.by_iri(iri)
        if purpose is not None and purpose.name in purposes.PROHIBITED:
            say = error if len(named) == 1 else warning
            yield say(
                "PURPOSE_PROHIBITED", path, f"{short(iri)} is prohibited by {purpose.article}",
                "Remove it: no policy can allow this use",
            )  # fmt: skip
        elif purpose is None and iri not in terms.BROADER_PURPOSES and not _is_above_any(iri):
            yield warning(
                "PURPOSE_UNKNOWN", path, f"{short(iri)} is not a purpose of Art. 53",
                "Use a purpose of https://w3id.org/dpv/legal/eu/ehds#",
            )  # fmt: skip


def _above(iri: str) -> frozenset[str]:
    return _WORLD.concepts(iri) - {iri}


def _is_above_any(iri: str) -> bool:
    return any(iri in _above(one) for one in terms.BROADER_PURPOSES)


def _magnitude(path: str, atom: Constraint) -> Iterator[Remark]:
    limits = {
        terms.EPSILON: ("EPSILON_LARGE", LARGE_EPSILON),
        terms.BUDGET_EPSILON: ("EPSILON_LARGE", LARGE_EPSILON),
        terms.DELTA: ("DELTA_LARGE", LARGE_DELTA),
    }
    if atom.left not in limits or atom.operator not in _UPPER:
        return
    code, limit = limits[atom.left]
    largest = max((one for one in rights(atom) if isinstance(one, Decimal)), default=Decimal(0))
    if largest > limit:
        yield warning(
            code, path, f"{describe(atom)} promises almost nothing",
            f"Choose at most {limit}",
        )  # fmt: skip


def _catalogued(path: str, atom: Constraint, catalogue: Catalogue) -> Iterator[Remark]:
    known, code, word = {
        terms.TASK: (frozenset(catalogue.outputs_of), "TASK_UNKNOWN", "task"),
        terms.OUTPUT_KIND: (catalogue.outputs, "OUTPUT_UNKNOWN", "kind of output"),
    }.get(atom.left, (frozenset(), "", ""))
    for value in rights(atom) if code else ():
        if _text(value) not in known:
            yield warning(
                code, path, f"{_text(value)} is not a {word} that nodes know",
                f"Known: {', '.join(sorted(known))}",
            )  # fmt: skip


def _text(value: Value) -> str:
    return value.value if isinstance(value, Iri) else str(value)
