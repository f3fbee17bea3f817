"""Art. 51: the categories of health data, and from when they must be available (Art. 105)."""

from policies.purposes import CATEGORIES
from policies.statute.finding import LAW, Finding, Kind, all_of, listed, spell
from policies.statute.moments import Admission, Issuance
from policies.statute.periods import day


def category_applies(moment: Admission | Issuance) -> Finding:
    """Art. 51(1), 105, rule R12: each category is one of the law, on or after its first day.

    Before that day the Regulation gives no access; what happens then rests on another law, which
    must be named.
    """
    today = day(moment.now)
    asked = sorted(moment.categories or ())
    unknown = tuple(point for point in asked if point not in CATEGORIES)
    early = tuple(
        point for point in asked if point in CATEGORIES and today < CATEGORIES[point].applies_from
    )
    satisfied = None
    if asked:
        satisfied = not unknown and (not early or bool(moment.other_legal_basis))
    return Finding(
        "R12",
        "ehds.art51.category",
        LAW + "Art. 51(1) and 105",
        Kind.DENY,
        "categories of Art. 51(1) that apply already, or another legal basis",
        spell(satisfied, "applicable", f"not applicable: {listed((*unknown, *early))}"),
        satisfied,
        "Wait until the category applies (26 March 2029 or 2031), or name another legal basis",
    )


def national_rules_are_met(moment: Admission | Issuance) -> Finding:
    """Art. 51(4), rule R12: stricter national rules for points (f), (g), (i), (q) are met."""
    asked = moment.categories
    concerned = {
        point
        for point in asked or ()
        if point in CATEGORIES and CATEGORIES[point].stricter_national_rules
    }
    satisfied: bool | None = None
    if asked is not None and not concerned:
        satisfied = True
    elif asked is not None and moment.national_rules is not None:
        satisfied = all_of(
            *(rule.met for rule in moment.national_rules if rule.category in concerned)
        )
    return Finding(
        "R12",
        "ehds.art51.national",
        LAW + "Art. 51(4)",
        Kind.DENY,
        "stricter national rules for genetic, molecular, wellness and biobank data are met",
        spell(satisfied, "met, or none", "not met"),
        satisfied,
        "Meet the Member State's safeguards for this category, or leave it out",
    )
