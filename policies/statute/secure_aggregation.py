"""A round's secure sum: our proposal under Art. 68(10)(h), with TEHDAS2 M7.4 FCR-8."""

from policies.statute.finding import LAW, Finding, Kind, at_least, spell
from policies.statute.moments import Admission

_ARTICLE = LAW + "Art. 68(10)(h); TEHDAS2 M7.4, FCR-8"


def enough_nodes_are_summed(admission: Admission) -> Finding:
    """Rule R18: at least as many nodes as the permit asks."""
    given, limits = admission.secure_sum, admission.secure_sum_limits
    satisfied = at_least(given.nodes if given else None, limits.minimum_nodes if limits else None)
    return _finding("nodes", "enough nodes in the sum", satisfied, "Wait for more nodes")


def update_is_clipped(admission: Admission) -> Finding:
    """Rule R18: the clipping norm is at most the permit's; a norm of zero or less is none."""
    given, limits = admission.secure_sum, admission.secure_sum_limits
    satisfied: bool | None = None
    if given is not None and limits is not None:
        satisfied = 0 < given.clipping_norm <= limits.maximum_clipping_norm
    return _finding("clipping", "updates clipped to the permit's norm", satisfied, "Clip more")


def update_has_the_agreed_form(admission: Admission) -> Finding:
    """Rule R18: names, types and shapes of the update are those that were agreed."""
    given, limits = admission.secure_sum, admission.secure_sum_limits
    satisfied = None if given is None or limits is None else given.update == limits.update
    return _finding("form", "the agreed form of the update", satisfied, "Send the agreed arrays")


def cohort_is_large_enough(admission: Admission) -> Finding:
    """Rule R18: at least as many persons at the node as the permit asks."""
    given, limits = admission.secure_sum, admission.secure_sum_limits
    satisfied = at_least(
        given.persons if given else None, limits.minimum_persons if limits else None
    )
    return _finding("cohort", "enough persons at the node", satisfied, "Leave this node out")


def _finding(code: str, bound: str, satisfied: bool | None, remedy: str) -> Finding:
    # Neither count is written down: a finding is shown to others than the hospital.
    return Finding(
        "R18", f"ehds.round.{code}", _ARTICLE, Kind.DENY,
        bound, spell(satisfied, "so it is", "it is not so"), satisfied, remedy,
    )  # fmt: skip
