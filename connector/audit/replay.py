"""Every decision in a log once more, from the log alone: same facts, same verdict, same words.

A decision rests on the policy that was active then (it stands in the log in full), on the job's
specification and the signed permit (both stand with the decision), and on facts that are a fold
over the entries before it: what was spent, how many people were counted, what a person answered.
An entry that was changed therefore shows where it is, or in the first decision that rests on it.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from itertools import islice, zip_longest
from operator import attrgetter
from typing import Any

from connector.audit import entries
from connector.audit.ledger import Ledger
from connector.audit.order import planned
from connector.errors import RemoteError
from connector.identity import documents
from connector.identity.keys import VerifyKey
from connector.jobs import parse_spec
from policies import engine
from policies.decision import Decision, Verdict, verdict_of
from policies.document import Document
from policies.errors import PolicyError
from policies.permit import Permit
from policies.request import Facts, UsageRequest
from policies.rule import Check

Log = Iterable[tuple[int, bytes]]
_BATCH = 1000  # decisions in memory
_CACHED = 512  # specifications, permits
_NOTHING = "nothing"
# What follows from a document is worked out when it is read, and not in its first decision.
_PERMIT_WORKED_OUT = attrgetter("digest", "scope", "budget.limit")
_JOB_WORKED_OUT = attrgetter("participants")


@dataclass(frozen=True, slots=True)
class Difference:
    """What entry `index` shows, and what replay gives for it."""

    index: int
    what: str
    logged: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Case:
    """A logged decision with what it rested on.

    `states` is its outcome rule by rule, `sound` whether they give its verdict. `aside` is what
    else the entry shows that does not follow.
    """

    index: int
    compiled: engine.Compiled
    checks: tuple[Check, ...]
    request: UsageRequest
    facts: Facts
    decision: Decision
    states: list[bool | None]
    sound: bool
    aside: tuple[Difference, ...] = ()


class Replay:
    """One pass over a log, with counts and the seconds that each part took.

    Without the coordinator's key permits are taken as they stand in the log. `texts`: compare all
    that a decision says; else only its verdict and the outcome of each rule.
    """

    def __init__(
        self,
        coordinator: VerifyKey | None,
        *,
        texts: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._coordinator = coordinator
        self._texts = texts
        self._clock = clock
        self.decisions = 0
        self.differing = 0
        self.reading = self.evaluating = self.comparing = 0.0

    def run(self, log: Log) -> Iterator[Difference]:
        """Replay (index, entry) in order and yield what differs.

        Raises `PolicyError` (REPLAY_ENTRY) at an entry from which nothing can be replayed.
        """
        source = cases(log, self._coordinator)
        more = True
        while more:
            began = self._clock()
            batch = list(islice(source, _BATCH))
            judged = [one for one in batch if isinstance(one, Case)]
            read = self._clock()
            wrong = _evaluate(judged)
            evaluated = self._clock()
            found = list(self._compare(batch, wrong))
            self.comparing += self._clock() - evaluated
            self.evaluating += evaluated - read
            self.reading += read - began
            self.decisions += len(batch)
            self.differing += len({difference.index for difference in found})
            yield from found
            more = len(batch) == _BATCH

    def _compare(self, batch: list[Case | Difference], wrong: set[int]) -> Iterator[Difference]:
        for one in batch:
            if isinstance(one, Difference):
                yield one
                continue
            yield from one.aside
            if self._texts or one.index in wrong:
                yield from _differences(one)


def past(
    log: Log, coordinator_key: VerifyKey | None, last: int | None = None
) -> Iterator[tuple[UsageRequest, Facts, Verdict]]:
    """All requests of a log, or the last ones, with the facts and the verdict of that moment.

    Raises `PolicyError` (REPLAY_ENTRY) at an entry from which nothing can be replayed.
    """
    found = (one for one in cases(log, coordinator_key) if isinstance(one, Case))
    for case in found if last is None else deque(found, maxlen=last):
        yield case.request, case.facts, case.decision.verdict


def cases(log: Log, coordinator_key: VerifyKey | None) -> Iterator[Case | Difference]:
    """Every decision of a log; a `Difference` stands for one that no active policy can have made.

    Raises `PolicyError` (REPLAY_ENTRY).
    """
    history = _History(coordinator_key)
    for index, content in log:
        try:
            case = history.read(index, content)
        except (PolicyError, RemoteError) as error:
            raise PolicyError(
                "REPLAY_ENTRY",
                f"entry {index} cannot be replayed: {error.message}",
                "Find out with `commensal audit verify` whether the log is damaged",
            ) from error
        if case is not None:
            yield case


@lru_cache(maxsize=_CACHED)
def _same(value: Hashable) -> Hashable:
    return value


_states = lru_cache(maxsize=_CACHED)(list[bool | None])  # few patterns, each of them once


class _Job:
    """What follows from a specification alone, for one dataset."""

    def __init__(self, specification: str, dataset: str) -> None:
        self.spec = parse_spec(specification.encode())
        # Most jobs ask for much the same: equal names are one object (memory, and speed by that).
        request = self.spec.request(dataset)
        self.request = request.model_copy(update={name: _same(value) for name, value in request})
        _JOB_WORKED_OUT(self.request)
        self.planned = planned(self.spec)


class _History:
    """The fold over a log, as far as decisions rest on it."""

    def __init__(self, coordinator: VerifyKey | None) -> None:
        self._coordinator = coordinator
        self._ledger = Ledger()
        self._active: dict[str, tuple[engine.Compiled, tuple[Check, ...]]] = {}
        self._job = lru_cache(maxsize=_CACHED)(_Job)
        self._permit = lru_cache(maxsize=_CACHED)(self._read_permit)

    def read(self, index: int, content: bytes) -> Case | Difference | None:
        """The decision that an entry holds, if it does, on the facts before it."""
        entry = entries.parse(content)
        last = self._ledger.last_time
        if last is not None and entry.time < last:
            raise PolicyError("LOG_ORDER", "it is earlier than the one before it")
        found = self._case(index, entry) if isinstance(entry, entries.Decided) else None
        if isinstance(entry, entries.PolicyActivated):
            compiled = engine.compile(entry.policy)
            checks = tuple(rule.check for rule in compiled.rules)
            self._active[entry.policy.dataset] = compiled, checks
        if isinstance(entry, entries.Reserved) and entry.job not in self._ledger.jobs:
            raise PolicyError("LOG_ORDER", "it reserves privacy for a job that was not allowed")
        self._ledger.apply(entry)
        return found

    def _case(self, index: int, entry: entries.Decided) -> Case | Difference:
        dataset = entry.request.dataset
        compiled, checks = self._active.get(dataset, (None, ()))
        if compiled is None:
            logged = entry.decision.policy_digest
            return Difference(index, "policy_digest", logged, "no policy is active")
        job = self._job(entry.specification, dataset)
        permit = self._permit(entry.permit_document, entry.permit_id)
        facts = self._ledger.facts(
            job.spec,
            dataset,
            compiled.digest,
            permit,
            entry.decision.decided_at.astimezone(UTC),  # one time zone compares fast
            approved=self._ledger.standing.approved(dataset, job.spec.permit_digest),
        )
        decision = entry.decision
        states = _states(tuple([one.satisfied for one in decision.constraints]))
        aside = tuple(_aside(index, entry, job, permit))
        return Case(
            index=index,
            compiled=compiled,
            checks=checks,
            request=job.request,
            facts=facts,
            decision=decision,
            states=states,
            sound=decision.verdict is verdict_of(decision.constraints),
            aside=aside,
        )

    def _read_permit(self, document: str, named: str) -> Permit | None:
        """The permit as the gate saw it: verified, or else the one whose name it has logged."""
        try:
            permit = self._parse_permit(document, named)
        except RemoteError:
            return None
        if permit is not None:
            _PERMIT_WORKED_OUT(permit)
        return permit

    def _parse_permit(self, document: str, named: str) -> Permit | None:
        if self._coordinator is not None:
            return documents.verify(document, Permit, self._coordinator)
        return documents.read_unverified(document, Permit) if named else None


def _evaluate(batch: list[Case]) -> set[int]:
    """The entries whose verdict, or any rule's outcome, is not what replay gives."""
    wrong = set()
    for case in batch:
        request, facts = case.request, case.facts
        if [check(request, facts) for check in case.checks] != case.states or not case.sound:
            wrong.add(case.index)
    return wrong


