"""`commensal policy duties`, and `began`, `extended`, `done`: what is owed, what became of it."""

from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from connector.authoring.duties import Step
    from policies.duties import TrackedDuty

_FILE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_DAY = click.DateTime(formats=["%Y-%m-%d"])
_WHO = {"data-user": "data user", "hdab": "access body", "hospital": "hospital"}
_COLOURS = {
    "overdue": "bold red",
    "pending": "yellow",
    "fulfilled late": "magenta",
    "fulfilled": "green",
}
_WIDE = 160  # where no terminal says how wide it is


@click.command()
@click.option(
    "--log", type=_DIRECTORY, required=True, metavar="DIR", help="A log, or its data directory."
)
@click.option("--all", "everything", is_flag=True, help="Also what is fulfilled.")
@click.option("--on", type=_DAY, metavar="DATE", help="As of the end of that day, in UTC.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--fail-overdue", is_flag=True, help="Exit with 1 if something is overdue.")
@click.pass_context
def duties(
    context: click.Context,
    log: Path,
    on: datetime | None,
    *,
    everything: bool,
    as_json: bool,
    fail_overdue: bool,
) -> None:
    """List what is owed under every permit in a log, what is overdue first."""
    from connector.authoring.duties import read_duties  # noqa: PLC0415 - `--help` stays fast
    from connector.clock import utc_now  # noqa: PLC0415 - as above

    now = utc_now() if on is None else datetime.combine(on, time(23, 59, 59), tzinfo=UTC)
    found = read_duties(log, now)
    shown = [one for one in found if everything or one.state in ("overdue", "pending")]
    if as_json:
        _print_json(shown, now)
    else:
        _print_table(shown, now)
        click.echo(_summary(found, everything=everything))
    overdue = any(one.state == "overdue" for one in found)
    context.exit(1 if fail_overdue and overdue else 0)


def _recording(command: "Callable[..., None]") -> "Callable[..., None]":
    """The arguments that every record takes."""
    options = (
        click.argument("duty", metavar="DUTY"),
        click.option("--permit", required=True, metavar="ID", help="Under which permit."),
        click.option("--job", default="", metavar="DIGEST", help="Of one job only; its beginning."),
        click.option(
            "--evidence", type=_FILE, required=True, metavar="FILE",
            help="What shows it. Only its digest is logged: keep the file.",
        ),
        click.option("--data", type=_DIRECTORY, required=True, help="The node's directory."),
        click.option("--key", type=_FILE, required=True, help="Your private key, as an officer."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_recording
def done(**asked: Any) -> None:
    """Record that DUTY was done: data deleted, results published, a finding notified."""
    _record("done", **asked)


@click.command()
@_recording
@click.option("--days", type=click.IntRange(1, 1000), help="Working days, where the law says none.")
def began(**asked: Any) -> None:
    """Record that DUTY begins: a significant finding, the access body's demand for data."""
    _record("began", **asked)


@click.command()
@_recording
@click.option("--until", type=_DAY, required=True, metavar="DATE", help="The new last day.")
def extended(until: datetime, **asked: Any) -> None:
    """Record that an authority gave more time for DUTY."""
    _record("extended", until=until.date(), **asked)


def _record(step: "Step", *, duty: str, permit: str, data: Path, key: Path, **asked: Any) -> None:
    from connector.authoring import activation  # noqa: PLC0415 - as above
    from connector.authoring.duties import Report, draft, hand_in  # noqa: PLC0415
    from connector.clock import utc_now  # noqa: PLC0415
    from connector.identity.keys import SigningKey  # noqa: PLC0415

    signing = SigningKey.load(key)
    record = draft(data, signing, Report(step, duty, permit, **asked), utc_now())
    name = hand_in(data, signing, record)
    logged = activation.wait(
        data,
        name,
        lambda e: e.kind == f"duty-{step}" and e.duty == duty and e.signed_at == record.issued_at,
    )
    if logged is not None:
        index, when = logged
        click.echo(f"{duty} {step}, at {when:%Y-%m-%d %H:%M:%S} UTC: entry {index} of the log")
    elif activation.is_running(data):
        click.echo("handed in. The node is busy: it counts from when it stands in the log")
    else:
        click.echo("handed in. The node does not run: it counts from when the node starts")


def _print_json(shown: "Sequence[TrackedDuty]", now: datetime) -> None:
    import json  # noqa: PLC0415 - as above

    def moment(when: datetime | None) -> str | None:
        return None if when is None else when.astimezone(UTC).isoformat().replace("+00:00", "Z")

    for one in shown:
        form = {
            "duty": one.duty, "state": one.state.value, "party": one.party, "what": one.what,
            "basis": one.basis, "permit": one.permit_id, "job": one.job,
            "since": moment(one.since), "due": moment(one.due), "days_left": _days_left(one, now),
            "done": moment(one.done), "entry": one.entry,
        }  # fmt: skip
        click.echo(json.dumps(form))


def _print_table(shown: "Sequence[TrackedDuty]", now: datetime) -> None:
    from rich import box  # noqa: PLC0415 - as above
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for name in ("state", "due", "who"):
        table.add_column(name, no_wrap=True)
    table.add_column("duty, under which permit, and why", ratio=1, overflow="fold")
    for one in shown:
        table.add_row(*_row(one, now))
    if shown:
        console.print(table)


def _row(one: "TrackedDuty", now: datetime) -> "list[RenderableType]":
    job = "" if one.job == "none" else f", job {one.job.removeprefix('sha256:')[:12]}"
    entry = "" if one.entry is None else f"by entry {one.entry}"
    done = "" if one.done is None else f"done {one.done:%Y-%m-%d} {entry}".rstrip()
    return [
        _lines(one.state.value, style=_COLOURS[one.state.value]),
        _lines(*_due(one, now)),
        _lines(_WHO[one.party]),
        _lines(one.what, f"permit {one.permit_id}{job}", one.duty, one.basis, done),
    ]


def _lines(first: str, *more: str, style: str = "") -> "Text":
    # What a permit or a policy says may come from a stranger: nothing of theirs is markup, and
    # nothing steers the terminal.
    from rich.text import Text  # noqa: PLC0415 - as above

    text = Text(_printable(first), style)
    for line in filter(None, more):
        text.append(f"\n{_printable(line)}", "dim")
    return text


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "�" for each in text)


def _days_left(one: "TrackedDuty", now: datetime) -> int | None:
    if one.due is None or one.done is not None:
        return None
    return (one.due.astimezone(UTC).date() - now.astimezone(UTC).date()).days


def _due(one: "TrackedDuty", now: datetime) -> tuple[str, str]:
    if one.due is None:
        return "no date", ""
    days = _days_left(one, now)
    if days is None:
        left = ""
    elif days < 0 or one.state == "overdue":
        left = f"{-days} day{'' if days == -1 else 's'} ago"
    else:
        left = "today" if days == 0 else f"in {days} day{'' if days == 1 else 's'}"
    return f"{one.due:%Y-%m-%d}", left


def _summary(found: "Sequence[TrackedDuty]", *, everything: bool) -> str:
    if not found:
        return "nothing is owed: no permit in this log was used yet"
    states = [one.state.value for one in found]
    counted = ", ".join(f"{states.count(one)} {one}" for one in _COLOURS if one in states)
    hidden = not everything and any(state.startswith("fulfilled") for state in states)
    return counted + (" (--all shows those, too)" if hidden else "")
