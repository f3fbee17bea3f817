"""`commensal audit`: verify a log and read it, offline, with nothing but its files."""

import base64
import json
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from connector.audit.verify import Report
    from connector.identity.keys import VerifyKey

_DIRECTORY = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))


class _CannotRead(click.ClickException):
    """Nothing to verify, or wrongly asked; 1 is for a log that is damaged."""

    exit_code = 2


@click.group()
def audit() -> None:
    """Verify and read a participant's log, offline."""


@audit.command()
@_DIRECTORY
@click.option("--key", "pinned", metavar="VKEY|FILE", help="The log's public key, known to you.")
@click.pass_context
def verify(context: click.Context, directory: Path, pinned: str | None) -> None:
    """Check every entry of the log in DIR (a log, or a data directory that holds `log/`)."""
    from connector.audit import verify as auditor  # noqa: PLC0415 - `--help` stays fast
    from connector.audit.order import Order  # noqa: PLC0415
    from policies.errors import Error  # noqa: PLC0415

    try:
        report = auditor.verify(directory, _pinned(pinned) if pinned else None, Order().check)
    except Error as error:
        raise _CannotRead(error.diagnostics()) from error
    _print(report, Order.passed if report.ok else ())
    context.exit(0 if report.ok else 1)


@audit.command()
@_DIRECTORY
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the last N entries.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(directory: Path, last: int | None, *, as_json: bool) -> None:
    """Print the entries of the log in DIR, without verifying them."""
    from connector.audit.damage import DamageError, read_entries  # noqa: PLC0415 - as above
    from connector.audit.verify import locate  # noqa: PLC0415
    from policies.errors import Error  # noqa: PLC0415

    try:
        read: Iterable[tuple[int, bytes]] = read_entries(locate(directory))
        for index, entry in deque(read, maxlen=last) if last else read:
            _print_entry(index, entry, as_json=as_json)
    except Error as error:
        raise _CannotRead(error.diagnostics()) from error
    except (DamageError, PermissionError) as error:
        raise _CannotRead(f"the log in {directory} cannot be read: {error}") from error


def _pinned(text: str) -> "VerifyKey":
    from connector.errors import LocalError  # noqa: PLC0415 - as above
    from connector.identity.keys import VerifyKey  # noqa: PLC0415

    path = Path(text)
    try:
        if path.is_file():
            with path.open(encoding="ascii") as file:
                text = file.read(1 << 10).removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError("KEY_MISSING", f"cannot read a public key from {path}") from error
    if "+" not in text:
        raise LocalError(
            "KEY_MISSING", f"there is no key file {text}", "Name a file, or a key: name+id+base64"
        )
    return VerifyKey.parse(text)


def _console() -> "Console":
    from rich.console import Console  # noqa: PLC0415 - as above

    return Console(highlight=False, soft_wrap=True)


def _print(report: "Report", also_passed: tuple[str, ...]) -> None:
    console = _console()
    size = f"{report.size} {'entry' if report.size == 1 else 'entries'}"
    console.print(f"[bold]{report.origin or 'audit log'}[/] [dim]{size} in[/]", end=" ")
    console.print(str(report.directory), style="dim", markup=False)
    for passed in (*report.passed, *also_passed):
        console.print("  [green]✓[/]", _plain(passed))
    if report.finding is not None:
        console.print("  [red]✗[/]", _plain(report.finding.message, "red"))
    for note in report.notes:
        console.print("  [yellow]![/]", _plain(note, "dim"))


def _print_entry(index: int, entry: bytes, *, as_json: bool) -> None:
    content = _parsed(entry)
    if as_json:
        from connector.audit.merkle import leaf_hash  # noqa: PLC0415 - as above

        encoded = base64.b64encode(entry).decode()
        known = {"entry_base64": encoded} if content is None else {"entry": content}
        click.echo(json.dumps({"index": index, "leaf_hash": leaf_hash(entry).hex(), **known}))
        return
    if content is None:
        click.echo(f"{index:>6}  {len(entry)} bytes that are not a JSON object")
        return
    time, kind = _spelled(content.pop("time", "-")), _spelled(content.pop("kind", "-"))
    rest = "  ".join(f"{_spelled(name)}={_spelled(value)}" for name, value in content.items())
    _console().print(
        _plain(f"{index:>6}  {time}", "dim"), _plain(f" {kind:<18}", "bold"), _plain(rest)
    )


def _parsed(entry: bytes) -> dict[str, Any] | None:
    from policies import canonical  # noqa: PLC0415 - as above
    from policies.errors import PolicyError  # noqa: PLC0415

    try:
        content = canonical.decode(entry)
    except PolicyError:
        return None
    return content if isinstance(content, dict) else None


def _spelled(value: Any) -> str:
    # Entries may quote a peer: nothing of theirs may steer the terminal.
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value
    return json.dumps(value, separators=(",", ":"))


def _plain(text: str, style: str = "") -> "Text":
    from rich.text import Text  # noqa: PLC0415 - as above

    return Text(text, style=style)
