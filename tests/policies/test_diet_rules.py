"""Each rule of the diet from both sides, and what a report and a plan say."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from policies.diet import DietFinding, DietReport, assess, plan
from policies.errors import PolicyError
from policies.lineage import MAX_INPUTS, MAX_SITES, Lineage, Node, Origin, Portion
from policies.mix import DietPolicy, Mix, Tolerance, touches_real

NOW = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = DietPolicy(
    minimum_real_rows=100,
    licences=frozenset({"permit-1"}),
    best_before=90 * DAY,
    canaries=(Tolerance("tail-mass", Decimal("0.8"), Decimal("1.25")),),
)
MADE = NOW - 30 * DAY


def portion(name: str, rows: int = 100, weight: str | None = None) -> Portion:
    return Portion(name, rows, Decimal(rows if weight is None else weight))


def real(name: str, site: str = "north", **known: Any) -> Node:
    known = {"licence": "permit-1", "collected_since": NOW - 900 * DAY} | known
    return Node(name, Origin.REAL, site, 1000, **known)


def model(name: str, *inputs: str, site: str = "hub", **known: Any) -> Node:
    parts = tuple(portion(each) for each in inputs)
    return Node(name, Origin.MODEL, site, 0, parts, **{"epsilon": Decimal(1)} | known)


def synthetic(name: str, *inputs: str, site: str = "hub", **known: Any) -> Node:
    known = {
        "licence": "permit-1", "made_at": MADE, "quality_filter": "none", "epsilon": Decimal(1),
    } | known  # fmt: skip
    return Node(
        name, Origin.SYNTHETIC, site, 1000, tuple(portion(each) for each in inputs), **known
    )


# Generation 0 is r0 (south); m1 learned it; s1 was sampled from m1; fresh was collected since.
R0 = real("r0", "south")
M1 = model("m1", "r0")
S1 = synthetic("s1", "m1")
FRESH = real("fresh", "north", collected_since=MADE + DAY)
HELD_OUT = real("held-out", "west")
LINEAGE = Lineage((R0, M1, S1, FRESH, HELD_OUT))
MIX = Mix(
    site="east",
    product=Origin.MODEL,
    inputs=(portion("s1", 100), portion("r0", 100), portion("fresh", 300, "500")),
    evaluation=("held-out",),
    canaries={"tail-mass": Decimal(1)},
    epsilon=Decimal("0.5"),
)


def with_nodes(*nodes: Node) -> Lineage:
    """LINEAGE with some nodes added or put in another's place."""
    return Lineage(
        tuple(({node.id: node for node in LINEAGE.nodes} | {n.id: n for n in nodes}).values())
    )


def report(mix: Mix = MIX, lineage: Lineage = LINEAGE, **bounds: Any) -> DietReport:
    return assess(mix, lineage, replace(POLICY, **bounds), NOW)


def finding(rule: str, *args: Any, **bounds: Any) -> DietFinding:
    return next(each for each in report(*args, **bounds).findings if each.rule == rule)


def open_rules(mix: Mix = MIX, lineage: Lineage = LINEAGE, **bounds: Any) -> set[str]:
    return {each.rule for each in report(mix, lineage, **bounds).failed}


def test_a_balanced_mix_satisfies_every_rule_and_needs_no_plan() -> None:
    found = report()
    assert found.balanced is True
    assert [each.rule for each in found.findings] == [f"D{n}" for n in range(1, 11)] + ["licence"]
    assert found.failed == ()
    assert (found.depth_max, found.depth_mean) == (1, Fraction(1, 5))
    assert found.depth_mean_by_weight == Fraction(1, 7)
    assert (found.real_share, found.fresh_share) == (Fraction(4, 5), Fraction(3, 5))
    assert found.fresh_weight == Fraction(5, 7)
    planned = plan(MIX, LINEAGE, POLICY, NOW)
    assert (planned.leave_out, planned.put_back, planned.for_a_person) == ((), (), ())
    assert (planned.more_fresh_rows, planned.fresh_weight_factor) == (0, 1)


def test_every_finding_has_a_remedy_and_the_defaults_are_the_documented_ones() -> None:
    assert all(each.remedy and each.bound and each.actual for each in report().findings)
    assert (POLICY.g_max, POLICY.g_max_waived) == (1, 2)
    assert (POLICY.fresh_share, POLICY.fresh_weight) == (Decimal("0.5"), Decimal("0.618"))
    assert POLICY.licensed_share == 1


