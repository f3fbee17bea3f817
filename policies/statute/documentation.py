"""What goes with a synthetic release or a model: TEHDAS2 M7.2, section 5.5.1; EDPB 28/2024."""

from policies.statute.finding import Finding, Kind, spell, within
from policies.statute.moments import Egress

_SOURCE = "TEHDAS2 M7.2, section 5.5.1; EDPB Opinion 28/2024, paragraph 43"

# The six groups of M7.2.
GROUPS = frozenset(
    {"original", "result", "process", "privacy-measures", "quality-and-risk", "compliance"}
)


def documentation_is_complete(egress: Egress) -> Finding:
    """Rule R30: all six groups of documentation are there."""
    documented = egress.documented
    asked = frozenset() if egress.synthetic_or_model is False else GROUPS
    satisfied, actual = within(asked, documented if asked else frozenset())
    return Finding(
        "R30",
        "m72.documentation",
        _SOURCE,
        Kind.HOLD,
        "all six groups of documentation",
        actual.replace("outside", "missing"),
        satisfied,
        "Complete the documentation of the release",
    )


def documentation_is_anonymous(egress: Egress) -> Finding:
    """Rule R30: nothing in it is personal, or helps to reconstruct a person."""
    anonymous = True if egress.synthetic_or_model is False else egress.documentation_is_anonymous
    return Finding(
        "R30",
        "m72.anonymous",
        _SOURCE,
        Kind.HOLD,
        "documentation without personal or reconstructing details",
        spell(anonymous, "without, or none needed", "with such details"),
        anonymous,
        "Remove the details, and have it looked at again",
    )
