"""Seeded random jobs, typed policies and ODRL policies that often fit, and often just miss."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from policies import purposes
from policies.odrl import terms
from policies.odrl.model import (
    Action,
    AnyAsset,
    AnyConstraint,
    AnyParty,
    Asset,
    AssetCollection,
    Constraint,
    Duty,
    LogicalConstraint,
    Party,
    PartyCollection,
    Permission,
    Prohibition,
    Scope,
)
from policies.odrl.model import Policy as Odrl
from policies.odrl.naming import dataset_iri
from policies.odrl.operands import name
from policies.odrl.terms import LEFT_OPERANDS, ODRL, Iri, Kind, LogicalOperator, Operator
from policies.odrl.values import Duration, Value
from policies.policy import Policy
from policies.privacy import NOTHING, Budget, SampledGaussian, epsilon
from policies.request import Facts, UsageRequest

NOW = datetime(2031, 5, 5, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
TASKS = ("statistics.mean", "training.logistic", "urn:task:mlp")
COLUMNS = ("age", "died", "sex", "stage")
OUTPUTS = ("model", "table", "https://out.example/kind")
DATASETS = ("north/a", "south/a", "east/b", "north/b")
USERS = ("a university", "https://user.example/me")
PURPOSES = tuple(one.iri for one in purposes.ALLOWED.values())
OTHER_PURPOSES = (purposes.PROHIBITED["advertising"].iri, "urn:some:purpose")
DELTAS = (Decimal("0.00001"), Decimal("0.001"))
COSTS = tuple(
    SampledGaussian(Decimal(noise), Decimal(rate), steps).cost
    for noise, rate, steps in ((1, "0.1", 20), (3, "1", 1), (20, "1", 1), (8, "0.5", 50))
)
STEP = Decimal("0.000001")
GROUP, PARTNERS = "urn:group:registers", "urn:group:partners"

Cases = random.Random


def seeded(seed: int) -> Cases:
    """The source of all that is random here."""
    return random.Random(seed)  # noqa: S311 - repeatable cases are the point


def job(rng: Cases) -> tuple[UsageRequest, Facts]:
    """What is asked, and what is known."""
    dataset = rng.choice(DATASETS)
    request = UsageRequest.model_validate({
        "job_digest": "sha256:00",
        "permit_digest": "sha256:01",
        "data_user": rng.choice(USERS),
        "purpose": rng.choice(PURPOSES if rng.random() < 0.9 else OTHER_PURPOSES),
        "dataset": dataset,
        "datasets": tuple(dict.fromkeys((dataset, *_some(rng, DATASETS)))),
        "columns": _some(rng, COLUMNS),
        "tasks": _some(rng, TASKS),
        "output": rng.choice(OUTPUTS),
        "not_after": NOW + timedelta(hours=rng.choice((1, 5, 24)), microseconds=rng.randint(-1, 1)),
    })  # fmt: skip
    facts = Facts(
        now=NOW,
        permit=None,
        planned=rng.choice(COSTS),
        spent_dataset=rng.choice((NOTHING, *COSTS)),
        spent_permit=NOTHING,
        persons=rng.choice((100, 101, 101, 101, None)),
        approved=rng.choice((True, True, True, False, None)),
    )
    return request, facts


def another(rng: Cases, request: UsageRequest, facts: Facts) -> tuple[UsageRequest, Facts]:
    """The same job with one of its parts taken from another one."""
    other, known = job(rng)
    if rng.random() < 0.3:
        part = rng.choice(("planned", "spent_dataset", "persons", "approved"))
        return request, replace(facts, **{part: getattr(known, part)})
    part = rng.choice(("purpose", "dataset", "datasets", "columns", "tasks", "output", "not_after"))
    return request.model_copy(update={part: getattr(other, part)}), facts


def typed(rng: Cases, request: UsageRequest, facts: Facts) -> Policy:
    """A typed policy, each field of which probably, but not surely, admits that job."""
    delta = rng.choice(DELTAS)
    hours = (request.not_after - facts.now + timedelta(hours=1) - MOMENT) // timedelta(hours=1)
    wide = purposes.by_iri(request.purpose)
    fits = wide.name if wide and wide.name in purposes.ALLOWED else "statistics"
    if rng.random() < 0.4:
        fits = purposes.by_name(fits).broader or fits
    return Policy.model_validate({
        "id": rng.choice(("north/research", "https://north.example/policy/1", "x:y")),
        "version": rng.choice((1, 7)),
        "dataset": request.dataset if _likely(rng) else rng.choice(DATASETS),
        "purposes": _with(rng, (fits,), tuple(purposes.ALLOWED)),
        "tasks": _with(rng, request.tasks, TASKS),
        "columns": _with(rng, request.columns, COLUMNS),
        "outputs": _with(rng, (request.output,), OUTPUTS),
        "minimum_cohort": 101 - _slack(rng),
        "minimum_participants": max(1, request.participants - _slack(rng)),
        "epsilon_per_job": max(STEP, epsilon(facts.planned, delta) + _slack(rng) * STEP),
        "hours_per_job": max(1, hours + _slack(rng)),
        "budget": {"epsilon": _budget(facts, delta) + _slack(rng) * STEP, "delta": delta},
        "not_before": facts.now - _slack(rng) * MOMENT,
        "not_after": facts.now + (_slack(rng) + 1) * MOMENT,
        "approval": rng.choice(("automatic", "automatic", "person")),
    })  # fmt: skip


def _slack(rng: Cases) -> int:
    """Just enough, or more than that; sometimes just not enough."""
    return rng.choice((0, 1)) if _likely(rng) else -1


def _budget(facts: Facts, delta: Decimal) -> Decimal:
    """An epsilon about as large as the filter certifies for all jobs with this one."""
    bound = Decimal(2)
    for _ in range(4):  # the filter's order depends on its bound
        bound = Budget(bound, delta).spent_epsilon(facts.spent_dataset + facts.planned)
    return bound


def likely_true(rng: Cases, request: UsageRequest, facts: Facts) -> Constraint:
    """A constraint as `simple_atom` makes them, more often one that the job satisfies."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        atom = simple_atom(rng, request, facts)
        if atom.operator in (Operator.IS_ANY_OF, Operator.IS_A, Operator.GTEQ, Operator.LTEQ):
            break
    return atom


