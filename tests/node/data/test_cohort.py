import csv
import io
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import LocalError
from connector.folds import Split
from node.data import cohort, opt_outs
from node.data.dataset import Dataset

SPLIT = Split(salt="5a" * 16, holdout="0.4")
HEART = Path(__file__).parents[4] / "shared" / "data" / "heart4"
HEART_FIELDS = [
    *("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg"),
    *("thalach", "exang", "oldpeak", "slope", "ca", "thal", "num"),
]


def dataset(**changes):
    table = {
        "id": "north/ward",
        "title": "A ward",
        "person_column": "person",
        "source": {"kind": "csv", "path": "ward.csv", "missing": ["", "?"]},
        "columns": [
            {"name": "age", "kind": "numeric", "minimum": 20, "maximum": 90},
            {"name": "sex", "kind": "binary", "true": ["F"], "false": ["M"]},
            {
                "name": "pain",
                "kind": "category",
                "categories": ["none", "mild"],
                "codes": {"4": "mild"},
            },
            {"name": "days", "kind": "numeric", "minimum": 0, "maximum": 100},
            {"name": "death", "kind": "binary", "true": ["dead"], "false": ["alive"]},
        ],
        "derived": [
            {"kind": "event_within", "name": "died", "event": "death", "time": "days", "days": 365},
            {"kind": "above", "name": "old", "column": "age", "threshold": 65},
        ],
    }
    return Dataset.model_validate(table | changes)


def build(rows, permitted=("age",), opted_out=frozenset(), **changes):
    content = "person,age,sex,pain,days,death\n" + "".join(f"{row}\n" for row in rows)
    file = io.BytesIO(content.encode())
    return cohort.build(dataset(**changes), file, permitted, SPLIT, frozenset(opted_out))


def same(values, expected):
    return np.array_equal(values, np.array(expected, dtype=float), equal_nan=True)


NAN = float("nan")


def test_cells_become_numbers_codes_and_gaps_within_public_bounds():
    view = build(["a,150,F,none,1,alive", "b,?,M,4,,dead", "c,-3,,mild,3,"], ("age", "sex", "pain"))
    assert same(view.columns["age"], [90, NAN, 20])
    assert same(view.columns["sex"], [1, 0, NAN])
    assert same(view.columns["pain"], [0, 1, 1])


def test_a_view_has_the_permitted_columns_and_no_other():
    view = build(["a,50,F,none,400,alive"], ("died",))
    assert list(view.columns) == ["died"]
    assert set(vars(view)) == {"columns", "person", "holdout", "opt_outs_unmatched"}


def test_unpermitted_columns_are_not_even_parsed():
    view = build(["a,50,not a sex,,,"], ("age",))
    assert same(view.columns["age"], [50])


def test_an_event_within_a_window_is_known_or_censored():
    cases = {
        "dead at 364": 1.0,
        "dead at 365": 1.0,
        "dead at 366": 0.0,
        "alive at 364": NAN,
        "alive at 365": 0.0,
        "alive at 9999": 0.0,
        " at 100": NAN,
        " at 365": NAN,
        " at 366": 0.0,
        "dead at ": NAN,
    }
    rows = [
        f"p{n},50,F,none,{case.split(' at ')[1]},{case.split(' at ')[0]}"
        for n, case in enumerate(cases)
    ]
    # The window lies beyond the public bound of `days`: bounds clip what tasks see, not this.
    assert same(build(rows, ("died",)).columns["died"], list(cases.values()))


def test_above_a_threshold():
    view = build(["a,65,,,,", "b,66,,,,", "c,,,,,"], ("old",))
    assert same(view.columns["old"], [0, 1, NAN])


def test_a_column_that_the_dataset_lacks_is_named():
    with pytest.raises(LocalError, match="has no column 'name'; it has age, sex"):
        build(["a,50,,,,"], ("age", "name"))


