"""Figures read from score histograms."""

import random

import pytest

from connector import scores

EXACT = [[30, 20, 6, 2], [1, 4, 12, 25]]


def _by_pairs(histogram: list[list[int]]) -> float:
    """The definition: over all pairs, a win counts one and a tie a half."""
    wins = sum(
        without * having * (1 if high > low else 0.5 if high == low else 0)
        for low, without in enumerate(histogram[0])
        for high, having in enumerate(histogram[1])
    )
    return wins / (sum(histogram[0]) * sum(histogram[1]))


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    area = scores.auc(EXACT)
    assert area is not None
    assert area.value == pytest.approx(_by_pairs(EXACT))
    assert area.noise == 0


def test_auc_has_its_known_extremes() -> None:
    for histogram, expected in (
        ([[5, 0], [0, 7]], 1.0),
        ([[0, 5], [7, 0]], 0.0),
        ([[5, 5], [7, 7]], 0.5),
    ):
        area = scores.auc(histogram)
        assert area is not None
        assert area.value == pytest.approx(expected)


def test_the_stated_noise_is_what_noise_does() -> None:
    generator, sigma = random.Random(1), 4.0  # noqa: S311 - repeatable, in tests only
    large = [[10 * count for count in row] for row in EXACT]
    areas = []
    for _ in range(2000):
        noisy = [[c + round(generator.gauss(0, sigma)) for c in row] for row in large]
        area = scores.auc(noisy, sigma)
        assert area is not None
        areas.append(area.value)
    mean = sum(areas) / len(areas)
    spread = (sum((a - mean) ** 2 for a in areas) / len(areas)) ** 0.5
    stated = scores.auc(large, sigma)
    assert stated is not None
    assert mean == pytest.approx(_by_pairs(large), abs=0.001)
    assert stated.noise == pytest.approx(spread, rel=0.1)


def test_negative_counts_are_used_as_they_are_and_figures_stay_in_range() -> None:
    noisy = [[30, 22, -3, 2], [-2, 4, 12, 25]]
    area, right = scores.auc(noisy, 2), scores.accuracy(noisy)
    assert area is not None
    assert right is not None
    assert 0 <= area.value <= 1
    assert 0 <= right <= 1
    assert scores.calibration([[-5], [2]])[0].observed is None


def test_where_noise_left_no_persons_there_is_no_figure() -> None:
    assert scores.auc([[1, -1], [3, 4]]) is None
    assert scores.auc([[3, 4], [-3, 1]]) is None
    assert scores.accuracy([[0, 0], [0, 0]]) is None


def test_accuracy_cuts_at_one_half() -> None:
    assert scores.accuracy(EXACT) == pytest.approx((50 + 37) / 100)


def test_calibration_compares_score_and_outcome_bin_by_bin() -> None:
    bars = scores.calibration(EXACT)
    assert [bar.score for bar in bars] == [0.125, 0.375, 0.625, 0.875]
    assert bars[2].observed == pytest.approx(12 / 18)
    assert [bar.persons for bar in bars] == [31, 24, 18, 27]


def test_hospitals_add_up() -> None:
    assert scores.total([EXACT, EXACT]) == [[60, 40, 12, 4], [2, 8, 24, 50]]
