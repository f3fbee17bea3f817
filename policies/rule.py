"""One rule of the gate: a fast check, and the words for it, made only when somebody reads them."""

from collections.abc import Callable
from decimal import Decimal
from functools import update_wrapper
from operator import le

from policies.decision import Constraint
from policies.privacy import ORDERS, thresholds
from policies.request import Facts, UsageRequest

Check = Callable[[UsageRequest, Facts], bool | None]
# From request, facts and the check's outcome: bound, actual, remedy.
Words = Callable[[UsageRequest, Facts, bool | None], tuple[str, str, str]]


def keeps_to(cap: Decimal, delta: Decimal) -> Check:
    """Whether one job, planned as a whole, costs at most `cap` at `delta`: any order will do."""
    limits = thresholds(cap, delta)
    likely = max(range(len(ORDERS)), key=lambda index: limits[index] / ORDERS[index])
    limit = limits[likely]

    def check(_request: UsageRequest, facts: Facts) -> bool:
        losses = facts.planned.rdp
        return losses[likely] <= limit or any(map(le, losses, limits)) or not any(losses)

    return check


class Rule:
    """`check` alone decides; None means that a fact is missing. Calling a rule spells it out.

    `code` is fixed and may be told to anyone; `point` refines it for a request that fails.
    """

    def __init__(
        self,
        code: str,
        basis: str,
        check: Check,
        words: Words,
        point: Callable[[UsageRequest], str] | None = None,
    ) -> None:
        self.code = code
        self.basis = basis
        self.check = check
        self._words = words
        self._point = point

    def __call__(self, request: UsageRequest, facts: Facts) -> Constraint:
        """Check and spell out."""
        return self.constraint(request, facts, self.check(request, facts))

    def code_for(self, request: UsageRequest, *, satisfied: bool | None) -> str:
        """The code of this rule's outcome on a request."""
        if self._point is None or satisfied:
            return self.code
        return self.code + self._point(request)

    def constraint(self, request: UsageRequest, facts: Facts, satisfied: bool | None) -> Constraint:
        """An outcome in words."""
        bound, actual, remedy = self._words(request, facts, satisfied)
        code = self.code_for(request, satisfied=satisfied)
        return Constraint(
            rule=code,
            basis=self.basis + (f"({code[-1]})" if code != self.code else ""),
            bound=bound,
            actual=actual,
            satisfied=satisfied,
            remedy=remedy,
        )


def rule(
    code: str, basis: str, words: Words, point: Callable[[UsageRequest], str] | None = None
) -> Callable[[Check], Rule]:
    """Turn a check into a rule; name and docstring stay the function's."""

    def wrap(check: Check) -> Rule:
        made = Rule(code, basis, check, words, point)
        update_wrapper(made, check)
        return made

    return wrap
