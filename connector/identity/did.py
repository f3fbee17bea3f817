"""Participants as did:web: our own document, and those of others.

W3C DID Core 1.0, did:web (draft of the Credentials Community Group), service entries of the
Dataspace Protocol 2025-1 and of the Decentralized Claims Protocol 1.0. A foreign document is
believed for what the web's own authorities say about its host: it makes a caller somebody, never
a member (that takes a credential) and never one of ours (that takes the manifest).
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from connector.errors import LocalError, RemoteError
from connector.identity import jose
from connector.identity.fetch import Fetcher
from connector.identity.jose import Json, PublicKey
from connector.identity.keys import VerifyKey
from policies.errors import PolicyError
from policies.odrl import strict

MAX_DID = 255
DSP_CONTEXT = "https://w3id.org/dspace/2025/1/context.jsonld"
DCP_CONTEXT = "https://w3id.org/dspace-dcp/v1.0/dcp.jsonld"
CREDENTIAL_SERVICE = "CredentialService"
Purpose = Literal["capabilityInvocation", "assertionMethod", "authentication"]
_PURPOSES: tuple[Purpose, ...] = ("capabilityInvocation", "assertionMethod", "authentication")
_DID = re.compile(
    r"did:web:(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(?:%3A(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>(?::[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){0,8})",
    re.ASCII,
)
_LIFE = timedelta(minutes=5)
_LIFE_OF_FAILURE = timedelta(seconds=10)
_MOST = 1000


def address_of(did: str, scheme: str = "https") -> str:
    """Where a did:web's document lies. Raises `RemoteError` (DID_UNSUPPORTED)."""
    match = _DID.fullmatch(did) if len(did) <= MAX_DID else None
    if match is None:
        raise RemoteError("DID_UNSUPPORTED", "a participant's id is not a did:web")
    port = f":{match['port']}" if match["port"] else ""
    path = match["path"].replace(":", "/") or "/.well-known"
    return f"{scheme}://{match['host']}{port}{path}/did.json"


def check_own(did: str) -> str:
    """Return our own id if it is one. Raises `LocalError` (DID_INVALID)."""
    try:
        address_of(did)
    except RemoteError as error:
        raise LocalError(
            "DID_INVALID",
            f"{did!r} is not a did:web",
            "Write did:web:host, did:web:host%3Aport or did:web:host:path",
        ) from error
    return did


def key_id(did: str, key: VerifyKey) -> str:
    """How tokens name the key that signed them."""
    return f"{did}#{key.key_id.hex()}"


def document(did: str, key: VerifyKey, address: str, credentials: str) -> Json:
    """Our own document. `address`: the protocol's, as peers call it; `credentials`: the service's.

    The version metadata lies at the root of the protocol's host (DSP 2025-1).
    """
    method, root = key_id(did, key), "/".join(address.split("/", 3)[:3])
    services = {
        CREDENTIAL_SERVICE: credentials,
        "CatalogService": f"{address}/catalog",
        "DataService": f"{root}/.well-known/dspace-version",
    }
    return {
        "@context": ["https://www.w3.org/ns/did/v1", DSP_CONTEXT, DCP_CONTEXT],
        "id": did,
        "verificationMethod": [
            {
                "id": method, "type": "JsonWebKey2020", "controller": did,
                "publicKeyJwk": jose.jwk(key),
            }
        ],
        **{purpose: [method] for purpose in _PURPOSES},
        "service": [
            {"id": f"{did}#{kind}", "type": kind, "serviceEndpoint": endpoint}
            for kind, endpoint in services.items()
        ],
    }  # fmt: skip


@dataclass(frozen=True)
class DidDocument:
    """What a foreign document says. `keys` by full id, `purposes` the ids that may be used so."""

    id: str
    keys: dict[str, PublicKey]
    purposes: dict[Purpose, frozenset[str]]
    services: dict[str, str]

    def key(self, kid: str | None, purpose: Purpose) -> PublicKey:
        """The key that a token names; without a name, the only one (DCP 1.0, section 4.3.3).

        Raises `RemoteError` (DID_KEY).
        """
        names = [self._full(kid)] if kid is not None else list(self.keys)
        if len(names) == 1 and names[0] in self.keys and names[0] in self.purposes[purpose]:
            return self.keys[names[0]]
        raise RemoteError("DID_KEY", f"a token's key is not one of its issuer's for {purpose}")

    def service(self, kind: str) -> str:
        """The endpoint of the first service of a kind. Raises `RemoteError` (DID_SERVICE)."""
        try:
            return self.services[kind]
        except KeyError:
            raise RemoteError("DID_SERVICE", f"a participant's document names no {kind}") from None

    def _full(self, kid: str) -> str:
        return kid if kid.startswith(f"{self.id}#") else f"{self.id}#{kid.removeprefix('#')}"


