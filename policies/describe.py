"""A policy in sentences, for those who sign it and those who are bound by it."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from policies import purposes
from policies.odrl.describe import describe_odrl
from policies.odrl.read import read
from policies.policy import Policy
from policies.privacy import NOTHING, epsilon, spell_epsilon
from policies.request import Facts, UsageRequest


def describe(policy: Policy) -> tuple[str, ...]:
    """What a hospital's policy says, one sentence for each thing that it bounds."""
    return tuple(_sentences(policy))


def _sentences(policy: Policy) -> Iterator[str]:
    yield (
        f"{policy.id} version {policy.version} decides about {policy.dataset}, from "
        f"{policy.not_before:%Y-%m-%d %H:%M} until just before {policy.not_after:%Y-%m-%d %H:%M} "
        "UTC. What it does not name is not allowed"
    )
    yield f"For {_listed(map(_purpose, policy.purposes))}, and what is a part of that"
    yield f"With the {_plural('task', policy.tasks)} {_listed(policy.tasks)}"
    yield f"On the {_plural('column', policy.columns)} {_listed(policy.columns)}"
    yield f"What may come out: {_listed(policy.outputs)}"
    yield (
        f"At least {policy.minimum_participants} hospitals take part, with at least "
        f"{policy.minimum_cohort} people in each group that a job touches"
    )
    yield (
        f"One job costs a person an epsilon of at most {policy.epsilon_per_job}, all jobs together "
        f"{policy.budget.epsilon}, at a delta of {policy.budget.delta}"
    )
    yield f"A job ends within {policy.hours_per_job} hours"
    if policy.approval == "person":
        yield "Somebody at the hospital approves each permit's use of the dataset before its jobs"
    if policy.rules:
        yield "Its rules in ODRL must permit a job as well"
        yield from describe_odrl(read(policy.rules.encode(), {}))


def _purpose(name: str) -> str:
    purpose = purposes.by_name(name)
    return f"{name} ({purpose.label}, {purpose.article})"


def _plural(noun: str, names: tuple[str, ...]) -> str:
    return noun if len(names) == 1 else f"{noun}s"


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def describe_request(request: UsageRequest, facts: Facts, delta: Decimal) -> str:
    """What a job asks of a dataset, in one line; epsilons are meant at `delta`."""
    purpose = purposes.by_iri(request.purpose)
    people = "people not counted" if facts.persons is None else f"{facts.persons} people"
    hours = round((request.not_after - facts.now).total_seconds() / 3600)
    spent = ""
    if facts.spent_dataset != NOTHING:
        spent = f" after {spell_epsilon(epsilon(facts.spent_dataset, delta))}"
    answers = {True: ", approved", False: ", not approved", None: ""}
    return (
        f"{purpose.name if purpose else request.purpose}: {_listed(request.tasks)} on "
        f"{_listed(request.columns)} of {request.dataset}, for {request.output}; "
        f"{request.participants} hospitals, {people}, epsilon "
        f"{spell_epsilon(epsilon(facts.planned, delta))}{spent}, "
        f"{hours} {'hour' if hours == 1 else 'hours'} from "
        f"{facts.now:%Y-%m-%d %H:%M} UTC{answers[facts.approved]}"
    )
