"""Whom an offer is shown to: never hidden from who could use it, hidden from who cannot."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import purposes
from policies.errors import PolicyError
from policies.odrl import terms
from policies.odrl.evaluate import evaluate
from policies.odrl.model import (
    Action,
    Asset,
    Constraint,
    LogicalConstraint,
    Party,
    PartyCollection,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.odrl.terms import DCT, ODRL, USE, Conflict, Iri, LogicalOperator, Operator
from policies.odrl.world import Request, World
from policies.offers import OfferIndex, Participant
from policies.policy import Policy as Own

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SPATIAL, INDUSTRY = ODRL + "spatial", ODRL + "industry"
RESEARCH = purposes.by_name("scientific-research").iri
PURPOSES = [purposes.by_name(name).iri for name in purposes.ALLOWED]
UNIVERSITY = "https://example.org/university"
MEMBERS = "https://example.org/members"
EUROPE, BELGIUM = "https://example.org/europe", "https://example.org/belgium"
TARGET = Asset("urn:dataset")
WHERE = {BELGIUM: (EUROPE,)}


def who(uid: str = UNIVERSITY, *groups: str, **operands: Any) -> Participant:
    known = {ODRL + key: (value,) for key, value in operands.items()}
    return Participant(uid, {uid: groups, **WHERE}, known)


def offer(*constraints: Any, assignees: Any = (), **changed: Any) -> Policy:
    scope = Scope((Action(USE),), (TARGET,), (), assignees)
    return Policy("urn:offer", permissions=(Permission(scope, constraints),), **changed)


def banning(*constraints: Any, action: str = USE, **changed: Any) -> Policy:
    targets = changed.pop("targets", (TARGET,))
    scope = Scope((Action(action),), targets, (), changed.pop("assignees", ()))
    return replace(offer(**changed), prohibitions=(Prohibition(scope, constraints),))


def sees(policy: Any, participant: Participant, now: datetime | None = None) -> bool:
    index = OfferIndex()
    index.add("an offer", policy)
    return index.visible(participant, now) == ["an offer"]


def c(left: str, operator: str, *right: Any) -> Constraint:
    return Constraint(left, Operator(operator), right[0] if len(right) == 1 else right)


def both(operator: str, *operands: Any) -> LogicalConstraint:
    return LogicalConstraint(LogicalOperator(operator), operands)


BELGIAN = c(SPATIAL, "isPartOf", Iri(BELGIUM))
EUROPEAN = c(SPATIAL, "isPartOf", Iri(EUROPE))
HEALTH = c(INDUSTRY, "eq", "health")
CHEAP = c(terms.EPSILON, "lteq", Decimal(1))
AT_HOME = who(spatial=Iri(BELGIUM), industry="health")


def test_an_offer_without_conditions_on_the_participant_is_for_everybody() -> None:
    assert sees(offer(CHEAP), who())
    assert sees(offer(), AT_HOME)


@pytest.mark.parametrize(
    ("assignees", "seen"),
    [
        ((Party(UNIVERSITY),), True),
        ((Party("urn:other"),), False),
        ((Party("urn:other"), Party(UNIVERSITY)), True),
        ((PartyCollection(uid=MEMBERS),), True),
        ((PartyCollection(source=MEMBERS),), True),
        ((PartyCollection(uid="urn:others"),), False),
        ((Party("urn:others", (MEMBERS,)), PartyCollection(uid="urn:all")), False),
        ((PartyCollection(uid=MEMBERS, refinements=(EUROPEAN,)),), True),
        ((PartyCollection(uid=MEMBERS, refinements=(c(SPATIAL, "eq", Iri(EUROPE)),)),), False),
        ((PartyCollection(uid=MEMBERS, refinements=(c(ODRL + "language", "eq", "fr"),)),), True),
    ],
)
def test_assignees_are_parties_and_collections_that_they_are_part_of(
    assignees: Any, seen: bool
) -> None:
    participant = Participant(
        UNIVERSITY, {UNIVERSITY: (MEMBERS,), **WHERE}, {SPATIAL: (Iri(BELGIUM),)}
    )
    assert sees(offer(assignees=assignees), participant) is seen


def test_a_policy_can_say_itself_who_is_part_of_a_collection() -> None:
    for member in (UNIVERSITY, MEMBERS):
        stated = Scope(assigners=(Party(member, ("urn:club",)),))
        policy = replace(offer(assignees=(PartyCollection(uid="urn:club"),)), scope=stated)
        assert sees(policy, who(UNIVERSITY, MEMBERS))
        assert not sees(policy, who("urn:other"))


@pytest.mark.parametrize(
    ("constraint", "seen"),
    [
        (EUROPEAN, True),
        (BELGIAN, True),
        (c(SPATIAL, "isPartOf", Iri("urn:asia")), False),
        (c(SPATIAL, "eq", Iri(EUROPE)), False),
        (c(SPATIAL, "isAnyOf", Iri("urn:asia"), Iri(BELGIUM)), True),
        (c(SPATIAL, "isNoneOf", Iri("urn:asia"), Iri(BELGIUM)), False),
        (c(SPATIAL, "neq", Iri("urn:asia")), True),
        (c(SPATIAL, "isAllOf", Iri(BELGIUM)), True),
        (c(SPATIAL, "hasPart", Iri("urn:asia")), False),
        (HEALTH, True),
        (c(INDUSTRY, "eq", Iri("urn:health")), False),
        (c(terms.RECIPIENT, "eq", Iri(UNIVERSITY)), True),
        (c(terms.RECIPIENT, "neq", Iri(UNIVERSITY)), False),
        (c(terms.RECIPIENT, "isNoneOf", Iri("urn:x"), Iri("urn:y")), True),
        (both("or", c(SPATIAL, "eq", Iri("urn:asia")), HEALTH), True),
        (both("or", c(SPATIAL, "eq", Iri("urn:asia")), CHEAP), True),
        (both("and", c(SPATIAL, "eq", Iri("urn:asia")), CHEAP), False),
        (both("andSequence", EUROPEAN, HEALTH), True),
        (both("xone", EUROPEAN, HEALTH), False),
        (both("xone", EUROPEAN, CHEAP), True),
        (both("xone", CHEAP, CHEAP), True),
        (both("xone", EUROPEAN, EUROPEAN), False),
        (both("or", both("and", BELGIAN, both("xone", HEALTH, HEALTH)), CHEAP), True),
    ],
)
def test_a_constraint_on_what_the_participant_is_decides(constraint: Any, seen: bool) -> None:
    assert sees(offer(constraint), AT_HOME) is seen
    assert sees(offer(CHEAP, constraint), AT_HOME) is seen


@pytest.mark.parametrize(
    "constraint",
    [
        BELGIAN,
        HEALTH,
        c(SPATIAL, "isNoneOf", Iri(BELGIUM)),
        Constraint(SPATIAL, Operator.EQ, Iri(EUROPE), unit="urn:unit"),
        c(terms.EVENT, "lt", Iri("urn:launch")),
        c(terms.PURPOSE, "isA", Iri(RESEARCH)),
        both("xone", BELGIAN, HEALTH),
    ],
)
def test_what_is_not_known_of_a_participant_hides_nothing(constraint: Any) -> None:
    assert sees(offer(constraint), who())
    assert sees(banning(constraint), who()), "a prohibition that may apply is no certainty"


def test_one_permission_within_reach_is_enough() -> None:
    far = offer(c(SPATIAL, "eq", Iri("urn:asia"))).permissions
    policy = replace(offer(), permissions=(*far, *offer(EUROPEAN).permissions))
    assert sees(policy, AT_HOME)
    assert not sees(replace(policy, permissions=far * 2), AT_HOME)
    assert not sees(replace(policy, permissions=()), AT_HOME)


def test_an_offer_that_suits_one_of_several_purposes_is_seen() -> None:
    algorithms = purposes.by_name("train-algorithms").iri
    for wanted, seen in ((RESEARCH, True), (algorithms, False)):
        stated = Participant(UNIVERSITY, {}, {terms.PURPOSE: (Iri(PURPOSES[0]), Iri(wanted))})
        only = offer(c(terms.PURPOSE, "eq", Iri(RESEARCH)))
        assert sees(only, stated) is seen
    narrow = Participant(UNIVERSITY, {}, {terms.PURPOSE: (Iri(algorithms),)})
    assert sees(offer(c(terms.PURPOSE, "isA", Iri(RESEARCH))), narrow)
    forbidden = banning(c(terms.PURPOSE, "isA", Iri(RESEARCH)))
    assert not sees(forbidden, narrow)
    teaching = Iri(purposes.by_name("education").iri)
    assert sees(
        forbidden,
        Participant(UNIVERSITY, {}, {terms.PURPOSE: (*narrow.operands[terms.PURPOSE], teaching)}),
    )


@pytest.mark.parametrize(
    ("policy", "seen"),
    [
        (banning(), False),
        (banning(EUROPEAN), False),
        (banning(EUROPEAN, CHEAP), True),
        (banning(c(SPATIAL, "eq", Iri("urn:asia"))), True),
        (banning(assignees=(Party(UNIVERSITY),)), False),
        (banning(assignees=(Party("urn:other"),)), True),
        (banning(EUROPEAN, conflict=Conflict.PERM), True),
        (banning(EUROPEAN, conflict=Conflict.PROHIBIT), False),
        (banning(EUROPEAN, action=ODRL + "distribute"), True),
        (banning(EUROPEAN, targets=(Asset("urn:else"),)), True),
        (banning(EUROPEAN, targets=(Asset("urn:else"), TARGET)), False),
        (banning(EUROPEAN, targets=()), False),
    ],
)
def test_a_prohibition_that_is_certain_to_apply_hides_what_it_covers(
    policy: Policy, seen: bool
) -> None:
    assert sees(policy, AT_HOME) is seen


def test_a_prohibition_of_a_refined_action_is_never_certain() -> None:
    rule = Prohibition(Scope((Action(USE, (CHEAP,)),), (TARGET,)))
    assert sees(replace(offer(), prohibitions=(rule,)), AT_HOME)


def test_a_prohibition_of_what_all_use_covers_stands_in_the_way_of_one_action_only() -> None:
    scope = Scope((Action(ODRL + "print"), Action(ODRL + "play")), (TARGET,))
    policy = Policy("urn:o", permissions=(Permission(scope),))
    no_printing = Prohibition(Scope((Action(ODRL + "print"),), (TARGET,)))
    assert sees(replace(policy, prohibitions=(no_printing,)), AT_HOME)
    nothing = Prohibition(Scope((Action(USE),), (TARGET,)))
    assert not sees(replace(policy, prohibitions=(nothing,)), AT_HOME)


def test_a_replaced_policy_is_seen_by_nobody() -> None:
    assert not sees(offer(metadata=((DCT + "isReplacedBy", Iri("urn:new")),)), AT_HOME)


@pytest.mark.parametrize(
    ("operator", "bound", "seen"),
    [
        ("lteq", NOW, True),
        ("lt", NOW, False),
        ("lt", NOW + timedelta(microseconds=1), True),
        ("term-lteq", NOW - timedelta(microseconds=1), False),
        ("gteq", NOW + timedelta(days=1), True),
        ("eq", NOW - timedelta(days=1), True),
    ],
)
def test_an_offer_that_has_ended_is_not_seen_any_more(
    operator: str, bound: datetime, seen: bool
) -> None:
    policy = offer(c(terms.DATE_TIME, operator, bound))
    assert sees(policy, AT_HOME, NOW) is seen
    assert sees(policy, AT_HOME), "without a clock nothing has ended"


def test_the_end_of_one_permission_is_not_the_end_of_another() -> None:
    over = c(terms.DATE_TIME, "lt", NOW)
    near, far = (
        offer(BELGIAN, over).permissions,
        offer(c(SPATIAL, "eq", Iri("urn:asia"))).permissions,
    )
    assert not sees(replace(offer(), permissions=near + far), AT_HOME, NOW)
    assert sees(replace(offer(), permissions=near + offer(EUROPEAN).permissions), AT_HOME, NOW)


def test_parents_bring_their_rules() -> None:
    child = Policy("urn:child", inherits=("urn:parent",))
    parent = replace(offer(BELGIAN), uid="urn:parent")
    index = OfferIndex()
    index.add("child", child, {"urn:parent": parent})
    assert index.visible(AT_HOME) == ["child"]
    assert index.visible(who(spatial=Iri(EUROPE))) == []
    with pytest.raises(PolicyError):
        index.add("child", child)
    assert index.visible(AT_HOME) == ["child"], "what cannot be read does not take its place"


def own(**changed: Any) -> Own:
    known: dict[str, Any] = {
        "id": "north/research",
        "version": 1,
        "dataset": "north/patients",
        "purposes": ("scientific-research",),
        "tasks": ("training.logistic",),
        "columns": ("age",),
        "outputs": ("model",),
        "minimum_cohort": 10,
        "minimum_participants": 2,
        "epsilon_per_job": "1",
        "budget": {"epsilon": "2", "delta": "0.00001"},
        "not_before": NOW - timedelta(days=1),
        "not_after": NOW + timedelta(days=100),
    }
    return Own.model_validate(known | changed)


def test_a_hospitals_policy_is_for_all_who_have_one_of_its_purposes() -> None:
    assert sees(own(), who(), NOW)
    assert sees(own(), Participant(UNIVERSITY, {}, {terms.PURPOSE: (Iri(RESEARCH),)}))
    teaching = Iri(purposes.by_name("education").iri)
    assert not sees(own(), Participant(UNIVERSITY, {}, {terms.PURPOSE: (teaching,)}))
    assert not sees(own(), who(), NOW + timedelta(days=100))


def test_policies_that_share_what_depends_on_the_participant_are_one_question() -> None:
    index = OfferIndex()
    for number in range(50):
        cheap = c(terms.EPSILON, "lteq", Decimal(number + 1))
        until = c(terms.DATE_TIME, "lteq", NOW + timedelta(days=number))
        index.add(f"offer {number}", offer(cheap, replace(BELGIAN, uid=f"urn:{number}"), until))
    assert len(index._groups) == 1
    assert index.visible(AT_HOME, NOW) == [f"offer {number}" for number in range(50)]
    later = NOW + timedelta(days=47, seconds=1)
    assert index.visible(AT_HOME, later) == ["offer 48", "offer 49"]


# Against the reference evaluator, and against an index that is built anew

names = st.sampled_from([UNIVERSITY, MEMBERS, "urn:other"])
places = st.sampled_from([BELGIUM, EUROPE, "urn:asia"]).map(Iri)
atoms = st.one_of(
    st.builds(
        lambda operator, right: Constraint(SPATIAL, operator, right),
        st.sampled_from([Operator.EQ, Operator.NEQ, Operator.IS_PART_OF, Operator.IS_A]),
        places,
    ),
    st.builds(
        lambda operator, right: Constraint(SPATIAL, operator, tuple(right)),
        st.sampled_from([Operator.IS_ANY_OF, Operator.IS_NONE_OF, Operator.EQ, Operator.HAS_PART]),
        st.lists(places, min_size=1, max_size=2),
    ),
    st.builds(
        lambda operator, right: Constraint(terms.RECIPIENT, operator, Iri(right)),
        st.sampled_from([Operator.EQ, Operator.NEQ, Operator.IS_PART_OF]),
        names,
    ),
    st.builds(
        lambda operator, right: Constraint(INDUSTRY, operator, right),
        st.sampled_from([Operator.EQ, Operator.NEQ]),
        st.sampled_from(["health", "insurance"]),
    ),
)
cost = st.builds(
    lambda operator, bound: Constraint(terms.EPSILON, operator, Decimal(bound)),
    st.sampled_from([Operator.LTEQ, Operator.GT]),
    st.integers(1, 3),
)


def constraints(leaf: Any) -> Any:
    return st.recursive(
        leaf,
        lambda inner: st.builds(
            LogicalConstraint,
            st.sampled_from(LogicalOperator),
            st.lists(inner, min_size=1, max_size=3).map(tuple),
        ),
        max_leaves=4,
    )


parties = st.one_of(
    st.builds(Party, names, st.sampled_from([(), ("urn:club",)])),
    st.builds(PartyCollection, st.sampled_from([MEMBERS, "urn:club"])),
    st.builds(
        lambda atom: PartyCollection(MEMBERS, refinements=(atom,)),
        st.sampled_from([EUROPEAN, HEALTH, c(SPATIAL, "eq", Iri("urn:asia"))]),
    ),
)
actions = st.sampled_from([USE, ODRL + "print", ODRL + "distribute"]).map(Action)


def scopes() -> Any:
    return st.builds(
        Scope,
        st.lists(actions, min_size=1, max_size=2).map(tuple),
        st.sampled_from([(TARGET,), (), (TARGET, Asset("urn:else"))]),
        st.just(()),
        st.lists(parties, max_size=2).map(tuple),
    )


def policies(leaf: Any) -> Any:
    rules = st.lists(constraints(leaf), max_size=2).map(tuple)
    return st.builds(
        lambda permissions, prohibitions, conflict: Policy(
            "urn:o", permissions=permissions, prohibitions=prohibitions, conflict=conflict
        ),
        st.lists(st.builds(Permission, scopes(), rules), min_size=1, max_size=2).map(tuple),
        st.lists(st.builds(Prohibition, scopes(), rules), max_size=2).map(tuple),
        st.sampled_from([None, *Conflict]),
    )


people = st.builds(
    lambda uid, groups, place, industry: Participant(
        uid,
        {uid: groups, **WHERE},
        ({SPATIAL: (place,)} if place else {}) | ({INDUSTRY: (industry,)} if industry else {}),
    ),
    names,
    st.sampled_from([(), (MEMBERS,), (MEMBERS, "urn:club")]),
    st.none() | places,
    st.sampled_from([None, "health", "insurance"]),
)


def permitted(policy: Policy, participant: Participant, epsilon: int | None) -> bool:
    """Whether the participant is permitted anything, told all that it is."""
    operands = {terms.RECIPIENT: (Iri(participant.uid),), **participant.operands}
    if epsilon is not None:
        operands[terms.EPSILON] = (Decimal(epsilon),)
    world = World(
        operands=operands,
        part_of=participant.part_of,
        attributes={participant.uid: operands},
    )
    asked = [one.iri for rule in policy.permissions for one in rule.scope.actions]
    return any(
        evaluate(policy, Request("urn:r", action, participant.uid, TARGET.uid), world).permitted
        for action in asked
    )


@given(policies(st.one_of(atoms, cost)), people, st.integers(0, 4))
@settings(max_examples=400, deadline=None)
def test_nothing_that_could_be_used_is_hidden(
    policy: Policy, participant: Participant, epsilon: int
) -> None:
    if permitted(policy, participant, epsilon):
        assert sees(policy, participant)


@given(policies(atoms), people.filter(lambda one: len(one.operands) == 2))
@settings(max_examples=400, deadline=None)
def test_what_hangs_on_the_participant_alone_is_decided(
    policy: Policy, participant: Participant
) -> None:
    targets_named = all(
        rule.scope.targets == (TARGET,) for rule in (*policy.permissions, *policy.prohibitions)
    )
    if targets_named:
        assert sees(policy, participant) is permitted(policy, participant, None)


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.none() | policies(st.one_of(atoms, cost))), max_size=12
    ),
    people,
)
@settings(max_examples=150, deadline=None)
def test_an_index_that_was_changed_is_as_one_that_was_built_anew(
    changes: list[tuple[int, Policy | None]], participant: Participant
) -> None:
    index = OfferIndex()
    kept: dict[str, Policy] = {}
    for number, policy in changes:
        uid = f"offer {number}"
        kept.pop(uid, None)
        if policy is None:
            index.remove(uid)
        else:
            kept[uid] = policy
            index.add(uid, policy)
    assert len(index) == len(kept)
    assert index.visible(participant) == [uid for uid in kept if sees(kept[uid], participant)]
    for uid in kept:
        index.remove(uid)
    assert [index._groups, index._everyone, index._by_member, index._places] == [{}] * 4
