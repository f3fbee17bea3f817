from decimal import Decimal

import pytest
from pydantic import ValidationError

from connector.schema import Column, Schema
from policies import canonical
from policies.errors import PolicyError

AGE = Column(name="age", kind="numeric", minimum=Decimal(20), maximum=Decimal(85), unit="years")
SEX = Column(name="sex", kind="category", categories=("F", "M"))


def test_a_schema_survives_its_canonical_bytes():
    schema = Schema(columns=(AGE, SEX, Column(name="died", kind="binary", nullable=True)))
    assert Schema.decode(schema.encode()) == schema
    assert canonical.decode(schema.encode())["columns"][0]["minimum"] == "20"


@pytest.mark.parametrize("position", range(0, len(Schema(columns=(AGE,)).encode()), 3))
def test_altered_bytes_are_refused_or_are_another_schema(position):
    content = bytearray(Schema(columns=(AGE,)).encode())
    content[position] ^= 1
    try:
        altered = Schema.decode(bytes(content))
    except PolicyError:
        return
    assert altered != Schema(columns=(AGE,))


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "numeric"},
        {"kind": "numeric", "minimum": "1"},
        {"kind": "numeric", "minimum": "2", "maximum": "2"},
        {"kind": "numeric", "minimum": "0", "maximum": "9", "transform": "log"},
        {"kind": "numeric", "minimum": "0", "maximum": "NaN"},
        {"kind": "numeric", "minimum": "0", "maximum": "1E+400"},
        {"kind": "numeric", "minimum": "0", "maximum": "1", "categories": ["a", "b"]},
        {"kind": "binary", "minimum": "0", "maximum": "1"},
        {"kind": "binary", "categories": ["no", "yes"]},
        {"kind": "category"},
        {"kind": "category", "categories": ["only"]},
        {"kind": "category", "categories": ["a", "a"]},
        {"kind": "category", "categories": [str(n) for n in range(257)]},
        {"kind": "text"},
        {"kind": "binary", "name": "no spaces"},
        {"kind": "binary", "surprise": 1},
    ],
)
def test_a_column_that_contradicts_itself_is_refused(fields):
    with pytest.raises(ValidationError):
        Column.model_validate({"name": "x", **fields})


def test_a_name_occurs_once():
    with pytest.raises(ValidationError, match="twice"):
        Schema(columns=(SEX, SEX))


def test_columns_mean_the_same_whatever_their_bounds_but_not_whatever_their_unit():
    assert AGE.means_the_same_as(AGE.model_copy(update={"maximum": Decimal(90)}))
    assert not AGE.means_the_same_as(AGE.model_copy(update={"unit": "months"}))
    assert not SEX.means_the_same_as(SEX.model_copy(update={"categories": ("M", "F")}))


def test_a_column_is_found_by_its_name():
    schema = Schema(columns=(AGE, SEX))
    assert schema.find("sex") == SEX
    assert schema.find("name") is None
