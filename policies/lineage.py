"""What was made from what: real datasets, models and synthetic releases, by digest.

Depth counts generations of synthesis: a real dataset has depth 0; a synthetic release is one deeper
than the deepest thing that it was made from; a model is as deep as what it was trained on, for it
carries a generation and is none itself. What is not in the graph, or claims to be made from
nothing, has unknown provenance and counts as synthetic at the depth that the caller names.

Everything is iterative and linear in nodes and edges; the order of results is the order of input.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

from policies.errors import PolicyError

MAX_NODES = 1_000_000
MAX_INPUTS = 1_000
MAX_SITES = 1_000


class Origin(StrEnum):
    """What a node of the graph is."""

    REAL = "real"
    MODEL = "model"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Portion:
    """How much of the thing with digest `id` goes in: rows, and weight in training."""

    id: str
    rows: int
    weight: Decimal

    def __post_init__(self) -> None:
        if type(self.rows) is not int or self.rows < 0:
            raise PolicyError("LINEAGE_ROWS", f"{self.id}: rows are not a count")
        if not self.weight.is_finite() or self.weight < 0:
            raise PolicyError("LINEAGE_WEIGHT", f"{self.id}: a weight is not a positive number")


@dataclass(frozen=True)
class Node:
    """One dataset, model or release. `site`: the hospital that holds the data or made the thing.

    `made_at`: of a model or release, when it was made. `collected_since`: of a real dataset, when
    its first row was collected. `quality_filter`: what was filtered out before release, "none" if
    nothing. `epsilon` is what making it cost. None: not known.
    """

    id: str
    origin: Origin
    site: str
    rows: int
    inputs: tuple[Portion, ...] = ()
    licence: str | None = None
    made_at: datetime | None = None
    collected_since: datetime | None = None
    quality_filter: str | None = None
    epsilon: Decimal | None = None

    def __post_init__(self) -> None:
        if len(self.inputs) > MAX_INPUTS:
            raise PolicyError("LINEAGE_INPUTS", f"{self.id} has more than {MAX_INPUTS} inputs")
        if self.origin is Origin.REAL and self.inputs:
            raise PolicyError("LINEAGE_REAL", f"{self.id} is real, and yet made from something")
        for moment in (self.made_at, self.collected_since):
            if moment is not None and moment.tzinfo is None:
                raise PolicyError("LINEAGE_TIME", f"{self.id}: a time has no time zone")


@dataclass(frozen=True)
class Lineage:
    """The graph. Raises `PolicyError` (LINEAGE_SIZE, LINEAGE_TWICE, LINEAGE_SITES)."""

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if len(self.nodes) > MAX_NODES:
            raise PolicyError("LINEAGE_SIZE", f"the lineage has more than {MAX_NODES} nodes")
        if len(self.by_id) != len(self.nodes):
            raise PolicyError("LINEAGE_TWICE", "the lineage names a thing twice")
        if len({node.site for node in self.nodes}) > MAX_SITES:
            raise PolicyError("LINEAGE_SITES", f"the lineage has more than {MAX_SITES} sites")

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        """The nodes by digest."""
        return {node.id: node for node in self.nodes}

    def has_known_provenance(self, identity: str) -> bool:
        """Whether it is in the graph, and real or made from something."""
        node = self.by_id.get(identity)
        return node is not None and (node.origin is Origin.REAL or bool(node.inputs))

    def could_be_real(self, identity: str) -> bool:
        """Whether it is a real dataset, or unknown and so perhaps one."""
        return not self.has_known_provenance(identity) or self.by_id[identity].origin is Origin.REAL

    def inputs(self, identity: str) -> tuple[Portion, ...]:
        """What it was made from; nothing for what is not in the graph."""
        node = self.by_id.get(identity)
        return node.inputs if node is not None else ()

    def origin(self, identity: str) -> Origin | None:
        """What it is; None: unknown provenance."""
        return self.by_id[identity].origin if self.has_known_provenance(identity) else None


@dataclass(frozen=True)
class Ancestry:
    """All that some things were made from, and they themselves.

    `order` has inputs before what is made from them; `cycle` is a path of digests that ends where
    it begins, or empty; what lies on a cycle, or behind one, is not in `order`.
    """

    lineage: Lineage
    order: tuple[str, ...]
    cycle: tuple[str, ...]

    @cached_property
    def members(self) -> frozenset[str]:
        """All digests in `order`."""
        return frozenset(self.order)

    def depths(self, unknown_depth: int) -> dict[str, int]:
        """Generations of each member; unknown provenance counts as `unknown_depth`."""
        depths: dict[str, int] = {}
        for identity in self.order:
            if not self.lineage.has_known_provenance(identity):
                depths[identity] = unknown_depth
                continue
            node = self.lineage.by_id[identity]
            deepest = max((depths[portion.id] for portion in node.inputs), default=0)
            depths[identity] = deepest + (node.origin is Origin.SYNTHETIC)
        return depths

    @cached_property
    def generation_zero(self) -> tuple[dict[str, frozenset[str]], tuple[str, ...]]:
        """Each member's real data of generation 0, and the members whose training dropped some.

        A thing made from models alone is a sample of them, not a training. After a drop only what
        is left is asked of later trainings, so that sets stay as small as inputs, and each drop is
        named once, where it happened.
        """
        zero: dict[str, frozenset[str]] = {}
        dropped = []
        for identity in self.order:
            inputs = self.lineage.inputs(identity)
            origins = {each.id: self.lineage.origin(each.id) for each in inputs}
            own = frozenset(name for name, origin in origins.items() if origin is Origin.REAL)
            earlier = [zero[name] for name in origins if zero[name]]
            if not earlier:
                zero[identity] = own
            elif set(origins.values()) == {Origin.MODEL}:
                zero[identity] = earlier[0] if len(earlier) == 1 else frozenset().union(*earlier)
            else:
                zero[identity] = frozenset(
                    name for name in own if any(name in each for each in earlier)
                )
                if not all(each <= own for each in earlier):
                    dropped.append(identity)
        return zero, tuple(dropped)

    @cached_property
    def _sites(self) -> tuple[dict[str, int], dict[str, int]]:
        # For each member, the sites behind it and its own, as bits; and the bit of each site.
        bits: dict[str, int] = {}
        sites: dict[str, int] = {}
        for identity in self.order:
            node = self.lineage.by_id.get(identity)
            sites[identity] = bits.setdefault(node.site, 1 << len(bits)) if node else 0
            for portion in self.lineage.inputs(identity):
                sites[identity] |= sites[portion.id]
        return sites, bits

    def finds_itself(self, site: str, inputs: Iterable[Portion]) -> tuple[str, ...]:
        """The inputs that another site made, with something of `site` behind them."""
        sites, bits = self._sites
        nodes = self.lineage.by_id
        return tuple(
            portion.id
            for portion in inputs
            if portion.id in nodes
            and nodes[portion.id].site != site
            and sites.get(portion.id, 0) & bits.get(site, 0)
        )

    @cached_property
    def loops(self) -> tuple[tuple[str, str], ...]:
        """(product, input) wherever a member's site learned what others learned from it."""
        nodes = self.lineage.by_id
        return tuple(
            (identity, source)
            for identity in self.order
            if identity in nodes
            for source in self.finds_itself(nodes[identity].site, nodes[identity].inputs)
        )


