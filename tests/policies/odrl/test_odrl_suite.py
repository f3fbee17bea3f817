"""The ODRL test suite, and our own cases in its format."""

from pathlib import Path

import pytest

from policies.errors import PolicyError
from policies.odrl.suite import run_cases

SUITE = Path(__file__).parents[4] / "shared" / "specs" / "odrl-test-suite"
OWN = Path(__file__).parent / "cases"


@pytest.mark.skipif(not SUITE.is_dir(), reason="needs ../shared/specs/odrl-test-suite")
def test_all_68_cases_of_the_odrl_test_suite_give_the_expected_report():
    results = run_cases(SUITE)
    assert len(results) == 68
    assert [result for result in results if not result.activation] == []
    assert [result for result in results if not result.constraints] == []
    assert [result for result in results if not result.premises] == []


_OWN = run_cases(OWN)


@pytest.mark.parametrize("result", _OWN, ids=lambda result: result.case.rpartition("/")[2])
def test_own_case_gives_the_expected_report(result):
    assert result.passed, (result.title, result.error)


def test_own_cases_have_both_outcomes_in_every_file():
    assert len(_OWN) >= 60
    themes = {}
    for result in _OWN:
        theme = result.case.rpartition("/")[2].rpartition("-")[0]
        themes.setdefault(theme, set()).update(result.expected)
    assert all(outcomes == {"Active", "Inactive"} for outcomes in themes.values()), themes


def test_a_wrong_expectation_is_noticed(tmp_path):
    text = (OWN / "operands.ttl").read_text()
    (tmp_path / "active.ttl").write_text(
        text.replace("report:activationState report:Active", "report:activationState report:Off")
    )
    (tmp_path / "state.ttl").write_text(
        text.replace("report:satisfactionState report:Unsatisfied",
                     "report:satisfactionState report:Satisfied")
    )  # fmt: skip
    for name, aspect in (("active", "activation"), ("state", "constraints")):
        only = tmp_path / name
        only.mkdir()
        (tmp_path / f"{name}.ttl").rename(only / "cases.ttl")
        assert not all(getattr(result, aspect) for result in run_cases(only))


def test_a_case_that_cannot_be_read_is_a_result_and_not_the_end(tmp_path):
    text = (OWN / "purposes.ttl").read_text()
    (tmp_path / "cases.ttl").write_text(text.replace("odrl:isNoneOf", "odrl:isSomehow"))
    results = run_cases(tmp_path)
    assert {result.passed for result in results} == {True, False}
    assert {result.error.partition(":")[0] for result in results if result.error} == {"ODRL_TERM"}


def test_a_file_that_is_not_turtle_is_refused(tmp_path):
    (tmp_path / "broken.ttl").write_text("@prefix : <http://example.org/> . :a :b")
    with pytest.raises(PolicyError) as caught:
        run_cases(tmp_path)
    assert caught.value.code == "ODRL_SYNTAX"
