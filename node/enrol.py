"""`commensal node enrol`: from an invitation to pinned keys and a signed membership."""

import json
import ssl
from dataclasses import dataclass
from datetime import datetime

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from connector.audit import entries
from connector.audit.log import Log
from connector.errors import LocalError, RemoteError
from connector.files import write_durably
from connector.identity import certificates, documents
from connector.identity.encoding import encode_base64
from connector.identity.enrolment import EnrolmentRequest, Invitation, Membership
from connector.identity.keys import Signer, SigningKey, VerifyKey, write_secret
from node.config import Paths

_MAX_ANSWER = 1 << 17
_TIMEOUT = httpx.Timeout(10.0)


def enrol(paths: Paths, invitation: Invitation, now: datetime) -> Membership:
    """Have this node's keys signed, and pin what the invitation says.

    The first time keys are made; later it is a renewal with the same keys, because the log, which
    is the memory of what was spent, belongs to the signing key. Nothing is written before the
    coordinator has accepted and its answer was checked.

    Raises `LocalError`: INVITATION_EXPIRED, INVITATION_FOR_ANOTHER, IDENTITY_LOST and those of the
    log; `RemoteError`: COORDINATOR_UNREACHABLE, COORDINATOR_CERTIFICATE, AUTHORITY_MISMATCH,
    ENROLMENT_REFUSED, SIGNATURE_INVALID, MEMBERSHIP_DIFFERS.
    """
    invitation.check_expiry(now)
    keys = _keys(paths, invitation)
    _check_log(paths, keys)
    coordinator = VerifyKey.parse(invitation.coordinator_key)
    authority = _fetch_authority(invitation)
    request = EnrolmentRequest(
        participant=invitation.participant,
        token=invitation.token,
        signing_key=keys.signing.verify_key.vkey,
        fleet_key=encode_base64(certificates.public_pem(keys.fleet)),
    )
    document = post_pinned(invitation.url + "/v1/enrol", authority, request.encode())
    membership = documents.verify(document, Membership, coordinator)
    check_membership(membership, request, coordinator, now)
    _save(paths, keys)
    log_enrolment(paths, keys.signing, membership, now)
    write_durably(paths.authority, authority)
    write_durably(paths.coordinator, _pinned(invitation, coordinator))
    write_durably(paths.membership, document.encode())
    return membership


@dataclass(frozen=True)
class _Keys:
    """A node's two keys, and which of them are not on disk yet."""

    signing: SigningKey
    fleet: ec.EllipticCurvePrivateKey
    new_signing: bool
    new_fleet: bool


def _keys(paths: Paths, invitation: Invitation) -> _Keys:
    new_signing, new_fleet = not paths.signing_key.exists(), not paths.fleet_key.exists()
    signing = (
        SigningKey.generate(invitation.participant)
        if new_signing
        else SigningKey.load(paths.signing_key)
    )
    # A lost connection key is no loss: the log belongs to the signing key.
    fleet = (
        certificates.generate_private_key()
        if new_fleet
        else certificates.load_private_key(paths.fleet_key)
    )
    if signing.name != invitation.participant:
        raise LocalError(
            "INVITATION_FOR_ANOTHER",
            f"the invitation is for {invitation.participant}, this node is {signing.name}",
            "Ask the coordinator's operator for an invitation for this node",
        )
    return _Keys(signing, fleet, new_signing, new_fleet)


def _check_log(paths: Paths, keys: _Keys) -> None:
    """Find out that the log cannot be written before the token is used up."""
    if keys.new_signing and (paths.log / "entries").exists():
        raise LocalError(
            "IDENTITY_LOST",
            f"{paths.log} belongs to a key that is not in {paths.signing_key.parent}",
            "Restore the identity from a backup: the log knows what privacy was spent",
        )
    if not keys.new_signing:
        Log.open(paths.log, keys.signing).close()


def check_membership(
    membership: Membership, request: EnrolmentRequest, coordinator: VerifyKey, now: datetime
) -> None:
    """The signed membership must be about these very keys (threat: somebody else's, replayed)."""
    if (
        membership.participant != request.participant
        or membership.signing_key != request.signing_key
        or membership.fleet_key != request.fleet_key
        or membership.coordinator != coordinator.name
    ):
        raise RemoteError(
            "MEMBERSHIP_DIFFERS",
            "the coordinator's answer is about other keys than this node sent",
            "Somebody may sit in between; tell the coordinator's operator",
        )
    membership.check_validity(now)


