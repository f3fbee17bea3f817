"""Whether a job may run here: its documents, the hospital's own schema, the law, the policy.

Nothing in here is believed because a peer says it: signatures are checked with the pinned key,
costs are recomputed, bounds come from the hospital's declaration.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from connector.audit import entries
from connector.audit.order import planned
from connector.errors import RemoteError
from connector.identity import documents
from connector.identity.keys import VerifyKey
from connector.jobs import JobSpec, parse_spec
from connector.protocol import StartJob
from node.data.dataset import Dataset
from node.ledger import Ledger
from policies import engine
from policies.decision import Decision
from policies.errors import Error, PolicyError
from policies.permit import Permit
from policies.policy import Policy
from policies.privacy import Budget, SampledGaussian
from policies.request import Facts, UsageRequest

MAX_SPEC_BYTES = 24_000
MAX_PERMIT_BYTES = 16_000
# How people are counted, once for each dataset and policy: a count with a deviation of 20.
COUNTING = SampledGaussian(Decimal(20))


class Refusal(Error):  # noqa: N818 - an outcome; the field says refusal
    """Why a message is refused: `code` and `rules` are fixed codes that may be told to anyone."""

    def __init__(self, code: str, rules: tuple[str, ...] = ()) -> None:
        super().__init__(code, code)
        self.rules = rules


@dataclass(frozen=True)
class Holding:
    """A dataset that this hospital offers, with the policy that it owns."""

    dataset: Dataset
    policy: Policy


@dataclass(frozen=True)
class Candidate:
    """A job that asks to run on one dataset of this hospital, with its permit as it was signed."""

    spec: JobSpec
    dataset: Dataset
    permit_document: str

    @property
    def job(self) -> str:
        """The digest that names the job."""
        return self.spec.digest

    def request(self) -> UsageRequest:
        """What the job asks for, from its specification alone."""
        spec = self.spec
        return UsageRequest(
            job_digest=spec.digest,
            permit_digest=spec.permit_digest,
            data_user=spec.data_user,
            purpose=spec.purpose,
            dataset=self.dataset.id,
            datasets=spec.datasets,
            columns=spec.columns,
            tasks=spec.tasks,
            output=spec.output,
            not_after=spec.not_after,
        )


class Admission:
    """Reads what asks to be admitted, and decides about it. Writes nothing."""

    def __init__(
        self, name: str, coordinator: VerifyKey, holdings: Iterable[Holding], ledger: Ledger
    ) -> None:
        self._name = name
        self._coordinator = coordinator
        self._ledger = ledger
        self.holdings = {holding.dataset.id: holding for holding in holdings}
        self._evaluate = {
            name: engine.compile(holding.policy) for name, holding in self.holdings.items()
        }

    def read(self, start: StartJob) -> Candidate:
        """Parse and bound a job. Raises `Refusal` with what is wrong with it."""
        specification = start.specification.encode()
        if len(specification) > MAX_SPEC_BYTES:
            raise Refusal("JOB_TOO_LARGE")
        if len(start.permit.encode()) > MAX_PERMIT_BYTES:
            raise Refusal("PERMIT_TOO_LARGE")
        try:
            spec = parse_spec(specification)
        except PolicyError as error:
            raise Refusal("JOB_MALFORMED") from error
        return self.candidate(spec, start.permit)

    def candidate(self, spec: JobSpec, permit_document: str) -> Candidate:
        """A job against the datasets that are held here. Raises `Refusal`."""
        holding = self.holdings.get(spec.dataset_of(self._name) or "")
        if holding is None:
            raise Refusal("DATASET_UNKNOWN")
        if not _schema_matches(spec, holding.dataset):
            raise Refusal("SCHEMA_MISMATCH")
        return Candidate(spec, holding.dataset, permit_document)

    def decide(self, candidate: Candidate, now: datetime) -> Decision:
        """The decision at `now`; jobs under way count with their whole plan, this one apart.

        UNDETERMINED when only the cohort is open, because nobody has counted yet.
        """
        dataset = candidate.dataset.id
        permit = self.verified_permit(candidate.permit_document)
        facts = Facts(
            now=now,
            permit=permit,
            planned=candidate.spec.cost(),
            spent_dataset=self._ledger.spent(dataset, now, without=candidate.job),
            spent_permit=self._ledger.spent_under(
                permit.id if permit else "", dataset, now, without=candidate.job
            ),
            persons=self._persons(candidate),
        )
        return self._evaluate[dataset](candidate.request(), facts)

    def verified_permit(self, document: str) -> Permit | None:
        """The permit, if the coordinator signed it; the statute's rules deny without one."""
        try:
            return documents.verify(document, Permit, self._coordinator)
        except RemoteError:
            return None

    def admits_counting(self, dataset: str, now: datetime) -> bool:
        """Whether the dataset's budget still has room for counting its people."""
        limits = self.holdings[dataset].policy.budget
        budget = Budget(limits.epsilon, limits.delta)
        return budget.admits(self._ledger.spent(dataset, now), COUNTING.cost)

    def _persons(self, candidate: Candidate) -> int | None:
        """Expected size of the job's smallest fold.

        Never the fold's true size: a coordinator that chooses salts and columns would read from
        the answers who is in the dataset.
        """
        dataset = candidate.dataset.id
        counted = self._ledger.counts.get((dataset, self.holdings[dataset].policy.digest))
        if counted is None:
            return None
        holdout = candidate.spec.holdout
        shares = [1 - holdout, holdout] if candidate.spec.evaluation_rounds else [1 - holdout]
        return int(counted * min(shares))


def decided(
    candidate: Candidate, decision: Decision, permit: Permit | None, dataset_version: str
) -> entries.Decided:
    """A decision as it stands in the log, with all that it rested on."""
    return entries.Decided(
        time=decision.decided_at,
        request=candidate.request(),
        decision=decision,
        permit_document=candidate.permit_document,
        permit_id=permit.id if permit else "",
        dataset_version=dataset_version,
        specification=candidate.spec.encode().decode(),
        planned=planned(candidate.spec),
        job_not_after=candidate.spec.not_after,
    )


def failed_rules(decision: Decision) -> tuple[str, ...]:
    """The codes of what speaks against a job."""
    return tuple(constraint.rule for constraint in decision.failed)


def _schema_matches(spec: JobSpec, dataset: Dataset) -> bool:
    """Bounds come from the hospital's own schema, never from the job (nor from the records)."""
    columns = (*spec.features.columns, spec.features.outcome)
    return all(dataset.schema.find(column.name) in (column, None) for column in columns)
