"""`commensal coordinator`: what the health data access body types."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from connector.revocation import Effect, Reason

_DIRECTORY = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
# Those of `connector.revocation.Reason`, which is not imported for every verb.
_REASONS = ("non-compliance", "hearing", "risk", "court", "user-request", "issued-in-error")


@click.group()
def coordinator() -> None:
    """The health data access body's side: permits, jobs, aggregation, releases."""


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
@click.option("--name", required=True, help="The body's name, e.g. hdab-se.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8700, show_default=True, help="Port; 0 lets the system choose.")
@click.option("--public", default="", help="Where hospitals reach it, as host:port.")
def init(directory: Path, name: str, host: str, port: int, public: str) -> None:
    """Create a coordinator in DIRECTORY: keys, certificate authority, configuration."""
    from coordinator.office import create  # noqa: PLC0415 - imported by the verb that needs it

    paths = create(directory, name, host, port, public)
    click.echo(f"created {paths.root}; start it with: commensal coordinator run {directory}")


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
def run(directory: Path) -> None:
    """Run the coordinator until it is stopped."""
    import asyncio  # noqa: PLC0415 - as above
    import signal  # noqa: PLC0415 - as above

    from coordinator.office import Office  # noqa: PLC0415 - as above
    from coordinator.service import Service  # noqa: PLC0415 - as above

    async def serve() -> None:
        service = Service(Office.open(directory), click.echo)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stop)
        await service.run()

    asyncio.run(serve())


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("hospital")
@click.option("--key", default="", help="Fingerprint of the one key that may use it.")
@click.option("--did", default="", help="The hospital's did:web, if it speaks to others.")
def invite(directory: Path, hospital: str, key: str, did: str) -> None:
    """Print a one-time invitation for HOSPITAL. Send it by a second channel; it is a secret."""
    click.echo(_office(directory).invite(hospital, key, did).as_line())


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("hospital")
@click.option("--yes", is_flag=True, help="Revoke without asking.")
def revoke(directory: Path, hospital: str, *, yes: bool) -> None:
    """Take HOSPITAL off the list of participants; its key never comes back."""
    if not yes:
        click.confirm(f"Revoke {hospital}? It can only join again with a new key", abort=True)
    _office(directory).revoke(hospital)
    click.echo(f"{hospital} is revoked; the running coordinator logs it and ends its connection")


class _FirstUnlessNamed(click.Group):
    """`catalogue DIRECTORY` stands for `catalogue offers DIRECTORY`: for its first verb."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A first word that is no verb is a directory."""
        if args and args[0] not in self.commands:
            args = [next(iter(self.commands)), *args]
        return super().resolve_command(ctx, args)


@coordinator.group(cls=_FirstUnlessNamed)
def catalogue() -> None:
    """What the hospitals offer; and their described datasets, searched and through time."""


@catalogue.command()
@click.argument("directory", type=_DIRECTORY)
def offers(directory: Path) -> None:
    """What the connected hospitals offer to jobs."""
    from coordinator.views import catalogue as lines  # noqa: PLC0415 - as above

    with closing(_office(directory)) as office:
        for line in lines(office.participants()):
            click.echo(line)


@catalogue.command()
@click.argument("directory", type=_DIRECTORY)
def crawl(directory: Path) -> None:
    """Read the catalogue of every peer now; exits 1 if one could not be read."""
    import asyncio  # noqa: PLC0415 - as above

    from coordinator.federation import crawler, lines  # noqa: PLC0415 - as above

    with closing(_office(directory)) as office:
        outcomes = asyncio.run(crawler.crawl(office))
    for line in lines.crawled(outcomes):
        click.echo(line)
    if any(outcome.problem for outcome in outcomes):
        raise click.exceptions.Exit(1)


@catalogue.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("text", nargs=-1, required=True)
def search(directory: Path, text: tuple[str, ...]) -> None:
    """Find datasets by words of their titles, descriptions, keywords and variables."""
    from coordinator.federation import history, lines  # noqa: PLC0415 - as above

    with closing(_office(directory)) as office:
        found = history.search(office.store, " ".join(text))
    for line in lines.found(found):
        click.echo(line)


@catalogue.command(name="history")
@click.argument("directory", type=_DIRECTORY)
@click.argument("dataset")
def catalogue_history(directory: Path, dataset: str) -> None:
    """All versions of the record of DATASET, with when each was seen."""
    from coordinator.federation import history, lines  # noqa: PLC0415 - as above

    with closing(_office(directory)) as office:
        versions = history.history(office.store, dataset)
    for line in lines.history(versions):
        click.echo(line)


@coordinator.group(cls=_FirstUnlessNamed)
def permit() -> None:
    """Issue permits, and take them back."""