@pytest.mark.parametrize(
    ("verdicts", "balanced"),
    [
        ((True, True), True),
        ((True, None), None),
        ((None, False), False),
        ((False, True), False),
        ((), None),
    ],
)
def test_a_diet_is_as_balanced_as_its_worst_rule(verdicts: Any, balanced: bool | None) -> None:
    findings = tuple(DietFinding("D0", "", "", each, "") for each in verdicts)
    found = replace(report(), findings=findings)
    assert found.balanced is balanced
    assert len(found.failed) == sum(each is not True for each in verdicts)


@pytest.mark.parametrize(
    ("product", "waiver", "g_max", "depth", "satisfied"),
    [
        (Origin.MODEL, None, 1, 1, True),
        (Origin.MODEL, None, 0, 1, False),
        (Origin.SYNTHETIC, None, 1, 2, False),
        (Origin.SYNTHETIC, "waiver-7", 1, 2, True),
        (Origin.SYNTHETIC, "", 1, 2, False),
        (Origin.SYNTHETIC, None, 2, 2, True),
    ],
)
def test_d1_a_product_is_at_most_so_many_generations_deep(
    product: Origin, waiver: str | None, g_max: int, depth: int, satisfied: bool
) -> None:
    mix = replace(MIX, product=product, waiver=waiver)
    found = report(mix, g_max=g_max)
    assert found.depth_max == depth
    assert found.findings[0].satisfied is satisfied


def test_d1_a_model_carries_a_generation_and_a_synthesis_adds_one() -> None:
    chain = with_nodes(model("m2", "s1", "r0"), synthetic("s2", "m2"), synthetic("s3", "s2", "r0"))
    for name, depth in (("r0", 0), ("m1", 0), ("s1", 1), ("m2", 1), ("s2", 2), ("s3", 3)):
        mix = replace(MIX, inputs=(portion(name),))
        assert report(mix, chain).depth_max == depth


@pytest.mark.parametrize(
    ("rows", "weights", "least", "satisfied"),
    [
        ((100, 100, 200), ("0.382", "0", "0.618"), 300, True),
        ((101, 100, 200), ("0.382", "0", "0.618"), 300, False),
        ((100, 100, 200), ("0.383", "0", "0.618"), 300, False),
        ((100, 100, 200), ("0.382", "0", "0.618"), 301, False),
        ((0, 0, 0), ("1", "0", "9"), 0, None),
        ((1, 1, 9), ("0", "0", "0"), 0, None),
    ],
)
def test_d2_enough_of_it_is_fresh_and_real(
    rows: Any, weights: Any, least: int, satisfied: bool | None
) -> None:
    names = ("s1", "r0", "fresh")
    inputs = tuple(portion(*each) for each in zip(names, rows, weights, strict=True))
    mix = replace(MIX, inputs=inputs)
    assert finding("D2", mix, minimum_real_rows=least).satisfied is satisfied


@pytest.mark.parametrize(
    ("since", "fresh"), [(MADE + timedelta(seconds=1), True), (MADE, False), (None, False)]
)
def test_d2_fresh_means_collected_after_the_last_synthesis(since: Any, fresh: bool) -> None:
    lineage = with_nodes(replace(FRESH, collected_since=since))
    assert report(MIX, lineage).fresh_share == (Fraction(3, 5) if fresh else 0)


def test_d2_the_last_synthesis_is_the_latest_anywhere_behind_the_mix() -> None:
    older = synthetic("s0", "m1", made_at=MADE - 9 * DAY)
    lineage = with_nodes(older, replace(S1, made_at=MADE), model("m2", "s1", "s0", "r0"))
    mix = replace(MIX, inputs=(*MIX.inputs, portion("m2", 0)))
    assert report(mix, lineage).fresh_share == Fraction(3, 5)
    assert report(mix, with_nodes(older, model("m2", "s0", "r0"))).fresh_share == Fraction(3, 5)
    newest = replace(older, made_at=MADE + DAY)
    later = with_nodes(newest, model("m2", "s1", "s0", "r0"))
    assert report(mix, later).fresh_share == 0


def test_d2_where_a_synthesis_is_undated_nothing_is_known_to_be_fresh() -> None:
    assert report(MIX, with_nodes(replace(S1, made_at=None))).fresh_share == 0
    unknown = replace(MIX, inputs=(*MIX.inputs, portion("nobody-knows", 0)))
    assert report(unknown).fresh_share == 0


def test_d2_without_any_synthesis_all_real_data_are_fresh() -> None:
    old = replace(MIX, inputs=(portion("r0"),))
    assert report(old, with_nodes(replace(R0, collected_since=None))).fresh_share == 1
    assert report(old).balanced is True


