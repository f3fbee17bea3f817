"""What a mechanism costs, how costs compose, how noise is calibrated.

Unit of privacy: one person with all their rows. Neighbouring relation: add or remove one person.
Costs are Renyi differential privacy (RDP) at the fixed integer `ORDERS`; they add up over releases
that see the same persons. Every figure errs upwards: float error is covered by `_SLACK`, epsilons
are rounded up, noise multipliers are rounded up.

The curve is that of the Poisson-sampled Gaussian, and it also bounds the sampled *discrete*
Gaussian over the integers that nodes draw. Let Q = N_Z(0, s^2 I), P = N_Z(m, s^2 I), m an integer
vector, |m| <= z^-1 s, and M = (1-q) Q + q P.
- D_a(M||Q), a an integer: E_Q[(M/Q)^a] expands into the binomial sum of Mironov, Talwar, Zhang
  2019 (section 3.3) over E_Q[(P/Q)^k]; for both kinds of Gaussian this is at most
  exp(k (k-1) |m|^2 / (2 s^2)) (Canonne, Kamath, Steinke 2020, Proposition 5), so each term is.
- D_a(Q||M) <= D_a(M||Q): their Theorem 5 needs only an involution that swaps Q and P; on the
  lattice it is x -> m - x.
- Other persons' samples shift Q and P alike; D_a is jointly quasi-convex, so averaging over them
  does not increase it. The sum grows with q (an expectation of a non-decreasing function of a
  binomial variable), so sampling at a rate just below the stated q costs no more than stated.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property, lru_cache
from operator import add
from typing import Any

from policies.errors import PolicyError

ORDERS = (*range(2, 65), 72, 80, 96, 128, 192, 256, 512)
MAX_NOISE_MULTIPLIER = Decimal(1_000_000)
MIN_NOISE_MULTIPLIER = Decimal("0.01")
MAX_STEPS = 1_000_000
_SLACK = 1e-9  # far above the error of lgamma, log and the sums, far below any noise step
_NOISE_STEP = Decimal("0.0001")
_EPSILON_STEP = Decimal("0.000001")


def parse_decimal(text: object) -> Decimal:
    """Read a non-negative decimal from its one spelling: `0.25`, never `.25`, `0.250` or `2.5e-1`.

    At most 12 digits on either side of the point. Raises `PolicyError` (DECIMAL_SPELLING).
    """
    if isinstance(text, str) and text.isascii():
        whole, point, fraction = text.partition(".")
        digits = whole.isdigit() and (not point or (fraction.isdigit() and fraction[-1] != "0"))
        shortest = whole == "0" or not whole.startswith("0")
        if digits and shortest and len(whole) <= 12 and len(fraction) <= 12:
            return Decimal(text)
    raise PolicyError(
        "DECIMAL_SPELLING",
        "a number is not a plain decimal in a string",
        'Write it like "0.25": no exponent, no trailing zeros, no sign',
    )


def spell_decimal(value: Decimal) -> str:
    """The one spelling that `parse_decimal` accepts."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    parse_decimal(text)
    return text


def spell_epsilon(value: Decimal) -> str:
    """For people: three decimals, rounded up, so that what is shown is never below what is."""
    return str(value.quantize(Decimal("0.001"), rounding=ROUND_CEILING))


@dataclass(frozen=True)
class SampledGaussian:
    """`steps` adaptive Gaussian sums, each over a fresh Poisson sample of the persons.

    `noise_multiplier` is the noise's standard deviation over the L2 sensitivity (rounding
    included); `sampling_rate` is each person's chance to be in a step, 1 for a plain Gaussian.
    Raises `PolicyError` (PRIVACY_NOISE, PRIVACY_RATE, PRIVACY_STEPS).
    """

    noise_multiplier: Decimal
    sampling_rate: Decimal = Decimal(1)
    steps: int = 1

    def __post_init__(self) -> None:
        noise = _decimal(self.noise_multiplier, "PRIVACY_NOISE", "noise multiplier")
        rate = _decimal(self.sampling_rate, "PRIVACY_RATE", "sampling rate")
        if not MIN_NOISE_MULTIPLIER <= noise <= MAX_NOISE_MULTIPLIER:
            raise PolicyError(
                "PRIVACY_NOISE", f"noise multiplier {noise} is outside 0.01 to 1000000"
            )
        if not 0 < rate <= 1:
            raise PolicyError("PRIVACY_RATE", f"sampling rate {rate} is outside (0, 1]")
        if type(self.steps) is not int or not 1 <= self.steps <= MAX_STEPS:
            raise PolicyError("PRIVACY_STEPS", f"step count is outside 1 to {MAX_STEPS}")

    def to_json(self) -> dict[str, Any]:
        """The canonical form, decimals as strings."""
        return {
            "mechanism": "sampled-gaussian",
            "noise_multiplier": spell_decimal(self.noise_multiplier),
            "sampling_rate": spell_decimal(self.sampling_rate),
            "steps": self.steps,
        }

    @classmethod
    def from_json(cls, form: object) -> "SampledGaussian":
        """Parse `to_json`'s form strictly. Raises `PolicyError` (PRIVACY_MECHANISM and above)."""
        names = {"mechanism", "noise_multiplier", "sampling_rate", "steps"}
        if (
            not isinstance(form, dict)
            or set(form) != names
            or form["mechanism"] != "sampled-gaussian"
        ):
            raise PolicyError("PRIVACY_MECHANISM", "a mechanism is not one that this version knows")
        noise, rate = parse_decimal(form["noise_multiplier"]), parse_decimal(form["sampling_rate"])
        return cls(noise, rate, form["steps"])

    @property
    def cost(self) -> "Cost":
        """What running it once costs each person that it may see."""
        noise, rate = float(self.noise_multiplier), float(self.sampling_rate)
        return Cost(tuple(self.steps * _step_rdp(order, noise, rate) for order in ORDERS))


