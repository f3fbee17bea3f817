"""What happens in the protocol, as entries of this side's log."""

import re

from connector.audit import entries
from connector.dsp import evidence
from connector.dsp.judge import Event, Moved, Refused

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_MOST_REASONS = 20
OTHER = "OTHER"


def entry_of(event: Event) -> entries.Entry:
    """The entry for an event; whoever writes the log sets its time."""
    match event:
        case Moved():
            return entries.ContractMoved(
                time=event.time,
                process=event.pid,
                peer_process=_printed(event.peer_pid),
                process_kind=event.kind.value,
                role=event.role.value,
                counterparty=_printed(event.counterparty),
                dataset=_printed(event.dataset),
                agreement=_printed(event.agreement),
                permit_digest=evidence.shown_permit(event.offer),
                job=evidence.job_of(event.data_address),
                before=event.before.value if event.before else "",
                after=event.after.value,
                by=event.by.value,
                reasons=codes(event.reasons),
            )
        case Refused():
            return entries.ContractRefused(
                time=event.time,
                caller=_printed(event.caller),
                place=_printed(event.place),
                code=event.code,
            )
        case _:
            return entries.ContractUndelivered(
                time=event.time,
                process=event.pid,
                counterparty=_printed(event.counterparty),
                message=event.message,
                code=event.code,
            )


def codes(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """Reasons that are codes; all others are one `OTHER` (threat: a person in a peer's words)."""
    kept = [one if _CODE.fullmatch(one) else OTHER for one in reasons]
    return tuple(dict.fromkeys(kept))[:_MOST_REASONS]


def _printed(text: str) -> str:
    return _UNPRINTABLE.sub("?", text)[:255]
