"""Art. 68: the data permit, its validity and its scope (with Art. 61(1) and 66(1))."""

from dataclasses import replace
from datetime import datetime

from policies import purposes
from policies.permit import ENTITLING
from policies.request import Facts, UsageRequest
from policies.rule import rule
from policies.statute.facts import Extension
from policies.statute.finding import LAW, Finding, Kind, spell, within
from policies.statute.moments import Admission, Issuance, Supervision
from policies.statute.periods import Clock, Period, Unit, add_months, in_time

Texts = tuple[str, str, str]


def _permit_words(request: UsageRequest, facts: Facts, _satisfied: bool | None) -> Texts:
    permit = facts.permit
    named = permit is not None and permit.digest == request.permit_digest
    return (
        "a permit that is granted, amended or renewed",
        permit.state.value if permit is not None and named else "no valid signed permit",
        "Ask the health data access body for a permit, or for its current version",
    )


@rule("ehds.art68.permit", LAW + "Art. 61(1) and 68(10)", _permit_words)
def permit_is_in_force(request: UsageRequest, facts: Facts) -> bool:
    """Art. 61(1), 68(10), rule R01: the permit that is named, signed, in an entitling state."""
    permit = facts.permit
    return (
        permit is not None and permit.digest == request.permit_digest and permit.state in ENTITLING
    )


def _period_words(request: UsageRequest, facts: Facts, _satisfied: bool | None) -> Texts:
    permit = facts.permit
    return (
        f"{permit.not_before:%Y-%m-%d} to {permit.not_after:%Y-%m-%d}" if permit else "none",
        f"{facts.now:%Y-%m-%d %H:%M} to {request.not_after:%Y-%m-%d %H:%M} UTC",
        "Ask for a renewal at least one month before the permit ends (Art. 68(12))",
    )


@rule("ehds.art68.period", LAW + "Art. 68(10)(e)", _period_words)
def permit_covers_the_date(request: UsageRequest, facts: Facts) -> bool:
    """Art. 68(10)(e), (12), rule R02: within its period, now and until the job's own deadline."""
    permit = facts.permit
    return (
        permit is not None
        and permit.not_before <= facts.now < permit.not_after
        and request.not_after <= permit.not_after
    )


def _use_words(_request: UsageRequest, _facts: Facts, satisfied: bool | None) -> Texts:
    return (
        "the permit's data user, and its purpose or a part of it",
        "the same" if satisfied else "another one",
        "Use the data for the permit's purpose only, or apply for an amendment",
    )


@rule("ehds.art68.use", LAW + "Art. 68(10)(b)", _use_words)
def permit_covers_the_use(request: UsageRequest, facts: Facts) -> bool:
    """Art. 61(1), 68(10)(b), (d), rule R03: same data user, same purpose or a part of it."""
    permit = facts.permit
    return (
        permit is not None
        and permit.data_user == request.data_user
        and request.purpose in purposes.iris_within(permit.purpose)
    )


def _scope_words(request: UsageRequest, facts: Facts, _satisfied: bool | None) -> Texts:
    outside: list[str] = ["everything"]
    permit = facts.permit
    if permit is not None:
        outside = [
            *_beyond("dataset", (request.dataset, *request.datasets), permit.datasets),
            *_beyond("column", request.columns, permit.columns),
            *_beyond("task", request.tasks, permit.tasks),
            *_beyond("output", (request.output,), permit.outputs),
        ]
    return (
        "the permit's datasets, columns, tasks and outputs",
        "within" if not outside else "outside: " + ", ".join(outside[:20]),
        "Ask only for what the permit lists, or apply for an amendment",
    )


@rule("ehds.art68.scope", LAW + "Art. 66(1) and 68(10)(a)", _scope_words)
def permit_covers_the_scope(request: UsageRequest, facts: Facts) -> bool:
    """Art. 66(1), 68(10)(a), rules R08, R14: the permit lists dataset, columns, tasks, output."""
    if facts.permit is None:
        return False
    scope = facts.permit.scope
    return (
        request.dataset in scope.datasets
        and scope.datasets.issuperset(request.datasets)
        and scope.columns.issuperset(request.columns)
        and scope.tasks.issuperset(request.tasks)
        and request.output in scope.outputs
    )


