"""The running coordinator: one HTTPS port (see `surface`), and the desk's clock.

Jobs and permits come from the tables, which the command line writes; so there is no control
interface that somebody could reach.
"""

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import uvicorn
from sqlalchemy import select

from connector.audit.log import Log
from connector.errors import LocalError
from connector.files import write_durably
from connector.flower.server import FleetRun, FleetServer
from connector.flower.web import WebServer
from connector.identity import certificates
from connector.identity.enrolment import EnrolmentRequest
from connector.store import JobRow, PermitRow
from coordinator import filing, pages, renewal, withdrawal
from coordinator.catalogue import Catalogue
from coordinator.config import spell_address
from coordinator.federation import crawler, lines
from coordinator.jobs import conduct
from coordinator.jobs.conduct import Ending
from coordinator.jobs.exchange import Member
from coordinator.jobs.states import JobState
from coordinator.members import file_revocations
from coordinator.notices import Notices
from coordinator.office import Office
from coordinator.recorder import Recorder
from coordinator.roster import Roster
from coordinator.surface import Surface
from policies.errors import Error

if TYPE_CHECKING:
    from coordinator.dataspace import Dataspace

_TICK_SECONDS = 0.1
_BUSY_SECONDS = 600.0
_RENEWAL_SECONDS = 3600.0
_CRAWL_SECONDS = 3600.0
_DESCRIPTORS = 4096


