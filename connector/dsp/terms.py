"""The policies inside messages: read strictly into the typed model, written so that others can.

Terms that are not understood are refused with their path (`RemoteError` DSP_POLICY). A target
stands at the policy, and there is exactly one.
"""

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from connector.errors import RemoteError
from policies.errors import PolicyError
from policies.odrl.model import Action, Asset, Party, Policy, Rule, Scope
from policies.odrl.read import read_embedded
from policies.odrl.terms import DCT, PolicyKind
from policies.odrl.write import embed

Json = dict[str, Any]
# "A legal document giving official permission" (DCMI): the permit that a contract rests on.
EVIDENCE = DCT + "license"

# The schema's pattern, which allows more digits than a microsecond has: it is kept, not computed.
_TIMESTAMP = re.compile(
    r"-?([1-9][0-9]{3,8}|0[0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T"
    r"(([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,18})?|24:00:00(\.0{1,18})?)"
    r"(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))?"
)


def read_offer(value: Json) -> tuple[Policy, str]:
    """An offer in a message, and its dataset."""
    policy = _read(value)
    if policy.kind is not PolicyKind.OFFER:
        raise _refusal("offer.@type must be Offer")
    return policy, _target(policy)


def read_agreement(value: Json) -> tuple[Policy, str]:
    """An agreement, and its dataset."""
    timestamp = value.get("timestamp", "1970-01-01T00:00:00Z")
    if not isinstance(timestamp, str) or not _TIMESTAMP.fullmatch(timestamp):
        raise _refusal("agreement.timestamp is not an instant")
    policy = _read(_untimed(value))
    if policy.kind is not PolicyKind.AGREEMENT:
        raise _refusal("agreement.@type must be Agreement")
    return policy, _target(policy)


def stored(value: Json) -> Policy:
    """A policy that was written by `spell` or `spell_agreement`, without its timestamp."""
    return read_embedded(_untimed(value))


def spell(policy: Policy) -> Json:
    """The policy as it stands in a message. Raises `PolicyError` for what cannot stand there."""
    return embed(policy)


def spell_agreement(policy: Policy, received: Json) -> Json:
    """An agreement of a peer, with its timestamp to the digit."""
    timestamp = {"timestamp": received["timestamp"]} if "timestamp" in received else {}
    return embed(policy) | timestamp


def _untimed(value: Json) -> Json:
    return {key: item for key, item in value.items() if key != "timestamp"}


def offered(policy: Policy, dataset: str) -> Policy:
    """A catalogue's offer as it stands in a message: with its target."""
    return replace(policy, scope=replace(policy.scope, targets=(Asset(dataset),)))


def without_target(policy: Policy) -> Policy:
    """An offer as it stands in a catalogue."""
    return replace(policy, scope=_bare(policy.scope))


def agreed(
    policy: Policy, uid: str, dataset: str, parties: tuple[str, str], at: datetime
) -> Policy:
    """The agreement on an offer's terms, between an assigner and an assignee."""
    assigner, assignee = parties
    scope = replace(
        policy.scope,
        targets=(Asset(dataset),), assigners=(Party(assigner),), assignees=(Party(assignee),),
    )  # fmt: skip
    timestamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return replace(
        policy, uid=uid, kind=PolicyKind.AGREEMENT, scope=scope, timestamp=timestamp,
        metadata=tuple(one for one in policy.metadata if one[0] == EVIDENCE),
    )  # fmt: skip


def parties_of(policy: Policy) -> tuple[set[str | None], set[str | None]]:
    """Assigners and assignees that an agreement names, at the policy or at any rule."""
    rules: tuple[Rule, ...] = (
        *policy.permissions, *policy.prohibitions, *policy.obligations
    )  # fmt: skip
    scopes = [policy.scope, *(rule.scope for rule in rules)]
    assigners = {party.uid for scope in scopes for party in scope.assigners}
    assignees = {party.uid for scope in scopes for party in scope.assignees}
    return assigners, assignees


def same_terms(one: Policy, other: Policy) -> bool:
    """Whether two policies say the same, whatever their names, kinds, targets and parties."""
    return _terms(one) == _terms(other)


def _terms(policy: Policy) -> Policy:
    return replace(
        policy, uid="", kind=PolicyKind.OFFER, scope=_bare(policy.scope), timestamp=None,
        metadata=(),
    )  # fmt: skip


def _bare(scope: Scope) -> Scope:
    return replace(scope, targets=(), assigners=(), assignees=())


def _read(value: Json) -> Policy:
    try:
        policy = read_embedded(value)
    except PolicyError as error:
        raise _refusal(error.message, error.remedy) from error
    rules: tuple[Rule, ...] = (
        *policy.permissions, *policy.prohibitions, *policy.obligations
    )  # fmt: skip
    if policy.scope.actions or not all(_is_plain(rule.scope.actions) for rule in rules):
        # The schema wants it so; we could not send it on in another form.
        raise _refusal("each rule must name one action of its own, as text")
    return policy


def _is_plain(actions: tuple[Action, ...]) -> bool:
    return len(actions) == 1 and actions[0] == Action(actions[0].iri)


def _target(policy: Policy) -> str:
    if len(policy.scope.targets) != 1 or not isinstance(policy.scope.targets[0], Asset):
        raise _refusal("the policy must name one dataset as its target")
    return policy.scope.targets[0].uid


def _refusal(what: str, remedy: str = "") -> RemoteError:
    return RemoteError("DSP_POLICY", f"a policy cannot be understood: {what}", remedy)
