"""The one door. Every message comes in through `handle`; nothing leaves but through `_release`.

For each message the gate *admits* (signature, job, permit, statute, policy, order, rate), then
*reserves* the privacy cost durably in the log, then lets a worker compute, then *releases*: exactly
the declared arrays, finite, of the declared size, their digest logged before a byte is sent.
A refusal is logged with the same care and answered with fixed codes only.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from connector import messages
from connector.audit import entries
from connector.audit.log import Log
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import SigningKey, VerifyKey
from connector.jobs import JobSpec, Step, parse_spec
from connector.protocol import EndJob, StartJob, TakeStep
from node.data.dataset import Dataset
from node.ledger import Ledger
from policies import engine
from policies.decision import Decision, Verdict
from policies.errors import Error, PolicyError
from policies.permit import Permit
from policies.policy import Policy
from policies.request import Facts, UsageRequest

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

MAX_SPEC_BYTES = 24_000
MAX_PERMIT_BYTES = 16_000
NO_JOB = "none"


class JobWorker(Protocol):
    """The process in which one job's tasks run (`node.worker.Worker`)."""

    def persons(self) -> int:
        """The number of people in the smallest fold that the job touches."""

    def call(
        self, task: str, arguments: dict[str, Any], arrays: "Arrays", seconds: float
    ) -> "Arrays":
        """Run one task; raises `Error` with a fixed code."""

    def close(self) -> None:
        """End the process."""


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
class _Admitted:
    spec: JobSpec
    permit_document: str


