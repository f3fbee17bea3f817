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
    """Write node.toml, policy.toml and examples for it to start from into DIRECTORY."""
    from node.templates import write  # noqa: PLC0415 - imported by the verb that needs it

    for path in write(directory, name):
        click.echo(f"wrote {path}")
    click.echo("Next: describe your dataset in node.toml, then `commensal node check`.")


@node.command()
@click.argument("directory", type=_DIRECTORY)
@click.option("--name", required=True, help="The hospital's name, as the invitation will say.")
def key(directory: Path, name: str) -> None:
    """Make this node's signing key, and print its fingerprint for the coordinator's operator."""
    from node.config import Paths  # noqa: PLC0415 - as above
    from node.enrol import make_key  # noqa: PLC0415 - as above

    click.echo(make_key(Paths(directory), name))


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
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON-LD instead.")
def describe(directory: Path, *, as_json: bool) -> None:
    """Show the public record of each dataset, and what it lacks; exits 1 if one lacks something."""
    from connector.clock import utc_now  # noqa: PLC0415 - as above
    from node import config  # noqa: PLC0415 - as above
    from node import describe as public  # noqa: PLC0415 - as above

    paths = config.Paths(directory)
    settings = config.load(paths)
    complete = True
    for found in public.records(paths, settings, utc_now().date()):
        judged = public.judge(found)
        for line in [public.spell(found, settings.name)] if as_json else public.lines(judged):
            click.echo(line)
        complete = judged.publishable and complete
    if not complete:
        raise click.exceptions.Exit(1)


@node.command()
@click.argument("directory", type=_DIRECTORY)
def run(directory: Path) -> None:
    """Run the node until it is stopped. It only makes outbound connections."""
    from node.config import Paths  # noqa: PLC0415 - as above
    from node.service import Service  # noqa: PLC0415 - as above

    Service(Paths(directory), click.echo).run()


@node.command()
@click.argument("directory", type=_DIRECTORY)
def held(directory: Path) -> None:
    """List the permits that wait for the answer of a person of the hospital."""
    from connector.clock import utc_now  # noqa: PLC0415 - as above
    from node import held as waiting  # noqa: PLC0415 - as above
    from node.config import Paths  # noqa: PLC0415 - as above
    from node.enrol import read_pinned  # noqa: PLC0415 - as above

    paths = Paths(directory)
    _, coordinator = read_pinned(paths)
    found = waiting.held(paths.log, coordinator, utc_now())
    if not found:
        click.echo("nothing waits for an answer")
    for question in found:
        for line in waiting.describe(question):
            click.echo(line)
        click.echo(
            f"  answer:    commensal node approve {directory} {question.short} "
            f"--dataset {question.dataset} --key KEYFILE (or --refuse)"
        )


@node.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("permit")
@click.option("--dataset", required=True, help="The dataset that the permit may use, or not.")
@click.option("--key", type=_FILE, required=True, help="Your private key, as an officer.")
@click.option("--refuse", is_flag=True, help="Refuse, or take an approval back.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
def approve(
    directory: Path, permit: str, dataset: str, key: Path, *, refuse: bool, yes: bool
) -> None:
    """Answer whether PERMIT may use a dataset. The last answer counts, at once.

    PERMIT is its digest, the beginning of that as `held` shows it, or its id.
    """
    from connector.authoring import activation  # noqa: PLC0415 - as above
    from connector.clock import utc_now  # noqa: PLC0415 - as above
    from connector.identity.keys import SigningKey  # noqa: PLC0415 - as above
    from node import held as waiting  # noqa: PLC0415 - as above
    from node.config import Paths  # noqa: PLC0415 - as above
    from node.enrol import read_pinned  # noqa: PLC0415 - as above

    paths, signing = Paths(directory), SigningKey.load(key)
    _, coordinator = read_pinned(paths)
    question = waiting.find(paths.log, coordinator, permit, dataset)
    for line in waiting.describe(question):
        click.echo(line)
    verb = "Refuse" if refuse else "Approve"
    if not yes:
        click.confirm(f"{verb} it as {signing.name}?", abort=True)
    name, signed = waiting.answer(directory, question, signing, utc_now(), approved=not refuse)
    done = activation.wait(
        directory, name, lambda e: e.kind == "approved" and e.signed_at == signed.issued_at
    )
    said = "refused" if refuse else "approved"
    if done is not None:
        click.echo(f"{said} at {done[1]:%Y-%m-%d %H:%M:%S} UTC: entry {done[0]} of the node's log")
    else:
        click.echo(f"{said}; the node takes it up when it is free, or when it starts")


@node.command()
@click.argument("directory", type=_DIRECTORY)
def budget(directory: Path) -> None:
    """Show how much of each dataset's privacy budget is spent, and by whom."""
    from rich.console import Console  # noqa: PLC0415 - as above

    from connector.authoring.logs import located  # noqa: PLC0415 - as above
    from connector.clock import utc_now  # noqa: PLC0415 - as above
    from node.budget import accounts, picture  # noqa: PLC0415 - as above

    with located(directory) as log:
        found = accounts(log, utc_now())
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
