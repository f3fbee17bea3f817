"""A diet in ODRL accepts and refuses what `policies.diet.assess` does."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_diet_properties import lineages, mixes
from test_diet_rules import (
    FRESH,
    HELD_OUT,
    LINEAGE,
    MIX,
    NOW,
    POLICY,
    R0,
    model,
    portion,
    real,
    synthetic,
    with_nodes,
)

from policies.diet import assess
from policies.lineage import Lineage
from policies.mix import DietPolicy, Mix
from policies.odrl import diet_operands
from policies.odrl.diet_operands import constraints_of, operands_of
from policies.odrl.evaluate import Evaluation, evaluate
from policies.odrl.model import Action, Asset, Constraint, Permission, Policy, Scope
from policies.odrl.read import read
from policies.odrl.satisfy import Satisfaction
from policies.odrl.terms import ODRL, Operator
from policies.odrl.world import Request, World
from policies.odrl.write import write

TRAIN = ODRL + "derive"


def rules(*constraints: Constraint) -> Policy:
    scope = Scope((Action(TRAIN),), (Asset("urn:x:mix"),))
    return Policy("urn:x:diet", permissions=(Permission(scope, constraints),))


def ask(
    policy: Policy, mix: Mix, lineage: Lineage = LINEAGE, diet: DietPolicy = POLICY
) -> Evaluation:
    operands = operands_of(assess(mix, lineage, diet, NOW), mix, lineage)
    request = Request("urn:x:request", TRAIN, target="urn:x:mix")
    return evaluate(policy, request, World(now=NOW, operands=operands))


def agree(mix: Mix, lineage: Lineage = LINEAGE, diet: DietPolicy = POLICY) -> bool:
    """Whether both say the same; returns what they say."""
    by_rules = assess(mix, lineage, diet, NOW).balanced is True
    policy = rules(*constraints_of(diet, waived=mix.waiver is not None))
    by_odrl = ask(policy, mix, lineage, diet).permitted
    assert by_odrl is by_rules
    return by_rules


def with_inputs(*inputs: Any, **changed: Any) -> Mix:
    return replace(MIX, inputs=inputs, **changed)


UNKNOWN = portion("who-knows")
ZERO = portion("r0", 100, "0")
S2 = synthetic("s2", "s1", "r0", "fresh")
UNLICENSED = real("unlicensed", licence=None, collected_since=NOW)
OTHER = real("other", licence="permit-2", collected_since=NOW)


@pytest.mark.parametrize(
    ("mix", "expected"),
    [
        (MIX, True),
        (with_inputs(portion("fresh", 100), portion("r0", 100)), True),
        (with_inputs(portion("fresh", 99)), False),  # one real row too few
        (with_inputs(portion("fresh", 100)), True),
        (with_inputs(portion("s1", 101), portion("r0", 199, "1"), portion("fresh", 299, "500")),
         False),  # fresh share just below a half
        (with_inputs(portion("s1", 100), portion("r0", 200, "1"), portion("fresh", 300, "500")),
         True),  # exactly a half
        (with_inputs(portion("s1", 100, "382"), ZERO, portion("fresh", 300, "618")), True),
        (with_inputs(portion("s1", 100, "383"), ZERO, portion("fresh", 300, "618")), False),
        (with_inputs(portion("s2", 10), portion("r0"), portion("fresh", 400)), False),  # too deep
        (replace(MIX, inputs=(*MIX.inputs, UNKNOWN)), False),
        (replace(MIX, inputs=(*MIX.inputs, portion("unlicensed", 1))), False),
        (replace(MIX, inputs=(*MIX.inputs, portion("unlicensed", 0))), True),
        (replace(MIX, inputs=(*MIX.inputs, portion("other", 1))), False),
        (with_inputs(portion("s1", 100), portion("fresh", 400)), False),  # generation 0 dropped
        (replace(MIX, evaluation=None), False),
        (replace(MIX, evaluation=("r0",)), False),
        (replace(MIX, canaries={}), False),
        (replace(MIX, epsilon=None), False),
        (with_inputs(), False),
    ],
)  # fmt: skip
def test_a_mix_is_accepted_by_both_or_by_none(mix: Mix, expected: bool) -> None:
    assert agree(mix, with_nodes(S2, UNLICENSED, OTHER)) is expected


def test_a_waiver_goes_one_generation_deeper_in_both() -> None:
    lineage = with_nodes(S2)
    deep = with_inputs(portion("s2", 10), portion("r0"), portion("fresh", 400))
    assert agree(deep, lineage) is False
    assert agree(replace(deep, waiver="decision-7"), lineage) is True


def test_a_licensed_share_below_one_is_asked_for_by_name() -> None:
    diet = replace(POLICY, licensed_share=Decimal("0.9"))
    lineage = with_nodes(OTHER)
    assert agree(replace(MIX, inputs=(*MIX.inputs, portion("other", 50))), lineage, diet) is True
    assert agree(replace(MIX, inputs=(*MIX.inputs, portion("other", 60))), lineage, diet) is False
    assert agree(MIX, LINEAGE, replace(POLICY, licences=frozenset())) is False


SHARES = st.integers(0, 20).map(lambda n: Decimal(n) / 20)
DIETS = st.builds(
    lambda share, weight, least, licensed, deepest: replace(
        POLICY, fresh_share=share, fresh_weight=weight, minimum_real_rows=least,
        licensed_share=licensed, g_max=deepest, canaries=(),
    ),
    SHARES, SHARES, st.integers(0, 800), st.sampled_from([Decimal(1), Decimal("0.5")]),
    st.integers(0, 2),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.data(), DIETS)
def test_every_mix_is_accepted_by_both_or_by_none(data: st.DataObject, diet: DietPolicy) -> None:
    lineage = data.draw(lineages())
    held_out = real("held-out")
    whole = Lineage((*lineage.nodes, held_out))
    mix = data.draw(mixes(lineage))
    agree(replace(mix, evaluation=("held-out",)), whole, diet)


@pytest.mark.parametrize(
    ("operand", "operator", "bound", "expected"),
    [
        ("GENERATION_DEPTH", Operator.LTEQ, "1", True),
        ("GENERATION_DEPTH", Operator.LT, "1", False),
        ("FRESH_REAL_SHARE", Operator.GTEQ, "0.6", True),
        ("FRESH_REAL_SHARE", Operator.GT, "0.6", False),
        ("FRESH_REAL_WEIGHT", Operator.GTEQ, "0.714", True),
        ("FRESH_REAL_WEIGHT", Operator.GTEQ, "0.715", False),
        ("REAL_ROWS", Operator.GTEQ, "400", True),
        ("REAL_ROWS", Operator.GTEQ, "401", False),
        ("UNKNOWN_PROVENANCE", Operator.EQ, "0", True),
    ],
)
def test_each_bound_alone_is_usable_from_both_sides(
    operand: str, operator: Operator, bound: str, expected: bool
) -> None:
    left = getattr(diet_operands, operand)
    policy = rules(Constraint(left, operator, Decimal(bound)))
    assert read(write(policy)) == policy
    assert ask(policy, MIX).permitted is expected


@pytest.mark.parametrize(
    ("held", "of", "expected"), [(1, 3, False), (1, 2, True), (333333333333, 10**12, False)]
)
def test_no_share_reaches_a_bound_by_rounding(held: int, of: int, expected: bool) -> None:
    mix = with_inputs(
        portion("s1", of - held, "0"), portion("r0", 0, "0"), portion("fresh", held, "1")
    )  # fmt: skip
    report = assess(mix, LINEAGE, POLICY, NOW)
    assert report.fresh_share == Fraction(held, of)
    bound = Decimal("0." + "3" * 29 + "4")
    policy = rules(Constraint(diet_operands.FRESH_REAL_SHARE, Operator.GTEQ, bound))
    assert ask(policy, mix).permitted is (expected or Fraction(held, of) >= Fraction(bound))


def test_what_is_not_known_is_unknown_and_permits_nothing() -> None:
    policy = rules(Constraint(diet_operands.FRESH_REAL_SHARE, Operator.GTEQ, Decimal(0)))
    found = ask(policy, with_inputs())
    assert found.permitted is False
    assert found.rules[0].applies is Satisfaction.UNKNOWN
    licence = rules(Constraint(diet_operands.LICENCE, Operator.NEQ, "permit-9"))
    lineage = with_nodes(UNLICENSED)
    assert (
        ask(licence, replace(MIX, inputs=(*MIX.inputs, portion("unlicensed"))), lineage)
        .rules[0]
        .applies
        is Satisfaction.UNKNOWN
    )


def test_a_licence_may_be_an_iri() -> None:
    iri = "https://creativecommons.org/licenses/by/4.0/"
    diet = replace(POLICY, licences=frozenset({iri, "permit-1"}))
    open_data = real("open", licence=iri, collected_since=NOW)
    mix = replace(MIX, inputs=(*MIX.inputs, portion("open", 10)))
    assert agree(mix, with_nodes(open_data), diet) is True
    assert agree(mix, with_nodes(open_data)) is False


def test_unknown_things_behind_an_input_count_as_well() -> None:
    lineage = with_nodes(synthetic("odd", "who-knows"), model("m9", "odd"))
    mix = replace(MIX, inputs=(*MIX.inputs, portion("odd", 1)))
    operands = operands_of(assess(mix, lineage, POLICY, NOW), mix, lineage)
    assert operands[diet_operands.UNKNOWN_PROVENANCE] == (Decimal(1),)
    assert {R0.id, FRESH.id, HELD_OUT.id} <= set(lineage.by_id)


def test_a_whole_diet_survives_reading_and_writing() -> None:
    policy = rules(*constraints_of(POLICY))
    assert read(write(policy)) == policy
