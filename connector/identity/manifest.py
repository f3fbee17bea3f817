"""Who takes part: the coordinator's signed list, which every side checks.

A list has a version that only grows, and an end. Somebody who shows an old list (rollback), keeps
showing the same one (freeze), or shows two of one version (fork) is noticed, because the last one
that was seen is kept. Pure checks, and one file. After the metadata rules of TUF 1.0, section 5.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from connector.errors import LocalError, RemoteError
from connector.files import write_durably
from connector.identity import documents
from connector.identity.did import MAX_DID
from connector.identity.keys import VerifyKey
from policies.document import Document
from policies.permit import Name

LIFE = timedelta(hours=6)
_SKEW = timedelta(minutes=5)
MAX_BYTES = 1 << 20
_MOST = 1000


class Entry(Document):
    """One participant. `did` is empty while it has none.

    `fingerprint`: SHA-256 of its connection key (SubjectPublicKeyInfo), for the coordinator of its
    certificate authority, in hexadecimal. A revoked participant stays listed: its end is known.
    """

    name: Name
    did: Annotated[str, Field(max_length=MAX_DID)] = ""
    signing_key: Annotated[str, Field(max_length=200)]
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    state: Literal["active", "revoked"]


class Manifest(Document):
    """`previous` is the digest of the one before, empty where there is none to be known."""

    coordinator: Name
    version: Annotated[int, Field(ge=1, lt=1 << 53)]
    issued_at: AwareDatetime
    expires_at: AwareDatetime
    previous: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]
    participants: Annotated[tuple[Entry, ...], Field(max_length=_MOST)]

    @model_validator(mode="after")
    def _is_orderly(self) -> Self:
        names = [one.name for one in self.participants]
        dids = [one.did for one in self.participants if one.did]
        keys = [one.signing_key for one in self.participants]
        if names != sorted(set(names)) or len(set(dids)) != len(dids):
            raise ValueError("a name or did stands twice, or the names are not in order")
        if len(set(keys)) != len(keys):
            raise ValueError("a key stands twice")
        if self.expires_at <= self.issued_at or (self.version == 1 and self.previous):
            raise ValueError("a period or version is impossible")
        return self

    @cached_property
    def by_did(self) -> dict[str, Entry]:
        """All participants that have a did."""
        return {one.did: one for one in self.participants if one.did}

    @cached_property
    def by_name(self) -> dict[str, Entry]:
        """All participants."""
        return {one.name: one for one in self.participants}

    def check_expiry(self, now: datetime) -> None:
        """Raises `RemoteError` (MANIFEST_EXPIRED): nobody is a participant by an old list."""
        if now >= self.expires_at:
            raise RemoteError(
                "MANIFEST_EXPIRED",
                f"the list of participants ended at {self.expires_at:%Y-%m-%d %H:%M} UTC",
                "Somebody may withhold newer ones: check the connection to the coordinator",
            )


def succeed(
    before: Manifest | None,
    coordinator: str,
    participants: tuple[Entry, ...],
    now: datetime,
    at_least: int = 1,
) -> Manifest:
    """The version after `before`, and not below `at_least`."""
    return Manifest(
        coordinator=coordinator,
        version=max(at_least, 1 if before is None else before.version + 1),
        issued_at=now,
        expires_at=now + LIFE,
        previous="" if before is None else before.digest,
        participants=tuple(sorted(participants, key=lambda one: one.name)),
    )


def accept(text: str, key: VerifyKey, seen: Manifest | None, now: datetime) -> Manifest:
    """The list in a signed text, if it may follow what was `seen`.

    Raises `RemoteError`: SIGNATURE_MALFORMED, SIGNATURE_INVALID, MANIFEST_FOREIGN,
    MANIFEST_ROLLBACK, MANIFEST_FORKED, MANIFEST_EARLY, MANIFEST_EXPIRED.
    """
    found = documents.verify(text, Manifest, key, MAX_BYTES)
    if found.coordinator != key.name:
        raise RemoteError("MANIFEST_FOREIGN", "a list of participants is another coordinator's")
    if seen is not None:
        _check_succession(seen, found)
    if found.issued_at > now + _SKEW:
        raise RemoteError(
            "MANIFEST_EARLY", "a list of participants is from the future", "Compare both clocks"
        )
    found.check_expiry(now)
    return found


def _check_succession(seen: Manifest, found: Manifest) -> None:
    if found.version < seen.version:
        raise RemoteError(
            "MANIFEST_ROLLBACK",
            f"a list of participants has version {found.version} after {seen.version}",
            "Somebody may show an old one; tell the coordinator's operator",
        )
    same, next_one = found.version == seen.version, found.version == seen.version + 1
    if (same and found.digest != seen.digest) or (next_one and found.previous != seen.digest):
        raise RemoteError(
            "MANIFEST_FORKED",
            f"two lists of participants contradict each other at version {found.version}",
            "Keep both as evidence, and tell the coordinator's operator",
        )


class Participants:
    """The newest list that was seen, in one file that survives. Safe from any thread."""

    def __init__(self, place: Path, key: VerifyKey, clock: Callable[[], datetime]) -> None:
        """Read what was seen. Raises `LocalError` (MANIFEST_DAMAGED): it is not just forgotten."""
        self._place = place
        self._key = key
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = self._read()

    def take(self, text: str) -> Manifest:
        """Follow a newer list; durable when it returns. Raises as `accept`, and `OSError`."""
        with self._lock:
            found = accept(text, self._key, self._seen, self._clock())
            if self._seen is None or found.version > self._seen.version:
                write_durably(self._place, text.encode(), 0o644)
            self._seen = found
            return found

    def current(self) -> Manifest:
        """The list that counts now. Raises `RemoteError`: MANIFEST_MISSING, MANIFEST_EXPIRED."""
        with self._lock:
            seen = self._seen
        if seen is None:
            raise RemoteError(
                "MANIFEST_MISSING", "no list of participants was fetched yet",
                "Check the connection to the coordinator",
            )  # fmt: skip
        seen.check_expiry(self._clock())
        return seen

    def _read(self) -> Manifest | None:
        try:
            text = self._place.read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as error:
            raise self._damaged() from error
        try:
            return documents.verify(text, Manifest, self._key, MAX_BYTES)
        except RemoteError as error:
            raise self._damaged() from error

    def _damaged(self) -> LocalError:
        return LocalError(
            "MANIFEST_DAMAGED",
            f"{self._place} is not the coordinator's list of participants",
            "Restore it from a backup; only if there is none, remove it",
        )
