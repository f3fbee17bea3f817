"""What each left operand means at the gate: one accessor per operand, from request and facts.

| operand | its value for one job on one dataset |
|---|---|
| odrl:dateTime | the moment of the decision |
| odrl:purpose | the purpose of the job's permit, an IRI; broader ones count for isA |
| odrl:recipient | the permit's data user: an IRI where it is one, else text |
| odrl:elapsedTime | from now to the job's own deadline: how long it may hold its cost |
| commensal:task, commensal:column | every one that is asked for |
| commensal:outputKind | the kind of what the job publishes |
| commensal:dataset | every dataset of the job, at all hospitals, this one included |
| commensal:minParticipants | hospitals that take part, this one included |
| commensal:cohortSize | people in the smallest fold; not known while nobody has counted |
| commensal:approval | what a person at the hospital said of the permit's use: granted, refused |
| commensal:permit | the digest of the permit under which it is asked |
| commensal:delta | the delta at which the policy counts |
| commensal:epsilon | what this job costs each person, at that delta |
| commensal:budgetEpsilon | all jobs on the dataset with this one, by the budget's Renyi filter |

All others are not known at the gate: they depend on what a job will show only later (a release's
generation depth), or on what nobody tells a node (a place). A constraint on one of them is
undetermined, and what is undetermined permits nothing.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType

from policies.odrl import terms, values
from policies.odrl.terms import LEFT_OPERANDS, Iri, Kind
from policies.odrl.values import Duration, Value
from policies.privacy import Budget, epsilon
from policies.request import Facts, UsageRequest

Accessor = Callable[[UsageRequest, Facts], tuple[Value, ...] | Value | None]

GRANTED = "granted"
REFUSED = "refused"
_STEP = Decimal("0.000001")  # above every epsilon that the filter admits, in its own rounding
_MICROSECOND = timedelta(microseconds=1)


def name(text: str, kinds: frozenset[Kind] = frozenset({Kind.IRI, Kind.TEXT})) -> Value:
    """A name as the reader of policies understands it: an IRI where it is one, else text."""
    return values.parse(text, kinds, "a name")


def _names(operand: str, texts: tuple[str, ...]) -> tuple[Value, ...]:
    return tuple(name(text, LEFT_OPERANDS[operand]) for text in texts)


def _unknown(_request: UsageRequest, _facts: Facts) -> None:
    return None


def _elapsed(request: UsageRequest, facts: Facts) -> Duration:
    return Duration(0, values.seconds_of((request.not_after - facts.now) // _MICROSECOND))


def _approval(_request: UsageRequest, facts: Facts) -> str | None:
    return None if facts.approved is None else GRANTED if facts.approved else REFUSED


def _datasets(request: UsageRequest, _facts: Facts) -> tuple[Value, ...]:
    return _names(terms.DATASET, tuple(dict.fromkeys((request.dataset, *request.datasets))))


_KNOWN: dict[str, Accessor] = {
    terms.DATE_TIME: lambda _request, facts: facts.now,
    terms.PURPOSE: lambda request, _facts: Iri(request.purpose),
    terms.RECIPIENT: lambda request, _facts: name(request.data_user),
    terms.ELAPSED_TIME: _elapsed,
    terms.TASK: lambda request, _facts: _names(terms.TASK, request.tasks),
    terms.COLUMN: lambda request, _facts: _names(terms.COLUMN, request.columns),
    terms.OUTPUT_KIND: lambda request, _facts: name(request.output),
    terms.DATASET: _datasets,
    terms.MIN_PARTICIPANTS: lambda request, _facts: Decimal(request.participants),
    terms.COHORT_SIZE: lambda _request, facts: (
        None if facts.persons is None else Decimal(facts.persons)
    ),
    terms.APPROVAL: _approval,
    terms.PERMIT: lambda request, _facts: request.permit_digest,
}  # fmt: skip

# What needs no parameter of the policy; one accessor for every operand of the vocabulary.
OPERANDS: Mapping[str, Accessor] = MappingProxyType(
    {**dict.fromkeys(LEFT_OPERANDS, _unknown), **_KNOWN}
)


def operands(delta: Decimal, budget: Budget | None) -> Mapping[str, Accessor]:
    """`OPERANDS` with those that count privacy at `delta`, and by the filter of `budget`.

    Without a budget, budgetEpsilon is not known. Raises `PolicyError` (PRIVACY_DELTA) when read.
    """

    def spent(_request: UsageRequest, facts: Facts) -> Decimal | None:
        if budget is None:
            return None
        certified = budget.spent_epsilon(facts.spent_dataset + facts.planned)
        # Rounded up for people, that figure could contradict the filter at the very bound.
        if budget.admits(facts.spent_dataset, facts.planned):
            return min(certified, budget.epsilon)
        return max(certified, budget.epsilon + _STEP)

    return MappingProxyType(
        {
            **OPERANDS,
            terms.DELTA: lambda _request, _facts: delta,
            terms.EPSILON: lambda _request, facts: epsilon(facts.planned, delta),
            terms.BUDGET_EPSILON: spent,
        }
    )
