"""A job stands at a node's gate: both sides of each bound, and what is unknown."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from lawful import (
    ACTOR,
    ADVERTISING,
    ALL_DECLARED,
    BALANCED,
    BODY,
    DAY,
    MACHINE,
    NOW,
    OVERRIDE,
    PERMIT,
    RESEARCH,
    SCOPE,
    SECOND,
    STATISTICS,
    admission,
    opt_out,
)

from policies.diet import DietFinding
from policies.errors import PolicyError
from policies.privacy import NOTHING, Budget, SampledGaussian
from policies.statute import (
    ai_act,
    article_51,
    article_52,
    article_53,
    article_54,
    article_61,
    article_62,
    article_63,
    article_66,
    article_68,
    article_69,
    article_71,
    article_73,
    article_87,
    privacy_budget,
    secure_aggregation,
)
from policies.statute.facts import (
    AccessPath,
    DataFormat,
    Fee,
    IdentityAssurance,
    KeyHolder,
    OptOuts,
    SecureSum,
    SecureSumLimits,
    Spending,
)

DECIDED = NOW - DAY


def at(rule: Any, **changed: Any) -> bool | None:
    verdict: bool | None = rule(admission(**changed)).satisfied
    return verdict


def engine(rule: Any, **changed: Any) -> bool | None:
    moment = admission(**changed)
    verdict: bool | None = rule(moment.request, moment.facts).satisfied
    return verdict


@pytest.mark.parametrize(
    ("newest", "expected"), [(PERMIT.digest, True), ("sha256:other", False), (None, None)]
)
def test_a_permit_that_was_replaced_does_not_entitle(newest: Any, expected: bool | None) -> None:
    assert at(article_68.permit_is_the_newest, newest_permit_digest=newest) is expected


@pytest.mark.parametrize("state", ["granted", "amended", "renewed", "revoked", "expired"])
def test_three_states_of_a_permit_entitle_and_two_do_not(state: str) -> None:
    permit = PERMIT.model_validate(PERMIT.model_dump() | {"state": state})
    changed = {"facts": {"permit": permit}, "request": {"permit_digest": permit.digest}}
    expected = state in {"granted", "amended", "renewed"}
    assert engine(article_68.permit_is_in_force, **changed) is expected
    assert engine(article_68.permit_is_in_force, facts={"permit": permit}) is (state == "granted")


@pytest.mark.parametrize(
    ("now", "deadline", "expected"),
    [
        (PERMIT.not_before, NOW, True),
        (PERMIT.not_before - SECOND, NOW, False),
        (PERMIT.not_after - SECOND, PERMIT.not_after, True),
        (PERMIT.not_after, PERMIT.not_after, False),
        (NOW, PERMIT.not_after + SECOND, False),
    ],
)
def test_a_permit_covers_the_job_from_its_start_to_its_deadline(
    now: datetime, deadline: datetime, expected: bool
) -> None:
    changed = {"facts": {"now": now}, "request": {"not_after": deadline}}
    assert engine(article_68.permit_covers_the_date, **changed) is expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"purpose": STATISTICS}, False),
        ({"data_user": "somebody else"}, False),
    ],
)
def test_a_permit_covers_its_own_purpose_and_user(changed: Any, expected: bool) -> None:
    assert engine(article_68.permit_covers_the_use, request=changed) is expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"dataset": "north/other"}, False),
        ({"datasets": ("north/flchain", "east/flchain")}, False),
        ({"columns": ("age", "sex")}, False),
        ({"tasks": ("training.mlp",)}, False),
        ({"output": "table"}, False),
    ],
)
def test_a_permit_covers_what_it_lists(changed: Any, expected: bool) -> None:
    assert engine(article_68.permit_covers_the_scope, request=changed) is expected


@pytest.mark.parametrize(
    ("datasets", "expected"),
    [
        (("north/flchain", "south/flchain"), True),
        (("north/flchain",), False),
        (("a/x", "b/x", "c/x"), True),
    ],
)
def test_as_many_hospitals_take_part_as_the_permit_asks(datasets: Any, expected: bool) -> None:
    changed = {"datasets": datasets}
    assert engine(article_68.enough_hospitals_take_part, request=changed) is expected


def test_without_a_permit_what_rests_on_it_is_refused() -> None:
    for rule in (
        article_68.permit_is_in_force,
        article_68.permit_covers_the_date,
        article_68.permit_covers_the_use,
        article_68.permit_covers_the_scope,
        article_68.enough_hospitals_take_part,
    ):
        assert engine(rule, facts={"permit": None}) is False


@pytest.mark.parametrize(
    ("iri", "listed", "point"),
    [
        (RESEARCH, True, "ehds.art54"),
        (ADVERTISING, False, "ehds.art54.c"),
        ("urn:other", False, "ehds.art54"),
    ],
)
def test_a_purpose_is_listed_and_not_prohibited(iri: str, listed: bool, point: str) -> None:
    moment = admission(request={"purpose": iri})
    assert article_53.purpose_is_allowed(moment.request, moment.facts).satisfied is listed
    found = article_54.use_is_not_prohibited(moment.request, moment.facts)
    assert (found.satisfied, found.rule) == (listed, point)


def test_who_may_pursue_a_purpose_is_asked_at_the_gate_too() -> None:
    asked = {"purpose": STATISTICS}
    assert at(article_53.actor_may_pursue, request=asked) is False
    assert at(article_53.actor_may_pursue, request=asked, applicant=BODY) is True
    assert at(article_53.actor_may_pursue, request=asked, applicant=None) is None
    assert at(article_54.declaration_is_complete, declared_not_to=ALL_DECLARED - {"c"}) is False


@pytest.mark.parametrize(
    ("use", "denied", "expected"),
    [
        ("model", {"marketing-list"}, True),
        ("marketing-list", {"marketing-list"}, False),
        ("model", set(), True),
        (None, {"marketing-list"}, None),
        ("model", None, None),
    ],
)
def test_no_output_for_a_use_on_the_deny_list(use: Any, denied: Any, expected: Any) -> None:
    prohibited = None if denied is None else frozenset(denied)
    changed = {"output_use": use, "prohibited_output_uses": prohibited}
    assert at(article_54.output_use_is_not_prohibited, **changed) is expected


@pytest.mark.parametrize(
    ("actor", "persons", "expected"),
    [
        (ACTOR, {"person-7"}, True),
        (ACTOR, {"person-8"}, False),
        (ACTOR, None, None),
        (replace(ACTOR, shared=True), {"person-7"}, False),
        (replace(ACTOR, shared=None), {"person-7"}, None),
        (replace(ACTOR, shared=None), {"person-8"}, False),
        (MACHINE, None, True),
        (None, {"person-7"}, None),
    ],
)
def test_a_person_is_listed_and_has_an_identity_of_their_own(
    actor: Any, persons: Any, expected: bool | None
) -> None:
    listed = None if persons is None else frozenset(persons)
    assert at(article_73.person_is_authorised, actor=actor, permit_persons=listed) is expected


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        (replace(ACTOR, assurance=IdentityAssurance.LOW), False),
        (replace(ACTOR, assurance=IdentityAssurance.SUBSTANTIAL), True),
        (replace(ACTOR, assurance=IdentityAssurance.HIGH), True),
        (replace(ACTOR, assurance=None), None),
        (MACHINE, True),
        (None, None),
    ],
)
def test_identity_is_assured_substantially(actor: Any, expected: bool | None) -> None:
    assert at(article_73.identity_is_assured, actor=actor) is expected


@pytest.mark.parametrize(
    ("actor", "approved", "expected"),
    [
        (MACHINE, {"app-1"}, True),
        (MACHINE, {"app-2"}, False),
        (MACHINE, None, None),
        (ACTOR, None, True),
        (None, {"app-1"}, None),
    ],
)
def test_a_machine_job_is_of_an_approved_application(
    actor: Any, approved: Any, expected: bool | None
) -> None:
    known = None if approved is None else frozenset(approved)
    changed = {"actor": actor, "approved_applications": known}
    assert at(article_73.application_is_approved, **changed) is expected


@pytest.mark.parametrize(
    ("changed", "outside"),
    [
        ({}, None),
        ({"categories": frozenset({"a"})}, None),
        ({"categories": frozenset({"a", "f"})}, "categories"),
        ({"regions": frozenset()}, None),
        ({"regions": frozenset({"SE11", "SE12"})}, "regions"),
        ({"since": date(2020, 1, 2)}, None),
        ({"since": date(2019, 12, 31)}, "period"),
        ({"until": date(2030, 12, 30)}, None),
        ({"until": date(2031, 1, 1)}, "period"),
        ({"since": date(2025, 1, 1), "until": date(2025, 1, 1)}, None),
        ({"since": date(2025, 1, 2), "until": date(2025, 1, 1)}, "period"),
        ({"cohort": "sha256:c1"}, "cohort"),
    ],
)
def test_a_job_stays_within_the_permits_scope(changed: Any, outside: str | None) -> None:
    finding = article_66.scope_is_within(admission(scope=replace(SCOPE, **changed)))
    assert finding.satisfied is (outside is None)
    assert finding.actual == ("within" if outside is None else f"outside: {outside}")


def test_a_scope_that_is_not_known_is_not_within() -> None:
    assert at(article_66.scope_is_within, scope=None) is None
    assert at(article_66.scope_is_within, permit_scope=None) is None
    assert at(article_51.category_applies, scope=None) is None


def test_columns_beyond_the_permit_are_named_for_the_filter() -> None:
    asked = {"columns": ("age", "sex", "name")}
    finding = article_66.columns_are_projected(admission(request=asked))
    assert (finding.satisfied, finding.actual) == (False, "outside: name, sex")
    assert at(article_66.columns_are_projected, facts={"permit": None}) is None


@pytest.mark.parametrize(
    ("identifiers", "expected"), [({"name"}, True), (set(), True), ({"age"}, False), (None, None)]
)
def test_no_direct_identifier_is_among_the_columns(identifiers: Any, expected: Any) -> None:
    known = None if identifiers is None else frozenset(identifiers)
    assert at(article_66.schema_has_no_identifiers, direct_identifiers=known) is expected


@pytest.mark.parametrize(
    ("given", "holder", "expected"),
    [
        (DataFormat.ANONYMISED, None, True),
        (DataFormat.ANONYMISED, KeyHolder.NODE, True),
        (DataFormat.PSEUDONYMISED, KeyHolder.HDAB, True),
        (DataFormat.PSEUDONYMISED, KeyHolder.TRUSTED_THIRD_PARTY, True),
        (DataFormat.PSEUDONYMISED, KeyHolder.NODE, False),
        (DataFormat.PSEUDONYMISED, None, None),
        (None, KeyHolder.HDAB, None),
    ],
)
def test_the_key_to_pseudonyms_is_not_at_the_node(
    given: Any, holder: Any, expected: bool | None
) -> None:
    assert at(article_66.key_is_elsewhere, data_format=given, key_holder=holder) is expected


@pytest.mark.parametrize(
    ("protected", "covered", "expected"),
    [
        (set(), None, True),
        ({"sex"}, None, True),
        ({"age"}, {"age"}, True),
        ({"age"}, set(), False),
        ({"age", "died"}, {"age"}, False),
        ({"age"}, None, None),
        (None, {"age"}, None),
    ],
)
def test_protected_columns_need_a_measure(
    protected: Any, covered: Any, expected: bool | None
) -> None:
    changed = {
        "protected_columns": None if protected is None else frozenset(protected),
        "protected_columns_with_measures": None if covered is None else frozenset(covered),
    }
    assert at(article_52.protected_columns_have_measures, **changed) is expected


@pytest.mark.parametrize(
    ("code", "approved", "expected"),
    [
        (("aa",), {"aa", "bb"}, True),
        (("aa", "cc"), {"aa", "bb"}, False),
        ((), {"aa"}, None),
        (None, {"aa"}, None),
        (("aa",), None, None),
    ],
)
def test_only_approved_code_runs(code: Any, approved: Any, expected: bool | None) -> None:
    known = None if approved is None else frozenset(approved)
    assert at(article_68.code_is_approved, code=code, approved_code=known) is expected


@pytest.mark.parametrize(
    ("locations", "permitted", "expected"),
    [
        (("SE",), {"SE", "FI"}, True),
        (("SE", "US"), {"SE", "FI"}, False),
        ((), {"SE"}, None),
        (None, {"SE"}, None),
        (("SE",), None, None),
    ],
)
def test_data_stay_at_permitted_locations(
    locations: Any, permitted: Any, expected: bool | None
) -> None:
    known = None if permitted is None else frozenset(permitted)
    changed = {"locations": locations, "permitted_locations": known}
    assert at(article_87.locations_are_permitted, **changed) is expected


def test_the_request_path_gives_statistics_only() -> None:
    rule = article_69.answer_is_statistical_at_admission
    assert at(rule, path=AccessPath.REQUEST) is False
    assert at(rule, path=AccessPath.REQUEST, request={"output": "statistics"}) is True
    assert at(rule, path=None) is None


@pytest.mark.parametrize(
    ("linked", "listed", "expected"),
    [
        ((), set(), True),
        (("own-cohort",), {"own-cohort"}, True),
        (("own-cohort", "voters"), {"own-cohort"}, False),
        (None, set(), None),
        ((), None, None),
    ],
)
def test_joins_only_to_data_that_the_permit_lists(
    linked: Any, listed: Any, expected: bool | None
) -> None:
    known = None if listed is None else frozenset(listed)
    changed = {"linked_datasets": linked, "permit_linked_datasets": known}
    assert at(article_61.linked_data_are_in_the_permit, **changed) is expected


@pytest.mark.parametrize(
    ("count", "limit", "expected"),
    [(2, 3, True), (3, 3, True), (4, 3, False), (None, 3, None), (0, None, None)],
)
def test_many_similar_queries_alert(count: Any, limit: Any, expected: bool | None) -> None:
    changed = {"similar_queries": count, "similar_queries_limit": limit}
    assert at(article_61.queries_do_not_single_out, **changed) is expected


@pytest.mark.parametrize(
    ("revoked", "known_until", "age", "expected"),
    [
        (None, NOW, 60, True),
        (None, NOW - 60 * SECOND, 60, True),
        (None, NOW - 61 * SECOND, 60, None),
        (None, NOW + SECOND, 60, None),
        (None, None, 60, None),
        (None, NOW, None, None),
        (NOW, NOW, 60, False),
        (NOW - SECOND, NOW, 60, False),
        (NOW - SECOND, None, 60, False),
        (NOW + SECOND, NOW, 60, True),
    ],
)
def test_a_revoked_permit_stops_and_old_news_are_no_news(
    revoked: Any, known_until: Any, age: Any, expected: bool | None
) -> None:
    changed = {
        "revoked_at": revoked,
        "revocations_known_until": known_until,
        "revocations_maximum_age_seconds": age,
    }
    assert at(article_63.revocations_are_known, **changed) is expected


@pytest.mark.parametrize(
    ("fee", "expected"),
    [
        (Fee(NOW - 2 * DAY, PERMIT.not_before), True),
        (Fee(NOW - 2 * DAY, PERMIT.not_before + SECOND), False),
        (Fee(PERMIT.not_before, PERMIT.not_before - SECOND), False),
        (Fee(PERMIT.not_before, PERMIT.not_before), True),
        (Fee(NOW - 2 * DAY, None), False),
        (None, None),
    ],
)
def test_a_fee_was_accepted_before_the_permit_began(fee: Any, expected: bool | None) -> None:
    assert at(article_62.fee_is_accepted_at_admission, fee=fee) is expected
    assert at(article_62.fee_is_accepted_at_admission, fee=fee, facts={"permit": None}) is None


def test_a_fee_is_not_accepted_in_the_future() -> None:
    later = PERMIT.model_copy(update={"not_before": NOW + 2 * DAY})
    rule = article_62.fee_is_accepted_at_admission
    assert at(rule, fee=Fee(NOW, NOW), facts={"permit": later}) is True
    assert at(rule, fee=Fee(NOW, NOW + SECOND), facts={"permit": later}) is False


SUM = SecureSum(3, Decimal(1), "sha256:f0", 50)
LIMITS = SecureSumLimits(3, Decimal(1), "sha256:f0", 50)


@pytest.mark.parametrize(
    ("rule", "changed", "expected"),
    [
        (secure_aggregation.enough_nodes_are_summed, {"nodes": 3}, True),
        (secure_aggregation.enough_nodes_are_summed, {"nodes": 2}, False),
        (secure_aggregation.update_is_clipped, {"clipping_norm": Decimal(1)}, True),
        (secure_aggregation.update_is_clipped, {"clipping_norm": Decimal("1.01")}, False),
        (secure_aggregation.update_is_clipped, {"clipping_norm": Decimal("0.01")}, True),
        (secure_aggregation.update_is_clipped, {"clipping_norm": Decimal(0)}, False),
        (secure_aggregation.update_has_the_agreed_form, {"update": "sha256:f0"}, True),
        (secure_aggregation.update_has_the_agreed_form, {"update": "sha256:f1"}, False),
        (secure_aggregation.cohort_is_large_enough, {"persons": 50}, True),
        (secure_aggregation.cohort_is_large_enough, {"persons": 49}, False),
    ],
)
def test_a_round_is_summed_as_the_permit_asks(rule: Any, changed: Any, expected: bool) -> None:
    assert at(rule, secure_sum=replace(SUM, **changed), secure_sum_limits=LIMITS) is expected
    assert at(rule, secure_sum=None, secure_sum_limits=LIMITS) is None
    assert at(rule, secure_sum=SUM, secure_sum_limits=None) is None


def test_a_finding_on_a_round_tells_no_count() -> None:
    small, large = replace(SUM, persons=51), replace(SUM, persons=98_765)
    rule = secure_aggregation.cohort_is_large_enough
    assert rule(admission(secure_sum=small)) == rule(admission(secure_sum=large))


COST = SampledGaussian(Decimal(8)).cost
TIGHT = Budget(Decimal("0.6"), Decimal("0.00001"))
WIDE = Budget(Decimal(9), Decimal("0.00001"))


@pytest.mark.parametrize(
    ("rule", "budget", "spent"),
    [
        (privacy_budget.permit_budget_holds, "permit_budget", "spent_permit"),
        (privacy_budget.dataset_budget_holds, "dataset_budget", "spent_dataset"),
    ],
)
def test_a_job_fits_into_what_is_left_of_its_own_budget(rule: Any, budget: str, spent: str) -> None:
    wide = Spending(WIDE, WIDE, reserved=True)
    tight = replace(wide, **{budget: TIGHT})
    once = {"planned": COST, spent: NOTHING}
    assert TIGHT.admits(NOTHING, COST)
    assert not TIGHT.admits(COST, COST)
    assert at(rule, spending=tight, facts=once) is True
    assert at(rule, spending=tight, facts=once | {spent: COST}) is False
    assert at(rule, spending=wide, facts=once | {spent: COST}) is True
    others = {"spent_permit", "spent_dataset"} - {spent}
    assert at(rule, spending=tight, facts=once | dict.fromkeys(others, COST)) is True
    assert at(rule, spending=None, facts=once) is None


@pytest.mark.parametrize("reserved", [True, False])
def test_a_cost_is_reserved_before_the_run(reserved: bool) -> None:
    spending = Spending(WIDE, WIDE, reserved=reserved)
    assert at(privacy_budget.cost_is_reserved, spending=spending) is reserved
    assert at(privacy_budget.cost_is_reserved, spending=None) is None


@pytest.mark.parametrize("verdict", [True, False, None])
def test_what_a_job_trains_on_has_a_balanced_diet(verdict: bool | None) -> None:
    diet = replace(BALANCED, findings=(DietFinding("D1", "", "", verdict, ""),))
    assert at(ai_act.diet_is_balanced_at_admission, diet=diet) is verdict
    assert at(ai_act.diet_is_balanced_at_admission, diet=None) is None


@pytest.mark.parametrize(
    ("effective", "revoked", "out"),
    [
        (DECIDED - SECOND, None, True),
        (DECIDED, None, False),
        (DECIDED + SECOND, None, False),
        (DECIDED - 2 * SECOND, DECIDED - SECOND, False),
        (DECIDED - 2 * SECOND, DECIDED, True),
        (DECIDED - 2 * SECOND, DECIDED + SECOND, True),
        (DECIDED - SECOND, DECIDED - SECOND, False),
    ],
)
def test_an_opt_out_counts_as_of_the_decision(
    effective: datetime, revoked: datetime | None, out: bool
) -> None:
    register = OptOuts((opt_out("p1", effective, revoked),), complete_until=NOW)
    assert article_71.excluded(register, DECIDED) == (frozenset({"p1"}) if out else frozenset())
    in_view = {"opt_outs": register, "persons_in_view": frozenset({"p1", "p2"})}
    assert at(article_71.opt_outs_are_filtered, **in_view) is not out
    assert at(article_71.opt_outs_are_filtered, opt_outs=register) is True


def test_who_opted_out_again_is_out() -> None:
    early = opt_out("p1", DECIDED - 9 * DAY, DECIDED - 8 * DAY)
    again = opt_out("p1", DECIDED - DAY)
    for events in ((early, again), (again, early)):
        register = OptOuts((*events, opt_out("p2", DECIDED - DAY)), complete_until=NOW)
        assert article_71.excluded(register, DECIDED) == {"p1", "p2"}


def test_an_opt_out_reversed_before_it_took_effect_is_an_error() -> None:
    assert opt_out("p1", NOW, NOW).revoked == NOW
    with pytest.raises(PolicyError) as caught:
        opt_out("p1", NOW, NOW - SECOND)
    assert caught.value.code == "OPT_OUT_ORDER"


@pytest.mark.parametrize(
    ("until", "expected"), [(DECIDED, True), (DECIDED - SECOND, None), (NOW, True)]
)
def test_the_register_must_reach_the_decision(until: datetime, expected: bool | None) -> None:
    register = OptOuts((), complete_until=until)
    assert at(article_71.opt_outs_are_filtered, opt_outs=register) is expected


def test_opt_outs_are_unknown_without_a_register_or_a_decision() -> None:
    assert at(article_71.opt_outs_are_filtered, opt_outs=None) is None
    assert at(article_71.opt_outs_are_filtered, decided_at=None) is None


@pytest.mark.parametrize(
    ("count", "smallest", "actual"),
    [
        (9, 10, "fewer than 10 to leave out"),
        (10, 10, "at least 10 to leave out"),
        (9, None, "some or none to leave out"),
    ],
)
def test_the_number_of_opt_outs_is_told_in_a_band(
    count: int, smallest: int | None, actual: str
) -> None:
    events = tuple(opt_out(f"p{n}", DECIDED - DAY) for n in range(count))
    register = OptOuts(events, complete_until=NOW)
    moment = admission(opt_outs=register, smallest_count=smallest)
    assert article_71.opt_outs_are_filtered(moment).actual == actual


def test_opt_outs_are_honoured_unless_the_override_is_lawful() -> None:
    out = OptOuts((opt_out("p1", DECIDED - DAY),), complete_until=NOW)
    asked = {
        "opt_outs": out, "persons_in_view": frozenset({"p1"}), "claims_override": True,
        "override": OVERRIDE, "applicant": BODY, "request": {"purpose": STATISTICS},
    }  # fmt: skip
    rule = article_71.opt_outs_are_filtered
    assert at(rule, **asked) is True
    assert at(rule, **asked | {"claims_override": False}) is False
    assert at(rule, **asked | {"claims_override": None}) is False
    assert at(rule, **asked | {"override": None}) is False
    assert at(rule, **asked | {"applicant": None}) is False
    assert at(article_71.override_is_lawful, **asked | {"request": {"purpose": RESEARCH}}) is None


def test_a_job_looks_at_the_day_of_utc() -> None:
    # 00:30 in Helsinki on the first day is still the day before.
    local = datetime.fromisoformat("2029-03-26T00:30:00+03:00")
    assert at(article_51.category_applies, facts={"now": local}) is False
    assert at(article_51.category_applies, facts={"now": local + timedelta(hours=3)}) is True
    assert local.astimezone(UTC).day == 25
