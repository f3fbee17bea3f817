"""Every rule of the list is accounted for, and the registry says what follows from each."""

import re
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import pytest
from lawful import FACTS, NOW, REQUEST, admission, egress, issuance, publication, supervision

from policies import statute
from policies.errors import PolicyError
from policies.permit import Permit
from policies.statute import RULES_BY_MOMENT, evaluate
from policies.statute.finding import DutyState, Finding, Kind, listed
from policies.statute.moments import (
    Admission,
    Egress,
    Issuance,
    Moment,
    Publication,
    Supervision,
)

LAWFUL: tuple[Moment, ...] = (
    issuance(),
    admission(),
    egress(),
    publication(),
    supervision(),
)
NOTHING_KNOWN: tuple[Moment, ...] = (
    Issuance(NOW),
    Admission(REQUEST, FACTS),
    Egress(NOW),
    Publication(NOW),
    Supervision(NOW, frozenset()),
)
KINDS = {
    Issuance: {
        ("R03", "ehds.art53.purposes", "deny"),
        ("R04", "ehds.art53.actor", "deny"),
        ("R05", "ehds.art54.declaration", "deny"),
        ("R05", "ehds.art67.ethics", "deny"),
        ("R12", "ehds.art51.category", "deny"),
        ("R12", "ehds.art51.national", "deny"),
        ("R09", "ehds.art66.format", "deny"),
        ("R02", "ehds.art68.duration", "deny"),
        ("R02", "ehds.art68.extension", "deny"),
        ("R11", "ehds.art71.override", "deny"),
        ("R32", "ehds.art62.fee", "deny"),
        ("R33", "ehds.art55.segregation", "deny"),
        ("R08", "ehds.person.necessity", "route"),
        ("R04", "ehds.person.qualification", "route"),
        ("R05", "ehds.person.detriment", "route"),
        ("R05", "ehds.person.ethics", "route"),
        ("R11", "ehds.person.public-interest", "route"),
        ("R13", "ehds.person.intellectual-property", "route"),
    },
    Admission: {
        ("R01", "ehds.art68.permit", "deny"),
        ("R01", "ehds.art68.version", "deny"),
        ("R02", "ehds.art68.period", "deny"),
        ("R03", "ehds.art53.purpose", "deny"),
        ("R03", "ehds.art68.use", "deny"),
        ("R04", "ehds.art53.actor", "deny"),
        ("R05", "ehds.art54", "deny"),
        ("R05", "ehds.art54.declaration", "deny"),
        ("R05", "ehds.art54.output", "deny"),
        ("R06", "ehds.art73.person", "deny"),
        ("R06", "ehds.art73.assurance", "deny"),
        ("R06", "ehds.art73.application", "deny"),
        ("R07", "ehds.art61.recipients", "deny"),
        ("R08", "ehds.art68.scope", "deny"),
        ("R08", "ehds.art66.scope", "deny"),
        ("R08", "ehds.art66.columns", "filter"),
        ("R09", "ehds.art66.format", "deny"),
        ("R09", "ehds.art66.identifiers", "deny"),
        ("R09", "ehds.art66.key", "deny"),
        ("R10", "ehds.art71.opt-out", "filter"),
        ("R11", "ehds.art71.override", "deny"),
        ("R12", "ehds.art51.category", "deny"),
        ("R12", "ehds.art51.national", "deny"),
        ("R13", "ehds.art52.measures", "deny"),
        ("R14", "ehds.art68.code", "deny"),
        ("R15", "ehds.art69.statistical", "deny"),
        ("R17", "ehds.budget.permit", "deny"),
        ("R17", "ehds.budget.dataset", "deny"),
        ("R17", "ehds.budget.reserved", "deny"),
        ("R18", "ehds.art68.participants", "deny"),
        ("R18", "ehds.round.nodes", "deny"),
        ("R18", "ehds.round.clipping", "deny"),
        ("R18", "ehds.round.form", "deny"),
        ("R18", "ehds.round.cohort", "deny"),
        ("R19", "ehds.art61.linkage", "deny"),
        ("R19", "ehds.art61.pattern", "alert"),
        ("R20", "ehds.art87.location", "deny"),
        ("R20", "ehds.art90.recipient", "deny"),
        ("R20", "ehds.art88.population", "deny"),
        ("R21", "ehds.art63.revoked", "deny"),
        ("R21", "ehds.art63.news", "deny"),
        ("R31", "ai-act.art10.diet", "deny"),
        ("R32", "ehds.art62.fee", "deny"),
    },
    Egress: {
        ("R07", "ehds.art61.recipients", "deny"),
        ("R15", "ehds.art69.statistical", "deny"),
        ("R16", "ehds.art73.kind", "hold"),
        ("R16", "ehds.art73.checks", "hold"),
        ("R16", "ehds.art73.cell", "hold"),
        ("R16", "ehds.art73.dominance", "hold"),
        ("R16", "ehds.art73.difference", "hold"),
        ("R16", "ehds.art73.review", "hold"),
        ("R20", "ehds.art90.recipient", "deny"),
        ("R20", "ehds.art88.population", "deny"),
        ("R30", "m72.documentation", "hold"),
        ("R30", "m72.anonymous", "hold"),
        ("R31", "ai-act.art10.diet", "deny"),
        ("R33", "ehds.art55.segregation", "deny"),
        ("R05", "ehds.person.detriment", "route"),
    },
    Publication: {
        ("R28", "ehds.art77.record", "deny"),
        ("R29", "ehds.art78.label", "deny"),
        ("R29", "ehds.art78.evidence", "deny"),
        ("R29", "ehds.art78.revoked", "deny"),
        ("R24", "ehds.art61.anonymous", "hold"),
        ("R24", "ehds.art61.acknowledgement", "oblige"),
        ("R24", "ehds.art61.summary", "oblige"),
        ("R34", "ai-act.art50.media", "deny"),
        ("R34", "ai-act.art50.table", "alert"),
    },
    Supervision: {
        ("R21", "ehds.art63.stop", "deny"),
        ("R22", "ehds.art68.deletion", "oblige"),
        ("R22", "ehds.art68.kept", "oblige"),
        ("R23", "ehds.art73.actor", "oblige"),
        ("R23", "ehds.art73.access-log", "oblige"),
        ("R23", "ehds.art73.activity-log", "oblige"),
        ("R23", "ai-act.art12.log", "oblige"),
        ("R24", "ehds.art61.results", "oblige"),
        ("R25", "ehds.art61.finding", "oblige"),
        ("R25", "ehds.art58.not-to-know", "deny"),
        ("R25", "ehds.person.clinical-significance", "route"),
        ("R26", "ehds.art57.register", "oblige"),
        ("R26", "ehds.art57.results", "oblige"),
        ("R26", "ehds.art57.measures", "oblige"),
        ("R27", "ehds.art60.holder", "alert"),
        ("R27", "ehds.art60.metadata", "alert"),
        ("R27", "ehds.art68.decision", "alert"),
        ("R27", "ehds.art68.completion", "alert"),
        ("R27", "ehds.art68.provision", "alert"),
        ("R27", "ehds.art72.assessment", "alert"),
        ("R27", "ehds.art72.decision", "alert"),
    },
}


