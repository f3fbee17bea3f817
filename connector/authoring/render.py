"""How decisions, tests and comparisons look in a terminal: symbols, colours, hanging indents.

Meaning is never in the colour alone. What is printed may quote a stranger's request.
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.text import Text

from policies.change import Comparison, Counterexample, Effect
from policies.decision import Verdict
from policies.dry_run import DryRun
from policies.examples import Report, Result
from policies.explain import Line, Role, sentence
from policies.remark import Remark, Severity

_NARROWEST = 30
Asked = TypeVar("Asked")
Known = TypeVar("Known")


class Mark(NamedTuple):
    """A symbol with its colour."""

    symbol: str
    style: str


NO, YES = Mark("✗", "red"), Mark("✓", "green")
UNKNOWN, REMEDY, ITEM = Mark("?", "yellow"), Mark("→", "cyan"), Mark("•", "blue")
WARNING, NOTHING = Mark("!", "yellow"), Mark("", "")

_SAID = {Verdict.ALLOW: "allowed", Verdict.DENY: "refused", Verdict.UNDETERMINED: "left open"}
VERDICTS = {Verdict.ALLOW: YES, Verdict.DENY: NO, Verdict.UNDETERMINED: UNKNOWN}
_MARKS = {Role.AGAINST: NO, Role.UNKNOWN: UNKNOWN, Role.OBLIGATION: ITEM}
_HEADINGS = {
    Role.AGAINST: "What speaks against it, and what would make it pass",
    Role.UNKNOWN: "What is not known yet",
    Role.HOLDS: "What was checked, and holds",
    Role.OBLIGATION: "What it obliges to",
    Role.DIGEST: "Exactly what was decided",
}


class Page:
    """Prints paragraphs that fit the terminal; what is piped is not folded."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)

    def say(self, text: str, mark: Mark = NOTHING, *, indent: int = 0, style: str = "") -> None:
        """One paragraph after its symbol, its further lines below the first."""
        lead = f"{mark.symbol} " if mark.symbol else ""
        margin = " " * (indent + len(lead))
        for line in self._folded(_printable(text), len(margin)):
            self._console.print(Text.assemble(" " * indent, (lead, mark.style), (line, style)))
            lead, indent = margin, 0

    def heading(self, text: str) -> None:
        """What the next lines are about."""
        self._console.print()
        self._console.print(Text(text, "bold"))

    def gap(self) -> None:
        """An empty line."""
        self._console.print()

    def _folded(self, text: str, margin: int) -> list[str]:
        if not self._console.is_terminal:
            return [text]
        width = max(_NARROWEST, self._console.width - margin)
        return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def decision(page: Page, lines: Iterable[Line]) -> None:
    """An explained decision."""
    section = None
    for line in lines:
        if line.role in _HEADINGS and line.role is not section:
            page.heading(_HEADINGS[line.role])
            section = line.role
        _statement(page, line)


def _statement(page: Page, line: Line) -> None:
    if line.verdict is not None:
        page.say(line.text, VERDICTS[line.verdict], style="bold")
    elif line.role is Role.HOLDS:
        page.say(f"{line.text} ({line.rule})", YES, indent=2)
    elif line.role is Role.REMEDY:
        page.say(line.text, REMEDY, indent=4)
    elif line.role is Role.DIGEST:
        page.say(line.text, style="dim")
    else:
        page.say(line.text, _MARKS[line.role], indent=2)
        page.say(f"{line.rule}, {line.basis}", indent=4, style="dim")


def report(page: Page, found: Report) -> None:
    """Every example with its outcome, and whether the policy could be activated with them."""
    for result in found.results:
        _result(page, result)
    page.gap()
    count = len(found.results)
    if found.passed:
        page.say(f"all {count} examples pass" if count > 1 else "the example passes", YES)
    page.say(found.digest, indent=2, style="dim")
    if found.objection:
        page.say(f"cannot be activated: {found.objection}", WARNING if found.passed else NO)
    if found.passed and found.unrefused:
        page.say(f"no example is refused by: {', '.join(found.unrefused)}", WARNING)


