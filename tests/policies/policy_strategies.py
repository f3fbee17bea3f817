"""Random policies of a hospital, close to each other, and random requests around them."""

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from policies import purposes
from policies.baseline import Situation, cost_of
from policies.odrl import terms
from policies.policy import Policy
from policies.privacy import NOTHING

START = datetime(2030, 1, 1, tzinfo=UTC)
_NAMES = ("age", "died", "bmi", "sodium")
_TASKS = ("training.logistic", "training.mlp", "statistics.count")
_PURPOSES = ("scientific-research", "train-algorithms", "statistics", "train-devices")
_DATASETS = ("north/flchain", "north/other", "south/flchain")


def _some(names):
    return st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)


def _operand(name, operators, values):
    return st.builds(
        lambda operator, value: {
            "leftOperand": name, "operator": operator, "rightOperand": value
        },
        st.sampled_from(operators), values,
    )  # fmt: skip


_ORDER = ("lt", "lteq", "gt", "gteq", "eq")
_iri = st.sampled_from(_PURPOSES).map(lambda name: {"@id": purposes.by_name(name).iri})
_atoms = st.one_of(
    _operand("purpose", ("isA", "eq", "neq"), _iri),
    _operand("purpose", ("isAnyOf", "isNoneOf"), st.lists(_iri, min_size=1, max_size=2)),
    _operand("commensal:task", ("isAnyOf", "isNoneOf"), _some(_TASKS).map(list)),
    _operand("commensal:column", ("isAnyOf", "isNoneOf", "isAllOf"), _some(_NAMES).map(list)),
    _operand("commensal:cohortSize", _ORDER, st.sampled_from((50, 100, 200))),
    _operand("commensal:minParticipants", _ORDER, st.integers(1, 5)),
    _operand("commensal:epsilon", _ORDER, st.sampled_from((0.5, 1, 2))),
    _operand(
        "dateTime",
        ("lt", "gteq"),
        st.sampled_from(("2030-01-15T00:00:00Z", "2030-02-01T00:00:00Z")),
    ),
    _operand("elapsedTime", ("lteq",), st.sampled_from(("PT24H", "P3D"))),
    _operand("commensal:approval", ("eq",), st.just("granted")),
)
_constraints = st.recursive(
    _atoms,
    lambda inner: st.builds(
        lambda operator, operands: {operator: {"@list": operands}},
        st.sampled_from(("and", "or", "xone")), st.lists(inner, min_size=1, max_size=2),
    ),
    max_leaves=3,
)  # fmt: skip


def _rule(least):
    return st.fixed_dictionaries(
        {
            "action": st.sampled_from(("use", "use", "aggregate", "transfer")),
            "constraint": st.lists(_constraints, min_size=least, max_size=2),
        }
    )


rules = st.builds(
    lambda permissions, prohibitions, conflict: json.dumps(
        {
            "@context": ["http://www.w3.org/ns/odrl.jsonld", {"commensal": terms.COMMENSAL}],
            "@id": "urn:example:rules", "@type": "Set",
            "permission": permissions,
            **({"prohibition": prohibitions} if prohibitions else {}),
            **({"conflict": conflict} if conflict else {}),
        }
    ),
    st.lists(_rule(0), min_size=1, max_size=2), st.lists(_rule(1), max_size=1),
    st.sampled_from((None, "prohibit", "perm")),
)  # fmt: skip

_FIELDS = {
    "version": st.integers(1, 3),
    "dataset": st.sampled_from(_DATASETS[:2]),
    "purposes": _some(_PURPOSES),
    "tasks": _some(_TASKS),
    "columns": _some(_NAMES),
    "outputs": _some(("model", "table")),
    "minimum_cohort": st.sampled_from((1, 50, 100)),
    "minimum_participants": st.integers(1, 5),
    "epsilon_per_job": st.sampled_from(("0.5", "1", "1.000001", "3")),
    "hours_per_job": st.sampled_from((1, 24, 168)),
    "budget": st.fixed_dictionaries(
        {
            "epsilon": st.sampled_from(("1", "2", "2.5")),
            "delta": st.sampled_from(("0.00001", "0.000001")),
        }
    ),
    "not_before": st.sampled_from((START, START + timedelta(days=3))),
    "not_after": st.sampled_from((START + timedelta(days=2), START + timedelta(days=60))),
    "approval": st.sampled_from(("automatic", "person")),
}
policies = st.fixed_dictionaries(_FIELDS).map(
    lambda fields: Policy.model_validate({"id": "north/policy", "rules": "", **fields})
)


@st.composite
def pairs(draw, *, with_rules=False):
    """Two policies that differ in a few fields, perhaps none."""
    old = draw(policies)
    changed = draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=3, unique=True))
    new = {**old.model_dump(mode="json"), **{name: draw(_FIELDS[name]) for name in changed}}
    if with_rules:
        first = draw(rules)
        old = old.model_copy(update={"rules": first})
        new["rules"] = draw(st.just(first) | rules)
    return old, Policy.model_validate(new)


_COSTS = [NOTHING, *(cost_of(Decimal(one), Decimal("0.00001")) for one in
          ("0.3", "0.5", "0.7", "1", "1.000001", "1.2", "2", "2.4", "3"))]  # fmt: skip
# Each purpose once, and those that the policies name more often.
_IRIS = [purposes.by_name(name).iri for name in (*purposes.ALLOWED, *_PURPOSES * 8)]


def situations(seed: int, count: int = 300) -> list[Situation]:
    """Random requests, of which some are allowed."""
    chance = random.Random(seed)  # noqa: S311 - test cases, reproducible

    def names(known):
        return tuple(chance.sample(known, chance.randint(1, 2)))

    def one():
        return Situation(
            dataset=chance.choice((*_DATASETS[:2], *_DATASETS)),
            purpose=chance.choice(_IRIS),
            tasks=names((*_TASKS, "other")),
            columns=names((*_NAMES, "other")),
            output=chance.choice(("model", "table", "model", "table", "other")),
            participants=chance.choice((1, 2, 3, 4, 5, 6, 7, 7, 7)),
            planned=chance.choice((*_COSTS, *_COSTS[:3])),
            spent=chance.choice((*_COSTS, *[NOTHING] * 10)),
            lasts=timedelta(hours=chance.choice((1, 1, 1, 2, 24, 72, 100, 168, 200))),
            persons=chance.choice((None, 0, 1, 49, 50, 75, 100, 150, 200, 300, 300, 300)),
            now=START + timedelta(days=chance.choice((-1, 0, 1, 1, 1, 2, 3, 9, 20, 40, 59, 61))),
            approved=chance.choice((None, True, True, True, False)),
        )  # fmt: skip

    return [one() for _ in range(count)]
