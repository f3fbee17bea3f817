"""A candidate policy over past requests: what would be decided differently."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies import engine
from policies.decision import Verdict
from policies.policy import Policy
from policies.request import Facts, UsageRequest

EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """A past request whose verdict would change.

    `rules` are the codes of the rules that fail or lack a fact: the candidate's if it would no
    longer allow the request, else those of the policy that is in force, where it was given.
    """

    request_digest: str
    old: Verdict
    new: Verdict
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DryRun:
    """How many requests keep their verdict, and how many would get another.

    `otherwise` were not allowed and would not be, for another verdict. `by_rule` counts the codes
    responsible over all changes; `examples` are the first changes.
    """

    same: int
    refused: int
    allowed: int
    otherwise: int
    by_rule: Mapping[str, int]
    examples: tuple[Difference, ...]

    @property
    def total(self) -> int:
        """All past requests."""
        return self.same + self.refused + self.allowed + self.otherwise


def dry_run(
    candidate: Policy,
    past: Iterable[tuple[UsageRequest, Facts, Verdict]],
    *,
    current: Policy | None = None,
    examples: int = EXAMPLES,
) -> DryRun:
    """Decide every past request anew, one at a time; only the first `examples` are kept.

    `current`, the policy in force, tells why it refused what the candidate would allow. Raises
    `PolicyError` for a policy that the engine cannot compile.
    """
    evaluate = engine.compile(candidate)
    explain = engine.compile(current) if current is not None else None
    same = 0
    changed: Counter[tuple[bool, bool]] = Counter()
    by_rule: Counter[str] = Counter()
    shown: list[Difference] = []
    for request, facts, old in past:
        outcome = evaluate(request, facts)
        new = outcome.verdict
        if new is old:
            same += 1
            continue
        changed[old is Verdict.ALLOW, new is Verdict.ALLOW] += 1
        reasons = outcome if new is not Verdict.ALLOW else explain and explain(request, facts)
        rules = (*reasons.failed, *reasons.open) if reasons else ()
        by_rule.update(rules)
        if len(shown) < examples:
            shown.append(Difference(request.digest, old, new, rules))
    return DryRun(
        same, changed[True, False], changed[False, True], changed[False, False],
        dict(by_rule.most_common()), tuple(shown),
    )  # fmt: skip
