"""Whether a job may run here: its documents, the hospital's own schema, the law, the policy.

Nothing in here is believed because a peer says it: signatures are checked with the pinned key,
costs are recomputed, bounds come from the hospital's declaration.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from connector.audit import entries
from connector.audit.ledger import Ledger
from connector.audit.order import planned
from connector.errors import RemoteError
from connector.identity import documents
from connector.identity.keys import VerifyKey
from connector.jobs import JobSpec, parse_spec
from connector.protocol import StartJob
from node.data.dataset import Dataset
from policies import engine
from policies.decision import Verdict
from policies.engine import Outcome
from policies.errors import Error, PolicyError
from policies.permit import Permit
from policies.policy import Policy
from policies.privacy import Budget, SampledGaussian
from policies.request import UsageRequest

MAX_SPEC_BYTES = 24_000
MAX_PERMIT_BYTES = 16_000
# How people are counted, once for each dataset and policy: a count with a deviation of 20.
COUNTING = SampledGaussian(Decimal(20))
NO_PERMIT = "none"
_ENOUGH = 1 << 40  # people: more than any policy asks for


class Refusal(Error):  # noqa: N818 - an outcome; the field says refusal
    """Why a message is refused: `code` and `rules` are fixed codes that may be told to anyone."""

    def __init__(self, code: str, rules: tuple[str, ...] = ()) -> None:
        super().__init__(code, code)
        self.rules = rules


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
        return self.spec.request(self.dataset.id)


class Admission:
    """Reads what asks to be admitted, and decides about it. Writes nothing.

    The policy that decides is the active one of the ledger, at every decision anew.
    """

    def __init__(
        self, name: str, coordinator: VerifyKey, datasets: Iterable[Dataset], ledger: Ledger
    ) -> None:
        self._name = name
        self._coordinator = coordinator
        self._ledger = ledger
        self.datasets = {dataset.id: dataset for dataset in datasets}
        self._compiled: dict[str, engine.Compiled] = {}

    def policy(self, dataset: str) -> Policy:
        """The active policy. Raises `Refusal` (POLICY_NOT_ACTIVE)."""
        policy = self._ledger.standing.policy(dataset)
        if policy is None:
            raise Refusal("POLICY_NOT_ACTIVE")
        return policy

    def offered(self) -> Iterator[tuple[Dataset, Policy]]:
        """Every dataset that has an active policy."""
        for dataset in self.datasets.values():
            policy = self._ledger.standing.policy(dataset.id)
            if policy is not None:
                yield dataset, policy

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
        dataset = self.datasets.get(spec.dataset_of(self._name) or "")
        if dataset is None:
            raise Refusal("DATASET_UNKNOWN")
        self.policy(dataset.id)
        if not _schema_matches(spec, dataset):
            raise Refusal("SCHEMA_MISMATCH")
        return Candidate(spec, dataset, permit_document)

    def decide(self, candidate: Candidate, now: datetime) -> Outcome:
        """The outcome at `now`; jobs under way count with their whole plan, this one apart.

        UNDETERMINED while nobody has counted, and while a person has to answer and has not.
        """
        dataset, request = candidate.dataset.id, candidate.request()
        policy = self.policy(dataset)
        facts = self._ledger.facts(
            candidate.spec,
            dataset,
            policy.digest,
            self._verified_permit(candidate.permit_document),
            now,
            approved=self._ledger.standing.approved(dataset, request.permit_digest),
        )
        return self._evaluator(policy)(request, facts)

    def decide_contract(
        self, dataset: str, document: str, now: datetime
    ) -> tuple[UsageRequest, Outcome] | None:
        """What the policy says of a permit in a contract; None where no policy is active.

        It is asked about the most that the permit could ask for within the policy, at no cost and
        with enough people: what cannot be under it is found out before a job is written. Every
        job is decided again, in full.
        """
        policy = self._ledger.standing.policy(dataset)
        if policy is None or dataset not in self.datasets:
            return None
        permit = self._verified_permit(document)
        digest = permit.digest if permit else NO_PERMIT
        facts = replace(
            self._ledger.contract_facts(dataset, permit, now),
            approved=self._ledger.standing.approved(dataset, digest),
            persons=_ENOUGH,
        )
        request = _most(dataset, policy, permit, digest, now)
        return request, self._evaluator(policy)(request, facts)

    def awaits_count(self, outcome: Outcome) -> bool:
        """Whether it is open only because nobody has counted; a person is asked before that."""
        return (
            outcome.verdict is Verdict.UNDETERMINED
            and outcome.facts.persons is None
            and "policy.approval" not in outcome.open
        )

    def awaits_person(self, outcome: Outcome) -> bool:
        """Whether a person has to answer, and nothing speaks against it.

        Whatever else is open (a count that has not been made) stays open until then.
        """
        return outcome.verdict is Verdict.UNDETERMINED and "policy.approval" in outcome.open

    def permit_is_over(self, document: str, now: datetime) -> bool:
        """Whether a job's permit has come to its end."""
        permit = self._verified_permit(document)
        return permit is None or permit.not_after <= now

    def _evaluator(self, policy: Policy) -> engine.Compiled:
        compiled = self._compiled.get(policy.dataset)
        if compiled is None or compiled.digest != policy.digest:
            compiled = self._compiled[policy.dataset] = engine.compile(policy)
        return compiled

    def _verified_permit(self, document: str) -> Permit | None:
        """The permit, if the coordinator signed it; the statute's rules deny without one."""
        try:
            return documents.verify(document, Permit, self._coordinator)
        except RemoteError:
            return None

    def admits_counting(self, dataset: str, now: datetime) -> bool:
        """Whether the dataset's budget still has room for counting its people."""
        limits = self.policy(dataset).budget
        budget = Budget(limits.epsilon, limits.delta)
        return budget.admits(self._ledger.spent(dataset, now), COUNTING.cost)