_Text = Annotated[str, Field(max_length=2000)]


class _Method(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: _Text
    controller: _Text = ""
    publicKeyJwk: dict[str, Any] | None = None  # noqa: N815 - DID Core's own spelling


class _Service(BaseModel):
    model_config = ConfigDict(extra="ignore")

    type: _Text | list[_Text]
    serviceEndpoint: Any = None  # noqa: N815 - as above


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: _Text
    verificationMethod: list[_Method] = Field(default=[], max_length=32)  # noqa: N815 - as above
    capabilityInvocation: list[_Text | _Method] = Field(default=[], max_length=32)  # noqa: N815
    assertionMethod: list[_Text | _Method] = Field(default=[], max_length=32)  # noqa: N815
    authentication: list[_Text | _Method] = Field(default=[], max_length=32)
    service: list[_Service] = Field(default=[], max_length=32)


def parse(content: bytes, did: str) -> DidDocument:
    """Read the document of `did`. Keys of other kinds are left out.

    Raises `RemoteError`: DID_MALFORMED, DID_DIFFERS (it is about another id).
    """
    try:
        said = _Document.model_validate(strict.load(content))
    except (PolicyError, ValidationError) as error:
        raise RemoteError("DID_MALFORMED", "a DID document cannot be read") from error
    if said.id != did:
        raise RemoteError("DID_DIFFERS", "a DID document is about another id than was asked")
    keys: dict[str, PublicKey] = {}
    for method in said.verificationMethod:
        _take(keys, method, did)
    purposes: dict[Purpose, frozenset[str]] = {}
    for purpose in _PURPOSES:
        named = set()
        for entry in getattr(said, purpose):
            if isinstance(entry, _Method):
                _take(keys, entry, did)
            name = entry.id if isinstance(entry, _Method) else entry
            named.add(did + name if name.startswith("#") else name)
        purposes[purpose] = frozenset(named)
    return DidDocument(did, keys, purposes, _services(said))


def _take(keys: dict[str, PublicKey], method: _Method, did: str) -> None:
    name = did + method.id if method.id.startswith("#") else method.id
    if method.controller not in ("", did) or not name.startswith(f"{did}#"):
        return  # another participant's key
    if method.publicKeyJwk is None:
        return
    try:
        key = PublicKey.from_jwk(method.publicKeyJwk)
    except RemoteError:
        return
    if keys.setdefault(name, key).key != key.key:
        raise RemoteError("DID_MALFORMED", "a DID document gives two keys one name")


def _services(said: _Document) -> dict[str, str]:
    found: dict[str, str] = {}
    for service in said.service:
        kinds = [service.type] if isinstance(service.type, str) else service.type
        if isinstance(service.serviceEndpoint, str):
            for kind in kinds:
                found.setdefault(kind, service.serviceEndpoint.rstrip("/"))
    return found


class Resolver:
    """Foreign documents, remembered for five minutes; so are failures, for ten seconds.

    Not safe from several threads: it lives in one event loop.
    """

    def __init__(self, fetcher: Fetcher, clock: Callable[[], datetime]) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._known: OrderedDict[str, tuple[datetime, DidDocument | RemoteError]] = OrderedDict()

    async def resolve(self, did: str) -> DidDocument:
        """The document of `did`.

        Raises `RemoteError`: DID_UNSUPPORTED, DID_MALFORMED, DID_DIFFERS and those of `Fetcher`.
        """
        address = address_of(did, self._fetcher.scheme)
        until, known = self._known.get(did, (self._clock(), None))
        if known is None or until <= self._clock():
            known = await self._fetch(did, address)
            life = _LIFE_OF_FAILURE if isinstance(known, RemoteError) else _LIFE
            self._known[did] = (self._clock() + life, known)
            self._known.move_to_end(did)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        if isinstance(known, RemoteError):
            raise RemoteError(known.code, known.message, known.remedy)
        return known

    async def _fetch(self, did: str, address: str) -> DidDocument | RemoteError:
        try:
            content = await self._fetcher.get(address, "application/did+json, application/json")
            return parse(content, did)
        except RemoteError as error:
            return error