@dataclass(frozen=True, slots=True)
class Cost:
    """RDP at each of `ORDERS`, in nats. Costs of releases on the same persons add up."""

    rdp: tuple[float, ...] = (0.0,) * len(ORDERS)

    def __post_init__(self) -> None:
        # One that is infinite or no number makes the sum so.
        if len(self.rdp) != len(ORDERS) or min(self.rdp) < 0 or not math.isfinite(sum(self.rdp)):
            raise PolicyError("PRIVACY_COST", "a privacy cost is not finite and non-negative")

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(tuple(map(add, self.rdp, other.rdp)))

    def maximum(self, other: "Cost") -> "Cost":
        """Parallel composition: the two releases see disjoint sets of persons."""
        return Cost(tuple(map(max, self.rdp, other.rdp)))


NOTHING = Cost()


def epsilon(cost: Cost, delta: Decimal) -> Decimal:
    """The epsilon at `delta` of releases fixed in advance: the best order, rounded up.

    Canonne, Kamath, Steinke 2020, Proposition 12. For jobs chosen after seeing earlier results,
    use `Budget`, whose order is fixed.
    """
    log_delta = _log_delta(delta)
    candidates = (
        loss + _conversion(order, log_delta) for order, loss in zip(ORDERS, cost.rdp, strict=True)
    )
    return Decimal(0) if cost == NOTHING else _round_up(min(candidates))


def thresholds(target: Decimal, delta: Decimal) -> tuple[float, ...]:
    """The RDP at each of `ORDERS` up to which `epsilon(cost, delta) <= target`.

    A cost keeps to the target if it does so at any order. What `epsilon` rounds up counts.
    """
    log_delta = _log_delta(delta)
    reached = float(target.quantize(_EPSILON_STEP, rounding=ROUND_FLOOR)) / (1 + _SLACK)
    return tuple(reached - _conversion(order, log_delta) for order in ORDERS)