def test_d3_generation_0_is_in_every_later_training() -> None:
    replaced = replace(MIX, inputs=(portion("s1", 100), portion("fresh", 300)))
    found = finding("D3", replaced)
    assert (found.satisfied, found.actual) == (False, "missing: r0")
    assert plan(replaced, LINEAGE, POLICY, NOW).put_back == ("r0",)


def test_d3_an_earlier_training_that_dropped_it_is_named() -> None:
    dropping = with_nodes(model("m2", "s1"), synthetic("s2", "m2"))
    mix = replace(MIX, inputs=(*MIX.inputs, portion("s2")))
    found = finding("D3", mix, dropping)
    assert (found.satisfied, found.actual) == (False, "missing: m2")
    kept = with_nodes(model("m2", "s1", "r0"), synthetic("s2", "m2"))
    assert finding("D3", mix, kept).satisfied is True
    assert finding("D3", replace(mix, inputs=(portion("s2"), portion("fresh"))), kept).actual == (
        "missing: r0"
    )


def test_d3_a_release_from_several_models_asks_for_what_all_of_them_learned() -> None:
    lineage = with_nodes(
        real("r1", "west"), model("m2", "r1"), synthetic("s2", "m1", "m2"),
        model("m3", "s2", "r0"), model("m4", "s2", "r0", "r1"),
    )  # fmt: skip
    both = replace(MIX, inputs=(portion("s2"), portion("r0"), portion("fresh", 300)))
    assert finding("D3", both, lineage).actual == "missing: r1"
    full = replace(both, inputs=(*both.inputs, portion("r1")))
    assert finding("D3", full, lineage).satisfied is True
    for name, satisfied in (("m3", False), ("m4", True)):
        mix = replace(full, inputs=(*full.inputs, portion(name, 0)))
        assert finding("D3", mix, lineage).satisfied is satisfied


def test_d3_synthesis_from_synthesis_alone_is_replacement() -> None:
    mix = replace(MIX, inputs=(*MIX.inputs, portion("s2")))
    assert finding("D3", mix, with_nodes(synthetic("s2", "s1"))).actual == "missing: s2"


def test_d3_data_that_joined_later_may_leave_again() -> None:
    lineage = with_nodes(model("m2", "s1", "r0", "fresh"), synthetic("s2", "m2"))
    mix = replace(MIX, inputs=(portion("s2"), portion("r0"), portion("held-out", 300)))
    assert finding("D3", mix, lineage).satisfied is True


@pytest.mark.parametrize(
    "lineage",
    [
        Lineage(tuple(node for node in LINEAGE.nodes if node.id != "s1")),
        with_nodes(replace(S1, inputs=())),
        Lineage(tuple(node for node in LINEAGE.nodes if node.id != "m1")),
    ],
)
def test_d4_what_nobody_can_trace_counts_as_synthetic(lineage: Lineage) -> None:
    found = report(MIX, lineage)
    assert found.findings[3].satisfied is False
    assert found.real_share == Fraction(4, 5)
    assert found.fresh_share == 0
    assert plan(MIX, lineage, POLICY, NOW).leave_out == ("s1",)


@pytest.mark.parametrize("g_max", [0, 1, 2])
def test_d4_its_depth_is_the_deepest_that_is_allowed(g_max: int) -> None:
    mix = replace(MIX, inputs=(portion("nobody-knows"),))
    assert report(mix, g_max=g_max).depth_max == g_max
    made = replace(mix, product=Origin.SYNTHETIC)
    assert report(made, g_max=g_max).depth_max == g_max + 1
    assert finding("D1", made, g_max=g_max).satisfied is False


@pytest.mark.parametrize(
    ("held_out", "satisfied"),
    [
        (("held-out",), True),
        (("held-out", "s1"), False),
        (("fresh",), False),
        (("held-out", "r0"), False),
        (("nobody-knows",), False),
        ((), None),
        (None, None),
    ],
)
def test_d5_evaluation_is_on_real_data_that_nothing_saw(
    held_out: Any, satisfied: bool | None
) -> None:
    assert finding("D5", replace(MIX, evaluation=held_out)).satisfied is satisfied


def test_d5_what_only_a_generator_saw_was_seen() -> None:
    seen = replace(MIX, inputs=(portion("s1"), portion("fresh", 300)), evaluation=("r0",))
    assert finding("D5", seen).satisfied is False


@pytest.mark.parametrize(
    ("measured", "satisfied"),
    [
        ({"tail-mass": Decimal("0.8")}, True),
        ({"tail-mass": Decimal("0.79")}, False),
        ({"tail-mass": Decimal("1.25")}, True),
        ({"tail-mass": Decimal("1.26")}, False),
        ({}, None),
        ({"another": Decimal(1)}, None),
    ],
)
def test_d6_tails_stay_near_those_of_generation_0(measured: Any, satisfied: bool | None) -> None:
    assert finding("D6", replace(MIX, canaries=measured)).satisfied is satisfied


