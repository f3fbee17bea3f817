"""What `commensal policy` does once its arguments are read."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from connector.authoring import files, logs, render
from connector.authoring.files import Plain
from connector.authoring.render import ITEM, WARNING, Page
from connector.clock import utc_now
from connector.errors import LocalError
from connector.tasks import TASKS
from policies import engine, examples
from policies.describe import describe
from policies.example import pose
from policies.explain import explain
from policies.lint import lint
from policies.odrl.describe import describe_odrl
from policies.odrl.gate import compliance_report
from policies.odrl.lint import lint as lint_odrl
from policies.odrl.report import json_ld
from policies.odrl.write import write
from policies.policy import Policy
from policies.remark import Catalogue, Severity
from policies.request import Facts, UsageRequest

# So far whatever is computed serves one end.
CATALOGUE = Catalogue(outputs_of=dict.fromkeys(TASKS, frozenset({"model"})))


def check(path: Path) -> bool:
    """Say what is wrong with a policy; True if there is no error."""
    policy, now = files.read_any(path), utc_now()
    page = Page()
    if isinstance(policy, Plain):
        page.say(f"{policy.odrl.uid}, a policy in ODRL", style="dim")
        remarks = lint_odrl(policy.odrl, now, CATALOGUE)
    else:
        page.say(f"{policy.id} version {policy.version}, {policy.digest}", style="dim")
        remarks = lint(policy, now, CATALOGUE)
    render.remarks(page, remarks)
    if isinstance(policy, Plain):
        page.say(f"no node can decide by it: {policy.why}", WARNING)
    return not any(remark.severity is Severity.ERROR for remark in remarks)


def test(path: Path, beside: Path | None) -> bool:
    """Try the examples; True if all pass."""
    policy = files.read_policy(path)
    report = examples.run(policy, files.read_examples(path, beside))
    page = Page()
    page.say(f"{policy.id} version {policy.version}, {policy.digest}", style="dim")
    render.report(page, report)
    return report.passed


def explain_example(path: Path, beside: Path | None, name: str, *, report: bool) -> None:
    """Explain what the policy says of one example. Raises `PolicyError` (EXAMPLE_UNKNOWN)."""
    policy, found = files.read_policy(path), files.read_examples(path, beside)
    example = found.named(name)
    request, facts = pose(policy, example, found.delta_of(policy))
    if report:
        _print_report(policy, request, facts)
        return
    outcome = engine.compile(policy)(request, facts)
    page = Page()
    page.say(f'example "{example.name}" of {policy.id} version {policy.version}', style="dim")
    render.decision(page, explain(outcome))


def explain_logged(directory: Path, index: int | None, job: str | None, *, report: bool) -> None:
    """Explain a decision with nothing but the log. Raises `LocalError` (DECISION_UNKNOWN)."""
    with logs.reading(directory) as log:
        found = deque(logs.decisions(log, index, job), maxlen=1)
    if not found:
        raise LocalError(
            "DECISION_UNKNOWN",
            f"the log in {directory} has no such decision",
            f"`commensal audit show {directory}` lists what there is",
        )
    at, decided = found[0]
    if report:
        with logs.reading(directory) as log:
            _print_report(*logs.rested_on(log, at))
        return
    page = Page()
    page.say(f"entry {at} of {directory}, job {decided.request.job_digest}", style="dim")
    permit = f"permit {decided.permit_id}" if decided.permit_id else "no permit"
    page.say(f"{decided.request.data_user}, {permit}, {decided.request.dataset}", style="dim")
    render.decision(page, explain(decided.decision))
    page.say(f"as it is logged; `commensal audit verify {directory}` checks the log", style="dim")


def _print_report(policy: Policy, request: UsageRequest, facts: Facts) -> None:
    click.echo(json.dumps(json_ld(compliance_report(policy, request, facts)), indent=2))


def list_templates(names: Iterable[str]) -> None:
    """Say what each template is for: its first sentence."""
    page = Page()
    for name in names:
        text, _ = files.template(name)
        comment = " ".join(line.removeprefix("# ") for line in _head(text))
        page.say(name, style="bold")
        page.say(comment, indent=2)


def _head(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if not line.startswith("#"):
            return
        yield line


def write_template(name: str, dataset: str, out: Path) -> None:
    """Write a template's two files, in force a year from today."""
    policy, beside = files.write_template(name, dataset, out, utc_now().date())
    click.echo(f"wrote {policy}")
    click.echo(f"wrote {beside}")
    click.echo(f"Next: put your columns into both, then `commensal policy test {policy}`.")


def show(path: Path, *, as_odrl: bool) -> None:
    """Print a policy as sentences, or as ODRL in JSON-LD."""
    policy = files.read_any(path)
    if as_odrl:
        click.echo(write(files.as_odrl(policy)))
        return
    page = Page()
    sentences = describe_odrl(policy.odrl) if isinstance(policy, Plain) else describe(policy)
    for said in sentences:
        page.say(said, ITEM)
    if isinstance(policy, Plain):
        page.say(f"no node can decide by it: {policy.why}", WARNING)
