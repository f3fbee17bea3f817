"""The label as a page and as a box: everything said, nothing invented, nothing that runs."""

from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser

import pytest
from rich.console import Console

from connector.labels.render import as_html, as_terminal, blocks
from connector.labels.schema import (
    NOT_MEASURED,
    Head,
    Ingredient,
    Ingredients,
    ModelLabel,
    Privacy,
    Use,
    Utility,
)

LABEL = ModelLabel(
    head=Head(
        subject="sha256:" + "a" * 64,
        job="job-1",
        permit="permit-1",
        maker="hdab",
        purpose="scientific research (Art. 53(1)(e))",
        made_at=datetime(2026, 11, 22, 12, 34, tzinfo=UTC),
    ),
    ingredients=Ingredients(
        sources=(
            Ingredient(dataset="north/patients", rounds_answered=5),
            Ingredient(dataset="south/patients", rounds_answered=4),
        ),
        real_share="1",
        synthetic_share="0",
        generation_depth=1,
        columns=("age", "creatinine"),
        outcome="died",
    ),
    privacy=Privacy(
        unit="a person, with all their rows",
        neighbouring="add or remove one person",
        epsilon="0.987",
        delta="0.00001",
        mechanism="DP-SGD",
        noise_multiplier="7.25",
        clipping_norm="1.5",
        sampling_rate="0.5",
        steps=20,
    ),
    utility=Utility(auc="0.812", auc_noise="0.013", accuracy="0.765", method="noisy counts"),
    use=Use(permitted="research", prohibited="advertising", limits="not for single patients"),
)
HOSTILE = '<script>alert("1")</script><img src=x onerror=y>&amp;$job[/]'
VOID = {"meta", "br"}


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, "tags close in order"

    def handle_data(self, data: str) -> None:
        if "style" not in self.stack:
            self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def hostile() -> ModelLabel:
    return LABEL.model_copy(
        update={
            "head": LABEL.head.model_copy(
                update=dict.fromkeys(("job", "permit", "maker", "purpose", "subject"), HOSTILE)
            ),
            "ingredients": LABEL.ingredients.model_copy(
                update={
                    "sources": (Ingredient.model_construct(dataset=HOSTILE, rounds_answered=1),),
                    "columns": (HOSTILE,),
                    "outcome": HOSTILE,
                }
            ),
            "use": Use(permitted=HOSTILE, prohibited=HOSTILE, limits=HOSTILE),
            "privacy": LABEL.privacy.model_copy(
                update=dict.fromkeys(("unit", "neighbouring", "mechanism", "attacks"), HOSTILE)
            ),
        }
    )


def terminal(label: ModelLabel) -> str:
    console = Console(width=120, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as captured:
        console.print(as_terminal(label))
    return captured.get()


def test_the_page_has_a_language_a_title_and_one_heading() -> None:
    page = Page(as_html(LABEL))
    assert page.tags[0] == ("html", {"lang": "en"})
    assert page.count("title") == page.count("h1") == page.count("main") == 1
    assert page.count("h2") == len(blocks(LABEL)) == 4
    assert not page.stack, "everything that was opened is closed"
    assert as_html(LABEL).startswith("<!doctype html>")
    assert ("meta", {"charset": "utf-8"}) in page.tags


def test_page_and_terminal_say_every_block_and_every_line() -> None:
    page, box = Page(as_html(LABEL)).text, " ".join(terminal(LABEL).split())
    for block in blocks(LABEL):
        assert block.title in page
        assert block.title in box
        for line in block.lines:
            assert line.name in page
            assert line.value in page
            assert line.name in box
            assert line.value in box


@pytest.mark.parametrize(
    "value",
    [
        "job-1", "permit-1", "hdab", "scientific research (Art. 53(1)(e))", "2026-11-22 12:34 UTC",
        "sha256:" + "a" * 64, "north/patients", "5 rounds", "4 rounds", "100%", "0%", "died",
        "age, creatinine", "0.987", "0.00001", "DP-SGD", "7.25", "1.5", "0.812", "± 0.013", "0.765",
        "noisy counts", "research", "advertising", "not for single patients",
    ],
)  # fmt: skip
def test_every_value_of_the_label_stands_on_the_page(value: str) -> None:
    assert value in Page(as_html(LABEL)).text


def test_what_was_not_measured_says_so_and_is_marked() -> None:
    utility = Utility(
        auc=NOT_MEASURED, auc_noise=NOT_MEASURED, accuracy=NOT_MEASURED, method=NOT_MEASURED
    )
    label = LABEL.model_copy(update={"utility": utility})
    lines = {line.name: line for block in blocks(label) for line in block.lines}
    for name in ("AUC (1 is perfect, 0.5 is a coin)", "uncertainty from noise", "Accuracy"):
        assert lines[name].value == NOT_MEASURED
        assert not lines[name].measured
    page = Page(as_html(label))
    marked = sum("unmeasured" in (attributes.get("class") or "") for _, attributes in page.tags)
    assert (
        marked == sum(not line.measured for line in lines.values()) == page.text.count(NOT_MEASURED)
    )
    assert "±" not in page.text


def test_hostile_names_are_text_and_nothing_else() -> None:
    page = Page(as_html(hostile()))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in Page(as_html(LABEL)).tags}
    assert HOSTILE in page.text
    assert "<script" not in as_html(hostile())


def test_hostile_names_are_text_in_the_terminal_too() -> None:
    box = "".join(terminal(hostile()).split()).replace("│", "")
    assert "<script>" in box
    assert "[/]" in box


def test_the_page_loads_and_runs_nothing() -> None:
    text = as_html(LABEL)
    page = Page(text)
    allowed = {"html", "meta", "title", "style", "main", "h1", "h2", "p", "strong", "br", "section",
               "dl", "div", "dt", "dd", "footer"}  # fmt: skip
    assert {tag for tag, _ in page.tags} <= allowed
    for _, attributes in page.tags:
        assert set(attributes) <= {"lang", "charset", "name", "content", "class"}
    for word in ("http://", "https://", "url(", "@import", "src=", "href=", "javascript:"):
        assert word not in text


def test_the_page_is_the_same_for_the_same_label() -> None:
    assert as_html(LABEL) == as_html(ModelLabel.decode(LABEL.encode()))
    assert unescape(as_html(LABEL)).count("Nutrition") == 2
