"""`commensal node describe`: the public record of each dataset, and what it still lacks.

Nothing of a record is published exactly. Counts are rounded down to a multiple of a step that the
record states; ages and dates are bounds that the hospital has declared. Rounding is not
differential privacy: whoever knows everybody else in a dataset may learn from a count that crosses
a multiple that one person more is in it. A larger step makes that rarer.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from connector.dsp import healthdcat, healthdcat_shacl
from connector.dsp.desk import FEDERATED_JOB
from connector.dsp.healthdcat_documents import Count, Gap, Measured, Record
from connector.dsp.healthdcat_jsonld import Service, dataset, document
from connector.dsp.healthdcat_nodes import Json
from connector.errors import LocalError
from connector.features import FeatureMap
from connector.folds import Split
from node import config, description
from node.config import NodeConfig, Paths
from node.data.dataset import Above, Dataset
from node.worker import Assignment, Sandbox, Worker

_FORMATS = (FEDERATED_JOB,)
_SHOWN = 20


@dataclass(frozen=True)
class Exact:
    """Exact counts of people and their rows, without those who opted out. For this node only."""

    people: int
    rows: int


def records(paths: Paths, settings: NodeConfig, on: date) -> Iterator[Record]:
    """The record of every dataset, counted now by a worker.

    Raises `LocalError`: those of `config.datasets` and of `Worker.start`.
    """
    sandbox = Sandbox(allow_weaker_isolation=settings.allow_weaker_isolation)
    found = config.datasets(paths, settings)
    for held, table in zip(found, settings.datasets, strict=True):
        said = description.parse(table.get("description", {}), held, str(paths.config))
        yield record(held, said, count(held, sandbox), on)


def record(held: Dataset, said: description.Description, exact: Exact | None, on: date) -> Record:
    """The record of one dataset; `exact` leaves it in bands only.

    The band of rows is as many times wider as a person may have rows, so that one person moves
    both counts by at most one step.
    """
    step = said.count_step
    measured = Measured(
        columns=held.schema,
        persons=healthdcat.banded(exact.people, step) if exact else None,
        records=healthdcat.banded(exact.rows, step * held.max_rows_per_person) if exact else None,
        ages=said.ages,
        temporal=said.dates,
        coding_systems=(),
        on=on,
    )
    return healthdcat.describe(said.declared, measured)


def count(held: Dataset, sandbox: Sandbox) -> Exact | None:
    """Count in a worker, as a job would; None where a worker has nothing to take a model from."""
    assignment = _anybody(held)
    if assignment is None:
        return None
    worker = Worker.start(assignment, sandbox)
    try:
        return Exact(worker.facts.people, worker.facts.rows)
    finally:
        worker.close()


@dataclass(frozen=True)
class Judgement:
    """A record with all that is wrong with it; `report` is None where SHACL was not asked."""

    record: Record
    gaps: tuple[Gap, ...]
    advised: tuple[Gap, ...]
    report: healthdcat_shacl.Report | None

    @property
    def publishable(self) -> bool:
        """Whether `catalog.approved` would take it, as far as could be checked here."""
        return not self.gaps and (self.report is None or self.report.conforms)


def judge(found: Record) -> Judgement:
    """What a record lacks; the shapes are asked when nothing mandatory is missing, if installed."""
    gaps, report = healthdcat.missing(found), None
    if not gaps:
        try:
            report = healthdcat_shacl.validate(_node(found, "node"))
        except LocalError as error:
            if error.code != "EXTRA_MISSING":
                raise
    return Judgement(found, gaps, healthdcat.advised(found), report)


def lines(judged: Judgement) -> Iterator[str]:
    """A record for people; a line that begins with an exclamation mark keeps it unpublished."""
    yield f"{judged.record.id}: {judged.record.declared.title}"
    yield from (f"  {line}" for line in _shown(judged.record))
    for gap in judged.gaps:
        yield f"  ! {gap.element} is missing. {gap.remedy}"
    for gap in judged.advised:
        yield f"  advised: {gap.element}. {gap.remedy}"
    for finding in judged.report.findings if judged.report else ():
        mark = "!" if finding.severity == "Violation" else "advised:"
        yield f"  {mark} {finding.message} ({finding.path})"
    if not judged.publishable:
        yield "  ! it is not published until then"
    elif judged.report is None:
        yield "  complete; to check it by SHACL: pip install 'commensal[rdf]'"
    else:
        yield "  it conforms to HealthDCAT-AP Release 8 and can be published"


def spell(found: Record, name: str) -> str:
    """The record as JSON-LD, without offers and with a place for the connector's address."""
    return json.dumps(document(_node(found, name), ()), indent=2, ensure_ascii=False)


def _node(found: Record, name: str) -> Json:
    service = Service(id=f"urn:commensal:{name}", url=f"https://{name}.invalid/2025-1")
    return dataset(found, service, _FORMATS)


def _shown(found: Record) -> Iterator[str]:
    yield f"people: {_band(found.persons)}"
    yield f"records: {_band(found.records)}"
    if found.ages:
        yield f"ages: {found.ages.youngest} to {found.ages.oldest}, as declared"
    if found.temporal:
        yield f"from {found.temporal.start or '...'} to {found.temporal.end or '...'}"
    names = [
        f"{variable.name} ({variable.coding_system})" if variable.coding_system else variable.name
        for variable in found.variables
    ]
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    yield f"variables: {', '.join(names[:_SHOWN])}{more}"
    if found.coding_systems:
        yield f"coding systems: {', '.join(found.coding_systems)}"
    if found.declared.keywords:
        yield f"keywords: {', '.join(found.declared.keywords)}"
    if found.declared.description:
        yield f"description: {' '.join(found.declared.description.split())}"


def _band(counted: Count | None) -> str:
    if counted is None:
        return "not published: too few, or not counted"
    return f"about {counted.value:,}, rounded down to a multiple of {counted.step:,}"


def _anybody(held: Dataset) -> Assignment | None:
    """An assignment that sees everybody, by any two of the columns; counts depend on neither."""
    outcomes = [column for column in held.schema.columns if column.kind == "binary"]
    numbers = [column for column in held.columns if column.kind == "numeric"]
    if not outcomes and numbers:
        free = next(name for name in _names() if name not in held.schema.names)
        split = Above(kind="above", name=free, column=numbers[0].name, threshold=0)
        held = held.model_copy(update={"derived": (*held.derived, split)})
        outcomes = [column for column in held.schema.columns if column.name == free]
    inputs = [column for column in held.schema.columns if column not in outcomes[:1]]
    if not outcomes or not inputs:
        return None
    features = FeatureMap(columns=tuple(inputs[:1]), outcome=outcomes[0])
    return Assignment(held, features, ("evaluation.logistic",), Split(salt="00" * 16, holdout=1))


def _names() -> Iterator[str]:
    return (f"above_{number}" for number in range(1 << 20))
