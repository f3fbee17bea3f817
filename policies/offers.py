"""Which offers a participant may see: an index of policies, asked once for each catalogue request.

An offer is seen unless no permission of it can be satisfied by this participant any more. Only
what depends on the participant is evaluated (`policies.odrl.audience`), once for all policies that
share it, and only for policies that are for everyone or for somebody whom the participant is, or
is part of. To see an offer is not to be allowed anything: every request is decided in full.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from policies.odrl import audience, inherit, lower, terms
from policies.odrl.audience import Part
from policies.odrl.model import Policy as OdrlPolicy
from policies.odrl.reach import View, compiled
from policies.odrl.view import BACKGROUND
from policies.odrl.world import Values, World
from policies.policy import Policy


@dataclass(frozen=True)
class Participant:
    """Who looks. `part_of` leads from an IRI to the next collections, from `uid` first of all.

    `operands` are values by left operand: what it is (spatial, industry, ...), and the purposes
    that it states. An offer that suits one of several purposes is seen.
    """

    uid: str
    part_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    operands: Mapping[str, Values] = field(default_factory=dict)

    def views(self) -> tuple[View, ...]:
        """One view for each purpose that is stated, or one without."""
        known = {key: values for key, values in self.operands.items() if key != terms.PURPOSE}
        purposes = self.operands.get(terms.PURPOSE, ())
        stated = [{terms.PURPOSE: (purpose,)} for purpose in purposes] or [{}]
        worlds = (World(operands={**known, **one}, part_of=self.part_of) for one in stated)
        return tuple(View(self.uid, world) for world in worlds)


@dataclass(slots=True)
class _Group:
    """Offers that share a part. By number: uid, and the last moment of each permission."""

    reachable: Callable[[View], tuple[int, ...]]
    offers: dict[int, tuple[str, tuple[datetime | None, ...]]] = field(default_factory=dict)


class OfferIndex:
    """Offers by what in them depends on a participant. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._numbers = count()
        self._places: dict[str, tuple[int, Part]] = {}
        self._groups: dict[Part, _Group] = {}
        self._everyone: dict[Part, _Group] = {}
        self._by_member: dict[str, dict[Part, _Group]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(
        self,
        uid: str,
        policy: OdrlPolicy | Policy,
        known: Mapping[str, OdrlPolicy] | None = None,
    ) -> None:
        """Add an offer, or put another policy in its place. `known`: parents of the policy.

        Raises `PolicyError` (ODRL_*) if its rules cannot be read or a parent is not known.
        """
        part, lasts = _parts(policy, known or {})
        self.remove(uid)
        group = self._groups.get(part)
        if group is None:
            group = self._groups[part] = _Group(compiled(part))
            for table in self._tables(part):
                table[part] = group
        number = next(self._numbers)
        group.offers[number] = uid, lasts
        self._places[uid] = number, part

    def remove(self, uid: str) -> None:
        """Take an offer out; one that is not there is none to take out."""
        number, part = self._places.pop(uid, (0, None))
        if part is None:
            return
        offers = self._groups[part].offers
        del offers[number]
        if not offers:
            for table in self._tables(part):
                table.pop(part, None)
            for name in {name for reach in part.permissions for name in reach.names}:
                if not self._by_member.get(name, True):
                    del self._by_member[name]
            del self._groups[part]

    def visible(self, participant: Participant, now: datetime | None = None) -> list[str]:
        """The offers that it may see, in the order in which they were added.

        With `now`, offers whose permissions have all ended are left out.
        """
        views = participant.views()
        found: dict[int, str] = {}
        for group in self._candidates(views[0]):
            reach = {index for view in views for index in group.reachable(view)}
            if reach:
                found.update(_lasting(group, reach, now))
        return [found[number] for number in sorted(found)]

    def _candidates(self, view: View) -> Iterator[_Group]:
        yield from self._everyone.values()
        tables = [self._by_member[name] for name in view.names if name in self._by_member]
        # By identity: to hash a part takes longer than to evaluate it.
        yield from {id(group): group for table in tables for group in table.values()}.values()

    def _tables(self, part: Part) -> list[dict[Part, _Group]]:
        """Where a part stands in the index."""
        if any(reach.everyone for reach in part.permissions):
            return [self._everyone]
        names = {name for reach in part.permissions for name in reach.names}
        return [self._by_member.setdefault(name, {}) for name in names]


def _parts(
    policy: OdrlPolicy | Policy, known: Mapping[str, OdrlPolicy]
) -> tuple[Part, tuple[datetime | None, ...]]:
    implies: Mapping[str, tuple[str, ...]] = {}
    if isinstance(policy, Policy):
        policy, implies = lower.lower(policy), BACKGROUND.implies
    if policy.inherits:
        policy = inherit.resolve(policy, known)
    return audience.part_of(policy, implies), audience.lasts(policy)


def _lasting(group: _Group, reach: set[int], now: datetime | None) -> Iterator[tuple[int, str]]:
    for number, (uid, lasts) in group.offers.items():
        if now is None or any((last := lasts[index]) is None or now <= last for index in reach):
            yield number, uid
