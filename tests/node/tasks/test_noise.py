"""The samplers against their exact distributions, with a seeded source."""

import ast
import math
import random
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest

from node.tasks import noise
from node.tasks.noise import RandomBits, discrete_gaussian


def seeded(seed: int) -> RandomBits:
    return RandomBits(random.Random(seed).randbytes)  # noqa: S311 - repeatable, in tests only


def chi_square(counts: Counter[int], pmf: dict[int, float], draws: int) -> tuple[float, int]:
    """Statistic and degrees of freedom; cells that expect fewer than 10 draws are merged."""
    statistic, cells, rest_seen, rest_expected = 0.0, 0, 0, 0.0
    for value, probability in pmf.items():
        expected = draws * probability
        if expected >= 10:
            statistic += (counts[value] - expected) ** 2 / expected
            cells += 1
            rest_seen += counts[value]
            rest_expected += expected
    remaining = draws - rest_expected
    if remaining >= 1:
        statistic += (draws - rest_seen - remaining) ** 2 / remaining
        cells += 1
    return statistic, cells - 1


@pytest.mark.parametrize(
    "variance", [Fraction(1, 4), Fraction(1), Fraction(49, 4), Fraction(300), Fraction(10**4, 7)]
)
def test_samples_follow_the_discrete_gaussian(variance: Fraction) -> None:
    draws = 20_000
    counts = Counter(discrete_gaussian(variance, draws, seeded(int(variance * 100))))
    reach = 12 * math.isqrt(int(variance) + 1) + 12
    masses = {x: math.exp(-(x**2) / (2 * float(variance))) for x in range(-reach, reach + 1)}
    whole = math.fsum(masses.values())
    statistic, freedom = chi_square(counts, {x: m / whole for x, m in masses.items()}, draws)
    # Wilson-Hilferty: about a normal score; 4 is one false alarm in 30,000 (and the seed is fixed).
    score = ((statistic / freedom) ** (1 / 3) - (1 - 2 / (9 * freedom))) / math.sqrt(
        2 / (9 * freedom)
    )
    assert score < 4


def test_noise_on_the_gradients_grid_has_the_stated_deviation() -> None:
    variance = Fraction("9.2839") ** 2 * (1 << 32)
    draws = discrete_gaussian(variance, 5000, seeded(3))
    measured = sum(x * x for x in draws) / len(draws)
    assert measured == pytest.approx(float(variance), rel=4 * math.sqrt(2 / len(draws)))
    assert abs(sum(draws)) < 4 * math.sqrt(float(variance) * len(draws))


@pytest.mark.parametrize("bound", [1, 2, 3, 5, 256, 257])
def test_integers_below_a_bound_are_uniform(bound: int) -> None:
    bits, draws = seeded(bound), 200 * bound
    counts = Counter(bits.below(bound) for _ in range(draws))
    assert set(counts) == set(range(bound))
    statistic, freedom = chi_square(counts, dict.fromkeys(range(bound), 1 / bound), draws)
    assert statistic < freedom + 5 * math.sqrt(2 * freedom) + 1e-9


def test_a_coin_of_any_rational_falls_as_often_as_it_says() -> None:
    for top, bottom in ((1, 3), (2, 7), (999, 1000), (1, 10**30)):
        bits = seeded(top)
        heads = sum(noise._bernoulli(top, bottom, bits) for _ in range(20_000))
        p = top / bottom
        assert abs(heads - 20_000 * p) <= 4 * math.sqrt(20_000 * p * (1 - p))


def test_a_coin_that_ties_with_its_first_bits_goes_on_to_the_next() -> None:
    # p = 1/2 + 2**-40: the first 32 bits of p are 0x80000000, the next 8 decide.
    p = Fraction(1, 2) + Fraction(1, 1 << 40)
    first = (0x80000000).to_bytes(4, "big")
    low, high = (0).to_bytes(4, "big"), (0x01000000).to_bytes(4, "big")
    for second, expected in ((low, True), (high, False)):
        script = first + second + bytes(8192)
        bits = RandomBits(lambda _count, script=script: script)
        assert noise._bernoulli(p.numerator, p.denominator, bits) is expected


def test_poisson_sampling_takes_each_person_on_their_own_at_the_rate() -> None:
    bits, rate, people, draws = seeded(5), Fraction(1, 4), 500, 200
    samples = [set(bits.poisson_sample(people, rate)) for _ in range(draws)]
    taken = Counter(person for sample in samples for person in sample)
    assert abs(taken.total() - people * draws / 4) < 4 * math.sqrt(people * draws * 3 / 16)
    assert len({len(sample) for sample in samples}) > 10  # the size of a sample is random too
    together = sum({0, 1} <= sample for sample in samples)
    assert abs(together - draws / 16) < 4 * math.sqrt(draws / 16)


def test_the_rate_used_is_never_above_the_rate_stated() -> None:
    # A word just below floor(rate * 2**32) is in, the floor itself is out.
    rate = Fraction(1, 10)
    floor = (1 << 32) // 10
    for word, expected in ((floor - 1, [0]), (floor, [])):
        bits = RandomBits(lambda count, word=word: word.to_bytes(4, sys.byteorder) * (count // 4))
        assert bits.poisson_sample(1, rate) == expected


def test_everyone_is_in_at_rate_one_and_nobody_among_none() -> None:
    assert seeded(1).poisson_sample(3, Fraction(1)) == [0, 1, 2]
    assert seeded(1).poisson_sample(0, Fraction(1, 2)) == []


def test_bytes_are_used_once_across_refills() -> None:
    stream = random.Random(8).randbytes(1 << 16)  # noqa: S311 - repeatable, in tests only
    position = 0

    def source(count: int) -> bytes:
        nonlocal position
        position += count
        return stream[position - count : position]

    bits = RandomBits(source)
    words = [bits.bits(32) for _ in range(4000)]
    assert words == [int.from_bytes(stream[4 * i : 4 * i + 4], "big") for i in range(4000)]


def test_noise_without_variance_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="positive"):
        discrete_gaussian(Fraction(0), 1, seeded(1))


def test_no_float_occurs_anywhere_in_the_sampling_path() -> None:
    tree = ast.parse(Path(noise.__file__).read_text())
    for node in ast.walk(tree):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float))
        assert not isinstance(node, ast.Div)  # / makes floats of integers
        assert not (isinstance(node, ast.Name) and node.id == "float")
    imported = {
        name.name if isinstance(node, ast.Import) else f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    assert imported == {"os", "collections.abc.Callable", "fractions.Fraction", "math.isqrt"}
