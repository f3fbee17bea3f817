"""Art. 54: uses that are prohibited, whatever a permit or a policy says."""

from policies import purposes
from policies.decision import Constraint
from policies.request import Facts, UsageRequest


def use_is_not_prohibited(request: UsageRequest, _facts: Facts) -> Constraint:
    """Art. 54 points (a) to (e), rule R05: the declared purpose is not a prohibited use."""
    purpose = purposes.by_iri(request.purpose)
    prohibited = purpose is not None and purpose.name in purposes.PROHIBITED
    article = purpose.article if purpose is not None and prohibited else "Art. 54"
    return Constraint(
        rule="ehds.art54.prohibited-use",
        basis=f"Regulation (EU) 2025/327, {article}",
        bound="no use of Art. 54(a) to (e)",
        actual=purpose.label if purpose else "a purpose that is not known here",
        satisfied=purpose is not None and not prohibited,
        remedy="None: this use is prohibited by law",
    )
