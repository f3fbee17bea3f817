"""An enrolment goes on: before its end, its signing key asks, with a fresh connection key."""

from datetime import timedelta

from sqlalchemy import select

from connector.audit import entries
from connector.errors import RemoteError
from connector.flower.keys import check_public
from connector.identity import documents
from connector.identity.encoding import decode_base64
from connector.identity.enrolment import Membership, RenewalRequest
from connector.identity.keys import VerifyKey
from connector.store import Participant
from coordinator.members import is_revoked
from coordinator.office import MEMBERSHIP_LIFE, Office, fleet_key_pem
from coordinator.recorder import Record

_SKEW = timedelta(minutes=5)


def renew(office: Office, body: bytes, record: Record) -> tuple[str, Participant]:
    """The signed membership for another 30 days, logged before it counts.

    The same request counts once: each must be younger than the membership that it renews. Raises
    `RemoteError`: SIGNATURE_MALFORMED, SIGNATURE_INVALID, RENEWAL_REFUSED, KEY_MALFORMED,
    KEY_TAKEN.
    """
    text = body.decode("utf-8", "replace")
    claimed = documents.read_unverified(text, RenewalRequest)  # only whose key to look for
    now = office.clock()
    with office.store.begin() as session:
        wanted = select(Participant).where(Participant.name == claimed.participant, ~is_revoked())
        participant = session.scalar(wanted.with_for_update())
        if participant is None:
            raise _refused()
        key = VerifyKey.parse(participant.signing_key)
        request = documents.verify(text, RenewalRequest, key)
        if (
            request.coordinator != office.key.name
            or participant.not_after <= now
            or abs(request.requested_at - now) > _SKEW
            or request.requested_at <= participant.enrolled_at
        ):
            raise _refused()
        _check_key(request, [*session.scalars(select(Participant))])
        membership = Membership(
            participant=participant.name,
            coordinator=office.key.name,
            signing_key=participant.signing_key,
            fleet_key=request.fleet_key,
            not_before=now - _SKEW,
            not_after=now + MEMBERSHIP_LIFE,
        )
        participant.fleet_key = request.fleet_key
        participant.not_after = membership.not_after
        participant.enrolled_at = max(now, request.requested_at)
        record(
            entries.Enrolled(
                time=now,
                participant=participant.name,
                coordinator=office.key.name,
                membership_digest=membership.digest,
                not_after=membership.not_after,
            )
        )
    return documents.sign(office.key, membership), participant


def _check_key(request: RenewalRequest, everybody: list[Participant]) -> None:
    try:
        fresh = check_public(decode_base64(request.fleet_key))
    except ValueError as error:
        raise RemoteError("KEY_MALFORMED", "a node's key is not base64") from error
    others = (one for one in everybody if one.name != request.participant)
    if fresh in {fleet_key_pem(other) for other in others}:
        raise RemoteError("KEY_TAKEN", "a key is another participant's")


def _refused() -> RemoteError:
    return RemoteError("RENEWAL_REFUSED", "an enrolment is not renewed")
