"""`commensal node enrol`: from an invitation to pinned keys and a signed membership."""

import json
import ssl
from datetime import datetime
from pathlib import Path

import httpx
from cryptography.hazmat.primitives import serialization

from connector.audit import entries
from connector.audit.log import Log
from connector.errors import LocalError, RemoteError
from connector.identity import certificates, documents
from connector.identity.encoding import encode_base64
from connector.identity.enrolment import EnrolmentRequest, Invitation, Membership
from connector.identity.keys import SigningKey, VerifyKey
from node.config import Paths
from policies import canonical

_MAX_ANSWER = 1 << 17
_TIMEOUT = httpx.Timeout(10.0)


def enrol(paths: Paths, invitation: Invitation, now: datetime) -> Membership:
    """Make keys, have them signed, and pin what the invitation says. Nothing half-done stays.

    Raises `LocalError`: INVITATION_EXPIRED, ALREADY_ENROLLED, KEY_EXISTS; `RemoteError`:
    COORDINATOR_UNREACHABLE, COORDINATOR_CERTIFICATE, AUTHORITY_MISMATCH, ENROLMENT_REFUSED,
    SIGNATURE_INVALID.
    """
    invitation.check_expiry(now)
    if paths.membership.exists():
        raise LocalError(
            "ALREADY_ENROLLED",
            f"{paths.root} is enrolled already",
            f"To enrol again, move {paths.membership.parent} away first",
        )
    coordinator = VerifyKey.parse(invitation.coordinator_key)
    authority = _fetch_authority(invitation)
    identity = paths.signing_key.parent
    made: list[Path] = []
    try:
        made.append(paths.signing_key)
        SigningKey.generate(invitation.participant).save(paths.signing_key)
        made.append(paths.fleet_key)
        certificates.create_private_key(paths.fleet_key)
        document = _request_membership(paths, invitation, authority)
        membership = documents.verify(document, Membership, coordinator)
        _write(identity / "ca.pem", authority, made)
        _write(paths.coordinator, _pinned(invitation, coordinator), made)
        _write(paths.membership, document.encode(), made)
        _log_enrolment(paths, membership, now)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise
    return membership


def _fetch_authority(invitation: Invitation) -> bytes:
    """The coordinator's authority, believed for its fingerprint and for nothing else."""
    # The one connection without verification: what it brings is compared with the fingerprint
    # that came by the second channel, and the token is sent only afterwards.
    content = _call(invitation.url + "/v1/authority", verify=False)
    try:
        matches = certificates.fingerprint(content) == invitation.authority_fingerprint
    except ValueError:
        matches = False
    if not matches:
        raise RemoteError(
            "AUTHORITY_MISMATCH",
            f"{invitation.url} presents another certificate authority than the invitation names",
            "Somebody may sit in between; check the address and the invitation",
        )
    return content


def _request_membership(paths: Paths, invitation: Invitation, authority: bytes) -> str:
    fleet_key = certificates.load_private_key(paths.fleet_key).public_key()
    request = EnrolmentRequest(
        participant=invitation.participant,
        token=invitation.token,
        signing_key=SigningKey.load(paths.signing_key).verify_key.vkey,
        fleet_key=encode_base64(
            fleet_key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ),
    )
    context = ssl.create_default_context(cadata=authority.decode("ascii"))
    return _call(invitation.url + "/v1/enrol", verify=context, body=request.encode()).decode()


def _call(url: str, *, verify: ssl.SSLContext | bool, body: bytes | None = None) -> bytes:
    try:
        with httpx.Client(verify=verify, timeout=_TIMEOUT, trust_env=False) as client:
            method = "GET" if body is None else "POST"
            with client.stream(method, url, content=body) as response:
                content = b""
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > _MAX_ANSWER:
                        raise RemoteError("ENROLMENT_REFUSED", f"{url} answers too much")
                status = response.status_code
    except httpx.TransportError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise RemoteError(
                "COORDINATOR_CERTIFICATE",
                f"the certificate of {url} is not valid",
                "It may have expired, which its operator must mend; check this machine's clock",
            ) from error
        raise RemoteError(
            "COORDINATOR_UNREACHABLE",
            f"cannot reach {url} ({type(error).__name__})",
            "Check that the coordinator runs and that this machine may connect to it",
        ) from error
    if status != 200:
        raise RemoteError(
            "ENROLMENT_REFUSED",
            "the coordinator refused the enrolment",
            "The token may be used, expired or meant for another name: ask for a new invitation",
        )
    return content


def _pinned(invitation: Invitation, coordinator: VerifyKey) -> bytes:
    address = invitation.url.removeprefix("https://")
    return json.dumps({"address": address, "key": coordinator.vkey}).encode()


def read_pinned(paths: Paths) -> tuple[str, VerifyKey]:
    """Address (`host:port`) and key of the coordinator. Raises `LocalError` (NOT_ENROLLED)."""
    try:
        pinned = json.loads(paths.coordinator.read_bytes())
        return str(pinned["address"]), VerifyKey.parse(pinned["key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LocalError(
            "NOT_ENROLLED",
            f"{paths.root} is not enrolled with a coordinator",
            "Run `commensal node enrol` with an invitation from the coordinator's operator",
        ) from error


def read_membership(paths: Paths, coordinator: VerifyKey, now: datetime) -> Membership:
    """The node's own membership, signed and in force. Raises `LocalError` (NOT_ENROLLED, ...)."""
    try:
        document = paths.membership.read_text()
    except OSError as error:
        raise LocalError(
            "NOT_ENROLLED", f"cannot read {paths.membership}", "Enrol again"
        ) from error
    membership = documents.verify(document, Membership, coordinator)
    membership.check_validity(now)
    return membership


def _log_enrolment(paths: Paths, membership: Membership, now: datetime) -> None:
    with Log.open(paths.log, SigningKey.load(paths.signing_key)) as log:
        entry = entries.Enrolled(
            time=now,
            participant=membership.participant,
            coordinator=membership.coordinator,
            membership_digest=canonical.digest(membership.encode()),
            not_after=membership.not_after,
        )
        log.append([entry.encode()])


def _write(path: Path, content: bytes, made: list[Path]) -> None:
    made.append(path)
    path.write_bytes(content)
