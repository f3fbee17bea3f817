import csv
import io
import os
import traceback
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from connector.errors import LocalError
from connector.folds import Split
from node.data import cohort
from node.data.dataset import CsvSource, Dataset, ParquetSource
from node.data.sources import open_file, read

SPLIT = Split(salt="5a" * 16, holdout="0.25")
CANARY = "QX7CANARY7QX"


def rows_of(source, content, declared, wanted=None):
    file = io.BytesIO(content)
    batches = list(read(source, file, declared, wanted or declared, person=declared[0]))
    return {
        field: [cell for batch in batches for cell in batch.cells[field]]
        for field in (wanted or declared)
    }


def csv_source(**changes):
    return CsvSource.model_validate({"kind": "csv", "path": "ward.csv", **changes})


def refusal(content, declared=("age", "sex"), **changes):
    with pytest.raises(LocalError) as caught:
        rows_of(csv_source(**changes), content, declared)
    return caught.value


def test_only_wanted_fields_are_kept():
    content = b"name,age,sex\nAnna,50,F\nBert,60,M\n"
    assert rows_of(csv_source(), content, ["age", "sex"], ["age"]) == {"age": ["50", "60"]}


def test_a_file_without_header_is_read_by_the_declared_names():
    source = csv_source(header=False, names=["age", "sex"], delimiter=";")
    assert rows_of(source, b"50;F\n60;M", ["sex"]) == {"sex": ["F", "M"]}


def test_byte_order_mark_quotes_blank_lines_and_carriage_returns_are_read():
    content = '\ufeffage,sex\r\n"5\n0",F\r\n\r\n60,"M,""x"""\r\n'.encode()
    assert rows_of(csv_source(), content, ["age", "sex"]) == {
        "age": ["5\n0", "60"],
        "sex": ["F", 'M,"x"'],
    }


def test_other_encodings_are_read_if_declared():
    content = "age,sex\n50,männlich\n".encode("cp1252")
    assert rows_of(csv_source(encoding="cp1252"), content, ["sex"]) == {"sex": ["männlich"]}
    assert refusal(content).code == "FILE_UNREADABLE"


def test_a_limit_that_another_library_lifted_is_set_again():
    csv.field_size_limit(1 << 30)
    assert refusal(b"age,sex\n1," + b"F" * 200_000).code == "FILE_UNREADABLE"


def test_batches_count_their_rows():
    content = b"age\n" + b"1\n" * 40_000
    batches = list(read(csv_source(), io.BytesIO(content), ["age"], ["age"], person="age"))
    assert [batch.first_row for batch in batches] == [1, 16_385, 32_769]
    assert sum(batch.rows for batch in batches) == 40_000


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        (b"", "FILE_EMPTY", "ward.csv"),
        (b"age,sex\n", "FILE_EMPTY", "ward.csv"),
        (b"\n\n", "FILE_EMPTY", "ward.csv"),
        (b"age,sex\n1,F\n2\n", "ROW_RAGGED", "line 3"),
        (b"age,sex\n1,F\n2,M,x\n", "ROW_RAGGED", "line 3"),
        (b'age,sex\n1,F\n2,"M\n', "FILE_UNREADABLE", "line 3"),
        (b'age,sex\n1,F\n2,"M"x\n', "FILE_UNREADABLE", "line 3"),
        (b"age,sex\n1," + b"F" * 200_000, "FILE_UNREADABLE", "line 2"),
        (b"age,sex\n1,\xff\n", "FILE_UNREADABLE", "encoding"),
        (b"PK\x03\x04\x00\x00\x00", "FILE_UNREADABLE", "not text"),
        (b"age,ward\n1,F\n", "COLUMN_MISSING", "'sex'"),
        (b"age,sex,sex\n1,F,F\n", "COLUMN_TWICE", "'sex'"),
    ],
)
def test_each_flaw_of_a_file_has_a_code_a_place_and_a_remedy(content, code, place):
    error = refusal(content)
    assert error.code == code
    assert place in error.message
    assert error.remedy


def test_a_missing_column_is_named_beside_those_that_the_file_has():
    error = refusal(b"patient,age,Sex\n1,50,F\n", declared=("patient", "age", "sex"))
    assert "no column 'sex'" in error.message
    assert "patient, age, Sex" in error.message


def test_a_record_in_the_place_of_the_header_is_not_shown():
    for first in (b"50,Anna\n", b"Anna,F\n", b"age,Anna\n"):
        error = refusal(first + b"60,M\n", declared=("age", "sex"))
        assert error.code == "COLUMN_MISSING"
        assert "Anna" not in error.diagnostics()
        assert "header = false" in error.remedy


def test_the_name_of_a_headerless_column_that_is_not_in_names_may_be_shown():
    error = refusal(b"1,2\n", header=False, names=["age", "ward"])
    assert "it has age, ward" in error.message


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


PARQUET = ParquetSource.model_validate({"kind": "parquet", "path": "ward.parquet"})


def test_parquet_yields_numbers_texts_and_nulls():
    content = parquet(age=[50.5, None], sex=["F", "M"], ill=[True, False], person=[2**60 + 1, 7])
    assert rows_of(PARQUET, content, ["age", "sex", "ill", "person"]) == {
        "age": [50.5, None],
        "sex": ["F", "M"],
        "ill": [True, False],
        "person": [2**60 + 1, 7],
    }


