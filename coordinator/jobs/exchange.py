"""Ask several nodes one thing and judge each answer by itself.

A node that is silent, malformed or refusing costs itself its place in the round, never the run.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connector import messages
from connector.errors import RemoteError
from connector.flower import FleetReply
from connector.identity.keys import Signer, VerifyKey
from connector.protocol import Reply
from policies.errors import PolicyError

if TYPE_CHECKING:
    import numpy as np

    from connector.flower.server import FleetRun

    Arrays = Mapping[str, np.ndarray[Any, Any]]

NO_REPLY = "NO_REPLY"
OFFLINE = "NODE_OFFLINE"
_SILENCE = frozenset({NO_REPLY, OFFLINE, "MESSAGE_EXPIRED"})
_LEAST_GRACE_SECONDS = 5.0
_URGENT = frozenset({"revoke"})  # what a node hears even while it computes


@dataclass(frozen=True)
class Member:
    """A hospital that takes part: its name, its key, and its id on the Fleet."""

    name: str
    key: VerifyKey
    node_id: int


@dataclass(frozen=True)
class Answer:
    """One hospital's answer: `code` is empty when it is a good one."""

    member: Member
    code: str = ""
    rules: tuple[str, ...] = ()
    arrays: "Arrays" = field(default_factory=dict)
    digest: str = ""
    offers: tuple[dict[str, Any], ...] = ()

    @property
    def good(self) -> bool:
        """Whether it can be used."""
        return not self.code

    @property
    def silent(self) -> bool:
        """Whether nothing came back; a bad answer is an answer."""
        return not self.digest and self.code in _SILENCE


class Exchange:
    """Messages of one run, sealed for each node, with judged answers."""

    def __init__(self, run: "FleetRun", key: Signer) -> None:
        self._run = run
        self._key = key

    def ask(
        self,
        members: Iterable[Member],
        kind: str,
        body: dict[str, Any],
        arrays: "Arrays | None" = None,
        *,
        seconds: float,
        enough: int,
        accepts: Callable[["Arrays"], bool] = lambda arrays: not arrays,
    ) -> list[Answer]:
        """Send to all, wait for all; once `enough` answers are good, the others get a grace period.

        The grace period is as long again as the fastest `enough` took, at least five seconds, so
        that one hospital's outage does not hold up the rest for the whole `seconds`. Each answer
        is judged when it arrives: two quick refusals are no reason to hurry the others.
        """
        sent: dict[str, tuple[Member, str]] = {}
        answers: list[Answer] = []
        begun = time.monotonic()
        deadline = begun + seconds
        for member in members:
            sealed = messages.seal(self._key, member.name, kind, body, arrays)
            try:
                message_id = self._run.send(member.node_id, sealed, urgent=kind in _URGENT)
            except RemoteError as error:
                answers.append(Answer(member, error.code))
            else:
                sent[message_id] = (member, messages.digest(sealed))
        hurried = False
        while sent and self._run.wait(sent, max(0.0, deadline - time.monotonic()), count=1):
            for message_id, reply in self._run.replies(sent).items():
                answers.append(self._judge(*sent.pop(message_id), reply, accepts))
            if not hurried and sum(answer.good for answer in answers) >= enough:
                hurried = True
                now = time.monotonic()
                deadline = min(deadline, now + max(_LEAST_GRACE_SECONDS, now - begun))
        self._run.withdraw(sent)
        answers += [Answer(member, NO_REPLY) for member, _ in sent.values()]
        return sorted(answers, key=lambda answer: answer.member.name)

    def _judge(
        self,
        member: Member,
        reference: str,
        reply: FleetReply,
        accepts: Callable[["Arrays"], bool],
    ) -> Answer:
        if reply.payload is None:
            return Answer(member, reply.error_code or NO_REPLY)
        digest = messages.digest(reply.payload)
        try:
            message = messages.open_sealed(reply.payload, member.key, self._key.name)
            body = Reply.parse(message.body)
        except (RemoteError, PolicyError) as error:
            return Answer(member, error.code, digest=digest)
        if message.kind != "reply" or body.in_reply_to != reference:
            return Answer(member, "REPLY_TO_ANOTHER", digest=digest)
        if body.status != "ok":
            return Answer(member, body.code or "REFUSED", body.rules, digest=digest)
        if not accepts(message.arrays):
            return Answer(member, "REPLY_ARRAYS", digest=digest)
        return Answer(member, arrays=message.arrays, digest=digest, offers=body.offers)
