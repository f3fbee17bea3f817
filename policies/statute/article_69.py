"""Art. 69: a health data request is answered with anonymised statistics only."""

from policies.statute.facts import AccessPath
from policies.statute.finding import LAW, Finding, Kind, spell
from policies.statute.moments import Admission, Egress

# Kinds of output that are an anonymised statistical format: no rows, no weights of a model.
STATISTICAL = frozenset({"statistics", "table"})


def answer_is_statistical_at_admission(admission: Admission) -> Finding:
    """Art. 69(1), rule R15: a job on the request path asks for aggregates only."""
    return _statistical(admission.path, admission.request.output)


def answer_is_statistical_at_egress(egress: Egress) -> Finding:
    """Art. 69(1), rule R15: the same, for what leaves."""
    return _statistical(egress.path, egress.output)


def _statistical(path: AccessPath | None, output: str | None) -> Finding:
    satisfied: bool | None = None
    if path is AccessPath.PERMIT:
        satisfied = True
    elif path is AccessPath.REQUEST and output is not None:
        satisfied = output in STATISTICAL
    return Finding(
        "R15",
        "ehds.art69.statistical",
        LAW + "Art. 69(1)",
        Kind.DENY,
        "a request is answered with statistics or a table",
        spell(satisfied, "statistical, or under a permit", "another kind of output"),
        satisfied,
        "Apply for a data permit if more than statistics is needed",
    )
