"""The running coordinator: one HTTPS port with enrolment and the Fleet, and the desk's clock.

The web surface is three paths: `GET /v1/authority`, `POST /v1/enrol` and Flower's `/v1/fleet/*`.
Jobs and permits come from the tables, which the command line writes; so there is no control
interface that somebody could reach.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import uvicorn
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from connector.audit import entries
from connector.audit.log import Log
from connector.errors import LocalError
from connector.flower.server import FleetRun, FleetServer
from connector.flower.web import WebServer
from connector.identity import certificates
from connector.identity.enrolment import EnrolmentRequest
from connector.identity.keys import VerifyKey
from connector.jobs import JobSpec
from connector.store import JobRow, Participant, PermitRow, ReleaseRow
from coordinator.jobs import conduct
from coordinator.jobs.exchange import Exchange, Member
from coordinator.jobs.states import FINAL, JobState
from coordinator.office import Office, fleet_key_pem, write_atomically
from policies.errors import Error

_TICK_SECONDS = 0.1
_DESCRIBE_SECONDS = 20.0
_MAX_ENROLMENT_BYTES = 1 << 14
_ENROLMENTS_AT_ONCE = 4
_END_SECONDS = 10.0
_MOST_ENDS = 100
_RENEWAL_SECONDS = 3600.0


class Service:
    """Everything that runs while `commensal coordinator run` runs."""

    def __init__(self, office: Office, say: Callable[[str], None]) -> None:
        self._office = office
        self._say = say
        self._log = Log.open(office.paths.log, office.key)
        self._fleet = FleetServer()
        self._nodes: dict[str, int] = {}
        self._described: set[str] = set()
        self._lock = threading.Lock()
        self._jobs = ThreadPoolExecutor(office.config.jobs_at_once, thread_name_prefix="job")
        self._runs: dict[str, FleetRun] = {}
        self._stopping = threading.Event()
        self._stop = asyncio.Event()
        self._enrolling = asyncio.Semaphore(_ENROLMENTS_AT_ONCE)
        for participant in office.participants():
            self._admit(participant)

    async def run(self) -> None:
        """Serve until `stop`. Raises `LocalError` (PORT_IN_USE) before anything has started."""
        office = self._office
        certificates.renew_server_certificate(
            office.paths.identity, office.config.host, office.clock()
        )
        listener = _listen(office.config.host, office.config.port)
        web = self._web_config()
        server = _Server(web, self._fleet)
        address = "{}:{}".format(*listener.getsockname()[:2])
        write_atomically(office.paths.address, address)
        self._say(f"coordinator {office.key.name} listens on https://{address}")
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        renewing = asyncio.create_task(self._renew(web))
        try:
            await self._desk(serving)
        finally:
            renewing.cancel()
            office.paths.address.unlink(missing_ok=True)
            await asyncio.to_thread(self._close_jobs)
            self._fleet.close()
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            self._log.close()

    def stop(self) -> None:
        """End `run`; jobs under way end as failed."""
        self._stop.set()

    def record(self, entry: entries.Entry) -> None:
        """Write into the coordinator's log, durably."""
        self._office.record(self._log, entry)

    async def _renew(self, web: uvicorn.Config) -> None:
        """A coordinator runs for longer than a certificate lasts; new connections get the new one."""
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            try:
                self._renew_certificate(web)
            except Error as error:
                self._say(error.diagnostics())

    def _renew_certificate(self, web: uvicorn.Config) -> None:
        identity = self._office.paths.identity
        certificates.renew_server_certificate(
            identity, self._office.config.host, self._office.clock()
        )
        if web.ssl is not None:
            web.ssl.load_cert_chain(identity / "server.pem", identity / "server.key")

    # The desk: what the tables ask for

    async def _desk(self, serving: "asyncio.Task[None]") -> None:
        await asyncio.to_thread(conduct.fail_interrupted, self._office)
        while not self._stop.is_set() and not serving.done():
            await asyncio.to_thread(self._tick)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _TICK_SECONDS)

    def _tick(self) -> None:
        self._log_permits()
        self._log_reviews()
        self._describe_new_nodes()
        for job_id in self._waiting_jobs():
            self._begin(job_id)

    def _begin(self, job_id: str) -> None:
        run = self._fleet.open_run()
        self._runs[job_id] = run
        future = self._jobs.submit(
            conduct.conduct, self._office, run, job_id, self._members(), self.record, self._stopping
        )
        future.add_done_callback(lambda done: self._ended(job_id, done))

    def _ended(self, job_id: str, done: "Future[None]") -> None:
        self._runs.pop(job_id, None)
        if done.cancelled():
            conduct.finish(self._office, job_id, JobState.FAILED, "COORDINATOR_STOPPED")
        elif (error := done.exception()) is not None:
            self._say(f"job {job_id} ended by an unexpected {type(error).__name__}")
            conduct.finish(self._office, job_id, JobState.FAILED, "COORDINATOR_ERROR")

    def _log_permits(self) -> None:
        with self._office.store.begin() as session:
            for row in session.scalars(select(PermitRow).where(PermitRow.logged.is_(False))):
                self.record(
                    entries.PermitIssued(
                        time=self._office.clock(), permit_digest=row.digest, document=row.document
                    )
                )
                row.logged = True

    def _log_reviews(self) -> None:
        with self._office.store.begin() as session:
            for row in session.scalars(select(ReleaseRow).where(ReleaseRow.logged.is_(False))):
                self.record(
                    entries.Reviewed(
                        time=self._office.clock(),
                        job=row.job_digest,
                        subject=row.subject_digest,
                        reviewer=row.reviewer,
                        verdict="approved" if row.state == "approved" else "rejected",
                    )
                )
                row.logged = True

    def _waiting_jobs(self) -> list[str]:
        """Take the submitted jobs whose permit stands in the log; each is taken once."""
        with self._office.store.begin() as session:
            rows = session.scalars(
                select(JobRow)
                .join(PermitRow, JobRow.permit_id == PermitRow.id)
                .where(JobRow.state == JobState.SUBMITTED, PermitRow.logged.is_(True))
                .order_by(JobRow.submitted_at)
                .with_for_update(of=JobRow)
            )
            taken = []
            for row in rows:
                row.state = JobState.STARTING
                taken.append(row.id)
            return taken

    def _describe_new_nodes(self) -> None:
        online = self._fleet.online()
        with self._lock:
            names = {name for name, node_id in self._nodes.items() if node_id in online}
            new = names - self._described
            self._described = names
        if new:
            # In a thread of its own: a slow node must not hold up the desk.
            threading.Thread(target=self._describe, args=(new,), daemon=True).start()

    def _describe(self, names: set[str]) -> None:
        members = [m for m in self._members() if m.name in names]
        with self._fleet.open_run() as run:
            exchange = Exchange(run, self._office.key)
            answers = exchange.ask(
                members, "describe", {}, seconds=_DESCRIBE_SECONDS, enough=len(members)
            )
            self._tell_ends(exchange, members)
        with self._office.store.begin() as session:
            for answer in answers:
                participant = session.get(Participant, answer.member.name)
                if participant is not None and answer.good:
                    participant.offers = list(answer.offers)
                    participant.last_seen = self._office.clock()

    def _tell_ends(self, exchange: Exchange, members: list[Member]) -> None:
        """Tell nodes that were away, or that we left, which jobs are over.

        Otherwise they would hold a job's records and its unused plan until its time is over.
        """
        with self._office.store.begin() as session:
            newest = select(JobRow).where(JobRow.state.in_(FINAL)).order_by(
                JobRow.submitted_at.desc()
            ).limit(_MOST_ENDS)  # fmt: skip
            rows = list(session.scalars(newest))
        for row in rows:
            spec = JobSpec.decode(row.specification.encode())
            asked = [member for member in members if spec.dataset_of(member.name)]
            if asked and spec.not_after > self._office.clock():
                body = {"job": row.digest, "reason": row.reason or row.state}
                exchange.ask(asked, "end", body, seconds=_END_SECONDS, enough=len(asked))

    def _members(self) -> list[Member]:
        with self._lock:
            nodes = dict(self._nodes)
        return [
            Member(p.name, VerifyKey.parse(p.signing_key), nodes[p.name])
            for p in self._office.participants()
            if p.name in nodes and p.not_after > self._office.clock()
        ]

    def _admit(self, participant: Participant) -> None:
        node_id = self._fleet.register(fleet_key_pem(participant), participant.name)
        with self._lock:
            previous = self._nodes.get(participant.name)
            self._nodes[participant.name] = node_id
            self._described.discard(participant.name)
        if previous is not None and previous != node_id:
            self._fleet.unregister(previous)

    def _close_jobs(self) -> None:
        self._stopping.set()
        for run in list(self._runs.values()):
            run.close()
        self._jobs.shutdown(wait=True, cancel_futures=True)

    # The web surface

    def _web_config(self) -> uvicorn.Config:
        identity = self._office.paths.identity
        config = uvicorn.Config(
            Starlette(
                routes=[
                    Route("/v1/authority", self._authority, methods=["GET"]),
                    Route("/v1/enrol", self._enrol, methods=["POST"]),
                    Mount("/", app=self._to_fleet),
                ]
            ),
            ssl_certfile=str(identity / "server.pem"),
            ssl_keyfile=str(identity / "server.key"),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=3,
            limit_concurrency=1000,
            h11_max_incomplete_event_size=1 << 16,
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
        return config

    async def _to_fleet(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._fleet.app(scope, receive, send)

    async def _authority(self, _request: Request) -> Response:
        content = (self._office.paths.identity / "ca.pem").read_bytes()
        return Response(content, media_type="application/x-pem-file")

    async def _enrol(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_ENROLMENT_BYTES:
                return PlainTextResponse("ENROLMENT_TOO_LARGE", 413)
        try:
            async with self._enrolling:
                document, participant = await asyncio.to_thread(self._redeem, body)
        except Error:
            # Which of token, name or key was wrong is nobody's business on this side of the door.
            return PlainTextResponse("ENROLMENT_REFUSED", 403)
        self._say(f"{participant.name} enrolled")
        return Response(document, media_type="application/json")

    def _redeem(self, body: bytes) -> tuple[str, Participant]:
        request = EnrolmentRequest.decode(body)
        document, participant = self._office.enrol(request, self._log)
        self._admit(participant)
        return document, participant


class _Server(WebServer):
    """uvicorn without its own signal handling: the command line stops the whole service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Leave signals alone."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise LocalError(
            "PORT_IN_USE",
            f"cannot listen on {host}:{port} ({error.strerror})",
            "Stop what uses that port, or set another `port` in coordinator.toml",
        ) from error
    return listener
