"""A permit over time: clocks, duties, logs and revocations, both sides of each last day."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from lawful import ASSESSMENTS, DAY, DONE, NOW, SECOND, supervision

from policies.statute import (
    ai_act,
    article_57,
    article_60,
    article_61,
    article_63,
    article_68,
    article_72,
    article_73,
    people,
)
from policies.statute.facts import (
    Assessment,
    Deletion,
    LogDeletion,
    LogKind,
    Question,
    Revocation,
    SignificantFinding,
)
from policies.statute.finding import DutyState
from policies.statute.periods import Clock

SINCE = datetime(2032, 6, 2, 12, tzinfo=UTC)


def at(rule: Any, **changed: Any) -> bool | None:
    verdict: bool | None = rule(supervision(**changed)).satisfied
    return verdict


def end_of(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 23, 59, 59, tzinfo=UTC)


CLOCKS = [
    (article_57.decision_is_published, "register", {}, end_of(2032, 7, 14)),
    (article_60.holder_provides_in_time, "holder", {}, end_of(2032, 9, 2)),
    (article_60.holder_provides_in_time, "holder", {"extended": True}, end_of(2032, 12, 2)),
    (article_60.metadata_is_checked_yearly, "metadata_check", {}, end_of(2033, 6, 2)),
    (article_61.results_are_published, "results", {}, end_of(2033, 12, 2)),
    (article_68.application_is_decided_in_time, "decision", {}, end_of(2032, 9, 2)),
    (article_68.application_is_decided_in_time, "decision", {"extended": True},
     end_of(2032, 12, 2)),
    (article_68.application_is_completed_in_time, "completion", {}, end_of(2032, 6, 30)),
    (article_68.data_are_provided_in_time, "provision", {}, end_of(2032, 8, 2)),
    (article_72.trusted_holder_assesses_in_time, "trusted_holder_assessment", {},
     end_of(2032, 8, 2)),
    (article_72.body_decides_on_proposal_in_time, "trusted_holder_decision", {},
     end_of(2032, 8, 2)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "field", "how", "last"), CLOCKS)
def test_each_clock_runs_to_its_last_second(
    rule: Any, field: str, how: dict[str, Any], last: datetime
) -> None:
    running = {field: Clock(SINCE, **how)}
    finding = rule(supervision(now=last, **running))
    assert (finding.satisfied, finding.duty) == (None, DutyState.PENDING)
    assert finding.due == last.date()
    assert at(rule, now=last + SECOND, **running) is False
    done = {field: Clock(SINCE, last, **how)}
    assert at(rule, now=last + DAY, **done) is True
    assert at(rule, now=last + DAY, **{field: Clock(SINCE, last + SECOND, **how)}) is False
    assert at(rule, **{field: None}) is None
    assert at(rule, **{field: Clock(None)}) is True


@pytest.mark.parametrize(
    ("accelerated", "extended", "last"),
    [
        (False, False, end_of(2032, 9, 2)),
        (False, True, end_of(2032, 12, 2)),
        (True, False, end_of(2032, 8, 2)),
        (True, True, end_of(2032, 9, 2)),
    ],
)
def test_public_bodies_get_a_faster_decision(
    accelerated: bool, extended: bool, last: datetime
) -> None:
    changed = {"accelerated": accelerated, "decision": Clock(SINCE, extended=extended)}
    rule = article_68.application_is_decided_in_time
    assert rule(supervision(now=SINCE, **changed)).due == last.date()
    assert at(rule, accelerated=None) is None


def test_holidays_move_a_last_day() -> None:
    last = end_of(2032, 9, 2)
    changed = {"holidays": frozenset({last.date()}), "holder": Clock(SINCE)}
    assert at(article_60.holder_provides_in_time, now=last + DAY, **changed) is None
    assert at(article_60.holder_provides_in_time, now=last + DAY + SECOND, **changed) is False


def test_the_body_can_give_more_time_for_results() -> None:
    late = end_of(2034, 6, 2)
    changed = {"results": Clock(SINCE), "results_extended_until": late.date()}
    assert at(article_61.results_are_published, now=late, **changed) is None
    assert at(article_61.results_are_published, now=late + SECOND, **changed) is False


@pytest.mark.parametrize("known", [True, False, None])
def test_results_and_measures_are_in_the_register(known: bool | None) -> None:
    assert at(article_57.results_are_registered, results_in_register=known) is known
    assert at(article_57.measures_are_registered, measures_in_register=known) is known


LIMIT = 300 * SECOND


@pytest.mark.parametrize(
    ("received", "stopped", "expected"),
    [
        (NOW - LIMIT, None, None),
        (NOW - LIMIT - SECOND, None, False),
        (NOW - DAY, NOW - DAY + LIMIT, True),
        (NOW - DAY, NOW - DAY + LIMIT + SECOND, False),
        (NOW - LIMIT, NOW, True),
        (NOW - LIMIT + SECOND, NOW + SECOND, None),
        (NOW - LIMIT - SECOND, NOW + SECOND, False),
    ],
)
def test_jobs_stop_within_the_limit_of_a_revocation(
    received: datetime, stopped: datetime | None, expected: bool | None
) -> None:
    revocation = Revocation(received, stopped, limit_seconds=300)
    assert at(article_63.jobs_have_stopped, revocation=revocation) is expected


@pytest.mark.parametrize(
    ("known_until", "age", "expected"),
    [(NOW - 60 * SECOND, 60, True), (NOW - 61 * SECOND, 60, None), (None, 60, None),
     (NOW, None, None), (NOW + SECOND, 60, None)],
)  # fmt: skip
def test_no_revocation_counts_if_one_has_asked_lately(
    known_until: Any, age: Any, expected: bool | None
) -> None:
    changed = {"revocations_known_until": known_until, "revocations_maximum_age_seconds": age}
    assert at(article_63.jobs_have_stopped, **changed) is expected


LAST = end_of(2032, 12, 2)


@pytest.mark.parametrize(
    ("done", "certificate", "now", "expected"),
    [
        (None, None, LAST, None),
        (None, None, LAST + SECOND, False),
        (None, "sha256:ce", LAST, None),
        (LAST, "sha256:ce", LAST, True),
        (LAST, None, LAST, False),
        (LAST, "", LAST, False),
        (LAST + SECOND, "sha256:ce", LAST + DAY, False),
        (LAST + SECOND, None, LAST + DAY, False),
    ],
)
def test_data_are_deleted_in_six_months_with_a_certificate(
    done: Any, certificate: Any, now: datetime, expected: bool | None
) -> None:
    deletion = Deletion(Clock(SINCE, done), certificate, kept=())
    assert at(article_68.data_are_deleted, now=now, deletion=deletion) is expected


def test_nothing_to_delete_before_expiry_and_unknown_is_not_deleted() -> None:
    assert at(article_68.data_are_deleted, deletion=Deletion(Clock(None))) is True
    assert at(article_68.data_are_deleted, deletion=None) is None


@pytest.mark.parametrize(
    ("kept", "asked", "expected"),
    [
        ((), False, True),
        (("cohort-formula",), True, True),
        (("cohort-formula",), False, False),
        (("cohort-formula", "rows"), True, False),
        (("rows",), True, False),
        (None, True, None),
    ],
)
def test_only_the_formula_of_the_cohort_is_kept(
    kept: Any, asked: bool, expected: bool | None
) -> None:
    deletion = Deletion(DONE, "sha256:ce", kept, keep_formula_asked=asked)
    assert at(article_68.only_the_formula_is_kept, deletion=deletion) is expected
    running = replace(deletion, clock=Clock(SINCE))
    assert at(article_68.only_the_formula_is_kept, deletion=running) is True
    assert at(article_68.only_the_formula_is_kept, deletion=None) is None


@pytest.mark.parametrize(("count", "expected"), [(0, True), (1, False), (None, None)])
def test_every_entry_of_the_log_names_its_actor(count: Any, expected: bool | None) -> None:
    assert at(article_73.access_is_logged, entries_without_actor=count) is expected


WRITTEN = datetime(2032, 2, 29, 12, tzinfo=UTC)
ENDED = datetime(2032, 3, 31, 12, tzinfo=UTC)
KEPT = [
    (article_73.access_logs_are_kept, LogKind.ACCESS, datetime(2033, 2, 28, 12, tzinfo=UTC)),
    (ai_act.ai_logs_are_kept, LogKind.AI_SYSTEM, datetime(2032, 8, 29, 12, tzinfo=UTC)),
    (article_73.activity_logs_are_kept, LogKind.ACTIVITY, datetime(2034, 9, 30, 12, tzinfo=UTC)),
]


@pytest.mark.parametrize(("rule", "kind", "until"), KEPT)
def test_logs_are_kept_for_their_time(rule: Any, kind: LogKind, until: datetime) -> None:
    in_time = LogDeletion(kind, WRITTEN, until, ENDED)
    early = replace(in_time, deleted_at=until - SECOND)
    assert at(rule, deleted_logs=(in_time,)) is True
    assert at(rule, deleted_logs=(in_time, early)) is False
    assert at(rule, deleted_logs=(early, in_time)) is False
    assert at(rule, deleted_logs=()) is True
    assert at(rule, deleted_logs=None) is None
    for other in set(LogKind) - {kind}:
        assert at(rule, deleted_logs=(replace(early, kind=other, deleted_at=WRITTEN),)) is True


def test_an_activity_log_without_its_permits_end_is_not_known_to_be_kept() -> None:
    deleted = (LogDeletion(LogKind.ACTIVITY, WRITTEN, NOW.replace(year=2090), None),)
    assert at(article_73.activity_logs_are_kept, deleted_logs=deleted) is None


SIGNIFICANT = SignificantFinding(
    clock=DONE,
    forwarded_to_holder=DONE,
    has_pseudonym_only=True,
    period_days=5,
    wants_not_to_know=None,
    person_told=False,
)
NOTIFIED_LAST = end_of(2032, 6, 9)  # five working days after SINCE


@pytest.mark.parametrize("field", ["clock", "forwarded_to_holder"])
def test_a_significant_finding_travels_in_the_policys_days(field: str) -> None:
    rule = article_61.significant_findings_are_notified
    running = (SIGNIFICANT, replace(SIGNIFICANT, **{field: Clock(SINCE)}))
    pending = rule(supervision(now=NOTIFIED_LAST, findings=running))
    assert (pending.satisfied, pending.due) == (None, NOTIFIED_LAST.date())
    assert at(rule, now=NOTIFIED_LAST + SECOND, findings=running) is False
    assert rule(supervision(now=NOTIFIED_LAST + SECOND, findings=running)).due is None
    done = (replace(SIGNIFICANT, **{field: Clock(SINCE, NOTIFIED_LAST)}),)
    assert at(rule, now=NOTIFIED_LAST, findings=done) is True


def test_the_earliest_pending_notice_is_due_first() -> None:
    findings = (
        replace(SIGNIFICANT, clock=Clock(SINCE), period_days=9),
        replace(SIGNIFICANT, clock=Clock(SINCE), period_days=5),
    )
    rule = article_61.significant_findings_are_notified
    assert rule(supervision(now=SINCE, findings=findings)).due == NOTIFIED_LAST.date()


def test_where_one_notice_is_late_no_later_day_is_named() -> None:
    late = replace(SIGNIFICANT, clock=Clock(SINCE), period_days=1)
    running = replace(SIGNIFICANT, clock=Clock(SINCE), period_days=9)
    rule = article_61.significant_findings_are_notified
    found = rule(supervision(now=NOTIFIED_LAST, findings=(late, running)))
    assert (found.satisfied, found.due) == (False, None)


def test_a_finding_travels_by_pseudonym_only() -> None:
    rule = article_61.significant_findings_are_notified
    named = replace(SIGNIFICANT, has_pseudonym_only=False)
    assert at(rule, findings=(SIGNIFICANT, named)) is False
    assert at(rule, findings=(SIGNIFICANT,)) is True
    assert at(rule, findings=()) is True
    assert at(rule, findings=None) is None


@pytest.mark.parametrize(
    ("wish", "told", "expected"),
    [
        (False, True, True),
        (True, True, False),
        (None, True, False),
        (True, False, True),
        (None, False, True),
    ],
)
def test_nobody_is_told_who_does_not_want_to_know(
    wish: bool | None, told: bool, expected: bool
) -> None:
    finding = replace(SIGNIFICANT, wants_not_to_know=wish, person_told=told)
    rule = article_61.wish_not_to_know_is_honoured
    assert at(rule, findings=(SIGNIFICANT, finding)) is expected
    assert at(rule, findings=None) is None


def test_a_clinician_looks_at_each_finding() -> None:
    rule = people.finding_is_significant
    assert at(rule, findings=(), assessments=()) is True
    assert at(rule, findings=(SIGNIFICANT,), assessments=()) is None
    assert at(rule, findings=None, assessments=()) is None
    assert at(rule, findings=(SIGNIFICANT,)) is True
    no = Assessment(Question.CLINICAL_SIGNIFICANCE, "Bo", positive=False, reason="no")
    assert at(rule, findings=(SIGNIFICANT,), assessments=(*ASSESSMENTS, no)) is False
