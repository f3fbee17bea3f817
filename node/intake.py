"""What the hospital's officers have signed goes from the inbox into the log, if it holds.

A file that is no valid instruction is moved aside with a fixed code; it never stops the node.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from connector.audit import entries
from connector.audit.standing import Standing
from connector.authoring import instructions
from connector.authoring.instructions import Instruction
from connector.authoring.spool import Inbox, kind_of
from connector.errors import LocalError
from connector.identity.keys import VerifyKey
from node.data.dataset import Dataset
from policies.errors import Error

# Of the log, not of the instruction: the file waits.
_LOG_CODES = frozenset({"LOG_FULL", "LOG_BROKEN", "LOG_CLOSED"})


@dataclass(frozen=True)
class _HandedIn:
    """An instruction that officers have signed, in the file of that name."""

    name: str
    instruction: Instruction
    signatures: Mapping[VerifyKey, str]


class Intake:
    """One node's inbox, with the officers whom the node obeys and the datasets that it holds."""

    def __init__(
        self,
        node: str,
        officers: Iterable[VerifyKey],
        datasets: Iterable[Dataset],
        inbox: Path,
        say: Callable[[str], None],
    ) -> None:
        self._node = node
        self.datasets = tuple(datasets)
        self._officers = tuple(officers)
        self._columns = {one.id: one.schema.names for one in self.datasets}
        self._inbox = Inbox(inbox)
        self._trouble = ""
        self._say = say
        self._look(self._inbox.create)

    def is_empty(self) -> bool:
        """Whether nothing waits; one look at a directory."""
        return not self._waiting()

    def take(
        self, standing: Standing, now: datetime, write: Callable[[entries.Entry], None]
    ) -> None:
        """Follow what waits. `write` logs an entry, which `standing` then knows of.

        Raises `LocalError` of the log only (LOG_FULL: what waits goes on waiting).
        """
        read = [one for name in self._waiting() if (one := self._read(name)) is not None]
        # What officers say counts in the order in which they say it, not in that of a directory.
        for one in sorted(read, key=lambda each: (each.instruction.issued_at, each.name)):
            if not standing.signatures.isdisjoint(one.signatures.values()):
                self._inbox.done(one.name)  # logged before a kill, or a copy: it counts once
                continue
            try:
                instructions.check(one.instruction, self._node, self._columns, standing, now)
                entry = instructions.entry(one.instruction, one.signatures, now)
                write(entry)
            except Error as error:
                if error.code in _LOG_CODES:
                    raise
                self._reject(one.name, error)
            else:
                self._inbox.done(one.name)
                self._say(_told(entry))

    def _waiting(self) -> list[str]:
        names: list[str] = []
        self._look(lambda: names.extend(self._inbox.waiting()))
        return names

    def _look(self, into: Callable[[], None]) -> None:
        """An inbox that cannot be read stops no node; it is said once each time it begins."""
        try:
            into()
        except LocalError as error:
            if self._trouble != error.code:
                self._say(f"{error.diagnostics()} [{error.code}]")
            self._trouble = error.code
        else:
            self._trouble = ""

    def _read(self, name: str) -> _HandedIn | None:
        try:
            text = self._inbox.read(name)
            if not self._officers:
                raise LocalError("OFFICERS_MISSING", "node.toml names no officers")
            return _HandedIn(name, *instructions.verify(text, kind_of(name), self._officers))
        except Error as error:
            self._reject(name, error)
            return None

    def _reject(self, name: str, error: Error) -> None:
        self._inbox.reject(name, error.code)
        self._say(f"not followed: {error.diagnostics()} [{error.code}]")


def _told(entry: entries.PolicyActivated | entries.Approved | entries.OfDuty) -> str:
    if isinstance(entry, entries.PolicyActivated):
        names = " and ".join(_name(officer) for officer in entry.officers)
        policy = entry.policy
        return (
            f"{policy.dataset}: {policy.id} version {policy.version} is active, signed by {names}"
        )
    if isinstance(entry, entries.OfDuty):
        step = entry.kind.removeprefix("duty-")
        return f"permit {entry.permit_id}: {entry.duty} {step}, recorded by {_name(entry.actor)}"
    answer = "approved" if entry.approved else "refused"
    return f"{entry.dataset}: permit {entry.permit_id} is {answer} by {_name(entry.officer)}"


def _name(officer: str) -> str:
    return officer.partition("+")[0]
