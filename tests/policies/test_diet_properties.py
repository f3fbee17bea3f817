"""What holds for every mix: what a plan promises comes true, and size and order do not matter."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.diet import assess, plan
from policies.lineage import Lineage, Node, Origin, Portion, ancestry, path_to_site
from policies.mix import DietPolicy, Mix

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
BASE = DietPolicy(
    minimum_real_rows=0, licences=frozenset({"permit-1"}), best_before=90 * DAY, canaries=()
)
SHARES = st.integers(0, 1000).map(lambda n: Decimal(n) / 1000)
POLICIES = st.builds(
    lambda share, weight, least: replace(
        BASE, fresh_share=share, fresh_weight=weight, minimum_real_rows=least
    ),
    SHARES, SHARES, st.integers(0, 2000),
)  # fmt: skip


@st.composite
def lineages(draw: st.DrawFn) -> Lineage:
    """Up to eight nodes, each made from earlier ones; some facts are missing."""
    nodes: list[Node] = []
    for index in range(draw(st.integers(1, 8))):
        origin = draw(st.sampled_from(Origin)) if nodes else Origin.REAL
        sources = [] if origin is Origin.REAL else draw(
            st.lists(st.sampled_from([node.id for node in nodes]), max_size=3, unique=True)
        )  # fmt: skip
        when = st.sampled_from([None, NOW - 100 * DAY, NOW - 50 * DAY, NOW - DAY])
        nodes.append(
            Node(
                f"n{index}", origin, draw(st.sampled_from(["a", "b", "c"])), 100,
                tuple(Portion(name, 10, Decimal(1)) for name in sources),
                licence=draw(st.sampled_from([None, "permit-1"])),
                made_at=draw(when), collected_since=draw(when),
                quality_filter=draw(st.sampled_from([None, "none"])),
                epsilon=draw(st.sampled_from([None, Decimal(1)])),
            )
        )  # fmt: skip
    return Lineage(tuple(nodes))


@st.composite
def mixes(draw: st.DrawFn, lineage: Lineage) -> Mix:
    names = st.sampled_from([*(node.id for node in lineage.nodes), "unknown"])
    inputs = tuple(
        Portion(name, draw(st.integers(0, 500)), Decimal(draw(st.integers(0, 9))))
        for name in draw(st.lists(names, max_size=5, unique=True))
    )
    product = draw(st.sampled_from([Origin.MODEL, Origin.SYNTHETIC]))
    return Mix(draw(st.sampled_from(["a", "b", "z"])), product, inputs, epsilon=Decimal(1))


@settings(max_examples=150, deadline=None)
@given(st.data(), POLICIES)
def test_a_plan_that_is_followed_balances_all_but_what_is_for_a_person(
    data: st.DataObject, policy: DietPolicy
) -> None:
    lineage = data.draw(lineages())
    mix = data.draw(mixes(lineage))
    planned = plan(mix, lineage, policy, NOW)
    kept = tuple(each for each in mix.inputs if each.id not in planned.leave_out)
    back = tuple(Portion(each, lineage.by_id[each].rows, Decimal(0)) for each in planned.put_back)
    if planned.more_fresh_rows is None:
        assert policy.fresh_share == 1
        return
    new = Node(
        "new", Origin.REAL, mix.site, planned.more_fresh_rows, licence="permit-1",
        collected_since=NOW,
    )  # fmt: skip
    enough = sum((each.weight for each in kept), Decimal(0)) * 1000 + 1
    # Weight: the new rows take all that is asked for, and so much more that rounding is no issue.
    fresh = Portion("new", planned.more_fresh_rows, enough)
    followed = replace(mix, inputs=(*kept, *back, fresh))
    report = assess(followed, Lineage((*lineage.nodes, new)), policy, NOW)
    open_rules = {each.rule for each in report.failed}
    licences = {lineage.by_id[each].licence for each in planned.put_back}
    expected = {"D5"} | ({"licence"} if None in licences else set())
    if policy.fresh_weight > Fraction(999, 1000):
        expected.add("D2")
    if not sum(each.rows for each in followed.inputs):
        expected |= {"D2", "licence"}
    assert open_rules <= expected, report.failed


@settings(max_examples=150, deadline=None)
@given(st.data(), POLICIES)
def test_no_fewer_fresh_rows_would_do(data: st.DataObject, policy: DietPolicy) -> None:
    lineage = data.draw(lineages())
    mix = data.draw(mixes(lineage))
    planned = plan(mix, lineage, policy, NOW)
    more = planned.more_fresh_rows
    if not more:
        return
    kept = tuple(each for each in mix.inputs if each.id not in planned.leave_out)
    back = tuple(Portion(each, lineage.by_id[each].rows, Decimal(0)) for each in planned.put_back)
    new = Node("new", Origin.REAL, mix.site, more, collected_since=NOW)
    fresh = Portion("new", more - 1, Decimal(1))
    report = assess(
        replace(mix, inputs=(*kept, *back, fresh)), Lineage((*lineage.nodes, new)), policy, NOW
    )
    assert report.findings[1].satisfied is not True


@settings(max_examples=150, deadline=None)
@given(st.data(), POLICIES)
def test_the_weight_factor_reaches_the_bound_and_no_less_does(
    data: st.DataObject, policy: DietPolicy
) -> None:
    lineage = data.draw(lineages())
    mix = data.draw(mixes(lineage))
    planned = plan(mix, lineage, policy, NOW)
    factor = planned.fresh_weight_factor
    if factor is None:
        return
    kept = tuple(each for each in mix.inputs if each.id not in planned.leave_out)
    alone = assess(replace(mix, inputs=kept), lineage, policy, NOW)
    share = alone.fresh_weight
    assert share is not None
    scaled = factor * share / (factor * share + 1 - share)
    assert scaled >= Fraction(policy.fresh_weight)
    assert factor == 1 or scaled == Fraction(policy.fresh_weight)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_the_order_of_the_graph_changes_nothing(data: st.DataObject) -> None:
    lineage = data.draw(lineages())
    mix = data.draw(mixes(lineage))
    shuffled = Lineage(tuple(data.draw(st.permutations(lineage.nodes))))
    assert assess(mix, lineage, BASE, NOW) == assess(mix, shuffled, BASE, NOW)
    assert plan(mix, lineage, BASE, NOW) == plan(mix, shuffled, BASE, NOW)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_depth_is_one_more_than_the_deepest_input_of_a_synthesis(data: st.DataObject) -> None:
    lineage = data.draw(lineages())
    behind = ancestry(lineage, [node.id for node in lineage.nodes])
    depths = behind.depths(unknown_depth=7)
    assert not behind.cycle
    assert behind.members == {node.id for node in lineage.nodes}
    for node in lineage.nodes:
        deepest = max((depths[each.id] for each in node.inputs), default=0)
        if not lineage.has_known_provenance(node.id):
            assert depths[node.id] == 7
        else:
            assert depths[node.id] == deepest + (node.origin is Origin.SYNTHETIC)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_more_synthetic_rows_make_a_diet_fresher(data: st.DataObject) -> None:
    lineage = data.draw(lineages())
    mix = data.draw(mixes(lineage))
    more = tuple(
        replace(each, rows=each.rows + 1) if lineage.origin(each.id) is not Origin.REAL else each
        for each in mix.inputs
    )
    before = assess(mix, lineage, BASE, NOW).fresh_share
    after = assess(replace(mix, inputs=more), lineage, BASE, NOW).fresh_share
    assert before is None or after is None or after <= before


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(0, 11))
def test_a_cycle_of_any_length_is_found_and_closed(length: int, start: int) -> None:
    names = [f"n{index}" for index in range(length)]
    nodes = tuple(
        Node(name, Origin.SYNTHETIC, "a", 1, (Portion(names[(i + 1) % length], 1, Decimal(1)),))
        for i, name in enumerate(names)
    )
    behind = ancestry(Lineage(nodes), [names[start % length]])
    assert behind.cycle[0] == behind.cycle[-1]
    assert len(behind.cycle) == length + 1
    assert behind.order == ()


@pytest.mark.slow
def test_a_hundred_thousand_generations_are_walked_without_recursion() -> None:
    count = 100_000
    nodes = [Node("n0", Origin.REAL, "a", 1, licence="permit-1")]
    nodes += [
        Node(
            f"n{index}", Origin.SYNTHETIC, f"site-{index % 900}", 1,
            (Portion(f"n{index - 1}", 1, Decimal(1)), Portion("n0", 1, Decimal(1))),
            made_at=NOW - DAY, quality_filter="none", epsilon=Decimal(1),
        )
        for index in range(1, count)
    ]  # fmt: skip
    lineage = Lineage(tuple(nodes))
    last = f"n{count - 1}"
    mix = Mix("b", Origin.MODEL, (Portion(last, 1, Decimal(1)), Portion("n0", 9, Decimal(9))))
    report = assess(mix, lineage, BASE, NOW)
    assert report.depth_max == count - 1
    assert report.findings[2].satisfied is True  # generation 0 is in each of them
    assert plan(mix, lineage, BASE, NOW).leave_out == (last,)
    assert path_to_site(lineage, last, "a") == (last, "n0")
