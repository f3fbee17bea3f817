"""`commensal policy`: write, test, explain, compare and activate what a hospital allows."""

from importlib import import_module
from pathlib import Path

import click

TEMPLATES = ("statistics", "training", "synthesis", "cohort")
_FILE = click.Path(path_type=Path)
_POLICY = click.argument("policy", metavar="FILE", type=_FILE)
_EXAMPLES = click.option(
    "--examples", type=_FILE, metavar="FILE", help="The examples, if not beside the policy."
)
_LOG_HELP = "A node's log, or its data directory."

# Verbs that live beside what they do.
_ELSEWHERE = {
    "activate": "connector.authoring.activation_cli",
    "began": "connector.authoring.duties_cli",
    "done": "connector.authoring.duties_cli",
    "duties": "connector.authoring.duties_cli",
    "extended": "connector.authoring.duties_cli",
    "officer": "connector.authoring.activation_cli",
}


class _Verbs(click.Group):
    """The verbs of this file and those of `_ELSEWHERE`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(_ELSEWHERE[cmd_name]), cmd_name)
        return command


@click.group(cls=_Verbs)
def policy() -> None:
    """Write, test, explain, compare and activate what a hospital allows."""


@policy.command()
@_POLICY
@click.pass_context
def check(context: click.Context, policy: Path) -> None:
    """Find what is wrong with the policy in FILE.

    It may be a node's policy, or any policy in ODRL. Warnings alone are no failure.
    """
    from connector.authoring import verbs  # noqa: PLC0415 - `--help` stays fast

    context.exit(0 if verbs.check(policy) else 1)


@policy.command()
@_POLICY
@_EXAMPLES
@click.pass_context
def test(context: click.Context, policy: Path, examples: Path | None) -> None:
    """Try the examples beside the policy in FILE.

    Those of `policy.toml` are in `policy.examples.toml`.
    """
    from connector.authoring import verbs  # noqa: PLC0415 - as above

    context.exit(0 if verbs.test(policy, examples) else 1)


@policy.command()
@click.argument("policy", metavar="[FILE]", type=_FILE, required=False)
@_EXAMPLES
@click.option("--example", "name", metavar="NAME", help="The example to explain.")
@click.option("--log", type=_FILE, metavar="DIR", help=_LOG_HELP)
@click.option("--entry", type=click.IntRange(min=0), metavar="N", help="The entry of the log.")
@click.option("--job", metavar="DIGEST", help="The last decision about that job.")
@click.option(
    "--report", is_flag=True, help="Print the ODRL compliance report (FORCE vocabulary, JSON-LD)."
)
def explain(
    policy: Path | None,
    examples: Path | None,
    name: str | None,
    log: Path | None,
    entry: int | None,
    job: str | None,
    *,
    report: bool,
) -> None:
    """Say why a request is allowed or refused.

    With FILE and --example, what the policy says of that example; with --log, a logged decision:
    the one of --entry, the last about --job, or the last of all.
    """
    from connector.authoring import verbs  # noqa: PLC0415 - as above

    if log is not None and policy is None and examples is None and name is None:
        verbs.explain_logged(log, entry, job, report=report)
    elif policy is not None and name is not None and log is None and entry is None and job is None:
        verbs.explain_example(policy, examples, name, report=report)
    else:
        raise click.UsageError("give FILE and --example NAME, or --log DIR [--entry N | --job ID]")


@policy.command()
@click.argument("old", metavar="A", type=_FILE)
@click.argument("new", metavar="B", type=_FILE)
def diff(old: Path, new: Path) -> None:
    """Compare two policies, a request for each change.

    Says what B allows and A does not, and the other way round.
    """
    from connector.authoring import changes  # noqa: PLC0415 - as above

    changes.diff(old, new)


@policy.command("dry-run")
@_POLICY
@click.option("--log", type=_FILE, required=True, metavar="DIR", help=_LOG_HELP)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the last N requests.")
def dry_run(policy: Path, log: Path, last: int | None) -> None:
    """Decide logged requests anew with the policy in FILE."""
    from connector.authoring import changes  # noqa: PLC0415 - as above

    changes.rehearse(policy, log, last)


@policy.command()
@click.argument("name", metavar="NAME", required=False, type=click.Choice(TEMPLATES))
@click.option("--list", "listed", is_flag=True, help="List the templates.")
@click.option("--dataset", metavar="ID", help="The dataset, as in node.toml: north/patients.")
@click.option("--out", type=_FILE, metavar="DIR", help="Where to write the two files.")
def template(name: str | None, dataset: str | None, out: Path | None, *, listed: bool) -> None:
    """Write a ready policy and its examples to start from.

    NAME is one of: statistics, training, synthesis, cohort.
    """
    from connector.authoring import verbs  # noqa: PLC0415 - as above

    if listed and name is None:
        verbs.list_templates(TEMPLATES)
    elif name is not None and dataset is not None and out is not None and not listed:
        verbs.write_template(name, dataset, out)
    else:
        raise click.UsageError("give NAME, --dataset ID and --out DIR, or --list")


@policy.command()
@_POLICY
@click.option("--odrl", is_flag=True, help="As ODRL in JSON-LD, for machines.")
def show(policy: Path, *, odrl: bool) -> None:
    """Print the policy in FILE as sentences."""
    from connector.authoring import verbs  # noqa: PLC0415 - as above

    verbs.show(policy, as_odrl=odrl)
