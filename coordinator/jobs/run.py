"""One job from start to release, as the coordinator drives it.

The coordinator is not believed by the nodes, and does not believe them: each decides by itself
whether to take part, and each of its answers is checked before it touches the model.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector import scores
from connector.audit import entries
from connector.clock import utc_now
from connector.flower.server import FleetRun
from connector.identity.keys import Signer
from connector.jobs import JobSpec, Step
from coordinator.aggregation import strategies
from coordinator.jobs.exchange import OFFLINE, Answer, Exchange, Member
from coordinator.recorder import Record
from policies.errors import Error
from policies.permit import Permit

if TYPE_CHECKING:
    import numpy as np

    Vector = np.ndarray[Any, Any]

ARRIVAL_SECONDS = 30.0
START_SECONDS = 120.0
END_SECONDS = 10.0
NOT_ENROLLED = "NOT_ENROLLED"
_MOST_MISSED = 2  # steps in a row without a word; the next one is not sent


class JobRefused(Exception):  # noqa: N818 - an outcome, not an error of the program
    """Too few hospitals agreed to take part."""


class JobFailed(Exception):  # noqa: N818 - an outcome, not an error of the program
    """Too few hospitals were left in a round."""


@dataclass
class Result:
    """What a finished job leaves: parameters float32[p], and what is known about them."""

    parameters: "Vector"
    participants: tuple[str, ...]
    rounds_answered: dict[str, int] = field(default_factory=dict)
    evaluations: list[dict[str, Any]] = field(default_factory=list)


class JobRun:
    """Drives one job. `event(kind, body)` tells people, `record(entry)` writes the log."""

    def __init__(
        self,
        *,
        run: FleetRun,
        key: Signer,
        spec: JobSpec,
        permit: Permit,
        permit_document: str,
        members: list[Member],
        event: Callable[[str, dict[str, Any]], None],
        record: Record,
    ) -> None:
        self._run = run
        self._exchange = Exchange(run, key)
        self._spec = spec
        self._job = spec.digest
        self._permit = permit
        self._permit_document = permit_document
        self._members = members
        self._event = event
        self._record = record
        self._present: list[Member] = []
        self._missed: Counter[str] = Counter()
        self._heard: set[str] = set()

    def start(self) -> None:
        """Ask every hospital to take part. Raises `JobRefused` when too few agree, or could.

        Hospitals that are enrolled but not connected have half a minute to come (back): jobs are
        submitted while a coordinator or a node restarts, too.
        """
        self._record(
            entries.JobStarted(
                time=utc_now(),
                job=self._job,
                permit_digest=self._spec.permit_digest,
                participants=tuple(member.name for member in self._members),
            )
        )
        self._tell_absent()
        if len(self._members) < self._permit.minimum_participants:
            raise JobRefused
        self._run.wait_online([member.node_id for member in self._members], ARRIVAL_SECONDS)
        answers = self._exchange.ask(
            self._members,
            "start",
            {
                "permit": self._permit_document,
                "specification": self._spec.encode().decode(),
            },
            seconds=START_SECONDS,
            enough=len(self._members),
        )
        for answer in answers:
            self._tell_start(answer)
        self._present = [answer.member for answer in answers if answer.good]
        if len(self._present) < self._permit.minimum_participants:
            raise JobRefused

    def train(self) -> Result:
        """All rounds. Raises `JobFailed` when fewer hospitals answer than the permit asks for."""
        parameters = self._spec.training.definition.initial_parameters(
            self._spec.training.arguments,
            self._spec.features.width,
            seed=int(self._job.removeprefix("sha256:")[:12], 16),
        )
        strategy = strategies.strategy(
            self._spec.strategy.name, float(self._spec.strategy.server_learning_rate)
        )
        result = Result(parameters, tuple(member.name for member in self._present))
        for step in self._spec.steps():
            answers = self._ask_step(step, result.parameters)
            if step.call.definition.fold == "train":
                updates = [answer.arrays["update"] for answer in answers]
                strategy, result.parameters = strategy.step(result.parameters, updates)
                for answer in answers:
                    counted = result.rounds_answered.get(answer.member.name, 0)
                    result.rounds_answered[answer.member.name] = counted + 1
                self._event("round", {"round": step.round, "hospitals": _names(answers)})
            else:
                evaluation = self._evaluation(step, answers)
                result.evaluations.append(evaluation)
                self._event("evaluation", evaluation)
        return result

    def end(self, reason: str) -> None:
        """Tell every hospital, asked or not: the job is over, free what it holds.

        Best effort, after the job has its final state: the job's own deadline ends it, too.
        """
        with contextlib.suppress(Error):  # the run may be closed
            self._exchange.ask(
                self._members,
                "end",
                {"job": self._job, "reason": reason},
                seconds=END_SECONDS,
                enough=len(self._present),
            )

    def _ask_step(self, step: Step, parameters: "Vector") -> list[Answer]:
        call, width = step.call, self._spec.features.width
        answers = self._exchange.ask(
            self._present,
            "step",
            {"job": self._job, "round": step.round, "task": call.task},
            {"parameters": parameters},
            seconds=self._spec.round_seconds,
            enough=self._enough(),
            accepts=lambda arrays: call.definition.returns(call.arguments, width, arrays),
        )
        for answer in answers:
            self._tell_step(step, answer)
        self._keep_present(answers)
        good = [answer for answer in answers if answer.good]
        if len(good) < self._permit.minimum_participants:
            raise JobFailed
        return good

    def _enough(self) -> int:
        """How many good answers end a round early: all, until each hospital has answered once.

        A first step takes longer than those after it (a worker loads its libraries), and not
        everywhere equally long.
        """
        known = all(member.name in self._heard for member in self._present)
        return self._permit.minimum_participants if known else len(self._present)

    def _keep_present(self, answers: list[Answer]) -> None:
        """Who is offline, or was silent twice in a row, is not asked again in this job."""
        gone = set()
        for answer in answers:
            name = answer.member.name
            if not answer.silent:
                self._heard.add(name)
                self._missed[name] = 0
                continue
            self._missed[name] += 1
            if answer.code == OFFLINE or self._missed[name] >= _MOST_MISSED:
                gone.add(name)
        self._present = [member for member in self._present if member.name not in gone]

    def _evaluation(self, step: Step, answers: list[Answer]) -> dict[str, Any]:
        histogram = scores.total([answer.arrays["histogram"] for answer in answers])
        sigma = float(step.call.mechanism.noise_multiplier) * math.sqrt(len(answers))
        area = scores.auc(histogram, sigma)
        return {
            "round": step.round,
            "hospitals": _names(answers),
            "auc": area.value if area else None,
            "auc_noise": area.noise if area else None,
            "accuracy": scores.accuracy(histogram),
        }

    def _tell_absent(self) -> None:
        members = {member.name for member in self._members}
        for dataset in self._spec.datasets:
            name = dataset.partition("/")[0]
            if name not in members:
                body = {"hospital": name, "code": NOT_ENROLLED, "rules": []}
                self._event("declined", body)

    def _tell_start(self, answer: Answer) -> None:
        body = {"hospital": answer.member.name, "code": answer.code, "rules": list(answer.rules)}
        self._event("accepted" if answer.good else "declined", body)

    def _tell_step(self, step: Step, answer: Answer) -> None:
        self._record(
            entries.Received(
                time=utc_now(),
                job=self._job,
                sender=answer.member.name,
                round=step.round,
                task=step.call.task,
                message=answer.digest or "none",
                code=answer.code or "accepted",
            )
        )
        if not answer.good:
            self._event(
                "left-out",
                {
                    "hospital": answer.member.name,
                    "round": step.round,
                    "code": answer.code,
                    "rules": list(answer.rules),
                },
            )


def _names(answers: list[Answer]) -> list[str]:
    return [answer.member.name for answer in answers]
