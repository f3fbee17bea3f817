"""`commensal node check`: everything that `run` and a job would look at, without running."""

from collections.abc import Iterator
from decimal import Decimal

from connector.features import FeatureMap
from connector.folds import Split
from node import config
from node.config import Paths
from node.gate import Holding
from node.worker import Assignment, Sandbox, Worker


def check(paths: Paths) -> Iterator[str]:
    """Lines for the operator, who may see counts of the hospital's own records.

    Raises `LocalError` for the first thing that is wrong.
    """
    settings = config.load(paths)
    yield f"{paths.config}: node {settings.name}"
    for holding in config.holdings(paths, settings):
        yield from _dataset(holding, settings)


def _dataset(holding: Holding, settings: config.NodeConfig) -> Iterator[str]:
    dataset, policy = holding.dataset, holding.policy
    yield f"{dataset.id}: {dataset.title}"
    yield f"  policy {policy.id} version {policy.version}: {', '.join(policy.tasks)}"
    yield f"  for {', '.join(policy.purposes)}, until {policy.not_after:%Y-%m-%d}"
    budget = policy.budget
    yield f"  budget: epsilon {budget.epsilon}, delta {budget.delta}"
    binary = [column for column in dataset.schema.columns if column.kind == "binary"]
    if not binary:
        yield "  no binary column: nothing can be predicted from this dataset"
        return
    columns = tuple(column for column in dataset.schema.columns if column != binary[-1])
    features = FeatureMap(columns=columns, outcome=binary[-1])
    everybody = Split(salt="00" * 16, holdout=Decimal(1))
    worker = Worker.start(
        Assignment(dataset, features, ("evaluation.logistic",), everybody),
        Sandbox(allow_weaker_isolation=settings.allow_weaker_isolation),
    )
    try:
        yield f"  records can be read: {worker.persons()} people with all required values"
        yield f"  the worker is confined by: {', '.join(worker.facts.layers)}"
    finally:
        worker.close()
