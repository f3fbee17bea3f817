"""Arithmetic whose results must not depend on who else is in the batch: compared bit by bit."""

import ast
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.tasks import rowwise

SEEDS = st.integers(0, 2**32)
SCALES = st.sampled_from([1e-310, 1e-30, 1.0, 1e18, 1e200, 1e307])


def same_bits(one: Any, other: Any) -> bool:
    """Zero has its sign; of a result that is no number, IEEE 754 fixes only that it is none."""
    equal = (one.view(np.int64) == other.view(np.int64)) | (np.isnan(one) & np.isnan(other))
    return one.shape == other.shape and bool(equal.all())


def bits(array: Any) -> Any:
    return np.ascontiguousarray(array)


@settings(deadline=None, max_examples=200)
@given(SEEDS, st.integers(1, 70), st.integers(1, 100), st.integers(1, 40), SCALES)
def test_an_affine_map_gives_each_row_what_it_gives_that_row_alone(
    seed: int, rows: int, width: int, units: int, scale: float
) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(rows, width))
    weights, biases = generator.normal(size=(units, width)) * scale, generator.normal(size=units)
    whole = bits(rowwise.affine(values, weights, biases))
    alone = [rowwise.affine(row[None], weights, biases) for row in values]
    assert same_bits(whole, np.concatenate(alone))
    order = generator.permutation(rows)
    assert same_bits(bits(rowwise.affine(values[order], weights, biases)), whole[order])


@pytest.mark.parametrize("width", range(1, 101))
def test_an_affine_map_is_the_same_for_every_number_of_rows_at_every_width(width: int) -> None:
    generator = np.random.default_rng(width)
    values, weights = generator.normal(size=(70, width)), generator.normal(size=(1, width))
    whole = bits(rowwise.affine(values, weights))
    for rows in range(1, 71):
        assert same_bits(bits(rowwise.affine(values[:rows], weights)), whole[:rows])
        assert same_bits(bits(rowwise.affine(values[-rows:], weights)), whole[-rows:])


def test_an_affine_map_is_the_one_that_it_says() -> None:
    generator = np.random.default_rng(0)
    values, weights = generator.normal(size=(6, 5)), generator.normal(size=(4, 5))
    biases = generator.normal(size=4)
    for row, results in zip(values, rowwise.affine(values, weights, biases), strict=True):
        for unit, result in enumerate(results):
            exact = math.fsum([biases[unit], *(row * weights[unit])])
            assert result == pytest.approx(exact, rel=1e-13, abs=1e-14)


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.integers(1, 300), st.integers(1, 70), SCALES)
def test_a_norm_is_the_rows_own(seed: int, rows: int, width: int, scale: float) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, width)) * scale
    whole = rowwise.squared_norms(values)
    alone = [rowwise.squared_norms(row[None].copy()) for row in values]
    assert same_bits(whole, np.concatenate(alone))
    assert same_bits(bits(rowwise.squared_norms(values[::-1])[::-1]), whole)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 21, 100, 1025])
def test_a_norm_counts_every_element_once(width: int) -> None:
    values = np.random.default_rng(width).normal(size=(3, width))
    before = values.copy()
    exact = [math.fsum(value * value for value in row) for row in values.tolist()]
    assert rowwise.squared_norms(values).tolist() == pytest.approx(exact, rel=1e-14)
    assert np.array_equal(values, before)


def test_a_norm_too_large_for_a_number_is_infinite_and_silent(
    recwarn: pytest.WarningsRecorder,
) -> None:
    assert rowwise.squared_norms(np.array([[1e200, 1e200], [3, 4]])).tolist() == [math.inf, 25]
    assert np.isinf(rowwise.affine(np.array([[1e300]]), np.array([[1e300]]))).all()
    assert not recwarn.list  # a warning about a record would reach a log


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.lists(st.integers(1, 64), min_size=1, max_size=40), st.integers(1, 5))
def test_a_persons_sum_is_over_their_own_rows_in_their_own_order(
    seed: int, counts: list[int], width: int
) -> None:
    rows = np.random.default_rng(seed).normal(size=(sum(counts), width)) * 1e17
    sums = rowwise.sum_persons(rows, np.array(counts))
    start = 0
    for one, count in zip(sums, counts, strict=True):
        expected = rows[start].copy()
        for row in rows[start + 1 : start + count]:
            expected += row
        assert same_bits(one, expected)
        start += count


def test_nobody_has_no_sums_and_no_scores() -> None:
    assert rowwise.sum_persons(np.zeros((0, 3)), np.zeros(0, dtype=np.int64)).shape == (0, 3)
    assert rowwise.affine(np.zeros((0, 3)), np.ones((2, 3))).shape == (0, 2)
    assert rowwise.tanh(np.zeros((0, 2))).shape == (0, 2)
    assert list(rowwise.blocks(0, 5)) == []


def test_functions_of_one_number_are_the_c_librarys() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(size=997) * 5, [0, 800, -800]])
    assert rowwise.tanh(values).tolist() == [math.tanh(value) for value in values.tolist()]
    odds = [1 / (1 + math.exp(-value)) if value > -700 else 0.0 for value in values.tolist()]
    assert rowwise.logistic(values).tolist() == pytest.approx(odds, rel=1e-9, abs=1e-15)
    assert rowwise.logistic(np.array([-1e308, 0, 1e308, math.inf])).tolist() == [0, 0.5, 1, 1]


def test_blocks_cover_every_row_once() -> None:
    for rows, numbers in ((1, 1), (70_000, 1), (70_000, 300), (3, 1 << 20)):
        covered = [row for block in rowwise.blocks(rows, numbers) for row in range(rows)[block]]
        assert covered == list(range(rows))


# Reductions over integers are exact whatever the kernel, and named here.
EXACT = {"training.py": {"sum"}}
REDUCING = {
    *("dot", "matmul", "mm", "bmm", "addmm", "einsum", "inner", "tensordot", "linear", "Linear"),
    *("sum", "mean", "norm", "cumprod", "index_add_", "addcmul", "sigmoid", "exp", "softmax"),
    *("binary_cross_entropy_with_logits", "BCEWithLogitsLoss", "Tanh"),
}


@pytest.mark.parametrize(
    "name", ["rowwise.py", "models.py", "evaluation.py", "training.py", "persons.py"]
)
def test_no_kernel_that_may_depend_on_the_batch_is_called_on_records(name: str) -> None:
    # On another processor than the tests', the comparison of bits might not notice one.
    tree = ast.parse((Path(rowwise.__file__).parent / name).read_text())
    for node in ast.walk(tree):
        assert not isinstance(node, ast.MatMult)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in REDUCING - EXACT.get(name, set())
            if node.func.attr == "tanh":
                assert ast.unparse(node.func) == "rowwise.tanh"
