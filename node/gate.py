"""The one door. Every message comes in through `handle`; nothing leaves but through `_release`.

For each message the gate *admits* (signature, job, permit, statute, policy, order, rate), then
*reserves* the privacy cost durably in the log, then lets a worker compute, then *releases*: exactly
the declared arrays, finite, of the declared size, their digest logged before a byte is sent.
A refusal is logged with the same care and answered with fixed codes only.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from connector import messages
from connector.audit import entries
from connector.audit.log import Log
from connector.errors import LocalError, RemoteError
from connector.identity.keys import SigningKey, VerifyKey
from connector.jobs import JobSpec, Step, parse_spec
from connector.protocol import EndJob, StartJob, TakeStep
from node.admission import (
    COUNTING,
    Admission,
    Candidate,
    Holding,
    Refusal,
    decided,
    failed_rules,
)
from node.data.dataset import Dataset
from node.ledger import Ledger
from node.rate import RateLimit
from node.tasks.noise import RandomBits, discrete_gaussian
from node.worker_messages import TASK_CODES
from policies.decision import Decision, Verdict
from policies.errors import Error, PolicyError

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

NO_JOB = "none"
# All that is ever said of a computation that did not finish (threat: a record in a code).
FAILURES = TASK_CODES | {
    "ANSWER_MALFORMED",
    "ANSWER_TOO_LARGE",
    "NODE_ERROR",
    "RESULT_MALFORMED",
    "TASK_TIMEOUT",
    "WORKER_DIED",
}
MAX_WORKERS = 4


class JobWorker(Protocol):
    """The process in which one job's tasks run (`node.worker.Worker`)."""

    def people(self) -> int:
        """The number of people in the dataset; never told to anyone without noise."""

    def version(self) -> str:
        """A digest of the records, the opt-outs and the dataset's configuration, as loaded."""

    def stale(self) -> bool:
        """Whether the files have changed since."""

    def abort(self) -> None:
        """End a call that is under way, from another thread."""

    def call(
        self, task: str, arguments: dict[str, Any], arrays: "Arrays", seconds: float
    ) -> "Arrays":
        """Run one task; raises `Error` with a fixed code."""

    def close(self) -> None:
        """End the process."""


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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = key
        self._coordinator = coordinator
        self._log = log
        self._open_worker = open_worker
        self._workers: dict[str, JobWorker] = {}
        self._clock = clock
        self._rate = RateLimit(messages_per_minute, monotonic)
        self.ledger = Ledger()
        self._admission = Admission(key.name, coordinator, holdings, self.ledger)
        # Specification and permit of every admitted job, as the log has them.
        self._admitted: dict[str, tuple[JobSpec, str]] = {}
        self._policies: dict[str, str] = {}
        for _, content in log.read():
            self._remember(entries.parse(content))
        self._activate_policies()

    def handle(self, sealed: bytes) -> bytes | None:
        """Answer one sealed message from the coordinator with a sealed reply.

        None means silence: more messages than the rate allows, answering would only feed a flood.
        Raises `LocalError` only when the log cannot be written any more: the node must stop.
        """
        if not self._rate.admits():
            return None
        reference = messages.digest(sealed)
        try:
            return self._answer(sealed, reference)
        except LocalError as error:
            if error.code != "LOG_FULL":
                raise
            # Nothing was computed or nothing left: what is not in the log has not happened.
            return self._release(reference, "refused", {"code": error.code, "rules": []})

    def _answer(self, sealed: bytes, reference: str) -> bytes:
        job = NO_JOB
        try:
            message = messages.open_sealed(sealed, self._coordinator, self._key.name)
            job = _safe(message.body.get("job"))
            return self._dispatch(message, reference)
        except Refusal as refusal:
            return self._refuse(reference, job, refusal.code, refusal.rules)
        except (RemoteError, PolicyError) as error:
            return self._refuse(reference, NO_JOB, error.code)
        except LocalError:
            raise  # the log: `handle` knows whether the node can go on
        except Exception:  # noqa: BLE001 - a bug refuses; its text could hold anything and is dropped
            self._write(entries.Incident(time=self._now(), code="NODE_ERROR"))
            return self._refuse(reference, job, "NODE_ERROR")

    def sweep(self) -> None:
        """End the workers of jobs whose time is over."""
        now = self._clock()
        for job in list(self._workers):
            account = self.ledger.jobs.get(job)
            if account is None or not account.is_open(now):
                self._close_worker(job)

    def abort(self) -> None:
        """From another thread: end the computation that is under way."""
        for worker in list(self._workers.values()):
            worker.abort()

    def close(self) -> None:
        """End all workers."""
        for job in list(self._workers):
            self._close_worker(job)

    def _dispatch(self, message: messages.Message, reference: str) -> bytes:
        if message.kind == "describe":
            return self._release(reference, "ok", {"offers": self._offers()})
        self._check_clock()
        if message.kind == "start":
            return self._start(StartJob.parse(message.body), reference)
        if message.kind == "step":
            return self._step(TakeStep.parse(message.body), message.arrays, reference)
        if message.kind == "end":
            return self._end(EndJob.parse(message.body), reference)
        raise Refusal("MESSAGE_KIND_UNKNOWN")

    def _start(self, start: StartJob, reference: str) -> bytes:
        candidate = self._admission.read(start)
        account = self.ledger.jobs.get(candidate.job)
        if account is not None:
            if account.is_open(self._clock()):
                return self._release(reference, "ok", {})
            raise Refusal("JOB_OVER")
        decision = self._admission.decide(candidate, self._now())
        version = ""
        try:
            if decision.verdict is not Verdict.DENY:
                worker = self._worker(candidate)
                version = self._key.commitment(worker.version())
                if decision.verdict is Verdict.UNDETERMINED:
                    self._count(candidate, worker)
                    decision = self._admission.decide(candidate, self._now())
            self._write_decision(candidate, decision, version)
            if decision.verdict is not Verdict.ALLOW:
                raise Refusal("NOT_ALLOWED", failed_rules(decision))  # noqa: TRY301 - closes it too
        except BaseException:
            self._close_worker(candidate.job)
            raise
        return self._release(reference, "ok", {})

    def _count(self, candidate: Candidate, worker: JobWorker) -> None:
        """Count a dataset's people with noise; durable before anything rests on it."""
        holding = self._admission.holdings[candidate.dataset.id]
        if not self._admission.admits_counting(candidate.dataset.id, self._now()):
            raise Refusal("NOT_ALLOWED", ("policy.budget",))
        variance = Fraction(COUNTING.noise_multiplier) ** 2
        (noise,) = discrete_gaussian(variance, 1, RandomBits())
        self._write(
            entries.Counted(
                time=self._now(),
                dataset=candidate.dataset.id,
                policy_digest=holding.policy.digest,
                people=max(0, worker.people() + int(noise)),
                mechanism=COUNTING.to_json(),
            )
        )

    def _step(self, asked: TakeStep, arrays: "Arrays", reference: str) -> bytes:
        if asked.job not in self._admitted:
            raise Refusal("JOB_NOT_ADMITTED")
        spec, permit_document = self._admitted[asked.job]
        step = self._next_step(spec, asked)
        # Dataset, schema, permit and policy may have changed since the job was admitted.
        candidate = self._admission.candidate(spec, permit_document)
        call, width = step.call, spec.features.width
        if not call.definition.accepts(call.arguments, width, arrays):
            raise Refusal("ARRAYS_MALFORMED")
        decision = self._admission.decide(candidate, self._now())
        if decision.verdict is not Verdict.ALLOW:
            self._write_decision(candidate, decision, "")
            raise Refusal("NOT_ALLOWED", failed_rules(decision))
        worker = self._unchanged_worker(candidate)
        self._reserve(candidate, step)
        try:
            result = worker.call(call.task, call.arguments, arrays, spec.round_seconds)
            if not call.definition.returns(call.arguments, width, result):
                raise LocalError("RESULT_MALFORMED", "not what is declared")  # noqa: TRY301 - fails so
        except Error as error:
            return self._fail(reference, asked, error.code)
        except Exception:  # noqa: BLE001 - a bug; its text could hold anything and is dropped
            return self._fail(reference, asked, "NODE_ERROR")
        return self._release(reference, "ok", {}, result, step=(asked, candidate.dataset.id))

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

    def _reserve(self, candidate: Candidate, step: Step) -> None:
        self._write(
            entries.Reserved(
                time=self._now(),
                job=candidate.job,
                dataset=candidate.dataset.id,
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
        self._write(entries.Refused(time=self._now(), job=job, code=code, rules=rules))
        return self._release(reference, "refused", {"code": code, "rules": list(rules)})

    def _fail(self, reference: str, asked: TakeStep, code: str) -> bytes:
        self._close_worker(asked.job)
        code = code if code in FAILURES else "TASK_FAILED"
        self._write(
            entries.Failed(
                time=self._now(), job=asked.job, round=asked.round, task=asked.task, code=code
            )
        )
        return self._release(reference, "failed", {"code": code, "rules": []})

    # Memory

    def _write(self, entry: entries.Entry) -> None:
        try:
            content = entries.spell(entry)
        except PolicyError as error:
            raise Refusal(error.code) from error
        self._log.append([content])
        self._remember(entry)

    def _write_decision(self, candidate: Candidate, decision: Decision, version: str) -> None:
        permit = self._admission.verified_permit(candidate.permit_document)
        self._write(decided(candidate, decision, permit, version))

    def _remember(self, entry: Any) -> None:
        self.ledger.apply(entry)
        if isinstance(entry, entries.PolicyActivated):
            self._policies[entry.policy.dataset] = entry.policy.digest
        elif isinstance(entry, entries.Decided) and entry.decision.verdict is Verdict.ALLOW:
            spec = parse_spec(entry.specification.encode())
            self._admitted[spec.digest] = (spec, entry.permit_document)
        elif isinstance(entry, entries.JobEnded):
            self._admitted.pop(entry.job, None)

    def _activate_policies(self) -> None:
        for holding in self._admission.holdings.values():
            if self._policies.get(holding.policy.dataset) != holding.policy.digest:
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
            for holding in self._admission.holdings.values()
        ]

    def _worker(self, candidate: Candidate) -> JobWorker:
        """The job's worker. Workers are a cache: the one used longest ago makes room."""
        worker = self._workers.pop(candidate.job, None)
        if worker is not None and worker.stale():
            worker.close()
            worker = None
        if worker is None:
            while len(self._workers) >= MAX_WORKERS:
                self._close_worker(next(iter(self._workers)))
            try:
                worker = self._open_worker(candidate.dataset, candidate.spec)
            except Error as error:
                # One code for all: what is wrong with a file depends on the records in it.
                raise Refusal("DATASET_UNAVAILABLE") from error
        self._workers[candidate.job] = worker
        return worker

    def _unchanged_worker(self, candidate: Candidate) -> JobWorker:
        """A worker on the very records that were admitted.

        Changed records or opt-outs end the job here: people could move between the folds, and
        would then pay for both, and who opted out must not be computed on.
        """
        worker = self._worker(candidate)
        admitted = self.ledger.jobs[candidate.job].dataset_version
        if self._key.commitment(worker.version()) != admitted:
            self._close_worker(candidate.job)
            raise Refusal("DATASET_CHANGED")
        return worker

    def _close_worker(self, job: str) -> None:
        worker = self._workers.pop(job, None)
        if worker is not None:
            worker.close()


def _safe(job: object) -> str:
    """A job's name as a peer gave it may be anything: only a digest is written into the log."""
    if isinstance(job, str) and job.startswith("sha256:") and len(job) == 71:
        return job if job.isascii() and job[7:].isalnum() else NO_JOB
    return NO_JOB
