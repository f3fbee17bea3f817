"""Ten thousand offers filtered for one participant: seconds, as usual and in the worst case."""

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from policies import purposes
from policies.odrl import terms
from policies.odrl.model import (
    Action,
    Asset,
    Constraint,
    Party,
    PartyCollection,
    Permission,
    Policy,
    Scope,
)
from policies.odrl.terms import ODRL, USE, Iri, Operator
from policies.offers import OfferIndex, Participant

COUNT = 10_000
START = datetime(2030, 1, 1, tzinfo=UTC)
SPATIAL, INDUSTRY = ODRL + "spatial", ODRL + "industry"
COUNTRIES = tuple(f"https://example.org/country/{number}" for number in range(27))
EUROPE = "https://example.org/europe"
PURPOSES = tuple(purpose.iri for purpose in purposes.ALLOWED.values())
SOMEBODY = Participant(
    "https://example.org/party/7",
    {"https://example.org/party/7": ("https://example.org/group/3",), COUNTRIES[7]: (EUROPE,)},
    {
        SPATIAL: (Iri(COUNTRIES[7]),),
        INDUSTRY: ("health",),
        terms.PURPOSE: (Iri(purposes.by_name("train-algorithms").iri),),
    },
)


def _offer(number: int, constraints: tuple[Constraint, ...], scope: Scope) -> Policy:
    open_ones = (
        Constraint(terms.EPSILON, Operator.LTEQ, Decimal(number % 9 + 1)),
        Constraint(terms.DATE_TIME, Operator.LT, START + timedelta(days=number)),
    )
    permission = Permission(scope, (*constraints, *open_ones))
    return Policy(f"urn:offer:{number}", permissions=(permission,))


def _scope(number: int, *assignees: Party | PartyCollection) -> Scope:
    return Scope((Action(USE),), (Asset(f"urn:dataset:{number}"),), (), assignees)


def usual(number: int) -> Policy:
    """Three hundred hospitals' terms: groups, countries, purposes in a few combinations."""
    group = PartyCollection(uid=f"https://example.org/group/{number % 12}")
    assignees = (group,) if number % 3 else ()
    return _offer(
        number,
        (
            Constraint(SPATIAL, Operator.IS_PART_OF, Iri(EUROPE)),
            Constraint(terms.PURPOSE, Operator.IS_A, Iri(PURPOSES[number % len(PURPOSES)])),
        ),
        _scope(number, *assignees),
    )


def distinct(number: int) -> Policy:
    """All parts distinct, all for everyone, nothing refused before the last constraint."""
    return _offer(
        number,
        (
            Constraint(terms.RECIPIENT, Operator.NEQ, Iri(f"https://example.org/no/{number}")),
            Constraint(SPATIAL, Operator.IS_ANY_OF, tuple(map(Iri, COUNTRIES))),
            Constraint(INDUSTRY, Operator.IS_NONE_OF, ("insurance", f"industry {number}")),
            Constraint(terms.PURPOSE, Operator.IS_A, tuple(map(Iri, PURPOSES[number % 3 :]))),
        ),
        _scope(number),
    )


def measure(make: Callable[[int], Policy]) -> tuple[float, float, int]:
    """Median and longest of some requests in seconds, and how many offers are seen."""
    index = OfferIndex()
    for number in range(COUNT):
        index.add(f"urn:offer:{number}", make(number))
    taken = []
    seen = 0
    for _ in range(21):
        began = time.perf_counter()
        seen = len(index.visible(SOMEBODY, START))
        taken.append(time.perf_counter() - began)
    return statistics.median(taken), max(taken), seen


def main() -> None:
    """Print both."""
    for what, make in (("usual", usual), ("all terms distinct", distinct)):
        median, longest, seen = measure(make)
        print(
            f"{median * 1e3:6.1f} ms  {COUNT:,} offers, {what} "
            f"(longest {longest * 1e3:.1f} ms, {seen:,} are seen)"
        )


if __name__ == "__main__":
    main()
