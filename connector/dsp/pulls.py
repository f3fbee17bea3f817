"""Serves a released artefact behind the address of a started transfer (`HttpData-PULL`).

The transfer's token opens one artefact for one participant, for as long as the transfer is started,
its agreement in force, its policy satisfied, and its time not over; a stream that is under way ends
when that ends. What is handed out is written down first.
"""

import asyncio
import contextlib
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from connector.dsp import artefacts, ranges, terms
from connector.dsp.allowance import Allowance
from connector.dsp.artefacts import CHUNK, Artefact, Artefacts, Opened, Pulled
from connector.dsp.desk import HTTP_PULL, Desk
from connector.dsp.http import PATH
from connector.dsp.judge import Answer, Moment, Question, Refused
from connector.dsp.processes import unknown
from connector.dsp.ranges import Part
from connector.dsp.states import Kind, Role, State
from connector.dsp.tables import AgreementRow, ProcessRow
from connector.errors import LocalError, RemoteError
from policies.errors import Error

T = TypeVar("T")
PLACE = "/artefacts/{pid}"
_SEND_SECONDS = 30.0
_AT_ONCE = 16
_ANSWERS_PER_TOKEN = 1000
_MAX_COUNTED = 10_000
_MAX_TOKEN = 256
_ID = re.compile(r"[\x21-\x7e]{1,60}")
_NO_DIGEST = "0" * 64


def artefact_routes(
    desk: Desk, released: Artefacts, executor: Executor, record: Callable[[Pulled], None],
    path: str = PATH,
) -> list[Route]:  # fmt: skip
    """For `Surface.application(more)`, below the same `path`.

    `record` raises where an entry cannot be written; then nothing is sent.
    """
    pulls = Pulls(desk, released, executor, record)
    return [Route(path + PLACE, pulls.serve, methods=["GET"])]


@dataclass(frozen=True, slots=True)
class Entitled:
    """A transfer that may be served now; `token` is the digest of its token."""

    pid: str
    token: str
    counterparty: str
    agreement: str
    artefact: Artefact


