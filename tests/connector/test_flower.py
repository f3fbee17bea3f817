"""The contract with Flower, over real loopback TLS. Run it before moving the pin."""

import asyncio
import contextlib
import datetime as dt
import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytest.importorskip("flwr", reason="the transport is an optional dependency")

import uvicorn
from fastapi import FastAPI
from flwr.proto import fleet_pb2, message_pb2, node_pb2, recorddict_pb2
from flwr.supercore import log

from connector.errors import LocalError, RemoteError
from connector.flower import (
    WAIT_HEADER,
    FleetClient,
    FleetMessage,
    FleetReply,
    FleetServer,
    door,
    keys,
    version,
    wire,
)
from connector.flower import web as web_server
from connector.flower.hold import Holds
from connector.flower.mailbox import Mailbox
from connector.flower.web import WebServer

SECONDS = 20.0  # patience of a test with something that takes milliseconds


@dataclass
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    directory: Path

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def serve(self, name: str, valid_days: int) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, self.certificate.subject, self.key, valid_days)
        paths = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return str(paths[0]), str(paths[1])


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    valid_days: int,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now + dt.timedelta(days=valid_days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(addresses, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


class Web:
    """A fleet behind uvicorn in a thread, on a free port of the loopback interface."""

    def __init__(
        self, fleet: FleetServer, files: tuple[str, str], *, app: Any = None, port: int = 0
    ) -> None:
        self.fleet = fleet
        self._server = WebServer(
            uvicorn.Config(
                app or fleet.app,
                host="127.0.0.1",
                port=port,
                ssl_certfile=files[0],
                ssl_keyfile=files[1],
                log_config=None,
                lifespan="off",
                http=web_server.Connection,
                ws="none",
            ),
            fleet,
        )
        self._started = threading.Event()
        start = self._server.startup

        async def startup(*arguments: Any, **options: Any) -> None:
            await start(*arguments, **options)
            self._started.set()

        self._server.startup = startup  # type: ignore[method-assign] # tells when it listens
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        assert self._started.wait(SECONDS)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    directory = tmp_path_factory.mktemp("authority")
    return Authority(_certificate("test authority", key, None, key, 30), key, directory)


@pytest.fixture(scope="module")
def files(authority: Authority) -> tuple[str, str]:
    return authority.serve("coordinator", 30)


@pytest.fixture(scope="module")
def web(files: tuple[str, str]) -> Iterator[Web]:
    served = Web(FleetServer(), files)
    yield served
    served.stop()


class Node:
    """A node that answers every message with `answer(payload)` until it is closed."""

    def __init__(self, web: Web, authority: Authority, name: str = "hospital-a") -> None:
        self.private_key = keys.generate()
        self.node_id = web.fleet.register(keys.public_bytes(self.private_key), name)
        self.client = FleetClient(
            web.address, root_certificates=authority.pem, private_key=self.private_key, give_up=5.0
        )

    def receive(self) -> FleetMessage:
        message = self.client.receive(SECONDS)
        assert message is not None
        return message

    def echo(self) -> None:
        while (message := self.client.receive(SECONDS)) is not None:
            self.client.reply(message, message.payload[::-1])


@pytest.fixture
def nodes(web: Web, authority: Authority) -> Iterator[list[Node]]:
    three = [Node(web, authority, f"hospital-{letter}") for letter in "abc"]
    for node in three:
        node.client.connect()
    yield three
    for node in three:
        node.client.close()


@pytest.fixture
def node(nodes: list[Node]) -> Node:
    return nodes[0]


@pytest.fixture
def echoing(nodes: list[Node]) -> Iterator[list[Node]]:
    threads = [threading.Thread(target=node.echo, daemon=True) for node in nodes]
    for thread in threads:
        thread.start()
    yield nodes
    for node in nodes:
        node.client.close()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


def _post(web: Web, authority: Authority, path: str, body: bytes, **headers: str) -> httpx.Response:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    with httpx.Client(verify=context, trust_env=False, timeout=SECONDS) as client:
        return client.post(f"https://{web.address}{path}", content=body, headers=headers)


def _signed(node: Node, path: str, request: Any) -> int:
    """Send a request as this node and return the status: what a hostile node could do."""
    http = node.client._http
    try:
        http._unary_unary(
            path=f"/v1/fleet/{path}",
            rpc_method="/flwr.proto.Fleet/Any",
            request=request,
            response_type=fleet_pb2.PushMessagesResponse,
        )
    except httpx.HTTPStatusError as error:
        return error.response.status_code
    return 200


def test_the_pinned_flower_is_installed_and_any_other_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version.check()
    monkeypatch.setattr(version, "PIN", "0.0.1")
    with pytest.raises(LocalError, match=r"Flower 0\.0\.1 is needed") as caught:
        FleetServer()
    assert caught.value.code == "FLOWER_VERSION"


def test_importing_the_package_does_not_import_flower_and_turns_its_telemetry_off() -> None:
    script = (
        "import os, sys, connector.flower; "
        "print('flwr' in sys.modules, os.environ['FLWR_TELEMETRY_ENABLED'], "
        "os.environ['FLWR_DISABLE_UPDATE_CHECK'])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert shown.stdout.split() == [b"False", b"0", b"1"]


def test_flower_complains_without_quoting_what_it_was_sent() -> None:
    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    version.silence()
    lines: list[str] = []
    seen = Seen()
    logging.getLogger().addHandler(seen)
    try:
        log(logging.INFO, "received %s", "MRN 4711")
        log(logging.ERROR, "cannot store %s", "MRN 4711")
    finally:
        logging.getLogger().removeHandler(seen)
    assert len(lines) == 1
    assert lines[0].startswith("Flower reports a problem in test_flower.")


@pytest.mark.parametrize("payload", [b"", b"one", bytes(range(256)) * 20_000], ids=len)
def test_bytes_come_back_as_they_were_sent(web: Web, echoing: list[Node], payload: bytes) -> None:
    with web.fleet.open_run() as run:
        message_id = run.send(echoing[0].node_id, payload)
        assert run.wait([message_id], SECONDS)
        assert run.replies([message_id]) == {message_id: FleetReply(payload[::-1])}


def test_three_nodes_answer_several_runs_from_several_threads(
    web: Web, echoing: list[Node]
) -> None:
    def exchange(number: int) -> set[bytes | None]:
        with web.fleet.open_run() as run:
            sent = [run.send(node.node_id, b"run %d" % number) for node in echoing]
            assert run.wait(sent, SECONDS)
            return {reply.payload for reply in run.replies(sent).values()}

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(exchange, range(8)))
    assert outcomes == [{(b"run %d" % number)[::-1]} for number in range(8)]


def test_wait_tells_when_some_of_the_replies_are_there(web: Web, nodes: list[Node]) -> None:
    with web.fleet.open_run() as run:
        sent = [run.send(node.node_id, b"hello") for node in nodes]
        nodes[1].client.reply(nodes[1].receive(), b"first")
        assert run.wait(sent, SECONDS, count=1)
        assert not run.wait(sent, 0.0)
        assert list(run.replies(sent)) == [sent[1]]


def test_a_reply_is_returned_once(web: Web, node: Node) -> None:
    with web.fleet.open_run() as run:
        message_id = run.send(node.node_id, b"hello")
        node.client.reply(node.receive(), b"answer")
        assert run.wait([message_id], SECONDS)
        assert run.replies([message_id])
        assert run.replies([message_id]) == {}
        assert run.wait([message_id], 0.0)


def test_an_idle_node_receives_none_and_then_the_next_message(web: Web, node: Node) -> None:
    assert node.client.receive(0.0) is None
    assert node.client.receive(0.05) is None
    with web.fleet.open_run() as run:
        run.send(node.node_id, b"late")
        assert node.receive().payload == b"late"


def test_a_node_that_computes_receives_what_is_urgent_and_nothing_else(
    web: Web, node: Node
) -> None:
    with web.fleet.open_run() as run:
        run.send(node.node_id, b"step")
        step = node.receive()
        run.send(node.node_id, b"another step")
        assert node.client.receive_urgent(0.05) is None
        run.send(node.node_id, b"stop", urgent=True)
        urgent = node.client.receive_urgent(SECONDS)
        assert urgent is not None
        assert urgent.payload == b"stop"
        assert node.client.receive_urgent(0.05) is None
        node.client.reply(urgent, b"stopped")
        node.client.reply(step, b"answer")
        assert node.receive().payload == b"another step", "it stayed where it can be taken back"


def test_what_is_urgent_comes_while_it_is_waited_for_and_among_other_messages(
    web: Web, node: Node
) -> None:
    with ThreadPoolExecutor(1) as pool, web.fleet.open_run() as run:
        waiting = pool.submit(_next_urgent, node)
        run.send(node.node_id, b"another step")
        run.send(node.node_id, b"stop", urgent=True)
        assert waiting.result(SECONDS) == b"stop"
        assert node.receive().payload == b"another step"


def _next_urgent(node: Node) -> bytes:
    while (message := node.client.receive_urgent(SECONDS)) is None:
        pass
    return message.payload


def test_who_receives_again_ends_the_wait_for_urgent_messages(node: Node) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.client.receive_urgent, 600.0)
        while not waiting.done():
            assert node.client.receive(0.01) is None
        assert waiting.result() is None


def test_a_held_request_ends_when_the_node_is_closed_by_another_thread(node: Node) -> None:
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(node.client.receive, 600.0)
        node.client.close()
        assert received.result(SECONDS) is None
    assert node.client.receive(600.0) is None


def test_a_pull_that_arrives_after_its_node_has_left_is_not_held(node: Node) -> None:
    leave = fleet_pb2.DeactivateNodeRequest(node_id=node.node_id)
    assert _signed(node, "deactivate-node", leave) == 200
    http = node.client._http._client
    http.headers[WAIT_HEADER] = "600"
    http.timeout = httpx.Timeout(5.0)
    pull = fleet_pb2.PullMessagesRequest(node=node_pb2.Node(node_id=node.node_id))
    assert _signed(node, "pull-messages", pull) == 200


def test_held_requests_do_not_keep_the_server_from_stopping(
    files: tuple[str, str], authority: Authority
) -> None:
    web = Web(FleetServer(), files)
    node = Node(web, authority)
    node.client.connect()
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(node.client.receive, 600.0)
        web.stop()
        node.client.close()
        assert received.result(SECONDS) is None


def test_an_exchange_takes_two_requests(
    web: Web, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths: list[str] = []
    answer = web.fleet.app._answer

    async def counted(scope: Any, receive: Any) -> bytes:
        paths.append(scope["path"].rpartition("/")[2])
        return await answer(scope, receive)

    monkeypatch.setattr(web.fleet.app, "_answer", counted)
    with web.fleet.open_run() as run:
        for _ in range(5):
            message_id = run.send(node.node_id, b"hello")
            node.client.reply(node.receive(), b"answer")
            assert run.replies([message_id])
    assert paths == ["pull-messages", "push-messages"] * 5


def test_a_key_that_is_not_registered_is_refused(web: Web, authority: Authority) -> None:
    stranger = FleetClient(
        web.address, root_certificates=authority.pem, private_key=keys.generate()
    )
    with pytest.raises(RemoteError) as caught:
        stranger.connect()
    assert caught.value.code == "NODE_NOT_ENROLLED"
    stranger.close()


def test_a_node_that_is_unregistered_is_refused_and_can_be_registered_again(
    web: Web, node: Node
) -> None:
    with web.fleet.open_run() as run:
        message_id = run.send(node.node_id, b"hello")
        web.fleet.unregister(node.node_id)
        with pytest.raises(RemoteError) as caught:
            node.client.connect()
        assert caught.value.code == "NODE_NOT_ENROLLED"
        assert run.replies([message_id]) == {message_id: FleetReply(None, "NODE_OFFLINE")}
    again = web.fleet.register(keys.public_bytes(node.private_key), "hospital-a")
    node.client.connect()
    assert again in web.fleet.online()


def test_registering_a_key_again_changes_nothing(web: Web, node: Node) -> None:
    public_key = keys.public_bytes(node.private_key)
    assert web.fleet.register(public_key, "hospital-a") == node.node_id
    assert web.fleet.register(public_key + b"\n", "hospital-a") == node.node_id
    with pytest.raises(RemoteError) as caught:
        web.fleet.register(b"not a key", "hospital-d")
    assert caught.value.code == "KEY_MALFORMED"


def test_requests_without_or_with_a_wrong_signature_are_refused_and_not_held(
    web: Web, authority: Authority, node: Node
) -> None:
    body = fleet_pb2.PullMessagesRequest(node=node_pb2.Node(node_id=node.node_id))
    pull = body.SerializeToString()
    headers = {WAIT_HEADER: "600"}
    assert _post(web, authority, "/v1/fleet/pull-messages", pull, **headers).status_code == 401

    public_key, thief = keys.public_bytes(node.private_key), keys.load(keys.generate())
    node.client._http._interceptors[0]._private_key = thief
    assert keys.public_bytes(node.private_key) == public_key
    assert _signed(node, "pull-messages", body) == 401


def test_a_node_cannot_speak_in_the_name_of_another(web: Web, nodes: list[Node]) -> None:
    a, b, _ = nodes
    with web.fleet.open_run() as run:
        run.send(a.node_id, b"for a")
        message_id = run.send(b.node_id, b"for b")
        message = b.receive()
        # Under its own name it is not the one who was asked; under b's it is not b.
        assert _signed(a, "push-messages", wire.reply(a.node_id, message, b"forged")) == 409
        forged = wire.reply(b.node_id, message, b"forged")
        assert _signed(a, "push-messages", forged) == 401
        forged.node.node_id = a.node_id
        assert _signed(a, "push-messages", forged) == 403
        as_b = fleet_pb2.PullMessagesRequest(node=node_pb2.Node(node_id=b.node_id))
        assert _signed(a, "pull-messages", as_b) == 401
        leave = fleet_pb2.DeactivateNodeRequest(node_id=b.node_id)
        assert _signed(a, "deactivate-node", leave) == 401

        b.client.reply(message, b"genuine")
        assert run.replies([message_id]) == {message_id: FleetReply(b"genuine")}


def test_a_reply_of_a_node_that_owes_none_is_refused_before_it_is_read(
    web: Web, nodes: list[Node]
) -> None:
    a, b, _ = nodes
    with web.fleet.open_run() as run:
        run.send(b.node_id, b"for b")
        malformed = fleet_pb2.PushMessagesRequest(node=node_pb2.Node(node_id=a.node_id))
        assert _signed(a, "push-messages", malformed) == 409
        run.send(a.node_id, b"for a")
        assert _signed(a, "push-messages", malformed) == 400, "now it has been read"


def test_a_node_has_one_push_under_way_and_the_newer_one_counts() -> None:
    mailbox = Mailbox(lambda: None)
    node_id = mailbox.register(keys.public_bytes(keys.generate()), "hospital-a")
    mailbox.activate_node(node_id, 30)
    mailbox.store_message_ins(wire.instruction(mailbox.run_id, node_id, b"hello"))
    entrance = door.Door(mailbox, Holds(), 1000)
    scope = {"headers": [(b"content-length", b"10")]}

    async def push() -> tuple[Any, bytes]:
        begun = asyncio.Event()

        async def stall() -> Any:
            begun.set()
            await asyncio.Event().wait()

        async def whole() -> Any:
            return {"type": "http.request", "body": b"0123456789"}

        older = asyncio.ensure_future(entrance._read_push(scope, stall, node_id))
        await begun.wait()
        newer = await entrance._read_push(scope, whole, node_id)
        (outcome,) = await asyncio.gather(older, return_exceptions=True)
        return outcome, newer

    outcome, newer = asyncio.run(push())
    assert (outcome.status, outcome.code) == (408, "REQUEST_REPLACED")
    assert newer == b"0123456789"
    assert entrance._pushes == {}


def test_a_connection_without_a_request_is_cut_and_one_that_is_held_is_not(
    files: tuple[str, str], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "HEAD_SECONDS", 0.2)
    web = Web(FleetServer(), files)
    node = Node(web, authority)
    node.client.connect()
    context = ssl.create_default_context(cadata=authority.pem.decode())
    for said in (b"", b"GET / HTTP/1.1\r\nhost: a\r\n"):
        with (
            socket.create_connection(("127.0.0.1", web.port), SECONDS) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as stranger,
        ):
            stranger.sendall(said)
            with contextlib.suppress(OSError):
                assert stranger.recv(1) == b""
    assert node.client.receive(1.0) is None, "its pull is held for longer than that"
    with web.fleet.open_run() as run:
        run.send(node.node_id, b"hello")
        assert node.receive().payload == b"hello"
    node.client.close()
    web.stop()


def test_one_address_holds_a_bounded_number_of_connections(
    files: tuple[str, str], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "MAX_PER_ADDRESS", 2)
    web = Web(FleetServer(), files)
    context = ssl.create_default_context(cadata=authority.pem.decode())
    opened = []
    for _ in range(3):
        raw = socket.create_connection(("127.0.0.1", web.port), SECONDS)
        opened.append(context.wrap_socket(raw, server_hostname="127.0.0.1"))
    with contextlib.suppress(OSError):
        assert opened[2].recv(1) == b""
    opened[0].sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    assert opened[0].recv(12) == b"HTTP/1.1 404"
    for connection in opened:
        connection.close()
    web.stop()


def test_a_run_waits_for_nodes_to_connect_and_counts_their_visits(
    web: Web, authority: Authority
) -> None:
    node = Node(web, authority, "hospital-late")
    with web.fleet.open_run() as run:
        assert not run.wait_online([node.node_id], 0)
        assert node.node_id not in web.fleet.visits()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(run.wait_online, [node.node_id], SECONDS)
            node.client.connect()
            assert waiting.result(SECONDS)
        assert web.fleet.visits()[node.node_id] == 1
        node.client.connect()
        assert web.fleet.visits()[node.node_id] == 2
        node.client.close()
        run.close()
        assert not run.wait_online([node.node_id], SECONDS)


def test_a_second_reply_and_a_reply_to_a_closed_run_are_refused(web: Web, node: Node) -> None:
    with web.fleet.open_run() as run:
        run.send(node.node_id, b"hello")
        message = node.receive()
        node.client.reply(message, b"first")
        with pytest.raises(RemoteError) as caught:
            node.client.reply(message, b"second")
        assert caught.value.code == "REPLY_REFUSED"
        run.send(node.node_id, b"hello again")
        message = node.receive()
    with pytest.raises(RemoteError) as caught:
        node.client.reply(message, b"late")
    assert caught.value.code == "REPLY_REFUSED"
    with pytest.raises(LocalError) as closed:
        run.send(node.node_id, b"hello")
    assert closed.value.code == "RUN_CLOSED"


def test_a_message_that_was_withdrawn_is_neither_delivered_nor_answered(
    web: Web, node: Node
) -> None:
    with web.fleet.open_run() as run:
        taken = run.send(node.node_id, b"taken")
        message = node.receive()
        run.withdraw([taken, run.send(node.node_id, b"never seen")])
        with pytest.raises(RemoteError) as caught:
            node.client.reply(message, b"late")
        assert caught.value.code == "REPLY_REFUSED"
        run.send(node.node_id, b"the next one")
        assert node.receive().payload == b"the next one"


def _text(message: message_pb2.Message) -> None:
    value = recorddict_pb2.ConfigRecordValue(string="not bytes")
    message.content.items[0].config_record.items[0].value.CopyFrom(value)


def _second_record(message: message_pb2.Message) -> None:
    message.content.items.add(key="stolen")


def _nothing(message: message_pb2.Message) -> None:
    message.ClearField("content")


def _error(message: message_pb2.Message) -> None:
    message.ClearField("content")
    message.error.code = 2
    message.error.reason = "KeyError: MRN 4711"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_text, "REPLY_MALFORMED"),
        (_second_record, "REPLY_MALFORMED"),
        (_nothing, "REPLY_MALFORMED"),
        (_error, "REPLY_ERROR"),
    ],
)
def test_a_reply_that_is_not_one_payload_is_reported_at_once(
    web: Web, node: Node, spoil: Any, code: str
) -> None:
    with web.fleet.open_run() as run:
        message_id = run.send(node.node_id, b"hello")
        request = wire.reply(node.node_id, node.receive(), b"answer")
        spoil(request.messages_list[0])
        assert _signed(node, "push-messages", request) == 200
        assert run.replies([message_id]) == {message_id: FleetReply(None, code)}


