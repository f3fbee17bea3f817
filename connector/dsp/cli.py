"""`commensal conformance`: a connector for the Eclipse conformance kit to drive."""

from pathlib import Path

import click

_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_PROFILES = click.Choice(["dsp-tck"])


@click.group()
def conformance() -> None:
    """A connector with seeded datasets, offers and agreements, for conformance kits."""


@conformance.command()
@click.option("--profile", type=_PROFILES, required=True, help="What is seeded.")
@click.option("--port", default=8080, show_default=True, help="Port; 0 lets the system choose.")
@click.option("--directory", type=_DIRECTORY, help="Keep the state there; else it is temporary.")
@click.option("--token", default="", help="Take only this Authorization header; else any, or none.")
def serve(profile: str, port: int, directory: Path | None, token: str) -> None:
    """Serve on 127.0.0.1 until stopped.

    The first line says where; then come the kit's properties.
    """
    del profile  # there is one, and click has checked it
    from connector.dsp import conformance as kit  # noqa: PLC0415 - imported by the verb alone

    kit.serve(port, directory, token, click.echo)


@conformance.command()
@click.option("--profile", type=_PROFILES, required=True, help="What is seeded.")
@click.option("--port", default=8080, show_default=True, help="The port that `serve` listens on.")
def properties(profile: str, port: int) -> None:
    """Print the properties file with which the kit finds and drives this connector."""
    del profile  # as above
    from connector.dsp.conformance_seed import properties as lines  # noqa: PLC0415 - as above

    for line in lines(f"http://127.0.0.1:{port}"):
        click.echo(line)
