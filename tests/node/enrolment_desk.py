"""A coordinator's enrolment paths over real TLS; what it answers is up to the test."""

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from connector.clock import utc_now
from connector.identity import certificates, documents
from connector.identity.enrolment import (
    EnrolmentRequest,
    Invitation,
    Membership,
    RenewalRequest,
    new_token,
)
from connector.identity.keys import SigningKey, VerifyKey

COORDINATOR = SigningKey("hdab", b"c" * 32)


def honest(request: EnrolmentRequest) -> Membership | None:
    now = utc_now()
    return Membership(
        participant=request.participant,
        coordinator="hdab",
        signing_key=request.signing_key,
        fleet_key=request.fleet_key,
        not_before=now - timedelta(minutes=5),
        not_after=now + timedelta(days=30),
    )


@dataclass
class Desk:
    """`answer` is to enrolments, `pages` to what is fetched; renewals are honest."""

    directory: Path
    answer: Callable[[EnrolmentRequest], Membership | None] = honest
    authority: bytes = b""
    requests: list[EnrolmentRequest] = field(default_factory=list)
    renewals: list[RenewalRequest] = field(default_factory=list)
    pages: dict[str, bytes] = field(default_factory=dict)
    address: str = ""

    def invitation(self, name: str = "north", **changed: object) -> Invitation:
        known: dict[str, object] = {
            "participant": name,
            "url": f"https://{self.address}",
            "authority_fingerprint": certificates.fingerprint(self.own_authority),
            "coordinator_key": COORDINATOR.verify_key.vkey,
            "token": new_token(),
            "expires_at": utc_now() + timedelta(hours=1),
        }
        return Invitation.model_validate(known | changed)

    @property
    def own_authority(self) -> bytes:
        return (self.directory / "ca.pem").read_bytes()

    @contextmanager
    def open(self) -> Iterator["Desk"]:
        certificates.create_authority(self.directory, "hdab", utc_now())
        certificates.renew_server_certificate(self.directory, "127.0.0.1", utc_now())
        self.authority = self.authority or self.own_authority
        desk = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                page = desk.authority if self.path == "/v1/authority" else desk.pages.get(self.path)
                self._say(404 if page is None else 200, page or b"")

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/renew":
                    self._renew(content.decode())
                    return
                request = EnrolmentRequest.decode(content)
                desk.requests.append(request)
                membership = desk.answer(request)
                if membership is None:
                    self._say(403, b"ENROLMENT_REFUSED")
                else:
                    self._say(200, documents.sign(COORDINATOR, membership).encode())

            def _renew(self, text: str) -> None:
                signing = desk.requests[-1].signing_key
                request = documents.verify(text, RenewalRequest, VerifyKey.parse(signing))
                desk.renewals.append(request)
                asked = desk.requests[-1].model_copy(update={"fleet_key": request.fleet_key})
                membership = desk.answer(asked)
                if membership is None:
                    self._say(403, b"ENROLMENT_REFUSED")
                else:
                    self._say(200, documents.sign(COORDINATOR, membership).encode())

            def _say(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "server.pem", self.directory / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
