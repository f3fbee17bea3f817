"""Signed notes and checkpoints: c2sp.org/signed-note v1.0.0 and c2sp.org/tlog-checkpoint v1.0.0.

A note is UTF-8 text that ends in a newline, a blank line, and signature lines
`\u2014 <key name> <base64(key id || signature)>`. Parsers accept exactly one spelling of
everything: what is signed is compared byte by byte, never normalised.

A participant's log has the participant's name as its origin and as its key name, which
tlog-checkpoint recommends to be equal; here they must be, so that one participant's key can never
sign for another's log.
"""

import re
from dataclasses import dataclass

from connector.audit.merkle import HASH_SIZE
from connector.errors import RemoteError
from connector.identity.encoding import decode_base64, encode_base64
from connector.identity.keys import Signer, VerifyKey

MAX_BYTES = 1_000_000
MAX_SIGNATURES = 100
MAX_SIZE = (1 << 63) - 1
_DASH = "\u2014"
# `\d` and `int()` accept other scripts' digits, underscores and leading zeros.
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


@dataclass(frozen=True)
class Checkpoint:
    """A log's tree head: its origin, number of entries and 32-byte root.

    `extensions` are opaque further lines; ours has none, others' logs may.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text that is signed."""
        lines = [self.origin, str(self.size), encode_base64(self.root), *self.extensions]
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Parse note text strictly. Raises `RemoteError` (CHECKPOINT_MALFORMED)."""
        # `splitlines` would also split at U+2028 and others.
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() != "" or not all(lines) or not _DECIMAL.match(lines[1]):
            raise _malformed_checkpoint()
        try:
            root = decode_base64(lines[2])
        except ValueError as error:
            raise _malformed_checkpoint() from error
        size = int(lines[1])
        if len(root) != HASH_SIZE or size > MAX_SIZE:
            raise _malformed_checkpoint()
        return cls(lines[0], size, root, tuple(lines[3:]))


def sign(text: str, *keys: Signer) -> bytes:
    """The note of `text`, signed by each key. Raises `ValueError` for text no note can hold."""
    if not text.endswith("\n") or _CONTROL.search(text) or not 1 <= len(keys) <= MAX_SIGNATURES:
        raise ValueError("not the text of a note, or no key to sign it")
    lines = [_signature_line(text, key) for key in keys]
    note = (text + "\n" + "".join(lines)).encode()
    if len(note) > MAX_BYTES:
        raise ValueError(f"a note of {len(note)} bytes exceeds {MAX_BYTES}")
    return note


def open_note(note: bytes, *keys: VerifyKey) -> str:
    """The text of a note that at least one of `keys` signed.

    Signatures of unknown keys are ignored. Raises `RemoteError`: NOTE_MALFORMED, NOTE_FORGED (a
    known key's signature is wrong: the whole note is refused), NOTE_UNVERIFIED.
    """
    text, signatures = _parse(note)
    known = {(key.name, key.key_id): key for key in keys}
    verified = False
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        if not key.verify(signature, text.encode()):
            raise RemoteError("NOTE_FORGED", f"the signature by {key.name} is not its own")
        verified = True
    if not verified:
        raise RemoteError("NOTE_UNVERIFIED", "the note is not signed by any key that is known here")
    return text


def sign_checkpoint(checkpoint: Checkpoint, key: Signer) -> bytes:
    """The checkpoint as a note signed by its own log's key."""
    if checkpoint.origin != key.name:
        raise ValueError(f"the key of {key.name} does not sign for {checkpoint.origin}")
    return sign(checkpoint.text, key)


def open_checkpoint(note: bytes, key: VerifyKey) -> Checkpoint:
    """The checkpoint of the log that `key` belongs to.

    Raises `RemoteError` as `open_note` and `Checkpoint.parse` do, and CHECKPOINT_FOREIGN for one
    of another origin (threat: a genuine checkpoint of one log put beside another).
    """
    checkpoint = Checkpoint.parse(open_note(note, key))
    if checkpoint.origin != key.name:
        raise RemoteError(
            "CHECKPOINT_FOREIGN", f"the checkpoint is not of {key.name} but of another log"
        )
    return checkpoint


def _signature_line(text: str, key: Signer) -> str:
    signature = key.verify_key.key_id + key.sign(text.encode())
    return f"{_DASH} {key.name} {encode_base64(signature)}\n"


def _parse(note: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    if len(note) > MAX_BYTES:
        raise _malformed_note(f"{len(note)} bytes exceed {MAX_BYTES}")
    try:
        decoded = note.decode()
    except UnicodeDecodeError as error:
        raise _malformed_note("it is not UTF-8") from error
    if _CONTROL.search(decoded):
        raise _malformed_note("it holds a control character")
    text, blank, signed = decoded.rpartition("\n\n")
    lines = signed.split("\n")
    if not blank or lines.pop() != "" or not 1 <= len(lines) <= MAX_SIGNATURES:
        raise _malformed_note("text and signatures are not where they belong")
    return text + "\n", [_parse_signature(line) for line in lines]


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != _DASH or not _is_key_name(parts[1]):
        raise _malformed_note("a signature line is not one")
    try:
        signature = decode_base64(parts[2])
    except ValueError as error:
        raise _malformed_note("a signature is not base64") from error
    if len(signature) < 5:
        raise _malformed_note("a signature is too short")
    return parts[1], signature[:4], signature[4:]


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(char.isspace() for char in name)


def _malformed_note(reason: str) -> RemoteError:
    return RemoteError("NOTE_MALFORMED", f"a signed note cannot be read: {reason}")


def _malformed_checkpoint() -> RemoteError:
    return RemoteError("CHECKPOINT_MALFORMED", "a signed note is not a checkpoint")
