"""Events of a permit's life, as a log tells them; each test changes one thing."""

import json
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

from builders import RESEARCH, permit, policy

from policies import history
from policies.history import NONE

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
NUMBERS = count()


def at(year: int, month: int, day: int, hour: int = 12) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def end_of(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 23, 59, 59, tzinfo=UTC)


BEGIN, END = at(2032, 1, 5), at(2032, 12, 2)
PERMIT = permit(not_before=BEGIN, not_after=END)
JOB_END = at(2032, 6, 2)
POLICY = policy(not_before=BEGIN - DAY, not_after=END + 9000 * DAY)


def allowed(when: datetime = BEGIN, **changed: Any) -> history.Allowed:
    known: dict[str, Any] = {
        "permit": PERMIT,
        "job": "sha256:a",
        "ends": JOB_END + 30 * DAY,
        "policy": POLICY,
    }
    return history.Allowed(when, next(NUMBERS), **(known | changed))


def released(when: datetime = BEGIN + DAY, job: str = "sha256:a") -> history.Released:
    return history.Released(when, next(NUMBERS), job)


def ended(when: datetime = JOB_END, job: str = "sha256:a") -> history.Ended:
    return history.Ended(when, next(NUMBERS), job)


def began(
    duty: str, when: datetime, days: int | None = None, permit_id: str = "permit-1"
) -> history.Began:
    return history.Began(when, next(NUMBERS), permit_id, duty, NONE, days)


def extended(duty: str, until: date, when: datetime = JOB_END, job: str = NONE) -> history.Extended:
    return history.Extended(when, next(NUMBERS), "permit-1", duty, job, until)


def done(duty: str, when: datetime, job: str = NONE, permit_id: str = "permit-1") -> history.Done:
    return history.Done(when, next(NUMBERS), permit_id, duty, job)


def job(name: str = "sha256:a", end: datetime = JOB_END, **changed: Any) -> list[history.AnyEvent]:
    """A job that was allowed, showed something and ended."""
    return [allowed(job=name, **changed), released(job=name), ended(end, name)]


def rules(*duties: dict[str, Any], obligations: tuple[dict[str, Any], ...] = ()) -> str:
    """A policy in ODRL whose one permission brings these duties."""
    permission = {
        "target": "urn:commensal:dataset:north/flchain",
        "action": "use",
        "constraint": [{"leftOperand": "purpose", "operator": "isA", "rightOperand": RESEARCH}],
        "duty": list(duties),
    }
    return json.dumps(
        {
            "@context": "http://www.w3.org/ns/odrl.jsonld",
            "@id": "urn:commensal:policy:north/research",
            "@type": "Set",
            "assigner": "urn:hospital:north",
            "permission": [permission],
            **({"obligation": list(obligations)} if obligations else {}),
        }
    )


def before(operand: str, bound: str, operator: str = "lteq") -> dict[str, Any]:
    return {"leftOperand": operand, "operator": operator, "rightOperand": bound}
