"""`commensal policy officer` and `commensal policy activate`: keys, and four eyes."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from connector.authoring.activation import Draft

_FILE = click.Path(dir_okay=False, path_type=Path)
_DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("name")
@click.option("--out", type=_FILE, required=True, help="Where to write the private key.")
def officer(name: str, out: Path) -> None:
    """Make a key for the officer NAME, whose signature the hospital's node will obey."""
    from connector.authoring.officers import create  # noqa: PLC0415 - `--help` stays fast
    from connector.errors import LocalError  # noqa: PLC0415 - as above

    if not out.parent.is_dir():
        raise LocalError(
            "DIRECTORY_MISSING", f"there is no directory {out.parent}", "Make it, or name another"
        )
    public = create(name, out)
    click.echo(f"wrote {out}: the private key of {name}. Nobody else may have it.")
    click.echo("Its public key. List it under `officers` in node.toml, beside another person's:")
    click.echo(f'  "{public.vkey}"')


@click.command()
@click.argument("policy", type=_FILE)
@click.option("--data", type=_DIRECTORY, required=True, help="The node's directory.")
@click.option("--key", type=_FILE, required=True, help="Your private key, as an officer.")
@click.option("--yes", is_flag=True, help="Sign without asking.")
def activate(policy: Path, data: Path, key: Path, *, yes: bool) -> None:
    """Sign for POLICY to decide from now on. It takes two officers, one after the other."""
    from connector.authoring import activation  # noqa: PLC0415 - as above
    from connector.clock import utc_now  # noqa: PLC0415
    from connector.identity.keys import SigningKey  # noqa: PLC0415

    signing = SigningKey.load(key)
    draft = activation.prepare(policy, data, signing, utc_now())
    for line in _summary(draft):
        click.echo(line)
    if not yes:
        click.confirm(f"Sign as {signing.name}?", abort=True)
    name = activation.sign(draft, signing)
    if name is None:
        click.echo(f"signed by {signing.name}. Another officer completes it with:")
        click.echo(f"  commensal policy activate {policy} --data {data} --key KEYFILE")
        return
    digest = draft.policy.digest
    active = activation.wait(
        data, name, lambda e: e.kind == "policy-activated" and e.policy.digest == digest
    )
    if active is not None:
        index, time = active
        click.echo(f"active since {time:%Y-%m-%d %H:%M:%S} UTC: entry {index} of the node's log")
    elif activation.is_running(data):
        click.echo("handed in. The node is busy: it becomes active with its next decision")
    else:
        click.echo("handed in. The node does not run: it becomes active when it starts")


def _summary(draft: "Draft") -> list[str]:
    policy, report = draft.policy, draft.report
    results = [result.example.expect for result in report.results]
    expected = ", ".join(f"{results.count(one)} {one}" for one in dict.fromkeys(results))
    active = draft.active
    replaces = f"{active.id} version {active.version}" if active else "nothing: none is active"
    lines = [
        f"{policy.id} version {policy.version} for {policy.dataset}",
        f"  policy    {policy.digest}",
        f"  examples  {report.digest}",
        f"            all {len(results)} pass: {expected}",
        f"  replaces  {replaces}",
    ]
    if draft.first is not None:
        when = draft.instruction.issued_at
        lines.append(f"  signed by {draft.first.name} on {when:%Y-%m-%d %H:%M} UTC")
    return lines