def test_a_malformed_push_is_refused_and_the_message_stays_open(web: Web, node: Node) -> None:
    with web.fleet.open_run() as run:
        run.send(node.node_id, b"hello")
        message = node.receive()
        for spoiled in (
            fleet_pb2.PushMessagesRequest(node=node_pb2.Node(node_id=node.node_id)),
            wire.reply(node.node_id, replace(message, run_id=1), b"another run"),
            wire.reply(node.node_id, replace(message, expires_at=1.0), b"expired"),
        ):
            assert _signed(node, "push-messages", spoiled) in (400, 409)
        named = wire.reply(node.node_id, message, b"odd id")
        named.messages_list[0].metadata.message_id = "../x"
        assert _signed(node, "push-messages", named) == 400
        node.client.reply(message, b"answer")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/docs",
        "/openapi.json",
        "/v1/control/start-run",
        "/v1/control/list-runs",
        "/v1/runtime/acquire-task",
        "/v1/runtime/push-messages",
        "/v1/fleet/register-node",
        "/v1/fleet/unregister-node",
        "/v1/fleet/get-fab",
        "/v1/fleet/get-run",
        "/v1/fleet/pull-object",
        "/v1/fleet/push-object",
        "/v1/fleet/confirm-message-received",
        "/v1/fleet/../control/start-run",
        "/v1/fleet/pull-messages/",
    ],
)
def test_nothing_else_of_flower_is_there_not_even_for_an_enrolled_node(
    web: Web, authority: Authority, node: Node, path: str
) -> None:
    assert _post(web, authority, path, b"").status_code == 404
    request = fleet_pb2.PullMessagesRequest(node=node_pb2.Node(node_id=node.node_id))
    if path.startswith("/v1/fleet/") and ".." not in path:
        assert _signed(node, path.removeprefix("/v1/fleet/"), request) == 404