@pytest.mark.parametrize("moment", LAWFUL, ids=lambda moment: type(moment).__name__)
def test_where_all_is_lawful_and_known_every_rule_is_satisfied(moment: Moment) -> None:
    assert [each.code for each in evaluate(moment) if each.satisfied is not True] == []
    assert "not known" not in {each.actual for each in evaluate(moment)}


@pytest.mark.parametrize("moment", LAWFUL, ids=lambda moment: type(moment).__name__)
def test_each_rule_has_its_number_its_code_and_its_kind(moment: Moment) -> None:
    found = [(each.rule, each.code, each.kind.value) for each in evaluate(moment)]
    assert set(found) == KINDS[type(moment)]
    assert len(found) == len(KINDS[type(moment)]) == len(RULES_BY_MOMENT[type(moment)])


@pytest.mark.parametrize("moment", NOTHING_KNOWN, ids=lambda moment: type(moment).__name__)
def test_where_nothing_is_known_no_rule_denies_and_none_lets_pass(moment: Moment) -> None:
    from_the_engines_facts = {
        "ehds.art53.purpose", "ehds.art54", "ehds.art68.permit", "ehds.art68.period",
        "ehds.art68.use", "ehds.art68.scope", "ehds.art68.participants", "ehds.art66.columns",
        "ehds.art63.revoked",
        "ehds.art53.actor",  # research is open to everybody
    }  # fmt: skip
    known = from_the_engines_facts if isinstance(moment, Admission) else set()
    for finding in evaluate(moment):
        if finding.code not in known:
            assert finding.satisfied is None, finding.code
            assert finding.duty is DutyState.UNKNOWN


