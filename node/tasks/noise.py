"""Exact noise: the discrete Gaussian over the integers, and Poisson sampling, without a float.

Canonne, Kamath, Steinke 2020, "The Discrete Gaussian for Differential Privacy", Algorithms 1-3, in
integer arithmetic (floating-point Gaussians leak: Mironov 2012, Casacuberta et al. 2022). Own code
because OpenDP, which does the same in Rust, takes 1.4 s to import: too long for a worker that lives
for one task. Rejection loops end with probability 1; their running time depends on the noise only,
never on a record.
"""

import os
from collections.abc import Callable
from fractions import Fraction
from math import isqrt

RATE_BITS = 32
_REFILL = 4096


class RandomBits:
    """Uniform integers from a source of bytes: the operating system's, unless it is a test.

    Bytes are fetched in batches (a system call costs more than a sample) and used once. One object
    per task call; never carried across a fork (threat: two processes with the same noise).
    """

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self._bytes = b""
        self._next = 0

    def bits(self, count: int) -> int:
        """A uniform integer in [0, 2**count)."""
        size = (count + 7) // 8
        if self._next + size > len(self._bytes):
            self._bytes = self._source(max(_REFILL, size))
            self._next = 0
        end = self._next + size
        value = int.from_bytes(self._bytes[self._next : end], "big")
        self._next = end
        return value >> (8 * size - count)

    def below(self, bound: int) -> int:
        """A uniform integer in [0, bound), by rejection: a remainder would be biased."""
        count = (bound - 1).bit_length()
        if not count:
            return 0
        while (value := self.bits(count)) >= bound:
            pass
        return value

    def poisson_sample(self, size: int, rate: Fraction) -> list[int]:
        """The indices below `size` that a coin of probability `rate` chose, each on its own.

        The coin is floor(rate * 2**32) / 2**32, at most 2.4e-10 below `rate`: a cost stated for
        `rate` covers it (`policies.privacy`).
        """
        threshold = (rate.numerator << RATE_BITS) // rate.denominator
        if threshold >= 1 << RATE_BITS:
            return list(range(size))
        words = memoryview(self._source(size * RATE_BITS // 8)).cast("I")
        return [index for index, word in enumerate(words) if word < threshold]


def discrete_gaussian(variance: Fraction, count: int, randomness: RandomBits) -> list[int]:
    """`count` independent samples with P(x) proportional to exp(-x^2 / (2 variance)).

    Algorithm 3: a discrete Laplace of scale t = floor(sigma) + 1, accepted with probability
    exp(-(|y| - variance/t)^2 / (2 variance)).
    """
    if variance <= 0:
        raise ValueError("the variance of noise is positive")
    top, bottom = variance.numerator, variance.denominator
    scale = isqrt(top // bottom) + 1
    # (|y| - v/t)^2 / (2v) with v = top/bottom, over one denominator.
    divisor = 2 * top * bottom * scale * scale
    samples: list[int] = []
    while len(samples) < count:
        candidate = _discrete_laplace(scale, randomness)
        distance = abs(candidate) * scale * bottom - top
        if _bernoulli_exp(distance * distance, divisor, randomness):
            samples.append(candidate)
    return samples


def _discrete_laplace(scale: int, randomness: RandomBits) -> int:
    """Algorithm 2 with scale t/1: P(x) proportional to exp(-|x| / scale)."""
    while True:
        remainder = randomness.below(scale)
        if not _bernoulli_exp_fraction(remainder, scale, randomness):
            continue
        quotient = 0
        while _bernoulli_exp_fraction(1, 1, randomness):
            quotient += 1
        magnitude = remainder + scale * quotient
        negative = randomness.bits(1)
        if magnitude or not negative:  # zero has no sign: counted once, not twice
            return -magnitude if negative else magnitude


def _bernoulli_exp(top: int, bottom: int, randomness: RandomBits) -> bool:
    """True with probability exp(-top/bottom), top/bottom >= 0: Algorithm 1."""
    while top > bottom:
        if not _bernoulli_exp_fraction(1, 1, randomness):
            return False
        top -= bottom
    return _bernoulli_exp_fraction(top, bottom, randomness)


def _bernoulli_exp_fraction(top: int, bottom: int, randomness: RandomBits) -> bool:
    """Algorithm 1 for 0 <= top/bottom <= 1: von Neumann's alternating series."""
    k = 1
    while _bernoulli(top, bottom * k, randomness):
        k += 1
    return k % 2 == 1


def _bernoulli(top: int, bottom: int, randomness: RandomBits) -> bool:
    """True with probability exactly top/bottom, from as few random bits as the answer needs.

    Compares the binary expansion of top/bottom with uniform bits, 32 at a time: the first chunk
    decides unless both agree, which happens once in 2**32.
    """
    if top >= bottom:
        return True
    while True:
        digit, top = divmod(top << 32, bottom)
        word = randomness.bits(32)
        if word != digit:
            return word < digit
        if not top:
            return False
