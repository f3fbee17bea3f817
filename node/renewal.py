"""An enrolment goes on by itself: a fresh connection key when two thirds of its life are over.

The signing key stays: the log, which is the memory of the budget, belongs to it. The fresh key
lies beside the old one until the coordinator has signed it, and is found again after a crash in
between, when the coordinator may know it already.
"""

from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from connector.files import write_durably
from connector.identity import certificates, documents
from connector.identity.encoding import encode_base64
from connector.identity.enrolment import EnrolmentRequest, Membership, RenewalRequest
from connector.identity.keys import Signer, VerifyKey, write_secret
from node.config import Paths
from node.enrol import check_membership, log_enrolment, post_pinned


def due_at(membership: Membership) -> datetime:
    """From when on an enrolment should be renewed."""
    return membership.not_before + (membership.not_after - membership.not_before) * 2 / 3


def renew(
    paths: Paths, key: Signer, address: str, coordinator: VerifyKey, now: datetime
) -> Membership:
    """Have a fresh connection key signed, and use it from the next connection on.

    The log must not be open. Raises `RemoteError`: COORDINATOR_UNREACHABLE,
    COORDINATOR_CERTIFICATE, ENROLMENT_REFUSED, SIGNATURE_INVALID, MEMBERSHIP_DIFFERS; `LocalError`
    of keys and the log. Until the last step the old key and enrolment stay as they are.
    """
    waiting = paths.fleet_key.with_name("fleet.key.new")
    fresh = _fresh(waiting)
    public = encode_base64(certificates.public_pem(fresh))
    request = RenewalRequest(
        participant=key.name, coordinator=coordinator.name, fleet_key=public, requested_at=now
    )
    body = documents.sign(key, request).encode()
    document = post_pinned(f"https://{address}/v1/renew", paths.authority.read_bytes(), body)
    membership = documents.verify(document, Membership, coordinator)
    expected = EnrolmentRequest(
        participant=key.name, token="0" * 64, signing_key=key.verify_key.vkey, fleet_key=public
    )
    check_membership(membership, expected, coordinator, now)
    log_enrolment(paths, key, membership, now)
    write_durably(paths.fleet_key, certificates.private_pem(fresh))
    waiting.unlink()
    write_durably(paths.membership, document.encode())
    return membership


def _fresh(waiting: Path) -> ec.EllipticCurvePrivateKey:
    if waiting.exists():
        return certificates.load_private_key(waiting)
    fresh = certificates.generate_private_key()
    write_secret(waiting, certificates.private_pem(fresh))
    return fresh
