"""Ed25519 keys in the C2SP signed-note encoding, and the files that hold them.

One key signs a participant's documents, messages and log checkpoints. The public form is the
`vkey` of c2sp.org/signed-note v1.0.0: `<name>+<hex8 key id>+<base64(0x01 || public key)>`, where
key id = SHA-256(name || 0x0A || 0x01 || public key)[:4]. The private form is the `skey` of
golang.org/x/mod/sumdb/note: `PRIVATE+KEY+<name>+<hex8>+<base64(0x01 || seed)>`.
"""

import hashlib
import hmac
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from connector.errors import LocalError, RemoteError
from connector.files import write_durably
from connector.identity.encoding import decode_base64, encode_base64

_ALGORITHM_ED25519 = b"\x01"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}\Z", re.ASCII)


def check_name(name: str) -> str:
    """Return a participant's name if it is one: lower case letters, digits, dots, dashes."""
    if not _NAME.match(name):
        raise LocalError(
            "NAME_INVALID",
            f"{name!r} is not a participant name",
            "Use up to 63 lower case letters, digits, dots and dashes",
        )
    return name


@dataclass(frozen=True)
class VerifyKey:
    """A participant's public key. `key_id` is the 4-byte hint of the signed-note format."""

    name: str
    public_bytes: bytes

    @property
    def key_id(self) -> bytes:
        """First four bytes of SHA-256 over name, newline, algorithm and key (signed-note v1)."""
        material = self.name.encode() + b"\n" + _ALGORITHM_ED25519 + self.public_bytes
        return hashlib.sha256(material).digest()[:4]

    @property
    def vkey(self) -> str:
        """The one-line public form."""
        encoded = encode_base64(_ALGORITHM_ED25519 + self.public_bytes)
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the one-line form, in hexadecimal: to be compared by a second channel."""
        return hashlib.sha256(self.vkey.encode()).hexdigest()

    @classmethod
    def parse(cls, text: str) -> "VerifyKey":
        """Parse a vkey strictly; any altered byte fails. Raises `RemoteError` (KEY_MALFORMED)."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            material = decode_base64(encoded)
        except ValueError:
            material = b""
        key = cls(name, material[1:])
        if (
            len(material) != 33
            or material[:1] != _ALGORITHM_ED25519
            or not _NAME.match(name)
            or key.key_id.hex() != key_id
        ):
            raise RemoteError("KEY_MALFORMED", "a public key is not a valid Ed25519 vkey")
        return key

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's over `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_bytes).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class Signer(Protocol):
    """What signs for a participant: a key in memory, or one that never leaves a token."""

    @property
    def verify_key(self) -> VerifyKey:
        """The public half."""

    @property
    def name(self) -> str:
        """The participant that it speaks for."""

    def sign(self, message: bytes) -> bytes:
        """A 64-byte Ed25519 signature (RFC 8032)."""

    def commitment(self, content: str) -> str:
        """A digest of `content` that nobody can guess at without this key."""


class SigningKey:
    """A participant's private Ed25519 key. Never printed, logged or passed in `argv`."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._seed = seed
        self._verify_key = VerifyKey(
            check_name(name), self._private.public_key().public_bytes_raw()
        )

    @property
    def verify_key(self) -> VerifyKey:
        """The public half."""
        return self._verify_key

    @property
    def name(self) -> str:
        """The participant that this key speaks for."""
        return self.verify_key.name

    @classmethod
    def generate(cls, name: str) -> "SigningKey":
        """A fresh key from the operating system's randomness."""
        return cls(name, os.urandom(32))

    def sign(self, message: bytes) -> bytes:
        """A 64-byte Ed25519 signature (RFC 8032)."""
        return self._private.sign(message)

    def commitment(self, content: str) -> str:
        """A digest of `content` that nobody can guess at without this key (HMAC-SHA-256).

        For what a log must be able to compare but must not reveal, such as the state of records.
        """
        key = hashlib.sha256(b"commensal/commitment/v1\n" + self._seed).digest()
        return "hmac-sha256:" + hmac.digest(key, content.encode(), "sha256").hex()

    def save(self, path: Path) -> None:
        """Write the key file, readable by its owner only; refuses to overwrite one."""
        write_secret(path, self._line())

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read a key file. Raises `LocalError`: KEY_MISSING, KEY_EXPOSED or KEY_MALFORMED."""
        content = read_secret(path)
        try:
            _, _, name, _, encoded = content.decode("ascii").rstrip("\n").split("+", 4)
            key = cls(name, decode_base64(encoded)[1:])
            valid = key._line() == content
        except (ValueError, LocalError):
            valid = False
        if not valid:
            raise LocalError(
                "KEY_MALFORMED",
                f"{path} is not a signing key",
                "Restore it from a backup, or make a new key and have it take this one's place",
            )
        return key

    def _line(self) -> bytes:
        """The one spelling of a key file."""
        encoded = encode_base64(_ALGORITHM_ED25519 + self._seed)
        return f"PRIVATE+KEY+{self.name}+{self.verify_key.key_id.hex()}+{encoded}\n".encode()


def write_secret(path: Path, content: bytes) -> None:
    """Create a file that only its owner can read, whole or not at all.

    An existing one is an error (KEY_EXISTS), not overwritten.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    write_durably(temporary, content)
    try:
        os.link(temporary, path)
    except FileExistsError as error:
        raise LocalError(
            "KEY_EXISTS", f"{path} already exists", "Move it away first; it is not overwritten"
        ) from error
    finally:
        temporary.unlink()


def read_secret(path: Path) -> bytes:
    """Read a private file, refusing one that others could have read (threat: a leaked key)."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(1 << 16)
    except OSError as error:
        raise LocalError(
            "KEY_MISSING",
            f"cannot read the key file {path} ({error.strerror})",
            "Check the path and its owner",
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise LocalError(
            "KEY_EXPOSED",
            f"the key file {path} can be read by others (mode {stat.S_IMODE(mode):04o})",
            f"If nobody has copied it: chmod 600 {path}; otherwise make a new key and have it take "
            "this one's place",
        )
    return content
