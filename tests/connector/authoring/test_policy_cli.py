"""`commensal policy`: check, test, explain, diff, dry-run, template and show."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from decided_log import NOW, SPECS, policy, write_log
from rich.console import Console

from connector.authoring import files, render
from connector.authoring.cli import TEMPLATES
from connector.authoring.cli import policy as command
from connector.authoring.verbs import CATALOGUE
from connector.errors import LocalError
from connector.tasks import TASKS
from policies import policy as policies
from policies.change import Effect
from policies.errors import Error, PolicyError
from policies.explain import Line, Role
from policies.lint import lint
from policies.odrl.read import read
from policies.remark import Catalogue, Severity

PLAIN = {
    "@context": "http://www.w3.org/ns/odrl.jsonld",
    "@type": "Set",
    "uid": "urn:example:plain",
    "permission": [
        {
            "action": "use",
            "target": "urn:example:asset",
            "constraint": [{"leftOperand": "count", "operator": "lteq", "rightOperand": 5}],
        }
    ],
}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments])


def passed(*arguments: object) -> str:
    outcome = run(*arguments)
    assert outcome.exception is None, outcome.exception
    assert outcome.exit_code == 0
    return outcome.output


def refused(*arguments: object) -> Error:
    error = run(*arguments).exception
    assert isinstance(error, Error), error
    assert "\n" not in error.diagnostics()
    assert error.remedy
    return error


@pytest.fixture
def training(tmp_path: Path) -> Path:
    passed("template", "training", "--dataset", "north/patients", "--out", tmp_path)
    return tmp_path / "policy.toml"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("node"))


def changed(path: Path, name: str, **words: str) -> Path:
    """A copy of a policy's file with other words in it."""
    text = path.read_text()
    for old, new in words.items():
        line = next(one for one in text.splitlines() if one.startswith(f"{old} = "))
        text = text.replace(line, f"{old} = {new}", 1)
    copy = path.with_name(name)
    copy.write_text(text)
    return copy


def candidate(directory: Path, **fields: Any) -> Path:
    """A policy as TOML."""
    form = policy(**fields).model_dump(mode="json")
    budget = form.pop("budget")
    form = {name: value for name, value in form.items() if name != "rules"}
    form |= {"epsilon_per_job": 1.0}
    lines = [f"{name} = {json.dumps(value)}" for name, value in form.items()]
    text = "\n".join((*lines, "[budget]", f"epsilon = {budget['epsilon']}", "delta = 0.00001"))
    for name in ("not_before", "not_after"):
        text = text.replace(f'"{form[name]}"', form[name])
    path = directory / "candidate.toml"
    path.write_text(text)
    return path


# template


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_written_for_a_dataset_and_its_examples_pass(
    tmp_path: Path, name: str
) -> None:
    said = passed("template", name, "--dataset", "south/registry", "--out", tmp_path / "new")
    path = tmp_path / "new" / "policy.toml"
    written = policies.parse(path.read_bytes(), "policy.toml")
    assert written.dataset == "south/registry"
    assert written.id == f"south/{name}"
    assert "hospital-north" not in path.read_text()
    assert (written.not_after - written.not_before).days == 365
    assert str(path) in said
    assert "examples pass" in passed("test", path)


def test_the_templates_are_listed_with_what_they_are_for() -> None:
    said = passed("template", "--list")
    assert [line for line in said.splitlines() if not line.startswith(" ")] == list(TEMPLATES)
    assert "differential privacy" in said


def test_a_template_never_overwrites_a_policy(training: Path) -> None:
    before = training.read_bytes()
    training.with_name("policy.examples.toml").unlink()
    error = refused("template", "cohort", "--dataset", "a/b", "--out", training.parent)
    assert error.code == "POLICY_EXISTS"
    assert training.read_bytes() == before
    assert not training.with_name("policy.examples.toml").exists()


