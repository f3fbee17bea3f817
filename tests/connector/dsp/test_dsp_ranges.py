"""One range of bytes; everything else is the whole, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.dsp import ranges
from connector.dsp.ranges import Part

WHOLE = Part(0, 10, whole=True)


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ("bytes=0-9", Part(0, 10)),
        ("bytes=0-0", Part(0, 1)),
        ("bytes=3-5", Part(3, 3)),
        ("bytes=3-", Part(3, 7)),
        ("bytes=9-99", Part(9, 1)),
        ("bytes=-4", Part(6, 4)),
        ("bytes=-99", Part(0, 10)),
        ("BYTES=1-2", Part(1, 2)),
        ("bytes=10-", None),
        ("bytes=10-20", None),
        ("bytes=-0", None),
    ],
)
def test_a_range_is_what_there_is_of_it(said: str, part: Part | None) -> None:
    assert ranges.asked({"range": said}, 10, '"e"') == part


@pytest.mark.parametrize(
    "said",
    ["", "bytes=", "bytes=-", "bytes=5-3", "bytes=0-1,3-4", "items=0-1", "bytes=0 - 1", "bytes=a-b",
     "bytes=0-1\n", "bytes=+1-2", "bytes=\u0663-\u0665", "bytes=" + "9" * 19 + "-"],
)  # fmt: skip
def test_what_is_no_range_is_the_whole(said: str) -> None:
    assert ranges.asked({"range": said}, 10, '"e"') == WHOLE


@pytest.mark.parametrize("said", ['"other"', 'W/"e"', "e", "Sun, 22 Nov 2026 12:00:00 GMT"])
def test_a_range_of_another_content_is_the_whole_of_this_one(said: str) -> None:
    assert ranges.asked({"range": "bytes=3-5", "if-range": said}, 10, '"e"') == WHOLE
    assert ranges.asked({"range": "bytes=3-5", "if-range": '"e"'}, 10, '"e"') == Part(3, 3)


@given(st.integers(0, 10**17), st.integers(1, 10**17), st.integers(0, 10**17))
def test_a_content_range_is_read_as_it_was_written(first: int, size: int, rest: int) -> None:
    part, whole = Part(first, size), first + size + rest
    assert ranges.read_content_range(ranges.content_range(part, whole)) == (part, whole)


@pytest.mark.parametrize(
    "said", ["", "bytes 5-3/10", "bytes 0-10/10", "bytes */10", "bytes 0-1/*", "bytes 0-1/10 "]
)
def test_a_content_range_that_contradicts_itself_is_none(said: str) -> None:
    assert ranges.read_content_range(said) is None