@pytest.mark.parametrize("column", ["sex", "pain", "age"])
def test_a_value_that_fits_nothing_is_an_error_at_its_row(column):
    rows = ["a,50,F,none,,", "b,60,XYZZY,XYZZY,,".replace("60", "XYZZY")]
    with pytest.raises(LocalError) as caught:
        build(rows, (column,))
    assert caught.value.code == "VALUE_UNREADABLE"
    assert f"column '{column}'" in caught.value.message
    assert "row 2" in caught.value.message
    assert "XYZZY" not in caught.value.diagnostics()


def test_a_declared_share_of_unreadable_values_counts_as_missing():
    rows = [f"p{n},{'x' if n in (3, 7) else 50},,,," for n in range(10)]
    view = build(rows, max_invalid_share="0.2")
    assert np.isnan(view.columns["age"]).nonzero()[0].tolist() == [3, 7]
    with pytest.raises(LocalError, match="row 4"):
        build(rows, max_invalid_share="0.1")


def test_those_who_opted_out_are_not_there_and_not_even_parsed():
    rows = ["a,50,,,,", " b ,unreadable,,,,", "c,70,,,,"]
    view = build(rows, opted_out={"b", "who never came"})
    assert same(view.columns["age"], [50, 70])
    assert len(view.holdout) == 2


def test_people_are_counted_before_anything_is_asked_of_them():
    view = build(["a,50,,,,", "a,51,,,,", "b,?,,,,", "c,70,,,,"], opted_out={"c"})
    assert view.people == 2
    assert len(view.person) == 2


def test_opt_outs_that_match_nobody_are_counted():
    view = build(["a,50,,,,", "b,60,,,,", "b,61,,,,"], opted_out={"b", "B", "who never came"})
    assert view.opt_outs_unmatched == 2


def test_one_person_in_several_spellings_is_one_person():
    view = build(["123,50,,,,", "123.0,60,,,,", "0123,70,,,,", " 123 ,80,,,,"])
    assert view.people == 1
    assert same(view.columns["age"], [50])


@pytest.mark.parametrize("spelling", ["123", "123.0", "0123"])
def test_an_opt_out_matches_a_record_in_whatever_spelling(spelling):
    listed = opt_outs.read(Path("o.txt"), io.BytesIO(f"{spelling}\n".encode()))
    view = build(["123.0,50,,,,", "124.0,60,,,,", "0123,70,,,,"], opted_out=listed)
    assert same(view.columns["age"], [60])
    assert view.opt_outs_unmatched == 0


