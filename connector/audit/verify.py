"""Verify a log directory, and say in plain words what was checked and what was found.

`key.pub` names the writer's key, but a file beside the log is no trust anchor: whoever can rewrite
the log can rewrite it too. Without a pinned key a report says so.

A log cut back to an older checkpoint of its own is consistent in itself; only somebody who kept a
newer checkpoint (a witness, an auditor) can tell.
"""

from dataclasses import dataclass
from pathlib import Path

from connector.audit.damage import CHECKPOINT, ENTRIES, JOURNAL, KEY, Damage, DamageError, Finding
from connector.audit.scan import OnEntry, Scan, State
from connector.errors import LocalError, RemoteError
from connector.identity.keys import VerifyKey


@dataclass(frozen=True)
class Report:
    """What a verification found. `notes` are no damage, but an auditor should know them.

    `size` and `root` are of everything signed; after damage, of the checkpoint as far as read.
    """

    directory: Path
    origin: str
    size: int
    root: bytes
    pinned: bool
    passed: tuple[str, ...]
    notes: tuple[str, ...]
    finding: Finding | None

    @property
    def ok(self) -> bool:
        """Whether no damage was found."""
        return self.finding is None


def locate(directory: Path) -> Path:
    """The log in `directory` or in its `log/`. Raises `LocalError` (LOG_MISSING)."""
    for candidate in (directory, directory / "log"):
        if (candidate / CHECKPOINT).is_file() or (candidate / ENTRIES).is_file():
            return candidate
    raise LocalError(
        "LOG_MISSING",
        f"there is no audit log in {directory}",
        "Name a log directory, or a data directory that holds `log/`",
    )


def verify(directory: Path, key: VerifyKey | None, on_entry: OnEntry | None = None) -> Report:
    """Verify a log, live or closed, with the pinned `key`, or with the one beside it if None.

    `on_entry(index, entry)` sees every entry in order and raises `Error` for one that breaks a
    rule. Raises `LocalError`: LOG_MISSING, LOG_UNREADABLE.
    """
    directory = locate(directory)
    scan: Scan | None = None
    state: State | None = None
    finding: Finding | None = None
    try:
        scan = Scan(directory, _writer_key(directory, key), on_entry)
        state = scan.run()
    except DamageError as error:
        finding = error.finding
    except OSError as error:
        raise LocalError(
            "LOG_UNREADABLE",
            f"the log in {directory} cannot be read ({error.strerror})",
            "Run as a user who may read it",
        ) from error
    return Report(
        directory=directory,
        origin=scan.checkpoint.origin if scan else "",
        size=state.tree.size if state else scan.checkpoint.size if scan else 0,
        root=state.tree.root() if state else scan.checkpoint.root if scan else b"",
        pinned=key is not None,
        passed=tuple(scan.passed) if scan else (),
        notes=tuple(_notes(state, pinned=key is not None)),
        finding=finding,
    )


def origin(directory: Path, key: VerifyKey | None) -> str:
    """Whose log it is, by the pinned key or the one beside it; nothing where neither can be read.

    Raises `LocalError` (LOG_MISSING).
    """
    directory = locate(directory)
    try:
        return _writer_key(directory, key).name
    except (DamageError, OSError):
        return ""  # `verify` finds the same, and says what


def _writer_key(directory: Path, pinned: VerifyKey | None) -> VerifyKey:
    """The key to verify with; `key.pub` has to name it."""
    named = read_key(directory)
    if named is None and pinned is None:
        message = f"{KEY} is missing; verify with the log's key, known from elsewhere"
        raise DamageError(Damage.MISSING, KEY, None, message)
    if pinned is not None and named is not None and named != pinned:
        message = f"{KEY} names another key than the pinned one of {pinned.name}"
        raise DamageError(Damage.FORGED, KEY, None, message)
    return pinned or named  # type: ignore[return-value]  # one of them is there, see above


def read_key(directory: Path) -> VerifyKey | None:
    """The key that `key.pub` names, if the file is there. Raises `DamageError`."""
    try:
        with (directory / KEY).open("rb") as file:
            line = file.read(1 << 10)
    except FileNotFoundError:
        return None
    try:
        vkey, newline, rest = line.decode("ascii").partition("\n")
        key = VerifyKey.parse(vkey)
    except (UnicodeDecodeError, RemoteError):
        key = None
    if key is None or not newline or rest:
        raise DamageError(Damage.CHANGED, KEY, None, f"{KEY} does not hold a public key")
    return key


def _notes(state: State | None, *, pinned: bool) -> list[str]:
    notes = []
    if not pinned:
        notes.append(
            f"not pinned: the signature was checked only against {KEY}, which lies beside the log "
            "and could have been replaced with it; verify with a key that you know from elsewhere"
        )
    if state and state.torn:
        notes.append(
            f"{JOURNAL} ends in an append that was never acknowledged; opening the log removes it"
        )
    if state and state.lag:
        notes.append(
            f"{state.lag} bytes have not reached their files and are signed in {JOURNAL}: the "
            "writer was stopped; opening the log completes them"
        )
    return notes