def test_all_thirty_four_rules_are_decided_or_routed() -> None:
    rules = {finding.rule for moment in LAWFUL for finding in evaluate(moment)}
    assert rules == {f"R{number:02}" for number in range(1, 35)}


def test_the_index_names_every_rule_and_every_function_of_the_registry() -> None:
    index = statute.__doc__ or ""
    assert re.findall(r"^R\d\d", index, re.MULTILINE) == [f"R{n:02}" for n in range(1, 35)]
    words = set(re.findall(r"\w+", index))
    functions = {rule.__name__ for rules in RULES_BY_MOMENT.values() for rule in rules}
    assert functions <= words
    for name in re.findall(r"(\w+\.\w+)", index):
        module, function = name.split(".")
        assert hasattr(getattr(statute, module), function), name


@pytest.mark.parametrize("moment", LAWFUL, ids=lambda moment: type(moment).__name__)
def test_each_finding_becomes_a_line_of_a_decision(moment: Moment) -> None:
    for finding in evaluate(moment):
        constraint = finding.constraint
        assert (constraint.rule, constraint.basis) == (finding.code, finding.article)
        assert (constraint.bound, constraint.actual) == (finding.bound, finding.actual)
        assert (constraint.satisfied, constraint.remedy) == (finding.satisfied, finding.remedy)
        assert constraint.remedy
        assert len(constraint.actual) < 1000


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("satisfied", [True, False, None])
def test_what_is_not_known_to_be_satisfied_stands_in_the_way(
    kind: Kind, satisfied: bool | None
) -> None:
    finding = Finding("R00", "code", "article", kind, "bound", "actual", satisfied, "remedy")
    holds_up = kind in {Kind.DENY, Kind.FILTER, Kind.HOLD, Kind.ROUTE} and satisfied is not True
    assert finding.stands_in_the_way is holds_up


@pytest.mark.parametrize(
    ("count", "shown"), [(20, ", n19"), (21, ", n19, ..."), (22, ", n19, ...")]
)
def test_a_finding_lists_at_most_twenty_names(count: int, shown: str) -> None:
    assert listed(tuple(f"n{index}" for index in range(count))).endswith(shown)


def test_a_time_without_a_zone_is_refused_at_every_moment() -> None:
    naive = datetime(2032, 6, 2)  # noqa: DTZ001 - that it has no zone is what is tested
    for build in (issuance, egress, publication, supervision):
        with pytest.raises(PolicyError) as caught:
            build(now=naive)
        assert caught.value.code == "TIME_NAIVE"
    with pytest.raises(PolicyError):
        admission(facts={"now": naive})


def test_a_moment_has_no_fact_that_no_rule_reads() -> None:
    # A field that nothing reads would suggest a check that does not take place.
    folder = Path(statute.__file__ or "").parent
    sources = "".join(path.read_text() for path in folder.glob("*.py"))
    for moment in RULES_BY_MOMENT:
        for field in fields(moment):
            assert f".{field.name}" in sources, (moment, field.name)


def test_the_permit_of_these_tests_is_one() -> None:
    assert isinstance(FACTS.permit, Permit)
