"""What can be wrong with a hospital's policy that reads without error.

Fields are held against each other and against what nodes can compute; rules in ODRL are checked by
`policies.odrl.lint`. Last, a request is sought that the policy allows: that none was found covers
whatever no single check saw.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import ValidationError

from policies import purposes
from policies.baseline import baseline
from policies.compare import example
from policies.errors import PolicyError
from policies.odrl import lint as odrl
from policies.odrl.lint_constraints import LARGE_EPSILON
from policies.odrl.model import Policy as Odrl
from policies.odrl.operands import operands
from policies.odrl.parts import constraints_of, short
from policies.odrl.regions import atoms
from policies.policy import Policy
from policies.privacy import NOTHING, Budget, epsilon
from policies.regions import rules_of
from policies.remark import Catalogue, Remark, Severity, error, warning

_LISTS = ("purposes", "tasks", "columns", "outputs")


def lint(
    policy: Policy, now: datetime | None, catalogue: Catalogue | None = None
) -> tuple[Remark, ...]:
    """All remarks; without `now` or `catalogue` what depends on them is left out. Never raises."""
    fields = (
        *_dates(policy, now), *_privacy(policy, catalogue), *_counts(policy, catalogue),
        *_lists(policy), *(_computed(policy, catalogue) if catalogue is not None else ()),
    )  # fmt: skip
    found = [*fields, *_rules(policy, now, catalogue)]
    if not any(one.severity is Severity.ERROR for one in found):
        found.extend(_nothing_allowed(policy))
    return tuple(found)


def _dates(policy: Policy, now: datetime | None) -> Iterator[Remark]:
    start, end = policy.not_before, policy.not_after
    if end <= start:
        yield error(
            "DATES_CONTRADICT", "not_after",
            f"not_after {end:%Y-%m-%d %H:%M} does not lie behind not_before {start:%Y-%m-%d %H:%M}",
            "Correct one of the two",
        )  # fmt: skip
    elif now is not None and end <= now:
        yield error(
            "PERIOD_OVER", "not_after", f"the policy ended on {end:%Y-%m-%d}",
            "Set a later not_after",
        )  # fmt: skip
    elif end - start < timedelta(hours=policy.hours_per_job):
        yield warning(
            "HOURS_BEYOND_PERIOD", "hours_per_job",
            f"{policy.hours_per_job} hours are longer than the whole period of the policy",
            "Check the unit: it is hours",
        )  # fmt: skip


def _privacy(policy: Policy, catalogue: Catalogue | None) -> Iterator[Remark]:
    budget, cap = policy.budget, policy.epsilon_per_job
    try:
        account = Budget(budget.epsilon, budget.delta)
    except PolicyError as problem:
        yield error(problem.code, "budget", problem.message, problem.remedy or "Correct it")
        return
    cheapest = (catalogue or Catalogue({})).cheapest
    if not account.admits(NOTHING, cheapest):
        yield error(
            "PRIVACY_BUDGET_TOO_SMALL", "budget.epsilon",
            f"not even the cheapest job fits into epsilon {budget.epsilon}",
            "Raise epsilon or delta",
        )  # fmt: skip
    least = epsilon(cheapest, budget.delta)
    if least > cap:
        yield error(
            "PRIVACY_BUDGET_TOO_SMALL", "epsilon_per_job",
            f"the cheapest job costs epsilon {least} at delta {budget.delta}, more than {cap}",
            "Raise epsilon_per_job, or delta",
        )  # fmt: skip
    if cap > budget.epsilon:
        yield warning(
            "EPSILON_ABOVE_BUDGET", "epsilon_per_job",
            f"one job may cost {cap}, but all jobs together {budget.epsilon}",
            "Set epsilon_per_job to at most budget.epsilon",
        )  # fmt: skip
    if budget.epsilon > LARGE_EPSILON:
        yield warning(
            "EPSILON_LARGE", "budget.epsilon",
            f"epsilon {budget.epsilon} promises almost nothing to any person",
            f"Choose at most {LARGE_EPSILON}",
        )  # fmt: skip
    if budget.delta * policy.minimum_cohort > 1:
        yield warning(
            "DELTA_LARGE", "budget.delta",
            f"delta {budget.delta} is more than one in {policy.minimum_cohort} people, the "
            "smallest cohort: releasing one whole record would keep to it",
            f"Choose less than {Decimal(1) / policy.minimum_cohort:.1E}",
        )  # fmt: skip


def _counts(policy: Policy, catalogue: Catalogue | None) -> Iterator[Remark]:
    if policy.minimum_cohort == 1:
        yield warning(
            "ALWAYS_TRUE", "minimum_cohort", "a cohort of one person is always reached",
            "Ask for as many people as a result may be about",
        )  # fmt: skip
    if policy.minimum_participants == 1:
        levels = (catalogue or Catalogue({})).person_level
        shown = [name for name in policy.outputs if name in levels]
        if shown:
            yield warning(
                "PARTICIPANTS_ONE", "minimum_participants",
                f"with one hospital nothing is summed: its own {shown[0]} is what leaves",
                "Ask for at least 2 hospitals, better 3",
            )  # fmt: skip
        else:
            yield warning(
                "ALWAYS_TRUE", "minimum_participants", "one hospital always takes part",
                "Ask for at least 2 hospitals",
            )  # fmt: skip


def _lists(policy: Policy) -> Iterator[Remark]:
    for field in _LISTS:
        seen: set[str] = set()
        for index, name in enumerate(getattr(policy, field)):
            if name in seen:
                yield warning(
                    "DUPLICATE_CONSTRAINT", f"{field}[{index}]", f"{name} is listed twice",
                    "Remove one of them",
                )  # fmt: skip
            seen.add(name)
    for index, narrow in enumerate(policy.purposes):
        for wide in policy.purposes:
            if wide != narrow and purposes.is_within(narrow, wide):
                yield warning(
                    "PURPOSE_COVERED", f"purposes[{index}]",
                    f"{narrow} is already a part of {wide}",
                    f"Leave out {narrow}, or {wide} if only the part is meant",
                )  # fmt: skip


def _computed(policy: Policy, catalogue: Catalogue) -> Iterator[Remark]:
    tasks = [name for name in policy.tasks if name in catalogue.outputs_of]
    for index, name in enumerate(policy.tasks):
        if name not in catalogue.outputs_of:
            yield warning(
                "TASK_UNKNOWN", f"tasks[{index}]", f"there is no task {name}",
                f"Known: {', '.join(sorted(catalogue.outputs_of))}",
            )  # fmt: skip
    served = frozenset().union(*(catalogue.outputs_of[name] for name in tasks))
    for index, name in enumerate(policy.outputs):
        if name not in catalogue.outputs:
            yield warning(
                "OUTPUT_UNKNOWN", f"outputs[{index}]", f"no task makes a {name}",
                f"Known: {', '.join(sorted(catalogue.outputs))}",
            )  # fmt: skip
        elif name not in served:
            yield warning(
                "OUTPUT_WITHOUT_TASK", f"outputs[{index}]",
                f"none of the tasks here makes a {name}",
                "Add a task that does, or remove the output",
            )  # fmt: skip
    if policy.tasks and not tasks:
        yield warning(
            "NOTHING_TO_COMPUTE", "tasks", "no node has any of these tasks yet",
            "Nothing will run until one has; see the known tasks above",
        )  # fmt: skip
    elif not served.intersection(policy.outputs):
        yield error(
            "NOTHING_TO_COMPUTE", "tasks", "no task here makes any of the outputs",
            "Name tasks of the catalogue, and what they make",
        )  # fmt: skip


def _rules(policy: Policy, now: datetime | None, catalogue: Catalogue | None) -> Iterator[Remark]:
    try:
        rules = rules_of(policy)
    except PolicyError as problem:
        yield error(problem.code, "rules", problem.message, problem.remedy or "Correct the rules")
        return
    if rules is not None:
        yield from (_placed(one) for one in odrl.lint(rules, now, catalogue))
        yield from _unknown_here(policy, rules)


def _placed(remark: Remark) -> Remark:
    return replace(remark, path="rules" + remark.path.removeprefix("$"))


def _unknown_here(policy: Policy, rules: Odrl) -> Iterator[Remark]:
    """Operands that a gate never knows: what depends on them is never decided."""
    try:
        accessors = operands(
            policy.budget.delta, Budget(policy.budget.epsilon, policy.budget.delta)
        )
        asked = baseline(policy, approved=True)
    except (PolicyError, ValidationError):  # said already: the budget makes no sense
        return
    for left in dict.fromkeys(atom.left for atom in atoms(constraints_of(rules))):
        if accessors[left](*asked) is None:
            yield warning(
                "OPERAND_UNKNOWN", "rules", f"{short(left)} is not known when a job is decided, so "
                "what depends on it stays undetermined, and permits nothing",
                "Leave it out, or bound it where it is known",
            )  # fmt: skip


def _nothing_allowed(policy: Policy) -> Iterator[Remark]:
    try:
        found, sure = example(policy)
    except PolicyError as problem:
        yield error(problem.code, "rules", problem.message, problem.remedy or "Correct the rules")
        return
    if found is not None:
        return
    if sure:
        yield error(
            "NEVER_ALLOWS", "rules", "no request is ever allowed by this policy",
            "Compare the rules with the fields: together they exclude everything",
        )  # fmt: skip
    else:
        yield warning(
            "NOTHING_FOUND", "rules", "no request was found that this policy allows",
            "Write an example request that it should allow, and try it",
        )  # fmt: skip
