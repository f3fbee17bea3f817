"""Four eyes: a policy that passes its examples, two officers' signatures, an entry in the log.

The first officer's signature waits in the node's directory. The second officer's command reads the
policy and its examples again by itself and signs only if the very same ones were signed before.
"""

import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from connector.audit.standing import Place, Standing, entries_since, read_standing
from connector.authoring import files, instructions
from connector.authoring.instructions import ActivatePolicy
from connector.authoring.officers import Hospital, read_hospital
from connector.authoring.spool import Inbox, Proposals
from connector.errors import LocalError, RemoteError
from connector.identity import documents
from connector.identity.keys import SigningKey, VerifyKey
from policies import examples
from policies.policy import Policy

WAIT_SECONDS = 10.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Draft:
    """A policy that could be activated. `first`: who has signed it already, with `document`."""

    hospital: Hospital
    instruction: ActivatePolicy
    report: examples.Report
    active: Policy | None
    first: VerifyKey | None = None
    document: str = ""

    @property
    def policy(self) -> Policy:
        """The policy in question."""
        return self.instruction.policy


def prepare(policy: Path, directory: Path, key: SigningKey, now: datetime) -> Draft:
    """Read and try a policy for the node in `directory`, as the officer with `key`.

    Raises `LocalError`: OFFICERS_MISSING, OFFICER_UNKNOWN, POLICY_MISSING, EXAMPLES_MISSING,
    EXAMPLES_FAIL, EXAMPLES_DIFFER, those of `officers.read_hospital` and of `instructions.check`;
    `PolicyError` for a policy or examples that cannot be read.
    """
    hospital = read_hospital(directory)
    officer = hospital.officer(key)
    parsed = files.read_policy(policy)
    report = _tried(parsed, policy)
    standing = read_standing(directory / "log")
    instruction = ActivatePolicy(
        node=hospital.name, policy=parsed, examples=report.digest, issued_at=now
    )
    instructions.check(instruction, hospital.name, hospital.columns, standing, now)
    draft = Draft(hospital, instruction, report, standing.policy(parsed.dataset))
    return _signed_before(draft, officer, standing, now)


def sign(draft: Draft, key: SigningKey) -> str | None:
    """Sign as the first officer, which returns None, or as the second: the name in the inbox."""
    directory, digest = draft.hospital.directory, draft.policy.digest
    proposals = Proposals(directory / "proposals")
    if draft.first is None:
        proposals.save(digest, instructions.sign(key, draft.instruction))
        return None
    complete = documents.countersign(draft.document, ActivatePolicy, draft.first, key)
    name = Inbox(directory / "inbox").hand_in("activate", digest, complete)
    proposals.remove(digest)
    return name


def is_running(directory: Path) -> bool:
    """Whether a process writes the node's log."""
    try:
        lock = os.open(directory / "log" / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def wait(
    directory: Path,
    name: str,
    found: Callable[[Any], bool],
    seconds: float = WAIT_SECONDS,
) -> tuple[int, datetime] | None:
    """Index and time of the entry that a running node makes of an instruction; None if it does not.

    Raises `LocalError` with the node's code if it rejects it.
    """
    inbox, deadline = Inbox(directory / "inbox"), time.monotonic() + seconds
    place = Place()
    while is_running(directory) and time.monotonic() < deadline:
        code = inbox.verdict(name)
        if code:
            raise LocalError(
                code,
                f"the node did not follow it: {inbox.rejected / name}",
                "docs/hospital.md says what the code means",
            )
        if not (inbox.directory / name).exists():
            for index, entry, after in entries_since(directory / "log", place):
                if entry is not None and found(entry):
                    return index, entry.time
                place = after
        time.sleep(_POLL_SECONDS)
    return None


def _tried(policy: Policy, place: Path) -> examples.Report:
    report = examples.run(policy, files.read_examples(place, None))
    if report.objection:
        raise LocalError(
            "EXAMPLES_FAIL",
            f"{files.beside(place)}: {report.objection}",
            "A policy is activated with examples that show what it allows and what it refuses",
        )
    return report


def _signed_before(draft: Draft, officer: VerifyKey, standing: Standing, now: datetime) -> Draft:
    """The draft with another officer's signature, if one waits for exactly this."""
    hospital = draft.hospital
    document = Proposals(hospital.directory / "proposals").find(draft.policy.digest)
    if document is None:
        return draft
    try:
        signed, signatures = documents.verify_all(document, ActivatePolicy, hospital.officers)
        # The name of a file vouches for nothing (threat: one officer plants a proposal of another
        # policy under the name of this one, and has the second officer sign that).
        if signed.policy != draft.policy or signed.node != hospital.name:
            return draft
        instructions.check(signed, hospital.name, hospital.columns, standing, now)
    except (RemoteError, LocalError):
        return draft  # damaged, stale, or of one who is no officer any more: signed anew
    if len(signatures) != 1 or officer in signatures:
        return draft
    (first,) = signatures
    if signed.examples != draft.instruction.examples:
        raise LocalError(
            "EXAMPLES_DIFFER",
            f"{first.name} signed this policy with other examples than those beside it now",
            f"Agree on them; then {first.name} signs again",
        )
    return Draft(hospital, signed, draft.report, draft.active, first, document)
