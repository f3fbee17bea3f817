"""A balanced diet for what learns: how much synthetic data may go into the next generation.

Rules D1 to D10 (domain/ehds.md, section 4.2) over a lineage graph. No paper gives a mixing ratio
that holds for every health record, so every bound is a parameter of `policies.mix.DietPolicy`.
Shares are exact fractions; nothing is rounded before it is compared.

What is assessed is a training. If a release will be sampled from the model, the mix's product is
the release: the model carries a generation and is none itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from policies.lineage import Lineage, Origin, Portion, path_to_site
from policies.mix import Analysis, DietPolicy, Mix, analyse, touches_real


@dataclass(frozen=True)
class DietFinding:
    """One rule `D1` to `D10`: its bound, what was found, and what would help. None: not known."""

    rule: str
    bound: str
    actual: str
    satisfied: bool | None
    remedy: str


@dataclass(frozen=True)
class DietReport:
    """Every rule's finding. `depth_mean` weighs by rows; it is None for a mix without rows."""

    findings: tuple[DietFinding, ...]
    depth_max: int
    depth_mean: Fraction | None
    depth_mean_by_weight: Fraction | None
    real_share: Fraction | None
    fresh_share: Fraction | None
    fresh_weight: Fraction | None

    @property
    def balanced(self) -> bool | None:
        """True if every rule holds; False if one fails; None if one lacks a fact, or none is."""
        outcomes = [finding.satisfied for finding in self.findings]
        if False in outcomes:
            return False
        return None if None in outcomes or not outcomes else True

    @property
    def failed(self) -> tuple[DietFinding, ...]:
        """The rules that are not known to hold."""
        return tuple(finding for finding in self.findings if finding.satisfied is not True)


@dataclass(frozen=True)
class DietPlan:
    """What would balance a mix.

    `leave_out`: inputs that no share can heal. `put_back`: real data of generation 0 that were
    dropped, with all their rows. `more_fresh_rows`: the least number of licensed real rows,
    collected after the last generation, to add after that; None if no number is enough.
    `fresh_weight_factor`: the least factor on the training weight of the fresh rows that are there,
    with nothing put back or added yet; None if there are none to weigh. `for_a_person`: rules that
    no change of the inputs heals.
    """

    leave_out: tuple[str, ...]
    put_back: tuple[str, ...]
    more_fresh_rows: int | None
    fresh_weight_factor: Fraction | None
    for_a_person: tuple[str, ...]


def assess(mix: Mix, lineage: Lineage, policy: DietPolicy, now: datetime) -> DietReport:
    """Hold a mix against the policy: every rule, not only the first that fails.

    Linear in the size of the part of `lineage` that stands behind the mix.
    """
    analysis = analyse(mix, lineage, policy, now)
    return DietReport(
        findings=tuple(rule(analysis) for rule in _RULES),
        depth_max=analysis.product_depth,
        depth_mean=analysis.share(analysis.depth_of),
        depth_mean_by_weight=analysis.share_by_weight(analysis.depth_of),
        real_share=analysis.share(analysis.is_real),
        fresh_share=analysis.share(analysis.is_fresh),
        fresh_weight=analysis.share_by_weight(analysis.is_fresh),
    )


def plan(mix: Mix, lineage: Lineage, policy: DietPolicy, now: datetime) -> DietPlan:
    """What to leave out, to put back and to add so that the mix is balanced."""
    analysis = analyse(mix, lineage, policy, now)
    unfit = _unfit(analysis)
    kept = tuple(portion for portion in mix.inputs if portion.id not in unfit)
    there = {portion.id for portion in kept}
    put_back = tuple(each for each in _generation_zero(analysis, kept) if each not in there)
    restored = tuple(Portion(each, lineage.by_id[each].rows, Decimal(0)) for each in put_back)
    after = analyse(replace(mix, inputs=kept + restored), lineage, policy, now)
    left = tuple(rule(after) for rule in (_evaluation, _canaries, _privacy))
    return DietPlan(
        leave_out=tuple(portion.id for portion in mix.inputs if portion.id in unfit),
        put_back=put_back,
        more_fresh_rows=_missing_rows(after),
        fresh_weight_factor=_weight_factor(after),
        for_a_person=tuple(finding.rule for finding in left if finding.satisfied is not True),
    )


def _depth(analysis: Analysis) -> DietFinding:
    return DietFinding(
        "D1",
        f"generation depth at most {analysis.bound}",
        f"{analysis.product_depth} generations",
        analysis.product_depth <= analysis.bound,
        "Go back to data of an earlier generation, or ask a person for a waiver",
    )


