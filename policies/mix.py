"""A training mix, the policy that it is held against, and what stands behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from policies.errors import PolicyError
from policies.lineage import Ancestry, Lineage, Origin, Portion, ancestry


@dataclass(frozen=True)
class Tolerance:
    """How far a tail canary may move: ratio to generation 0, both bounds included."""

    canary: str
    low: Decimal
    high: Decimal


@dataclass(frozen=True)
class DietPolicy:
    """The bounds. Those without a default have none that the literature supports.

    `g_max`: depth; `g_max_waived`: depth with a person's waiver. `fresh_share`: by rows.
    `fresh_weight`: by training weight (1/golden ratio: He, Xu, Cheng, JRSS-B, arXiv 2502.18049).
    `licensed_share`: of rows whose licence is in `licences`. Raises `PolicyError` (DIET_POLICY).
    """

    minimum_real_rows: int
    licences: frozenset[str]
    best_before: timedelta
    canaries: tuple[Tolerance, ...]
    g_max: int = 1
    g_max_waived: int = 2
    fresh_share: Decimal = Decimal("0.5")
    fresh_weight: Decimal = Decimal("0.618")
    licensed_share: Decimal = Decimal(1)

    def __post_init__(self) -> None:
        shares = (self.fresh_share, self.fresh_weight, self.licensed_share)
        if not all(0 <= share <= 1 for share in shares):
            raise PolicyError("DIET_POLICY", "a share of the diet is not between 0 and 1")
        if not 0 <= self.g_max <= self.g_max_waived or self.minimum_real_rows < 0:
            raise PolicyError("DIET_POLICY", "a depth or a count of the diet is out of order")


@dataclass(frozen=True)
class Mix:
    """What one site is about to train on, or to synthesise from.

    `product` says what comes out; `evaluation` holds the digests of the held-out sets; `canaries`
    the measured ratios to generation 0; `epsilon` what is reserved for making it; `waiver` the
    reference of a person's decision to go to `g_max_waived`. None: not known. Raises `PolicyError`
    (DIET_MIX).
    """

    site: str
    product: Origin
    inputs: tuple[Portion, ...]
    evaluation: tuple[str, ...] | None = None
    canaries: Mapping[str, Decimal] = field(default_factory=dict)
    epsilon: Decimal | None = None
    waiver: str | None = None

    def __post_init__(self) -> None:
        if self.product is Origin.REAL:
            raise PolicyError("DIET_MIX", "nothing that is made from a mix is real")
        if len({portion.id for portion in self.inputs}) != len(self.inputs):
            raise PolicyError("DIET_MIX", "the mix names a thing twice")


@dataclass(frozen=True)
class Analysis:
    """A mix with what stands behind it.

    `last_generation`: when the last synthesis behind it was made; `generations_are_dated`: whether
    all of them say so.
    """

    mix: Mix
    policy: DietPolicy
    now: datetime
    behind: Ancestry
    depths: Mapping[str, int]
    last_generation: datetime | None
    generations_are_dated: bool

    @property
    def lineage(self) -> Lineage:
        """The whole graph."""
        return self.behind.lineage

    @property
    def bound(self) -> int:
        """The depth that the policy allows, with the mix's waiver if it has one."""
        return self.policy.g_max_waived if self.mix.waiver else self.policy.g_max

    @property
    def product_depth(self) -> int:
        """The generation that comes out."""
        deepest = max((self.depth_of(portion.id) for portion in self.mix.inputs), default=0)
        return deepest + (self.mix.product is Origin.SYNTHETIC)

    def depth_of(self, identity: str) -> int:
        """Generations behind an input. What lies on a cycle is deeper than any bound."""
        return self.depths.get(identity, self.policy.g_max_waived + 1)

    def is_real(self, identity: str) -> bool:
        """Whether it is a real dataset of known provenance."""
        return self.lineage.origin(identity) is Origin.REAL

    def is_fresh(self, identity: str) -> bool:
        """Real, and collected after the last synthesis behind this mix (if there was one)."""
        if not self.is_real(identity) or not self.generations_are_dated:
            return False
        if self.last_generation is None:
            return True
        since = self.lineage.by_id[identity].collected_since
        return since is not None and since > self.last_generation

    def is_current(self, identity: str) -> bool | None:
        """Whether a release is not yet past its best; None: undated."""
        node = self.lineage.by_id.get(identity)
        if node is None or node.made_at is None:
            return None
        return node.made_at <= self.now <= node.made_at + self.policy.best_before

    def is_accounted(self, identity: str) -> bool:
        """Whether a thing made from real records says what that cost."""
        node = self.lineage.by_id.get(identity)
        if node is None or not touches_real(self.lineage, node.inputs):
            return True
        return node.epsilon is not None and node.epsilon > 0

    def is_filtered(self, identity: str) -> bool:
        """Whether a release says what was filtered out; True for what is none, or not known."""
        node = self.lineage.by_id.get(identity)
        return node is None or node.origin is not Origin.SYNTHETIC or bool(node.quality_filter)

    def has_licence(self, identity: str) -> bool:
        """Whether its licence is one that the policy accepts."""
        node = self.lineage.by_id.get(identity)
        return node is not None and node.licence in self.policy.licences

    @cached_property
    def has_synthetic(self) -> bool:
        """Whether anything behind the mix is synthetic, or counts as such."""
        counted = {Origin.SYNTHETIC, None}
        behind = (self.lineage.origin(each) in counted for each in self.behind.order)
        return bool(self.behind.cycle) or any(behind)

    @cached_property
    def synthetic_inputs(self) -> frozenset[str]:
        """The mix's inputs that are synthetic, or count as such."""
        counted = {Origin.SYNTHETIC, None}
        inputs = (portion.id for portion in self.mix.inputs)
        return frozenset(each for each in inputs if self.lineage.origin(each) in counted)

    def rows(self, measure: Callable[[str], int] = lambda _: 1) -> int:
        """The mix's rows, each portion times its measure."""
        return sum(portion.rows * measure(portion.id) for portion in self.mix.inputs)

    def weight(self, measure: Callable[[str], int] = lambda _: 1) -> Fraction:
        """The mix's training weight, each portion times its measure."""
        weights = (Fraction(each.weight) * measure(each.id) for each in self.mix.inputs)
        return sum(weights, Fraction(0))

    def share(self, measure: Callable[[str], int]) -> Fraction | None:
        """The measure's mean by rows; None for a mix without rows."""
        return Fraction(self.rows(measure)) / self.rows() if self.rows() else None

    def share_by_weight(self, measure: Callable[[str], int]) -> Fraction | None:
        """The measure's mean by training weight; None for a mix without weight."""
        return self.weight(measure) / self.weight() if self.weight() else None


def analyse(mix: Mix, lineage: Lineage, policy: DietPolicy, now: datetime) -> Analysis:
    """Walk what stands behind a mix, once."""
    behind = ancestry(lineage, (portion.id for portion in mix.inputs))
    origins = {identity: lineage.origin(identity) for identity in behind.order}
    made = [lineage.by_id[each].made_at for each, o in origins.items() if o is Origin.SYNTHETIC]
    undated = behind.cycle or None in made or None in origins.values()
    return Analysis(
        mix, policy, now, behind,
        depths=behind.depths(policy.g_max),
        last_generation=max((when for when in made if when is not None), default=None),
        generations_are_dated=not undated,
    )  # fmt: skip


def touches_real(lineage: Lineage, inputs: tuple[Portion, ...]) -> bool:
    """D10: whether making something touches real records, or what could be some.

    If not, it is post-processing: free of epsilon, and still a generation deeper.
    """
    return any(lineage.could_be_real(portion.id) for portion in inputs)
