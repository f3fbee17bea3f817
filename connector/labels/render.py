"""A label as people read it: one HTML page, or a box in the terminal. Both say the same."""

from dataclasses import dataclass
from html import escape
from string import Template
from typing import TYPE_CHECKING

from connector.labels.schema import NOT_MEASURED, ModelLabel

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Line:
    """One line of a label; `minor` lines are indented under the one before."""

    name: str
    value: str
    minor: bool = False

    @property
    def measured(self) -> bool:
        """Whether there is a value at all."""
        return self.value != NOT_MEASURED


@dataclass(frozen=True)
class Block:
    """A titled group of lines."""

    title: str
    lines: tuple[Line, ...]


def blocks(label: ModelLabel) -> tuple[Block, ...]:
    """The label's content in reading order, in plain words."""
    return (_ingredients(label), _privacy(label), _utility(label), _use(label))


def _ingredients(label: ModelLabel) -> Block:
    made_of = label.ingredients
    sources = tuple(
        Line(source.dataset, f"{source.rounds_answered} rounds", minor=True)
        for source in made_of.sources
    )
    return Block(
        "Ingredients",
        (
            Line("Real records", _percent(made_of.real_share)),
            Line("Synthetic records", _percent(made_of.synthetic_share)),
            Line("Generations away from patients", str(made_of.generation_depth)),
            Line("Hospitals", str(len(made_of.sources))),
            *sources,
            Line("Predicts", made_of.outcome),
            Line("From", ", ".join(made_of.columns), minor=True),
        ),
    )


def _privacy(label: ModelLabel) -> Block:
    privacy = label.privacy
    return Block(
        "Privacy",
        (
            Line("Epsilon (smaller is more private)", privacy.epsilon),
            Line("Delta", privacy.delta, minor=True),
            Line("Protects", privacy.unit, minor=True),
            Line("Compared with", f"the same data, {privacy.neighbouring}", minor=True),
            Line("How", privacy.mechanism, minor=True),
            Line(
                "Noise, clipping",
                f"{privacy.noise_multiplier}, {privacy.clipping_norm}",
                minor=True,
            ),
            Line("Attacked by", privacy.attacks),
        ),
    )


def _utility(label: ModelLabel) -> Block:
    utility = label.utility
    return Block(
        "Utility",
        (
            Line("AUC (1 is perfect, 0.5 is a coin)", utility.auc),
            Line("uncertainty from noise", _plus_minus(utility.auc_noise), minor=True),
            Line("Accuracy", utility.accuracy),
            Line("Measured on", utility.method, minor=True),
            Line("Each hospital", utility.per_hospital),
            Line("Subgroups, and who is missing", utility.subgroups),
            Line("Differences between hospitals", utility.domain_gap),
        ),
    )


def _use(label: ModelLabel) -> Block:
    use = label.use
    return Block(
        "Use",
        (
            Line("For", use.permitted),
            Line("Never for", use.prohibited),
            Line("Limits", use.limits),
        ),
    )


def as_html(label: ModelLabel) -> str:
    """One self-contained page: no script, nothing loaded, printable on one sheet of A4."""
    head = label.head
    sections = "".join(_html_block(block) for block in blocks(label))
    return _PAGE.substitute(
        job=escape(head.job),
        purpose=escape(head.purpose),
        permit=escape(head.permit),
        maker=escape(head.maker),
        made=f"{head.made_at:%Y-%m-%d %H:%M} UTC",
        subject=escape(head.subject),
        sections=sections,
    )


def _html_block(block: Block) -> str:
    rows = "".join(
        f'<div class="{_classes(line)}"><dt>{escape(line.name)}</dt>'
        f"<dd>{escape(line.value)}</dd></div>"
        for line in block.lines
    )
    return f"<section><h2>{escape(block.title)}</h2><dl>{rows}</dl></section>"


def _classes(line: Line) -> str:
    names = ["line", "minor" if line.minor else "major"]
    return " ".join(names if line.measured else [*names, "unmeasured"])


def as_terminal(label: ModelLabel) -> "RenderableType":
    """The label as a box for rich."""
    from rich.panel import Panel  # noqa: PLC0415 - pages are rendered where rich is not needed
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(ratio=5)
    table.add_column(ratio=7)
    for block in blocks(label):
        table.add_row(Text(block.title, style="bold reverse"), "")
        for line in block.lines:
            style = "" if line.measured else "dim italic"
            name = Text(
                ("  " if line.minor else "") + line.name, style="" if line.minor else "bold"
            )
            table.add_row(name, Text(line.value, style=style))
    return Panel(
        table,
        title="[bold]Nutrition facts[/] of a model",
        subtitle=Text(f"job {label.head.job}, permit {label.head.permit}"),
    )


def _plus_minus(value: str) -> str:
    return value if value == NOT_MEASURED else f"± {value}"


def _percent(share: str) -> str:
    return f"{float(share):.0%}"


_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Nutrition facts: $job</title>
<style>
:root { color-scheme: light dark; --ink: #111; --paper: #fff; --quiet: #595959; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #f2f2f2; --paper: #161616; --quiet: #b0b0b0; } }
@page { size: A4; margin: 14mm; }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.5rem 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.4 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; }
main { max-width: 37rem; margin: 0 auto; padding: .75rem 1rem 1rem; border: 2px solid var(--ink); }
h1 { margin: 0; font-size: 2.4rem; line-height: 1.1; font-weight: 900; letter-spacing: -.02em; }
.about { margin: .25rem 0 .5rem; border-bottom: 1px solid var(--ink); padding-bottom: .5rem; }
section { border-top: .55rem solid var(--ink); padding: .2rem 0 .5rem; break-inside: avoid; }
section:last-of-type { border-bottom: .3rem solid var(--ink); }
h2 { margin: .15rem 0; font-size: 1.1rem; font-weight: 900; }
dl { margin: 0; }
.line { display: grid; grid-template-columns: minmax(45%, auto) 1fr; gap: 1rem; padding: .12rem 0;
  border-top: 1px solid var(--quiet); }
.major dt { font-weight: 700; }
.minor dt { padding-left: 1.1rem; }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
.unmeasured dd { color: var(--quiet); font-style: italic; }
footer { font-size: .8rem; color: var(--quiet); overflow-wrap: anywhere; padding-top: .5rem; }
@media (max-width: 30rem) { .line { grid-template-columns: 1fr; gap: 0; } dd { text-align: left; } }
@media print { :root { --ink: #000; --paper: #fff; --quiet: #444; }
  body { padding: 0; font-size: 9.5pt; line-height: 1.25; } main { max-width: none; }
  h1 { font-size: 22pt; } }
</style>
<main>
<h1>Nutrition Facts</h1>
<p class="about">A model, made by job <strong>$job</strong><br>for $purpose</p>
$sections
<footer>Computed and signed by $maker under permit $permit, $made.
The model's digest is $subject. “Not measured” is not zero.</footer>
</main>
</html>
""")
