"""Art. 63: enforcement reaches the node (with Art. 73(1)(f))."""

from datetime import datetime, timedelta

from policies.request import Facts, UsageRequest
from policies.rule import rule
from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Admission, Supervision

_ARTICLE = LAW + "Art. 63(3) and 73(1)(f)"


def _revoked_words(
    _request: UsageRequest, facts: Facts, _satisfied: bool | None
) -> tuple[str, str, str]:
    return (
        "a permit that is neither revoked nor suspended",
        "revoked or suspended" if facts.revoked else "neither",
        "Ask the health data access body why; going on needs a permit with a new id",
    )


@rule("ehds.art63.revoked", _ARTICLE, _revoked_words)
def permit_is_not_revoked(_request: UsageRequest, facts: Facts) -> bool:
    """Art. 63(3), 73(1)(f), rule R21: the access body has not revoked or suspended the permit."""
    return not facts.revoked


def revocations_are_known(admission: Admission) -> Finding:
    """Art. 63(3), rule R21: no revocation has taken effect, by news that are recent."""
    revoked = admission.revoked_at is not None and admission.revoked_at <= admission.now
    recent = _is_recent(
        admission.revocations_known_until,
        admission.revocations_maximum_age_seconds,
        admission.now,
    )
    satisfied = False if revoked else (True if recent else None)
    return Finding(
        "R21",
        "ehds.art63.news",
        _ARTICLE,
        Kind.DENY,
        "no revocation or suspension, by a recent list",
        spell(satisfied, "none", "revoked or suspended"),
        satisfied,
        "Ask the health data access body why; fetch its current list of revocations",
    )


def jobs_have_stopped(supervision: Supervision) -> Finding:
    """Art. 63(3), rule R21: after a revocation all jobs end within the permit's limit."""
    revocation = supervision.revocation
    if revocation is None:
        recent = _is_recent(
            supervision.revocations_known_until,
            supervision.revocations_maximum_age_seconds,
            supervision.now,
        )
        satisfied = True if recent else None
    else:
        end = revocation.received_at + timedelta(seconds=revocation.limit_seconds)
        stopped = revocation.stopped_at
        if stopped is not None and stopped <= supervision.now:
            satisfied = stopped <= end
        else:
            satisfied = None if supervision.now <= end else False
    return Finding(
        "R21",
        "ehds.art63.stop",
        _ARTICLE,
        Kind.DENY,
        "running jobs stop, sessions end, new ones are refused, within the limit",
        spell(satisfied, "stopped, or none revoked", "stopped too late, or still running"),
        satisfied,
        "Stop all jobs of this permit now, and tell the health data access body",
    )


def _is_recent(known_until: datetime | None, seconds: int | None, now: datetime) -> bool:
    # No news is good news only if one has asked (threat: a node that is cut off from revocations).
    # The time of asking is of the node's own clock; one in the future is a clock that went back.
    if known_until is None or seconds is None:
        return False
    return timedelta(0) <= now - known_until <= timedelta(seconds=seconds)
