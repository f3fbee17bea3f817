"""Sums of privacy costs without rounding: what is taken away again leaves nothing behind.

A sum of floats depends on the order of its terms, and a term that is subtracted leaves a residue.
Here a budget is the same for the node that folds its log as it grows and for an auditor who folds
it later, and adding one job to ten thousand takes as long as adding it to one.
"""

import math
from functools import lru_cache

from policies.privacy import NOTHING, ORDERS, Cost

# Every float is a whole multiple of the smallest one, 2**-1074.
_BITS = 1074
_ONE = 1 << _BITS
_ZERO = (0,) * len(ORDERS)


class CostSum:
    """Costs that were added and taken away; `cost` is rounded once, to the nearest float."""

    __slots__ = ("_cost", "_exact")

    def __init__(self) -> None:
        self._exact = _ZERO
        self._cost: Cost | None = NOTHING

    def replace(self, old: Cost, new: Cost) -> None:
        """Take `old` out, put `new` in."""
        if old != new:
            terms = zip(self._exact, exact(old), exact(new), strict=True)
            self._exact = tuple([total - out + into for total, out, into in terms])
            self._cost = None

    @property
    def cost(self) -> Cost:
        """The sum."""
        if self._cost is None:
            self._cost = rounded(self._exact)
        return self._cost

    def changed(self, changes: list[tuple[Cost, Cost]]) -> Cost:
        """The sum as it would be with each (old, new) replaced."""
        if not changes:
            return self.cost
        other = CostSum()
        other._exact = self._exact
        for old, new in changes:
            other.replace(old, new)
        return rounded(other._exact)


@lru_cache(maxsize=1024)
def exact(cost: Cost) -> tuple[int, ...]:
    """A cost in units of 2**-1074."""
    return tuple(_units(loss) for loss in cost.rdp)


def rounded(sums: tuple[int, ...]) -> Cost:
    """Back to floats; the division rounds to the nearest."""
    return Cost(tuple([total / _ONE for total in sums]))


def _units(loss: float) -> int:
    fraction, exponent = math.frexp(loss)
    shift = exponent - 53 + _BITS
    mantissa = int(fraction * (1 << 53))
    return mantissa << shift if shift >= 0 else mantissa >> -shift
