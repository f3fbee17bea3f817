import tomllib
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from node.data.dataset import Dataset

FLCHAIN = """
id = "north/flchain"
title = "Serum free light chain, Olmsted County"
person_column = "person"
opt_outs = "opt-outs.txt"

[source]
kind = "csv"
path = "flchain.csv"

[[columns]]
name = "age"
kind = "numeric"
unit = "years"
minimum = 50
maximum = 101.5

[[columns]]
name = "sex"
kind = "binary"
true = ["F"]
false = ["M"]

[[columns]]
name = "days"
field = "futime"
kind = "numeric"
minimum = 0
maximum = 6000

[[columns]]
name = "death"
kind = "binary"
true = ["dead"]
false = ["alive"]

[[derived]]
kind = "event_within"
name = "died"
event = "death"
time = "days"
days = 3653
"""


def table():
    return tomllib.loads(FLCHAIN, parse_float=Decimal)


def test_a_toml_table_becomes_a_dataset_and_a_public_schema():
    dataset = Dataset.model_validate(table())
    assert dataset.schema.names == ("age", "sex", "days", "death", "died")
    assert dataset.schema.find("age").maximum == Decimal("101.5")
    assert dataset.schema.find("died").kind == "binary"


def test_the_public_schema_says_nothing_of_how_the_hospital_writes_its_files():
    encoded = Dataset.model_validate(table()).schema.encode()
    for private in (b"futime", b"dead", b"flchain.csv", b"missing"):
        assert private not in encoded


def test_paths_start_at_the_configuration_unless_they_are_absolute():
    dataset = Dataset.model_validate(table()).relative_to(Path("/srv/node"))
    assert dataset.source.path == Path("/srv/node/flchain.csv")
    assert dataset.opt_outs == Path("/srv/node/opt-outs.txt")
    assert dataset.relative_to(Path("/else")) == dataset


def test_a_dataset_survives_json():
    dataset = Dataset.model_validate(table())
    assert Dataset.model_validate_json(dataset.model_dump_json()) == dataset


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ((), {"person_column": "age"}),
        ((), {"person_column": "row"}),  # there are opt-outs, but nobody to find
        ((), {"max_rows_per_person": 0}),
        ((), {"max_invalid_share": Decimal("0.5")}),
        ((), {"secret": True}),
        (("source",), {"kind": "excel"}),
        (("source",), {"header": False}),
        (("source",), {"names": ["age"]}),
        (("source",), {"delimiter": ",,"}),
        (("source",), {"delimiter": "a"}),
        (("source",), {"delimiter": "a b"}),
        (("source",), {"delimiter": "  "}),
        (("source",), {"delimiter": "\t\t"}),
        (("source",), {"delimiter": ";\n"}),
        (("source",), {"delimiter": '"'}),
        (("source",), {"missing": ["F"]}),
        (("columns", 1), {"missing": ["dead", "M"]}),
        (("columns", 1), {"true": ["1"], "missing": ["1.0"]}),
        (("source",), {"decimal_mark": ","}),
        (("source",), {"encoding": "rot13"}),
        (("columns", 0), {"name": "sex"}),
        (("columns", 0), {"codes": {"1": "x"}}),
        (("columns", 0), {"maximum": 50}),
        (("columns", 1), {"false": ["F"]}),
        (("columns", 1), {"true": []}),
        (("columns", 1), {"true": ["1"], "false": ["1.0"]}),
        (("columns", 1), {"kind": "category", "categories": ["a", "b"], "codes": {"x": "c"}}),
        (("derived", 0), {"name": "death"}),
        (("derived", 0), {"event": "age"}),
        (("derived", 0), {"time": "nothing"}),
        (("derived", 0), {"days": 0}),
        (("derived", 0), {"kind": "formula"}),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(place, change):
    altered = table()
    target = altered
    for step in place:
        target = target[step]
    target.update(change)
    with pytest.raises(ValidationError):
        Dataset.model_validate(altered)


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t", " "])
def test_a_delimiter_is_one_character(delimiter):
    altered = table()
    altered["source"]["delimiter"] = delimiter
    assert Dataset.model_validate(altered).source.delimiter == delimiter


def test_spellings_are_numbers_by_the_files_decimal_mark():
    altered = table()
    altered["columns"][1] |= {"true": ["1"], "false": ["1,0"]}
    Dataset.model_validate(altered)
    altered["source"] |= {"decimal_mark": ",", "delimiter": ";"}
    with pytest.raises(ValidationError, match="same number"):
        Dataset.model_validate(altered)