def _hospitals_words(request: UsageRequest, facts: Facts, _satisfied: bool | None) -> Texts:
    least = facts.permit.minimum_participants if facts.permit else 1
    return f"at least {least}", str(request.participants), "Invite more hospitals to the job"


@rule("ehds.art68.participants", LAW + "Art. 68(10)(h)", _hospitals_words)
def enough_hospitals_take_part(request: UsageRequest, facts: Facts) -> bool:
    """Art. 68(10)(h), rule R18: as many hospitals as the permit's special conditions ask."""
    permit = facts.permit
    return permit is not None and request.participants >= permit.minimum_participants


def _beyond(kind: str, asked: tuple[str, ...], allowed: tuple[str, ...]) -> list[str]:
    return [f"{kind} {name}" for name in asked if name not in allowed]


LONGEST_MONTHS = 10 * 12  # Art. 68(12): ten years, and once more ten
MOST_EXTENSIONS = 1
ASK_BEFORE_MONTHS = 1
DECIDE = Period(3, Unit.MONTHS, LAW + "Art. 68(4)")
DECIDE_EXTENDED = Period(6, Unit.MONTHS, LAW + "Art. 68(4)")
DECIDE_ACCELERATED = Period(2, Unit.MONTHS, LAW + "Art. 68(6)")
DECIDE_ACCELERATED_EXTENDED = Period(3, Unit.MONTHS, LAW + "Art. 68(6)")
COMPLETE = Period(4, Unit.WEEKS, LAW + "Art. 68(4)")
PROVIDE = Period(2, Unit.MONTHS, LAW + "Art. 68(7)")
DELETE = Period(6, Unit.MONTHS, LAW + "Art. 68(12)")
COHORT_FORMULA = "cohort-formula"


def permit_is_the_newest(admission: Admission) -> Finding:
    """Art. 68(13), rule R01: no newer version of the permit has replaced it."""
    newest = admission.newest_permit_digest
    satisfied = None if newest is None else newest == admission.request.permit_digest
    return Finding(
        "R01",
        "ehds.art68.version",
        LAW + "Art. 61(1) and 68(13)",
        Kind.DENY,
        "the newest version of the permit",
        spell(satisfied, "newest", "replaced by a newer one"),
        satisfied,
        "Bind the job to the permit's current version",
    )


def permit_period_is_lawful(issuance: Issuance) -> Finding:
    """Art. 68(12), rule R02: at most ten years, and then as long as it was extended.

    It begins before it ends.
    """
    satisfied: bool | None = None
    starts, ends = issuance.starts, issuance.ends
    if starts is not None and ends is not None:
        extensions = issuance.extensions or ()
        first = _first_end(ends, extensions)
        last = max((extension.new_end for extension in extensions), default=ends)
        lawful = starts < first <= add_months(starts, LONGEST_MONTHS)
        satisfied = lawful and starts < ends <= last
    return Finding(
        "R02",
        "ehds.art68.duration",
        LAW + "Art. 68(12)",
        Kind.DENY,
        "at most ten years, and then as long as it was extended",
        spell(satisfied, "within", "longer, or it ends before it begins"),
        satisfied,
        "Shorten the permit to what the purpose needs, at most ten years",
    )


def extension_is_lawful(issuance: Issuance) -> Finding:
    """Art. 68(12), rule R02: one extension, of at most ten years, asked for one month before."""
    satisfied: bool | None = None
    if issuance.extensions is not None:
        satisfied = len(issuance.extensions) <= MOST_EXTENSIONS and all(
            _is_lawful(extension) for extension in issuance.extensions
        )
    return Finding(
        "R02",
        "ehds.art68.extension",
        LAW + "Art. 68(12)",
        Kind.DENY,
        "one extension, at most ten years, asked for at least one month before the end",
        spell(satisfied, "lawful, or none", "a second, a longer, or a late one"),
        satisfied,
        "Apply for a new permit",
    )


