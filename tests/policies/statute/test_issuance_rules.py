"""A permit or an approval is about to be issued: both sides of each bound, and what is unknown."""

from datetime import UTC, datetime
from typing import Any

import pytest
from lawful import (
    ADVERTISING,
    ALL_DECLARED,
    APPLICANT,
    ASSESSMENTS,
    BODY,
    DAY,
    EDUCATION,
    NOW,
    OVERRIDE,
    RESEARCH,
    SECOND,
    STATISTICS,
    issuance,
)

from policies import purposes
from policies.statute import (
    article_51,
    article_53,
    article_54,
    article_55,
    article_62,
    article_66,
    article_67,
    article_68,
    article_71,
    people,
)
from policies.statute.facts import (
    Applicant,
    ApplicantKind,
    Assessment,
    DataFormat,
    Duty,
    Extension,
    Fee,
    NationalRule,
    Override,
    Question,
)

HEALTH = purposes.by_name("public-health").iri
POLICY = purposes.by_name("policymaking").iri
DEVICES = purposes.by_name("train-devices").iri
PRODUCTS = purposes.by_name("product-development").iri
CARE = purposes.by_name("improve-care").iri
UNION = Applicant(ApplicantKind.UNION_INSTITUTION)
MANDATED = Applicant(ApplicantKind.OTHER, mandate="ministry 7/2031")
LEAP = datetime(2032, 2, 29, 12, tzinfo=UTC)
END = datetime(2040, 3, 31, 12, tzinfo=UTC)


def at(rule: Any, **changed: Any) -> bool | None:
    verdict: bool | None = rule(issuance(**changed)).satisfied
    return verdict


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((RESEARCH,), True),
        ((RESEARCH, STATISTICS), True),
        ((DEVICES,), True),
        ((RESEARCH, ADVERTISING), False),
        ((ADVERTISING,), False),
        (("urn:other",), False),
        ((), None),
        (None, None),
    ],
)
def test_a_permit_names_purposes_of_the_law(asked: Any, expected: bool | None) -> None:
    assert at(article_53.purposes_are_listed, purposes=asked) is expected


@pytest.mark.parametrize(
    ("asked", "applicant", "expected"),
    [
        ((RESEARCH,), APPLICANT, True),
        ((RESEARCH,), None, True),
        ((EDUCATION, CARE, DEVICES), APPLICANT, True),
        ((HEALTH,), APPLICANT, False),
        ((POLICY,), APPLICANT, False),
        ((STATISTICS,), APPLICANT, False),
        ((RESEARCH, STATISTICS), APPLICANT, False),
        ((STATISTICS,), BODY, True),
        ((STATISTICS,), UNION, True),
        ((STATISTICS,), MANDATED, True),
        ((STATISTICS,), Applicant(ApplicantKind.OTHER, mandate=""), False),
        ((STATISTICS,), None, None),
        ((), BODY, None),
        (None, BODY, None),
    ],
)
def test_three_purposes_are_for_public_bodies_or_on_their_mandate(
    asked: Any, applicant: Any, expected: bool | None
) -> None:
    assert at(article_53.actor_may_pursue, purposes=asked, applicant=applicant) is expected


@pytest.mark.parametrize("missing", sorted(ALL_DECLARED))
def test_each_prohibited_use_is_declared_against(missing: str) -> None:
    declared = ALL_DECLARED - {missing}
    finding = article_54.declaration_is_complete(issuance(declared_not_to=declared))
    assert finding.satisfied is False
    assert finding.actual == f"not declared: {missing}"


def test_a_declaration_that_was_not_made_is_not_known() -> None:
    assert at(article_54.declaration_is_complete, declared_not_to=None) is None


@pytest.mark.parametrize(
    ("needed", "reference", "expected"),
    [
        (False, None, True),
        (True, "2032-17", True),
        (True, "", False),
        (True, None, False),
        (None, "2032-17", None),
    ],
)
def test_ethics_are_referred_to_where_national_law_asks(
    needed: bool | None, reference: str | None, expected: bool | None
) -> None:
    changed = {"ethics_required": needed, "ethics_reference": reference}
    assert at(article_67.ethics_reference_is_there, **changed) is expected


