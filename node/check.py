"""`commensal node check`: everything that `run` and a job would look at, without running."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector.audit.standing import Standing, read_standing
from connector.authoring.spool import Inbox
from connector.features import FeatureMap
from connector.folds import Split
from connector.tasks import TASKS
from node import config
from node.config import Holding, Paths
from node.data.dataset import Dataset
from node.worker import Assignment, Sandbox, Worker
from node.worker_messages import Facts
from policies.policy import Policy
from policies.privacy import Budget

_OUTPUTS = ("model",)


def check(paths: Paths, now: datetime) -> Iterator[str]:
    """Lines for the operator, who may see counts of the hospital's own records.

    Raises `Error` for the first thing that keeps the node from running. What it would run with,
    but to no use, is a line that begins with an exclamation mark.
    """
    settings = config.load(paths)
    yield f"{paths.config}: node {settings.name}"
    officers = settings.officer_keys
    if officers:
        yield f"officers: {', '.join(officer.name for officer in officers)}"
    else:
        yield (
            "! node.toml names no officers, so no policy can be activated: make two keys with "
            "`commensal policy officer`"
        )
    standing = read_standing(paths.log)
    for holding, table in zip(config.holdings(paths, settings), settings.datasets, strict=True):
        yield f"{holding.dataset.id}: {holding.dataset.title}"
        yield from _active(holding, standing, paths, table)
        yield from _dataset(holding, settings, now)


def _active(
    holding: Holding, standing: Standing, paths: Paths, table: dict[str, Any]
) -> Iterator[str]:
    """Whether the policy of the file is the one that decides."""
    policy, active = holding.policy, standing.active.get(holding.dataset.id)
    wrong = "" if active is None else config.misfit(active.policy, holding.dataset)
    if wrong:
        yield f"  ! {wrong}"
    place = config.policy_place(paths, table)
    command = f"commensal policy activate {place} --data {paths.root} --key KEYFILE"
    if Inbox(paths.inbox).holds("activate", policy.digest):
        yield f"  ! {place} is signed by two officers: it becomes active when the node starts"
    elif active is None:
        yield f"  ! no policy is active, so nothing is offered. Two officers each run: {command}"
    elif active.policy.digest != policy.digest:
        yield (
            f"  ! {place} (version {policy.version}) is not what decides: "
            f"{active.policy.id} version {active.policy.version} does. Two officers each run: "
            f"{command}"
        )
    else:
        names = " and ".join(officer.partition("+")[0] for officer in active.officers)
        yield f"  active since {active.time:%Y-%m-%d %H:%M} UTC, signed by {names}"


def _dataset(holding: Holding, settings: config.NodeConfig, now: datetime) -> Iterator[str]:
    dataset, policy = holding.dataset, holding.policy
    yield f"  policy {policy.id} version {policy.version}: {', '.join(policy.tasks)}"
    yield f"  for {', '.join(policy.purposes)}, until {policy.not_after:%Y-%m-%d}"
    budget = Budget(policy.budget.epsilon, policy.budget.delta)
    yield f"  budget: epsilon {budget.epsilon}, delta {budget.delta}"
    yield from _idle(policy, now)
    assignment = _everybody(dataset)
    if assignment is None:
        yield "  ! no binary column: nothing can be predicted from this dataset"
        return
    sandbox = Sandbox(allow_weaker_isolation=settings.allow_weaker_isolation)
    persons, facts = _view(assignment, sandbox)
    yield f"  records can be read: {persons} people with all required values"
    if persons < policy.minimum_cohort:
        yield f"  ! that is fewer than minimum_cohort, {policy.minimum_cohort}: no job will run"
    if dataset.opt_outs is not None:
        whole = replace(assignment, dataset=dataset.model_copy(update={"opt_outs": None}))
        _, everybody = _view(whole, sandbox)
        yield f"  opt-outs: {everybody.rows - facts.rows} rows of people who opted out are left out"
        if facts.opt_outs_unmatched:
            yield f"  ! opt-outs: {facts.opt_outs_unmatched} on the list match nobody here"
    yield f"  the worker is confined by: {', '.join(facts.layers)}"


def _idle(policy: Policy, now: datetime) -> Iterator[str]:
    """What a policy says that lets nothing happen."""
    if not policy.not_before <= now < policy.not_after:
        yield "  ! the policy is not in force today: every job will be refused"
    for name in policy.tasks:
        if name not in TASKS:
            yield f"  ! there is no task {name}; known are {', '.join(TASKS)}"
    for name in policy.outputs:
        if name not in _OUTPUTS:
            yield f"  ! no task makes a {name}; known is {', '.join(_OUTPUTS)}"


def _everybody(dataset: Dataset) -> Assignment | None:
    """An assignment that reads every column of everybody, or None where nothing is binary."""
    binary = [column for column in dataset.schema.columns if column.kind == "binary"]
    if not binary:
        return None
    columns = tuple(column for column in dataset.schema.columns if column != binary[-1])
    features = FeatureMap(columns=columns, outcome=binary[-1])
    split = Split(salt="00" * 16, holdout=Decimal(1))
    return Assignment(dataset, features, ("evaluation.logistic",), split)


def _view(assignment: Assignment, sandbox: Sandbox) -> tuple[int, Facts]:
    """People with all required values, and what a worker finds besides."""
    worker = Worker.start(assignment, sandbox)
    try:
        return worker.persons(), worker.facts
    finally:
        worker.close()