def test_a_request_that_is_too_large_is_refused_before_it_is_read(
    files: tuple[str, str], authority: Authority
) -> None:
    web = Web(FleetServer(max_body_bytes=100_000), files)
    node = Node(web, authority)
    node.client.connect()
    with web.fleet.open_run() as run:
        run.send(node.node_id, b"hello")
        request = wire.reply(node.node_id, node.receive(), bytes(200_000))
        assert _signed(node, "push-messages", request) == 413
        small = fleet_pb2.PullMessagesRequest(message_ids=["x" * 70_000])
        assert _signed(node, "pull-messages", small) == 413
        with pytest.raises(LocalError) as caught:
            run.send(node.node_id, bytes(100_000))
        assert caught.value.code == "MESSAGE_TOO_LARGE"
    node.client.close()
    web.stop()


def test_a_body_that_is_declared_too_large_is_not_received_at_all() -> None:
    async def receive() -> Any:
        raise AssertionError("the body was asked for")

    for declared in (b"101", b"9" * 19, b"-1", b"1e9"):
        scope = {"headers": [(b"content-length", declared)]}
        with pytest.raises(door._Refused, match="REQUEST_TOO_LARGE"):
            asyncio.run(door._read(scope, receive, 100))


def test_a_body_without_a_length_is_counted_while_it_is_read(
    files: tuple[str, str], authority: Authority
) -> None:
    web = Web(FleetServer(max_body_bytes=100_000), files)
    node = Node(web, authority)
    node.client.connect()
    http: Any = node.client._http._client
    build = http.build_request

    def chunked(*, content: bytes, **options: Any) -> httpx.Request:
        return cast(
            "httpx.Request", build(content=iter([content[:70_000], content[70_000:]]), **options)
        )

    http.build_request = chunked
    request = fleet_pb2.PullMessagesRequest(message_ids=["x" * 70_000])
    assert _signed(node, "pull-messages", request) == 413
    node.client.close()
    web.stop()