@pytest.mark.parametrize(
    ("point", "first"),
    [
        *((point, datetime(2029, 3, 26, tzinfo=UTC)) for point in "acdehijklnoq"),
        *((point, datetime(2031, 3, 26, tzinfo=UTC)) for point in "bfgmp"),
    ],
)
def test_a_category_applies_from_its_first_day(point: str, first: datetime) -> None:
    categories = frozenset({point})
    rule = article_51.category_applies
    assert at(rule, now=first, categories=categories) is True
    assert at(rule, now=first - SECOND, categories=categories) is False
    assert at(rule, now=first - SECOND, categories=categories, other_legal_basis="law 3") is True
    assert at(rule, now=first - SECOND, categories=categories, other_legal_basis="") is False


@pytest.mark.parametrize(
    ("categories", "expected"),
    [({"a", "r"}, False), ({"r"}, False), ({"A"}, False), (set(), None), (None, None)],
)
def test_a_category_is_one_of_the_law(categories: Any, expected: bool | None) -> None:
    asked = None if categories is None else frozenset(categories)
    assert at(article_51.category_applies, categories=asked, other_legal_basis="x") is expected


def test_one_category_that_does_not_apply_yet_is_enough() -> None:
    between = datetime(2030, 1, 1, tzinfo=UTC)
    assert at(article_51.category_applies, now=between, categories=frozenset("af")) is False
    assert at(article_51.category_applies, now=between, categories=frozenset("al")) is True


@pytest.mark.parametrize("point", "abcdefghijklmnopq")
def test_stricter_national_rules_bind_four_categories(point: str) -> None:
    unmet = (NationalRule(point, met=False),)
    expected = point not in "fgiq"
    categories = frozenset({point})
    rule = article_51.national_rules_are_met
    assert at(rule, categories=categories, national_rules=unmet) is expected
    assert at(rule, categories=categories, national_rules=None) is (True if expected else None)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), True),
        ((NationalRule("f", met=True),), True),
        ((NationalRule("f", met=None),), None),
        ((NationalRule("f", met=True), NationalRule("f", met=False)), False),
        ((NationalRule("g", met=False),), True),
        (None, None),
    ],
)
def test_national_rules_of_the_categories_asked_for_are_met(
    rules: Any, expected: bool | None
) -> None:
    changed = {"categories": frozenset("af"), "national_rules": rules}
    assert at(article_51.national_rules_are_met, **changed) is expected


def test_national_rules_are_unknown_where_categories_are() -> None:
    assert at(article_51.national_rules_are_met, categories=None, national_rules=()) is None
    unknown = frozenset({"r"})
    assert at(article_51.national_rules_are_met, categories=unknown, national_rules=None) is True


@pytest.mark.parametrize(
    ("given", "justification", "expected"),
    [
        (DataFormat.ANONYMISED, None, True),
        (DataFormat.PSEUDONYMISED, "J-1", True),
        (DataFormat.PSEUDONYMISED, "", False),
        (DataFormat.PSEUDONYMISED, None, False),
        (None, "J-1", None),
    ],
)
def test_pseudonymised_only_with_a_justification(
    given: Any, justification: str | None, expected: bool | None
) -> None:
    changed = {"data_format": given, "pseudonymisation_justified": justification}
    assert at(article_66.format_is_permitted, **changed) is expected


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        (NOW, NOW.replace(year=2042), True),
        (NOW, NOW.replace(year=2042) + SECOND, False),
        (NOW, NOW.replace(year=2042) - SECOND, True),
        (LEAP, datetime(2042, 2, 28, 12, tzinfo=UTC), True),
        (LEAP, datetime(2042, 2, 28, 12, 0, 1, tzinfo=UTC), False),
        (NOW, NOW + SECOND, True),
        (NOW, NOW, False),
        (NOW, NOW - SECOND, False),
        (None, NOW, None),
        (NOW, None, None),
    ],
)
def test_a_permit_lasts_at_most_ten_years(starts: Any, ends: Any, expected: bool | None) -> None:
    assert at(article_68.permit_period_is_lawful, starts=starts, ends=ends) is expected


def test_the_ten_years_are_those_before_the_extension() -> None:
    end = NOW.replace(year=2042)
    extension = Extension(NOW, end, NOW.replace(year=2052))
    changed = {"starts": NOW, "ends": extension.new_end, "extensions": (extension,)}
    assert at(article_68.permit_period_is_lawful, **changed) is True
    late = Extension(NOW, end + SECOND, NOW.replace(year=2052))
    assert at(article_68.permit_period_is_lawful, **changed | {"extensions": (late,)}) is False
    known = {"starts": NOW, "ends": end, "extensions": None}
    assert at(article_68.permit_period_is_lawful, **known) is True


