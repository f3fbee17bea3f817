"""Signing keys by URI: `file:` (a file for its owner only) and `pkcs11:` (RFC 7512).

A key in a token signs there and never leaves it. The configuration names the key; its PIN comes
from a file or an environment variable, never from the URI itself (threat: argv, a backup of the
configuration).

pkcs11:token=hospital;object=signing?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/pin
"""

import hashlib
import hmac
import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from connector.errors import LocalError
from connector.identity.keys import Signer, SigningKey, VerifyKey, check_name, read_secret

if TYPE_CHECKING:
    import pkcs11

_MAX_URI = 2000
_PATH = frozenset({"token", "serial", "object", "id"})
_QUERY = frozenset({"module-path", "pin-source"})
_TEXT = re.compile(r"(?:[A-Za-z0-9_.~:\[\]@!$'()*+,=/-]|%[0-9A-Fa-f]{2})+")
_ED25519_OID = bytes.fromhex("06032b6570")  # 1.3.101.112 (RFC 8410), as CKA_EC_PARAMS
_ED25519_NAME = b"\x13\x0cedwards25519"  # the curve's name (PKCS #11 v3.0, section 2.3.5)


def load(uri: str, name: str, root: Path) -> Signer:
    """The key of participant `name`. Relative files are below `root`.

    Raises `LocalError`: KEY_URI, KEY_FOR_ANOTHER, KEY_MISSING, KEY_EXPOSED, KEY_MALFORMED; for
    tokens KEY_MODULE, KEY_PIN, KEY_UNSUITABLE, TOKEN_FAILED.
    """
    scheme, _, rest = uri.partition(":")
    if len(uri) > _MAX_URI or not uri.isascii() or not uri.isprintable():
        raise _bad(uri[:80], "it is too long, or not plain text")
    if scheme == "file":
        key = SigningKey.load(_file(rest, uri, root))
        if key.name != name:
            raise LocalError(
                "KEY_FOR_ANOTHER",
                f"{uri} is the key of {key.name}, not of {name}",
                "Correct the name, or name the right key",
            )
        return key
    if scheme == "pkcs11":
        return TokenKey(name, rest, uri, root)
    raise _bad(uri, "it begins with neither file: nor pkcs11:")


class TokenKey:
    """A `Signer` whose private half stays in a PKCS #11 token. Safe from any thread.

    `commitment` rests on a signature over a text that is signed for nothing else: Ed25519 is
    deterministic (RFC 8032, section 5.1.6), so it is a secret that only this token can repeat.
    """

    def __init__(self, name: str, rest: str, uri: str, root: Path) -> None:
        try:
            import pkcs11  # noqa: PLC0415 - an optional dependency, needed here only
        except ImportError as error:
            raise LocalError(
                "KEY_MODULE", f"PKCS #11 support for {uri} is not installed",
                "Install it: pip install 'commensal[pkcs11]'",
            ) from error  # fmt: skip
        path, query = _parse(rest, uri)
        self._uri = uri
        self._lock = threading.Lock()
        self._errors = pkcs11.PKCS11Error
        self._mechanism = pkcs11.Mechanism.EDDSA
        self._session = _session(path, query, uri, root)
        try:
            self._private, public = _pair(self._session, path, uri)
            self._verify_key = VerifyKey(check_name(name), public)
            first, second = (self.sign(b"commensal/commitment/v1\n") for _ in range(2))
        except pkcs11.PKCS11Error as error:
            raise self._failed(error) from error
        if first != second or not self._verify_key.verify(first, b"commensal/commitment/v1\n"):
            raise _unsuitable(uri, "its signatures are not those of Ed25519 (RFC 8032)")
        self._commitment_key = hashlib.sha256(b"commensal/commitment/v1\n" + first).digest()

    @property
    def verify_key(self) -> VerifyKey:
        """The public half."""
        return self._verify_key

    @property
    def name(self) -> str:
        """The participant that it speaks for."""
        return self._verify_key.name

    def sign(self, message: bytes) -> bytes:
        """A 64-byte signature. Raises `LocalError` (TOKEN_FAILED)."""
        try:
            with self._lock:
                signature: bytes = self._private.sign(message, mechanism=self._mechanism)
        except self._errors as error:
            raise self._failed(error) from error
        return signature

    def commitment(self, content: str) -> str:
        """See `Signer`."""
        digest = hmac.digest(self._commitment_key, content.encode(), "sha256")
        return "hmac-sha256:" + digest.hex()

    def _failed(self, error: Exception) -> LocalError:
        return LocalError(
            "TOKEN_FAILED",
            f"the token of {self._uri} does not sign ({type(error).__name__})",
            "Check that it is connected, and that no other program holds its sessions",
        )


def _file(rest: str, uri: str, root: Path) -> Path:
    place = rest.removeprefix("//") if rest.startswith("///") else rest
    if not place or place.startswith("//") or not _TEXT.fullmatch(place):
        raise _bad(uri, "its path is not one")
    return root / _decode(place, uri).decode()