def decided(candidate: Candidate, outcome: Outcome, dataset_version: str) -> entries.Decided:
    """A decision as it stands in the log, with all that it rested on."""
    decision, permit = outcome.decision(), outcome.facts.permit
    return entries.Decided(
        time=decision.decided_at,
        request=outcome.request,
        decision=decision,
        permit_document=candidate.permit_document,
        permit_id=permit.id if permit else "",
        dataset_version=dataset_version,
        specification=candidate.spec.encode().decode(),
        planned=planned(candidate.spec),
        job_not_after=candidate.spec.not_after,
    )


def _most(
    dataset: str, policy: Policy, permit: Permit | None, digest: str, now: datetime
) -> UsageRequest:
    """The widest request within policy and permit; what they share nothing of stays as asked."""
    until = now + timedelta(hours=policy.hours_per_job)
    if permit is None:
        return UsageRequest(
            job_digest=NO_PERMIT, permit_digest=digest, data_user="unknown",
            purpose="unknown", dataset=dataset, datasets=(dataset,), columns=policy.columns,
            tasks=policy.tasks, output=policy.outputs[0], not_after=until,
        )  # fmt: skip
    return UsageRequest(
        job_digest=NO_PERMIT,
        permit_digest=digest,
        data_user=permit.data_user,
        purpose=permit.purpose,
        dataset=dataset,
        datasets=permit.datasets,
        columns=_shared(permit.columns, policy.columns),
        tasks=_shared(permit.tasks, policy.tasks),
        output=_shared(permit.outputs, policy.outputs)[0],
        not_after=min(until, permit.not_after),
    )


def _shared(asked: tuple[str, ...], allowed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one for one in asked if one in allowed) or asked


def _schema_matches(spec: JobSpec, dataset: Dataset) -> bool:
    """Bounds come from the hospital's own schema, never from the job (nor from the records)."""
    columns = (*spec.features.columns, spec.features.outcome)
    return all(dataset.schema.find(column.name) == column for column in columns)