class Gate:
    """Admit, reserve, compute, release. One message at a time."""

    def __init__(
        self,
        *,
        key: SigningKey,
        coordinator: VerifyKey,
        log: Log,
        holdings: Iterable[Holding],
        open_worker: Callable[[Dataset, JobSpec], JobWorker],
        clock: Callable[[], datetime],
        messages_per_minute: int = 1200,
    ) -> None:
        self._key = key
        self._coordinator = coordinator
        self._log = log
        self._holdings = {holding.dataset.id: holding for holding in holdings}
        self._evaluate = {
            name: engine.compile(holding.policy) for name, holding in self._holdings.items()
        }
        self._open_worker = open_worker
        self._workers: dict[str, JobWorker] = {}
        self._clock = clock
        self._rate = _RateLimit(messages_per_minute)
        self._admitted: dict[str, _Admitted] = {}
        self.ledger = Ledger()
        for _, content in log.read():
            self._remember(entries.parse(content))
        self._activate_policies()

    def handle(self, sealed: bytes) -> bytes | None:
        """Answer one sealed message from the coordinator with a sealed reply.

        None means silence: more messages than the rate allows, answering would only feed a flood.
        Raises `LocalError` only when the log cannot be written any more: the node must stop.
        """
        if not self._rate.admits(self._clock()):
            return None
        reference = messages.digest(sealed)
        job = NO_JOB
        try:
            message = messages.open_sealed(sealed, self._coordinator, self._key.name)
            job = str(message.body.get("job", NO_JOB))[:80]
            if message.kind == "describe":
                return self._release(reference, "ok", {"offers": self._offers()})
            self._check_clock()
            if message.kind == "start":
                return self._start(StartJob.parse(message.body), reference)
            if message.kind == "step":
                return self._step(TakeStep.parse(message.body), message.arrays, reference)
            if message.kind == "end":
                return self._end(EndJob.parse(message.body), reference)
            raise Refusal("MESSAGE_KIND_UNKNOWN")  # noqa: TRY301 - one way out for all refusals
        except Refusal as refusal:
            return self._refuse(reference, job, refusal.code, refusal.rules)
        except (RemoteError, PolicyError) as error:
            return self._refuse(reference, NO_JOB, error.code)

    def sweep(self) -> None:
        """End the workers of jobs whose time is over."""
        for job in [j for j in self._workers if not self.ledger.jobs[j].is_open(self._clock())]:
            self._close_worker(job)

    def close(self) -> None:
        """End all workers."""
        for job in list(self._workers):
            self._close_worker(job)

    # Admission

    def _start(self, start: StartJob, reference: str) -> bytes:
        spec = self._read_spec(start.specification)
        job = spec.digest
        dataset = spec.dataset_of(self._key.name)
        if dataset is None or dataset not in self._holdings:
            raise Refusal("DATASET_UNKNOWN")
        if not self._schema_matches(spec, self._holdings[dataset].dataset):
            raise Refusal("SCHEMA_MISMATCH")
        account = self.ledger.jobs.get(job)
        if account is not None:
            if account.is_open(self._clock()):
                return self._release(reference, "ok", {})
            raise Refusal("JOB_OVER")
        decision = self._decide(spec, dataset, start.permit, persons=None)
        if decision.verdict is Verdict.UNDETERMINED:
            persons = self._worker(spec, dataset).persons()
            decision = self._decide(spec, dataset, start.permit, persons=persons)
        self._record_decision(spec, dataset, start.permit, decision)
        if decision.verdict is not Verdict.ALLOW:
            self._close_worker(job)
            raise Refusal("NOT_ALLOWED", _failed_rules(decision))
        return self._release(reference, "ok", {})

    def _read_spec(self, text: str) -> JobSpec:
        if len(text) > MAX_SPEC_BYTES:
            raise Refusal("JOB_TOO_LARGE")
        try:
            return parse_spec(text.encode())
        except PolicyError as error:
            raise Refusal("JOB_MALFORMED") from error

    def _schema_matches(self, spec: JobSpec, dataset: Dataset) -> bool:
        """Bounds come from the hospital's own schema, never from the job (nor from the records)."""
        columns = (*spec.features.columns, spec.features.outcome)
        return all(dataset.schema.find(column.name) in (column, None) for column in columns)

    def _decide(
        self, spec: JobSpec, dataset: str, permit_document: str, *, persons: int | None
    ) -> Decision:
        permit = self._verified_permit(permit_document)
        now = self._now()
        facts = Facts(
            now=now,
            permit=permit,
            planned=spec.cost(),
            spent_dataset=self.ledger.spent(dataset, now, without=spec.digest),
            spent_permit=self.ledger.spent(
                dataset, now, permit_digest=spec.permit_digest, without=spec.digest
            ),
            persons=persons,
        )
        return self._evaluate[dataset](_request(spec, dataset), facts)

    def _verified_permit(self, document: str) -> Permit | None:
        if len(document) > MAX_PERMIT_BYTES:
            raise Refusal("PERMIT_TOO_LARGE")
        try:
            return documents.verify(document, Permit, self._coordinator)
        except RemoteError:
            return None  # the statute's rule on permits then denies, and the log says so

    def _record_decision(
        self, spec: JobSpec, dataset: str, permit_document: str, decision: Decision
    ) -> None:
        mechanisms = Counter((step.call.definition.fold, step.call.task) for step in spec.steps())
        calls = {call.task: call for call in (spec.training, spec.evaluation)}
        self._write(
            entries.Decided(
                time=decision.decided_at,
                request=_request(spec, dataset),
                decision=decision,
                permit_document=permit_document,
                specification=spec.encode().decode(),
                planned=tuple(
                    entries.Planned(
                        fold=fold, mechanism=calls[task].mechanism.to_json(), times=times
                    )
                    for (fold, task), times in mechanisms.items()
                ),
                job_not_after=spec.not_after,
            )
        )

    # Rounds

    def _step(self, asked: TakeStep, arrays: "Arrays", reference: str) -> bytes:
        admitted = self._admitted.get(asked.job)
        if admitted is None:
            raise Refusal("JOB_NOT_ADMITTED")
        spec = admitted.spec
        step = self._next_step(spec, asked)
        dataset = _own_dataset(spec, self._key.name)
        if dataset not in self._holdings:
            raise Refusal("DATASET_UNKNOWN")
        call = step.call
        width = spec.features.width
        if not call.definition.accepts(call.arguments, width, arrays):
            raise Refusal("ARRAYS_MALFORMED")
        worker = self._worker(spec, dataset)
        decision = self._decide(spec, dataset, admitted.permit_document, persons=worker.persons())
        if decision.verdict is not Verdict.ALLOW:
            self._record_decision(spec, dataset, admitted.permit_document, decision)
            raise Refusal("NOT_ALLOWED", _failed_rules(decision))
        self._reserve(asked.job, dataset, step)
        try:
            result = worker.call(call.task, call.arguments, arrays, spec.round_seconds)
            if not call.definition.returns(call.arguments, width, result):
                raise LocalError("RESULT_MALFORMED", "the result is not what the task declares")
        except Error as error:
            return self._fail(reference, asked, error.code)
        return self._release(reference, "ok", {}, result, step=(asked, dataset))

    def _next_step(self, spec: JobSpec, asked: TakeStep) -> Step:
        account = self.ledger.jobs[asked.job]
        if not account.is_open(self._clock()):
            raise Refusal("JOB_OVER")
        steps = list(spec.steps())
        step = spec.step(asked.round, asked.task)
        if step is None:
            raise Refusal("STEP_UNKNOWN")
        answered = [steps.index(s) for s in steps if (s.round, s.call.task) in account.answered]
        if answered and steps.index(step) <= max(answered):
            raise Refusal("STEP_ALREADY_ANSWERED")
        return step

    def _reserve(self, job: str, dataset: str, step: Step) -> None:
        self._write(
            entries.Reserved(
                time=self._now(),
                job=job,
                dataset=dataset,
                round=step.round,
                task=step.call.task,
                fold=step.call.definition.fold,
                mechanism=step.call.mechanism.to_json(),
            )
        )

    def _end(self, end: EndJob, reference: str) -> bytes:
        account = self.ledger.jobs.get(end.job)
        if account is not None and not account.ended:
            self._write(entries.JobEnded(time=self._now(), job=end.job, reason=end.reason))
        self._close_worker(end.job)
        return self._release(reference, "ok", {})

    # What leaves

    def _release(
        self,
        reference: str,
        status: str,
        body: dict[str, Any],
        arrays: "Arrays | None" = None,
        step: tuple[TakeStep, str] | None = None,
    ) -> bytes:
        """Seal a reply. Arrays leave only for a step, after their digest is durable in the log."""
        if (step is None) != (arrays is None):
            raise LocalError("RELEASE_WITHOUT_STEP", "arrays leave the node for a step only")
        body = {"in_reply_to": reference, "status": status, **body}
        sealed = messages.seal(self._key, self._coordinator.name, "reply", body, arrays)
        if step is not None:
            asked, dataset = step
            self._write(
                entries.Released(
                    time=self._now(),
                    job=asked.job,
                    dataset=dataset,
                    round=asked.round,
                    task=asked.task,
                    message=messages.digest(sealed),
                    size=len(sealed),
                    destination=self._coordinator.name,
                )
            )
        return sealed

    def _refuse(self, reference: str, job: str, code: str, rules: tuple[str, ...] = ()) -> bytes:
        self._write(entries.Refused(time=self._now(), job=_safe(job), code=code, rules=rules))
        return self._release(reference, "refused", {"code": code, "rules": list(rules)})

    def _fail(self, reference: str, asked: TakeStep, code: str) -> bytes:
        self._close_worker(asked.job)
        self._write(
            entries.Failed(
                time=self._now(), job=asked.job, round=asked.round, task=asked.task, code=code
            )
        )
        return self._release(reference, "failed", {"code": code, "rules": []})

    # Memory

    def _write(self, entry: entries.Entry) -> None:
        content = entry.encode()
        if len(content) > entries.MAX_BYTES:
            raise Refusal("JOB_TOO_LARGE")
        self._log.append([content])
        self._remember(entry)

    def _remember(self, entry: Any) -> None:
        self.ledger.apply(entry)
        if isinstance(entry, entries.Decided) and entry.decision.verdict is Verdict.ALLOW:
            spec = parse_spec(entry.specification.encode())
            self._admitted[spec.digest] = _Admitted(spec, entry.permit_document)

    def _activate_policies(self) -> None:
        active = {
            entry.policy.dataset: entry.policy.digest
            for entry in (entries.parse(content) for _, content in self._log.read())
            if isinstance(entry, entries.PolicyActivated)
        }
        for holding in self._holdings.values():
            if active.get(holding.policy.dataset) != holding.policy.digest:
                self._write(entries.PolicyActivated(time=self._now(), policy=holding.policy))

    def _now(self) -> datetime:
        """The time for an entry: never before the last one."""
        now, last = self._clock(), self.ledger.last_time
        return now if last is None else max(now, last)

    def _check_clock(self) -> None:
        """Refuse to decide anything by a clock that went back: a permit would come back to life."""
        last = self.ledger.last_time
        if last is not None and self._clock() < last:
            raise Refusal("CLOCK_WENT_BACK")

    def _offers(self) -> list[dict[str, Any]]:
        return [
            {
                "dataset": holding.dataset.id,
                "title": holding.dataset.title,
                "schema": holding.dataset.schema.model_dump(mode="json"),
                "policy": holding.policy.model_dump(
                    mode="json",
                    exclude={"budget"},  # what is left is the hospital's to know
                ),
            }
            for holding in self._holdings.values()
        ]

    def _worker(self, spec: JobSpec, dataset: str) -> JobWorker:
        job = spec.digest
        if job not in self._workers:
            try:
                self._workers[job] = self._open_worker(self._holdings[dataset].dataset, spec)
            except Error as error:
                raise Refusal(error.code) from error
        return self._workers[job]

    def _close_worker(self, job: str) -> None:
        worker = self._workers.pop(job, None)
        if worker is not None:
            worker.close()


