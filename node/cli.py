"""`commensal node`: what hospital IT types."""

import sys
from pathlib import Path

import click

from connector.errors import LocalError

_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path, allow_dash=True)


@click.group()
def node() -> None:
    """A hospital's node. It stands next to the records and decides what is computed on them."""


@node.command()
@click.argument("directory", type=_DIRECTORY)
@click.option("--name", required=True, help="The hospital's name, e.g. hospital-north.")
def init(directory: Path, name: str) -> None:
    """Write a node.toml and a policy.toml to start from into DIRECTORY."""
    from node.templates import write  # noqa: PLC0415 - imported by the verb that needs it

    for path in write(directory, name):
        click.echo(f"wrote {path}")
    click.echo("Next: describe your dataset in node.toml, then `commensal node check`.")


@node.command()
@click.argument("directory", type=_DIRECTORY)
@click.option(
    "--invitation", type=_FILE, required=True,
    help="File with the invitation line; - reads it from standard input.",
)  # fmt: skip
def enrol(directory: Path, invitation: Path) -> None:
    """Make this node's keys and have them signed, once, with an INVITATION."""
    from connector.clock import utc_now  # noqa: PLC0415 - as above
    from connector.identity.enrolment import Invitation  # noqa: PLC0415 - as above
    from node.config import Paths  # noqa: PLC0415 - as above
    from node.enrol import enrol as enrol_node  # noqa: PLC0415 - as above

    line = _read_line(invitation)
    membership = enrol_node(Paths(directory), Invitation.from_line(line), utc_now())
    click.echo(
        f"{membership.participant} is enrolled with {membership.coordinator} "
        f"until {membership.not_after:%Y-%m-%d}"
    )


@node.command()
@click.argument("directory", type=_DIRECTORY)
def check(directory: Path) -> None:
    """Read configuration, policy and records as a job would, and say what is found."""
    from connector.clock import utc_now  # noqa: PLC0415 - as above
    from node.check import check as check_node  # noqa: PLC0415 - as above
    from node.config import Paths  # noqa: PLC0415 - as above

    for line in check_node(Paths(directory), utc_now()):
        click.echo(line)


@node.command()
@click.argument("directory", type=_DIRECTORY)
def run(directory: Path) -> None:
    """Run the node until it is stopped. It only makes outbound connections."""
    from node.config import Paths  # noqa: PLC0415 - as above
    from node.service import Service  # noqa: PLC0415 - as above

    Service(Paths(directory), click.echo).run()


@node.command()
@click.argument("directory", type=_DIRECTORY)
def budget(directory: Path) -> None:
    """Show how much of each dataset's privacy budget is spent, and by whom."""
    from rich.console import Console  # noqa: PLC0415 - as above

    from connector.audit.damage import DamageError  # noqa: PLC0415 - as above
    from connector.audit.verify import locate  # noqa: PLC0415 - as above
    from connector.clock import utc_now  # noqa: PLC0415 - as above
    from node.budget import accounts, picture  # noqa: PLC0415 - as above

    try:
        found = accounts(locate(directory), utc_now())
    except DamageError as error:
        raise LocalError(
            "LOG_TAMPERED",
            f"the audit log in {directory} cannot be read: {error}",
            f"Run `commensal audit verify {directory}` to see what is wrong",
        ) from error
    Console().print(picture(found))


def _read_line(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.readline(1 << 16)
    try:
        return path.read_text()[: 1 << 16]
    except (OSError, UnicodeError) as error:
        raise LocalError(
            "INVITATION_MISSING", f"cannot read the invitation {path}", "Check the path"
        ) from error