_ORDER = (Operator.LT, Operator.LTEQ, Operator.GT, Operator.GTEQ, Operator.EQ, Operator.NEQ)
_ONE = (Operator.EQ, Operator.NEQ, Operator.IS_ANY_OF, Operator.IS_NONE_OF)
_MANY = (*_ONE, Operator.IS_ALL_OF, Operator.HAS_PART)


def simple_atom(rng: Cases, request: UsageRequest, facts: Facts) -> Constraint:
    """A constraint that Cedar can express as well: sets, names, whole numbers, the hierarchy."""
    left = rng.choice((
        terms.PURPOSE, terms.PURPOSE, terms.TASK, terms.COLUMN, terms.OUTPUT_KIND, terms.RECIPIENT,
        terms.DATE_TIME, terms.MIN_PARTICIPANTS, terms.COHORT_SIZE, terms.EPSILON,
        terms.ELAPSED_TIME, terms.APPROVAL, terms.DATASET, terms.COMMENSAL + "generationDepth",
    ))  # fmt: skip
    if left == terms.PURPOSE:
        operator = rng.choice((*_ONE, Operator.IS_A, Operator.IS_A, Operator.IS_PART_OF))
        fits = request.purpose
        wide = purposes.by_iri(fits)
        if wide and wide.broader and rng.random() < 0.5:
            fits = purposes.by_name(wide.broader).iri
        return _named(rng, left, operator, (fits,), (*PURPOSES, *OTHER_PURPOSES))
    if left in (terms.TASK, terms.COLUMN, terms.DATASET):
        own, every = {
            terms.TASK: (request.tasks, TASKS),
            terms.COLUMN: (request.columns, COLUMNS),
            terms.DATASET: (request.datasets, DATASETS),
        }[left]
        return _named(rng, left, rng.choice(_MANY), own, every)
    if left in (terms.OUTPUT_KIND, terms.RECIPIENT, terms.APPROVAL):
        own, every = {
            terms.OUTPUT_KIND: ((request.output,), OUTPUTS),
            terms.RECIPIENT: ((request.data_user,), USERS),
            terms.APPROVAL: (("granted",), ("granted", "refused")),
        }[left]
        return _named(rng, left, rng.choice(_ONE), own, every)
    return Constraint(left, rng.choice(_ORDER), _bound(rng, left, request, facts))


