"""Policies and requests in sentences: nothing that restricts is left unsaid."""

from decimal import Decimal

import pytest
from builders import RESEARCH, facts, permit, policy, request

from policies import privacy
from policies.describe import describe, describe_request
from policies.odrl.describe import describe_odrl
from policies.odrl.lower import lower
from policies.odrl.model import (
    Action,
    Asset,
    AssetCollection,
    Constraint,
    Duty,
    LogicalConstraint,
    Party,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.odrl.terms import COMMENSAL, ODRL, Conflict, LogicalOperator, Operator
from policies.odrl.write import write

COUNT = Constraint(ODRL + "count", Operator.LTEQ, Decimal(5))
USE = Scope((Action(ODRL + "use"),), (Asset("urn:x"),), (), (Party("urn:me"),))


def test_every_bound_of_a_policy_is_said() -> None:
    said = "\n".join(describe(policy(approval="person", minimum_cohort=77, hours_per_job=99)))
    for words in (
        "north/research version 1", "north/flchain", "2026-11-21 12:00", "2026-11-23 12:00",
        "scientific-research", "Art. 53(1)(e)", "training.logistic", "age and died", "model",
        "at least 3 hospitals".capitalize(), "77 people", "1.0", "2.0", "0.00001", "99 hours",
        "Somebody at the hospital approves",
    ):  # fmt: skip
        assert words in said, words


def test_rules_in_odrl_are_said_as_well() -> None:
    text = write(lower(policy(minimum_cohort=123))).decode()
    said = describe(policy(rules=text))
    assert "Its rules in ODRL must permit a job as well" in said
    assert any("cohortSize is at least 123" in sentence for sentence in said)


@pytest.mark.parametrize("operator", list(Operator))
def test_every_operator_has_words(operator: Operator) -> None:
    odrl = Policy("urn:a", permissions=(Permission(USE, (Constraint("urn:l", operator, "v"),)),))
    (said,) = describe_odrl(odrl)
    assert said.startswith("Permission: use of urn:x by urn:me, if urn:l is") or "contains" in said
    assert said.endswith(" v")


@pytest.mark.parametrize(
    ("operator", "word"),
    [
        (LogicalOperator.AND, " and "),
        (LogicalOperator.OR, " or "),
        (LogicalOperator.XONE, " or else "),
        (LogicalOperator.AND_SEQUENCE, ", and then "),
    ],
)
def test_every_combination_has_words(operator: LogicalOperator, word: str) -> None:
    other = Constraint(COMMENSAL + "epsilon", Operator.LT, Decimal("0.5"))
    odrl = Policy(
        "urn:a", permissions=(Permission(USE, (LogicalConstraint(operator, (COUNT, other)),)),)
    )
    (said,) = describe_odrl(odrl)
    assert said.endswith(f"if (count is at most 5{word}epsilon is below 0.5)")


def test_all_kinds_of_rules_and_what_narrows_them_are_said() -> None:
    odrl = Policy(
        "urn:a",
        permissions=(
            Permission(
                Scope(
                    (Action(ODRL + "use", (COUNT,)),),
                    (AssetCollection("urn:c", refinements=(COUNT,)),),
                ),
                duties=(Duty(Scope((Action(ODRL + "attribute"),)), (COUNT,)),),
            ),
        ),
        prohibitions=(Prohibition(remedies=(Duty(Scope((Action(ODRL + "delete"),))),)),),
        obligations=(Duty(Scope((Action(ODRL + "inform"),))),),
        scope=Scope(targets=(Asset("urn:shared"),)),
        inherits=("urn:parent",),
        conflict=Conflict.PROHIBIT,
    )  # fmt: skip
    assert describe_odrl(odrl) == (
        "Inherits all rules of urn:parent",
        "Permission: use, if count is at most 5 of whatever is in urn:c, if count is at most 5",
        "with the duty to attribute of urn:shared, if count is at most 5",
        "Prohibition: any action of urn:shared",
        "else the duty to delete of urn:shared",
        "Obligation: inform of urn:shared",
        "Where both a permission and a prohibition apply, the prohibition wins",
    )


def test_a_request_is_one_line_with_all_that_a_policy_may_look_at() -> None:
    granted = permit()
    spent = privacy.SampledGaussian(Decimal(10)).cost
    said = describe_request(
        request(granted, purpose=RESEARCH),
        facts(granted, spent_dataset=spent, approved=False),
        Decimal("0.00001"),
    )
    planned = privacy.spell_epsilon(privacy.epsilon(facts(granted).planned, Decimal("0.00001")))
    before = privacy.spell_epsilon(privacy.epsilon(spent, Decimal("0.00001")))
    assert said == (
        "scientific-research: training.logistic on age and died of north/flchain, for model; "
        f"4 hospitals, 100 people, epsilon {planned} after {before}, 1 hour from "
        "2026-11-22 12:00 UTC, not approved"
    )


def test_what_is_not_known_of_a_request_is_said_to_be_not_known() -> None:
    granted = permit()
    said = describe_request(
        request(granted, purpose="urn:other"), facts(granted, persons=None), Decimal("0.00001")
    )
    assert said.startswith("urn:other: ")
    assert "people not counted" in said
    assert "approved" not in said