def test_d6_one_bad_canary_outweighs_one_that_was_not_measured() -> None:
    two = (*POLICY.canaries, Tolerance("recall", Decimal("0.9"), Decimal(1)))
    bad = replace(MIX, canaries={"recall": Decimal("0.5")})
    assert finding("D6", bad, canaries=two).actual == "outside: recall"
    assert finding("D6", bad, canaries=two).satisfied is False
    assert finding("D6", MIX, canaries=two).actual == "not measured: recall"


def test_d6_real_data_need_no_canaries_and_unknown_data_do() -> None:
    only_real = replace(MIX, inputs=(portion("r0"),), canaries={})
    assert finding("D6", only_real).satisfied is True
    unknown = replace(only_real, inputs=(portion("nobody-knows"),))
    assert finding("D6", unknown).satisfied is None


@pytest.mark.parametrize(
    ("declared", "satisfied"),
    [("none", True), ("implausible rows removed", True), ("", False), (None, False)],
)
def test_d7_a_release_declares_its_filter(declared: Any, satisfied: bool) -> None:
    lineage = with_nodes(replace(S1, quality_filter=declared))
    assert finding("D7", MIX, lineage).satisfied is satisfied
    behind = replace(MIX, inputs=(portion("s2"), *MIX.inputs[1:]))
    lineage = with_nodes(
        replace(S1, quality_filter=declared), model("m2", "s1", "r0"), synthetic("s2", "m2")
    )
    assert finding("D7", behind, lineage).satisfied is satisfied
    assert plan(behind, lineage, replace(POLICY, g_max=2), NOW).leave_out == (
        () if satisfied else ("s2",)
    )


@pytest.mark.parametrize(
    ("made", "satisfied"),
    [
        (NOW - 90 * DAY, True),
        (NOW - 90 * DAY - timedelta(seconds=1), False),
        (NOW, True),
        (NOW + timedelta(seconds=1), False),
        (None, None),
    ],
)
def test_d8_a_release_has_a_best_before(made: Any, satisfied: bool | None) -> None:
    lineage = with_nodes(replace(S1, made_at=made))
    assert finding("D8", MIX, lineage).satisfied is satisfied
    assert plan(MIX, lineage, POLICY, NOW).leave_out == (() if satisfied else ("s1",))


def test_d8_an_expired_release_outweighs_an_undated_one() -> None:
    lineage = with_nodes(replace(S1, made_at=None), synthetic("s2", "m1", made_at=NOW - 900 * DAY))
    mix = replace(MIX, inputs=(*MIX.inputs, portion("s2")))
    assert finding("D8", mix, lineage).satisfied is False
    unknown = replace(MIX, inputs=(*MIX.inputs, portion("nobody-knows")))
    assert finding("D8", unknown).satisfied is None


def test_d9_a_site_does_not_learn_from_others_what_they_learned_from_it() -> None:
    found = finding("D9", replace(MIX, site="south"))
    assert (found.satisfied, found.actual) == (False, "hub:s1 <- hub:m1 <- south:r0")
    assert plan(replace(MIX, site="south"), LINEAGE, POLICY, NOW).leave_out == ("s1",)
    assert finding("D9", replace(MIX, site="north")).satisfied is True
    assert finding("D9", replace(MIX, site="elsewhere")).actual == "no loop"


def test_d9_own_synthetic_data_are_no_loop_across_sites() -> None:
    own = with_nodes(replace(M1, site="south"), replace(S1, site="south"))
    assert finding("D9", replace(MIX, site="south"), own).satisfied is True


def test_d9_an_earlier_loop_between_others_is_named_too() -> None:
    lineage = with_nodes(model("m2", "s1", "r0", site="south"), synthetic("s2", "m2", site="south"))
    mix = replace(MIX, inputs=(*MIX.inputs, portion("s2")))
    found = finding("D9", mix, lineage)
    assert found.actual == "south:m2 <- hub:s1 <- hub:m1 <- south:r0"
    assert plan(mix, lineage, replace(POLICY, g_max=2), NOW).leave_out == ("s2",)


def test_d9_a_graph_that_bites_its_tail_is_named_and_refused() -> None:
    lineage = with_nodes(synthetic("s1", "m1"), model("m1", "s2", "r0"), synthetic("s2", "s1"))
    found = report(MIX, lineage)
    assert found.findings[8].actual == "hub:s1 <- hub:m1 <- hub:s2 <- hub:s1"
    assert found.balanced is False
    assert found.findings[0].satisfied is False
    assert found.fresh_share == 0
    assert plan(MIX, lineage, POLICY, NOW).leave_out == ("s1",)