def test_a_node_refuses_an_answer_that_is_too_large_before_it_is_read(
    web: Web, authority: Authority
) -> None:
    node = Node(web, authority)
    node.client.close()
    small = FleetClient(
        web.address,
        root_certificates=authority.pem,
        private_key=node.private_key,
        max_body_bytes=10_000,
    )
    small.connect()
    with web.fleet.open_run() as run:
        run.send(node.node_id, bytes(20_000))
        with pytest.raises(RemoteError) as caught:
            small.receive(SECONDS)
        assert caught.value.code == "MESSAGE_TOO_LARGE"
    small.close()


def test_a_restarted_node_takes_its_place_back_and_gets_what_it_had_not_answered(
    web: Web, authority: Authority, node: Node
) -> None:
    with web.fleet.open_run() as run:
        message_id = run.send(node.node_id, b"hello")
        assert node.receive().payload == b"hello"
        # The first process dies here: it neither leaves nor answers.
        second = FleetClient(
            web.address, root_certificates=authority.pem, private_key=node.private_key
        )
        second.connect()
        message = second.receive(SECONDS)
        assert message is not None
        assert message.payload == b"hello"
        second.reply(message, b"answer")
        assert run.replies([message_id]) == {message_id: FleetReply(b"answer")}
        assert second.receive(0.0) is None
    second.close()


