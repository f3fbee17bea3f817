"""A result is about to leave: both sides of each bound, and what is unknown."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from lawful import ASSESSMENTS, BALANCED, CHECKS, DOCUMENTED, DUTIES, egress

from policies.diet import DietFinding
from policies.statute import (
    ai_act,
    article_55,
    article_61,
    article_69,
    article_73,
    article_87,
    documentation,
    people,
)
from policies.statute.facts import AccessPath, Assessment, Duty, Question

UNBALANCED = replace(BALANCED, findings=(DietFinding("D1", "", "", False, ""),))
UNDETERMINED = replace(BALANCED, findings=(DietFinding("D5", "", "", None, ""),))


def at(rule: Any, **changed: Any) -> bool | None:
    verdict: bool | None = rule(egress(**changed)).satisfied
    return verdict


def checked(rule: Any, **changed: Any) -> bool | None:
    return at(rule, checks=replace(CHECKS, **changed))


@pytest.mark.parametrize(
    ("recipients", "parties", "expected"),
    [
        (("a",), {"a", "b"}, True),
        ((), {"a"}, True),
        (("a", "c"), {"a", "b"}, False),
        (("c",), set(), False),
        (None, {"a"}, None),
        (("a",), None, None),
    ],
)
def test_only_parties_to_the_permit_receive(
    recipients: Any, parties: Any, expected: bool | None
) -> None:
    allowed = None if parties is None else frozenset(parties)
    rule = article_61.recipients_are_parties
    assert at(rule, recipients=recipients, permit_parties=allowed) is expected


@pytest.mark.parametrize(
    ("path", "output", "expected"),
    [
        (AccessPath.PERMIT, "model", True),
        (AccessPath.PERMIT, None, True),
        (AccessPath.REQUEST, "statistics", True),
        (AccessPath.REQUEST, "table", True),
        (AccessPath.REQUEST, "model", False),
        (AccessPath.REQUEST, "synthetic", False),
        (AccessPath.REQUEST, "rows", False),
        (AccessPath.REQUEST, None, None),
        (None, "statistics", None),
    ],
)
def test_a_request_is_answered_with_statistics_only(
    path: Any, output: str | None, expected: bool | None
) -> None:
    changed = {"path": path, "output": output}
    assert at(article_69.answer_is_statistical_at_egress, **changed) is expected


@pytest.mark.parametrize(
    ("output", "permitted", "expected"),
    [
        ("model", {"model"}, True),
        ("table", {"model"}, False),
        (None, {"model"}, None),
        ("model", None, None),
    ],
)
def test_the_permit_lists_the_kind_of_output(
    output: Any, permitted: Any, expected: bool | None
) -> None:
    allowed = None if permitted is None else frozenset(permitted)
    changed = {"output": output, "permitted_outputs": allowed}
    assert at(article_73.output_kind_is_allowed, **changed) is expected


def test_every_required_test_of_anonymity_was_passed() -> None:
    rule = article_73.output_checks_passed
    required = frozenset({"membership", "copies"})
    assert checked(rule, required=required) is True
    assert checked(rule, required=frozenset()) is True
    assert checked(rule, required=required | {"canaries"}) is False
    assert checked(rule, passed=frozenset()) is False
    assert at(rule, checks=None) is None


@pytest.mark.parametrize(
    ("smallest", "expected"), [(10, True), (11, True), (9, False), (0, False), (None, None)]
)
def test_every_cell_counts_at_least_k_persons(smallest: int | None, expected: bool | None) -> None:
    assert checked(article_73.cells_are_large_enough, smallest_cell=smallest) is expected
    assert at(article_73.cells_are_large_enough, checks=None) is None


@pytest.mark.parametrize(
    ("share", "expected"), [("0.5", True), ("0.49", True), ("0.51", False), (None, None)]
)
def test_no_person_makes_up_too_much_of_a_cell(share: str | None, expected: bool | None) -> None:
    largest = None if share is None else Decimal(share)
    assert checked(article_73.no_person_dominates, largest_share=largest) is expected
    assert at(article_73.no_person_dominates, checks=None) is None


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(10, True), (11, True), (9, False), (1, False), (0, True), (None, None)],
)
def test_two_outputs_do_not_differ_by_few_persons(
    difference: int | None, expected: bool | None
) -> None:
    rule = article_73.outputs_cannot_be_subtracted
    assert checked(rule, smallest_difference=difference) is expected
    assert at(rule, checks=None) is None


@pytest.mark.parametrize(
    ("reviewers", "asker", "least", "expected"),
    [
        (("Ada", "Bo"), "Cem", 2, True),
        (("Ada", "Bo", "Dee"), "Cem", 2, True),
        (("Ada", "Ada"), "Cem", 2, False),
        (("Ada", "Cem"), "Cem", 2, False),
        (("Ada",), "Cem", 1, True),
        ((), "Cem", 1, False),
        (None, "Cem", 1, None),
        (("Ada", "Bo"), None, 2, None),
        (("Ada", "Bo"), "Cem", None, None),
    ],
)
def test_an_output_is_reviewed_by_as_many_others_as_the_policy_asks(
    reviewers: Any, asker: str | None, least: int | None, expected: bool | None
) -> None:
    changed = {"reviewers": reviewers, "requested_by": asker, "minimum_reviewers": least}
    assert at(article_73.output_is_reviewed, **changed) is expected


@pytest.mark.parametrize("missing", sorted(DOCUMENTED))
def test_a_release_has_all_six_groups_of_documentation(missing: str) -> None:
    rule = documentation.documentation_is_complete
    assert at(rule, documented=DOCUMENTED) is True
    assert at(rule, documented=DOCUMENTED - {missing}) is False
    assert at(rule, documented=DOCUMENTED - {missing}, synthetic_or_model=False) is True
    assert at(rule, documented=DOCUMENTED - {missing}, synthetic_or_model=None) is False
    assert at(rule, documented=None) is None
    assert at(rule, documented=None, synthetic_or_model=False) is True


@pytest.mark.parametrize(
    ("release", "anonymous", "expected"),
    [
        (True, True, True),
        (True, False, False),
        (True, None, None),
        (False, False, True),
        (False, None, True),
        (None, None, None),
        (None, False, False),
    ],
)
def test_documentation_holds_nothing_personal(
    release: bool | None, anonymous: bool | None, expected: bool | None
) -> None:
    changed = {"synthetic_or_model": release, "documentation_is_anonymous": anonymous}
    assert at(documentation.documentation_is_anonymous, **changed) is expected


@pytest.mark.parametrize(
    ("release", "diet", "expected"),
    [
        (True, BALANCED, True),
        (True, UNBALANCED, False),
        (True, UNDETERMINED, None),
        (True, None, None),
        (None, UNBALANCED, False),
        (None, None, None),
        (False, UNBALANCED, True),
        (False, None, True),
    ],
)
def test_what_others_could_learn_from_has_a_balanced_diet(
    release: bool | None, diet: Any, expected: bool | None
) -> None:
    changed = {"synthetic_or_model": release, "diet": diet}
    assert at(ai_act.diet_is_balanced_at_egress, **changed) is expected


def test_an_unbalanced_diet_names_its_rules() -> None:
    assert ai_act.diet_is_balanced_at_egress(egress(diet=UNBALANCED)).actual == "open: D1"


def test_four_duties_are_held_by_four_persons() -> None:
    rule = article_55.duties_are_segregated_at_egress
    assert at(rule, duties=DUTIES) is True
    for index, (duty, _) in enumerate(DUTIES):
        fewer = DUTIES[:index] + DUTIES[index + 1 :]
        assert at(rule, duties=fewer) is None
        other = DUTIES[index - 1][1]
        assert at(rule, duties=(*fewer, (duty, other))) is False
    assert at(rule, duties=((Duty.PREPARER, "Bo"), (Duty.ADMINISTRATOR, "Bo"))) is False
    assert at(rule, duties=None) is None


@pytest.mark.parametrize(
    ("countries", "permitted", "small", "to_permitted", "small_stays"),
    [
        ((), set(), False, True, True),
        ((), set(), True, True, True),
        ((), set(), None, True, True),
        (("CH",), {"CH"}, False, True, True),
        (("CH",), {"CH"}, True, True, False),
        (("CH",), {"CH"}, None, True, None),
        (("CH", "US"), {"CH"}, False, False, True),
        (None, {"CH"}, False, None, True),
        (None, {"CH"}, True, None, None),
        (None, {"CH"}, None, None, None),
        (("CH",), None, False, None, True),
    ],
)
def test_third_countries_are_designated_and_small_populations_stay(
    countries: Any,
    permitted: Any,
    small: bool | None,
    to_permitted: bool | None,
    small_stays: bool | None,
) -> None:
    changed = {
        "recipient_countries": countries,
        "permitted_countries": None if permitted is None else frozenset(permitted),
        "small_population": small,
    }
    assert at(article_87.recipient_countries_are_permitted, **changed) is to_permitted
    assert at(article_87.small_populations_stay, **changed) is small_stays


def test_a_person_looks_at_what_the_output_could_do_to_others() -> None:
    against = Assessment(Question.DETRIMENT, "Bo", positive=False, reason="no")
    assert at(people.use_is_not_detrimental, assessments=()) is None
    assert at(people.use_is_not_detrimental, assessments=(*ASSESSMENTS, against)) is False
