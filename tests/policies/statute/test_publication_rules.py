"""A record, a label or results are about to be made public."""

from dataclasses import replace
from typing import Any

import pytest
from lawful import DAY, LABEL, LABEL_VALUE, NOW, SECOND, publication

from policies.statute import ai_act, article_61, article_77, article_78
from policies.statute.facts import Label, Media, ShapesReport


def at(rule: Any, **changed: Any) -> bool | None:
    verdict: bool | None = rule(publication(**changed)).satisfied
    return verdict


@pytest.mark.parametrize(
    ("record", "shapes", "pinned", "expected"),
    [
        (True, ShapesReport(True, "8"), "8", True),
        (True, ShapesReport(False, "8"), "8", False),
        (True, ShapesReport(True, "7"), "8", False),
        (True, None, "8", None),
        (True, ShapesReport(True, "8"), None, None),
        (None, ShapesReport(False, "8"), "8", False),
        (None, None, None, None),
        (False, ShapesReport(False, "8"), "8", True),
        (False, None, None, True),
    ],
)
def test_a_record_conforms_at_the_pinned_release(
    record: Any, shapes: Any, pinned: Any, expected: bool | None
) -> None:
    changed = {"is_dataset_record": record, "shapes": shapes, "pinned_release": pinned}
    assert at(article_77.record_is_valid, **changed) is expected


@pytest.mark.parametrize(
    ("funded", "label", "absent", "expected"),
    [
        (True, LABEL, False, True),
        (None, LABEL, None, True),
        (True, None, True, False),
        (False, None, True, True),
        (False, None, None, True),
        (None, None, True, None),
        (True, None, None, None),
        (True, None, False, None),
        (None, None, None, None),
    ],
)
def test_publicly_funded_data_carry_a_label(
    funded: Any, label: Any, absent: Any, expected: bool | None
) -> None:
    changed = {"publicly_funded": funded, "label": label, "label_is_absent": absent}
    assert at(article_78.label_is_there, **changed) is expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"evidence": None}, False),
        ({"evidence": ""}, False),
        ({"method": None}, False),
        ({"method": ""}, False),
        ({"measured_at": None}, False),
        ({"measured_at": NOW}, True),
        ({"measured_at": NOW + SECOND}, False),
        ({"measured_at": NOW - DAY}, True),
    ],
)
def test_each_value_of_a_label_has_evidence_a_method_and_a_date(
    changed: dict[str, Any], expected: bool
) -> None:
    label = Label((LABEL_VALUE, replace(LABEL_VALUE, name="other", **changed)))
    finding = article_78.label_values_have_evidence(publication(label=label))
    assert finding.satisfied is expected
    assert finding.actual == ("each has, or no label" if expected else "without: other")


def test_without_a_label_there_is_nothing_to_support_or_to_revoke() -> None:
    for rule in (article_78.label_values_have_evidence, article_78.label_is_not_revoked):
        assert at(rule, label=None, label_is_absent=True) is True
        assert at(rule, label=None, label_is_absent=False) is None
        assert at(rule, label=None, label_is_absent=None) is None


@pytest.mark.parametrize(
    ("revoked", "expected"),
    [(None, True), (NOW, False), (NOW - SECOND, False), (NOW + SECOND, True)],
)
def test_a_revoked_label_is_not_shown(revoked: Any, expected: bool) -> None:
    label = replace(LABEL, revoked_at=revoked)
    assert at(article_78.label_is_not_revoked, label=label) is expected
    assert at(article_78.label_is_not_revoked, label=label, label_is_absent=True) is expected


@pytest.mark.parametrize("result", [True, None])
@pytest.mark.parametrize("known", [True, False, None])
def test_published_results_are_reviewed_acknowledged_and_explained(
    result: bool | None, known: bool | None
) -> None:
    changed = {"is_result": result}
    reviewed = {"released_through_review": known}
    assert at(article_61.publication_is_anonymous, **changed, **reviewed) is known
    for name in ("acknowledges_sources", "acknowledges_ehds"):
        assert at(article_61.publication_acknowledges, **changed, **{name: known}) is known
    assert at(article_61.publication_has_a_lay_summary, **changed, lay_summary=known) is known


def test_what_is_no_result_needs_none_of_that() -> None:
    nothing = {
        "is_result": False, "released_through_review": False, "acknowledges_sources": False,
        "acknowledges_ehds": None, "lay_summary": False,
    }  # fmt: skip
    assert at(article_61.publication_is_anonymous, **nothing) is True
    assert at(article_61.publication_acknowledges, **nothing) is True
    assert at(article_61.publication_has_a_lay_summary, **nothing) is True


@pytest.mark.parametrize("media", [Media.AUDIO, Media.IMAGE, Media.TEXT, Media.VIDEO])
def test_generated_media_are_marked(media: Media) -> None:
    rule = ai_act.generated_media_are_marked
    generated = frozenset({media, Media.TABLE})
    assert at(rule, generated_media=generated, marked_media=frozenset({media})) is True
    assert at(rule, generated_media=generated, marked_media=frozenset({Media.TABLE})) is False
    assert at(rule, generated_media=generated, marked_media=None) is None
    assert at(rule, generated_media=None, marked_media=frozenset(Media)) is None
    assert at(rule, generated_media=frozenset({Media.TABLE}), marked_media=None) is True


def test_synthetic_tables_are_marked_too() -> None:
    rule = ai_act.generated_tables_are_marked
    generated = frozenset({Media.IMAGE, Media.TABLE})
    assert at(rule, generated_media=generated, marked_media=frozenset({Media.TABLE})) is True
    assert at(rule, generated_media=generated, marked_media=frozenset({Media.IMAGE})) is False
    assert at(rule, generated_media=frozenset({Media.IMAGE}), marked_media=None) is True
    assert at(rule, generated_media=generated, marked_media=None) is None