def test_a_node_holds_several_messages_without_getting_them_twice(web: Web, node: Node) -> None:
    with web.fleet.open_run() as run:
        sent = [run.send(node.node_id, name) for name in (b"one", b"two")]
        received = [node.receive(), node.receive()]
        assert [message.payload for message in received] == [b"one", b"two"]
        assert node.client.receive(0.0) is None
        for message in received:
            node.client.reply(message, message.payload)
        assert set(run.replies(sent)) == set(sent)


def test_a_message_is_not_lost_with_the_connection_that_waited_for_it(
    web: Web, authority: Authority, node: Node
) -> None:
    held = fleet_pb2.PullMessagesRequest(node=node_pb2.Node(node_id=node.node_id))
    impatient = FleetClient(
        web.address, root_certificates=authority.pem, private_key=node.private_key
    )
    http = impatient._http
    http._client.headers[WAIT_HEADER] = "600"
    http._client.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        http._unary_unary(
            path="/v1/fleet/pull-messages",
            rpc_method="/flwr.proto.Fleet/Any",
            request=held,
            response_type=fleet_pb2.PullMessagesResponse,
        )
    with web.fleet.open_run() as run:
        run.send(node.node_id, b"hello")
        assert node.receive().payload == b"hello"
    impatient.close()


def test_a_node_that_leaves_is_reported_and_its_earlier_reply_is_kept(
    web: Web, nodes: list[Node]
) -> None:
    a, b, _ = nodes
    with web.fleet.open_run() as run:
        answered, open_one = run.send(a.node_id, b"hello"), run.send(b.node_id, b"hello")
        a.client.reply(a.receive(), b"answer")
        a.client.close()
        b.client.close()
        assert run.wait([answered, open_one], SECONDS)
        assert run.replies([answered, open_one]) == {
            answered: FleetReply(b"answer"),
            open_one: FleetReply(None, "NODE_OFFLINE"),
        }
    online = web.fleet.online()
    assert a.node_id not in online
    assert nodes[2].node_id in online