@dataclass
class Pulls:
    """The endpoint."""

    desk: Desk
    released: Artefacts
    executor: Executor
    record: Callable[[Pulled], None]
    _under_way: int = 0
    _answers: Counter[str] = field(default_factory=Counter)
    _refusals: Allowance = field(default_factory=Allowance)

    async def serve(self, request: Request) -> Response:
        """GET and HEAD. Whatever is wrong with a token or a transfer is the same 404."""
        pid = request.path_params["pid"]
        try:
            found = await self._call(self._entitle, pid, request.headers.get("authorization"))
            if request.method == "HEAD":
                whole = Part(0, found.artefact.size, whole=True)
                about = artefacts.headers(found.artefact, whole, found.artefact.raw_digest)
                return Response(status_code=200, headers=about)
            return await self._answer(request, found)
        except Error as error:
            return await self._refuse(error)
        except OSError:
            unreadable = LocalError("ARTEFACT_UNREADABLE", "an artefact cannot be read")
            return await self._refuse(unreadable)

    async def _answer(self, request: Request, found: Entitled) -> Response:
        artefact = found.artefact
        part = ranges.asked(request.headers, artefact.size, artefact.etag)
        if part is None:
            return _say(416, "ARTEFACT_RANGE", {"content-range": f"bytes */{artefact.size}"})
        if self._under_way >= _AT_ONCE:
            return _say(503, "ARTEFACT_BUSY", {"retry-after": "1"})
        self._count(found)
        self._under_way += 1
        with contextlib.ExitStack() as undo:
            undo.callback(self._left)
            opened = await self._call(artefacts.open_part, artefact, part)
            undo.callback(opened.file.close)
            await self._call(self._write_down, found, part)
            return _Stream(self, found, part, opened, undo.pop_all())

    def _left(self) -> None:
        self._under_way -= 1

    def _count(self, found: Entitled) -> None:
        # Threat: who has a token asks for single bytes until the log is full.
        if len(self._answers) > _MAX_COUNTED:
            self._answers.clear()
        self._answers[found.token] += 1
        if self._answers[found.token] > _ANSWERS_PER_TOKEN:
            raise unknown()

    def _write_down(self, found: Entitled, part: Part) -> None:
        self.record(
            Pulled(
                self.desk.clock(), found.counterparty, found.pid, found.agreement,
                found.artefact.digest, part.first, part.size,
            )
        )  # fmt: skip

    async def next_chunk(self, found: Entitled, opened: Opened, left: int) -> bytes:
        """What is to be sent next; nothing if it may no longer be."""
        try:
            await self._call(self._check, found.pid, found.token)
            return await self._call(opened.file.read, min(left, CHUNK))
        except (LocalError, RemoteError, OSError):
            return b""

    def _entitle(self, pid: str, authorization: str | None) -> Entitled:
        scheme, _, token = (authorization or "").partition(" ")
        # Not every database takes every text, such as one with a NUL.
        if scheme.lower() != "bearer" or not (_ID.fullmatch(pid) and 0 < len(token) <= _MAX_TOKEN):
            raise unknown()
        said = hashlib.sha256(token.encode()).hexdigest()
        row = self._check(pid, said)
        question = Question(
            moment=Moment.TRANSFER, role=Role.PROVIDER, counterparty=row.counterparty,
            dataset=row.dataset, policy=terms.stored(row.offer), pid=pid,
            agreement=row.agreement, format=row.format,
        )  # fmt: skip
        # The policy said yes when the transfer started; it is asked what it says now.
        if self.desk.judge(question).answer is Answer.DENY:
            raise unknown()
        artefact = self.released.find(row.dataset)
        if artefact is None:
            raise unknown()
        return Entitled(pid, said, row.counterparty, row.agreement, artefact)

    def _check(self, pid: str, said: str) -> ProcessRow:
        """The transfer that a token's digest opens now. Raises `RemoteError` (DSP_UNKNOWN)."""
        with self.desk.store.read() as session:
            row = session.get(ProcessRow, pid)
            agreement = row and session.get(
                AgreementRow, (Role.PROVIDER, row.counterparty, row.agreement)
            )
            session.expunge_all()
        # Compared first, and where there is no process as well: the time taken tells nothing.
        right = hmac.compare_digest(said, (row and row.token_digest) or _NO_DIGEST)
        if not right or row is None or not self._is_open(row):
            raise unknown()
        if agreement is None or agreement.state != "in-force":
            raise unknown()
        return row

    def _is_open(self, row: ProcessRow) -> bool:
        return (
            row.place == (Kind.TRANSFER, Role.PROVIDER, State.STARTED)
            and row.format == HTTP_PULL
            and row.token_expires is not None
            and self.desk.clock() < row.token_expires
        )

    async def _refuse(self, error: Error) -> Response:
        ours = not isinstance(error, RemoteError)
        # Not which: what a stranger writes into an address does not belong into the log.
        event = Refused(self.desk.clock(), "", "/artefacts", error.code)
        try:
            if ours or self._refusals.take(event.time):
                await self._call(self.desk.record, event)
        except LocalError as failure:
            ours, error = True, failure
        return _say(503, error.code, {"retry-after": "1"}) if ours else _say(404, error.code)

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, partial(work, *arguments))


class _Stream(Response):
    """A part of an artefact. Cut off, it is shorter than its Content-Length: the caller sees it."""

    def __init__(
        self, pulls: Pulls, found: Entitled, part: Part, opened: Opened,
        closing: contextlib.ExitStack,
    ) -> None:  # fmt: skip
        about = artefacts.headers(found.artefact, part, opened.digest)
        super().__init__(None, 200 if part.whole else 206, about)
        self._pulls = pulls
        self._found = found
        self._left = part.size
        self._opened = opened
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. Threat: a reader who takes a byte a minute; each chunk has its time."""
        del scope, receive
        start = {"type": "http.response.start", "status": self.status_code}
        with self._closing, contextlib.suppress(TimeoutError):
            await send(start | {"headers": self.raw_headers})
            if not self._left:
                await send({"type": "http.response.body"})
            while self._left:
                chunk = await self._pulls.next_chunk(self._found, self._opened, self._left)
                if not chunk:
                    return
                self._left -= len(chunk)
                async with asyncio.timeout(_SEND_SECONDS):
                    more = self._left > 0
                    await send({"type": "http.response.body", "body": chunk, "more_body": more})


def _say(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"code": code}, status, headers)
