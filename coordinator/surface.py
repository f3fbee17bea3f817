"""What the one HTTPS port serves, and nothing that controls the coordinator.

`GET /v1/authority`, `POST /v1/enrol`, `POST /v1/renew`, Flower's `/v1/fleet/*`, and pages that
anybody may read: the signed list of participants, credentials, their status.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from connector.flower.web import MAX_CONNECTIONS, Connection
from policies.errors import Error

_MAX_ENROLMENT_BYTES = 1 << 14
_ENROLMENT_SECONDS = 10.0
_ENROLMENTS_AT_ONCE = 4


class Surface:
    """`redeem` and `renew` turn a request into a signed membership, or raise an `Error`."""

    def __init__(
        self,
        identity: Path,
        fleet: ASGIApp,
        redeem: Callable[[bytes], str],
        renew: Callable[[bytes], str],
        pages: Sequence[Route] = (),
    ) -> None:
        self._identity = identity
        self._enrolling = asyncio.Semaphore(_ENROLMENTS_AT_ONCE)
        self.app = Starlette(
            routes=[
                Route("/v1/authority", self._authority, methods=["GET"]),
                Route("/v1/enrol", self._membership(redeem), methods=["POST"]),
                Route("/v1/renew", self._membership(renew), methods=["POST"]),
                *pages,
                Mount("/", app=fleet),
            ]
        )

    def configure(self) -> uvicorn.Config:
        """The web server's configuration, with the certificate that lies there now."""
        config = uvicorn.Config(
            self.app,
            http=Connection,
            ws="none",
            # Nobody stands in front whose word on the caller's address would be believed.
            proxy_headers=False,
            ssl_certfile=str(self._identity / "server.pem"),
            ssl_keyfile=str(self._identity / "server.key"),
            log_config=None,
            log_level="error",  # a stranger who speaks no HTTP is not worth a line each
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=3,
            limit_concurrency=MAX_CONNECTIONS,
            h11_max_incomplete_event_size=1 << 16,
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
        return config

    async def _authority(self, _request: Request) -> Response:
        content = (self._identity / "ca.pem").read_bytes()
        return Response(content, media_type="application/x-pem-file")

    def _membership(self, work: Callable[[bytes], str]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._enrol(request, work)

        return answer

    async def _enrol(self, request: Request, work: Callable[[bytes], str]) -> Response:
        body = b""
        try:
            async with asyncio.timeout(_ENROLMENT_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > _MAX_ENROLMENT_BYTES:
                        return PlainTextResponse("ENROLMENT_TOO_LARGE", 413)
        except TimeoutError:
            return PlainTextResponse("ENROLMENT_TOO_SLOW", 408, {"connection": "close"})
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        try:
            async with self._enrolling:
                document = await asyncio.to_thread(work, body)
        except Error:
            # Which of token, name or key was wrong is nobody's business on this side of the door.
            return PlainTextResponse("ENROLMENT_REFUSED", 403)
        return Response(document, media_type="application/json")