@permit.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("file", type=_FILE)
def issue(directory: Path, file: Path) -> None:
    """Sign and issue the data permit that FILE (TOML) describes."""
    from coordinator.permits import parse  # noqa: PLC0415 - as above

    office = _office(directory)
    granted = parse(_read(file), str(file), office.key.name)
    office.issue_permit(granted)
    click.echo(f"issued permit {granted.id} ({granted.digest})")


@permit.command(name="revoke")
@click.argument("directory", type=_DIRECTORY)
@click.argument("permit_id", metavar="PERMIT")
@click.option("--reason", required=True, type=click.Choice(_REASONS), help="Why (logged).")
def permit_revoke(directory: Path, permit_id: str, reason: "Reason") -> None:
    """Revoke PERMIT for good: everything under it stops, here and at every hospital."""
    _take_back(directory, permit_id, "revoked", reason)


@permit.command(name="suspend")
@click.argument("directory", type=_DIRECTORY)
@click.argument("permit_id", metavar="PERMIT")
@click.option("--reason", required=True, type=click.Choice(_REASONS), help="Why (logged).")
def permit_suspend(directory: Path, permit_id: str, reason: "Reason") -> None:
    """Stop everything under PERMIT while it is examined; going on needs a new permit."""
    _take_back(directory, permit_id, "suspended", reason)


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("file", type=_FILE)
@click.option("--watch/--no-watch", default=True, help="Follow the job to its end.")
def submit(directory: Path, file: Path, watch: bool) -> None:
    """Submit the training job that FILE (TOML) describes."""
    from coordinator.jobs import conduct, plan  # noqa: PLC0415 - as above
    from coordinator.office import offers_of  # noqa: PLC0415 - as above

    office = _office(directory)
    application = plan.parse(_read(file), str(file))
    granted, _ = office.permit(application.permit)
    spec = plan.specify(application, granted, offers_of(office.participants()), office.clock())
    conduct.submit(office, spec, application.permit)
    click.echo(f"submitted job {spec.id} ({spec.digest})")
    if watch:
        _watch(directory, spec.id)


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("job")
def watch(directory: Path, job: str) -> None:
    """Follow JOB to its end; exits 1 if it did not finish."""
    _watch(directory, job)


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
def jobs(directory: Path) -> None:
    """All jobs and their states."""
    from rich.console import Console  # noqa: PLC0415 - as above

    from coordinator.views import jobs_table  # noqa: PLC0415 - as above

    Console().print(jobs_table(_office(directory)))


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("job")
def label(directory: Path, job: str) -> None:
    """Show the nutrition label of JOB's result."""
    from rich.console import Console  # noqa: PLC0415 - as above

    from connector.labels.render import as_terminal  # noqa: PLC0415 - as above
    from coordinator.releases import read_label  # noqa: PLC0415 - as above

    Console().print(as_terminal(read_label(_office(directory), job)))


@coordinator.command()
@click.argument("directory", type=_DIRECTORY)
@click.argument("job")
@click.option("--reviewer", required=True, help="Who takes responsibility (Art. 73(2)).")
@click.option("--approve/--reject", required=True, help="The reviewer's word.")
def review(directory: Path, job: str, reviewer: str, approve: bool) -> None:
    """Approve or reject the held result of JOB."""
    from coordinator import releases  # noqa: PLC0415 - as above

    logged = releases.review(_office(directory), job, reviewer, approve=approve)
    click.echo(f"the result of {job} is {'approved' if approve else 'rejected'} by {reviewer}")
    if not logged:
        click.echo("that counts once the coordinator runs and has logged it")


def _take_back(directory: Path, permit_id: str, effect: "Effect", reason: "Reason") -> None:
    from coordinator import withdrawal  # noqa: PLC0415 - as above

    with closing(_office(directory)) as office:
        row = withdrawal.revoke(office, permit_id, effect, reason)
        running = office.paths.address.exists()
    click.echo(f"permit {row.permit_id} is {row.effect} ({row.reason})")
    if not running:
        click.echo("that counts once the coordinator runs and has logged it")


def _office(directory: Path):  # type: ignore[no-untyped-def]
    from coordinator.office import Office  # noqa: PLC0415 - as above

    return Office.open(directory)


def _watch(directory: Path, job: str) -> None:
    from coordinator.jobs.states import JobState  # noqa: PLC0415 - as above
    from coordinator.views import follow, sentence  # noqa: PLC0415 - as above

    office = _office(directory)
    for event in follow(office, job):
        click.echo(f"{event.time:%H:%M:%S}  {sentence(event.kind, event.body)}")
        if event.kind == "ended" and event.body["state"] != JobState.FINISHED:
            raise click.exceptions.Exit(1)


def _read(path: Path) -> bytes:
    from connector.errors import LocalError  # noqa: PLC0415 - as above
    from connector.files import open_regular  # noqa: PLC0415

    try:
        with open_regular(path) as file:
            return file.read(1 << 20)
    except OSError as error:
        raise LocalError(
            "FILE_MISSING", f"cannot read {path} ({error.strerror})", "Check the path"
        ) from error
