"""Art. 54: uses that are prohibited, whatever a permit or a policy says."""

from policies import purposes
from policies.decision import Constraint
from policies.request import Facts, UsageRequest

_BASIS = "Regulation (EU) 2025/327, Art. 54"


def use_is_not_prohibited(request: UsageRequest, _facts: Facts) -> Constraint:
    """Art. 54 points (a) to (e), rule R05: the declared purpose is not a prohibited use.

    A refusal's code names the point, such as `ehds.art54.c`.
    """
    purpose = purposes.by_iri(request.purpose)
    prohibited = purpose is not None and purpose.name in purposes.PROHIBITED
    point = purpose.article[-2] if purpose is not None and prohibited else ""
    return Constraint(
        rule=f"ehds.art54.{point}" if point else "ehds.art54",
        basis=f"Regulation (EU) 2025/327, Art. 54({point})" if point else _BASIS,
        bound="no use of Art. 54(a) to (e)",
        actual=purpose.label if purpose else "a purpose that is not known here",
        satisfied=purpose is not None and not prohibited,
        remedy="None: this use is prohibited by law",
    )
