"""Art. 68: the data permit, its validity and its scope (with Art. 61(1) and 66(1))."""

from policies.decision import Constraint
from policies.permit import ENTITLING
from policies.request import Facts, UsageRequest

_BASIS = "Regulation (EU) 2025/327, "


def permit_is_in_force(request: UsageRequest, facts: Facts) -> Constraint:
    """Art. 61(1), 68(10), rule R01: the permit that is named, signed, in an entitling state."""
    permit = facts.permit
    named = permit is not None and permit.digest == request.permit_digest
    state = permit.state.value if permit is not None and named else "no valid signed permit"
    return Constraint(
        rule="ehds.art68.permit",
        basis=_BASIS + "Art. 61(1) and 68(10)",
        bound="a permit that is granted, amended or renewed",
        actual=state,
        satisfied=permit is not None and named and permit.state in ENTITLING,
        remedy="Ask the health data access body for a permit, or for its current version",
    )


def permit_covers_the_date(_request: UsageRequest, facts: Facts) -> Constraint:
    """Art. 68(10)(e), (12), rule R02: not before its start, and before its end."""
    permit = facts.permit
    period = f"{permit.not_before:%Y-%m-%d} to {permit.not_after:%Y-%m-%d}" if permit else "none"
    return Constraint(
        rule="ehds.art68.period",
        basis=_BASIS + "Art. 68(10)(e)",
        bound=period,
        actual=f"{facts.now:%Y-%m-%d %H:%M} UTC",
        satisfied=permit is not None and permit.not_before <= facts.now < permit.not_after,
        remedy="Ask for a renewal at least one month before the permit ends (Art. 68(12))",
    )


def permit_covers_the_use(request: UsageRequest, facts: Facts) -> Constraint:
    """Art. 61(1), 68(10)(b), (d), rule R03: same data user, same purpose."""
    permit = facts.permit
    same = (
        permit is not None
        and permit.purpose == request.purpose
        and permit.data_user == request.data_user
    )
    return Constraint(
        rule="ehds.art68.use",
        basis=_BASIS + "Art. 68(10)(b)",
        bound="the permit's data user and purpose",
        actual="the same" if same else "another one",
        satisfied=same,
        remedy="Use the data for the permit's purpose only, or apply for an amendment",
    )


def permit_covers_the_scope(request: UsageRequest, facts: Facts) -> Constraint:
    """Art. 66(1), 68(10)(a), rules R08, R14: the permit lists dataset, columns, tasks, output."""
    outside: list[str] = ["everything"]
    permit = facts.permit
    if permit is not None:
        outside = [
            *_beyond("dataset", (request.dataset,), permit.datasets),
            *_beyond("column", request.columns, permit.columns),
            *_beyond("task", request.tasks, permit.tasks),
            *_beyond("output", (request.output,), permit.outputs),
        ]
    return Constraint(
        rule="ehds.art68.scope",
        basis=_BASIS + "Art. 66(1) and 68(10)(a)",
        bound="the permit's datasets, columns, tasks and outputs",
        actual="within" if not outside else "outside: " + ", ".join(outside[:20]),
        satisfied=not outside,
        remedy="Ask only for what the permit lists, or apply for an amendment",
    )


def enough_hospitals_take_part(request: UsageRequest, facts: Facts) -> Constraint:
    """Art. 68(10)(h), rule R18: as many hospitals as the permit's special conditions ask."""
    least = facts.permit.minimum_participants if facts.permit else 1
    return Constraint(
        rule="ehds.art68.participants",
        basis=_BASIS + "Art. 68(10)(h)",
        bound=f"at least {least}",
        actual=str(request.participants),
        satisfied=facts.permit is not None and request.participants >= least,
        remedy="Invite more hospitals to the job",
    )


def _beyond(kind: str, asked: tuple[str, ...], allowed: tuple[str, ...]) -> list[str]:
    return [f"{kind} {name}" for name in asked if name not in allowed]
