"""What anybody may read of the coordinator: who takes part, credentials, their status."""

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from connector.errors import RemoteError
from connector.identity.claims import Issuer
from coordinator import members
from coordinator.office import Office
from policies.errors import Error

_AT_ONCE = 4


def routes(office: Office) -> list[Route]:
    """`/v1/participants`; with a did also `/v1/participants/<name>/credential` and `/v1/status`."""
    room = asyncio.Semaphore(_AT_ONCE)

    def page(path: str, kind: str, work: Callable[..., str]) -> Route:
        async def show(request: Request) -> Response:
            said: dict[str, Any] = request.path_params
            try:
                async with room:
                    text = await asyncio.to_thread(work, **said)
            except RemoteError:
                return PlainTextResponse("NOT_FOUND", 404)
            except Error:  # the database: its own message is not for strangers
                return PlainTextResponse("UNAVAILABLE", 503, {"retry-after": "1"})
            return Response(text, media_type=kind, headers={"cache-control": "no-store"})

        return Route(path, show, methods=["GET"])

    found = [page("/v1/participants", "application/json", office.manifest)]
    if office.config.did:
        issuer = Issuer(office.config.did, office.key, office.clock)
        found += [
            page(
                "/v1/participants/{name}/credential", "application/vc+jwt",
                lambda name: members.credential(office.store, issuer, name),
            ),
            page(
                members.STATUS_PATH, "application/vc+jwt",
                lambda: members.status_list(office.store, issuer),
            ),
        ]  # fmt: skip
    return found
