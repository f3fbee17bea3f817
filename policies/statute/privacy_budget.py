"""The privacy budget: our proposal under Art. 68(10)(h), with TEHDAS2 M7.4 FCR-9.

What was spent is never refunded: not when a job fails, and not when a person opts out later.
"""

from policies.privacy import Budget, Cost, spell_epsilon
from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Admission

_ARTICLE = LAW + "Art. 68(10)(h); TEHDAS2 M7.4, FCR-9"


def permit_budget_holds(admission: Admission) -> Finding:
    """Rule R17: all jobs of this permit on this dataset stay within the permit's budget."""
    spending = admission.spending
    budget = spending.permit_budget if spending is not None else None
    return _within("permit", budget, admission.facts.spent_permit, admission.facts.planned)


def dataset_budget_holds(admission: Admission) -> Finding:
    """Rule R17: all jobs of all permits on this dataset stay within the hospital's budget."""
    spending = admission.spending
    budget = spending.dataset_budget if spending is not None else None
    return _within("dataset", budget, admission.facts.spent_dataset, admission.facts.planned)


def cost_is_reserved(admission: Admission) -> Finding:
    """Rule R17: the cost is durably reserved before anything is computed."""
    satisfied = admission.spending.reserved if admission.spending is not None else None
    return Finding(
        "R17",
        "ehds.budget.reserved",
        _ARTICLE,
        Kind.DENY,
        "the cost is reserved before the run",
        spell(satisfied, "reserved", "not reserved"),
        satisfied,
        "Reserve the cost in the log first",
    )


def _within(code: str, budget: Budget | None, spent: Cost, planned: Cost) -> Finding:
    bound, actual, satisfied = "a budget", "not known", None
    if budget is not None:
        after = spell_epsilon(budget.spent_epsilon(spent + planned))
        bound = f"epsilon at most {budget.epsilon} (delta {budget.delta}) in all"
        actual, satisfied = f"epsilon {after} with this job", budget.admits(spent, planned)
    return Finding(
        "R17", f"ehds.budget.{code}", _ARTICLE, Kind.DENY, bound, actual, satisfied,
        "Plan a job that costs less; what was spent does not come back",
    )  # fmt: skip