class _RateLimit:
    """At most so many messages in any minute (threat: a flood that fills the log)."""

    def __init__(self, per_minute: int) -> None:
        self._times: deque[datetime] = deque(maxlen=per_minute)

    def admits(self, now: datetime) -> bool:
        full = len(self._times) == self._times.maxlen
        if full and now - self._times[0] < timedelta(minutes=1):
            return False
        self._times.append(now)
        return True


def _request(spec: JobSpec, dataset: str) -> UsageRequest:
    return UsageRequest(
        job_digest=spec.digest,
        permit_digest=spec.permit_digest,
        data_user=spec.data_user,
        purpose=spec.purpose,
        dataset=dataset,
        columns=spec.columns,
        tasks=spec.tasks,
        output=spec.output,
        participants=len(spec.datasets),
    )


def _own_dataset(spec: JobSpec, name: str) -> str:
    dataset = spec.dataset_of(name)
    if dataset is None:
        raise Refusal("DATASET_UNKNOWN")
    return dataset


def _failed_rules(decision: Decision) -> tuple[str, ...]:
    return tuple(constraint.rule for constraint in decision.failed)


def _safe(job: str) -> str:
    """A job name as a peer gave it may be anything: only a digest is written into the log."""
    known = job.startswith("sha256:") and len(job) == 71 and job[7:].isalnum() and job.isascii()
    return job if known else NO_JOB