def ancestry(lineage: Lineage, roots: Iterable[str]) -> Ancestry:
    """Walk from `roots` to everything behind them (Kahn's algorithm, inputs first)."""
    reached = _reach(lineage, roots)
    waiting = {identity: len(_inputs(lineage, identity)) for identity in reached}
    made_from: dict[str, list[str]] = {identity: [] for identity in reached}
    for identity in reached:
        for source in _inputs(lineage, identity):
            made_from[source].append(identity)
    ready = deque(identity for identity in reached if not waiting[identity])
    order = []
    while ready:
        identity = ready.popleft()
        order.append(identity)
        for product in made_from[identity]:
            waiting[product] -= 1
            if not waiting[product]:
                ready.append(product)
    return Ancestry(lineage, tuple(order), _cycle(lineage, reached, frozenset(order)))


def path_to_site(lineage: Lineage, start: str, site: str) -> tuple[str, ...]:
    """A shortest path of digests from `start` back to something of `site`; empty if there is none.

    Breadth first.
    """
    towards: dict[str, str | None] = {start: None}
    queue = deque([start])
    while queue:
        identity = queue.popleft()
        node = lineage.by_id.get(identity)
        if node is not None and node.site == site:
            return _walk_back(towards, identity)
        for source in _inputs(lineage, identity):
            if source not in towards:
                towards[source] = identity
                queue.append(source)
    return ()


def _walk_back(towards: Mapping[str, str | None], end: str) -> tuple[str, ...]:
    path = []
    identity: str | None = end
    while identity is not None:
        path.append(identity)
        identity = towards[identity]
    return tuple(reversed(path))


def _inputs(lineage: Lineage, identity: str) -> tuple[str, ...]:
    return tuple(portion.id for portion in lineage.inputs(identity))


def _reach(lineage: Lineage, roots: Iterable[str]) -> tuple[str, ...]:
    reached = dict.fromkeys(roots)
    queue = deque(reached)
    while queue:
        for source in _inputs(lineage, queue.popleft()):
            if source not in reached:
                reached[source] = None
                queue.append(source)
    return tuple(reached)


def _cycle(lineage: Lineage, reached: tuple[str, ...], resolved: frozenset[str]) -> tuple[str, ...]:
    # Whatever Kahn's algorithm could not resolve has an unresolved input: following those must
    # come back to a place already seen.
    identity = next((identity for identity in reached if identity not in resolved), None)
    seen: dict[str, int] = {}
    path: list[str] = []
    while identity is not None and identity not in seen:
        seen[identity] = len(path)
        path.append(identity)
        sources = _inputs(lineage, identity)
        identity = next((source for source in sources if source not in resolved), None)
    return (*path[seen[identity] :], identity) if identity is not None else ()