def _bound(rng: Cases, left: str, request: UsageRequest, facts: Facts) -> Value:
    step = rng.choice((-1, 0, 1))
    if left == terms.DATE_TIME:
        return facts.now + step * MOMENT
    if left == terms.ELAPSED_TIME:
        remaining = (request.not_after - facts.now) // MOMENT + step
        return Duration(0, Decimal(remaining).scaleb(-6))
    if left == terms.EPSILON:
        return epsilon(facts.planned, DELTAS[0]) + step * STEP
    least = {terms.MIN_PARTICIPANTS: request.participants, terms.COHORT_SIZE: 100}.get(left, 2)
    return Decimal(least + step)


def _named(
    rng: Cases, left: str, operator: Operator, own: tuple[str, ...], every: tuple[str, ...]
) -> Constraint:
    kinds = LEFT_OPERANDS[left]
    if operator in (Operator.EQ, Operator.NEQ):
        # A set on the right of eq means the very same set, in which Cedar differs on duplicates.
        return Constraint(left, operator, name(rng.choice((*own, *every)), kinds))
    listed = _with(rng, own, every)
    return Constraint(left, operator, tuple(name(one, kinds) for one in listed))


def simple_policy(rng: Cases, request: UsageRequest, facts: Facts) -> Odrl:
    """Permissions and prohibitions with and/or, nested, on the dataset of that job or another."""
    target = (Asset(dataset_iri(request.dataset if _likely(rng) else rng.choice(DATASETS))),)
    scope = Scope((Action(terms.USE),), target)

    def constraints(count: int) -> tuple[AnyConstraint, ...]:
        return tuple(_nested(rng, request, facts, 2) for _ in range(count))

    return Odrl(
        "urn:p",
        permissions=tuple(
            Permission(scope, constraints(rng.choice((1, 2, 3))))
            for _ in range(rng.choice((1, 1, 2)))
        ),
        prohibitions=tuple(
            Prohibition(scope, constraints(rng.choice((2, 3))))
            for _ in range(rng.choice((0, 0, 1)))
        ),
        conflict=rng.choice((None, *terms.Conflict)),
    )


def _nested(rng: Cases, request: UsageRequest, facts: Facts, depth: int) -> AnyConstraint:
    if depth == 0 or rng.random() < 0.6:
        return likely_true(rng, request, facts)
    inner = tuple(_nested(rng, request, facts, depth - 1) for _ in range(rng.choice((1, 2, 3))))
    return LogicalConstraint(rng.choice((LogicalOperator.AND, LogicalOperator.OR)), inner)


# What follows uses the whole language.


def any_policy(rng: Cases, request: UsageRequest, facts: Facts) -> Odrl:
    """Any policy that the evaluator can be asked about, with what it knows nothing of."""

    def scope() -> Scope:
        return Scope(
            tuple(_action(rng, request, facts) for _ in range(rng.choice((1, 1, 1, 2)))),
            _few(rng, lambda: _asset(rng, request, facts)),
            (),
            _few(rng, lambda: _party(rng, request, facts)) if rng.random() < 0.3 else (),
        )

    def constraints() -> tuple[AnyConstraint, ...]:
        return _few(rng, lambda: any_constraint(rng, request, facts, 2))

    def duties() -> tuple[Duty, ...]:
        deadline = Constraint(terms.DATE_TIME, Operator.LT, NOW + rng.choice((-1, 0, 1)) * MOMENT)
        duty = Duty(Scope((Action(ODRL + "inform"),)), (deadline,))
        return (duty,) if rng.random() < 0.1 else ()

    replaced = ((terms.DCT + "isReplacedBy", Iri("urn:new")),) if rng.random() < 0.02 else ()
    return Odrl(
        "urn:p",
        permissions=tuple(
            Permission(scope(), constraints(), duties()) for _ in range(rng.choice((1, 1, 2, 3)))
        ),
        prohibitions=tuple(
            Prohibition(scope(), (*constraints(), any_constraint(rng, request, facts, 1)))
            for _ in range(rng.choice((0, 0, 1, 2)))
        ),
        scope=scope() if rng.random() < 0.3 else Scope(),
        conflict=rng.choice((None, *terms.Conflict)),
        metadata=replaced,
    )