@pytest.mark.parametrize("name", ["north", "north/", "/x", 'north/a"b', "north/a\nb", "a/b/c", ""])
def test_a_template_is_only_for_a_dataset_that_has_a_name(tmp_path: Path, name: str) -> None:
    error = refused("template", "cohort", "--dataset", name, "--out", tmp_path / "new")
    assert error.code == "DATASET_NAME"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("template",), ("template", "cohort"), ("template", "cohort", "--list"),
        ("template", "nothing", "--dataset", "a/b", "--out", "x"),
        ("explain",), ("explain", "policy.toml"), ("explain", "--example", "x"),
        ("explain", "policy.toml", "--example", "x", "--log", "y"),
        ("explain", "policy.toml", "--example", "x", "--entry", "1"),
        ("dry-run", "policy.toml"), ("diff", "policy.toml"),
    ],
)  # fmt: skip
def test_what_is_asked_must_be_whole(arguments: tuple[str, ...]) -> None:
    outcome = run(*arguments)
    assert outcome.exit_code == 2
    assert "Usage:" in outcome.output


def test_templates_say_nothing_wrong_but_of_tasks_that_no_node_has_yet() -> None:
    unknown = {"TASK_UNKNOWN", "OUTPUT_UNKNOWN", "NOTHING_TO_COMPUTE"}
    for name in TEMPLATES:
        text, _ = files.template(name)
        found = policies.parse(text.encode(), name)
        announced = dict.fromkeys((*TASKS, *found.tasks), frozenset(found.outputs))
        assert lint(found, NOW, Catalogue(outputs_of=announced)) == ()
        remarks = lint(found, NOW, CATALOGUE)
        assert {remark.severity for remark in remarks} <= {Severity.WARNING}
        today = {remark.code for remark in remarks}
        assert today <= unknown
        assert bool(today) is not (name == "training")


# check


def test_a_policy_with_nothing_wrong_passes_its_check(training: Path) -> None:
    assert "✓ nothing wrong" in passed("check", training)


def test_warnings_alone_are_no_failure(training: Path) -> None:
    said = passed("check", changed(training, "alone.toml", minimum_participants="1"))
    assert "! minimum_participants: " in said
    assert "→ " in said
    assert "0 errors, 1 warning" in said


def test_an_error_names_its_place_its_remedy_and_its_code(training: Path) -> None:
    outcome = run("check", changed(training, "dates.toml", not_after="2000-01-01T00:00:00Z"))
    assert outcome.exit_code == 1
    assert "✗ not_after: " in outcome.output
    assert "[DATES_CONTRADICT]" in outcome.output
    assert "→ Correct one of the two" in outcome.output


