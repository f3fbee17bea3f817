"""Art. 66: no more data than needed, anonymised unless shown otherwise."""

from policies.statute.facts import DataFormat, KeyHolder
from policies.statute.finding import LAW, Finding, Kind, listed, spell, within
from policies.statute.moments import Admission, Issuance


def scope_is_within(admission: Admission) -> Finding:
    """Art. 66(1), 68(10)(a), rule R08: categories, regions, period and cohort of the permit."""
    asked, permitted = admission.scope, admission.permit_scope
    satisfied: bool | None = None
    outside: tuple[str, ...] = ()
    if asked is not None and permitted is not None:
        fits = {
            "categories": asked.categories <= permitted.categories,
            "regions": asked.regions <= permitted.regions,
            "period": permitted.since <= asked.since <= asked.until <= permitted.until,
            "cohort": asked.cohort == permitted.cohort,
        }
        outside = tuple(name for name, fit in fits.items() if not fit)
        satisfied = not outside
    return Finding(
        "R08",
        "ehds.art66.scope",
        LAW + "Art. 66(1) and 68(10)(a)",
        Kind.DENY,
        "categories, regions, period and cohort of the permit",
        spell(satisfied, "within", f"outside: {listed(outside)}"),
        satisfied,
        "Narrow the cohort to what the permit specifies",
    )


def columns_are_projected(admission: Admission) -> Finding:
    """Art. 66(1), rule R08: columns that the permit does not list are left out of the view."""
    permit = admission.facts.permit
    listed_columns = frozenset(permit.columns) if permit is not None else None
    satisfied, actual = within(admission.request.columns, listed_columns)
    return Finding(
        "R08",
        "ehds.art66.columns",
        LAW + "Art. 66(1)",
        Kind.FILTER,
        "only columns that the permit lists",
        actual,
        satisfied,
        "Ask for the listed columns only; the others are not read",
    )


def format_is_permitted(moment: Admission | Issuance) -> Finding:
    """Art. 66(2), (3), 67(2)(e), rule R09: pseudonymised only with a justification."""
    given = moment.data_format
    satisfied = None
    if given is not None:
        satisfied = given is DataFormat.ANONYMISED or bool(moment.pseudonymisation_justified)
    return Finding(
        "R09",
        "ehds.art66.format",
        LAW + "Art. 66(2) and (3), 67(2)(e)",
        Kind.DENY,
        "anonymised, or pseudonymised with a justification in the permit",
        spell(satisfied, "permitted", "pseudonymised without a justification"),
        satisfied,
        "Show why anonymised data are not enough, or ask for these",
    )


def schema_has_no_identifiers(admission: Admission) -> Finding:
    """Art. 66(3), rule R09: no direct identifier among the columns."""
    columns = frozenset(admission.request.columns)
    identifiers = admission.direct_identifiers
    there = tuple(sorted(columns & (identifiers or frozenset())))
    satisfied = None if identifiers is None else not there
    return Finding(
        "R09",
        "ehds.art66.identifiers",
        LAW + "Art. 66(3)",
        Kind.DENY,
        "no direct identifier in the schema",
        spell(satisfied, "none", f"identifiers: {listed(there)}"),
        satisfied,
        "Leave the identifiers out",
    )


def key_is_elsewhere(admission: Admission) -> Finding:
    """Art. 66(3), rule R09: what undoes a pseudonym is not where the data are processed."""
    satisfied: bool | None = None
    if admission.data_format is DataFormat.ANONYMISED:
        satisfied = True
    elif admission.data_format is not None and admission.key_holder is not None:
        satisfied = admission.key_holder is not KeyHolder.NODE
    return Finding(
        "R09",
        "ehds.art66.key",
        LAW + "Art. 66(3)",
        Kind.DENY,
        "the key is with the health data access body or a trusted third party",
        spell(satisfied, "elsewhere, or no key", "with the node that computes"),
        satisfied,
        "Move the key material away from the node",
    )
