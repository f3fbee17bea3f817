"""Random policies that the model can hold, for property tests."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from hypothesis import strategies as st

from policies.odrl import terms
from policies.odrl.model import (
    Action,
    Asset,
    AssetCollection,
    Constraint,
    Duty,
    LogicalConstraint,
    Party,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.odrl.terms import Iri, Kind, LogicalOperator, Operator, PolicyKind
from policies.odrl.values import Duration

_names = st.text("abcdefghij", min_size=1, max_size=6)
iris = st.builds("urn:{}:{}".format, _names, _names) | st.builds("http://a.b/{}#{}".format, _names,
                                                                _names)  # fmt: skip
_text = st.text(
    st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12
) | st.sampled_from(["2030-01-01", "urn:a:b", "odrl:use", "5", "http://a.b/c"])
_decimals = (
    st.decimals(
        allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4
    )
    | st.integers(-(10**9), 10**9).map(Decimal)
    | st.sampled_from([Decimal("1E-5"), Decimal("1E+3")])
)
_zones = st.sampled_from(
    [UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9, minutes=-30))]
)
_instants = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=_zones)  # noqa: DTZ001 - Hypothesis adds the zone
_durations = st.builds(
    lambda months, micros, sign: Duration(sign * months, sign * Decimal(micros).scaleb(-6)),
    st.integers(0, 2000), st.integers(0, 10**14), st.sampled_from([1, -1]),
)  # fmt: skip
_values = {
    Kind.NUMBER: _decimals,
    Kind.INSTANT: _instants,
    Kind.DATE: st.dates(datetime(1900, 1, 1).date(), datetime(2200, 1, 1).date()),  # noqa: DTZ001 - a day
    Kind.DURATION: _durations,
    Kind.IRI: iris.map(Iri) | st.sampled_from(sorted(terms.BROADER_PURPOSES)).map(Iri),
    Kind.TEXT: _text,
}
_uids = st.none() | iris


@st.composite
def atoms(draw):
    left = draw(st.sampled_from(sorted(terms.LEFT_OPERANDS)))
    kinds = terms.LEFT_OPERANDS[left]
    orderable = kinds <= {Kind.NUMBER, Kind.INSTANT, Kind.DATE, Kind.DURATION}
    operator = draw(st.sampled_from([
        one for one in Operator if orderable or one not in terms.ORDERED
    ]))  # fmt: skip
    value = st.one_of(*(_values[kind] for kind in sorted(kinds)))
    right = value if operator in terms.ORDERED else value | st.lists(
        value, min_size=1, max_size=3).map(tuple)  # fmt: skip
    return Constraint(left, operator, draw(right), draw(_uids), draw(_uids))


constraints = st.recursive(
    atoms(),
    lambda inner: st.builds(
        LogicalConstraint,
        st.sampled_from(list(LogicalOperator)),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        _uids,
    ),
    max_leaves=4,
)
_few_constraints = st.lists(constraints, max_size=2).map(tuple)
_core_actions = st.sampled_from(sorted({*terms.INCLUDED_IN, *terms.SAME_ACTION}))
actions = st.builds(
    Action,
    _core_actions,
    _few_constraints,
    st.none(),
    st.lists(_core_actions, max_size=1).map(tuple),
) | st.builds(Action, iris, _few_constraints, _core_actions)


def _few(strategy, least=0):
    return st.lists(strategy, min_size=least, max_size=2).map(tuple)


def _entities(single, collection):
    # Members of collections that nothing else is named like, so that no cycle can arise.
    above = _few(st.builds("urn:collection:{}".format, _names))
    return st.builds(single, st.builds("urn:one:{}".format, _names), above) | st.builds(
        collection, st.builds("urn:group:{}".format, _names), _uids, above, _few_constraints
    )


def scopes(least=1):
    return st.builds(
        Scope,
        _few(actions, least),
        _few(_entities(Asset, AssetCollection), least),
        _few(_entities(Party, PartyCollection)),
        _few(_entities(Party, PartyCollection)),
    )


duties = st.recursive(
    st.builds(Duty, scopes(), _few_constraints, st.just(()), _uids),
    lambda inner: st.builds(Duty, scopes(), _few_constraints, _few(inner), _uids),
    max_leaves=2,
)
permissions = st.builds(Permission, scopes(), _few_constraints, _few(duties), _uids)
prohibitions = st.builds(Prohibition, scopes(), _few_constraints, _few(duties), _uids)
metadata = st.tuples(
    st.sampled_from([terms.DCT + "creator", terms.DCT + "title"]), _text | iris.map(Iri)
)


@st.composite
def policies(draw, kinds=tuple(PolicyKind), least_permissions=1):
    kind = draw(st.sampled_from(kinds))
    scope = draw(scopes(least=0))
    if kind is PolicyKind.AGREEMENT:
        scope = Scope(scope.actions, (Asset("urn:t"),), (Party("urn:p"),), (Party("urn:c"),))
    return Policy(
        uid=draw(iris),
        kind=kind,
        permissions=draw(_few(permissions, least_permissions)),
        prohibitions=draw(_few(prohibitions)),
        obligations=draw(_few(duties)),
        scope=scope,
        profiles=draw(st.sampled_from([(), (terms.PROFILE,)])),
        conflict=draw(st.none() | st.sampled_from(list(terms.Conflict))),
        inherits=draw(_few(iris)),
        metadata=tuple(sorted(draw(_few(metadata)), key=lambda pair: pair[0])),
    )