def _parse(rest: str, uri: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Path and query attributes (RFC 7512, section 2.3): known ones, each once."""
    path, _, query = rest.partition("?")
    found = _attributes(path, ";", _PATH, uri), _attributes(query, "&", _QUERY, uri)
    if not {"object", "id"} & found[0].keys() or not {"token", "serial"} & found[0].keys():
        raise _bad(uri, "it must name a token (token= or serial=) and a key (object= or id=)")
    if "module-path" not in found[1] or "pin-source" not in found[1]:
        raise _bad(uri, "it must name module-path= and pin-source=")
    return found


def _attributes(text: str, mark: str, known: frozenset[str], uri: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(mark) if text else ():
        name, _, value = part.partition("=")
        if name == "pin-value":
            raise LocalError(
                "KEY_URI", "a key's URI holds a PIN",
                "Write the PIN into a file for its owner only, and name that: pin-source=file:/...",
            )  # fmt: skip
        if name not in known or name in found or not _TEXT.fullmatch(value):
            raise _bad(uri, "an attribute is unknown, repeated or badly written")
        found[name] = _decode(value, uri)
    return found


def _decode(value: str, uri: str) -> bytes:
    content = unquote_to_bytes(value)
    if b"\0" in content:
        raise _bad(uri, "it holds a zero byte")
    return content


def _pin(source: str, uri: str, root: Path) -> str:
    kind, _, place = source.partition(":")
    if kind == "file":
        content = read_secret(_file(place, uri, root)).decode("utf-8", "replace")
    elif kind == "env" and place in os.environ:
        content = os.environ[place]
    else:
        raise LocalError(
            "KEY_PIN",
            f"the PIN of {uri} is not where pin-source says",
            "Write pin-source=file:/path (mode 0600), or pin-source=env:NAME and set NAME",
        )
    return content.rstrip("\r\n")


def _session(
    path: dict[str, bytes], query: dict[str, bytes], uri: str, root: Path
) -> "pkcs11.Session":
    import pkcs11  # noqa: PLC0415 - as above

    pin = _pin(query["pin-source"].decode("utf-8", "replace"), uri, root)
    try:
        module = pkcs11.lib(query["module-path"].decode("utf-8", "replace"))
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
        raise LocalError(
            "KEY_MODULE",
            f"the PKCS #11 module of {uri} cannot be loaded",
            "Check module-path, and that the vendor's library is installed",
        ) from error
    wanted: dict[str, Any] = {
        **({"token_label": path["token"].decode("utf-8", "replace")} if "token" in path else {}),
        **({"token_serial": path["serial"]} if "serial" in path else {}),
    }
    try:
        token = module.get_token(**wanted)
        try:
            return token.open(user_pin=pin)
        except pkcs11.exceptions.UserAlreadyLoggedIn:  # by another key of this process
            return token.open()
    except (pkcs11.exceptions.PinIncorrect, pkcs11.exceptions.PinLocked) as error:
        raise LocalError(
            "KEY_PIN", f"the token of {uri} does not take the PIN",
            "Correct the PIN before the token locks itself",
        ) from error  # fmt: skip
    except pkcs11.PKCS11Error as error:
        raise LocalError(
            "KEY_MISSING", f"there is no such token: {uri} ({type(error).__name__})",
            "Check the token's label with the vendor's tool",
        ) from error  # fmt: skip


def _pair(session: "pkcs11.Session", path: dict[str, bytes], uri: str) -> tuple[Any, bytes]:
    """The private key's handle, and the public key's 32 bytes. Both must be Ed25519."""
    import pkcs11  # noqa: PLC0415 - as above
    from pkcs11 import Attribute, ObjectClass  # noqa: PLC0415 - as above

    which: dict[str, Any] = {"key_type": pkcs11.KeyType.EC_EDWARDS}
    if "object" in path:
        which["label"] = path["object"].decode("utf-8", "replace")
    if "id" in path:
        which["id"] = path["id"]
    try:
        private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, **which)
        public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, **which)
    except (pkcs11.exceptions.NoSuchKey, pkcs11.exceptions.MultipleObjectsReturned) as error:
        raise LocalError(
            "KEY_MISSING", f"not exactly one Ed25519 key pair answers to {uri}",
            "Check its label with the vendor's tool; add id= to choose one of several",
        ) from error  # fmt: skip
    if private[Attribute.EXTRACTABLE] or not private[Attribute.SENSITIVE]:
        raise _unsuitable(uri, "it can be taken out of the token")
    if public[Attribute.EC_PARAMS] not in (_ED25519_OID, _ED25519_NAME):
        raise _unsuitable(uri, "it is on another curve than Ed25519")
    point: bytes = public[Attribute.EC_POINT]
    if len(point) == 34 and point[:2] == b"\x04\x20":  # an OCTET STRING around it
        point = point[2:]
    if len(point) != 32:
        raise _unsuitable(uri, "its public half cannot be read")
    return private, point


def _bad(uri: str, why: str) -> LocalError:
    return LocalError(
        "KEY_URI", f"{uri!r} names no key: {why}", "See docs/hospital.md for both forms"
    )


def _unsuitable(uri: str, why: str) -> LocalError:
    return LocalError(
        "KEY_UNSUITABLE", f"the key {uri} cannot be used: {why}",
        "Make an Ed25519 key in the token, sensitive and not extractable",
    )  # fmt: skip
