"""A dataset's public record after HealthDCAT-AP Release 8, and what it still lacks.

Pure, and no count enters here exactly. `healthdcat_jsonld` spells a record, `healthdcat_shacl`
judges it.
"""

from collections.abc import Iterable
from typing import Literal

from connector.dsp.healthdcat_documents import (
    Count,
    DatasetDescription,
    Gap,
    Measured,
    Record,
    Variable,
)
from connector.schema import Column


def banded(exact: int, step: int) -> Count | None:
    """An exact count as it may be published; None below one step, where a band would tell it."""
    rounded = exact - exact % step
    return Count(value=rounded, step=step, how="banded") if rounded > 0 else None


def describe(declared: DatasetDescription, measured: Measured) -> Record:
    """The record of a dataset. What was measured comes before what was declared."""
    columns = measured.columns.columns if measured.columns else ()
    known = {column.name for column in columns}
    codings = {name: code for name, code in declared.codings.items() if name in known}
    age = ("Age",) if measured.ages else ()
    return Record(
        declared=declared,
        variables=tuple(_variable(column, codings.get(column.name)) for column in columns),
        structured=bool(columns),
        records=measured.records,
        persons=measured.persons,
        ages=measured.ages,
        temporal=measured.temporal or declared.temporal,
        coding_systems=_once(measured.coding_systems, declared.coding_systems, codings.values()),
        personal_data=_once(("HealthRecord",), age, declared.personal_data),
        label=measured.label,
        modified=measured.on,
    )


def missing(record: Record) -> tuple[Gap, ...]:
    """The mandatory elements (access level NON_PUBLIC) that are not there; none: publish it.

    Access rights, legislation, data theme and dataset type are the same for all.
    """
    return _lacking(record, _MANDATORY)


def advised(record: Record) -> tuple[Gap, ...]:
    """The recommended elements that are not there. Regulation (EU) 2026/2098 asks for most."""
    return _lacking(record, _RECOMMENDED)


def _lacking(record: Record, elements: dict[str, tuple[str, str]]) -> tuple[Gap, ...]:
    return tuple(
        Gap(element=element, remedy=remedy)
        for name, (element, remedy) in elements.items()
        if not getattr(record if name in Record.model_fields else record.declared, name)
    )


_MANDATORY = {
    "description": ("dct:description", "Say in `description` what the dataset holds"),
    "keywords": ("dcat:keyword", "List at least one word in `keywords`"),
    "categories": (
        "healthdcatap:healthCategory",
        "Name the points of Art. 51(1) in `categories`, such as a for electronic health records",
    ),
    "hdab": (
        "healthdcatap:hdab",
        "Name the health data access body in `hdab`, with its contact",
    ),
    "access_url": (
        "dcat:distribution",
        "Give in `access_url` the page where the body takes applications",
    ),
    "contact": ("dcat:contactPoint", "Name in `contact` whom to ask about the dataset"),
    "provenance": (
        "dct:provenance",
        "Say in `provenance` how the records came about and what was done to them",
    ),
    "variables": (
        "healthdcatap:hasVariables",
        "Describe the dataset's columns in `columns`",
    ),
}
_RECOMMENDED = {
    "publisher": ("dct:publisher", "Name in `publisher` who answers for the dataset"),
    "custodian": ("geodcatap:custodian", "Name in `custodian` who keeps the records"),
    "languages": ("dct:language", "List the records' `languages`"),
    "themes": ("healthdcatap:healthTheme", "Name the `themes`"),
    "conforms_to": ("dct:conformsTo", "Name the data model in `conforms_to`, such as OMOP-CDM"),
    "generated_by": ("prov:wasGeneratedBy", "Name the activity in `generated_by`"),
    "population": ("healthdcatap:populationCoverage", "Say in `population` who is in it"),
    "legal_basis": ("dpv:hasLegalBasis", "Say in `legal_basis` why you may keep the records"),
    "purposes": ("dpv:hasPurpose", "List the `purposes` that you expect"),
    "countries": ("dct:spatial", "List the `countries`, such as DEU"),
    "retention": ("healthdcatap:retentionPeriod", "Say in `retention` for how long it is kept"),
    "frequency": ("dct:accrualPeriodicity", "Say in `frequency` how often it changes"),
    "temporal": ("dct:temporal", "Say in `temporal` from when the records are"),
    "coding_systems": ("healthdcatap:hasCodingSystem", "Name in `codings` what columns are from"),
    "records": ("healthdcatap:numberOfRecords", "Let the node count, in bands"),
    "persons": ("healthdcatap:numberOfUniqueIndividuals", "Let the node count, in bands"),
    "ages": ("healthdcatap:minTypicalAge", "Let the node look at the ages"),
    "label": ("dqv:hasQualityAnnotation", "Let the node make the dataset's label"),
}


def _variable(column: Column, coding: str | None) -> Variable:
    datatypes: dict[str, Literal["decimal", "boolean", "string"]] = {
        "numeric": "decimal", "binary": "boolean", "category": "string",
    }  # fmt: skip
    return Variable(
        name=column.name,
        title=column.name.replace("_", " "),
        datatype=datatypes[column.kind],
        description=_about(column),
        coding_system=coding,
    )


def _about(column: Column) -> str:
    """A sentence or two: the catalogue's profile demands one of every column."""
    said = [column.description.rstrip(".")] if column.description else []
    if column.kind == "numeric":
        unit = f" {column.unit}" if column.unit else ""
        said.append(f"From {column.minimum} to {column.maximum}{unit}")
    elif column.kind == "binary":
        said.append("Yes or no")
    else:
        said.append("One of: " + ", ".join(column.categories))
    said.append("May be missing" if column.nullable else "Always there")
    return ". ".join(said)[:4990] + "."


def _once(*groups: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for group in groups for code in group))