class Service:
    """Everything that runs while `commensal coordinator run` runs."""

    def __init__(self, office: Office, say: Callable[[str], None]) -> None:
        self._office = office
        self._say = say
        self._log = Log.open(office.paths.log, office.key)
        self._recorder = Recorder(self._log, office.clock)
        self._fleet = FleetServer()
        self._roster = Roster(office, self._fleet)
        self._catalogue = Catalogue(office, self._fleet, self._roster, say)
        self._jobs = ThreadPoolExecutor(office.config.jobs_at_once, thread_name_prefix="job")
        self._withdrawals = withdrawal.Withdrawals(office, self._recorder, say)
        self._notices = Notices(office, self._fleet, self._roster, say)
        self._runs: dict[str, FleetRun] = {}
        self._deadlines: dict[str, tuple[datetime, str]] = {}
        self._halted: dict[str, str] = {}
        self._lost: dict[str, str] = {}
        self._recovered = False
        self._busy_since: float | None = None
        self._stopping = threading.Event()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dataspace = self._open_dataspace()

    async def run(self) -> None:
        """Serve until `stop`. Raises `LocalError` (PORT_IN_USE) before anything has started."""
        office, settings = self._office, self._office.config
        certificates.renew_server_certificate(
            office.paths.identity, settings.public_host, office.clock()
        )
        listener = _listen(settings.host, settings.port)
        web = self._web_config()
        server = _Server(web, self._fleet)
        address = spell_address(*listener.getsockname()[:2])
        write_durably(office.paths.address, address.encode())
        self._say(f"coordinator {office.key.name} listens on https://{address}")
        self._loop = asyncio.get_running_loop()
        if self._dataspace is not None:
            await asyncio.to_thread(self._dataspace.start)
            self._say(
                f"dataspace: served at {settings.dataspace.root}" if settings.dataspace else ""
            )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        beside = [asyncio.create_task(self._renew(web)), asyncio.create_task(self._crawl())]
        try:
            await self._desk(serving)
        finally:
            for task in beside:
                task.cancel()
            office.paths.address.unlink(missing_ok=True)
            await asyncio.to_thread(self._close_jobs)
            if self._dataspace is not None:
                await asyncio.to_thread(self._dataspace.close)
            self._fleet.close()
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            self._log.close()

    def stop(self) -> None:
        """End `run`; jobs under way end as failed."""
        self._stop.set()

    def _open_dataspace(self) -> "Dataspace | None":
        settings = self._office.config.dataspace
        if settings is None:
            return None
        from coordinator.dataspace import Dataspace  # noqa: PLC0415 - only where it is configured

        return Dataspace(self._office, settings, self._recorder, self._say, self._dataspace_ended)

    def _dataspace_ended(self) -> None:
        """It has ended, by itself or because the coordinator does; from its own thread."""
        if not self._stopping.is_set() and self._loop is not None:
            self._say("dataspace: it has ended by itself, and so does the coordinator")
            self._loop.call_soon_threadsafe(self._stop.set)

    def _web_config(self) -> uvicorn.Config:
        surface = Surface(
            self._office.paths.identity,
            self._fleet.app,
            self._redeem,
            self._renew_membership,
            pages.routes(self._office),
        )
        return surface.configure()

    async def _renew(self, web: uvicorn.Config) -> None:
        """A coordinator runs for longer than a certificate lasts; new connections get another."""
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            try:
                self._renew_certificate(web)
            except Error as error:
                self._say(error.diagnostics())
            except (OSError, ValueError) as error:
                self._say(f"the certificate was not renewed ({error}); trying again in an hour")

    async def _crawl(self) -> None:
        """The federated catalogue; a node that cannot be read is tried again in an hour."""
        while self._office.config.peers:
            try:
                for line in lines.crawled(await crawler.crawl(self._office)):
                    self._say(line)
            except Error as error:
                self._say(error.diagnostics())
            await asyncio.sleep(_CRAWL_SECONDS)

    def _renew_certificate(self, web: uvicorn.Config) -> None:
        identity = self._office.paths.identity
        certificates.renew_server_certificate(
            identity, self._office.config.public_host, self._office.clock()
        )
        if web.ssl is not None:
            web.ssl.load_cert_chain(identity / "server.pem", identity / "server.key")

    def _redeem(self, body: bytes) -> str:
        request = EnrolmentRequest.decode(body)
        document, participant = self._office.enrol(request, self._recorder.record)
        self._roster.admit(participant)
        self._say(f"{participant.name} enrolled")
        return document

    def _renew_membership(self, body: bytes) -> str:
        document, participant = renewal.renew(self._office, body, self._recorder.record)
        self._roster.admit(participant)
        return document

    # The desk: what the tables ask for

    async def _desk(self, serving: "asyncio.Task[None]") -> None:
        while not self._stop.is_set() and not serving.done():
            await asyncio.to_thread(self._patient_tick)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _TICK_SECONDS)

    def _patient_tick(self) -> None:
        """A tick that bears with a locked database, for ten minutes, and says so once."""
        try:
            self._tick()
        except LocalError as error:
            if error.code != "STORE_BUSY":
                raise
            now = time.monotonic()
            if self._busy_since is None:
                self._busy_since = now
                self._say(f"waiting: {error.diagnostics()}")
            if now - self._busy_since > _BUSY_SECONDS:
                raise
        else:
            if self._busy_since is not None:
                self._say("the database can be written again")
            self._busy_since = None

    def _tick(self) -> None:
        if not self._recovered:
            conduct.fail_interrupted(self._office, self._recorder.record)
            filing.file_ends(self._office, self._recorder)
            self._recovered = True
        filing.file_all(self._office, self._recorder)
        self._withdrawals.take_effect()
        self._halt_jobs()
        office = self._office
        for name in file_revocations(office.store, self._recorder.record, office.clock()):
            self._roster.drop(name)
            self._say(f"{name} is revoked")
        self._finish_lost()
        self._notices.refresh()
        self._catalogue.refresh()
        members = self._roster.members()  # before a job is taken: it may fail
        for job_id in self._waiting_jobs():
            self._begin(job_id, members)

    def _begin(self, job_id: str, members: list[Member]) -> None:
        run = self._fleet.open_run()
        self._runs[job_id] = run
        self._deadlines[job_id] = withdrawal.deadline(self._office, job_id)
        future = self._jobs.submit(
            conduct.conduct,
            self._office,
            run,
            job_id,
            members,
            self._recorder.record,
            self._stopping,
            dataspace=self._dataspace,
            halted=lambda: self._halted.get(job_id, ""),
        )
        future.add_done_callback(lambda done: self._ended(job_id, done))

    def _ended(self, job_id: str, done: "Future[None]") -> None:
        """Only notes what went wrong: an exception in a callback would be lost."""
        self._runs.pop(job_id, None)
        self._deadlines.pop(job_id, None)
        self._halted.pop(job_id, None)
        if done.cancelled():
            self._lost[job_id] = "COORDINATOR_STOPPED"
        elif (error := done.exception()) is not None:
            self._lost[job_id] = error.code if isinstance(error, Error) else "COORDINATOR_ERROR"
            with contextlib.suppress(OSError):  # a console that has gone
                self._say(f"job {job_id} ended by an unexpected {type(error).__name__}")

    def _halt_jobs(self) -> None:
        """End every job whose permit was taken back, or is over; and those whose own time is."""
        now = self._office.clock()
        over = {job: code for job, (end, code) in list(self._deadlines.items()) if end <= now}
        for job_id, code in (over | self._withdrawals.due()).items():
            self._halted.setdefault(job_id, code)
            run = self._runs.get(job_id)
            if run is not None:
                run.close()
            elif job_id not in self._lost:  # nobody has begun it
                self._lost[job_id] = code

    def _finish_lost(self) -> None:
        """Give a final state to jobs whose own thread could not."""
        for job_id, reason in list(self._lost.items()):
            try:
                ending = Ending(JobState.FAILED, reason)
                conduct.finish(self._office, job_id, ending, self._recorder.record)
            except LocalError as error:
                if error.code != "JOB_STATE":  # it has one
                    raise
            del self._lost[job_id]

    def _waiting_jobs(self) -> list[str]:
        """Take the submitted jobs whose permit stands in the log; each is taken once."""
        waiting = (
            select(JobRow)
            .join(PermitRow, JobRow.permit_id == PermitRow.id)
            .where(JobRow.state == JobState.SUBMITTED, PermitRow.logged.is_(True))
            .order_by(JobRow.submitted_at)
        )
        with self._office.store.read() as session:
            if session.scalars(waiting.limit(1)).first() is None:
                return []
        with self._office.store.begin() as session:
            taken = []
            for row in session.scalars(waiting.with_for_update(of=JobRow)):
                row.state = JobState.STARTING
                taken.append(row.id)
            return taken

    def _close_jobs(self) -> None:
        self._stopping.set()
        self._catalogue.close()
        self._notices.close()
        for run in list(self._runs.values()):
            run.close()
        self._jobs.shutdown(wait=True, cancel_futures=True)
        with contextlib.suppress(LocalError):  # the next start ends what is still open
            self._finish_lost()


class _Server(WebServer):
    """uvicorn without its own signal handling: the command line stops the whole service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave signals alone."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    _allow_descriptors()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol: asyncio disables Nagle's algorithm, which delays answers, for no other.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise LocalError(
            "PORT_IN_USE",
            f"cannot listen on {spell_address(host, port)} ({error.strerror})",
            "Stop what uses that port, or set another `port` in coordinator.toml",
        ) from error
    return listener


def _allow_descriptors() -> None:
    """Room for all connections that are allowed, and the files beside them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