def _fresh(analysis: Analysis) -> DietFinding:
    policy = analysis.policy
    share = analysis.share(analysis.is_fresh)
    weight = analysis.share_by_weight(analysis.is_fresh)
    rows = analysis.rows(analysis.is_real)
    satisfied = None
    if share is not None and weight is not None:
        satisfied = (
            share >= Fraction(policy.fresh_share)
            and weight >= Fraction(policy.fresh_weight)
            and rows >= policy.minimum_real_rows
        )
    return DietFinding(
        "D2",
        f"fresh real share at least {policy.fresh_share} by rows and {policy.fresh_weight} by "
        f"weight, at least {policy.minimum_real_rows} real rows",
        f"{_spell(share)} by rows, {_spell(weight)} by weight, {rows} real rows",
        satisfied,
        "Add real rows that were collected after the last synthesis, or give them more weight",
    )


def _accumulate(analysis: Analysis) -> DietFinding:
    _, dropped = analysis.behind.generation_zero
    own = {portion.id for portion in analysis.mix.inputs}
    wanted = _generation_zero(analysis, analysis.mix.inputs)
    missing = tuple(identity for identity in wanted if identity not in own)
    return DietFinding(
        "D3",
        "the real data of generation 0 are in every later training",
        "missing: " + _few((*missing, *dropped)) if missing or dropped else "all there",
        not missing and not dropped,
        "Put the real data of the first generation back beside the synthetic data",
    )


def _labelled(analysis: Analysis) -> DietFinding:
    unknown = tuple(
        identity for identity in analysis.behind.order if analysis.lineage.origin(identity) is None
    )
    return DietFinding(
        "D4",
        "everything behind the mix has a known provenance",
        f"counted as synthetic: {_few(unknown)}" if unknown else "all known",
        not unknown,
        "Label the input with what it was made from, or leave it out",
    )


def _evaluation(analysis: Analysis) -> DietFinding:
    held_out = analysis.mix.evaluation
    wrong = tuple(
        identity
        for identity in held_out or ()
        if not analysis.is_real(identity) or identity in analysis.behind.members
    )
    return DietFinding(
        "D5",
        "evaluation data are real and behind no part of the mix",
        f"not fit: {_few(wrong)}" if wrong else ("fit" if held_out else "not known"),
        not wrong if held_out else None,
        "Hold out real data that nothing was trained on",
    )


def _canaries(analysis: Analysis) -> DietFinding:
    measured = analysis.mix.canaries
    needed = analysis.policy.canaries if analysis.has_synthetic else ()
    absent = tuple(each.canary for each in needed if each.canary not in measured)
    outside = tuple(
        each.canary
        for each in needed
        if each.canary in measured and not each.low <= measured[each.canary] <= each.high
    )
    satisfied: bool | None = not outside
    return DietFinding(
        "D6",
        "; ".join(f"{each.canary} from {each.low} to {each.high}" for each in needed) or "none",
        _canaries_spelled(outside, absent),
        None if satisfied and absent else satisfied,
        "Measure the tails against generation 0, and mix in more real data",
    )


def _canaries_spelled(outside: tuple[str, ...], absent: tuple[str, ...]) -> str:
    if outside:
        return f"outside: {_few(outside)}"
    return f"not measured: {_few(absent)}" if absent else "within"


def _filter(analysis: Analysis) -> DietFinding:
    silent = tuple(each for each in analysis.behind.order if not analysis.is_filtered(each))
    return DietFinding(
        "D7",
        "each synthetic release declares its quality filter",
        f"undeclared: {_few(silent)}" if silent else "declared",
        not silent,
        'Declare what was filtered out, or "none"',
    )


def _best_before(analysis: Analysis) -> DietFinding:
    ages = {
        portion.id: analysis.is_current(portion.id)
        for portion in analysis.mix.inputs
        if portion.id in analysis.synthetic_inputs
    }
    wrong = tuple(identity for identity, current in ages.items() if current is not True)
    satisfied: bool | None = not wrong
    if wrong and False not in ages.values():
        satisfied = None
    return DietFinding(
        "D8",
        f"synthetic data are at most {analysis.policy.best_before.days} days old",
        f"too old, or undated: {_few(wrong)}" if wrong else "current",
        satisfied,
        "Derive the release again from current real data",
    )


def _cycles(analysis: Analysis) -> DietFinding:
    loop = analysis.behind.cycle or _site_loop(analysis)
    names = analysis.lineage.by_id
    path = " <- ".join(
        f"{names[each].site}:{each}" if each in names else each for each in loop[:20]
    )
    return DietFinding(
        "D9",
        "no site learns from others what they learned from it",
        path or "no loop",
        not loop,
        "Leave out what was derived from this site's own data",
    )


