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

    from connector.audit.replay import Difference, Replay
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
@click.option(
    "--officer",
    "officers",
    metavar="VKEY|FILE",
    multiple=True,
    help="The public key of one who is or was an officer of the hospital; once for each.",
)
@click.pass_context
def verify(
    context: click.Context, directory: Path, pinned: str | None, officers: tuple[str, ...]
) -> None:
    """Check every entry of the log in DIR (a log, or a data directory that holds `log/`)."""
    from connector.audit import verify as auditor  # noqa: PLC0415 - `--help` stays fast
    from connector.audit.order import Order  # noqa: PLC0415
    from policies.errors import Error  # noqa: PLC0415

    try:
        key = _pinned(pinned) if pinned else None
        order = Order(auditor.origin(directory, key), map(_pinned, officers))
        report = auditor.verify(directory, key, order.check)
    except Error as error:
        raise _CannotRead(f"{error.diagnostics()} [{error.code}]") from error
    notes = () if officers else _unpinned(order.signers)
    _print(report, order.passed if report.ok else (), notes if report.ok else ())
    context.exit(0 if report.ok else 1)


def _unpinned(signers: "Iterable[VerifyKey]") -> tuple[str, ...]:
    names = ", ".join(key.name for key in signers)
    if not names:
        return ()
    note = (
        f"officers not pinned: the log itself names the keys of {names}, and who writes the log "
        "could have made them; name the officers' keys, known from elsewhere, with --officer"
    )
    return (note,)


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
        raise _CannotRead(f"{error.diagnostics()} [{error.code}]") from error
    except (DamageError, PermissionError) as error:
        raise _CannotRead(f"the log in {directory} cannot be read: {error}") from error


@audit.command()
@_DIRECTORY
@click.option("--key", "pinned", metavar="VKEY|FILE", help="The log's public key, known to you.")
@click.option(
    "--coordinator",
    metavar="VKEY|FILE",
    help="The coordinator's public key: permits are checked with it. A node's data directory "
    "holds the one that was pinned at enrolment.",
)
@click.option("--quick", is_flag=True, help="Compare verdicts and rules' outcomes, not the texts.")
@click.pass_context
def replay(
    context: click.Context,
    directory: Path,
    pinned: str | None,
    coordinator: str | None,
    *,
    quick: bool,
) -> None:
    """Decide everything in the log in DIR again, by the policies that were active then."""
    from connector.audit.damage import DamageError  # noqa: PLC0415 - as above
    from connector.audit.reading import read_log  # noqa: PLC0415
    from connector.audit.replay import Replay  # noqa: PLC0415
    from connector.audit.verify import locate  # noqa: PLC0415
    from policies.errors import Error  # noqa: PLC0415

    try:
        if pinned:
            _verify(directory, _pinned(pinned))
        key = _pinned(coordinator) if coordinator else _enrolled_with(directory)
        again = Replay(key, texts=not quick)
        for difference in again.run(read_log(locate(directory))):
            _print_difference(difference)
    except Error as error:
        raise _CannotRead(f"{error.diagnostics()} [{error.code}]") from error
    except (DamageError, PermissionError) as error:
        raise _CannotRead(f"the log in {directory} cannot be read: {error}") from error
    _print_replay(again, key, quick=quick, verified=bool(pinned))
    context.exit(1 if again.differing else 0)


def _verify(directory: Path, key: "VerifyKey") -> None:
    """What is replayed must be what was signed."""
    from connector.audit import verify as auditor  # noqa: PLC0415 - as above
    from connector.errors import LocalError  # noqa: PLC0415

    report = auditor.verify(directory, key)
    if report.finding is not None:
        raise LocalError(
            "LOG_DAMAGED",
            report.finding.message,
            "See `commensal audit verify`; nothing was replayed",
        )


def _enrolled_with(directory: Path) -> "VerifyKey | None":
    """The coordinator's key that a node's data directory has pinned, if this is one."""
    from connector.errors import LocalError  # noqa: PLC0415 - as above
    from connector.files import open_regular  # noqa: PLC0415
    from connector.identity.keys import VerifyKey  # noqa: PLC0415

    place = directory / "identity" / "coordinator.json"
    try:
        with open_regular(place) as file:
            return VerifyKey.parse(json.loads(file.read(1 << 16))["key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocalError(
            "KEY_MISSING", f"cannot read a public key from {place}", "Name it with --coordinator"
        ) from error


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


def _print(report: "Report", also_passed: tuple[str, ...], notes: tuple[str, ...]) -> None:
    console = _console()
    size = f"{report.size} {'entry' if report.size == 1 else 'entries'}"
    console.print(f"[bold]{report.origin or 'audit log'}[/] [dim]{size} in[/]", end=" ")
    console.print(str(report.directory), style="dim", markup=False)
    for passed in (*report.passed, *also_passed):
        console.print("  [green]✓[/]", _plain(passed))
    if report.finding is not None:
        console.print("  [red]✗[/]", _plain(report.finding.message, "red"))
    for note in (*report.notes, *notes):
        console.print("  [yellow]![/]", _plain(note, "dim"))


def _print_difference(found: "Difference") -> None:
    console = _console()
    console.print(
        "  [red]✗[/]", _plain(f"entry {found.index}: {_spelled(found.what)} differs", "red")
    )
    console.print("      logged  ", _plain(_spelled(found.logged)))
    console.print("      replayed", _plain(_spelled(found.replayed)))


def _print_replay(again: "Replay", key: "VerifyKey | None", *, quick: bool, verified: bool) -> None:
    console = _console()
    same = again.decisions - again.differing
    compared = "verdict and the outcome of every rule" if quick else "verdict and every word"
    console.print(f"[bold]{again.decisions}[/] {_plural(again.decisions, 'decision')} read")
    if same:
        console.print(f"  [green]✓[/] {same} {_plural(same, 'gives', 'give')} the same {compared}")
    if again.differing:
        console.print(
            f"  [red]✗ {again.differing} {_plural(again.differing, 'differs', 'differ')}[/]"
        )
    if key is None:
        console.print(
            "  [yellow]![/]",
            _plain("permits' signatures were not checked: name the coordinator's key", "dim"),
        )
    else:
        console.print(f"  [green]✓[/] permits were checked with the key of {key.name}")
    if not verified:
        console.print(
            "  [yellow]![/]",
            _plain("the log itself was not verified: name its key with --key", "dim"),
        )
    parts = [
        (again.reading, "read and folded"),
        (again.evaluating, "evaluated again"),
        *([] if quick else [(again.comparing, "put in words and compared")]),
    ]
    for seconds, what in parts:
        if again.decisions and seconds > 0:
            console.print(_plain(f"{again.decisions / seconds:>12,.0f} decisions/s {what}", "dim"))


def _plural(count: int, one: str, many: str = "") -> str:
    return one if count == 1 else many or one + "s"


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