def _result(page: Page, result: Result) -> None:
    example, outcome = result.example, result.outcome
    page.say(example.name, YES if result.passed else NO)
    if result.passed:
        return
    page.say(_expectation(example.expect, example.because), indent=4)
    page.say(_expectation(outcome.verdict, result.rules, "found"), indent=4)
    for constraint in outcome.constraints:
        if constraint.satisfied is not True:
            page.say(
                sentence(constraint), UNKNOWN if constraint.satisfied is None else NO, indent=4
            )


def _expectation(verdict: Verdict, rules: Iterable[str], word: str = "expected") -> str:
    because = ", ".join(rules)
    return f"{word} {verdict.value}{f' because of {because}' if because else ''}"


_EFFECTS = {
    Effect.WIDENED: (Mark("+", "yellow"), "wider"),
    Effect.TIGHTENED: (Mark("-", "blue"), "tighter"),
    Effect.BOTH: (Mark("±", "yellow"), "wider and tighter"),
    Effect.SAME: (Mark("=", "green"), "the same effect"),
}


def comparison(
    page: Page,
    found: Comparison[Asked, Known],
    words: Callable[[Counterexample[Asked, Known]], tuple[str, str]],
) -> None:
    """What differs, and what that does. `words`: a counterexample, and why it is refused."""
    for change in found.changes:
        mark, effect = _EFFECTS[change.effect]
        page.say(f"{change.path}: {effect}", mark, style="bold")
        page.say(f"{change.old or 'nothing'} → {change.new or 'nothing'}", indent=2)
        for one in change.counterexamples:
            _case(page, one.old, one.new, words(one))
    if found.changes:
        page.gap()
    mark, effect = _EFFECTS[found.effect]
    as_whole = "the new policy has the same effect" if effect == "the same effect" else ""
    page.say(as_whole or f"the new policy is {effect}", mark, style="bold")
    searched = "all" if found.exhaustive else "not all"
    page.say(
        f"{found.tried} requests tried, {searched} of those at the edge of what either allows",
        indent=2,
        style="dim",
    )


def _case(page: Page, old: Verdict, new: Verdict, words: tuple[str, str]) -> None:
    """A request that is decided otherwise, and why whoever refuses it does."""
    request, against = words
    page.say(f"{_SAID[old]} before, {_SAID[new]} now: {request}", VERDICTS[new], indent=2)
    if against:
        whose = "old" if new is Verdict.ALLOW else "new"
        page.say(f"the {whose} policy: {against}", indent=4, style="dim")


def remarks(page: Page, found: Iterable[Remark]) -> None:
    """What a check found, errors first, and a summary."""
    ordered = sorted(found, key=lambda remark: remark.severity is not Severity.ERROR)
    for remark in ordered:
        mark = NO if remark.severity is Severity.ERROR else WARNING
        page.say(f"{remark.path}: {remark.sentence} [{remark.code}]", mark)
        page.say(remark.remedy, REMEDY, indent=2)
    errors = sum(remark.severity is Severity.ERROR for remark in ordered)
    warnings = len(ordered) - errors
    page.say(
        f"{_count(errors, 'error')}, {_count(warnings, 'warning')}" if ordered else "nothing wrong",
        NO if errors else WARNING if warnings else YES,
    )


def rehearsal(
    page: Page, dataset: str, found: DryRun, words: Mapping[str, tuple[str, str]]
) -> None:
    """What past requests would have become. `words`: a request by its digest, and why."""
    page.say(f"{_count(found.total, 'request')} about {dataset} in the log", style="bold")
    for number, text, mark in (
        (found.same, "would be decided as before", YES),
        (found.refused, "would no longer be allowed", NO),
        (found.allowed, "would be allowed now", WARNING),
        (found.otherwise, "would be refused or left open, where it was the other", UNKNOWN),
    ):
        if number:
            page.say(f"{number} {text}", mark, indent=2)
    if found.by_rule:
        page.heading("Because of")
        for rule, number in found.by_rule.items():
            page.say(f"{rule}: {_count(number, 'request')}", ITEM, indent=2)
    if found.examples:
        page.heading("For example")
        for one in found.examples:
            _case(page, one.old, one.new, words.get(one.request_digest, (one.request_digest, "")))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