def test_an_extension_does_not_heal_a_permit_that_ended_as_it_began() -> None:
    for end, expected in ((NOW, False), (NOW + SECOND, True)):
        extension = Extension(NOW, end, NOW + DAY)
        changed = {"starts": NOW, "ends": extension.new_end, "extensions": (extension,)}
        assert at(article_68.permit_period_is_lawful, **changed) is expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (END + DAY, True),
        (END + DAY + SECOND, False),
        (END.replace(year=2100), False),
        (END - DAY, True),  # the extension was not used, or taken back
        (END.replace(year=2035) + SECOND, True),
        (END.replace(year=2035), False),
    ],
)
def test_a_permit_ends_at_the_latest_where_its_extension_does(
    ends: datetime, expected: bool
) -> None:
    starts = END.replace(year=2035)
    extension = Extension(END - 100 * DAY, END, END + DAY)
    known = {"starts": starts, "ends": ends, "extensions": (extension,)}
    assert at(article_68.permit_period_is_lawful, **known) is expected
    two = (extension, Extension(END - 100 * DAY, END, END + DAY / 2))
    assert at(article_68.permit_period_is_lawful, **known | {"extensions": two}) is expected


@pytest.mark.parametrize(
    ("asked_at", "new_end", "expected"),
    [
        (datetime(2040, 2, 29, 12, tzinfo=UTC), END + DAY, True),  # the last day of February
        (datetime(2040, 2, 29, 12, 0, 1, tzinfo=UTC), END + DAY, False),
        (datetime(2039, 1, 1, tzinfo=UTC), END.replace(year=2050), True),
        (datetime(2039, 1, 1, tzinfo=UTC), END.replace(year=2050) + SECOND, False),
        (datetime(2039, 1, 1, tzinfo=UTC), END + SECOND, True),
        (datetime(2039, 1, 1, tzinfo=UTC), END, False),
        (datetime(2039, 1, 1, tzinfo=UTC), END - SECOND, False),
    ],
)
def test_an_extension_is_asked_for_a_month_before_and_lasts_ten_years(
    asked_at: datetime, new_end: datetime, expected: bool
) -> None:
    extension = Extension(asked_at, END, new_end)
    assert at(article_68.extension_is_lawful, extensions=(extension,)) is expected


def test_there_is_one_extension_and_no_second() -> None:
    lawful = Extension(END - 100 * DAY, END, END + DAY)
    assert at(article_68.extension_is_lawful, extensions=()) is True
    assert at(article_68.extension_is_lawful, extensions=(lawful,)) is True
    assert at(article_68.extension_is_lawful, extensions=(lawful, lawful)) is False
    assert at(article_68.extension_is_lawful, extensions=None) is None


@pytest.mark.parametrize(
    ("fee", "expected"),
    [
        (Fee(NOW - DAY, NOW), True),
        (Fee(NOW, NOW), True),
        (Fee(NOW, NOW - SECOND), False),
        (Fee(NOW - DAY, NOW + SECOND), False),
        (Fee(NOW - DAY, None), False),
        (None, None),
    ],
)
def test_a_fee_is_accepted_after_its_estimate_and_before_the_start(
    fee: Fee | None, expected: bool | None
) -> None:
    assert at(article_62.fee_is_accepted_at_issuance, fee=fee) is expected


def test_a_fee_accepted_after_the_permit_began_is_too_late() -> None:
    fee = Fee(NOW - 2 * DAY, NOW - DAY)
    rule = article_62.fee_is_accepted_at_issuance
    assert at(rule, fee=fee, starts=NOW - DAY) is True
    assert at(rule, fee=fee, starts=NOW - DAY - SECOND) is False
    assert at(rule, fee=fee, starts=None) is None


@pytest.mark.parametrize(
    ("duties", "expected"),
    [
        (((Duty.ASSESSOR, "Ada"),), True),
        (((Duty.ASSESSOR, "Ada"), (Duty.PREPARER, "Bo")), True),
        (((Duty.ASSESSOR, "Ada"), (Duty.ASSESSOR, "Bo")), True),
        (((Duty.ASSESSOR, "Ada"), (Duty.ASSESSOR, "Ada")), True),
        (((Duty.ASSESSOR, "Ada"), (Duty.PREPARER, "Ada")), False),
        (((Duty.PREPARER, "Bo"), (Duty.REVIEWER, "Bo"), (Duty.ASSESSOR, "Ada")), False),
        (((Duty.PREPARER, "Bo"),), None),
        ((), None),
        (None, None),
    ],
)
def test_who_assesses_does_nothing_else(duties: Any, expected: bool | None) -> None:
    assert at(article_55.duties_are_segregated_at_issuance, duties=duties) is expected