@dataclass(frozen=True)
class Budget:
    """A promise (epsilon, delta) to each person, kept over adaptively chosen jobs.

    A Renyi filter: jobs may depend on all earlier results, as long as their RDP at ONE order,
    fixed before the first job, never adds up to more than `limit` (Feldman and Zrnic 2021,
    "Individual Privacy Accounting via a Renyi Filter", Theorem 4.3). The order is a function of
    (epsilon, delta) only: the one at which a plain Gaussian may be least noisy.
    Raises `PolicyError` (PRIVACY_EPSILON, PRIVACY_DELTA, PRIVACY_BUDGET_TOO_SMALL).
    """

    epsilon: Decimal
    delta: Decimal

    def __post_init__(self) -> None:
        target = _decimal(self.epsilon, "PRIVACY_EPSILON", "epsilon")
        if not 0 < target <= 1000:
            raise PolicyError("PRIVACY_EPSILON", f"epsilon {target} is outside (0, 1000]")
        _log_delta(self.delta)
        if self.limit <= 0:
            raise PolicyError(
                "PRIVACY_BUDGET_TOO_SMALL",
                f"no release fits into epsilon {self.epsilon} at delta {self.delta}",
                "Raise epsilon or delta",
            )

    @cached_property
    def order(self) -> int:
        """The order at which the filter counts."""
        orders: list[int] = sorted(ORDERS, key=lambda order: self._limit_at(order) / order)
        return orders[-1]

    @cached_property
    def index(self) -> int:
        """Where `order` stands in `ORDERS`."""
        return ORDERS.index(self.order)

    @cached_property
    def limit(self) -> float:
        """The RDP, at `order`, that converts to exactly this budget."""
        return self._limit_at(self.order)

    def admits(self, spent: Cost, planned: Cost) -> bool:
        """Whether `planned` may still be released after `spent`."""
        return self._loss(spent) + self._loss(planned) <= self.limit

    def spent_epsilon(self, cost: Cost) -> Decimal:
        """The epsilon that the filter certifies for `cost`, rounded up; may exceed the budget.

        A conversion has a fixed part: the first release shows most of it, later ones add little.
        For a picture of what is used up, `share_spent` is proportional.
        """
        if self._loss(cost) == 0:
            return Decimal(0)
        return _round_up(self._loss(cost) + _conversion(self.order, _log_delta(self.delta)))

    def share_spent(self, cost: Cost) -> float:
        """The part of the budget that `cost` uses, from 0 to 1 (above 1: more than all of it)."""
        return self._loss(cost) / self.limit

    def remaining(self, spent: Cost) -> float:
        """The RDP at `order` that is left, at least 0."""
        return max(0.0, self.limit - self._loss(spent))

    def _loss(self, cost: Cost) -> float:
        return cost.rdp[self.index]

    def _limit_at(self, order: int) -> float:
        return float(self.epsilon) * (1 - _SLACK) - _conversion(order, _log_delta(self.delta))


def calibrate(
    target_epsilon: Decimal, delta: Decimal, sampling_rate: Decimal = Decimal(1), steps: int = 1
) -> Decimal:
    """The least noise multiplier, rounded up to 4 decimals, with which all `steps` fit the budget.

    The filter of `Budget(target_epsilon, delta)` admits the result, so `epsilon` of it is at most
    the target. Raises `PolicyError` (PRIVACY_UNREACHABLE) if even the largest noise is too little.
    """
    budget = Budget(target_epsilon, delta)

    def fits(multiple: int) -> bool:
        noise = multiple * _NOISE_STEP
        return budget.admits(NOTHING, SampledGaussian(noise, sampling_rate, steps).cost)

    low = int(MIN_NOISE_MULTIPLIER / _NOISE_STEP)
    high = int(MAX_NOISE_MULTIPLIER / _NOISE_STEP)
    if fits(low):
        return MIN_NOISE_MULTIPLIER
    if not fits(high):
        raise PolicyError("PRIVACY_UNREACHABLE", "no noise brings these steps under the target")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high * _NOISE_STEP


@lru_cache(maxsize=65_536)
def _step_rdp(order: int, noise: float, rate: float) -> float:
    """RDP of one step at an integer order: Mironov, Talwar, Zhang 2019, section 3.3."""
    if rate == 1:
        return order / (2 * noise**2) * (1 + _SLACK)
    log_weights = [
        _log_binomial(order, k) + k * math.log(rate) + (order - k) * math.log1p(-rate)
        for k in range(order + 1)
    ]
    losses = [k * (k - 1) / (2 * noise**2) for k in range(order + 1)]
    if losses[-1] < 600:
        # The weights sum to 1. Summing only what exceeds them keeps a tiny loss exact.
        terms = zip(log_weights, losses, strict=True)
        log_sum = math.log1p(math.fsum(math.exp(w) * math.expm1(loss) for w, loss in terms))
    else:
        exponents = [w + loss for w, loss in zip(log_weights, losses, strict=True)]
        largest = max(exponents)
        log_sum = largest + math.log(math.fsum(math.exp(e - largest) for e in exponents))
    return log_sum / (order - 1) * (1 + _SLACK)


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _conversion(order: int, log_delta: float) -> float:
    """What is added to the RDP at `order` to get epsilon (Proposition 12)."""
    return math.log1p(-1 / order) - (log_delta + math.log(order)) / (order - 1)


def _round_up(value: float) -> Decimal:
    exact = Decimal(max(0.0, value * (1 + _SLACK)))
    return exact.quantize(_EPSILON_STEP, rounding=ROUND_CEILING)


def _log_delta(delta: Decimal) -> float:
    _decimal(delta, "PRIVACY_DELTA", "delta")
    if not Decimal("1e-12") <= delta < 1:
        raise PolicyError("PRIVACY_DELTA", f"delta {delta} is outside 1e-12 to 1")
    return math.log(delta)


def _decimal(value: object, code: str, name: str) -> Decimal:
    if not isinstance(value, Decimal) or not value.is_finite():
        raise PolicyError(code, f"the {name} is not a finite decimal")
    return value
