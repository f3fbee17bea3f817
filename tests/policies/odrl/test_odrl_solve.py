"""Critical points and contradictions, against every value of a small domain."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odrl_strategies import constraints

from policies.odrl import terms
from policies.odrl.model import Constraint, LogicalConstraint
from policies.odrl.regions import Point, atoms, points, world_of
from policies.odrl.satisfy import Satisfaction, Subject, satisfy
from policies.odrl.solve import Demand, Solver, satisfying
from policies.odrl.terms import Iri, LogicalOperator, Operator

COUNT, EPSILON = terms.ODRL + "count", terms.EPSILON
TASK, PURPOSE = terms.TASK, terms.PURPOSE
RESEARCH = Iri("https://w3id.org/dpv/legal/eu/ehds#HealthcareScientificResearch")
TRAINING = Iri("https://w3id.org/dpv/legal/eu/ehds#TrainTestAndEvaluateHealthAlgorithms")

_ordered = st.sampled_from((*sorted(terms.ORDERED), Operator.EQ, Operator.NEQ))
_some_tasks = st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True).map(tuple)
_small = st.one_of(
    st.builds(Constraint, st.just(COUNT), _ordered, st.integers(0, 3).map(Decimal)),
    st.builds(
        Constraint, st.just(EPSILON), _ordered, st.sampled_from(("0", "0.5", "1")).map(Decimal)
    ),
    st.builds(
        Constraint, st.just(TASK),
        st.sampled_from((Operator.IS_ANY_OF, Operator.IS_NONE_OF, Operator.IS_ALL_OF)), _some_tasks,
    ),
)  # fmt: skip
_combined = st.recursive(
    _small,
    lambda inner: st.builds(
        LogicalConstraint,
        st.sampled_from(list(LogicalOperator)),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=4,
)
_DOMAIN = {
    COUNT: [(Decimal(value),) for value in range(6)],
    EPSILON: [(Decimal(value) / 4,) for value in range(7)],
    TASK: [("a",), ("b",), ("c",), ("d",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "d"),
           ("b", "d"), ("c", "d"), ("a", "b", "c")],
}  # fmt: skip


def holds(one: object, states: dict[str, Point], *, any_value: bool) -> bool:
    outcome = satisfy(one, Subject(world_of(states), any_value=any_value))
    return outcome.satisfaction is Satisfaction.SATISFIED


@given(st.lists(st.builds(Demand, _combined, st.booleans(), st.booleans()), max_size=3))
@settings(max_examples=150, deadline=None)
def test_what_is_called_impossible_no_value_of_the_domain_meets(demands: list[Demand]) -> None:
    found = Solver().solve(demands, known=True)
    if found.states is not None:
        assert all(
            holds(one.constraint, dict(found.states), any_value=one.any_value) is one.holds
            for one in demands
        )
        return
    assert found.sure
    for values in product(*_DOMAIN.values()):
        states = {left: Point(value) for left, value in zip(_DOMAIN, values, strict=True)}
        assert not all(
            holds(one.constraint, states, any_value=one.any_value) is one.holds for one in demands
        )


@given(st.lists(constraints, min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_what_is_found_satisfies_any_constraints_that_a_policy_may_hold(own: list) -> None:
    states = satisfying(own)
    if states is not None:
        assert all(holds(one, dict(states), any_value=False) for one in own)


@pytest.mark.parametrize(
    ("left", "bounds", "expected"),
    [
        (COUNT, ("2", "3"), {1, 2, 3, 4}),
        (EPSILON, ("1", "2"), {Decimal("0"), Decimal("1"), Decimal("1.5"), Decimal("2"), 3}),
    ],
)
def test_points_are_the_bounds_between_and_beyond(
    left: str, bounds: tuple[str, ...], expected: set[Decimal]
) -> None:
    own = [Constraint(left, Operator.LTEQ, Decimal(bound)) for bound in bounds]
    own += [Constraint(left, Operator.EQ, Decimal(bound)) for bound in bounds]
    assert {point.values[0] for point in points(left, own)} == expected


def test_points_of_a_day_are_its_edges() -> None:
    day = datetime(2030, 1, 31, tzinfo=UTC)
    own = [Constraint(terms.DATE_TIME, operator, day.date())
           for operator in (Operator.LT, Operator.EQ)]  # fmt: skip
    found = {point.values[0] for point in points(terms.DATE_TIME, own)}
    assert found == {day, day + timedelta(days=1), day - timedelta(microseconds=1)}


def test_a_number_of_a_thousand_digits_of_scale_is_told_apart() -> None:
    huge = Decimal("1E+900")
    own = [Constraint(EPSILON, Operator.LT, huge), Constraint(EPSILON, Operator.GT, huge)]
    assert len(points(EPSILON, own)) == 3


def test_a_part_of_a_purpose_is_within_its_broader_ones() -> None:
    demands = [
        Demand(Constraint(PURPOSE, Operator.IS_A, TRAINING)),
        Demand(Constraint(PURPOSE, Operator.IS_A, RESEARCH), holds=False),
    ]
    assert Solver().solve(demands).impossible


def test_a_place_within_another_is_possible_though_nobody_names_it() -> None:
    spatial = terms.ODRL + "spatial"
    own = [Constraint(spatial, Operator.IS_PART_OF, "EU"),
           Constraint(spatial, Operator.NEQ, "EU")]  # fmt: skip
    assert satisfying(own) is not None


def test_without_effort_nothing_is_certain() -> None:
    solver = Solver(0)
    found = solver.solve([Demand(Constraint(COUNT, Operator.LT, Decimal(0)))])
    assert (found.states, found.sure, solver.exhausted) == (None, False, True)


def test_atoms_are_found_at_any_depth() -> None:
    atom = Constraint(COUNT, Operator.LT, Decimal(1))
    nested = LogicalConstraint(
        LogicalOperator.OR, (LogicalConstraint(LogicalOperator.AND, (atom,)), atom)
    )
    assert list(atoms((nested, atom))) == [atom] * 3