def test_a_silent_node_is_given_up_when_its_heartbeat_expires(web: Web, node: Node) -> None:
    with web.fleet.open_run() as run:
        message_id = run.send(node.node_id, b"hello")
        web.fleet._mailbox.nodes[node.node_id].online_until = 1.0
        assert run.wait([message_id], SECONDS)
        assert run.replies([message_id]) == {message_id: FleetReply(None, "NODE_OFFLINE")}


def test_a_node_that_never_connected_cannot_be_sent_to(web: Web, authority: Authority) -> None:
    node = Node(web, authority)
    with web.fleet.open_run() as run, pytest.raises(RemoteError) as caught:
        run.send(node.node_id, b"hello")
    assert caught.value.code == "NODE_OFFLINE"
    node.client.close()


def test_the_server_keeps_nothing_of_finished_exchanges(web: Web, echoing: list[Node]) -> None:
    def size() -> int:
        mailbox = web.fleet._mailbox
        kept = [value for value in vars(mailbox).values() if hasattr(value, "__len__")]
        return sum(map(len, kept)) + len(mailbox.object_store)

    def exchange(number: int) -> None:
        with web.fleet.open_run() as run:
            sent = [run.send(node.node_id, b"%d" % number) for node in echoing[:2]]
            assert run.wait(sent, SECONDS)
            if number % 2:
                run.replies(sent)

    exchange(0)
    before = size()
    for number in range(100):
        exchange(number)
    assert size() == before


