"""The `commensal` command. Packages add their verbs by entry point; none is imported before use."""

import sys
from importlib.metadata import EntryPoint, entry_points, version
from typing import Any

import click

from policies.errors import Error

_SUMMARIES = {
    "audit": "Verify and read a participant's log, offline.",
    "conformance": "A seeded connector for the Dataspace Protocol's conformance kit.",
    "coordinator": "The health data access body: permits, jobs, releases.",
    "demo": "Four hospitals, one job, on this machine: the whole story.",
    "node": "A hospital's node: enrol, run, look at the budget.",
    "policy": "Write, test, explain and activate what a hospital allows.",
}


_OURS = ("connector", "coordinator", "node", "policies")


class LazyCommands(click.Group):
    """Subcommands by entry point (group `commensal.commands`)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All installed verbs."""
        del ctx
        return sorted(_installed())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb's package; a missing extra becomes a remedy."""
        del ctx
        found = _installed().get(cmd_name)
        if found is None:
            return None
        command: click.Command = found.load()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        rows = [(name, _SUMMARIES.get(name, "")) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="commensal.commands")}


def _missing(error: ModuleNotFoundError, verb: str) -> str:
    """The remedy for a verb whose extra is not installed."""
    extra = verb if verb in {"node", "coordinator", "demo"} else "demo"
    return (
        f"commensal: `commensal {verb}` needs the package {error.name}. "
        f"Install it with: pip install 'commensal[{extra}]' [EXTRA_MISSING]"
    )


def _print_version(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"commensal {version('commensal')}")
        ctx.exit()


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Print the version.",
)  # fmt: skip
def commensal() -> None:
    """Compute on health records that never leave their hospital.

    A permit goes in, a decision is taken at the hospital, a protected number comes out, and a
    log proves it.
    """


def main() -> None:
    """Run the command; every error of ours is one line with a remedy, never a traceback."""
    try:
        sys.exit(commensal.main(standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except Error as error:
        click.echo(f"commensal: {error.diagnostics()} [{error.code}]", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise  # not an extra that is missing, but a file of ours
        click.echo(_missing(error, sys.argv[1] if len(sys.argv) > 1 else ""), err=True)
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        reason = error.strerror or type(error).__name__
        click.echo(
            f"commensal: {place}{reason}. Check the path, its owner and the space on its disk "
            "[FILE_SYSTEM]",
            err=True,
        )
        sys.exit(1)
