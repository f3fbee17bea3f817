"""Sums of costs: no order of events and no detour changes them."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.audit.sums import CostSum, exact, rounded
from policies.privacy import NOTHING, ORDERS, Cost

losses = st.one_of(
    st.floats(0, 1e6), st.floats(0, 1e-300), st.sampled_from([0.0, 5e-324, 0.1, 1 / 3])
)
costs = losses.map(lambda loss: Cost(tuple(loss * (1 + order / 100) for order in ORDERS)))


def total(*found: Cost) -> CostSum:
    made = CostSum()
    for cost in found:
        made.replace(NOTHING, cost)
    return made


@given(costs)
def test_one_cost_comes_back_as_it_was(cost: Cost) -> None:
    assert rounded(exact(cost)) == cost
    assert total(cost).cost == cost


@given(st.lists(costs, max_size=6), st.randoms(use_true_random=False))
def test_the_sum_is_the_nearest_to_the_true_one_in_any_order(found: list[Cost], by: Any) -> None:
    shuffled = list(found)
    by.shuffle(shuffled)
    assert total(*shuffled).cost == total(*found).cost
    first = [cost.rdp[0] for cost in found]
    assert total(*found).cost.rdp[0] == math.fsum(first)


@given(st.lists(costs, min_size=1, max_size=6), st.lists(costs, max_size=3))
def test_what_is_taken_away_leaves_nothing_behind(found: list[Cost], others: list[Cost]) -> None:
    made = total(*others)
    for cost in found:
        made.replace(NOTHING, cost)
    for old, new in pairwise((*found, found[0])):
        made.replace(old, new)
    for cost in (found[0], *found[1:]):
        made.replace(cost, NOTHING)
    assert made.cost == total(*others).cost


@given(st.lists(costs, min_size=1, max_size=4), costs)
def test_a_sum_as_it_would_be_does_not_change_it(found: list[Cost], new: Cost) -> None:
    made = total(*found)
    before = made.cost
    as_if = made.changed([(found[0], new)])
    assert as_if == total(new, *found[1:]).cost
    assert made.cost == before
    assert made.changed([]) is before


def test_a_float_sum_would_leave_something_behind() -> None:
    one, other = (Cost((loss,) * len(ORDERS)) for loss in (0.1, 0.2))
    naive = one.rdp[0] + other.rdp[0] - one.rdp[0] - other.rdp[0]
    assert naive != 0
    made = total(one, other)
    made.replace(one, NOTHING)
    made.replace(other, NOTHING)
    assert made.cost == NOTHING


@pytest.mark.parametrize("loss", [5e-324, 2.2250738585072014e-308, 1e-300, 1.0, 1e300])
def test_every_float_is_held_without_loss(loss: float) -> None:
    cost = Cost((loss,) + (0.0,) * (len(ORDERS) - 1))
    assert rounded(exact(cost)) == cost
