"""How a hospital joins: an invitation by a second channel, a request, a signed membership.

The invitation carries what the node has to trust before it has spoken to anybody: the address, the
fingerprint of the coordinator's certificate authority, its signing key, and a one-time token.
Keys are made on site and only their public halves travel.
"""

import hashlib
import secrets
from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, Field

from connector.errors import LocalError
from connector.identity.encoding import decode_base64, encode_base64
from policies.document import Document
from policies.errors import PolicyError
from policies.permit import Name

PREFIX = "commensal-invitation:"
_Encoded = Annotated[str, Field(min_length=16, max_length=4096)]


class Invitation(Document):
    """What the coordinator's operator hands to one hospital, once."""

    participant: Name
    url: Annotated[str, Field(pattern=r"^https://[^\s/]+$", max_length=300)]
    authority_fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    coordinator_key: _Encoded
    token: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    expires_at: AwareDatetime

    def as_line(self) -> str:
        """One line of text. It is a secret until it is used."""
        return PREFIX + encode_base64(self.encode())

    @classmethod
    def from_line(cls, line: str) -> "Invitation":
        """Parse `as_line`. Raises `LocalError` (INVITATION_MALFORMED)."""
        try:
            if not line.startswith(PREFIX):
                raise ValueError("prefix")  # noqa: TRY301 - one error for all that is no invitation
            return cls.decode(decode_base64(line.removeprefix(PREFIX).strip()))
        except (ValueError, PolicyError) as error:
            raise LocalError(
                "INVITATION_MALFORMED",
                "that is not an invitation",
                "Copy the whole line that `commensal coordinator invite` printed",
            ) from error

    def check_expiry(self, now: datetime) -> None:
        """Raises `LocalError` (INVITATION_EXPIRED)."""
        if now >= self.expires_at:
            raise LocalError(
                "INVITATION_EXPIRED",
                f"the invitation expired at {self.expires_at:%Y-%m-%d %H:%M} UTC",
                "Ask the coordinator's operator for a new one",
            )


class EnrolmentRequest(Document):
    """What the node sends: its name, its public keys, and the token (over pinned TLS)."""

    participant: Name
    token: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    signing_key: _Encoded
    fleet_key: _Encoded


class RenewalRequest(Document):
    """What a member sends, signed with its signing key: a fresh connection key, before its end."""

    participant: Name
    coordinator: Name
    fleet_key: _Encoded
    requested_at: AwareDatetime


class Membership(Document):
    """The coordinator's signed statement that these keys speak for this participant."""

    participant: Name
    coordinator: Name
    signing_key: _Encoded
    fleet_key: _Encoded
    not_before: AwareDatetime
    not_after: AwareDatetime

    def check_validity(self, now: datetime) -> None:
        """Raises `LocalError`: ENROLMENT_EXPIRED, CLOCK_WRONG."""
        if now >= self.not_after:
            raise LocalError(
                "ENROLMENT_EXPIRED",
                f"the enrolment of {self.participant} expired on {self.not_after:%Y-%m-%d}",
                "Ask the coordinator's operator for a new invitation and enrol again",
            )
        if now < self.not_before:
            raise LocalError(
                "CLOCK_WRONG",
                f"the enrolment of {self.participant} begins {self.not_before:%Y-%m-%d %H:%M} UTC",
                "Set this machine's clock",
            )


def new_token() -> str:
    """A one-time token of 256 bits from the operating system, in hexadecimal."""
    return secrets.token_hex(32)


def token_digest(token: str, key_fingerprint: str = "") -> str:
    """What the coordinator stores instead of the token.

    With a fingerprint the token is good for that signing key only: it is not found by another.
    """
    bound = (
        f"commensal/token/v2\n{key_fingerprint}\n" if key_fingerprint else "commensal/token/v1\n"
    )
    return hashlib.sha256(bound.encode() + token.encode()).hexdigest()
