"""What a participant shows of its identity over HTTP: its DID document and credential service.

Routes for whatever application serves the dataspace protocol.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from connector.errors import LocalError
from connector.identity.did import address_of
from connector.identity.holder import CredentialService
from connector.identity.jose import Json
from connector.identity.presentations import QUERY_PATH
from policies.errors import Error

_MAX_QUERY = 1 << 14
_SECONDS = 10.0
_AT_ONCE = 8
_STATUS = {"QUERY_MALFORMED": 400, "QUERY_UNSUPPORTED": 501, "ACCESS_DENIED": 403}


def did_route(document: Json) -> Route:
    """Our DID document, at the path that its id says."""

    async def show(_: Request) -> Response:
        return JSONResponse(document, media_type="application/did+json")

    return Route(urlsplit(address_of(document["id"])).path, show, methods=["GET"])


def credential_routes(service: CredentialService, path: str) -> list[Route]:
    """The credential service below `path`. What is wrong with a token is not told."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def query(request: Request) -> Response:
        try:
            async with asyncio.timeout(_SECONDS), room:
                body = await _body(request)
                if body is None:
                    return _say(413, "QUERY_TOO_LARGE")
                answer = await service.answer(request.headers.get("authorization"), body)
        except TimeoutError:
            return _say(408, "QUERY_TOO_SLOW")
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except LocalError:
            return _say(503, "QUERY_FAILED")
        except Error as error:
            status = _STATUS.get(error.code, 401)
            return _say(status, error.code if status != 401 else "QUERY_UNAUTHENTICATED")
        return JSONResponse(answer)

    return [Route(path + QUERY_PATH, query, methods=["POST"])]


def status_route(path: str, signed: Callable[[], str]) -> Route:
    """An issuer's status list (a JWT)."""

    def show(_: Request) -> Response:
        return PlainTextResponse(signed(), media_type="application/vc+jwt")

    return Route(path, show, methods=["GET"])


async def _body(request: Request) -> bytes | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_QUERY:
            return None
    return body


def _say(status: int, code: str) -> Response:
    return JSONResponse({"code": code}, status_code=status)
