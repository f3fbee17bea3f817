"""Flower's HTTP client with what a node needs of it: bounds, one trust anchor, no detours."""

import ssl
import threading
from collections.abc import Callable
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from connector.errors import LocalError, RemoteError
from connector.flower import URGENT_HEADER, WAIT_HEADER

_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_PULL = "/flwr.proto.Fleet/PullMessages"


class _Pull(threading.local):
    """How this thread pulls."""

    hold_seconds = 0.0
    urgent = False


class FleetHttp(FleetHttpClient):  # type: ignore[misc] # mypy is told to skip flwr
    """The Fleet calls over TLS 1.3, to one host whose certificate one authority has signed."""

    def __init__(
        self,
        address: str,
        root_certificates: bytes,
        key: ec.EllipticCurvePrivateKey,
        max_body_bytes: int,
    ) -> None:
        context = _context(root_certificates)
        self.pull = _Pull()
        interceptors = [NodeAuthHttpInterceptor(key, key.public_key()), self]
        super().__init__(f"https://{address}", interceptors=interceptors, verify=context)
        # Flower's own client follows redirects, obeys proxy variables and decompresses what it
        # is sent (threats: a detour around the pinned authority, a compression bomb).
        self._client: httpx.Client
        self._client.close()
        self._client = httpx.Client(
            verify=context,
            timeout=httpx.Timeout(30.0, connect=10.0),
            follow_redirects=False,
            trust_env=False,
            headers={"accept-encoding": "identity"},
            event_hooks={"response": [_bound(max_body_bytes)]},
        )

    def intercept(self, context: Any, call_next: Callable[[Any], httpx.Response]) -> httpx.Response:
        """Ask the server to hold a pull, and be patient with it for as long."""
        if context.rpc_method == _PULL:
            context.request.headers[WAIT_HEADER] = f"{self.pull.hold_seconds:.3f}"
            if self.pull.urgent:
                context.request.headers[URGENT_HEADER] = "1"
            context.request.extensions["timeout"]["read"] = self.pull.hold_seconds + 15.0
        return call_next(context)


def translate(address: str, error: httpx.HTTPError) -> RemoteError:
    """The failure of a call as an error with a code and a remedy."""
    if isinstance(error, httpx.HTTPStatusError):
        return _refusal(address, error.response.status_code)
    certificate = _certificate_error(error)
    if certificate is not None:
        return _untrusted(address, certificate)
    return RemoteError(
        "COORDINATOR_UNREACHABLE",
        f"the coordinator at {address} does not answer ({type(error).__name__})",
        "Check that it runs, and the address and the firewall on the way",
    )


def _refusal(address: str, status: int) -> RemoteError:
    if status == httpx.codes.UNAUTHORIZED:
        return RemoteError(
            "NODE_NOT_ENROLLED",
            f"the coordinator at {address} does not know this node's key",
            "Enrol the node; if it is enrolled, check that both clocks agree within 5 minutes",
        )
    if status == httpx.codes.CONFLICT:
        return RemoteError("REPLY_REFUSED", "the coordinator no longer awaits this")
    if status in (
        httpx.codes.BAD_GATEWAY,
        httpx.codes.SERVICE_UNAVAILABLE,
        httpx.codes.GATEWAY_TIMEOUT,
    ):
        return RemoteError(
            "COORDINATOR_UNREACHABLE",
            f"what answers at {address} cannot reach the coordinator (status {status})",
            "Check that the coordinator runs behind its proxy",
        )
    return RemoteError(
        "COORDINATOR_REFUSED",
        f"what answers at {address} refuses the Fleet protocol (status {status})",
        "Check that the address is the coordinator's own",
    )


def _untrusted(address: str, error: ssl.SSLCertVerificationError) -> RemoteError:
    if error.verify_code == _EXPIRED:
        return RemoteError(
            "COORDINATOR_CERTIFICATE",
            f"the certificate of the coordinator at {address} has expired",
            "Its operator must renew it; check this machine's clock as well",
        )
    return RemoteError(
        "COORDINATOR_CERTIFICATE",
        f"the certificate of the coordinator at {address} is not valid: {error.verify_message}",
        "Somebody else may be answering. Compare the authority in your configuration with the "
        "operator's",
    )


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _context(root_certificates: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=root_certificates.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise LocalError(
            "CERTIFICATE_MALFORMED",
            "the coordinator's authority is not a PEM certificate",
            "Copy the file again that the coordinator's operator published",
        ) from error
    return context


def _bound(max_body_bytes: int) -> Callable[[httpx.Response], None]:
    # Runs when the headers are here and the body is not; HTTP/1.1 then cannot deliver more than
    # the length that it announced.
    def check(response: httpx.Response) -> None:
        length = response.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or "content-encoding" in response.headers:
            raise RemoteError(
                "COORDINATOR_REFUSED",
                "an answer came without a plain length",
                "A proxy on the way compresses or rewrites; let the coordinator's traffic through",
            )
        if len(length) > 18 or int(length) > max_body_bytes:
            raise RemoteError("MESSAGE_TOO_LARGE", f"an answer exceeds {max_body_bytes} bytes")

    return check
