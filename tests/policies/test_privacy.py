"""Costs against independent accountants, against brute force, and at their boundaries."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import canonical, privacy
from policies.errors import PolicyError
from policies.privacy import (
    NOTHING,
    ORDERS,
    Budget,
    Cost,
    SampledGaussian,
    calibrate,
    epsilon,
    parse_decimal,
    spell_decimal,
)

DELTA = Decimal("0.00001")
CASES = [
    (Decimal("9.2839"), Decimal("0.5"), 20),
    (Decimal("1.5"), Decimal("0.04"), 500),
    (Decimal("0.8"), Decimal("0.01"), 5000),
    (Decimal("4"), Decimal(1), 8),
    (Decimal("0.5"), Decimal("0.25"), 1),
    (Decimal("100"), Decimal("0.001"), 10),
]
decimals = st.integers(1, 10**6).map(lambda n: Decimal(n) / 10_000)
rates = st.integers(1, 1000).map(lambda n: Decimal(n) / 1000)
noises = st.integers(50, 20_000).map(lambda n: Decimal(n) / 100)


def code(failing: object, *arguments: object) -> str:
    with pytest.raises(PolicyError) as refusal:
        failing(*arguments)  # type: ignore[operator]
    return refusal.value.code


@pytest.mark.filterwarnings("ignore:Optimal order is the largest")
@pytest.mark.parametrize(("noise", "rate", "steps"), CASES)
def test_epsilon_agrees_with_two_other_renyi_accountants(
    noise: Decimal, rate: Decimal, steps: int
) -> None:
    dp_accounting = pytest.importorskip("dp_accounting")
    rdp = pytest.importorskip("dp_accounting.rdp")
    accountants = pytest.importorskip("opacus.accountants")
    event = dp_accounting.PoissonSampledDpEvent(
        float(rate), dp_accounting.GaussianDpEvent(float(noise))
    )
    google = rdp.RdpAccountant(orders=list(ORDERS)).compose(event, steps)
    opacus = accountants.RDPAccountant()
    opacus.history = [(float(noise), float(rate), steps)]
    ours = float(epsilon(SampledGaussian(noise, rate, steps).cost, DELTA))

    for theirs in (
        google.get_epsilon(float(DELTA)),
        opacus.get_epsilon(float(DELTA), alphas=list(ORDERS)),
    ):
        assert theirs <= ours + 1e-12  # ours errs upwards ...
        assert ours <= theirs + 3e-6 * max(1, theirs)  # ... by its rounding only


@pytest.mark.parametrize(("noise", "rate", "steps"), CASES)
def test_epsilon_is_not_below_the_tight_privacy_loss_distribution(
    noise: Decimal, rate: Decimal, steps: int
) -> None:
    dp_accounting = pytest.importorskip("dp_accounting")
    pld = pytest.importorskip("dp_accounting.pld")
    event = dp_accounting.PoissonSampledDpEvent(
        float(rate), dp_accounting.GaussianDpEvent(float(noise))
    )
    tight = pld.PLDAccountant().compose(event, steps).get_epsilon(float(DELTA))
    assert float(epsilon(SampledGaussian(noise, rate, steps).cost, DELTA)) >= tight - 1e-3


@pytest.mark.parametrize("order", [2, 5, 14])
@pytest.mark.parametrize(
    ("sigma", "shift", "rate"), [(1.5, 1, 0.3), (6.0, 2, 0.5), (2.0, 3, 0.05), (3.0, 1, 1.0)]
)
def test_the_curve_bounds_the_sampled_discrete_gaussian_in_both_directions(
    order: int, sigma: float, shift: int, rate: float
) -> None:
    # Brute force over the integers, for the sum with and without one person.
    support = range(-400, 401)

    def discrete_gaussian(center: int) -> list[float]:
        masses = [math.exp(-((x - center) ** 2) / (2 * sigma**2)) for x in support]
        return [mass / math.fsum(masses) for mass in masses]

    def divergence(p: list[float], q: list[float]) -> float:
        moment = math.fsum(
            math.exp(order * math.log(a) - (order - 1) * math.log(b))
            for a, b in zip(p, q, strict=True)
            if a > 1e-250 and b > 1e-250
        )
        return math.log(moment) / (order - 1)

    without, present = discrete_gaussian(0), discrete_gaussian(shift)
    mixed = [(1 - rate) * a + rate * b for a, b in zip(without, present, strict=True)]
    bound = privacy._step_rdp(order, sigma / shift, rate)
    assert divergence(mixed, without) <= bound
    assert divergence(without, mixed) <= bound
    assert divergence(mixed, without) >= bound * 0.99  # and no looser than it must be


def test_a_fixed_point_keeps_the_formula_from_drifting() -> None:
    # order / (2 z^2), and Proposition 12 by hand: min over a of a/32 + log((a-1)/a) - ...
    cost = SampledGaussian(Decimal(4)).cost
    assert cost.rdp[ORDERS.index(16)] == pytest.approx(0.5, rel=1e-8)
    by_hand = min(
        a / 32 + math.log((a - 1) / a) - (math.log(1e-5) + math.log(a)) / (a - 1) for a in ORDERS
    )
    assert float(epsilon(cost, DELTA)) == pytest.approx(by_hand, abs=2e-6)


@pytest.mark.parametrize(("noise", "rate"), [(100.0, 1e-6), (1e4, 0.5), (0.3, 0.1), (0.02, 0.3)])
def test_tiny_and_huge_losses_are_as_exact_as_the_closed_form_at_order_two(
    noise: float, rate: float
) -> None:
    if noise > 0.1:
        closed = math.log1p(rate**2 * math.expm1(1 / noise**2))
    else:  # exp(2500) is beyond a float: log(q^2 e^x) to any visible digit
        closed = 2 * math.log(rate) + 1 / noise**2
    loss = privacy._step_rdp(2, noise, rate)
    assert closed <= loss <= closed * (1 + 3e-9)


@settings(deadline=None, max_examples=40)
@given(noises, rates, st.integers(1, 50))
def test_more_noise_fewer_steps_and_smaller_samples_cost_less(
    noise: Decimal, rate: Decimal, steps: int
) -> None:
    base = SampledGaussian(noise, rate, steps).cost
    for cheaper in (
        SampledGaussian(noise * 2, rate, steps),
        SampledGaussian(noise, rate / 2, steps),
    ):
        assert all(a <= b for a, b in zip(cheaper.cost.rdp, base.rdp, strict=True))
    more = SampledGaussian(noise, rate, steps + 1).cost
    assert all(a < b for a, b in zip(base.rdp, more.rdp, strict=True))
    assert epsilon(base, DELTA) <= epsilon(more, DELTA)


@settings(deadline=None, max_examples=40)
@given(noises, rates, st.integers(2, 30), st.integers(1, 29))
def test_steps_cost_the_same_in_one_call_or_in_several(
    noise: Decimal, rate: Decimal, steps: int, first: int
) -> None:
    first = min(first, steps - 1)
    whole = SampledGaussian(noise, rate, steps).cost
    parts = (
        SampledGaussian(noise, rate, first).cost + SampledGaussian(noise, rate, steps - first).cost
    )
    assert parts.rdp == pytest.approx(whole.rdp, rel=1e-12)


def test_disjoint_persons_pay_the_larger_cost_at_every_order() -> None:
    steep, flat = SampledGaussian(Decimal(1), Decimal("0.01"), 100), SampledGaussian(Decimal(9))
    together = steep.cost.maximum(flat.cost)
    assert together.rdp == tuple(map(max, steep.cost.rdp, flat.cost.rdp))
    assert together.maximum(NOTHING) == together
    assert epsilon(together, DELTA) < epsilon(steep.cost + flat.cost, DELTA)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 100).map(lambda n: Decimal(n) / 10),
    st.sampled_from([Decimal("0.001"), Decimal("0.0001"), DELTA]),
    st.sampled_from([Decimal(1), Decimal("0.5"), Decimal("0.1"), Decimal("0.01")]),
    st.integers(1, 200),
)
def test_calibrated_noise_fits_the_target_and_a_little_less_does_not(
    target: Decimal, delta: Decimal, rate: Decimal, steps: int
) -> None:
    noise = calibrate(target, delta, rate, steps)
    budget = Budget(target, delta)
    cost = SampledGaussian(noise, rate, steps).cost
    assert budget.admits(NOTHING, cost)
    assert epsilon(cost, delta) <= budget.spent_epsilon(cost) <= target
    assert noise == noise.quantize(Decimal("0.0001"))
    if noise > privacy.MIN_NOISE_MULTIPLIER:
        less = SampledGaussian(noise - Decimal("0.0001"), rate, steps)
        assert not budget.admits(NOTHING, less.cost)


def test_a_job_calibrated_to_the_whole_budget_fits_when_paid_round_by_round() -> None:
    budget = Budget(Decimal(1), DELTA)
    round_cost = SampledGaussian(
        calibrate(Decimal(1), DELTA, Decimal("0.5"), 20), Decimal("0.5"), 4
    ).cost
    spent = NOTHING
    for _ in range(5):
        assert budget.admits(spent, round_cost)
        spent += round_cost
    assert not budget.admits(spent, round_cost)
    assert budget.spent_epsilon(spent) <= 1
    assert 0.99 < budget.share_spent(spent) <= 1
    assert 0 <= budget.remaining(spent) < 0.01 * budget.limit


def test_nothing_spent_is_nothing_shown() -> None:
    budget = Budget(Decimal(2), DELTA)
    assert epsilon(NOTHING, DELTA) == budget.spent_epsilon(NOTHING) == 0
    assert budget.share_spent(NOTHING) == 0
    assert budget.remaining(NOTHING) == budget.limit


def test_the_order_is_fixed_by_the_budget_and_close_to_the_best() -> None:
    budget = Budget(Decimal(1), DELTA)
    exact = SampledGaussian(calibrate(Decimal(1), DELTA)).cost
    assert budget.order == Budget(Decimal(1), DELTA).order == 18
    # For a plain Gaussian that spends the budget, no other order certifies less.
    assert budget.spent_epsilon(exact) == epsilon(exact, DELTA)


def test_a_cost_beyond_the_budget_is_shown_beyond_it() -> None:
    budget = Budget(Decimal(1), DELTA)
    double = SampledGaussian(calibrate(Decimal(2), DELTA)).cost
    assert budget.spent_epsilon(double) > 1
    assert budget.share_spent(double) > 1
    assert budget.remaining(double) == 0


def test_mechanisms_survive_the_canonical_form() -> None:
    mechanism = SampledGaussian(Decimal("9.2839"), Decimal("0.5"), 4)
    form = canonical.decode(canonical.encode(mechanism.to_json()))
    assert SampledGaussian.from_json(form) == mechanism


@pytest.mark.parametrize(
    "change",
    [
        {"mechanism": "laplace"},
        {"noise_multiplier": 1},
        {"noise_multiplier": "01"},
        {"noise_multiplier": "0"},
        {"sampling_rate": "1.5"},
        {"steps": 0},
        {"steps": True},
        {"steps": "4"},
        {"extra": 1},
    ],
)
def test_a_form_that_is_not_exactly_a_mechanism_is_refused(change: dict[str, object]) -> None:
    form = SampledGaussian(Decimal(1), Decimal("0.5"), 4).to_json()
    with pytest.raises(PolicyError):
        SampledGaussian.from_json(form | change)


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_a_decimal_has_one_spelling(whole: int, fraction: int) -> None:
    text = f"{whole}.{fraction:012}".rstrip("0").rstrip(".")
    assert spell_decimal(parse_decimal(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", ".5", "5.", "0.50", "00", "01", "-1", "+1", "1e3", "nan", "inf", "1_0", "٣", " 1", 1, 0.5],
)
def test_any_other_spelling_is_refused(text: object) -> None:
    assert code(parse_decimal, text) == "DECIMAL_SPELLING"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((Decimal(0),), "PRIVACY_NOISE"),
        ((Decimal("NaN"),), "PRIVACY_NOISE"),
        ((1.5,), "PRIVACY_NOISE"),
        ((Decimal(10) ** 7,), "PRIVACY_NOISE"),
        ((Decimal(1), Decimal(0)), "PRIVACY_RATE"),
        ((Decimal(1), Decimal("1.01")), "PRIVACY_RATE"),
        ((Decimal(1), Decimal(1), 0), "PRIVACY_STEPS"),
        ((Decimal(1), Decimal(1), 10**7), "PRIVACY_STEPS"),
    ],
)
def test_a_mechanism_without_a_meaning_is_refused(
    arguments: tuple[object, ...], expected: str
) -> None:
    assert code(SampledGaussian, *arguments) == expected


@pytest.mark.parametrize(
    ("target", "delta", "expected"),
    [
        (Decimal(0), DELTA, "PRIVACY_EPSILON"),
        (Decimal("Infinity"), DELTA, "PRIVACY_EPSILON"),
        (Decimal(1), Decimal(0), "PRIVACY_DELTA"),
        (Decimal(1), Decimal(1), "PRIVACY_DELTA"),
        (Decimal("0.001"), DELTA, "PRIVACY_BUDGET_TOO_SMALL"),
    ],
)
def test_a_budget_that_promises_nothing_is_refused(
    target: Decimal, delta: Decimal, expected: str
) -> None:
    assert code(Budget, target, delta) == expected


@pytest.mark.parametrize("rdp", [(0.0,), (math.nan,) * len(ORDERS), (-1.0,) * len(ORDERS)])
def test_a_cost_that_is_not_one_is_refused(rdp: tuple[float, ...]) -> None:
    assert code(Cost, rdp) == "PRIVACY_COST"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(noises, rates, st.integers(1, 20)), min_size=1, max_size=12))
def test_admitted_jobs_never_add_up_to_more_than_the_budget(
    jobs: list[tuple[Decimal, Decimal, int]],
) -> None:
    budget, spent = Budget(Decimal(2), DELTA), NOTHING
    for job in jobs:
        planned = SampledGaussian(*job).cost
        if budget.admits(spent, planned):
            spent += planned
    assert budget.spent_epsilon(spent) <= 2