def test_plain_odrl_is_checked_and_said_to_be_no_policy_of_a_node(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonld"
    path.write_text(json.dumps(PLAIN))
    said = passed("check", path)
    assert "urn:example:plain" in said
    assert "no node can decide by it" in said
    assert "commensal:budgetEpsilon" in said


def test_plain_odrl_that_contradicts_itself_fails_its_check(tmp_path: Path) -> None:
    bounds = [("gt", 5), ("lt", 3)]
    constraints = [
        {"leftOperand": "count", "operator": operator, "rightOperand": bound}
        for operator, bound in bounds
    ]
    form = PLAIN | {"permission": [PLAIN["permission"][0] | {"constraint": constraints}]}  # type: ignore[index, operator] # the form above
    path = tmp_path / "plain.jsonld"
    path.write_text(json.dumps(form))
    outcome = run("check", path)
    assert outcome.exit_code == 1
    assert "✗ $.permission[0]" in outcome.output


# test


def test_examples_that_fail_say_what_was_expected_and_what_was_found(training: Path) -> None:
    outcome = run("test", changed(training, "policy.toml", minimum_participants="4"))
    assert outcome.exit_code == 1
    said = outcome.output
    assert "✗ a job that uses all that it may\n    expected allow\n" in said
    assert "    found deny because of policy.participants\n" in said
    assert "✗ 3 hospitals take part; the policy asks for at least 4 hospitals\n" in said
    assert "cannot be activated: " in said


def test_examples_may_stand_elsewhere(training: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mine.toml"
    training.with_name("policy.examples.toml").rename(elsewhere)
    assert refused("test", training).code == "EXAMPLES_MISSING"
    assert "examples pass" in passed("test", training, "--examples", elsewhere)


def test_examples_without_a_refusal_pass_but_cannot_activate(training: Path) -> None:
    path = training.with_name("policy.examples.toml")
    usual, first, *_ = path.read_text().split("[[example]]")
    path.write_text(f"{usual}[[example]]{first}")
    said = passed("test", training)
    assert "✓ the example passes" in said
    assert '! cannot be activated: no example expects "deny"' in said
    assert "! no example is refused by: purposes, tasks, columns, outputs, minimum_cohort, " in said


def test_bounds_that_no_example_is_refused_by_are_a_warning_only(training: Path) -> None:
    assert "no example is refused by" not in passed("test", training)
    path = training.with_name("policy.examples.toml")
    kept = [one for one in path.read_text().split("[[example]]") if "people = 99" not in one]
    path.write_text("[[example]]".join(kept))
    said = passed("test", training)
    assert "! no example is refused by: minimum_cohort\n" in said
    assert "cannot be activated" not in said


def test_examples_of_a_policy_in_odrl_are_toml_beside_it() -> None:
    assert files.beside(Path("a/policy.jsonld")) == Path("a/policy.examples.toml")
    assert files.beside(Path("policy.toml")) == Path("policy.examples.toml")


# explain


def test_an_example_is_explained_with_all_reasons(training: Path) -> None:
    said = passed("explain", training, "--example", "advertising, which the law prohibits")
    assert "✗ refused: 3 of " in said
    against, _, holds = said.partition("What was checked, and holds")
    assert "ehds.art54.c" in against
    assert "→ None: this use is prohibited by law" in against
    assert "(policy.budget)" in holds


def test_an_example_that_is_not_there_is_an_error_that_names_others(training: Path) -> None:
    assert refused("explain", training, "--example", "x").code == "EXAMPLE_UNKNOWN"


def test_a_logged_decision_is_explained_from_the_log_alone(node: Path, tmp_path: Path) -> None:
    alone = shutil.copytree(node / "log", tmp_path / "log")
    said = passed("explain", "--log", alone, "--entry", 3)
    assert SPECS[1].digest in said
    assert "a university, permit permit-1" in said
    assert "✗ the policy does not allow these columns: weight; it allows age, died" in said


def test_the_last_decision_is_explained_if_none_is_named(node: Path) -> None:
    assert SPECS[3].digest in passed("explain", "--log", node)


def test_a_job_is_found_by_the_start_of_its_digest(node: Path) -> None:
    for named in (SPECS[0].digest, SPECS[0].digest.removeprefix("sha256:")[:12]):
        said = passed("explain", "--log", node, "--job", named)
        assert SPECS[0].digest in said
        assert "✓ allowed: all " in said
        assert "What it obliges to" in said


@pytest.mark.parametrize("asked", [("--entry", 0), ("--entry", 99), ("--job", "nothing")])
def test_a_decision_that_is_not_in_the_log_is_an_error(
    node: Path, asked: tuple[str, object]
) -> None:
    assert refused("explain", "--log", node, *asked).code == "DECISION_UNKNOWN"


def test_a_log_that_is_missing_or_damaged_is_an_error(node: Path, tmp_path: Path) -> None:
    assert refused("explain", "--log", tmp_path).code == "LOG_MISSING"
    damaged = shutil.copytree(node / "log", tmp_path / "log")
    content = bytearray((damaged / "entries").read_bytes())
    content[content.rindex(b'"kind":"decided"') + 20] ^= 1
    (damaged / "entries").write_bytes(bytes(content))
    assert refused("explain", "--log", damaged).code == "LOG_TAMPERED"


# diff


def test_each_change_is_shown_with_a_request_that_turns_on_it(training: Path) -> None:
    new = changed(training, "new.toml", minimum_participants="2", columns='["age", "died"]')
    said = passed("diff", training, new)
    assert "+ minimum_participants: wider\n  3 → 2\n" in said
    assert "✓ refused before, allowed now: scientific-research: " in said
    assert "the old policy: 2 hospitals take part; the policy asks for at least 3" in said
    assert "- columns: tighter\n" in said
    assert "✗ allowed before, refused now: " in said
    assert "± the new policy is wider and tighter" in said


def test_a_policy_compared_with_itself_has_no_differences(training: Path) -> None:
    said = passed("diff", training, training)
    assert said.startswith("= the new policy has the same effect\n")


def test_plain_odrl_is_compared_by_its_rules(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonld", tmp_path / "new.jsonld"
    old.write_text(json.dumps(PLAIN))
    new.write_text(json.dumps(PLAIN).replace(": 5", ": 7"))
    said = passed("diff", old, new)
    assert "+ the new policy is wider" in said
    assert "refused before, allowed now: use of urn:example:asset by " in said
    assert "count " in said


def test_a_nodes_policy_is_compared_with_plain_odrl_as_odrl(training: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonld"
    plain.write_text(json.dumps(PLAIN))
    assert "the new policy is wider and tighter" in passed("diff", training, plain)


@pytest.mark.parametrize("effect", list(Effect))
def test_every_effect_has_its_own_symbol(effect: Effect) -> None:
    symbols = [mark.symbol for mark, _ in render._EFFECTS.values()]
    assert effect in render._EFFECTS
    assert len(set(symbols)) == len(Effect)


# dry-run


def test_a_dry_run_says_what_would_be_decided_otherwise(node: Path, tmp_path: Path) -> None:
    path = candidate(tmp_path, columns=("age", "weight", "died"), minimum_participants=3)
    said = passed("dry-run", path, "--log", node)
    assert "4 requests about north/patients in the log" in said
    assert "✓ 2 would be decided as before" in said
    assert "✗ 1 would no longer be allowed" in said
    assert "! 1 would be allowed now" in said
    assert "• policy.columns: 1 request" in said
    assert "• policy.participants: 1 request" in said
    assert "the old policy: the policy does not allow these columns: weight" in said
    assert "the new policy: 2 hospitals take part; the policy asks for at least 3" in said


def test_a_dry_run_of_the_policy_in_force_changes_nothing(node: Path, tmp_path: Path) -> None:
    said = passed("dry-run", candidate(tmp_path), "--log", node)
    assert "✓ 4 would be decided as before" in said
    assert "For example" not in said


def test_a_dry_run_looks_at_the_last_requests_only_if_asked_to(node: Path, tmp_path: Path) -> None:
    path = candidate(tmp_path, columns=("age", "weight", "died"))
    assert "1 request about" in passed("dry-run", path, "--log", node, "--last", 1)
    said = passed("dry-run", path, "--log", node, "--last", 2)
    assert "2 requests about" in said
    assert "allowed now" not in said
    assert "allowed now" in passed("dry-run", path, "--log", node, "--last", 3)


def test_requests_about_other_datasets_do_not_count(node: Path, tmp_path: Path) -> None:
    path = candidate(tmp_path, dataset="north/others")
    assert "0 requests about north/others" in passed("dry-run", path, "--log", node)


# show


def test_a_policy_is_shown_as_sentences(training: Path) -> None:
    said = passed("show", training)
    assert "north/training version 1 decides about north/patients" in said
    assert "• At least 3 hospitals take part, with at least 100 people in each group" in said
    assert "at a delta of 0.00001" in said


def test_a_policy_in_odrl_can_be_read_back_and_decides_the_same(
    training: Path, tmp_path: Path
) -> None:
    path = tmp_path / "policy.jsonld"
    path.write_text(passed("show", training, "--odrl"))
    read(path.read_bytes())
    assert "= the new policy has the same effect" in passed("diff", training, path)
    said = passed("show", path)
    assert "• Its rules in ODRL must permit a job as well" in said
    assert "Permission: use of " in said


def test_a_policy_in_odrl_passes_the_same_examples_for_its_own_reasons(training: Path) -> None:
    path = training.with_suffix(".jsonld")
    path.write_text(passed("show", training, "--odrl"))
    outcome = run("test", path)
    assert outcome.exit_code == 1
    assert "found deny because of policy.participants, odrl.minParticipants" in outcome.output
    examples = training.with_name("policy.examples.toml")
    lines = examples.read_text().splitlines()
    examples.write_text("\n".join(line for line in lines if not line.startswith("because")))
    assert "examples pass" in passed("test", path)


def test_plain_odrl_is_shown_as_sentences(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonld"
    path.write_text(json.dumps(PLAIN))
    assert "• Permission: use of urn:example:asset, if count is at most 5\n" in passed("show", path)
    assert json.loads(passed("show", path, "--odrl"))["@id"] == "urn:example:plain"


def test_a_verb_for_nodes_says_why_plain_odrl_is_not_enough(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonld"
    path.write_text(json.dumps(PLAIN))
    assert refused("test", path).code == "POLICY_UNBOUNDED"


# on the page


def printed(width: int, *lines: Line) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None, highlight=False)
    with console.capture() as capture:
        render.decision(render.Page(console), lines)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_fit_the_terminal_and_hang_below_their_symbol(width: int) -> None:
    text = "the policy does not allow these columns: " + ", ".join(f"column_{n}" for n in range(20))
    lines = printed(width, Line(Role.AGAINST, text, "policy.columns", "b"))
    assert max(map(len, lines)) <= width
    first = next(number for number, line in enumerate(lines) if "✗" in line)
    assert lines[first].startswith("  ✗ the policy")
    assert lines[first + 1].startswith("    ")
    assert " ".join(line.strip(" ✗") for line in lines[first:-1]) == text


def test_what_is_piped_is_not_folded(training: Path) -> None:
    said = passed("explain", training, "--example", "advertising, which the law prohibits")
    assert max(map(len, said.splitlines())) > 100
    assert "\x1b" not in said


def test_nothing_that_a_stranger_wrote_steers_the_terminal() -> None:
    lines = printed(80, Line(Role.AGAINST, "a\x1b[2Jb\rc\u2028d [bold]e[/]", "odrl.x", "b"))
    assert any("a\ufffd[2Jb\ufffdc\ufffdd [bold]e[/]" in line for line in lines)


def test_all_verbs_are_there_and_explain_themselves() -> None:
    said = passed("--help")
    for verb in (
        "activate", "check", "diff", "dry-run", "duties", "explain", "officer", "show",
        "template", "test",
    ):  # fmt: skip
        assert f"  {verb} " in said
        assert "Usage: " in passed(verb, "--help")


def test_errors_of_files_are_one_line(tmp_path: Path) -> None:
    for verb in ("check", "test", "show"):
        assert refused(verb, tmp_path / "none.toml").code == "POLICY_MISSING"
        assert refused(verb, tmp_path).code == "POLICY_MISSING"
    with pytest.raises(LocalError):
        files.read_any(tmp_path / "none.toml")


def test_what_cannot_be_lifted_for_another_reason_than_its_bounds_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "broken.jsonld"
    path.write_text(json.dumps(PLAIN | {"colour": "red"}))
    with pytest.raises(PolicyError) as error:
        files.read_any(path)
    assert str(path) in error.value.message
    assert "$.colour" in error.value.message
