"""The protocol over HTTP: every endpoint of both roles, as one Starlette application.

A caller is known before its body is read; a body is bounded before it is parsed. Every error is
the protocol's own message. What is not the caller's is unknown to it, in the same words as what
does not exist. Handlers run in threads, and answer when the transaction is committed.
"""

import asyncio
import re
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connector.dsp import conduct, messages
from connector.dsp.authentication import Authentication
from connector.dsp.desk import Desk
from connector.dsp.judge import Refused
from connector.dsp.messages import CONTEXT, MAX_BYTES, NO_PID, Message
from connector.dsp.offers import Catalogue
from connector.dsp.states import Kind
from connector.errors import LocalError, RemoteError
from policies.errors import Error

T = TypeVar("T")
PATH = "/2025-1"
_BODY_SECONDS = 15.0
_GZIP = 16 + zlib.MAX_WBITS
_ID = re.compile(r"[\x21-\x7e]{1,255}")
_STRANGERS_A_MINUTE = 60

# A first message by its path; a later one by what follows the process id.
_FIRST: dict[str, type[Message]] = {
    "/negotiations/request": messages.ContractRequestMessage,
    "/negotiations/offers": messages.ContractOfferMessage,
    "/transfers/request": messages.TransferRequestMessage,
}
_LATER: dict[tuple[Kind, str], type[Message]] = {
    (Kind.NEGOTIATION, "request"): messages.ContractRequestMessage,
    (Kind.NEGOTIATION, "offers"): messages.ContractOfferMessage,
    (Kind.NEGOTIATION, "agreement"): messages.ContractAgreementMessage,
    (Kind.NEGOTIATION, "agreement/verification"): messages.ContractAgreementVerificationMessage,
    (Kind.NEGOTIATION, "events"): messages.ContractNegotiationEventMessage,
    (Kind.NEGOTIATION, "termination"): messages.ContractNegotiationTerminationMessage,
    (Kind.TRANSFER, "start"): messages.TransferStartMessage,
    (Kind.TRANSFER, "completion"): messages.TransferCompletionMessage,
    (Kind.TRANSFER, "suspension"): messages.TransferSuspensionMessage,
    (Kind.TRANSFER, "termination"): messages.TransferTerminationMessage,
}
_STATUS = {
    "DSP_UNKNOWN": 404,
    "DSP_UNAUTHENTICATED": 404,
    "DSP_TOO_LARGE": 413,
    "DSP_MEDIA_TYPE": 415,
    "DSP_SLOW": 408,
}
_Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Surface:
    """One connector's endpoints. `changed` is called when there may be something in the outbox."""

    desk: Desk
    authentication: Authentication
    catalogue: Catalogue
    executor: Executor
    changed: Callable[[], None]
    path: str = PATH
    _strangers: deque[datetime] = field(default_factory=deque)

    def application(self, more: list[Route] | None = None) -> Starlette:
        """The application; `more` routes come first."""
        routes = [*(more or []), Route("/.well-known/dspace-version", self._version)]
        routes += [
            self._route("/catalog/request", self._catalog, "POST", "GET"),
            self._route("/catalog/datasets/{dataset:path}", self._dataset, "GET"),
        ]
        for path, first in _FIRST.items():
            routes.append(self._route(path, self._begin(first), "POST"))
        for (kind, end), later in _LATER.items():
            place = f"/{kind}s/{{pid}}/{end}"
            routes.append(self._route(place, self._receive(kind, later), "POST"))
        for kind in Kind:
            routes.append(self._route(f"/{kind}s/{{pid}}", self._look(kind), "GET"))
        return Starlette(
            routes=routes,
            exception_handlers={HTTPException: _no_such_place, Exception: _failed},
        )

    def _route(self, path: str, handler: _Handler, *methods: str) -> Route:
        async def guarded(request: Request) -> Response:
            request.state.caller = ""
            try:
                request.state.caller = self.authentication.caller(
                    request.headers.get("authorization")
                )
                return await handler(request)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it
            except Error as error:
                return await self._refuse(request, error)

        # Here and not around the application: an artefact's bytes are its digest's, never packed.
        packed = Middleware(GZipMiddleware, minimum_size=1024)
        return Route(self.path + path, guarded, methods=list(methods), middleware=[packed])

    # Endpoints

    async def _version(self, _: Request) -> Response:
        version = {"version": messages.VERSION, "path": self.path, "binding": "HTTPS"}
        return JSONResponse({"protocolVersions": [version]})

    async def _catalog(self, request: Request) -> Response:
        if request.method == "POST":
            asked = messages.parse(await _body(request), messages.CatalogRequestMessage)
            if asked.filter:
                raise RemoteError("DSP_FILTER", "this catalogue knows no filters")
        continuation = request.query_params.get("continuation", "")
        if continuation and not _ID.fullmatch(continuation):
            raise RemoteError("DSP_CONTINUATION", "the continuation is not one of this catalogue")
        page = await self._call(self.catalogue.page, request.state.caller, continuation)
        address = self.desk.address
        catalog = {
            "@context": [CONTEXT],
            "@id": f"{address}/catalog",
            "@type": "Catalog",
            "participantId": self.desk.participant,
            "service": [
                {"@id": f"{address}#service", "@type": "DataService", "endpointURL": address}
            ],
        }
        if page.datasets:
            catalog["dataset"] = page.datasets
        links = [
            f'<{address}/catalog/request?continuation={quote(token, safe="")}>; rel="{relation}"'
            for relation, token in (("previous", page.previous), ("next", page.next))
            if token
        ]
        return JSONResponse(catalog, headers={"link": ", ".join(links)} if links else None)

    async def _dataset(self, request: Request) -> Response:
        name = request.path_params["dataset"]
        found = None
        if _ID.fullmatch(name):
            found = await self._call(self.catalogue.dataset, request.state.caller, name)
        if found is None:
            raise RemoteError("DSP_UNKNOWN", "there is no such dataset for you")
        return JSONResponse({"@context": [CONTEXT], **found})

    def _begin(self, kind: type[Message]) -> _Handler:
        async def handler(request: Request) -> Response:
            message = messages.parse(await _body(request), kind)
            request.state.message = message
            answer = await self._call(conduct.begin, self.desk, request.state.caller, message)
            self.changed()
            return JSONResponse(answer.spell(), status_code=201)

        return handler

    def _receive(self, kind: Kind, message_type: type[Message]) -> _Handler:
        async def handler(request: Request) -> Response:
            # First of all whether it is the caller's: what is said to others is not even parsed.
            pid, caller = _pid(request), request.state.caller
            request.state.process = await self._call(conduct.look, self.desk, caller, pid, kind)
            message = messages.parse(await _body(request), message_type)
            answer = await self._call(conduct.receive, self.desk, caller, pid, message)
            self.changed()
            return JSONResponse(answer.spell())

        return handler

    def _look(self, kind: Kind) -> _Handler:
        async def handler(request: Request) -> Response:
            pid, caller = _pid(request), request.state.caller
            for _ in range(20):
                found = await self._call(conduct.look, self.desk, caller, pid, kind)
                if NO_PID not in (found.provider_pid, found.consumer_pid):
                    break
                # The peer asks before its own first answer, which names its id, has been read.
                await asyncio.sleep(0.05)
            return JSONResponse(found.spell())

        return handler

    # Errors

    async def _refuse(self, request: Request, error: Error) -> Response:
        status = _STATUS.get(error.code, 400) if isinstance(error, RemoteError) else 503
        known, place = bool(request.state.caller), request.url.path.removeprefix(self.path)
        if known or self._has_room_for_strangers():
            event = Refused(self.desk.clock(), request.state.caller, place[:200], error.code)
            try:
                await self._call(self.desk.record, event)
            except LocalError:
                status = 503  # what cannot be written down is answered as what it is: a failure
        if place.startswith("/catalog") and error.code == "DSP_UNAUTHENTICATED":
            status = 401
        hidden = status == 503 and isinstance(error, LocalError)
        reason = "this connector cannot answer now" if hidden else error.diagnostics()
        body = _error(place, _pids(request), error.code, reason)
        headers = {"retry-after": "1"} if status == 503 else None
        return JSONResponse(body, status_code=status, headers=headers)

    def _has_room_for_strangers(self) -> bool:
        # Threat: somebody without a token fills the log.
        now = self.desk.clock()
        while self._strangers and now - self._strangers[0] > timedelta(minutes=1):
            self._strangers.popleft()
        if len(self._strangers) >= _STRANGERS_A_MINUTE:
            return False
        self._strangers.append(now)
        return True

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.executor, work, *arguments)