def _aside(
    index: int, entry: entries.Decided, job: _Job, permit: Permit | None
) -> Iterator[Difference]:
    """What an entry shows beside its decision, against the specification and the permit in it."""
    if entry.request != job.request:
        yield from _fields(index, "request.", entry.request, job.request)
    for what, logged, again in (
        ("planned", entry.planned, job.planned),
        ("job_not_after", entry.job_not_after, job.spec.not_after),
        ("permit_id", entry.permit_id, permit.id if permit else ""),
        ("time", entry.time, entry.decision.decided_at),
    ):
        if logged != again:
            yield Difference(index, what, _spell(logged), _spell(again))


def _differences(case: Case) -> Iterator[Difference]:
    logged, again = case.decision, case.compiled(case.request, case.facts).decision()
    if logged == again:
        return
    parts = {"constraints", "obligations"}
    yield from _fields(case.index, "", logged, again, without=parts)
    for one, other in zip_longest(logged.constraints, again.constraints):
        if one != other:
            yield from _fields(case.index, f"{(one or other).rule}.", one, other)
    for duty, other_duty in zip_longest(logged.obligations, again.obligations):
        if duty != other_duty:
            yield from _fields(case.index, f"{(duty or other_duty).duty}.", duty, other_duty)


def _fields(
    index: int,
    prefix: str,
    logged: Document | None,
    again: Document | None,
    without: set[str] | None = None,
) -> Iterator[Difference]:
    one = logged.model_dump(mode="json", exclude=without) if logged else {}
    other = again.model_dump(mode="json", exclude=without) if again else {}
    for name in one | other:
        if one.get(name, _NOTHING) != other.get(name, _NOTHING):
            texts = (_spell(found.get(name, _NOTHING)) for found in (one, other))
            yield Difference(index, prefix + name, *texts)


def _spell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=_plain, sort_keys=True)


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, Document) else value.isoformat()
