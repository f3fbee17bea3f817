"""How instructions reach a node: files in its directory, there whole or not at all.

    inbox/            instructions with all their signatures, until the node has taken them
    inbox/rejected/   those that it did not follow; `<name>.code` beside each says why
    proposals/        policies that one officer has signed and a second one has not

The node's process is the only writer of its log. Who may write here may hand something in, and
nothing more: signatures decide.
"""

import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from connector.authoring.instructions import ActivatePolicy, AnswerPermit, Kind, RecordDuty
from connector.errors import LocalError
from connector.files import write_durably
from connector.identity.documents import MAX_BYTES

KINDS: dict[str, Kind] = {
    "activate": ActivatePolicy,
    "answer": AnswerPermit,
    "duty": RecordDuty,
}
# How many files are looked at in one go.
_AT_ONCE = 64


@dataclass
class Inbox:
    """The inbox in a node's directory. A file that cannot be moved away is skipped from then on."""

    directory: Path
    _stuck: set[tuple[str, int]] = field(default_factory=set)

    def create(self) -> None:
        """Make the directory, for the node's user alone. Raises `LocalError` (INBOX_UNREADABLE)."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unreadable(error) from error

    @property
    def rejected(self) -> Path:
        """Where instructions lie that were not followed."""
        return self.directory / "rejected"

    def waiting(self) -> list[str]:
        """Names of what was handed in, some of many; one look at the directory.

        Raises `LocalError` (INBOX_UNREADABLE).
        """
        names: list[str] = []
        try:
            with os.scandir(self.directory) as found:
                for one in found:
                    if len(names) == _AT_ONCE:
                        break
                    if one.name.endswith(".json") and (one.name, one.inode()) not in self._stuck:
                        names.append(one.name)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from error
        return sorted(names)

    def read(self, name: str) -> str:
        """A file's text. Raises `LocalError` (INSTRUCTION_UNREADABLE): no file, or too large."""
        return _read(self.directory / name)

    def done(self, name: str) -> None:
        """Remove what was followed."""
        try:
            (self.directory / name).unlink()
        except FileNotFoundError:
            return
        except OSError:
            self._skip(name)

    def reject(self, name: str, code: str) -> None:
        """Move a file aside, with the code of what is wrong with it."""
        try:
            write_durably(self.rejected / f"{name}.code", f"{code}\n".encode(), 0o644)
            (self.directory / name).replace(self.rejected / name)
        except OSError:
            self._skip(name)

    def verdict(self, name: str) -> str:
        """The code with which a file was rejected, or nothing."""
        try:
            return (self.rejected / f"{name}.code").read_text()[:100].strip()
        except OSError:
            return ""

    def hand_in(self, kind: str, digest: str, document: str) -> str:
        """Place an instruction; returns its name."""
        name = _name(kind, digest)
        with contextlib.suppress(OSError):  # of an earlier attempt, if that was rejected
            (self.rejected / f"{name}.code").unlink()
        write_durably(self.directory / name, document.encode(), 0o644)
        return name

    def holds(self, kind: str, digest: str) -> bool:
        """Whether that instruction waits for the node."""
        return (self.directory / _name(kind, digest)).exists()

    def _unreadable(self, error: OSError) -> LocalError:
        return LocalError(
            "INBOX_UNREADABLE",
            f"cannot look into {self.directory} ({error.strerror}): what officers sign waits",
            "Give the node's user the right to read and write it",
        )

    def _skip(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._stuck.add((name, os.lstat(self.directory / name).st_ino))


def kind_of(name: str) -> Kind:
    """Which kind of instruction a file holds. Raises `LocalError` (INSTRUCTION_UNKNOWN)."""
    kind = KINDS.get(name.partition("-")[0])
    if kind is None:
        raise LocalError("INSTRUCTION_UNKNOWN", f"{name!r} is no kind of instruction")
    return kind


@dataclass(frozen=True)
class Proposals:
    """Policies with one signature, each in a file that is named by the policy's digest."""

    directory: Path

    def find(self, policy_digest: str) -> str | None:
        """The document of a waiting proposal; None also for what is no file of bounded size."""
        try:
            return _read(self._path(policy_digest))
        except LocalError:
            return None

    def save(self, policy_digest: str, document: str) -> None:
        """Let a proposal wait for its second signature."""
        write_durably(self._path(policy_digest), document.encode(), 0o644)

    def remove(self, policy_digest: str) -> None:
        """It has its second signature."""
        self._path(policy_digest).unlink(missing_ok=True)

    def _path(self, policy_digest: str) -> Path:
        return self.directory / f"{_short(policy_digest)}.json"


def _name(kind: str, digest: str) -> str:
    return f"{kind}-{_short(digest)}.json"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:32]


def _read(path: Path) -> str:
    """A file's text, within bounds: not a pipe that never ends, nor a link to something else."""
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(opened).st_mode):
                raise _unreadable(path)
            with os.fdopen(opened, "rb", closefd=False) as file:
                content = file.read(MAX_BYTES + 1)
        finally:
            os.close(opened)
    except OSError as error:
        raise _unreadable(path) from error
    if len(content) > MAX_BYTES:
        raise _unreadable(path)
    return content.decode("utf-8", "replace")  # what is not text fails as a signature


def _unreadable(path: Path) -> LocalError:
    return LocalError(
        "INSTRUCTION_UNREADABLE", f"{path.name!r} is not a file of at most {MAX_BYTES} bytes"
    )