def _first_end(end: datetime, extensions: tuple[Extension, ...]) -> datetime:
    return min((extension.old_end for extension in extensions), default=end)


def _is_lawful(extension: Extension) -> bool:
    old_end = extension.old_end
    return extension.requested_at <= add_months(
        old_end, -ASK_BEFORE_MONTHS
    ) and old_end < extension.new_end <= add_months(old_end, LONGEST_MONTHS)


def code_is_approved(admission: Admission) -> Finding:
    """Art. 68(10)(f), rule R14: the digests of all code and containers are on the permit's list."""
    # A job that names no code has not said what runs: not known, hence not satisfied.
    satisfied, actual = within(admission.code or None, admission.approved_code)
    return Finding(
        "R14",
        "ehds.art68.code",
        LAW + "Art. 68(10)(f)",
        Kind.DENY,
        "tools that the permit lists or the health data access body approved",
        actual,
        satisfied,
        "Have the tool approved, or use one of the catalogue",
    )


def application_is_decided_in_time(supervision: Supervision) -> Finding:
    """Art. 68(4), (6), rule R27: three months, two for public bodies; extended six, three."""
    clock = supervision.decision
    extended = clock is not None and clock.extended
    if supervision.accelerated:
        period = DECIDE_ACCELERATED_EXTENDED if extended else DECIDE_ACCELERATED
    else:
        period = DECIDE_EXTENDED if extended else DECIDE
    known = clock if supervision.accelerated is not None else None
    return _clock(supervision, "decision", period, known, "Decide on the application")


def application_is_completed_in_time(supervision: Supervision) -> Finding:
    """Art. 68(4), rule R27: an incomplete application is completed within four weeks."""
    return _clock(
        supervision, "completion", COMPLETE, supervision.completion,
        "Complete the application, or file a new one",
    )  # fmt: skip


def data_are_provided_in_time(supervision: Supervision) -> Finding:
    """Art. 68(7), rule R27: two months from receiving the data to making them available."""
    return _clock(
        supervision, "provision", PROVIDE, supervision.provision,
        "Make the data available in the secure processing environment",
    )  # fmt: skip


def _clock(
    supervision: Supervision, code: str, period: Period, clock: Clock | None, remedy: str
) -> Finding:
    return in_time(
        "R27", f"ehds.art68.{code}", Kind.ALERT, period, clock,
        supervision.today, remedy=remedy,
    )  # fmt: skip


def data_are_deleted(supervision: Supervision) -> Finding:
    """Art. 68(12), rule R22: deleted within six months of expiry, with a certificate."""
    deletion = supervision.deletion
    found = in_time(
        "R22", "ehds.art68.deletion", Kind.OBLIGE, DELETE,
        deletion.clock if deletion is not None else None,
        supervision.today,
        remedy="Delete the permit's data and sign the deletion certificate",
    )  # fmt: skip
    if found.satisfied and deletion is not None and deletion.clock.done is not None:
        certified = bool(deletion.certificate)
        actual = found.actual if certified else "deleted, without a certificate"
        return replace(found, satisfied=certified, actual=actual)
    return found


def only_the_formula_is_kept(supervision: Supervision) -> Finding:
    """Art. 68(12), rule R22: after deletion at most the cohort's formula is left, if asked for."""
    deletion = supervision.deletion
    satisfied: bool | None = None
    if deletion is not None and deletion.clock.done is None:
        satisfied = True
    elif deletion is not None and deletion.kept is not None:
        allowed = frozenset({COHORT_FORMULA} if deletion.keep_formula_asked else ())
        satisfied = frozenset(deletion.kept) <= allowed
    return Finding(
        "R22",
        "ehds.art68.kept",
        LAW + "Art. 68(12)",
        Kind.OBLIGE,
        "nothing is kept but the formula of the cohort, if the user asked for it",
        spell(satisfied, "nothing else", "more than the formula"),
        satisfied,
        "Delete what is left",
    )
