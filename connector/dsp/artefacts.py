"""Released artefacts: the only things that a transfer of format `HttpData-PULL` hands out.

An artefact is named by the digest of its bytes and comes from a registry of what was released.
There are no paths in here, and nothing else to take bytes from. `pulls` serves them.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from connector.dsp import ranges
from connector.dsp.ranges import Part
from connector.errors import LocalError

CHUNK = 1 << 18
_PREFIX = "sha256:"


@dataclass(frozen=True, slots=True)
class Artefact:
    """Something released. `digest` (`sha256:<hex>`) is of its content, of `size` bytes.

    `open` gives the content from its beginning; what it gives is checked before it is sent.
    """

    digest: str
    size: int
    media_type: str
    open: Callable[[], BinaryIO]

    @property
    def etag(self) -> str:
        """Strong: the same content byte for byte (RFC 9110, 8.8.3)."""
        return f'"{self.digest}"'

    @property
    def raw_digest(self) -> bytes:
        """The 32 bytes of the digest."""
        return bytes.fromhex(self.digest.removeprefix(_PREFIX))


class Artefacts(Protocol):
    """What was released."""

    def find(self, digest: str) -> Artefact | None:
        """The artefact of that name; None if there is none, or none that is released (now)."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """`size` bytes of an artefact, from `first` on, go to a participant from here on."""

    time: datetime
    counterparty: str
    transfer: str
    agreement: str
    artefact: str
    first: int
    size: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A file at the beginning of a part, and the SHA-256 of the part."""

    file: BinaryIO
    digest: bytes


def open_part(artefact: Artefact, part: Part) -> Opened:
    """Open an artefact at a part, having read all of it.

    Raises `LocalError` (ARTEFACT_CHANGED) unless it is what was released, `OSError`.
    """
    file = artefact.open()
    try:
        digest = _measure(file, artefact, part)
        file.seek(part.first)
    except BaseException:
        file.close()
        raise
    return Opened(file, digest)


def _measure(file: BinaryIO, artefact: Artefact, part: Part) -> bytes:
    whole, some, place = hashlib.sha256(), hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        whole.update(chunk)
        some.update(chunk[max(part.first - place, 0) : max(part.first + part.size - place, 0)])
        place += len(chunk)
    if place != artefact.size or whole.digest() != artefact.raw_digest:
        raise LocalError(
            "ARTEFACT_CHANGED",
            f"the content of {artefact.digest} is not what was released",
            "Restore the file from a copy",
        )
    return some.digest()


def headers(artefact: Artefact, part: Part, digest: bytes) -> dict[str, str]:
    """Those of an answer with a part of that SHA-256; checksums as in RFC 9530."""
    said = {
        "content-type": artefact.media_type, "content-length": str(part.size),
        "etag": artefact.etag, "accept-ranges": "bytes", "cache-control": "no-store",
        "repr-digest": _field(artefact.raw_digest), "content-digest": _field(digest),
        "x-content-type-options": "nosniff",
    }  # fmt: skip
    if not part.whole:
        said["content-range"] = ranges.content_range(part, artefact.size)
    return said


def _field(digest: bytes) -> str:
    return f"sha-256=:{base64.b64encode(digest).decode()}:"