def parquet_of(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    described = dataset(
        source={"kind": "parquet", "path": "w"},
        columns=[{"name": "age", "kind": "numeric", "minimum": 20, "maximum": 90}],
        derived=[],
    )

    def build(opted_out=frozenset()):
        file = io.BytesIO(buffer.getvalue())
        return cohort.build(described, file, ("age",), SPLIT, frozenset(opted_out))

    return build


LARGE = 123456789012345678


@pytest.mark.parametrize(
    "person",
    [
        pa.array([LARGE, 5], pa.int64()),
        pa.array([LARGE, 5], pa.uint64()),
        pa.array([Decimal(LARGE), Decimal(5)], pa.decimal128(20, 0)),
        pa.array([Decimal(LARGE), Decimal(5)], pa.decimal128(20, 2)),
        pa.array([str(LARGE), "5"]),
        pa.array([Decimal(LARGE), Decimal(5)], pa.decimal128(20, 0)).dictionary_encode(),
    ],
    ids=["int64", "uint64", "decimal", "decimal with a scale", "text", "dictionary"],
)
def test_identifiers_in_parquet_are_exact(person):
    view = parquet_of(person=person, age=[50, 60])({str(LARGE)})
    assert same(view.columns["age"], [60])
    everybody = parquet_of(person=person, age=[50, 60])({str(LARGE + 1)})  # the same float
    assert everybody.people == 2


def test_floats_as_identifiers_in_parquet_match_their_text_while_they_are_exact():
    view = parquet_of(person=[1.0, 2.0, 2.0**53 - 1], age=[50, 60, 70])({"2", str(2**53 - 1)})
    assert same(view.columns["age"], [50])


@pytest.mark.parametrize(
    ("person", "code"),
    [
        (pa.array([7.0, 2.0**53]), "PERSON_UNREADABLE"),
        (pa.array([7.0, 1.5]), "PERSON_UNREADABLE"),
        (pa.array([True, False]), "PERSON_UNREADABLE"),
        (pa.array([7.0, None]), "PERSON_MISSING"),
        (pa.array([7.0, NAN]), "PERSON_MISSING"),
        (pa.array([7.0, 8.0], pa.float32()), "COLUMN_UNREADABLE"),
        (pa.array([7, 8], pa.timestamp("s")), "COLUMN_UNREADABLE"),
    ],
)
def test_identifiers_in_parquet_that_are_not_exact_are_refused(person, code):
    with pytest.raises(LocalError) as caught:
        parquet_of(person=person, age=[50, 60])()
    assert caught.value.code == code
    assert caught.value.__context__ is None


def test_a_rounded_identifier_is_refused_at_its_row():
    with pytest.raises(LocalError) as caught:
        build(["a,50,,,,", "1.23457e+17,60,,,,"])
    assert caught.value.code == "PERSON_UNREADABLE"
    assert "row 2" in caught.value.message
    assert "1.23457e+17" not in caught.value.diagnostics()


def test_the_marker_of_a_missing_value_is_nobody():
    with pytest.raises(LocalError) as caught:
        build(["a,50,,,,", "?,60,,,,"])
    assert caught.value.code == "PERSON_MISSING"


def test_decimals_of_a_dictionary_are_numbers():
    dose = pa.array([Decimal("21.50"), None]).dictionary_encode()
    assert same(parquet_of(person=["a", "b"], age=dose)().columns["age"], [21.5, NAN])


def test_a_marker_of_missing_values_may_have_a_decimal_comma():
    view = cohort.build(
        dataset(
            source={"kind": "csv", "path": "w", "decimal_mark": ",", "delimiter": ";"},
            columns=[
                {
                    "name": "age",
                    "kind": "numeric",
                    "minimum": 20,
                    "maximum": 90,
                    "missing": ["-9,9", Decimal("-8.8")],
                }
            ],
            derived=[],
        ),
        io.BytesIO(b"person;age\na;-9,9\nb;-9,90\nc;-8,8\nd;50,5\n"),
        ("age",),
        SPLIT,
    )
    assert same(view.columns["age"], [NAN, NAN, NAN, 50.5])


def test_a_row_without_its_person_is_refused():
    with pytest.raises(LocalError) as caught:
        build(["a,50,,,,", " ,60,,,,"])
    assert caught.value.code == "PERSON_MISSING"
    assert "row 2" in caught.value.message


def test_each_person_contributes_the_first_rows_up_to_the_bound():
    rows = ["a,21,,,,", "b,22,,,,", "a,23,,,,", "a,24,,,,", "b,25,,,,"]
    one = build(rows)
    assert same(one.columns["age"], [21, 22])
    two = build(rows, max_rows_per_person=2)
    assert same(two.columns["age"], [21, 22, 23, 25])
    assert two.person.tolist() == [0, 1, 0, 1]


people = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(20, 90)), min_size=2, max_size=24
)


def contributions(rows, bound, opted_out=frozenset()):
    """Each person's values and fold, by identifier (which the view itself no longer has)."""
    view = build(
        [f"{person},{age},,,," for person, age in rows],
        opted_out=opted_out,
        max_rows_per_person=bound,
    )
    order = list(dict.fromkeys(person for person, _ in rows if person not in opted_out))
    assert len(order) == len(view.holdout)
    return {
        person: (view.columns["age"][view.person == index].tolist(), bool(view.holdout[index]))
        for index, person in enumerate(order)
    }


@given(people, st.integers(1, 3), st.data())
def test_removing_a_person_changes_nothing_about_any_other(rows, bound, data):
    everybody = contributions(rows, bound)
    leaver = data.draw(st.sampled_from(sorted(everybody)))
    rest = [(person, age) for person, age in rows if person != leaver]
    assert all(len(values) <= bound for values, _ in everybody.values())
    remaining = {person: part for person, part in everybody.items() if person != leaver}
    assert contributions(rows, bound, frozenset({leaver})) == remaining
    if rest:
        assert contributions(rest, bound) == remaining


