"""What must hold between entries, checked in the pass that verifies the log's bytes.

- entries are understood, and their times never go back;
- what officers are said to have signed, for this very node, bears their signatures: two for a
  policy, one for an answer and for a record of a duty; a policy's version only rises, and nothing
  is undone by what was signed earlier;
- a decision gives the verdict that its constraints give, on the request that it shows, by the
  policy that was active; where that one asks a person, nothing is allowed that nobody approved;
- privacy is reserved only for a step of a job that was allowed and is not over, and with exactly
  the mechanism, fold and dataset that the job's specification has for that step;
- numbers leave only after their reservation, and each step at most once;
- a revocation is signed by the key that it names, and after it nothing happens under its permit: no
  job is allowed or started, nothing reserved, released or labelled.
"""

from collections.abc import Iterable
from datetime import datetime

from connector import revocation
from connector.audit import entries
from connector.audit.standing import Standing
from connector.authoring import signed
from connector.errors import RemoteError
from connector.identity.keys import VerifyKey
from connector.jobs import JobSpec, parse_spec
from policies.decision import Verdict, verdict_of
from policies.errors import PolicyError

Step = tuple[str, int, str]


class Order:
    """A fold that raises `PolicyError` (ENTRY_INVALID, LOG_ORDER) at the first wrong entry.

    `origin` is whose log it is. `officers`: the keys of all who ever were one, where they are known
    from elsewhere; without them, `signers` are those that the log itself names.
    """

    def __init__(self, origin: str, officers: Iterable[VerifyKey] = ()) -> None:
        self.signers: dict[VerifyKey, None] = {}
        self._origin = origin
        self._officers = frozenset(officers)
        self._last: datetime | None = None
        self._standing = Standing()
        self._allowed: dict[str, tuple[JobSpec, str]] = {}
        self._reserved: dict[Step, str] = {}
        self._seen: set[str] = set()
        self._released: set[Step] = set()
        self._permits: dict[str, str] = {}  # of jobs: id in a hospital's log, else digest

    @property
    def passed(self) -> tuple[str, ...]:
        """What holds once every entry has been checked."""
        whose = "the officers that you named" if self._officers else "the keys that the log names"
        return (
            "every entry is understood, and times never go back",
            f"two of {whose} signed every policy, one every answer and every record of a duty",
            "every decision rests on the policy that was active",
            "every release has its reservation, every reservation its step of an allowed job",
            "every revocation is signed, and nothing happened under its permit afterwards",
        )

    def check(self, _index: int, content: bytes) -> None:
        """One entry, in order."""
        entry = entries.parse(content)
        if self._last is not None and entry.time < self._last:
            raise _wrong("is earlier than the one before it")
        self._last = entry.time
        if isinstance(entry, signed.Signed):
            self._signed(entry)
        elif isinstance(entry, entries.Decided):
            self._decided(entry)
        elif isinstance(entry, entries.Reserved):
            self._reserve(entry)
        elif isinstance(entry, entries.Released):
            self._release(entry)
        elif isinstance(entry, entries.PermitRevoked):
            _revoked(entry)
        elif isinstance(entry, entries.JobStarted):
            self._permits[entry.job] = entry.permit_digest
            self._check_permit(entry.job)
        elif isinstance(entry, entries.Labelled):
            self._check_permit(entry.job)
        elif isinstance(entry, entries.JobEnded):
            self._allowed.pop(entry.job, None)
        self._standing.apply(entry)

    def _signed(self, entry: signed.Signed) -> None:
        signers = signed.attest(entry, self._origin)
        for key in signers:
            if self._officers and key not in self._officers:
                raise _wrong(f"is signed with a key of {key.name} that you did not name")
        self.signers.update(dict.fromkeys(signers))
        if entry.signed_at > entry.time:
            raise _wrong("was signed after it was written")
        if isinstance(entry, entries.PolicyActivated):
            self._activated(entry)
        elif isinstance(entry, entries.Approved):
            last = self._standing.answered_at(entry.dataset, entry.permit_digest)
            if last is not None and entry.signed_at <= last:
                raise _wrong("is an answer that was signed no later than the one before it")

    def _activated(self, entry: entries.PolicyActivated) -> None:
        policy = entry.policy
        if policy.version <= self._standing.version(policy.dataset, policy.id):
            raise _wrong("activates a version of a policy that is not newer")
        active = self._standing.active.get(policy.dataset)
        if active is not None and entry.signed_at <= active.signed_at:
            raise _wrong("activates a policy that was signed no later than the active one")

    def _decided(self, entry: entries.Decided) -> None:
        decision = entry.decision
        if decision.verdict is not verdict_of(decision.constraints):
            raise _wrong("gives a verdict that its constraints do not give")
        if decision.request_digest != entry.request.digest:
            raise _wrong("decides another request than it shows")
        if (
            decision.decided_at != entry.time
            or decision.permit_digest != entry.request.permit_digest
        ):
            raise _wrong("shows a decision of another time or permit")
        policy = self._standing.policy(entry.request.dataset)
        if policy is None or policy.digest != decision.policy_digest:
            raise _wrong("decides by a policy that was not active")
        if decision.verdict is Verdict.ALLOW:
            if policy.approval == "person" and not self._standing.approved(
                entry.request.dataset, entry.request.permit_digest
            ):
                raise _wrong("allows what a person should have approved, and has not")
            self._allow(entry)

    def _check_permit(self, job: str) -> None:
        if self._standing.revoked(self._permits.get(job, "")):
            raise _wrong("is of a job whose permit was revoked or suspended before")

    def _allow(self, entry: entries.Decided) -> None:
        self._permits[entry.request.job_digest] = entry.permit_id
        self._check_permit(entry.request.job_digest)
        spec = parse_spec(entry.specification.encode())
        if spec.digest != entry.request.job_digest:
            raise _wrong("decides another job than it shows")
        if entry.planned != planned(spec) or entry.job_not_after != spec.not_after:
            raise _wrong("holds another cost or deadline than the job's specification has")
        if spec.digest in self._seen:
            raise _wrong("allows a job a second time")
        self._seen.add(spec.digest)
        self._allowed[spec.digest] = (spec, entry.request.dataset)

    def _reserve(self, entry: entries.Reserved) -> None:
        self._check_permit(entry.job)
        if entry.job not in self._allowed:
            raise _wrong("reserves privacy for a job that no decision allowed, or that is over")
        spec, dataset = self._allowed[entry.job]
        if entry.time >= spec.not_after:
            raise _wrong("reserves privacy after the job's deadline")
        step = spec.step(entry.round, entry.task)
        if (
            step is None
            or step.call.mechanism.to_json() != entry.mechanism
            or step.call.definition.fold != entry.fold
            or dataset != entry.dataset
        ):
            raise _wrong("reserves something else than the job's specification says")
        if (entry.job, entry.round, entry.task) in self._reserved:
            raise _wrong("reserves a step a second time")
        self._reserved[entry.job, entry.round, entry.task] = dataset

    def _release(self, entry: entries.Released) -> None:
        self._check_permit(entry.job)
        step = (entry.job, entry.round, entry.task)
        if self._reserved.get(step) != entry.dataset:
            raise _wrong("is a release without a reservation")
        if step in self._released:
            raise _wrong("releases a step a second time")
        self._released.add(step)


def _revoked(entry: entries.PermitRevoked) -> None:
    try:
        said = revocation.verify(entry.document, VerifyKey.parse(entry.actor))
    except RemoteError as error:
        raise _wrong("is a revocation that the key in it did not sign") from error
    if (said.permit_id, said.permit_digest, said.effect, said.reason) != (
        entry.permit_id, entry.permit_digest, entry.effect, entry.reason,
    ):  # fmt: skip
        raise _wrong("says something else than the revocation in it")


def planned(spec: JobSpec) -> tuple[entries.Planned, ...]:
    """What a job costs if it runs to its end, as an allowing decision must show it."""
    return tuple(
        entries.Planned(fold=call.definition.fold, mechanism=call.mechanism.to_json(), times=times)
        for call, times in spec.kinds()
    )


def _wrong(what: str) -> PolicyError:
    return PolicyError("LOG_ORDER", f"the entry {what}")