def test_an_expired_server_certificate_is_named_as_such(authority: Authority) -> None:
    web = Web(FleetServer(), authority.serve("expired", -1))
    node = Node(web, authority)
    with pytest.raises(RemoteError, match="has expired") as caught:
        node.client.connect()
    assert caught.value.code == "COORDINATOR_CERTIFICATE"
    node.client.close()
    web.stop()


def test_a_certificate_of_another_authority_is_refused(web: Web, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    other = Authority(_certificate("other", key, None, key, 30), key, tmp_path)
    node = Node(web, other)
    with pytest.raises(RemoteError) as caught:
        node.client.connect()
    assert caught.value.code == "COORDINATOR_CERTIFICATE"
    node.client.close()


def test_a_coordinator_that_has_stopped_is_sought_and_then_given_up(
    files: tuple[str, str], authority: Authority
) -> None:
    web = Web(FleetServer(), files)
    node = Node(web, authority)
    node.client._give_up = 0.2
    node.client.connect()
    web.stop()
    with pytest.raises(RemoteError) as caught:
        node.client.receive(SECONDS)
    assert caught.value.code == "COORDINATOR_UNREACHABLE"
    with pytest.raises(RemoteError) as caught:
        node.client.connect()
    assert caught.value.code == "COORDINATOR_UNREACHABLE"
    node.client.close()


def test_a_restarted_coordinator_gets_its_nodes_back_once_it_has_registered_them(
    files: tuple[str, str], authority: Authority
) -> None:
    first = Web(FleetServer(), files)
    node = Node(first, authority)
    node.client.connect()
    with first.fleet.open_run() as run:
        run.send(node.node_id, b"before")
        before = node.receive()
    with ThreadPoolExecutor(1) as pool:
        received = pool.submit(node.client.receive, 600.0)
        first.stop()
        second = Web(FleetServer(), files, port=first.port)
        node_id = second.fleet.register(keys.public_bytes(node.private_key), "hospital-a")
        while node_id not in second.fleet.online():
            second.fleet._changes.wait_beyond(-1, 0.01)
        with second.fleet.open_run() as run:
            run.send(node_id, b"after")
            message = received.result(SECONDS)
            assert message is not None
            assert message.payload == b"after"
            with pytest.raises(RemoteError) as caught:
                node.client.reply(before, b"to the first")
            assert caught.value.code == "REPLY_REFUSED"
    node.client.close()
    second.stop()


@pytest.mark.parametrize("prefix", ["/", "/v1/fleet"])
def test_the_application_can_be_mounted_into_the_coordinators_own(
    files: tuple[str, str], authority: Authority, prefix: str
) -> None:
    fleet, outer = FleetServer(), FastAPI()
    outer.get("/own")(lambda: {"own": True})
    outer.mount(prefix, fleet.app)
    web = Web(fleet, files, app=outer)
    node = Node(web, authority)
    node.client.connect()
    assert fleet.online() == {node.node_id}
    context = ssl.create_default_context(cadata=authority.pem.decode())
    own = httpx.get(f"https://{web.address}/own", verify=context, trust_env=False)
    assert json.loads(own.content) == {"own": True}
    node.client.close()
    web.stop()


def test_what_is_configured_wrongly_is_named_before_connecting(authority: Authority) -> None:
    key = keys.generate()
    for address, root, private_key, code in [
        ("https://host:1", authority.pem, key, "ADDRESS_MALFORMED"),
        ("host:1", b"none", key, "CERTIFICATE_MALFORMED"),
        ("host:1", authority.pem, b"none", "KEY_MALFORMED"),
    ]:
        with pytest.raises(LocalError) as caught:
            FleetClient(address, root_certificates=root, private_key=private_key)
        assert caught.value.code == code