def test_d9_a_thing_made_from_itself_is_a_cycle() -> None:
    lineage = with_nodes(synthetic("s1", "s1"))
    assert finding("D9", MIX, lineage).actual == "hub:s1 <- hub:s1"


@pytest.mark.parametrize(("epsilon", "satisfied"), [("0.000001", True), ("0", False), (None, None)])
def test_d10_training_on_real_data_is_charged(epsilon: Any, satisfied: bool | None) -> None:
    charged = replace(MIX, epsilon=None if epsilon is None else Decimal(epsilon))
    assert finding("D10", charged).satisfied is satisfied
    free = replace(charged, inputs=(portion("s1"), portion("m1")))
    assert finding("D10", free).satisfied is True
    assert touches_real(LINEAGE, charged.inputs)
    assert not touches_real(LINEAGE, free.inputs)
    assert touches_real(LINEAGE, (portion("nobody-knows"),))
    assert report(replace(free, product=Origin.SYNTHETIC)).depth_max == 2


@pytest.mark.parametrize(
    ("epsilon", "satisfied"), [("0.000001", True), ("0", False), (None, False)]
)
def test_d10_so_were_earlier_ones(epsilon: Any, satisfied: bool) -> None:
    spent = None if epsilon is None else Decimal(epsilon)
    lineage = with_nodes(replace(M1, epsilon=spent), replace(S1, epsilon=None))
    found = finding("D10", MIX, lineage)
    assert found.satisfied is satisfied
    assert satisfied or found.actual == "uncharged: m1"
    assert plan(MIX, lineage, POLICY, NOW).leave_out == (() if satisfied else ("s1",))


@pytest.mark.parametrize(
    ("share", "satisfied"), [("0.8", True), ("0.81", False), ("1", False), ("0", True)]
)
def test_enough_of_it_is_licensed(share: str, satisfied: bool) -> None:
    lineage = with_nodes(replace(S1, licence=None))
    found = finding("licence", MIX, lineage, licensed_share=Decimal(share))
    assert (found.satisfied, found.actual) == (satisfied, "0.800")
    policy = replace(POLICY, licensed_share=Decimal(share))
    assert plan(MIX, lineage, policy, NOW).leave_out == (() if satisfied else ("s1",))
    assert finding("licence", replace(MIX, inputs=())).satisfied is None


def test_what_no_change_of_the_inputs_heals_is_for_a_person() -> None:
    bare = replace(MIX, evaluation=None, canaries={}, epsilon=None)
    assert plan(bare, LINEAGE, POLICY, NOW).for_a_person == ("D5", "D6", "D10")
    assert open_rules(bare) == {"D5", "D6", "D10"}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"fresh_share": Decimal("1.01")}, "DIET_POLICY"),
        ({"fresh_weight": Decimal("-0.01")}, "DIET_POLICY"),
        ({"licensed_share": Decimal(2)}, "DIET_POLICY"),
        ({"g_max": 3}, "DIET_POLICY"),
        ({"g_max": -1}, "DIET_POLICY"),
        ({"minimum_real_rows": -1}, "DIET_POLICY"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        replace(POLICY, **changed)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: replace(MIX, product=Origin.REAL), "DIET_MIX"),
        (lambda: replace(MIX, inputs=(portion("s1"), portion("s1"))), "DIET_MIX"),
        (lambda: portion("s1", -1), "LINEAGE_ROWS"),
        (lambda: Portion("s1", True, Decimal(1)), "LINEAGE_ROWS"),
        (lambda: portion("s1", 1, "-1"), "LINEAGE_WEIGHT"),
        (lambda: portion("s1", 1, "NaN"), "LINEAGE_WEIGHT"),
        (lambda: replace(R0, inputs=(portion("s1"),)), "LINEAGE_REAL"),
        (lambda: replace(S1, made_at=datetime(2026, 1, 1)), "LINEAGE_TIME"),  # noqa: DTZ001
        (lambda: Lineage((R0, R0)), "LINEAGE_TWICE"),
        (
            lambda: model("m", *(f"r{n}" for n in range(MAX_INPUTS + 1))),
            "LINEAGE_INPUTS",
        ),
        (
            lambda: Lineage(tuple(real(f"r{n}", f"site-{n}") for n in range(MAX_SITES + 1))),
            "LINEAGE_SITES",
        ),
    ],
)
def test_a_graph_or_a_mix_that_makes_no_sense_is_refused(build: Any, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        build()
    assert caught.value.code == code
