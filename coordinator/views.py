"""What the desk shows in a terminal: offers, jobs, and a job's events as sentences."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from connector.protocol import Offer
from connector.schema import Column
from connector.store import JobEvent, JobRow, Participant
from coordinator.jobs import conduct
from coordinator.jobs.states import FINAL
from coordinator.office import Office, offers_of

if TYPE_CHECKING:
    from rich.table import Table

_POLL_SECONDS = 0.1
_CHECK_SECONDS = 2.0

RULES = {
    "ehds.art53.purpose": "the purpose is not one of Art. 53(1)",
    "ehds.art54": "not shown to be free of the uses that Art. 54 prohibits",
    "ehds.art54.a": "Art. 54(a) prohibits decisions that are detrimental to people",
    "ehds.art54.b": "Art. 54(b) prohibits use for jobs, insurance or credit",
    "ehds.art54.c": "Art. 54(c) prohibits advertising and marketing",
    "ehds.art54.d": "Art. 54(d) prohibits harmful products",
    "ehds.art54.e": "Art. 54(e) prohibits what national ethics law forbids",
    "ehds.art63.revoked": "the permit is revoked or suspended (Art. 63(3))",
    "ehds.art68.permit": "no valid permit (Art. 68)",
    "ehds.art68.period": "outside the permit's period (Art. 68(10)(e))",
    "ehds.art68.use": "not the permit's purpose or user (Art. 68(10)(b))",
    "ehds.art68.scope": "beyond the permit's scope (Art. 68(10)(a))",
    "ehds.art68.participants": "too few hospitals for the permit",
    "ehds.art68.budget": "more epsilon than the permit has left",
    "policy.dataset": "another dataset than the hospital's policy names",
    "policy.purpose": "a purpose that the hospital does not allow",
    "policy.tasks": "a task that the hospital does not allow",
    "policy.columns": "a column that the hospital does not allow",
    "policy.outputs": "an output that the hospital does not allow",
    "policy.period": "outside the hospital's policy period",
    "policy.participants": "too few hospitals for the hospital's policy",
    "policy.cohort": "fewer people than the hospital's minimum",
    "policy.epsilon-per-job": "more epsilon than the hospital allows one job",
    "policy.hours-per-job": "a longer time than the hospital allows one job",
    "policy.budget": "more epsilon than the hospital has left",
    "policy.approval": "a person at the hospital has not approved this permit",
}


# How far a hospital's contract for a job is.
CONTRACTS = {
    "asked": "a contract under the permit is asked for",
    "waiting": "the hospital has not answered yet; a person may have to",
    "agreed": "a contract is agreed on",
    "started": "the job may start under the contract",
    "refused": "no contract",
    "delayed": "its connector cannot be used yet",
    "late": "no contract in time; an answer that comes later counts for the next job",
}


REASONS = {
    "PERMIT_REVOKED": "the health data access body has revoked its permit",
    "PERMIT_SUSPENDED": "the health data access body has suspended its permit",
    "PERMIT_EXPIRED": "its permit has come to its end",
    "JOB_OVER": "its time is over",
}


def follow(office: Office, job_id: str) -> Iterator[JobEvent]:
    """A job's events as they happen; the last one is of kind "ended".

    Raises `LocalError`: JOB_UNKNOWN, COORDINATOR_STOPPED (nothing more would ever happen).
    """
    sequence, checked = 0, time.monotonic()
    while True:
        state, reason = conduct.state_of(office, job_id)
        for event in conduct.events_since(office, job_id, sequence):
            sequence = event.sequence
            yield event
            if event.kind == "ended":
                return
        if state in FINAL:  # whatever became of the event
            body = {"state": state.value, "reason": reason}
            yield JobEvent(
                sequence=sequence + 1, job_id=job_id, time=office.clock(), kind="ended", body=body
            )
            return
        if time.monotonic() - checked > _CHECK_SECONDS:
            office.check_running()
            checked = time.monotonic()
        time.sleep(_POLL_SECONDS)


def sentence(kind: str, body: dict[str, Any]) -> str:
    """An event in plain words."""
    if kind == "accepted":
        return f"{body['hospital']} takes part"
    if kind == "declined":
        return f"{body['hospital']} refuses: {reasons(body)}"
    if kind == "round":
        return f"round {body['round']}: {len(body['hospitals'])} hospitals answered"
    if kind == "evaluation":
        return f"after round {body['round']}: {figures(body)} on held-out people"
    if kind == "left-out":
        return f"round {body['round']}: {body['hospital']} is left out: {reasons(body)}"
    if kind == "contract":
        said = CONTRACTS.get(body["contract"], body["contract"])
        why = f": {reasons(body)}" if body["rules"] else ""
        return f"{body['hospital']}: {said}{why}"
    reason = str(body.get("reason", ""))
    why = f": {REASONS[reason]}" if reason in REASONS else ""
    return f"the job is {body['state']}{why}" + (f" ({reason})" if reason else "")


def reasons(body: dict[str, Any]) -> str:
    """Why a hospital did not take part."""
    return "; ".join(RULES.get(rule, rule) for rule in body["rules"]) or REASONS.get(
        str(body["code"]), str(body["code"])
    )


def figures(evaluation: dict[str, Any]) -> str:
    """AUC and accuracy of a noisy evaluation."""
    if evaluation["auc"] is None:
        return "too much noise to say"
    return (
        f"AUC {evaluation['auc']:.3f} ± {evaluation['auc_noise']:.3f}, "
        f"accuracy {evaluation['accuracy']:.1%}"
    )


def offers(participants: list[Participant]) -> Iterator[str]:
    """Two lines per dataset on offer."""
    for offer in offers_of(participants).values():
        yield from _terms(offer)


def catalogue(participants: list[Participant]) -> Iterator[str]:
    """What is on offer, with what a job's author has to know: tasks and columns."""
    found = offers_of(participants)
    if not found:
        yield "nothing is on offer: no enrolled hospital has connected yet"
    for offer in found.values():
        yield from _terms(offer)
        yield printable(f"    tasks: {', '.join(offer.policy.tasks)}")
        for column in offer.dataset_schema.columns:
            if column.name in offer.policy.columns:
                yield f"    {_column(column)}"


def _terms(offer: Offer) -> Iterator[str]:
    policy = offer.policy
    yield printable(f"{offer.dataset}: for {', '.join(policy.purposes)}")
    yield (
        f"    {policy.minimum_cohort} people and {policy.minimum_participants} "
        f"hospitals at least, epsilon {policy.epsilon_per_job} a job at most, "
        f"until {policy.not_after:%Y-%m-%d}"
    )


def _column(column: Column) -> str:
    if column.kind == "numeric":
        values = f"{column.minimum} to {column.maximum} {column.unit}".rstrip()
    else:
        values = ", ".join(column.categories) or "yes or no"
    return printable(f"{column.name}: {values}{', may be missing' if column.nullable else ''}")


def printable(line: str) -> str:
    """Units, titles, rules are a hospital's own words: none of them may steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def jobs_table(office: Office) -> "Table":
    """One row per job, newest last."""
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table("job", "permit", "state", "reason", box=None, pad_edge=False, header_style="bold")
    with office.store.read() as session:
        for row in session.scalars(select(JobRow).order_by(JobRow.submitted_at)):
            table.add_row(row.id, row.permit_id, row.state, row.reason)
    return table