def test_parquet_dictionaries_and_decimals_are_read():
    content = parquet(
        sex=pa.array(["F", "M"]).dictionary_encode(),
        dose=pa.array(["1.50", "2"]).cast(pa.decimal128(9, 2)),
    )
    assert rows_of(PARQUET, content, ["sex", "dose"]) == {"sex": ["F", "M"], "dose": [1.5, 2.0]}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "FILE_UNREADABLE"),
        (b"age\n50\n", "FILE_UNREADABLE"),
        (parquet(age=[1])[:-20], "FILE_UNREADABLE"),
        (parquet(age=pa.array([], pa.int64())), "FILE_EMPTY"),
        (parquet(sex=["F"]), "COLUMN_MISSING"),
        (parquet(age=[[1, 2]]), "COLUMN_UNREADABLE"),
        (parquet(age=pa.array([0], pa.timestamp("s"))), "COLUMN_UNREADABLE"),
    ],
)
def test_each_flaw_of_a_parquet_file_has_a_code(content, code):
    with pytest.raises(LocalError) as caught:
        rows_of(PARQUET, content, ["age"])
    assert caught.value.code == code


def test_text_in_parquet_that_is_not_utf8_is_an_error_that_does_not_show_it():
    raw = pa.array([b"ok", CANARY.encode() + b"\xff"]).view(pa.string())
    with pytest.raises(LocalError) as caught:
        rows_of(PARQUET, parquet(age=raw), ["age"])
    assert caught.value.code == "FILE_UNREADABLE"
    assert CANARY not in everything_in(caught.value)


def test_a_damaged_page_is_an_error_and_not_a_value():
    content = bytearray(parquet(age=[CANARY] * 1000))
    for position in range(4, 40):
        content[position] ^= 0xFF
    with pytest.raises(LocalError) as caught:
        rows_of(PARQUET, bytes(content), ["age"])
    assert caught.value.code == "FILE_UNREADABLE"


def test_a_fingerprint_is_of_the_declared_fields_whatever_is_wanted():
    content = b"name,age,sex\nAnna,50,F\nBert,50,F\nCarl,50,M\n"

    def prints(wanted, declared=("age", "sex")):
        batches = read(csv_source(), io.BytesIO(content), declared, wanted, person=None)
        return next(iter(batches)).fingerprints

    first, second, third = prints(["age"])
    assert first == second != third
    assert prints(["sex"]) == [first, second, third]
    assert prints(["age"], ("age",)) != [first, second, third]


def test_files_are_opened_once_bounded_and_regular(tmp_path):
    path = tmp_path / "ward.csv"
    path.write_bytes(b"12345")
    os.close(open_file(path, 5))
    os.mkfifo(tmp_path / "pipe")
    for wrong, limit, code in (
        (path, 4, "FILE_TOO_LARGE"),
        (tmp_path / "none.csv", 9, "FILE_MISSING"),
        (tmp_path, 9_999, "FILE_UNREADABLE"),
        (tmp_path / "pipe", 9, "FILE_UNREADABLE"),
    ):
        before = open_descriptors()
        with pytest.raises(LocalError) as caught:
            open_file(wrong, limit)
        assert caught.value.code == code
        assert open_descriptors() == before


def open_descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def ward(**source):
    return Dataset.model_validate(
        {
            "id": "north/ward",
            "title": "A ward",
            "person_column": "person",
            "source": {"kind": "csv", "path": "ward.csv", **source},
            "columns": [
                {"name": "age", "kind": "numeric", "minimum": 0, "maximum": 120},
                {"name": "sex", "kind": "binary", "true": ["F"], "false": ["M"]},
                {"name": "ward", "kind": "category", "categories": ["north", "south"]},
            ],
        }
    )


def what_is_said(dataset, content, columns):
    """Everything that could be logged about a file that is refused; "" for one that is not."""
    try:
        cohort.build(dataset, io.BytesIO(content), columns, SPLIT)
    except LocalError as error:
        return everything_in(error)
    return ""


def everything_in(error):
    chain, texts = error, []
    while chain is not None:
        texts.append("".join(traceback.format_exception(chain)))
        texts.append(repr(chain) + repr(getattr(chain, "__dict__", "")))
        chain = chain.__cause__ or chain.__context__
    return "\n".join(texts)


cells = st.sampled_from([CANARY, f"{CANARY},", f'"{CANARY}', f'{CANARY}"', "F", "50", "", "north"])
lines = st.lists(st.lists(cells, min_size=1, max_size=5), min_size=1, max_size=6)


@given(lines, st.binary(max_size=3), st.sampled_from(["", "person,age,sex,ward\n"]))
@example([["1", CANARY, "F", "north"]], b"", "person,age,sex,ward\n")
@example([["1", "50", CANARY, "north"]], b"\xff", "person,age,sex,ward\n")
@example([[CANARY, "50", "F"]], b"", "person,age,sex,ward\n")
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_wrong_with_a_file_no_error_holds_a_cell(rows, tail, header):
    content = header.encode() + "\n".join(map(",".join, rows)).encode() + tail
    assert CANARY not in what_is_said(ward(), content, ("age", "sex", "ward"))


@given(st.lists(st.sampled_from([CANARY, "50", None]), min_size=1, max_size=5))
def test_no_error_about_a_parquet_file_holds_a_cell(values):
    dataset = ward(kind="parquet")
    content = parquet(
        person=[f"{CANARY}{n}" for n in range(len(values))], age=values, sex=values, ward=values
    )
    said = what_is_said(dataset, content, ("age", "sex"))
    assert bool(said) == (CANARY in values or "50" in values)  # 50 is no sex
    assert CANARY not in said
