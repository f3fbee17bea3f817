"""Frames: what is packed comes back; whatever else arrives is refused before memory is taken."""

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from connector import frames
from connector.errors import RemoteError
from policies import canonical
from policies.errors import PolicyError

LIMIT = 1 << 16
NAMES = st.text(min_size=1, max_size=8)
HEADERS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=6).filter(lambda key: key != "arrays"),
    st.none() | st.booleans() | st.integers(-(1 << 52), 1 << 52) | st.text(max_size=20),
    max_size=4,
)
ARRAYS = st.dictionaries(
    NAMES,
    st.sampled_from(["float32", "float64", "int64", ">f4", ">i8"]).flatmap(
        lambda dtype: arrays_of.arrays(
            dtype, arrays_of.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
        )
    ),
    max_size=4,
)
EXAMPLE = frames.pack(
    {"kind": "reply", "number": 7},
    {"update": np.array([[1.5, -2.0]], np.float32), "histogram": np.arange(4).reshape(2, 2)},
)


def read(frame: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    return frames.unpack(frame, max_bytes=LIMIT)


def refused(frame: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(RemoteError) as refusal:
        frames.unpack(frame, max_bytes=limit)
    return refusal.value.code


def framed(described: object, buffers: bytes = b"", **header: Any) -> bytes:
    """A frame whose header says what the test says, whether true or not."""
    return spelled(json.dumps({**header, "arrays": described}, sort_keys=True), buffers)


def spelled(header: str, buffers: bytes = b"") -> bytes:
    encoded = header.replace(", ", ",").replace(": ", ":").encode()
    return b"CMF1" + len(encoded).to_bytes(4, "big") + encoded + buffers


def array(shape: object, dtype: object = "float32", name: object = "x") -> dict[str, object]:
    return {"dtype": dtype, "name": name, "shape": shape}


@settings(max_examples=60, deadline=None)
@given(HEADERS, ARRAYS)
def test_what_is_packed_comes_back_exactly(header: dict[str, Any], arrays: dict[str, Any]) -> None:
    frame = frames.pack(header, arrays)
    found, read_back = read(frame)
    assert found == header
    assert list(read_back) == list(arrays)
    for name, values in arrays.items():
        assert read_back[name].dtype.name == values.dtype.name
        assert read_back[name].shape == values.shape
        assert read_back[name].tobytes() == values.astype(values.dtype.newbyteorder("<")).tobytes()
    assert frames.pack(found, read_back) == frame


def test_arrays_that_were_read_cannot_be_written_to() -> None:
    _, arrays = read(EXAMPLE)
    with pytest.raises(ValueError, match="read-only"):
        arrays["update"][0, 0] = 1


def test_an_array_that_is_not_contiguous_is_packed_in_its_own_order() -> None:
    turned = np.arange(6, dtype=np.int64).reshape(2, 3).T
    assert np.array_equal(read(frames.pack({}, {"x": turned}))[1]["x"], turned)


def test_every_changed_byte_is_refused_or_read_as_something_else() -> None:
    for place in range(len(EXAMPLE)):
        for flip in (1, 0x20, 0x80, 0xFF):
            changed = bytearray(EXAMPLE)
            changed[place] ^= flip
            with contextlib.suppress(RemoteError):
                # A frame has one spelling, so what was understood is what was sent, not EXAMPLE.
                assert frames.pack(*read(bytes(changed))) == bytes(changed)


def test_a_frame_that_is_cut_off_anywhere_is_refused() -> None:
    for length in range(len(EXAMPLE)):
        assert refused(EXAMPLE[:length]) == "FRAME_MALFORMED"


def test_bytes_after_the_last_array_are_refused() -> None:
    assert refused(EXAMPLE + b"\0") == "FRAME_MALFORMED"


def test_a_frame_over_the_limit_is_refused_before_it_is_looked_at() -> None:
    assert refused(b"anything at all", limit=14) == "FRAME_MALFORMED"
    assert read(EXAMPLE)
    assert refused(EXAMPLE, limit=len(EXAMPLE) - 1) == "FRAME_MALFORMED"


HUGE = (1 << 31) - 1


@pytest.mark.parametrize(
    "described",
    [
        [array([HUGE, HUGE, HUGE, HUGE])],  # 2**124 elements
        [array([0, HUGE, HUGE, HUGE])],  # none, but not a shape that numpy can hold
        [array([1 << 31])],
        [array([1 << 40])],
        [array([-1])],
        [array([-1, -1])],
        [array([1.0])],
        [array([True])],
        [array(["1"])],
        [array([None])],
        [array("")],
        [array({})],
        [array(1)],
        [array(None)],
        [array([1, 1, 1, 1, 1])],
        [array([1], "object")],
        [array([1], "O")],
        [array([1], "<f4")],
        [array([1], "float16")],
        [array([1], "complex128")],
        [array([1], "S4")],
        [array([1], "datetime64[s]")],
        [array([1], ["float32"])],
        [array([1], None)],
        [array([1], name=1)],
        [array([1], name=None)],
        [array([0]), array([0])],  # one name twice
        [array([0], name=f"x{number}") for number in range(frames.MAX_ARRAYS + 1)],
        [{"dtype": "float32", "name": "x"}],
        [{**array([0]), "more": 1}],
        [[]],
        ["name"],
        [None],
        "arrays",
        {"x": 1},
        1,
        None,
    ],
)
def test_a_description_that_is_not_one_is_refused(described: object) -> None:
    for buffers in (b"", b"\0" * 4):
        assert refused(framed(described, buffers)) == "FRAME_MALFORMED"


def test_as_many_arrays_as_allowed_are_read() -> None:
    described = [array([0], name=f"x{number}") for number in range(frames.MAX_ARRAYS)]
    assert len(read(framed(described))[1]) == frames.MAX_ARRAYS


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "null",
        "1",
        "{}",
        "",
        '{"arrays":[],"arrays":[]}',
        '{"arrays":[],"a":1}',  # not in order
        '{"a":1.5,"arrays":[]}',
        '{"a":NaN,"arrays":[]}',
        '{"a":9007199254740992,"arrays":[]}',
        '{"arrays":[]}\n',
        '{"a":' + "[" * 500 + "]" * 500 + ',"arrays":[]}',
        '{"a":"\\ud800","arrays":[]}',
    ],
)
def test_a_header_that_is_not_canonical_is_refused(header: str) -> None:
    assert refused(spelled(header)) == "FRAME_MALFORMED"


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    assert refused(noise) == "FRAME_MALFORMED"
    assert refused(b"CMF1" + noise) == "FRAME_MALFORMED"


def test_a_header_with_floats_cannot_be_packed() -> None:
    with pytest.raises(PolicyError) as refusal:
        frames.pack({"a": 0.5}, {})
    assert refusal.value.code == "CANONICAL_VALUE"


@pytest.mark.parametrize("dtype", [object, "U3", "complex64", "float16", "bool"])
def test_an_array_of_another_kind_cannot_be_packed(dtype: Any) -> None:
    with pytest.raises(KeyError):
        frames.pack({}, {"x": np.zeros(1, dtype)})


def test_the_layout_is_the_documented_one() -> None:
    frame = frames.pack({"a": 1}, {"x": np.array([1], np.int64)})
    header = canonical.encode({"a": 1, "arrays": [array([1], "int64")]})
    assert frame == b"CMF1" + len(header).to_bytes(4, "big") + header + b"\1" + b"\0" * 7