def _privacy(analysis: Analysis) -> DietFinding:
    touches = touches_real(analysis.lineage, analysis.mix.inputs)
    epsilon = analysis.mix.epsilon
    free = tuple(
        identity for identity in analysis.behind.order if not analysis.is_accounted(identity)
    )
    satisfied: bool | None = not free
    if satisfied and touches:
        satisfied = None if epsilon is None else epsilon > 0
    return DietFinding(
        "D10",
        "training on real data is charged; post-processing is not, but deepens",
        f"uncharged: {_few(free)}" if free else f"epsilon {epsilon}, real data: {touches}",
        satisfied,
        "Reserve the privacy cost of every training that touches real records",
    )


def _licensed(analysis: Analysis) -> DietFinding:
    share = analysis.share(analysis.has_licence)
    return DietFinding(
        "licence",
        f"licensed share at least {analysis.policy.licensed_share} by rows",
        _spell(share),
        None if share is None else share >= Fraction(analysis.policy.licensed_share),
        "Leave out what has no accepted licence, or obtain one",
    )


_RULES: tuple[Callable[[Analysis], DietFinding], ...] = (
    _depth, _fresh, _accumulate, _labelled, _evaluation, _canaries, _filter, _best_before,
    _cycles, _privacy, _licensed,
)  # fmt: skip


def _generation_zero(analysis: Analysis, inputs: tuple[Portion, ...]) -> tuple[str, ...]:
    """What a training on these inputs must hold: generation 0 of all that is not real in it."""
    zero, _ = analysis.behind.generation_zero
    wanted: dict[str, None] = {}
    for portion in inputs:
        wanted.update(dict.fromkeys(sorted(zero.get(portion.id, ()))))
    return tuple(wanted)


def _site_loop(analysis: Analysis) -> tuple[str, ...]:
    """The first loop, from the product that learns back to something of its own site."""
    for product, source in analysis.behind.loops:
        site = analysis.lineage.by_id[product].site
        return (product, *path_to_site(analysis.lineage, source, site))
    for source in analysis.behind.finds_itself(analysis.mix.site, analysis.mix.inputs):
        return path_to_site(analysis.lineage, source, analysis.mix.site)
    return ()


def _spell(share: Fraction | None) -> str:
    # Cut, not rounded: what is shown never reaches a bound that is not reached.
    return "not known" if share is None else f"{int(share * 1000) / 1000:.3f}"


def _few(identities: tuple[str, ...]) -> str:
    more = f" and {len(identities) - 5} more" if len(identities) > 5 else ""
    return ", ".join(identities[:5]) + more


def _unfit(analysis: Analysis) -> frozenset[str]:
    """Inputs of the mix that are unfit in themselves, or behind which something is."""
    spoiled = _spoiled(analysis)
    deepens = analysis.mix.product is Origin.SYNTHETIC
    unlicensed = _licensed(analysis).satisfied is not True
    looping = analysis.behind.finds_itself(analysis.mix.site, analysis.mix.inputs)
    return frozenset(
        portion.id
        for portion in analysis.mix.inputs
        if portion.id in spoiled
        or portion.id in looping
        or analysis.depth_of(portion.id) + deepens > analysis.bound
        or (portion.id in analysis.synthetic_inputs and analysis.is_current(portion.id) is not True)
        or (unlicensed and not analysis.has_licence(portion.id))
    )


def _spoiled(analysis: Analysis) -> frozenset[str]:
    """What has something behind it, or in itself, that no share can heal."""
    _, dropped = analysis.behind.generation_zero
    spoiled = {*dropped, *(product for product, _ in analysis.behind.loops)}
    for identity in analysis.behind.order:
        if (
            analysis.lineage.origin(identity) is None
            or not analysis.is_accounted(identity)
            or not analysis.is_filtered(identity)
            or any(portion.id in spoiled for portion in analysis.lineage.inputs(identity))
        ):
            spoiled.add(identity)
    return frozenset(spoiled)


def _missing_rows(analysis: Analysis) -> int | None:
    """The least x with (fresh + x) / (rows + x) >= share and real + x >= minimum."""
    rows, fresh = analysis.rows(), analysis.rows(analysis.is_fresh)
    share = Fraction(analysis.policy.fresh_share)
    short = share * rows - fresh
    if short > 0 and share == 1:
        return None
    for_share = -((-short) // (1 - share)) if short > 0 else 0
    real = analysis.rows(analysis.is_real)
    return max(for_share, analysis.policy.minimum_real_rows - real, 0)


def _weight_factor(analysis: Analysis) -> Fraction | None:
    """The least s with s fresh / (s fresh + other) >= share, at least 1."""
    total, fresh = analysis.weight(), analysis.weight(analysis.is_fresh)
    share = Fraction(analysis.policy.fresh_weight)
    if fresh == 0 or (share == 1 and fresh < total):
        return None
    if share * total <= fresh:
        return Fraction(1)
    return share * (total - fresh) / ((1 - share) * fresh)