def _pid(request: Request) -> str:
    pid: str = request.path_params["pid"]
    if not _ID.fullmatch(pid):
        raise RemoteError("DSP_UNKNOWN", "there is nothing of that name for you")
    return pid


async def _body(request: Request) -> bytes:
    """The body, unpacked. Raises `RemoteError`: DSP_MEDIA_TYPE, DSP_TOO_LARGE, DSP_SLOW."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if kind != "application/json" or coding not in ("identity", "gzip"):
        raise RemoteError("DSP_MEDIA_TYPE", "a message is application/json, plain or gzip")
    content = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise _too_large()
    except TimeoutError as error:
        raise RemoteError("DSP_SLOW", f"no whole message in {_BODY_SECONDS:.0f} s") from error
    return _unpack(bytes(content)) if coding == "gzip" else bytes(content)


def _unpack(content: bytes) -> bytes:
    try:
        unpacking = zlib.decompressobj(_GZIP)
        plain = unpacking.decompress(content, MAX_BYTES + 1)
    except zlib.error as error:
        raise RemoteError("DSP_MALFORMED", "the body is not gzip") from error
    if len(plain) > MAX_BYTES:
        raise _too_large()
    if not unpacking.eof or unpacking.unused_data:
        raise RemoteError("DSP_MALFORMED", "the body is not one whole gzip member")
    return plain


def _too_large() -> RemoteError:
    return RemoteError("DSP_TOO_LARGE", f"a message exceeds {MAX_BYTES} bytes")


def _pids(request: Request) -> tuple[str, str]:
    process = getattr(request.state, "process", None)
    if process is not None:
        return process.provider_pid, process.consumer_pid
    first = getattr(request.state, "message", None)
    provider = getattr(first, "provider_pid", None) or NO_PID
    return provider, getattr(first, "consumer_pid", None) or NO_PID


def _error(place: str, pids: tuple[str, str], code: str, reason: str) -> dict[str, Any]:
    provider, consumer = pids
    if place.startswith("/negotiations"):
        return messages.ContractNegotiationError(
            provider_pid=provider, consumer_pid=consumer, code=code, reason=(reason,)
        ).spell()
    if place.startswith("/transfers"):
        return messages.TransferError(
            provider_pid=provider, consumer_pid=consumer, code=code, reason=(reason,)
        ).spell()
    return messages.CatalogError(code=code, reason=(reason,)).spell()


async def _no_such_place(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    place = "/" + request.url.path.partition("/")[2].partition("/")[2]
    body = _error(place, (NO_PID, NO_PID), "DSP_NO_SUCH_PLACE", "there is no such endpoint")
    return JSONResponse(body, status_code=status, headers=headers)


async def _failed(request: Request, _: Exception) -> Response:
    """A defect of ours: nothing of it is told. Starlette raises it again, for the server's log."""
    place = "/" + request.url.path.partition("/")[2].partition("/")[2]
    body = _error(place, (NO_PID, NO_PID), "DSP_FAILED", "this connector has failed")
    return JSONResponse(body, status_code=500)