OVERRIDING = {
    "claims_override": True,
    "override": OVERRIDE,
    "applicant": BODY,
    "purposes": (STATISTICS,),
}


def without(question: Question) -> tuple[Assessment, ...]:
    return tuple(each for each in ASSESSMENTS if each.question is not question)


def refused(question: Question) -> tuple[Assessment, ...]:
    return (*ASSESSMENTS, Assessment(question, "Bo", positive=False, reason="no"))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"claims_override": False, "override": None}, True),
        ({"claims_override": None}, None),
        ({"override": None}, None),
        ({"applicant": None}, None),
        ({"override": Override(None, "because", not_obtainable_otherwise=True)}, False),
        ({"override": Override("", "because", not_obtainable_otherwise=True)}, False),
        ({"override": Override("law 12", None, not_obtainable_otherwise=True)}, False),
        ({"override": Override("law 12", "because", not_obtainable_otherwise=False)}, False),
        ({"override": Override("law 12", "because", not_obtainable_otherwise=None)}, None),
        ({"applicant": Applicant(ApplicantKind.PUBLIC_BODY)}, None),
        ({"applicant": Applicant(ApplicantKind.PUBLIC_BODY, public_health_task=False)}, False),
        ({"applicant": Applicant(ApplicantKind.UNION_INSTITUTION, None, True)}, True),
        ({"applicant": Applicant(ApplicantKind.OTHER, None, public_health_task=True)}, False),
        ({"applicant": Applicant(ApplicantKind.OTHER, "m-1", public_health_task=True)}, True),
        ({"purposes": (HEALTH, POLICY, STATISTICS)}, True),
        ({"purposes": (EDUCATION,)}, False),
        ({"purposes": (CARE,)}, False),
        ({"purposes": (STATISTICS, EDUCATION)}, False),
        ({"purposes": (ADVERTISING,)}, False),
        ({"purposes": ("urn:other",)}, False),
        ({"purposes": ()}, None),
        ({"purposes": None}, None),
        ({"purposes": (RESEARCH,)}, True),
        ({"purposes": (PRODUCTS,)}, True),
        ({"purposes": (DEVICES,)}, True),
        ({"purposes": (RESEARCH,), "assessments": ()}, None),
        (
            {"purposes": (RESEARCH,), "assessments": without(Question.PUBLIC_INTEREST)},
            None,
        ),
        (
            {"purposes": (RESEARCH,), "assessments": refused(Question.PUBLIC_INTEREST)},
            False,
        ),
        ({"assessments": ()}, True),
    ],
)
def test_opt_outs_are_set_aside_only_on_every_condition(
    changed: dict[str, Any], expected: bool | None
) -> None:
    assert at(article_71.override_is_lawful, **OVERRIDING | changed) is expected


@pytest.mark.parametrize(
    ("rule", "question"),
    [
        (people.use_is_necessary, Question.NECESSITY),
        (people.applicant_is_qualified, Question.QUALIFICATION),
        (people.use_is_not_detrimental, Question.DETRIMENT),
        (people.use_is_ethical, Question.ETHICS),
        (people.public_interest_is_important, Question.PUBLIC_INTEREST),
        (people.secrets_are_safe, Question.INTELLECTUAL_PROPERTY),
    ],
)
def test_what_no_machine_can_decide_waits_for_a_person(rule: Any, question: Question) -> None:
    claim = {"claims_override": True}
    assert at(rule, **claim) is True
    waiting = rule(issuance(assessments=without(question), **claim))
    assert waiting.satisfied is None
    assert waiting.actual == "waits for a person"
    assert waiting.stands_in_the_way
    assert at(rule, assessments=refused(question), **claim) is False


@pytest.mark.parametrize(
    ("person", "reason", "expected"),
    [("Ada", "looked at", True), ("", "looked at", None), ("Ada", "", None)],
)
def test_an_answer_without_a_name_or_a_reason_is_none(
    person: str, reason: str, expected: bool | None
) -> None:
    given = (Assessment(Question.ETHICS, person, positive=True, reason=reason),)
    assert at(people.use_is_ethical, assessments=given) is expected


def test_public_interest_is_weighed_only_where_opt_outs_would_be_set_aside() -> None:
    rule = people.public_interest_is_important
    assert at(rule, claims_override=False, assessments=()) is True
    assert at(rule, claims_override=None, assessments=()) is None
