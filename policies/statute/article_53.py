"""Art. 53: the purposes for which health data may be processed for secondary use."""

from policies import purposes
from policies.decision import Constraint
from policies.request import Facts, UsageRequest


def purpose_is_allowed(request: UsageRequest, _facts: Facts) -> Constraint:
    """Art. 53(1), rule R03: the purpose is one of points (a) to (f)."""
    purpose = purposes.by_iri(request.purpose)
    return Constraint(
        rule="ehds.art53.purpose",
        basis="Regulation (EU) 2025/327, Art. 53(1)",
        bound="one of points (a) to (f)",
        actual=purpose.label if purpose else "a purpose that is not known here",
        satisfied=purpose is not None and purpose.name in purposes.ALLOWED,
        remedy="Apply for a permit for one of the purposes of Art. 53(1)",
    )
