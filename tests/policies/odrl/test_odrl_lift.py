"""A policy written in ODRL becomes the typed one that a node enforces, or an error says why not."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from gate_cases import Cases, any_constraint, job, seeded, typed

from policies import engine
from policies.errors import PolicyError
from policies.odrl import terms
from policies.odrl.bounds import Bounds, all_of, any_of, meet
from policies.odrl.evaluate import evaluate
from policies.odrl.lift import lift
from policies.odrl.lower import lower
from policies.odrl.model import (
    Action,
    Asset,
    AssetCollection,
    Constraint,
    Duty,
    LogicalConstraint,
    Permission,
    Policy,
    Prohibition,
    Scope,
)
from policies.odrl.terms import ODRL, Iri, LogicalOperator, Operator
from policies.odrl.values import Duration, Value
from policies.odrl.view import world_of
from policies.odrl.write import write, write_dataspace
from policies.policy import Policy as Typed
from policies.policy import parse
from policies.purposes import by_name

DAY = datetime(2031, 5, 5, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
RESEARCH = Iri(by_name("scientific-research").iri)
TRAINING = Iri(by_name("train-algorithms").iri)


def own() -> Typed:
    rng = seeded(31)
    policy = typed(rng, *job(rng))
    return policy.model_copy(update={"approval": "automatic"})


def lifted(odrl: Policy) -> Typed:
    return lift(odrl, "the text", "p.json")


def refused(odrl: Policy) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        lifted(odrl)
    assert "p.json" in caught.value.message
    assert caught.value.remedy
    return caught.value


def changed(odrl: Policy, **fields: Any) -> Policy:
    """The same policy, its one permission changed."""
    (permission,) = odrl.permissions
    return replace(odrl, permissions=(replace(permission, **fields),))


def without(odrl: Policy, *operands: str) -> Policy:
    (permission,) = odrl.permissions
    kept = [one for one in permission.constraints if one.left not in operands]  # type: ignore[union-attr]  # atoms
    return changed(odrl, constraints=tuple(kept))


def atom(left: str, operator: Operator, right: Value | tuple[Value, ...]) -> Constraint:
    return Constraint(left, operator, right)


@pytest.mark.parametrize(
    ("left", "operator", "right", "field", "expected"),
    [
        (terms.TASK, Operator.EQ, "a", "tasks", ("a",)),
        (terms.TASK, Operator.IS_ANY_OF, ("a", Iri("urn:b"), "a"), "tasks", ("a", "urn:b")),
        (terms.TASK, Operator.IS_PART_OF, "a", "tasks", ("a",)),
        (terms.TASK, Operator.IS_NONE_OF, ("a",), "tasks", None),
        (terms.TASK, Operator.NEQ, "a", "tasks", None),
        (terms.COLUMN, Operator.IS_ALL_OF, ("a",), "columns", None),
        (terms.COLUMN, Operator.HAS_PART, ("a",), "columns", None),
        (terms.COLUMN, Operator.EQ, ("a", "b"), "columns", ("a", "b")),
        (terms.OUTPUT_KIND, Operator.IS_A, "model", "outputs", ("model",)),
        (terms.PURPOSE, Operator.IS_A, TRAINING, "purposes", ("train-algorithms",)),
        (terms.PURPOSE, Operator.EQ, RESEARCH, "purposes", ("scientific-research",)),
        (terms.PURPOSE, Operator.NEQ, RESEARCH, "purposes", None),
        (terms.PURPOSE, Operator.IS_A, Iri("urn:else"), "purposes", ()),
        (
            terms.PURPOSE, Operator.IS_A,
            Iri("https://w3id.org/dpv/sector/health#HealthcareScientificResearch"),
            "purposes", ("scientific-research",),
        ),
        (terms.DATE_TIME, Operator.LT, DAY, "not_after", DAY),
        (terms.DATE_TIME, Operator.LTEQ, DAY, "not_after", DAY + MOMENT),
        (terms.DATE_TIME, Operator.TERM_LTEQ, DAY, "not_after", DAY + MOMENT),
        (terms.DATE_TIME, Operator.EQ, DAY, "not_after", DAY + MOMENT),
        (terms.DATE_TIME, Operator.GT, DAY, "not_after", None),
        (terms.DATE_TIME, Operator.NEQ, DAY, "not_after", None),
        (terms.DATE_TIME, Operator.GTEQ, DAY, "not_before", DAY),
        (terms.DATE_TIME, Operator.GT, DAY, "not_before", DAY + MOMENT),
        (terms.DATE_TIME, Operator.EQ, DAY, "not_before", DAY),
        (terms.DATE_TIME, Operator.LT, DAY, "not_before", None),
        (terms.DATE_TIME, Operator.LT, date(2031, 5, 5), "not_after", DAY),
        (terms.DATE_TIME, Operator.LTEQ, date(2031, 5, 5), "not_after", DAY + timedelta(days=1)),
        (terms.DATE_TIME, Operator.GT, date(2031, 5, 5), "not_before", DAY + timedelta(days=1)),
        (terms.DATE_TIME, Operator.GTEQ, date(2031, 5, 5), "not_before", DAY),
        (terms.DATE_TIME, Operator.IS_ANY_OF, (DAY, DAY + 3 * MOMENT), "not_after",
         DAY + 4 * MOMENT),
        (terms.DATE_TIME, Operator.LTEQ, date(9999, 12, 31), "not_after",
         datetime.max.replace(tzinfo=UTC)),
        (terms.COHORT_SIZE, Operator.GTEQ, Decimal(50), "minimum_cohort", 50),
        (terms.COHORT_SIZE, Operator.GT, Decimal(50), "minimum_cohort", 51),
        (terms.COHORT_SIZE, Operator.GT, Decimal("50.5"), "minimum_cohort", 51),
        (terms.COHORT_SIZE, Operator.GTEQ, Decimal("50.5"), "minimum_cohort", 51),
        (terms.COHORT_SIZE, Operator.EQ, Decimal(50), "minimum_cohort", 50),
        (terms.COHORT_SIZE, Operator.LTEQ, Decimal(50), "minimum_cohort", None),
        (terms.MIN_PARTICIPANTS, Operator.GTEQ, Decimal(3), "minimum_participants", 3),
        (terms.EPSILON, Operator.LT, Decimal(1), "epsilon_per_job", Decimal(1)),
        (terms.EPSILON, Operator.GTEQ, Decimal(1), "epsilon_per_job", None),
        (terms.DELTA, Operator.EQ, Decimal("0.01"), "delta", Decimal("0.01")),
        (terms.BUDGET_EPSILON, Operator.TERM_LTEQ, Decimal(4), "budget_epsilon", Decimal(4)),
        (terms.ELAPSED_TIME, Operator.LTEQ, Duration(0, Decimal(3600)), "hours_per_job", 1),
        (terms.ELAPSED_TIME, Operator.LT, Duration(0, Decimal(3601)), "hours_per_job", 2),
        (terms.ELAPSED_TIME, Operator.LTEQ, Duration(1, Decimal(0)), "hours_per_job", 31 * 24),
        (terms.ELAPSED_TIME, Operator.GT, Duration(1, Decimal(0)), "hours_per_job", None),
        (terms.APPROVAL, Operator.EQ, "granted", "approval", "person"),
        (terms.APPROVAL, Operator.NEQ, "refused", "approval", "person"),
        (terms.APPROVAL, Operator.IS_NONE_OF, ("refused",), "approval", "person"),
        (terms.APPROVAL, Operator.IS_ANY_OF, ("granted", "refused"), "approval", None),
        (terms.APPROVAL, Operator.NEQ, "granted", "approval", None),
    ],
)  # fmt: skip
def test_what_one_constraint_bounds(
    left: str, operator: Operator, right: Value, field: str, expected: object
) -> None:
    found = all_of([atom(left, operator, right)])
    assert getattr(found, field) == expected
    others = {"not_before", "not_after"} if left == terms.DATE_TIME else {field}
    assert replace(found, **dict.fromkeys(others)) == Bounds()


@pytest.mark.parametrize(
    ("field", "one", "other", "narrower", "wider"),
    [
        ("tasks", ("a", "b"), ("b", "c"), ("b",), ("a", "b", "c")),
        ("not_before", DAY, DAY + MOMENT, DAY + MOMENT, DAY),
        ("not_after", DAY, DAY + MOMENT, DAY, DAY + MOMENT),
        ("minimum_cohort", 5, 6, 6, 5),
        ("minimum_participants", 5, 6, 6, 5),
        ("hours_per_job", 5, 6, 5, 6),
        ("epsilon_per_job", Decimal(5), Decimal(6), Decimal(5), Decimal(6)),
        ("budget_epsilon", Decimal(5), Decimal(6), Decimal(5), Decimal(6)),
        ("delta", Decimal(5), Decimal(6), Decimal(5), Decimal(5)),
        ("approval", "person", None, "person", None),
        ("approval", "person", "person", "person", "person"),
        ("tasks", ("a",), None, ("a",), None),
        (
            "purposes", ("statistics", "scientific-research"), ("train-algorithms", "education"),
            ("train-algorithms",),
            ("statistics", "scientific-research", "train-algorithms", "education"),
        ),
    ],
)  # fmt: skip
def test_two_bounds_together_are_narrower_and_two_alternatives_wider(
    field: str, one: Any, other: Any, narrower: Any, wider: Any
) -> None:
    left, right = Bounds(**{field: one}), Bounds(**{field: other})
    assert getattr(any_of([left, right]), field) == wider
    assert getattr(any_of([right, left]), field) in (wider, _rotated(wider, other))
    assert getattr(meet(left, right), field) == narrower
    assert getattr(meet(right, left), field) == narrower


def _rotated(names: Any, first: Any) -> Any:
    if not isinstance(names, tuple):
        return names
    return (*first, *(name for name in names if name not in first))


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (LogicalOperator.AND, ("a",)),
        (LogicalOperator.AND_SEQUENCE, ("a",)),
        (LogicalOperator.OR, ("a", "b")),
        (LogicalOperator.XONE, ("a", "b")),
    ],
)
def test_logical_constraints_bound_as_they_combine(
    operator: LogicalOperator, expected: tuple[str, ...]
) -> None:
    wide = atom(terms.TASK, Operator.IS_ANY_OF, ("a", "b"))
    found = all_of([LogicalConstraint(operator, (wide, atom(terms.TASK, Operator.EQ, "a")))])
    assert found.tasks == expected


def test_no_job_that_the_odrl_permits_is_refused_by_the_fields() -> None:
    rng = seeded(32)
    permitted = 0
    for _ in range(1500):
        request, facts = job(rng)
        odrl = _alternatives(rng, request, facts)
        policy = _unless_void(odrl) or typed(rng, request, facts)
        permitted_by_odrl = evaluate(odrl, *world_of(policy, request, facts)).permitted
        assert not (permitted_by_odrl and policy.rules == ""), "void, and yet it permits"
        if permitted_by_odrl:
            states = [rule.check(request, facts) for rule in engine.policy_rules(
                policy.model_copy(update={"rules": ""}))]  # fmt: skip
            assert all(state is True for state in states), odrl
            permitted += 1
    assert permitted > 200


def _unless_void(odrl: Policy) -> Typed | None:
    try:
        return lifted(odrl)
    except PolicyError:
        return None


def _alternatives(rng: Cases, request: Any, facts: Any) -> Policy:
    """Permissions that bound everything, some of it in alternatives, and more besides."""
    permissions = []
    for _ in range(rng.choice((1, 1, 2))):
        frames = [typed(rng, request, facts) for _ in range(rng.choice((1, 2)))]
        # One dataset and one delta: those are what a typed policy has one of.
        same = {"dataset": request.dataset, "budget": frames[0].budget}
        lows = [lower(frame.model_copy(update=same)).permissions[0] for frame in frames]
        either = tuple(LogicalConstraint(LogicalOperator.AND, low.constraints) for low in lows)
        kind = rng.choice((LogicalOperator.OR, LogicalOperator.XONE))
        more = (any_constraint(rng, request, facts, 2),) if rng.random() < 0.4 else ()
        bounded = (LogicalConstraint(kind, either), *more)
        scope = lows[0].scope
        if rng.random() < 0.3:
            scope, bounded = replace(scope, actions=(Action(terms.USE, bounded),)), ()
        permissions.append(Permission(scope, bounded))
    return Policy("urn:p", permissions=tuple(permissions))


@pytest.mark.parametrize(
    ("left", "operand"),
    [
        (terms.PURPOSE, "odrl:purpose"),
        (terms.TASK, "commensal:task"),
        (terms.COLUMN, "commensal:column"),
        (terms.OUTPUT_KIND, "commensal:outputKind"),
        (terms.DATE_TIME, "odrl:dateTime"),
        (terms.MIN_PARTICIPANTS, "commensal:minParticipants"),
        (terms.COHORT_SIZE, "commensal:cohortSize"),
        (terms.EPSILON, "commensal:epsilon"),
        (terms.DELTA, "commensal:delta"),
        (terms.BUDGET_EPSILON, "commensal:budgetEpsilon"),
    ],
)
def test_what_a_node_needs_and_nothing_bounds_is_named(left: str, operand: str) -> None:
    error = refused(without(lower(own()), left))
    assert error.code == "POLICY_UNBOUNDED"
    assert f"does not bound {operand} in" in error.message
    assert operand in error.remedy


def test_everything_that_is_missing_is_named_at_once() -> None:
    error = refused(without(lower(own()), terms.EPSILON, terms.DELTA))
    assert "commensal:epsilon, commensal:delta" in error.message


def test_a_bound_in_one_of_two_permissions_is_no_bound() -> None:
    odrl = lower(own())
    loose = without(odrl, terms.COHORT_SIZE)
    error = refused(replace(odrl, permissions=(*odrl.permissions, *loose.permissions)))
    assert error.code == "POLICY_UNBOUNDED"


def test_what_has_a_default_need_not_be_bounded() -> None:
    (permission,) = lower(own()).permissions
    kept = tuple(
        one for one in permission.constraints
        if one.left != terms.ELAPSED_TIME  # type: ignore[union-attr]  # atoms
        and not (one.left == terms.DATE_TIME and one.operator is Operator.GTEQ)  # type: ignore[union-attr]  # atoms
    )  # fmt: skip
    policy = lifted(changed(lower(own()), constraints=kept))
    assert policy.hours_per_job == 24 * 7
    assert policy.not_before == datetime(1970, 1, 1, tzinfo=UTC)
    assert policy.rules == "the text"


def test_a_permission_without_target_is_unbounded() -> None:
    odrl = changed(lower(own()), scope=Scope((Action(terms.USE),)))
    error = refused(odrl)
    assert error.code == "POLICY_UNBOUNDED"
    assert "target" in error.message
    shared = replace(odrl, scope=Scope((), (Asset("urn:commensal:dataset:north/a"),)))
    assert lifted(shared).dataset == "north/a"


@pytest.mark.parametrize(
    "targets",
    [
        (Asset("urn:a"), Asset("urn:b")),
        (AssetCollection("urn:a"),),
        (Asset("urn:a"), AssetCollection("urn:a")),
    ],
)
def test_several_assets_or_a_collection_are_not_one_dataset(
    targets: tuple[Asset | AssetCollection, ...],
) -> None:
    scope = Scope((Action(terms.USE),), targets)
    assert refused(changed(lower(own()), scope=scope)).code == "POLICY_INVALID"


def test_only_permissions_to_use_the_dataset_count() -> None:
    odrl = lower(own())
    target = odrl.permissions[0].scope.targets
    read_it = Permission(Scope((Action(ODRL + "read"),), target))
    assert refused(replace(odrl, permissions=(read_it,))).code == "POLICY_INVALID"
    assert lifted(replace(odrl, permissions=(read_it, *odrl.permissions))).tasks == own().tasks
    only = Prohibition(Scope((Action(terms.USE),), target))
    assert refused(Policy("urn:p", prohibitions=(only,))).code == "POLICY_INVALID"


def test_refinements_of_the_action_bound_as_well_unless_there_is_another_way() -> None:
    odrl = lower(own())
    (permission,) = odrl.permissions
    refined = Action(terms.USE, permission.constraints)
    target = permission.scope.targets
    once = changed(odrl, scope=Scope((refined,), target), constraints=())
    assert lifted(once).model_copy(update={"rules": ""}) == own()
    other = Action("urn:compute", (), terms.USE)
    narrower = changed(odrl, scope=Scope((refined, other), target), constraints=())
    assert lifted(narrower).tasks == own().tasks  # computing is a use, but not all use
    twice = changed(odrl, scope=Scope((refined, Action(terms.USE)), target), constraints=())
    assert refused(twice).code == "POLICY_UNBOUNDED"


@pytest.mark.parametrize("where", ["duty", "obligation"])
def test_a_duty_to_obtain_consent_asks_for_a_person(where: str) -> None:
    odrl = lower(own())
    assert lifted(odrl).approval == "automatic"
    duty = Duty(Scope((Action(ODRL + "obtainConsent"),)))
    inform = Duty(Scope((Action(ODRL + "inform"),)))
    if where == "duty":
        assert lifted(changed(odrl, duties=(inform, duty))).approval == "person"
        assert lifted(changed(odrl, duties=(inform,))).approval == "automatic"
    else:
        assert lifted(replace(odrl, obligations=(duty,))).approval == "person"


def test_a_policy_that_can_permit_nothing_is_invalid() -> None:
    odrl = lower(own())
    (permission,) = odrl.permissions
    never = (*permission.constraints, atom(terms.TASK, Operator.EQ, "no such task"))
    error = refused(changed(odrl, constraints=never))
    assert error.code == "POLICY_INVALID"
    assert "commensal:task" in error.message


@pytest.mark.parametrize(
    ("left", "operator", "value"),
    [
        (terms.EPSILON, Operator.LTEQ, Decimal(0)),
        (terms.DELTA, Operator.LTEQ, Decimal(0)),
        (terms.COHORT_SIZE, Operator.GTEQ, Decimal(0)),
        (terms.PURPOSE, Operator.IS_A, Iri("https://w3id.org/commensal/ehds/prohibited#"
                                           "AdvertisingOrMarketing")),
        (terms.TASK, Operator.EQ, "two words"),
        (terms.ELAPSED_TIME, Operator.LTEQ, Duration(0, Decimal(0))),
        (terms.ELAPSED_TIME, Operator.LTEQ, Duration(13, Decimal(0))),
    ],
)  # fmt: skip
def test_a_bound_that_no_field_takes_is_invalid(
    left: str, operator: Operator, value: Value
) -> None:
    odrl = without(lower(own()), left)
    (permission,) = odrl.permissions
    more = (*permission.constraints, atom(left, operator, value))
    assert refused(changed(odrl, constraints=more)).code == "POLICY_INVALID"


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1", 1), ("12", 12), ("0", None), ("1.0", None), ("", None), ("1" * 10, None), ("²", None)],
)
def test_the_version_is_a_whole_number(version: str, expected: int | None) -> None:
    odrl = replace(lower(own()), metadata=((terms.DCT + "hasVersion", version),))
    if expected is None:
        assert refused(odrl).code == "POLICY_INVALID"
    else:
        assert lifted(odrl).version == expected


def test_a_policy_without_version_is_the_first_and_two_are_none() -> None:
    stated = (terms.DCT + "hasVersion", "2")
    assert lifted(replace(lower(own()), metadata=())).version == 1
    assert refused(replace(lower(own()), metadata=(stated, stated))).code == "POLICY_INVALID"


def test_a_policy_of_the_dataspace_protocol_is_read_as_well() -> None:
    offer = replace(lower(own()), kind=terms.PolicyKind.OFFER)
    assert parse(write_dataspace(offer), "p.json").tasks == own().tasks


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "ODRL_SYNTAX"),
        (b"{}", "ODRL_SYNTAX"),
        (b"{\xff}", "ODRL_SYNTAX"),
        (b'{"@context": "urn:x"}', "ODRL_TERM"),
        (b"\t\r\n {" + b'"a":{' * 5000, "ODRL_TOO_LARGE"),
        (b"{" + b" " * (1 << 18), "POLICY_SYNTAX"),
    ],
)
def test_a_file_that_is_not_odrl_is_refused_with_its_place(content: bytes, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(content, "p.json")
    assert caught.value.code == code
    assert "p.json" in caught.value.message


def test_a_policy_that_inherits_is_not_the_whole_policy() -> None:
    document = json.loads(write(lower(own())))
    document["inheritFrom"] = "urn:parent"
    with pytest.raises(PolicyError) as caught:
        parse(json.dumps(document).encode(), "p.json")
    assert caught.value.code == "ODRL_TERM"
    assert "p.json" in caught.value.message


def test_a_toml_policy_may_begin_with_anything_but_a_brace() -> None:
    with pytest.raises(PolicyError, match="is not TOML"):
        parse(b"[", "p.toml")


def test_a_damaged_policy_is_another_policy_or_an_error_and_never_a_traceback() -> None:
    rng = seeded(33)
    written = write(lower(own()))
    refusals = 0
    for _ in range(400):
        damaged = bytearray(written)
        place = rng.randrange(len(damaged))
        damaged[place : place + rng.choice((0, 1, 1, 20))] = bytes([rng.randrange(256)])
        try:
            parse(bytes(damaged), "p.json")
        except PolicyError as error:
            refusals += "p.json" in error.message
    assert refusals > 300