def _save(paths: Paths, keys: _Keys) -> None:
    if keys.new_signing:
        keys.signing.save(paths.signing_key)
    if keys.new_fleet:
        write_secret(paths.fleet_key, certificates.private_pem(keys.fleet))


def _fetch_authority(invitation: Invitation) -> bytes:
    """The coordinator's authority, believed for its fingerprint and for nothing else.

    One certificate, spelled anew: whatever else a man in the middle appends is dropped.
    """
    # The one connection without verification: what it brings is compared with the fingerprint
    # that came by the second channel, and the token is sent only afterwards.
    content = _call(invitation.url + "/v1/authority", verify=False)
    try:
        authority = certificates.single(content)
        matches = certificates.fingerprint(authority) == invitation.authority_fingerprint
    except ValueError:
        matches = False
    if not matches:
        raise RemoteError(
            "AUTHORITY_MISMATCH",
            f"{invitation.url} presents another certificate authority than the invitation names",
            "Somebody may sit in between; check the address and the invitation",
        )
    return authority


def post_pinned(url: str, authority: bytes, body: bytes) -> str:
    """Send a request for a membership to the coordinator that presents the pinned authority.

    Raises `RemoteError`: COORDINATOR_UNREACHABLE, COORDINATOR_CERTIFICATE, ENROLMENT_REFUSED.
    """
    answer = _call(url, verify=_pinning(authority), body=body)
    return answer.decode("utf-8", "replace")  # what is not text fails as a signature


def get_pinned(url: str, authority: bytes, most: int) -> bytes:
    """Fetch a page of the coordinator that presents the pinned authority. Raises as above."""
    return _call(url, verify=_pinning(authority), most=most)


def make_key(paths: Paths, name: str) -> str:
    """Make this node's signing key, unless it is there; returns its fingerprint.

    Raises `LocalError`: NAME_INVALID, NAME_DIFFERS, IDENTITY_LOST, and those of key files.
    """
    if paths.signing_key.exists():
        key = SigningKey.load(paths.signing_key)
        if key.name != name:
            raise LocalError(
                "NAME_DIFFERS", f"the key in {paths.root} is of {key.name}, not of {name}",
                "Correct the name, or name another directory",
            )  # fmt: skip
    else:
        key = SigningKey.generate(name)
        _check_log(paths, _Keys(key, certificates.generate_private_key(), True, True))
        key.save(paths.signing_key)
    return key.verify_key.fingerprint


def _pinning(authority: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no other authority than the pinned one
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority.decode("ascii"))
    return context


def _call(
    url: str,
    *,
    verify: ssl.SSLContext | bool,
    body: bytes | None = None,
    most: int = _MAX_ANSWER,
) -> bytes:
    try:
        with httpx.Client(verify=verify, timeout=_TIMEOUT, trust_env=False) as client:
            method = "GET" if body is None else "POST"
            headers = {"accept-encoding": "identity"}
            with client.stream(method, url, content=body, headers=headers) as response:
                content = b""
                for chunk in response.iter_raw():
                    content += chunk
                    if len(content) > most:
                        raise RemoteError("ENROLMENT_REFUSED", f"{url} answers too much")
                status = response.status_code
    except (httpx.RequestError, httpx.InvalidURL, UnicodeError) as error:
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
    if status != 200 and body is None:
        raise RemoteError(
            "COORDINATOR_UNREACHABLE",
            f"{url} answers with status {status}",
            "It may be overloaded, or of an older version: ask its operator",
        )
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
    if membership.signing_key != SigningKey.load(paths.signing_key).verify_key.vkey:
        raise LocalError("NOT_ENROLLED", f"{paths.membership} is about another key", "Enrol again")
    membership.check_validity(now)
    return membership


def log_enrolment(paths: Paths, key: Signer, membership: Membership, now: datetime) -> None:
    """Write down that a membership counts from here on. Errors of the log."""
    with Log.open(paths.log, key) as log:
        last = max((entries.parse(content).time for _, content in log.read()), default=now)
        entry = entries.Enrolled(
            time=max(now, last),
            participant=membership.participant,
            coordinator=membership.coordinator,
            membership_digest=membership.digest,
            not_after=membership.not_after,
        )
        log.append([entries.spell(entry)])
