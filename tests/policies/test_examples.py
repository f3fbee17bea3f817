"""Examples beside a policy: parsed strictly, tried on the policy, and what they are worth."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from builders import policy
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import examples, privacy
from policies.decision import Verdict
from policies.errors import PolicyError
from policies.example import pose

USUAL = """
[usual]
purpose = "scientific-research"
tasks = ["training.logistic"]
columns = ["age", "died"]
output = "model"
"""


def example(name: str, expect: str, *lines: str) -> str:
    return "\n".join(("[[example]]", f'name = "{name}"', f'expect = "{expect}"', *lines, ""))


def load(*blocks: str, usual: str = USUAL) -> examples.Examples:
    return examples.load("\n".join((usual, *blocks)).encode(), "p.examples.toml")


ALLOWED = example("all is well", "allow")
DENIED = example("too few", "deny", 'because = ["policy.participants"]', "hospitals = 2")
NUMBERS = ("epsilon = 1.0", "people = 100", "hospitals = 3", "hours = 168")
STATED = example("all that it may", "allow", *NUMBERS)
HALF = example("half of it", "allow", *NUMBERS[:2])
LACKING = example("but for the hours", "allow", *NUMBERS[:3])
EDUCATION = example("teaching", "deny", 'purpose = "education"')
ADVERTISING = example("advertising", "deny", 'purpose = "advertising"')
UNLAWFUL = example("unlawful, and of one alone", "deny", 'purpose = "advertising"', "hospitals = 1")
OPEN = example("nobody has counted", "undetermined", 'people = "unknown"')
UNSTATED = "epsilon, people, hospitals and hours"
STATES_NO = f'no example that expects "allow" states {UNSTATED} itself:'
SHOWS_NO_BOUND = (
    'no example that expects "deny" is refused by a bound of the policy: '
    "a purpose, or what the law refuses anyway, shows none"
)


def refusal(*blocks: str, usual: str = USUAL) -> PolicyError:
    with pytest.raises(PolicyError) as refused:
        load(*blocks, usual=usual)
    assert "p.examples.toml" in refused.value.message
    assert refused.value.message.isprintable()
    assert refused.value.remedy
    return refused.value


def test_what_an_example_does_not_state_just_fits_the_policy() -> None:
    report = examples.run(policy(approval="person"), load(ALLOWED))
    assert report.passed
    assert report.results[0].outcome.verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ('purpose = "education"', ("policy.purpose",)),
        ('purpose = "https://w3id.org/dpv/legal/eu/ehds#ImproveHealthcare"', ("policy.purpose",)),
        ('tasks = ["training.logistic", "training.mlp"]', ("policy.tasks",)),
        ('columns = ["age", "postcode"]', ("policy.columns",)),
        ('output = "table"', ("policy.outputs",)),
        ("hospitals = 2", ("policy.participants",)),
        ("epsilon = 1.001", ("policy.epsilon-per-job",)),
        ("hours = 169", ("policy.hours-per-job",)),
        ("people = 99", ("policy.cohort",)),
        ("on = 2026-11-30", ("policy.period",)),
        ("on = 2026-11-23T12:00:00Z", ("policy.period",)),
        ("already_spent = 2.0", ("policy.budget",)),
        ("approved = false", ("policy.approval",)),
        ('purpose = "advertising"', ("ehds.art53.purpose", "ehds.art54.c", "policy.purpose")),
    ],
)
def test_one_stated_thing_is_all_that_decides(line: str, rules: tuple[str, ...]) -> None:
    usual = USUAL.replace('purpose = "scientific-research"', "") if "purpose" in line else USUAL
    for field in ("tasks", "columns", "output"):
        if line.startswith(field):
            usual = "\n".join(row for row in usual.splitlines() if not row.startswith(field))
    (result,) = examples.run(
        policy(approval="person"), load(example("one thing", "deny", line), usual=usual)
    ).results
    assert set(result.rules) == set(rules)
    assert result.outcome.verdict is Verdict.DENY
    assert result.passed


@pytest.mark.parametrize(
    "line",
    [
        "hospitals = 3", "epsilon = 1.0", "hours = 168", "people = 100", "on = 2026-11-22",
        "on = 2026-11-23T13:59:59+02:00", "approved = true", 'data_user = "a ministry"',
    ],
)  # fmt: skip
def test_what_just_fits_is_allowed(line: str) -> None:
    assert examples.run(policy(approval="person"), load(example("it", "allow", line))).passed


@pytest.mark.parametrize(
    ("line", "rule"),
    [('people = "unknown"', "policy.cohort"), ('approved = "unanswered"', "policy.approval")],
)
def test_a_fact_that_is_missing_leaves_it_undecided(line: str, rule: str) -> None:
    block = example("not known", "undetermined", line, f'because = ["{rule}"]')
    assert examples.run(policy(approval="person"), load(block)).passed


def test_reasons_must_be_exactly_those_that_are_stated() -> None:
    def passes(because: str) -> bool:
        lines = (f"because = {because}", "hospitals = 2", 'people = "unknown"')
        return examples.run(policy(), load(example("two reasons", "deny", *lines))).passed

    assert passes('["policy.cohort", "policy.participants"]')
    assert passes("[]")
    assert not passes('["policy.participants"]')
    assert not passes('["policy.cohort", "policy.participants", "policy.period"]')


@settings(max_examples=25, deadline=None)
@given(st.decimals("0.02", 100, places=2), st.sampled_from(["0.001", "0.00001", "0.0000001"]))
def test_a_stated_epsilon_is_a_cost_just_below_it(target: Decimal, delta: str) -> None:
    chosen = policy(budget={"epsilon": "2.0", "delta": delta})
    (asked,) = load(example("it", "allow", f"epsilon = {target}")).example
    planned = pose(chosen, asked, Decimal(delta))[1].planned
    found = privacy.epsilon(planned, Decimal(delta))
    assert found <= target
    assert found >= target * Decimal("0.999") - Decimal("0.00001")


def test_an_epsilon_is_meant_at_the_delta_of_the_examples() -> None:
    looser = policy(budget={"epsilon": "2.0", "delta": "0.0001"})
    blocks = (example("a little more", "deny", "epsilon = 1.01"),)
    assert examples.run(looser, load(*blocks)).passed
    assert not examples.run(looser, load(*blocks, usual="delta = 0.00001" + USUAL)).passed


def test_an_example_may_do_without_the_usual() -> None:
    block = ALLOWED + USUAL.replace("[usual]", "")
    assert examples.run(policy(), load(block, usual="")).passed


def test_an_example_states_what_differs_from_the_usual() -> None:
    found = load(example("it", "allow", 'output = "table"')).example[0]
    assert (found.output, found.tasks) == ("table", ("training.logistic",))


@pytest.mark.parametrize(
    ("blocks", "objection"),
    [
        ((STATED, DENIED), ""),
        ((ALLOWED, STATED, EDUCATION, DENIED), ""),
        ((ALLOWED, DENIED), f'{STATES_NO} "all is well" lacks {UNSTATED}'),
        ((ALLOWED, HALF, DENIED), f'{STATES_NO} "half of it" lacks hospitals and hours'),
        ((ALLOWED, LACKING, DENIED), f'{STATES_NO} "but for the hours" lacks hours'),
        ((STATED, EDUCATION), SHOWS_NO_BOUND),
        ((STATED, ADVERTISING), SHOWS_NO_BOUND),
        ((STATED, UNLAWFUL), SHOWS_NO_BOUND),
        ((STATED, OPEN, EDUCATION), SHOWS_NO_BOUND),
        ((ALLOWED,), 'no example expects "deny"'),
        ((DENIED,), 'no example expects "allow"'),
        ((ALLOWED, DENIED, example("wrong", "deny")), '1 of 3 examples fail: "wrong"'),
    ],
)
def test_a_policy_needs_examples_that_say_how_far_it_goes_and_where_it_ends(
    blocks: tuple[str, ...], objection: str
) -> None:
    report = examples.run(policy(), load(*blocks))
    assert report.objection == objection
    assert report.activatable is (not objection)


def test_what_is_usual_counts_as_stated() -> None:
    usual = USUAL + "\n".join(NUMBERS)
    assert examples.run(policy(), load(ALLOWED, DENIED, usual=usual)).objection == ""


def test_examples_that_any_policy_passes_activate_none() -> None:
    """What is unstated just fits: only stated numbers and a bound that refuses can fail."""
    boundless = policy(
        epsilon_per_job="100",
        minimum_cohort=1,
        minimum_participants=1,
        budget={"epsilon": "100", "delta": "0.00001"},
    )
    for blocks in ((ALLOWED, ADVERTISING), (STATED, ADVERTISING), (ALLOWED, EDUCATION)):
        report = examples.run(boundless, load(*blocks))
        assert report.passed
        assert not report.activatable
    assert not examples.run(boundless, load(STATED, DENIED)).passed


@pytest.mark.parametrize("approval", ["automatic", "person"])
def test_the_bounds_that_no_example_is_refused_by_are_named(approval: str) -> None:
    refusals = {
        "purposes": 'purpose = "education"',
        "tasks": 'tasks = ["statistics.count"]',
        "columns": 'columns = ["postcode"]',
        "outputs": 'output = "table"',
        "minimum_cohort": "people = 99",
        "minimum_participants": "hospitals = 2",
        "epsilon_per_job": "epsilon = 1.1",
        "hours_per_job": "hours = 169",
        "budget": "already_spent = 2.0",
        "approval": "approved = false",
        "not_before": "on = 2000-01-01",
        "not_after": "on = 2900-01-01",
    }
    chosen = policy(approval=approval)
    if approval == "automatic":
        del refusals["approval"]
    found = examples.run(chosen, load(STATED, ADVERTISING, UNLAWFUL, OPEN))
    assert found.unrefused == tuple(refusals)
    for bound in refusals:
        others = (example(name, "deny", line) for name, line in refusals.items() if name != bound)
        found = examples.run(chosen, load(STATED, *others))
        assert found.unrefused == (bound,)
        assert found.objection == ""


def test_the_digest_is_that_of_what_is_said_not_of_how() -> None:
    one = load(ALLOWED, DENIED)
    spaced = load(ALLOWED.replace(" = ", "   =  "), "# a comment", DENIED)
    assert one.digest == spaced.digest == examples.run(policy(), one).digest
    assert one.digest.startswith("sha256:")
    assert len(one.digest) == 71
    assert one.digest != load(DENIED, ALLOWED).digest
    assert one.digest != load(ALLOWED, DENIED.replace("2", "1")).digest


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("colour = 3", "example 2, colour"),
        ("hospitals = 0", "example 2, hospitals"),
        ("hospitals = 1001", "example 2, hospitals"),
        ('hospitals = "3"', "example 2, hospitals"),
        ("hospitals = 3.0", "example 2, hospitals"),
        ("hospitals = true", "example 2, hospitals"),
        ('epsilon = "1.0"', "example 2, epsilon"),
        ("epsilon = true", "example 2, epsilon"),
        ("epsilon = 0", "example 2, epsilon"),
        ("epsilon = 101", "example 2, epsilon"),
        ("epsilon = nan", "example 2, epsilon"),
        ("epsilon = inf", "example 2, epsilon"),
        ("epsilon = 1e-29", "example 2, epsilon"),
        ("already_spent = -1", "example 2, already_spent"),
        ("hours = 0", "example 2, hours"),
        ("people = -1", "example 2, people"),
        ('people = "many"', "example 2, people"),
        ('on = "2027-01-01"', "example 2, on"),
        ("on = 2027-01-01T12:00:00", "example 2, on"),
        ("on = 0001-01-01T00:00:00+23:59", "example 2, on"),
        ("on = 9999-12-31", "example 2, on"),
        ('approved = "yes"', "example 2, approved"),
        ("approved = 1", "example 2, approved"),
        ('because = "policy.cohort"', "example 2, because"),
        ('because = ["not a code"]', "example 2, because"),
        ('purpose = "curiosity"', "example 2, purpose"),
        ("tasks = []", "example 2, tasks"),
        ('output = "a\\u001b[2Jb"', "example 2, output"),
        ('"a\\nb" = 1', "example 2, a key that cannot be shown"),
    ],
)
def test_what_is_not_understood_is_named_with_its_place(line: str, place: str) -> None:
    error = refusal(ALLOWED, example("it", "deny", line))
    assert error.code == "EXAMPLES_INVALID"
    assert f"{place}: " in error.message


@pytest.mark.parametrize(
    ("usual", "place"),
    [
        ("usual = 3", "usual"),
        ('[usual]\nname = "x"', "usual, name"),
        ('[usual]\ncolour = "x"', "usual, colour"),
        ('[usual]\n"a\\u001bb" = "x"', "usual, a key that cannot be shown"),
        ("delta = 0", "delta"),
        ('delta = "0.001"', "delta"),
        ("delta = 1e-29", "delta"),
        ("colour = 1\n" + USUAL, "colour"),
        (USUAL.replace("columns", "colums"), "usual, colums"),
        ("[usual]\n" + USUAL.partition("columns")[0].partition("[usual]")[2], "example 1, columns"),
    ],
)
def test_what_is_wrong_beside_the_examples_is_named_too(usual: str, place: str) -> None:
    assert f"{place}: " in refusal(ALLOWED, usual=usual).message


def test_no_examples_are_none() -> None:
    assert "example: " in refusal(usual="example = []").message
    assert "example: " in refusal(usual="").message
    assert "example: " in refusal(usual="example = 3").message
    assert "example 1: " in refusal(usual="example = [3]").message


def test_two_examples_of_one_name_are_refused() -> None:
    assert "two are named 'all is well'" in refusal(ALLOWED, DENIED, ALLOWED).message


def test_an_example_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(PolicyError) as refused:
        load(ALLOWED, DENIED).named("nothing")
    assert refused.value.code == "EXAMPLE_UNKNOWN"
    assert "all is well; too few" in refused.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        b"x = [" * 40_000,
        b"\xff",
        b"a = 1\na = 2",
        b"[[example]]\nname = 'x'\nname = 'y'",
        b"a = 1e9999999999999999999999",
        b"a = 1e-999999999",
        b"a = " + b"9" * 5000,
        b"#" * (examples.MAX_BYTES + 1),
        b"{",
    ],
    ids=["deep", "bytes", "twice", "twice-within", "exponent", "small", "digits", "large", "json"],
)
def test_what_is_not_toml_is_refused_at_once(content: bytes) -> None:
    with pytest.raises(PolicyError) as refused:
        examples.load(content, "here")
    assert refused.value.code == "EXAMPLES_SYNTAX"
    assert "here" in refused.value.message
    assert "\n" not in refused.value.diagnostics()


def test_more_examples_than_anybody_reads_are_refused() -> None:
    many = [example(f"number {number}", "allow") for number in range(examples.MAX_EXAMPLES + 1)]
    assert len(load(*many[1:]).example) == examples.MAX_EXAMPLES
    assert refusal(*many).code == "EXAMPLES_INVALID"


def test_a_day_is_its_noon() -> None:
    (asked,) = load(example("it", "allow", "on = 2027-02-28")).example
    assert pose(policy(), asked, Decimal("0.00001"))[1].now == datetime(2027, 2, 28, 12, tzinfo=UTC)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_no_content_reaches_a_traceback(content: bytes) -> None:
    with pytest.raises(PolicyError) as refused:
        examples.load(content, "here")
    assert "\n" not in refused.value.diagnostics()
