"""`commensal conformance serve`: the connector that conformance kits drive.

The product's own protocol, seeded, with two webhooks that make it consume. It listens on this
machine only and calls this machine only, since its tokens protect nothing.
"""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connector.dsp import conformance_seed as seed
from connector.dsp import consumer, offers, terms
from connector.dsp.addresses import Addresses
from connector.dsp.authentication import StaticTokens
from connector.dsp.client import PeerClient
from connector.dsp.desk import HTTP_PULL, Desk
from connector.dsp.handling import PERSON, Handling
from connector.dsp.http import Surface
from connector.dsp.judge import Event, allow
from connector.dsp.messages import Id, Url
from connector.dsp.outbox import Backoff, Worker
from connector.dsp.states import Role
from connector.dsp.tables import AgreementRow
from connector.errors import LocalError
from connector.store import Store
from policies.errors import Error
from policies.odrl.model import Action, Permission, Policy, Scope
from policies.odrl.terms import ODRL, PolicyKind

_THREADS = 16
_BACKOFF = Backoff(longest=timedelta(seconds=2), patience=timedelta(seconds=60))
# The kit registers what it expects next a little after it has answered.
_PAUSE = timedelta(milliseconds=100)
_MAX_WEBHOOK = 1 << 16
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class _Webhook(BaseModel):
    model_config = ConfigDict(extra="ignore")

    provider: Id = Field(alias="providerId")
    address: Url = Field(alias="connectorAddress")


class _Negotiate(_Webhook):
    dataset: Id = Field(alias="datasetId")
    offer: Id = Field(alias="offerId")


class _Transfer(_Webhook):
    agreement: Id = Field(alias="agreementId")
    format: Annotated[str, Field(min_length=1, max_length=255)]


def serve(port: int, directory: Path | None, token: str, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. Raises `LocalError` (PORT_IN_USE) and the store's."""
    with contextlib.ExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(parents=True, exist_ok=True)
        listener = stack.enter_context(_listen(port))
        store = stack.enter_context(
            contextlib.closing(Store(f"sqlite:///{directory / 'conformance.db'}"))
        )
        asyncio.run(_serve(listener, store, token, say))


async def _serve(
    listener: socket.socket, store: Store, token: str, say: Callable[[str], None]
) -> None:
    root = f"http://127.0.0.1:{listener.getsockname()[1]}"
    addresses = Addresses(loopback=True)
    desk = Desk(
        participant=seed.PARTICIPANT, address=root + seed.DSP_PATH, store=store, judge=allow,
        record=_unrecorded, check_address=addresses.check, pause=_PAUSE, formats=None,
    )  # fmt: skip
    desk.transact(lambda session: plant(session, desk))
    tokens = StaticTokens(token, seed.COUNTERPARTY)
    client = PeerClient(tokens, addresses)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="dsp") as executor:
        worker = Worker(desk, client, executor, _BACKOFF)
        catalogue = offers.OfferedDatasets(desk)
        surface = Surface(desk, tokens, catalogue, executor, worker.wake, path=seed.DSP_PATH)
        web = uvicorn.Server(
            uvicorn.Config(
                surface.application(_webhooks(desk, worker, executor)),
                log_level="warning", access_log=False, lifespan="off", ws="none",
                timeout_keep_alive=30, timeout_graceful_shutdown=2, server_header=False,
            )
        )  # fmt: skip
        for line in [f"conformance profile dsp-tck listens on {root}", *seed.properties(root)]:
            say(line)
        delivering = asyncio.create_task(worker.run())
        serving = asyncio.create_task(web.serve(sockets=[listener]))
        await asyncio.wait({delivering, serving}, return_when=asyncio.FIRST_COMPLETED)
        web.should_exit = True
        await serving
        delivering.cancel()
        await client.close()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering


def plant(session: Session, desk: Desk) -> None:
    """Put the profile's offers and agreements into the tables; again changes nothing."""
    for dataset, script in seed.PROVIDED.items():
        policy = use(seed.OFFER_ID.format(dataset))
        offers.put(session, dataset, policy, (HTTP_PULL,), seed.scripted(script))
    for role, agreements in ((Role.PROVIDER, seed.ENTITLED), (Role.CONSUMER, seed.USED)):
        for agreement, script in agreements.items():
            session.merge(_agreement(desk, role, agreement, seed.scripted(script)))


def use(uid: str) -> Policy:
    """The plainest offer: use it."""
    permission = Permission(Scope(actions=(Action(ODRL + "use"),)))
    return Policy(uid, PolicyKind.OFFER, permissions=(permission,))


def _agreement(desk: Desk, role: Role, agreement: str, handling: Handling) -> AgreementRow:
    parties = (desk.participant, seed.COUNTERPARTY)
    if role is Role.CONSUMER:
        parties = (seed.COUNTERPARTY, desk.participant)
    policy = terms.agreed(use(agreement), agreement, agreement, parties, _EPOCH)
    return AgreementRow(
        role=role, counterparty=seed.COUNTERPARTY, id=agreement, negotiation="", dataset=agreement,
        policy=terms.spell(policy), state="in-force", address="", formats=[],
        handling=handling.model_dump(mode="json"), agreed_at=_EPOCH,
    )  # fmt: skip


def _webhooks(desk: Desk, worker: Worker, executor: ThreadPoolExecutor) -> list[Route]:
    def negotiate(asked: _Negotiate) -> str:
        handling = PERSON
        if asked.dataset in seed.CONSUMED:
            handling = seed.scripted(seed.CONSUMED[asked.dataset])
        return consumer.request(
            desk, asked.provider, asked.address, use(asked.offer), asked.dataset, handling
        )

    def transfer(asked: _Transfer) -> str:
        return consumer.request_transfer(
            desk, asked.provider, asked.agreement, asked.format, address=asked.address
        )

    async def respond(request: Request, kind: type[_Webhook], work: Callable[..., str]) -> Response:
        try:
            asked = kind.model_validate_json(await _bounded(request))
            loop = asyncio.get_running_loop()
            pid = await loop.run_in_executor(executor, work, asked)
        except ValidationError:
            return JSONResponse({"error": "not what this webhook takes"}, status_code=400)
        except Error as error:
            return JSONResponse({"error": error.diagnostics()}, status_code=400)
        worker.wake()
        return JSONResponse({"consumerPid": pid})

    async def on_negotiate(request: Request) -> Response:
        return await respond(request, _Negotiate, negotiate)

    async def on_transfer(request: Request) -> Response:
        return await respond(request, _Transfer, transfer)

    return [
        Route(seed.NEGOTIATION_WEBHOOK, on_negotiate, methods=["POST"]),
        Route(seed.TRANSFER_WEBHOOK, on_transfer, methods=["POST"]),
    ]


async def _bounded(request: Request) -> bytes:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_WEBHOOK:
            break
    return content[:_MAX_WEBHOOK]


def _unrecorded(_: Event) -> None:
    """The profile keeps no log: it has nothing to account for."""


def _listen(port: int) -> socket.socket:
    # Named as TCP: asyncio sets TCP_NODELAY on no other, and each answer would wait for an ACK.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise LocalError(
            "PORT_IN_USE",
            f"cannot listen on port {port} ({error.strerror})",
            "Choose another with --port; 0 lets the system choose",
        ) from error
    return listening
