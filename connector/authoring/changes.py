"""What would change: between two policies, and for requests that were decided already."""

from functools import partial
from pathlib import Path

from connector.audit.standing import read_standing
from connector.authoring import files, logs, render
from connector.authoring.render import Page
from policies import compare, dry_run, engine
from policies.change import Counterexample
from policies.decision import Verdict
from policies.describe import describe_request
from policies.dry_run import DryRun
from policies.explain import sentence
from policies.odrl import compare as compare_odrl
from policies.odrl.describe import describe_question
from policies.odrl.world import Request, World
from policies.policy import Policy
from policies.request import Facts, UsageRequest


def diff(old: Path, new: Path) -> None:
    """Compare two policies: a node's by what it decides, others by the rules of ODRL."""
    page, before, after = Page(), files.read_any(old), files.read_any(new)
    if isinstance(before, Policy) and isinstance(after, Policy):
        found = compare.contrasted(before, after)
        render.comparison(page, found, partial(_job, before, after))
    else:
        rules = compare_odrl.contrasted(files.as_odrl(before), files.as_odrl(after), known={})
        render.comparison(page, rules, _question)


def _job(old: Policy, new: Policy, found: Counterexample[UsageRequest, Facts]) -> tuple[str, str]:
    return _refused(old if found.new is Verdict.ALLOW else new, found.request, found.facts)


def _question(found: Counterexample[Request, World]) -> tuple[str, str]:
    return describe_question(found.request, found.facts), ""


def _refused(policy: Policy | None, request: UsageRequest, facts: Facts) -> tuple[str, str]:
    """A request in words, and why that policy does not allow it, where it is known."""
    if policy is None:
        return request.digest, ""
    outcome = engine.compile(policy)(request, facts)
    against = [sentence(one) for one in outcome.constraints if one.satisfied is not True]
    return describe_request(request, facts, policy.budget.delta), "; ".join(against)


def rehearse(path: Path, directory: Path, last: int | None) -> None:
    """Decide the requests of a log about the policy's dataset with this policy."""
    candidate = files.read_policy(path)
    with logs.located(directory) as place:
        current = read_standing(place).policy(candidate.dataset)
    with logs.reading(directory) as log:
        past = logs.requests(log, candidate.dataset, last)
        found = dry_run.dry_run(candidate, past, current=current)
    words = _words(found, (candidate, current), directory, last)
    render.rehearsal(Page(), candidate.dataset, found, words)


def _words(
    found: DryRun, policies: tuple[Policy, Policy | None], directory: Path, last: int | None
) -> dict[str, tuple[str, str]]:
    """By a request's digest, what it was and why it would be refused, or was.

    A second pass: only the few that are shown are kept in memory.
    """
    wanted = {(one.request_digest, one.old): one for one in found.examples}
    words: dict[str, tuple[str, str]] = {}
    if not wanted:
        return words
    candidate, current = policies
    with logs.reading(directory) as log:
        for request, facts, verdict in logs.requests(log, candidate.dataset, last):
            one = wanted.pop((request.digest, verdict), None)
            if one is not None:
                refusing = current if one.new is Verdict.ALLOW else candidate
                words[one.request_digest] = _refused(refusing, request, facts)
    return words
