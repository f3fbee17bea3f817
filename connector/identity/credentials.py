"""Membership credentials and their status list: what an access body issues, and how both are read.

Read: W3C Verifiable Credentials 1.1 as JWT (`vc` claim) and 2.0 secured with JOSE (the payload is
the credential). Issued: 1.1 with a Bitstring Status List, which EDC and the DCP kit read.
"""

import gzip
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from jwt.utils import base64url_decode, base64url_encode
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from connector.errors import RemoteError
from connector.identity.claims import SKEW, Issuer
from connector.identity.did import MAX_DID
from connector.identity.jose import Json, Token

MEMBERSHIP = "MembershipCredential"
LIST_BITS = 1 << 17  # the least that Bitstring Status List v1.0 allows (section 6.1)
MAX_LIST_BYTES = 1 << 20
_V1 = "https://www.w3.org/2018/credentials/v1"
_Text = Annotated[str, Field(max_length=2000)]


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: Annotated[str, Field(max_length=MAX_DID)] = ""


class StatusEntry(BaseModel):
    """Where a credential's status stands: bit `index` of the list at `address`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: _Text
    purpose: Annotated[str, Field(max_length=40, alias="statusPurpose")]
    index: Annotated[int, Field(ge=0, lt=MAX_LIST_BYTES * 8, alias="statusListIndex")]
    address: Annotated[str, Field(max_length=2000, alias="statusListCredential")]


class _Credential(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: _Text | Annotated[list[_Text], Field(max_length=20)]
    issuer: Annotated[str, Field(max_length=MAX_DID)] | _Named
    credentialSubject: Any  # noqa: N815 - the data model's own spelling
    issuanceDate: AwareDatetime | None = None  # noqa: N815 - as above
    validFrom: AwareDatetime | None = None  # noqa: N815 - as above
    expirationDate: AwareDatetime | None = None  # noqa: N815 - as above
    validUntil: AwareDatetime | None = None  # noqa: N815 - as above
    credentialStatus: Any = None  # noqa: N815 - as above


@dataclass(frozen=True)
class Credential:
    """A credential as it reads; whether to believe it is another question.

    `subjects` are the claims of each subject, `expires` None means never.
    """

    types: frozenset[str]
    issuer: str
    subjects: tuple[Json, ...]
    begins: datetime | None
    expires: datetime | None
    statuses: tuple[StatusEntry, ...]

    def check_times(self, now: datetime) -> None:
        """Raises `RemoteError`: CREDENTIAL_EXPIRED, CREDENTIAL_EARLY."""
        if self.expires is not None and self.expires <= now:
            raise RemoteError("CREDENTIAL_EXPIRED", "a credential has expired")
        if self.begins is not None and self.begins - SKEW > now:
            raise RemoteError("CREDENTIAL_EARLY", "a credential is not valid yet")


def read(token: Token) -> Credential:
    """What a credential's JWT says: what stands twice must agree.

    Raises `RemoteError` (CREDENTIAL_MALFORMED).
    """
    claims = token.payload
    try:
        said = _Credential.model_validate(claims.get("vc", claims))
        subjects = tuple(_list(said.credentialSubject))
        found = Credential(
            types=frozenset([said.type] if isinstance(said.type, str) else said.type),
            issuer=said.issuer if isinstance(said.issuer, str) else said.issuer.id,
            subjects=subjects,
            begins=_latest(said.issuanceDate, said.validFrom, _moment(claims, "nbf")),
            expires=_earliest(said.expirationDate, said.validUntil, _moment(claims, "exp")),
            statuses=tuple(StatusEntry.model_validate(one) for one in _list(said.credentialStatus)),
        )
        names = {subject.get("id") for subject in subjects}
    except (ValidationError, ValueError, OverflowError, TypeError) as error:
        raise _malformed() from error
    if claims.get("iss", found.issuer) != found.issuer or (
        "sub" in claims and names != {claims["sub"]}
    ):
        raise _malformed()
    return found


def issue(
    issuer: Issuer, subject: str, claims: Json, address: str, index: int, life: timedelta
) -> str:
    """A membership credential for the did `subject`, revocable at bit `index` of `address`."""
    entry = {
        "id": f"{address}#{index}", "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation", "statusListIndex": str(index),
        "statusListCredential": address,
    }  # fmt: skip
    said = {"id": subject, **claims}
    return _sign(issuer, MEMBERSHIP, said, life, uuid.uuid4().urn, credentialStatus=entry)


def issue_list(issuer: Issuer, address: str, revoked: Iterable[int], life: timedelta) -> str:
    """The signed list at `address`: bit i of it is set where i is revoked."""
    bits = bytearray(LIST_BITS // 8)
    for index in revoked:
        bits[index // 8] |= 0x80 >> index % 8
    claims = {
        "id": f"{address}#list", "type": "BitstringStatusList", "statusPurpose": "revocation",
        "encodedList": "u" + base64url_encode(gzip.compress(bytes(bits), mtime=0)).decode(),
    }  # fmt: skip
    return _sign(issuer, "BitstringStatusListCredential", claims, life, address)


def bit(encoded: str, index: int) -> bool:
    """Bit `index` of a list, the first being the highest of the first byte (section 3.3).

    Raises `RemoteError` (STATUS_MALFORMED), also for an index beyond its end. Shorter lists than
    the standard allows are read: their length protects the holder's privacy, not the verifier.
    """
    try:
        packed = base64url_decode(encoded.removeprefix("u"))
        unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
        content = unpacking.decompress(packed, MAX_LIST_BYTES + 1)
    except (ValueError, zlib.error) as error:
        raise _bad_list() from error
    if len(content) > MAX_LIST_BYTES or not unpacking.eof or index >= len(content) * 8:
        raise _bad_list()
    return bool(content[index // 8] & 0x80 >> index % 8)


def _sign(
    issuer: Issuer, kind: str, claims: Json, life: timedelta, identifier: str, **more: Json
) -> str:
    begins = issuer.clock()
    ends = begins + life
    credential: Json = {
        "@context": [_V1], "id": identifier, "type": ["VerifiableCredential", kind],
        "issuer": issuer.did, "issuanceDate": _spell(begins), "expirationDate": _spell(ends),
        "credentialSubject": claims, **more,
    }  # fmt: skip
    return issuer.sign(
        {
            "iss": issuer.did, "sub": claims["id"], "jti": identifier,
            "iat": int(begins.timestamp()), "nbf": int(begins.timestamp()),
            "exp": int(ends.timestamp()), "vc": credential,
        }
    )  # fmt: skip


def _list(value: Any) -> list[Json]:
    found = value if isinstance(value, list) else [value]
    if value is None:
        return []
    if len(found) > 20 or not all(isinstance(one, dict) for one in found):
        raise ValueError("not a list of objects")
    return found


def _moment(claims: Json, name: str) -> datetime | None:
    return datetime.fromtimestamp(int(claims[name]), UTC) if name in claims else None


def _latest(*moments: datetime | None) -> datetime | None:
    return max((one for one in moments if one is not None), default=None)


def _earliest(*moments: datetime | None) -> datetime | None:
    return min((one for one in moments if one is not None), default=None)


def _spell(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _malformed() -> RemoteError:
    return RemoteError("CREDENTIAL_MALFORMED", "a credential cannot be read")


def _bad_list() -> RemoteError:
    return RemoteError("STATUS_MALFORMED", "a status list cannot be read")
