"""Records: what is derived, what is missing, and that no exact small count can be published."""

import datetime as dt
from decimal import Decimal

import pytest
from described import AGENT, DECLARED, MEASURED
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connector.dsp import healthdcat
from connector.dsp.healthdcat import banded, describe, missing
from connector.dsp.healthdcat_documents import (
    Ages,
    Contact,
    Count,
    DatasetDescription,
    Measured,
    Period,
    Record,
)
from connector.schema import Column, Schema

BARE = DatasetDescription(id="hospital-north/flchain", title="Free light chains")


def test_a_bare_description_lacks_every_mandatory_element_at_once_each_with_a_remedy() -> None:
    gaps = missing(describe(BARE, Measured()))
    assert [gap.element for gap in gaps] == [
        "dct:description",
        "dcat:keyword",
        "healthdcatap:healthCategory",
        "healthdcatap:hdab",
        "dcat:distribution",
        "dcat:contactPoint",
        "dct:provenance",
        "healthdcatap:hasVariables",
    ]
    assert all(gap.remedy for gap in gaps)


def test_every_remedy_names_a_field_that_the_hospital_can_fill() -> None:
    record = describe(BARE, Measured())
    named = [gap.remedy.split("`")[1] for gap in missing(record)]
    assert set(named) <= {*DatasetDescription.model_fields, "columns"}
    advised = [gap.remedy for gap in healthdcat.advised(record)]
    fields = {remedy.split("`")[1] for remedy in advised if "`" in remedy}
    assert fields <= set(DatasetDescription.model_fields)


def test_a_full_record_lacks_nothing() -> None:
    record = describe(DECLARED, MEASURED)
    assert missing(record) == ()
    assert healthdcat.advised(record) == ()


@pytest.mark.parametrize(
    ("field", "empty", "element"),
    [
        ("description", None, "dct:description"),
        ("keywords", (), "dcat:keyword"),
        ("categories", (), "healthdcatap:healthCategory"),
        ("hdab", None, "healthdcatap:hdab"),
        ("access_url", None, "dcat:distribution"),
        ("contact", None, "dcat:contactPoint"),
        ("provenance", None, "dct:provenance"),
    ],
)
def test_one_missing_element_is_named(field: str, empty: object, element: str) -> None:
    declared = DECLARED.model_copy(update={field: empty})
    assert [gap.element for gap in missing(describe(declared, MEASURED))] == [element]


def test_variables_come_from_the_schema_with_units_bounds_and_categories() -> None:
    record = describe(DECLARED, MEASURED)
    age, sex, grade = record.variables
    assert (age.datatype, sex.datatype, grade.datatype) == ("decimal", "boolean", "string")
    assert age.description == "Age at sampling. From 50 to 100 years. Always there."
    assert sex.description == "Yes or no. May be missing."
    assert grade.description == "Tumour grade. One of: low, high. Always there."
    assert grade.coding_system == "ICD-10"


def test_coding_systems_are_those_of_the_source_the_declared_and_the_columns_once_each() -> None:
    record = describe(DECLARED, MEASURED)
    assert record.coding_systems == ("OHDSI-VOCAB", "LOINC", "ICD-10")


def test_a_coding_of_a_column_that_is_not_there_is_not_published() -> None:
    declared = DECLARED.model_copy(update={"codings": {"gone": "SNOMED-CT"}})
    assert "SNOMED-CT" not in describe(declared, MEASURED).coding_systems


def test_what_is_measured_comes_before_what_is_declared() -> None:
    declared = DECLARED.model_copy(update={"temporal": Period(start=dt.date(1990, 1, 1))})
    assert describe(declared, MEASURED).temporal == MEASURED.temporal
    unmeasured = MEASURED.model_copy(update={"temporal": None})
    assert describe(declared, unmeasured).temporal == declared.temporal


def test_a_record_keeps_its_canonical_form() -> None:
    record = describe(DECLARED, MEASURED)
    assert Record.decode(record.encode()) == record


@given(exact=st.integers(0, 10**9), step=st.integers(2, 10**6))
def test_a_banded_count_says_no_more_than_its_band(exact: int, step: int) -> None:
    count = banded(exact, step)
    same_band = exact - exact % step + step - 1
    assert count == banded(same_band, step)
    assert (count is None) == (exact < step)
    assert count is None or count.value <= exact < count.value + step


@pytest.mark.parametrize(("value", "step"), [(7, 10), (11, 10), (1, 1), (0, 10), (-10, 10)])
def test_an_exact_or_empty_count_is_no_count(value: int, step: int) -> None:
    with pytest.raises(ValidationError):
        Count(value=value, step=step, how="banded")


@pytest.mark.parametrize(
    "change",
    [
        {"themes": ["CANCER"]},
        {"categories": ["z"]},
        {"purposes": ["advertising"]},
        {"languages": ["xx"]},
        {"language": "xx"},
        {"countries": ["DE"]},
        {"access_url": "ftp://hdab.example"},
        {"access_url": 'https://hdab.example/"><script>'},
        {"title": "two\nlines"},
        {"keywords": ["x"] * 51},
        {"hdab": {"name": "HDAB", "contact": {"name": "desk"}}},
        {"retention": {}},
        {"temporal": {"start": "2020-01-02", "end": "2020-01-01"}},
        {"invented": True},
    ],
)
def test_a_wrong_description_is_refused_where_it_is_written(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DatasetDescription.model_validate(DECLARED.model_dump() | change)


def test_ages_are_ordered_and_human() -> None:
    with pytest.raises(ValidationError):
        Ages(youngest=80, oldest=20)
    with pytest.raises(ValidationError):
        Ages(youngest=0, oldest=131)


def test_an_email_is_enough_to_be_reached_and_a_page_too() -> None:
    assert Contact(name="desk", email="desk@hdab.example")
    assert AGENT.contact.page


def test_a_column_of_many_categories_still_has_a_description_that_fits() -> None:
    names = tuple(f"{number:03}-" + "x" * 90 for number in range(256))
    schema = Schema(columns=(Column(name="many", kind="category", categories=names),))
    (variable,) = describe(BARE, Measured(columns=schema)).variables
    assert len(variable.description) <= 5000


def test_bounds_are_spelled_as_the_hospital_wrote_them() -> None:
    column = Column(
        name="creatinine", kind="numeric", minimum=Decimal("0.30"), maximum=5, unit="mg/dL"
    )
    (variable,) = describe(BARE, Measured(columns=Schema(columns=(column,)))).variables
    assert variable.description == "From 0.30 to 5 mg/dL. Always there."
