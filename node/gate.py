"""The one door. Every message comes in through `handle`; nothing leaves but through `_release`.

For each message the gate first takes what the hospital's officers have signed: the log is the
memory, and the active policy is the last one in it. Then it *admits* (signature, job, permit,
statute, policy, order, rate), then
*reserves* the privacy cost durably in the log, then lets a worker compute, then *releases*: exactly
the declared arrays, finite, of the declared size, their digest logged before a byte is sent.
A refusal is logged with the same care and answered with fixed codes only.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from connector import messages, revocation
from connector.audit import entries
from connector.audit.contracts import Contracts
from connector.audit.ledger import Ledger
from connector.audit.log import Log
from connector.errors import LocalError, RemoteError
from connector.identity.keys import SigningKey, VerifyKey
from connector.jobs import JobSpec, Step, parse_spec
from connector.protocol import EndJob, RevokePermit, StartJob, TakeStep, Terms
from node.admission import (
    COUNTING,
    Admission,
    Candidate,
    Refusal,
    decided,
)
from node.data.dataset import Dataset
from node.intake import Intake
from node.rate import RateLimit
from node.tasks.noise import RandomBits, discrete_gaussian
from node.worker_messages import TASK_CODES
from policies.decision import Verdict
from policies.engine import Outcome
from policies.errors import Error, PolicyError
from policies.request import UsageRequest

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

NO_JOB = "none"
# All that is ever said of a computation that did not finish (threat: a record in a code).
FAILURES = TASK_CODES | {
    "ANSWER_MALFORMED",
    "ANSWER_TOO_LARGE",
    "JOB_OVER",
    "NODE_ERROR",
    "PERMIT_EXPIRED",
    *revocation.CODES.values(),
    "RESULT_MALFORMED",
    "TASK_TIMEOUT",
    "WORKER_DIED",
}
MAX_WORKERS = 4
_MOST_URGENT_BYTES = 16_000


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
    """Admit, reserve, compute, release: one message at a time, and any other method meanwhile.

    With `by_contract` a job needs a transfer that is started for it, under a finalized agreement.
    """

    def __init__(  # noqa: PLR0913 - what a gate is made of, by name, in one place
        self,
        *,
        key: SigningKey,
        coordinator: VerifyKey,
        log: Log,
        intake: Intake,
        open_worker: Callable[[Dataset, JobSpec], JobWorker],
        clock: Callable[[], datetime],
        messages_per_minute: int = 1200,
        by_contract: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = key
        self._coordinator = coordinator
        self._log = log
        self._intake = intake
        self._turn = threading.RLock()
        # Whoever holds it alone reads and writes what the log says; never held while computing.
        self._pen = threading.RLock()
        self._by_contract = by_contract
        self._computing = ""
        self.contracts = Contracts()
        self._open_worker = open_worker
        # Ends a worker that is still opening, for a job under the permit with that digest.
        self._interrupt: Callable[[], None] = lambda: None
        self._opening = ""
        self._hear: list[Callable[[entries.PermitRevoked], None]] = []
        self._workers: dict[str, JobWorker] = {}
        self._clock = clock
        self._rate = RateLimit(messages_per_minute, monotonic)
        self.ledger = Ledger()
        self._admission = Admission(key.name, coordinator, intake.datasets, self.ledger)
        # Specification and permit of every admitted job, as the log has them.
        self._admitted: dict[str, tuple[JobSpec, str]] = {}
        # Requests that wait for a person, as each policy decided them: logged once.
        self._held: set[tuple[str, str]] = set()
        for _, content in log.read():
            self._remember(entries.parse(content))
        self.take_in()

    def handle(self, sealed: bytes) -> bytes | None:
        """Answer one sealed message from the coordinator with a sealed reply.

        None means silence: more messages than the rate allows, answering would only feed a flood.
        Raises `LocalError` only when the log cannot be written any more: the node must stop.
        """
        if not self._rate.admits():
            return None
        reference = messages.digest(sealed)
        urgent = self._is_revocation(sealed)  # it waits for no computation
        with contextlib.nullcontext() if urgent else self._turn:
            try:
                if not urgent:
                    self.take_in()
                return self._answer(sealed, reference)
            except LocalError as error:
                if error.code != "LOG_FULL":
                    raise
                # Nothing was computed or nothing left: what is not in the log has not happened.
                return self._release(reference, "refused", {"code": error.code, "rules": []})

    def take_in(self) -> bool:
        """Follow what officers have signed since the last look; whether anything was activated.

        Raises `LocalError` when the log cannot be written any more. A full disk lets it wait.
        """
        if self._intake.is_empty():
            return False
        with self._turn:
            before = dict(self.ledger.standing.active)
            try:
                self._intake.take(self.ledger.standing, self._now(), self._write)
            except LocalError as error:
                if error.code != "LOG_FULL":
                    raise
            return self.ledger.standing.active != before

    def revoke(self, statement: str) -> None:
        """A permit ends, at once: logged, its jobs ended, what is computed for them aborted.

        From any thread, and the only way. `statement` is a `connector.revocation.Revocation` that
        the access body has signed; one that says nothing new changes nothing. Raises `RemoteError`
        (SIGNATURE_MALFORMED, SIGNATURE_INVALID), and as `Log.append` does.
        """
        said = revocation.verify(statement, self._coordinator)
        with self._pen:
            known = self.ledger.standing.revocations.get(said.permit_id)
            if not revocation.adds(said.effect, known.effect if known else None):
                return
            entry = entries.PermitRevoked(
                time=self._now(),
                permit_id=said.permit_id,
                permit_digest=said.permit_digest,
                effect=said.effect,
                reason=said.reason,
                actor=self._coordinator.vkey,
                document=statement,
            )
            self._write(entry)
            if self._opening == said.permit_digest:
                self._interrupt()
        self.expire()
        for hear in self._hear:
            hear(entry)

    def on_revoked(self, hear: Callable[[entries.PermitRevoked], None]) -> None:
        """Call `hear` after each revocation that took effect, in the thread that brought it."""
        self._hear.append(hear)

    def interrupt_by(self, interrupt: Callable[[], None]) -> None:
        """Call `interrupt` to end a worker that is still reading records, from any thread."""
        self._interrupt = interrupt

    def expire(self) -> bool:
        """End jobs whose permit or time is over, from any thread, also one that is being computed.

        Whether there was any. Raises `LocalError` when the log cannot be written any more.
        """
        ended = False
        with self._pen:
            for job in list(self._admitted):
                reason = self._over(job)
                if not reason:
                    continue
                ended = True
                with _waiting_for_space():
                    self._write(entries.JobEnded(time=self._now(), job=job, reason=reason))
                worker = self._workers.get(job)
                if self._computing == job and worker is not None:
                    worker.abort()
        if ended and self._turn.acquire(blocking=False):
            try:
                self.sweep()
            finally:
                self._turn.release()
        return ended

    def _over(self, job: str) -> str:
        """Why nothing more is computed for a job that was admitted; empty while it is open."""
        account, now = self.ledger.jobs[job], self._clock()
        said = self.ledger.standing.revocations.get(account.permit_id)
        if said is not None:
            return revocation.CODES[said.effect]
        if account.is_open(now):
            return ""
        _, permit_document = self._admitted.get(job, (None, None))
        if permit_document and self._admission.permit_is_over(permit_document, now):
            return "PERMIT_EXPIRED"
        return "JOB_OVER"

    def _check_open(self, job: str) -> None:
        code = self._over(job)
        if code:
            raise Refusal(code)

    def _is_revocation(self, sealed: bytes) -> bool:
        if len(sealed) > _MOST_URGENT_BYTES:
            return False
        try:
            message = messages.open_sealed(sealed, self._coordinator, self._key.name)
        except RemoteError:
            return False
        return message.kind == "revoke"

    def record(self, entry: entries.Entry) -> None:
        """Write what happened to a contract, from any thread; its time is set here.

        What is computed for a transfer that is started no more is aborted at once. Raises as
        `Log.append` does.
        """
        with self._pen:
            self._write(entry.model_copy(update={"time": self._now()}))
            if not isinstance(entry, entries.ContractMoved) or entry.process_kind != "transfer":
                return
            if not entry.job or self.contracts.started(entry.job):
                return
            account = self.ledger.jobs.get(entry.job)
            if entry.after == "TERMINATED" and account is not None and not account.ended:
                reason = "TRANSFER_TERMINATED"
                self._write(entries.JobEnded(time=self._now(), job=entry.job, reason=reason))
            worker = self._workers.get(entry.job)
            if self._computing == entry.job and worker is not None:
                worker.abort()

    def contract(self, dataset: str, document: str) -> "tuple[UsageRequest, Outcome] | None":
        """What the policy says of a permit in a contract, from any thread; None: no active policy.

        See `Admission.decide_contract`.
        """
        with self._pen:
            return self._admission.decide_contract(dataset, document, self._now())

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
        with self._turn:
            for job in list(self._workers):
                account = self.ledger.jobs.get(job)
                idle = self._by_contract and not self.contracts.started(job)
                if idle or account is None or not account.is_open(now):
                    self._close_worker(job)

    def abort(self) -> None:
        """From another thread: end the computation that is under way."""
        for worker in list(self._workers.values()):
            worker.abort()

    def close(self) -> None:
        """End all workers."""
        with self._turn:
            for job in list(self._workers):
                self._close_worker(job)

    def _dispatch(self, message: messages.Message, reference: str) -> bytes:
        if message.kind == "describe":
            return self._release(reference, "ok", {"offers": self._offers()})
        if message.kind == "revoke":  # whatever the clock says
            self.revoke(RevokePermit.parse(message.body).statement)
            return self._release(reference, "ok", {})
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
        self._check_contract(candidate)
        account = self.ledger.jobs.get(candidate.job)
        if account is not None:
            self._check_open(candidate.job)
            return self._release(reference, "ok", {})
        outcome = self._decide(candidate)
        self._hold_for_person(candidate, outcome)
        version = ""
        try:
            if outcome.verdict is not Verdict.DENY:
                worker = self._worker(candidate)
                version = self._key.commitment(worker.version())
                self._counted(candidate, outcome, worker)
            outcome = self._log_decision(candidate, version)
            if outcome.verdict is not Verdict.ALLOW:
                raise _not_allowed(outcome)  # noqa: TRY301 - closes it too
        except BaseException:
            self._close_worker(candidate.job)
            raise
        return self._release(reference, "ok", {})

    def _hold_for_person(self, candidate: Candidate, outcome: Outcome) -> None:
        """Refuse what waits for an answer, before a record is read or anything is counted."""
        if not self._admission.awaits_person(outcome):
            return
        held = (outcome.request.digest, outcome.compiled.digest)
        if held not in self._held:
            self._log_decision(candidate, "")
        raise Refusal("APPROVAL_PENDING", ("policy.approval",))

    def _counted(self, candidate: Candidate, outcome: Outcome, worker: JobWorker) -> Outcome:
        """The outcome once people are counted, where it was open for lack of that alone."""
        if not self._admission.awaits_count(outcome):
            return outcome
        self._count(candidate, worker)
        return self._decide(candidate)

    def _decide(self, candidate: Candidate) -> Outcome:
        with self._pen:
            return self._admission.decide(candidate, self._now())

    def _log_decision(self, candidate: Candidate, version: str) -> Outcome:
        """Decide and write it down in one go: no other entry comes in between."""
        with self._pen:
            outcome = self._admission.decide(candidate, self._now())
            self._write(decided(candidate, outcome, version))
            return outcome

    def _check_contract(self, candidate: Candidate) -> None:
        """Refuse a job that no contract entitles to. The contract is with the coordinator."""
        if not self._by_contract:
            return
        with self._pen:
            code = self.contracts.lacks(
                self._coordinator.name,
                candidate.spec.permit_digest,
                candidate.dataset.id,
                candidate.job,
            )
        if code:
            raise Refusal(code)

    def _count(self, candidate: Candidate, worker: JobWorker) -> None:
        """Count a dataset's people with noise; durable before anything rests on it."""
        policy = self._admission.policy(candidate.dataset.id)
        if not self._admission.admits_counting(candidate.dataset.id, self._now()):
            raise Refusal("NOT_ALLOWED", ("policy.budget",))
        variance = Fraction(COUNTING.noise_multiplier) ** 2
        (noise,) = discrete_gaussian(variance, 1, RandomBits())
        self._write(
            entries.Counted(
                time=self._now(),
                dataset=candidate.dataset.id,
                policy_digest=policy.digest,
                people=max(0, worker.people() + int(noise)),
                mechanism=COUNTING.to_json(),
            )
        )

    def _step(self, asked: TakeStep, arrays: "Arrays", reference: str) -> bytes:
        if asked.job in self.ledger.jobs and self._over(asked.job):
            self.expire()
            self._check_open(asked.job)
        if asked.job not in self._admitted:
            raise Refusal("JOB_NOT_ADMITTED")
        spec, permit_document = self._admitted[asked.job]
        step = self._next_step(spec, asked)
        # Dataset, schema, permit and policy may have changed since the job was admitted.
        candidate = self._admission.candidate(spec, permit_document)
        self._check_contract(candidate)
        call, width = step.call, spec.features.width
        if not call.definition.accepts(call.arguments, width, arrays):
            raise Refusal("ARRAYS_MALFORMED")
        outcome = self._decide(candidate)
        self._hold_for_person(candidate, outcome)
        if self._admission.awaits_count(outcome):  # a policy that was activated since
            outcome = self._counted(candidate, outcome, self._unchanged_worker(candidate))
        if outcome.verdict is not Verdict.ALLOW:
            outcome = self._log_decision(candidate, "")
            raise _not_allowed(outcome)
        worker = self._unchanged_worker(candidate)
        with self._pen:  # a contract ends before the reservation, or aborts what follows it
            self._check_open(candidate.job)
            self._check_contract(candidate)
            self._reserve(candidate, step)
            self._computing = candidate.job
        try:
            result = worker.call(call.task, call.arguments, arrays, spec.round_seconds)
            if not call.definition.returns(call.arguments, width, result):
                raise LocalError("RESULT_MALFORMED", "not what is declared")  # noqa: TRY301 - fails so
        except Error as error:
            return self._fail(reference, asked, self._over(asked.job) or error.code)
        except Exception:  # noqa: BLE001 - a bug; its text could hold anything and is dropped
            return self._fail(reference, asked, "NODE_ERROR")
        finally:
            self._computing = ""
        with self._pen:  # it ends before the release, or after it
            over = self._over(asked.job)
            if over:
                return self._fail(reference, asked, over)
            self._check_contract(candidate)
            return self._release(reference, "ok", {}, result, step=(asked, candidate.dataset.id))

    def _next_step(self, spec: JobSpec, asked: TakeStep) -> Step:
        account = self.ledger.jobs[asked.job]
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
        with self._pen:
            last = self.ledger.last_time
            if last is not None and entry.time < last:  # a contract has moved meanwhile
                entry = entry.model_copy(update={"time": last})
            try:
                content = entries.spell(entry)
            except PolicyError as error:
                raise Refusal(error.code) from error
            self._log.append([content])
            self._remember(entry)

    def _remember(self, entry: Any) -> None:
        self.ledger.apply(entry)
        self.contracts.apply(entry)
        if isinstance(entry, entries.Decided):
            decision = entry.decision
            if decision.verdict is Verdict.ALLOW:
                spec = parse_spec(entry.specification.encode())
                self._admitted[spec.digest] = (spec, entry.permit_document)
            elif decision.verdict is Verdict.UNDETERMINED:
                self._held.add((decision.request_digest, decision.policy_digest))
        elif isinstance(entry, entries.JobEnded):
            self._admitted.pop(entry.job, None)

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
                "dataset": dataset.id,
                "title": dataset.title,
                "schema": dataset.schema.model_dump(mode="json"),
                # No more: the budget, and by which rules it decides, is the hospital's to know.
                "policy": policy.model_dump(mode="json", include=set(Terms.model_fields)),
            }
            for dataset, policy in self._admission.offered()
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
                worker = self._opened(candidate)
            except Error as error:
                if self.ledger.standing.revoked(candidate.spec.permit_digest):
                    raise Refusal("NOT_ALLOWED", ("ehds.art63.revoked",)) from error
                # One code for all: what is wrong with a file depends on the records in it.
                raise Refusal("DATASET_UNAVAILABLE") from error
        self._workers[candidate.job] = worker
        return worker

    def _opened(self, candidate: Candidate) -> JobWorker:
        self._opening = candidate.spec.permit_digest
        try:
            return self._open_worker(candidate.dataset, candidate.spec)
        finally:
            self._opening = ""

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


@contextlib.contextmanager
def _waiting_for_space() -> Iterator[None]:
    """A full disk: what ends is ended all the same, and is written down when there is room."""
    try:
        yield
    except LocalError as error:
        if error.code != "LOG_FULL":
            raise


def _not_allowed(outcome: Outcome) -> Refusal:
    return Refusal("NOT_ALLOWED", outcome.failed or outcome.open)


def _safe(job: object) -> str:
    """A job's name as a peer gave it may be anything: only a digest is written into the log."""
    if isinstance(job, str) and job.startswith("sha256:") and len(job) == 71:
        return job if job.isascii() and job[7:].isalnum() else NO_JOB
    return NO_JOB