def any_constraint(rng: Cases, request: UsageRequest, facts: Facts, depth: int) -> AnyConstraint:
    """Any operand with any operator that takes it, and the four logical operators."""
    if depth and rng.random() < 0.3:
        inner = tuple(
            any_constraint(rng, request, facts, depth - 1) for _ in range(rng.choice((1, 2, 3)))
        )
        return LogicalConstraint(rng.choice(tuple(LogicalOperator)), inner)
    if rng.random() < 0.75:
        atom = likely_true(rng, request, facts)
        unit = "urn:unit" if rng.random() < 0.02 else None
        return Constraint(atom.left, atom.operator, atom.right, unit)
    left = rng.choice(sorted(LEFT_OPERANDS))
    kinds = LEFT_OPERANDS[left]
    orderable = left == terms.EVENT or not kinds & {Kind.IRI, Kind.TEXT}
    operator = rng.choice([one for one in Operator if orderable or one not in terms.ORDERED])
    values = tuple(_value(rng, kinds, request) for _ in range(rng.choice((1, 1, 2))))
    return Constraint(
        left, operator,
        values if operator not in terms.ORDERED and rng.random() < 0.6 else values[0],
    )  # fmt: skip


def _value(rng: Cases, kinds: frozenset[Kind], request: UsageRequest) -> Value:
    days = timedelta(days=rng.choice((-1, 0, 1)))
    choices: dict[Kind, tuple[Any, ...]] = {
        Kind.NUMBER: (Decimal(2), Decimal("99.5"), Decimal(100), DELTAS[0], Decimal("1E+3")),
        Kind.INSTANT: (NOW + days,),
        Kind.DATE: (NOW.date() + days, date(9999, 12, 31)),
        Kind.DURATION: (
            Duration(0, Decimal(3600)), Duration(1, Decimal(0)), Duration(0, Decimal(86400)),
            Duration(0, Decimal(30 * 86400)), Duration(-1, Decimal(-5)),
        ),
        Kind.IRI: (
            Iri(request.purpose), *map(Iri, sorted(terms.BROADER_PURPOSES)[:6]), Iri(GROUP),
            Iri("https://user.example/me"), Iri("urn:task:mlp"),
        ),
        Kind.TEXT: (*TASKS, *COLUMNS, *OUTPUTS, "a university", "granted", *DATASETS),
    }  # fmt: skip
    return rng.choice(choices[rng.choice(sorted(kinds))])  # type: ignore[no-any-return]  # values


def _action(rng: Cases, request: UsageRequest, facts: Facts) -> Action:
    refinements = (
        (any_constraint(rng, request, facts, 1),) if rng.random() < 0.2 else ()
    )  # fmt: skip
    kind = rng.random()
    if kind < 0.75:
        return Action(terms.USE, refinements)
    if kind < 0.9:
        iri = rng.choice(("derive", "read", "aggregate", "transfer", "reproduce"))
        return Action(ODRL + iri, refinements)
    return Action("urn:compute", refinements, terms.USE, (ODRL + "distribute",))


def _asset(rng: Cases, request: UsageRequest, facts: Facts) -> AnyAsset:
    own = dataset_iri(request.dataset if _likely(rng) else rng.choice(DATASETS))
    kind = rng.random()
    if kind < 0.7:
        return Asset(own, (GROUP,) if rng.random() < 0.4 else ())
    refinements = (any_constraint(rng, request, facts, 0),) if rng.random() < 0.3 else ()
    return AssetCollection(
        rng.choice((GROUP, own, None)), rng.choice((GROUP, own)), (), refinements
    )


def _party(rng: Cases, request: UsageRequest, facts: Facts) -> AnyParty:
    if rng.random() < 0.7:
        part_of = (PARTNERS,) if rng.random() < 0.4 else ()
        return Party(USERS[1] if _likely(rng) else "urn:somebody", part_of)
    refinements = (any_constraint(rng, request, facts, 0),) if rng.random() < 0.3 else ()
    return PartyCollection(PARTNERS, None, (), refinements)


def _few(rng: Cases, make: Any) -> tuple[Any, ...]:
    return tuple(make() for _ in range(rng.choice((0, 1, 1, 2))))


def _some(rng: Cases, every: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(rng.sample(every, rng.randint(1, min(3, len(every)))))


def _with(rng: Cases, own: tuple[str, ...], every: tuple[str, ...]) -> tuple[str, ...]:
    listed = list(dict.fromkeys((*own, *_some(rng, every))))
    if not _likely(rng) and len(listed) > 1:
        listed.remove(rng.choice(own))
    rng.shuffle(listed)
    return tuple(listed)


def _likely(rng: Cases) -> bool:
    return rng.random() < 0.93
