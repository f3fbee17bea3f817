"""`commensal demo`: the whole story on one machine."""

import signal
from pathlib import Path

import click

_DIRECTORY = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--heart", type=_DIRECTORY, help="Directory with the UCI heart-disease files.")
@click.option(
    "--output", type=_DIRECTORY, default=Path("demo-output"), show_default=True,
    help="Where the label's page is written.",
)  # fmt: skip
def demo(heart: Path | None, output: Path) -> None:
    """Four hospitals and a coordinator, as processes of their own, on real patient records."""
    from rich.console import Console  # noqa: PLC0415 - imported by the verb that needs it

    from connector.clock import utc_now  # noqa: PLC0415 - as above
    from coordinator.demo.flchain import flchain  # noqa: PLC0415 - as above
    from coordinator.demo.heart import heart as heart_disease  # noqa: PLC0415 - as above
    from coordinator.demo.story import run  # noqa: PLC0415 - as above

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # else it runs under nohup
        signal.signal(signal.SIGHUP, interrupted)
    output.mkdir(parents=True, exist_ok=True)  # find out now, not in the last step
    now = utc_now()
    console = Console()
    with console.status("reading the records"):
        story = heart_disease(heart, now) if heart else flchain(now)
    run(console, story, output)
