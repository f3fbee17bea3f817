import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connector.features import FeatureMap
from connector.schema import Column

NAN = math.nan
AGE = Column(name="age", kind="numeric", minimum=20, maximum=80)
KAPPA = Column(name="kappa", kind="numeric", minimum="0.01", maximum=100, transform="log")
CREATININE = Column(name="creatinine", kind="numeric", minimum=0, maximum=10, nullable=True)
PAIN = Column(name="pain", kind="category", categories=("none", "mild", "severe"))
WARD = Column(name="ward", kind="category", categories=("a", "b"), nullable=True)
SEX = Column(name="sex", kind="binary")
DIED = Column(name="died", kind="binary")


def encode(column, *values):
    outcome = np.zeros(len(values))
    return FeatureMap(columns=(column,), outcome=DIED).apply(
        {column.name: np.array(values, dtype=np.float64), "died": outcome}
    )


def test_numbers_are_clipped_to_their_public_bounds_and_scaled():
    features, _, _ = encode(AGE, -5, 20, 50, 80, 1e300, math.inf)
    assert features[:, 0].tolist() == [-1, -1, 0, 1, 1, 1]


def test_a_logarithm_is_taken_within_the_bounds():
    features, _, _ = encode(KAPPA, -3, 0, 0.01, 1, 100, 1e9)
    assert features[:, 0] == pytest.approx([-1, -1, -1, 0, 1, 1])


def test_a_missing_number_is_zero_and_says_so():
    features, _, known = encode(CREATININE, NAN, 10)
    assert features.tolist() == [[0, 1], [1, 0]]
    assert known.all()


def test_a_category_is_one_input_each_but_the_first_and_an_unknown_one_is_nothing():
    features, _, known = encode(PAIN, 0, 1, 2, 7, -1, 0.5)
    assert features.tolist() == [[0, 0], [1, 0], [0, 1], [0, 0], [0, 0], [0, 0]]
    assert known.all()


def test_a_missing_category_differs_from_the_first():
    features, _, _ = encode(WARD, 0, 1, NAN)
    assert features.tolist() == [[0, 0], [1, 0], [0, 1]]


def test_rows_without_an_outcome_or_a_needed_value_are_not_known():
    features, outcome, known = FeatureMap(columns=(AGE, SEX), outcome=DIED).apply(
        {
            "age": np.array([50.0, NAN, 50, 50, 50]),
            "sex": np.array([1.0, 1, NAN, 0, 1]),
            "died": np.array([1.0, 1, 1, NAN, 0]),
        }
    )
    assert known.tolist() == [True, False, False, False, True]
    assert outcome[known].tolist() == [1, 0]
    assert np.isfinite(features).all()


def test_inputs_are_named_in_their_order():
    feature_map = FeatureMap(columns=(PAIN, CREATININE, WARD, SEX), outcome=DIED)
    assert feature_map.input_names == (
        *("pain = mild", "pain = severe", "creatinine", "creatinine missing"),
        *("ward = b", "ward missing", "sex"),
    )
    assert feature_map.width == 7
    assert FeatureMap.decode(feature_map.encode()) == feature_map


@given(st.lists(st.floats(), min_size=1, max_size=20), st.sampled_from([AGE, KAPPA, CREATININE]))
def test_no_number_in_a_file_can_make_an_input_exceed_one(values, column):
    features, _, known = encode(column, *values)
    assert features.dtype == np.float32
    assert (np.abs(features) <= 1).all()
    assert known.tolist() == [column.nullable or not math.isnan(value) for value in values]


@given(st.decimals("0.001", "9e5", places=3), st.decimals("0.001", "9e5", places=3))
def test_the_ends_of_any_bounds_are_minus_one_and_one(one, other):
    low, high = sorted((one, other))
    if low == high:
        return
    for transform in ("linear", "log"):
        column = Column(name="x", kind="numeric", minimum=low, maximum=high, transform=transform)
        features, _, _ = encode(column, float(low), float(high))
        assert features[:, 0] == pytest.approx([-1, 1])


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [((AGE, AGE), DIED), ((AGE, DIED), DIED), ((SEX,), AGE), ((), DIED)],
)
def test_a_map_that_makes_no_sense_is_refused(columns, outcome):
    with pytest.raises(ValidationError):
        FeatureMap(columns=columns, outcome=outcome)


def test_too_many_inputs_are_refused():
    names = tuple(str(n) for n in range(256))
    wide = [Column(name=f"c{n}", kind="category", categories=names) for n in range(17)]
    with pytest.raises(ValidationError, match="4096"):
        FeatureMap(columns=tuple(wide), outcome=DIED)


def test_a_map_is_read_without_numpy():
    program = (
        "import sys;"
        "from connector.features import FeatureMap; from connector.schema import Column;"
        "FeatureMap(columns=(Column(name='a', kind='binary'),),"
        " outcome=Column(name='b', kind='binary')).width; sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