def row_folds(ages):
    view = cohort.build(
        dataset(person_column="row"),
        io.BytesIO(("age,sex,pain,days,death\n" + "".join(f"{a},,,,\n" for a in ages)).encode()),
        ("age",),
        SPLIT,
    )
    assert view.person.tolist() == list(range(len(ages)))
    return list(zip(view.columns["age"].tolist(), view.holdout.tolist(), strict=True))


@given(st.lists(st.integers(20, 90), min_size=2, max_size=20), st.data())
def test_where_rows_are_persons_a_removed_row_moves_no_other(ages, data):
    gone = data.draw(st.integers(0, len(ages) - 1))
    before = row_folds(ages)
    assert row_folds(ages[:gone] + ages[gone + 1 :]) == before[:gone] + before[gone + 1 :]
    assert row_folds(ages[::-1]) == before[::-1]


def test_where_rows_are_persons_the_fold_is_the_same_for_every_permit():
    content = b"age,sex,pain,days,death\n" + b"".join(b"%d,F,none,,\n" % n for n in range(20, 60))
    views = [
        cohort.build(dataset(person_column="row"), io.BytesIO(content), columns, SPLIT)
        for columns in (("age",), ("sex", "pain"))
    ]
    assert views[0].holdout.tolist() == views[1].holdout.tolist()
    assert 0 < views[0].holdout.sum() < 40


def test_a_view_shows_no_record():
    view = build(["a,77,,,,"])
    assert "77" not in repr(view)


def heart(hospital):
    path = HEART / f"processed.{hospital}.data"
    if not path.exists():
        pytest.skip(f"{path} is not here: the hospitals' files are not in the repository")
    numeric = {
        "age": (20, 85, []),
        "trestbps": (80, 200, ["0"]),
        "chol": (0, 600, ["0"]),
        "thalach": (60, 205, []),
        "oldpeak": (-3, 7, []),
        "num": (0, 4, []),
    }
    columns = [
        {"name": name, "kind": "numeric", "minimum": low, "maximum": high, "missing": missing}
        for name, (low, high, missing) in numeric.items()
    ]
    columns += [{"name": name, "kind": "binary"} for name in ("sex", "fbs", "exang")]
    columns += [
        {"name": "cp", "kind": "category", "categories": ["1", "2", "3", "4"]},
        {"name": "restecg", "kind": "category", "categories": ["0", "1", "2"]},
    ]
    described = Dataset.model_validate(
        {
            "id": f"{hospital}/heart",
            "title": "Heart disease",
            "person_column": "row",
            "source": {
                "kind": "csv",
                "path": path,
                "header": False,
                "names": HEART_FIELDS,
                "missing": ["?"],
            },
            "columns": columns,
            "derived": [{"kind": "above", "name": "disease", "column": "num", "threshold": 0}],
        }
    )
    with path.open("rb") as file:
        return path, cohort.build(described, file, described.schema.names, SPLIT)


@pytest.mark.parametrize(
    ("hospital", "rows", "positive"),
    [
        ("cleveland", 303, 0.459),
        ("hungarian", 294, 0.361),
        ("switzerland", 123, 0.935),
        ("va", 200, 0.745),
    ],
)
def test_the_four_heart_files_load_as_declared(hospital, rows, positive):
    path, view = heart(hospital)
    assert len(view.person) == rows
    assert view.columns["disease"].mean() == pytest.approx(positive, abs=0.0006)
    raw = list(csv.reader(path.read_text().splitlines()))
    for name in ("chol", "trestbps"):
        cells = [row[HEART_FIELDS.index(name)] for row in raw]
        gaps = [cell == "?" or float(cell) == 0 for cell in cells]
        assert np.isnan(view.columns[name]).tolist() == gaps
    cells = [row[HEART_FIELDS.index("cp")] for row in raw]
    assert view.columns["cp"].tolist() == [float(cell) - 1 for cell in cells]


def test_a_cholesterol_of_zero_is_a_gap_in_all_of_switzerland():
    assert np.isnan(heart("switzerland")[1].columns["chol"]).all()
    assert np.isnan(heart("va")[1].columns["chol"]).sum() == 49 + 7
