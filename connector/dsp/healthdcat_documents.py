"""What is said of a dataset, as documents: declared by the hospital, measured by its node.

Its public record after HealthDCAT-AP Release 8 is made of both (see `healthdcat`).
"""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from connector.dsp import healthdcat_terms as terms
from connector.schema import ColumnName, Schema
from policies import purposes
from policies.document import Document
from policies.permit import Name

Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,300}$")]
Prose = Annotated[str, StringConstraints(min_length=1, max_length=5000)]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s<>\"]{1,64}@[A-Za-z0-9.-]{1,190}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s<>\"{}|\\^`]{1,1990}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
_Few = Field(default=(), max_length=50)


class Contact(Document):
    """A function, not a person: whom to write to. An e-mail address, a page, or both."""

    name: Line
    email: Email | None = None
    page: Url | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.email is None and self.page is None:
            raise ValueError("a contact needs an email or a page")
        return self


class Agent(Document):
    """An organisation; `type` is a code of the list of health publisher types."""

    name: Line
    contact: Contact
    type: Code | None = None
    id: Url | None = None


class Period(Document):
    """From `start` to `end`; one of them may be open."""

    start: date | None = None
    end: date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start is None and self.end is None:
            raise ValueError("a period needs a start or an end")
        if self.start and self.end and self.start > self.end:
            raise ValueError("a period ends before it starts")
        return self


class DatasetDescription(Document):
    """What only the hospital knows of a dataset.

    Nothing but `id` and `title` is demanded here: `healthdcat.missing` says what else must be
    there, all at once.

    `categories` are points of Art. 51(1) (`a` to `q`), `purposes` short names of Art. 53,
    `themes` and `generated_by` codes of the lists of health themes and activities, `conforms_to`
    and `coding_systems` of those of standards and coding systems. `codings` says which coding
    system a column's values are from. `language` is the one that the texts here are written in,
    `languages` those of the records.
    """

    id: Name
    title: Line
    language: Language = "en"
    description: Prose | None = None
    keywords: Annotated[tuple[Line, ...], _Few]
    categories: Annotated[tuple[Annotated[str, Field(pattern="^[a-q]$")], ...], _Few]
    themes: Annotated[tuple[Code, ...], _Few]
    hdab: Agent | None = None
    publisher: Agent | None = None
    custodian: Agent | None = None
    contact: Contact | None = None
    access_url: Url | None = None
    provenance: Prose | None = None
    legal_basis: Prose | None = None
    purposes: Annotated[tuple[Name, ...], _Few]
    personal_data: Annotated[tuple[Code, ...], _Few]
    population: Prose | None = None
    languages: Annotated[tuple[Language, ...], _Few]
    countries: Annotated[tuple[Country, ...], _Few]
    temporal: Period | None = None
    retention: Period | None = None
    frequency: Code | None = None
    generated_by: Code | None = None
    conforms_to: Annotated[tuple[Code, ...], _Few]
    coding_systems: Annotated[tuple[Code, ...], _Few]
    codings: Annotated[dict[ColumnName, Code], Field(default_factory=dict, max_length=512)]

    @field_validator("themes")
    @classmethod
    def _known_themes(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        for code in codes:
            if code not in terms.HEALTH_THEMES:
                raise ValueError(f"{code!r} is not one of {', '.join(sorted(terms.HEALTH_THEMES))}")
        return codes

    @field_validator("purposes")
    @classmethod
    def _known_purposes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in purposes.ALLOWED:
                raise ValueError(f"{name!r} is not a purpose of Art. 53")
        return names

    @field_validator("language")
    @classmethod
    def _official(cls, code: str) -> str:
        if code not in terms.LANGUAGES:
            raise ValueError(f"{code!r} is not an official language of the Union")
        return code

    @field_validator("languages")
    @classmethod
    def _all_official(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._official(code) for code in codes)


class Count(Document):
    """A number of records or people that may be published: `value` is a multiple of `step`.

    `banded`: rounded down to a multiple. `noisy`: a released value with noise, rounded to `step`.
    Threat: an exact count, compared before and after one person has left.
    """

    value: Annotated[int, Field(ge=1, le=1 << 50)]
    step: Annotated[int, Field(ge=2, le=1 << 40)]
    how: Literal["banded", "noisy"]

    @model_validator(mode="after")
    def _rounded(self) -> Self:
        if self.value % self.step:
            raise ValueError("a published count is a multiple of its step")
        return self


class Ages(Document):
    """Typical ages in years, coarse enough to be public."""

    youngest: Annotated[int, Field(ge=0, le=130)]
    oldest: Annotated[int, Field(ge=0, le=130)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.youngest > self.oldest:
            raise ValueError("the youngest is older than the oldest")
        return self


class LabelLink(Document):
    """A quality label of this dataset: where it is, and its `content` by digest."""

    url: Url
    content: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    issued: date


class Measured(Document):
    """What the node derives from its schema and its records.

    Each count has gone through `healthdcat.banded`, or through a mechanism; `coding_systems` come
    with the source, as OMOP's do.
    """

    columns: Schema | None = None
    records: Count | None = None
    persons: Count | None = None
    ages: Ages | None = None
    temporal: Period | None = None
    coding_systems: Annotated[tuple[Code, ...], _Few]
    label: LabelLink | None = None
    on: date | None = None


class Variable(Document):
    """A column as a catalogue shows it; `datatype` is one of CSV on the Web."""

    name: ColumnName
    title: Line
    datatype: Literal["decimal", "boolean", "string"]
    description: Prose
    coding_system: Code | None = None


class Record(Document):
    """A dataset's record: what was declared, completed by what was measured."""

    declared: DatasetDescription
    variables: tuple[Variable, ...]
    structured: bool
    records: Count | None
    persons: Count | None
    ages: Ages | None
    temporal: Period | None
    coding_systems: tuple[Code, ...]
    personal_data: tuple[Code, ...]
    label: LabelLink | None
    modified: date | None

    @property
    def id(self) -> str:
        """The dataset's."""
        return self.declared.id


class Gap(Document):
    """A mandatory element that a record lacks, and what to do about it."""

    element: str
    remedy: str
