"""A connector that runs beside the rest of its program: surface, outbox and timer in one thread.

It has an event loop of its own; work on tables runs in a few threads. What goes wrong in it for
good is kept in `trouble` and told by `on_end`, since an exception in a thread is lost otherwise.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.routing import Route

from connector.dsp.addresses import Addresses
from connector.dsp.authentication import Authentication
from connector.dsp.client import PeerClient
from connector.dsp.desk import Desk
from connector.dsp.http import Surface
from connector.dsp.offers import Catalogue
from connector.dsp.outbox import Worker
from connector.dsp.settings import Certificate, Dataspace, files
from connector.errors import LocalError
from connector.flower.web import MAX_CONNECTIONS, Connection
from policies.errors import Error

_THREADS = 8
_TICK_SECONDS = 1.0
_START_SECONDS = 15.0
_STOP_SECONDS = 10.0
_Routes = Callable[[ThreadPoolExecutor], list[Route]]


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the program stops it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


@dataclass(frozen=True)
class Site:
    """Where a connector stands: its table and directory, whom it may call, and whom it trusts."""

    settings: Dataspace
    directory: Path
    addresses: Addresses
    trust: ssl.SSLContext


class Connector:
    """Serves the protocol, delivers what stands in the outbox, and calls `tick` now and then.

    `tick` runs in a thread of the executor; it may raise `Error`, which is told and tried again.
    """

    def __init__(
        self,
        site: Site,
        desk: Desk,
        authentication: Authentication,
        catalogue: Catalogue,
        *,
        tick: Callable[[], None],
        say: Callable[[str], None],
        on_end: Callable[[], None] = lambda: None,
        routes: _Routes = lambda _executor: [],
    ) -> None:
        """Take the port. Raises `LocalError` (PORT_IN_USE, CERTIFICATE_MISSING)."""
        self._desk = desk
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="dataspace")
        self._authentication = authentication
        self._catalogue = catalogue
        self._addresses = site.addresses
        self._trust = site.trust
        self._tick = tick
        self._say = say
        self._on_end = on_end
        self._routes = routes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: Worker | None = None
        self._client: PeerClient | None = None
        self._ready = threading.Event()
        self._ending: asyncio.Event | None = None
        self.trouble: BaseException | None = None
        self._tls = _tls(site.settings, site.directory)
        self._listener = _listen(*site.settings.place)
        self._thread = threading.Thread(target=self._run, name="dataspace", daemon=True)

    def start(self) -> None:
        """Return once it listens. Raises what kept it from that."""
        self._thread.start()
        self._ready.wait(_START_SECONDS)
        if self.trouble is not None:
            raise self.trouble

    def wake(self) -> None:
        """There is something in the outbox; from any thread."""
        loop, worker = self._loop, self._worker
        if loop is not None and worker is not None:
            with contextlib.suppress(RuntimeError):  # it is being closed
                loop.call_soon_threadsafe(worker.wake)

    def fetch(self, counterparty: str, url: str, most: int) -> bytes:
        """What a peer answers to a GET, from any thread.

        Raises `LocalError` (DATASPACE_STOPPED), `RemoteError`: DSP_REFUSED, and those of
        `PeerClient.fetch`.
        """
        loop, client = self._loop, self._client
        if loop is None or client is None:
            raise LocalError("DATASPACE_STOPPED", "the connector does not run")
        asked = client.fetch(counterparty, url, None, most=most)
        answer = asyncio.run_coroutine_threadsafe(asked, loop).result()
        return answer.content if answer.status == 200 else b""

    def close(self) -> None:
        """Stop and release everything; closing twice does nothing."""
        loop, ending = self._loop, self._ending
        if loop is not None and ending is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(ending.set)
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._listener.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - kept for the thread that looks at it
            self.trouble = error
        finally:
            self._loop = None
            self._ready.set()
            self._on_end()

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        self._client = client = PeerClient(self._authentication, self._addresses, self._trust)
        self._worker = worker = Worker(self._desk, client, self._executor)
        surface = Surface(
            self._desk, self._authentication, self._catalogue, self._executor, worker.wake
        )
        application = surface.application(self._routes(self._executor))
        server = _Server(_config(application, self._tls))
        self._loop = asyncio.get_running_loop()
        tasks = [
            asyncio.create_task(server.serve(sockets=[self._listener])),
            asyncio.create_task(worker.run()),
            asyncio.create_task(self._look_again()),
            asyncio.create_task(self._ending.wait()),
        ]
        self._ready.set()
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server.should_exit = True
            await asyncio.wait(tasks[:1], timeout=_STOP_SECONDS)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()
        for result in ended:
            if isinstance(result, Exception):
                raise result

    async def _look_again(self) -> None:
        loop, said = asyncio.get_running_loop(), ""
        while True:
            try:
                await loop.run_in_executor(self._executor, self._tick)
                said = ""
            except Error as error:
                if error.code != said:  # told once, tried until it goes
                    self._say(f"dataspace: {error.diagnostics()} [{error.code}]")
                said = error.code
            if self._worker is not None:
                self._worker.wake()
            await asyncio.sleep(_TICK_SECONDS)


def trusted(authorities: tuple[Path, ...]) -> ssl.SSLContext:
    """The system's authorities and these. Raises `LocalError` (AUTHORITIES_UNREADABLE)."""
    context = ssl.create_default_context()
    for place in authorities:
        try:
            context.load_verify_locations(place)
        except (OSError, ssl.SSLError) as error:
            raise LocalError(
                "AUTHORITIES_UNREADABLE",
                f"{place} is no file of certificates ({type(error).__name__})",
                "Name a PEM file as `authorities`",
            ) from error
    return context


def _config(application: Any, tls: tuple[str, str] | None) -> uvicorn.Config:
    config = uvicorn.Config(
        application,
        http=Connection,
        ws="none",
        proxy_headers=False,  # a caller is known by its token, never by its address
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        log_config=None,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=MAX_CONNECTIONS,
        h11_max_incomplete_event_size=1 << 16,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2  # what other connectors speak
    return config


def _tls(settings: Dataspace, directory: Path) -> tuple[str, str] | None:
    if not isinstance(settings.tls, Certificate):
        return None
    chain, key = files(directory, settings.tls)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        raise LocalError(
            "CERTIFICATE_MISSING",
            f"{chain} and {key} are no certificate with its key ({type(error).__name__})",
            "Name PEM files in [dataspace] tls; see docs/hospital.md",
        ) from error
    return chain, key


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise LocalError(
            "PORT_IN_USE",
            f"cannot listen on {host}:{port} for the dataspace ({error.strerror})",
            "Stop what uses that port, or set another `listen` in [dataspace]",
        ) from error
    return listener
