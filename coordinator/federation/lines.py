"""What the federated catalogue shows in a terminal."""

from collections.abc import Iterable, Iterator

from coordinator.federation import records
from coordinator.federation.crawler import Outcome
from coordinator.federation.history import MAX_FOUND, Version
from coordinator.views import printable

_SHORT = 160


def found(versions: list[Version]) -> Iterator[str]:
    """A few lines per record, best first."""
    if not versions:
        yield "nothing is found: each word must begin one of a record's words"
    for version in versions:
        said = records.summary(version.record)
        yield printable(f"{version.dataset}: {said.title}")
        yield printable(f"    {_facts(version, said)}")
        if said.description:
            yield printable(f"    {_cut(said.description)}")
        if version.problem:
            yield f"    ! last seen {version.last_seen:%Y-%m-%d %H:%M} UTC [{version.problem}]"
    if len(versions) == MAX_FOUND:
        yield f"... and perhaps more than {MAX_FOUND}: name more words"


def history(versions: Iterable[Version]) -> Iterator[str]:
    """A line per version, oldest first."""
    for version in versions:
        title = records.summary(version.record).title
        state = version.ending or "current"
        yield printable(
            f"{version.participant}  version {version.version}  {state}  "
            f"{version.first_seen:%Y-%m-%d %H:%M} to {version.last_seen:%Y-%m-%d %H:%M} UTC  "
            f"{title}  ({version.digest})"
        )


def crawled(outcomes: list[Outcome]) -> Iterator[str]:
    """A line per node."""
    if not outcomes:
        yield "there is no node to ask: name them as [[peers]] in coordinator.toml"
    for outcome in outcomes:
        changes, problem = outcome.changes, outcome.problem
        if problem is not None:
            yield printable(f"! {outcome.participant}: {problem.diagnostics()} [{problem.code}]")
        if changes is not None:
            yield printable(
                f"{outcome.participant}: {changes.added} new, {changes.changed} changed, "
                f"{changes.withdrawn} withdrawn, {changes.unchanged} as before"
            )


def _facts(version: Version, said: records.Summary) -> str:
    facts = [f"at {version.participant}"]
    facts += [f"about {said.persons} people"] if said.persons else []
    facts += [f"about {said.records} records"] if said.records else []
    facts += [", ".join(said.keywords[:8])] if said.keywords else []
    return "; ".join(facts)


def _cut(said: str) -> str:
    line = " ".join(said.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 3] + "..."
