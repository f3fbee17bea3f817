"""A frame: one JSON header and raw numeric arrays, the only form in which numbers travel.

No pickle, no object arrays, nothing that could be imported. Layout, all integers big-endian:

    "CMF1" | u32 header length | canonical JSON header | array buffers, in the header's order

The header's key `arrays` lists `{"name", "dtype", "shape"}`; buffers are C-contiguous and
little-endian, without padding, and the frame ends with the last one.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connector.errors import RemoteError
from policies import canonical
from policies.errors import PolicyError

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

_MAGIC = b"CMF1"
_DTYPES = {"float32": "<f4", "float64": "<f8", "int64": "<i8"}
MAX_ARRAYS = 64
MAX_DIMENSIONS = 4


def pack(header: dict[str, Any], arrays: "Arrays") -> bytes:
    """Encode a header (JSON without floats) and arrays of float32, float64 or int64."""
    described = [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)}
        for name, array in arrays.items()
    ]
    encoded = canonical.encode({**header, "arrays": described})
    buffers = [
        array.astype(_DTYPES[array.dtype.name], order="C", copy=False).tobytes()
        for array in arrays.values()
    ]
    return b"".join([_MAGIC, len(encoded).to_bytes(4, "big"), encoded, *buffers])


def unpack(
    frame: bytes, *, max_bytes: int
) -> tuple[dict[str, Any], "dict[str, np.ndarray[Any, Any]]"]:
    """Decode a frame; every count and length is checked before memory is taken.

    Arrays come back as read-only views of `frame`. Raises `RemoteError` (FRAME_MALFORMED).
    """
    import numpy as np  # noqa: PLC0415 - messages without arrays are read where numpy is absent

    if len(frame) > max_bytes:
        raise _malformed(f"{len(frame)} bytes exceed the limit of {max_bytes}")
    if len(frame) < 8 or frame[:4] != _MAGIC:
        raise _malformed("it does not start like a frame")
    end = 8 + int.from_bytes(frame[4:8], "big")
    try:
        header = canonical.decode(frame[8:end])
        described = header.pop("arrays")
        specs = [_spec(entry) for entry in described]
    except (PolicyError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _malformed("its header is not what the format asks for") from error
    names = [name for name, _, _ in specs]
    if len(specs) > MAX_ARRAYS or len(set(names)) != len(names):
        raise _malformed("it names too many arrays, or one twice")
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, dtype, shape in specs:
        count = math.prod(shape)
        size = count * int(dtype[2])
        if end + size > len(frame):
            raise _malformed("an array is longer than the frame")
        flat = np.frombuffer(frame, dtype=dtype, count=count, offset=end)
        try:
            arrays[name] = flat.reshape(shape)
        except ValueError as error:  # no elements, but sizes beyond what numpy can count
            raise _malformed("an array has an impossible shape") from error
        end += size
    if end != len(frame):
        raise _malformed("bytes follow the last array")
    return header, arrays


def _spec(entry: dict[str, Any]) -> tuple[str, str, tuple[int, ...]]:
    if set(entry) != {"name", "dtype", "shape"} or not isinstance(entry["name"], str):
        raise ValueError("array description")
    shape = entry["shape"]
    if not isinstance(shape, list):
        raise TypeError("array shape")
    sizes_fit = all(type(size) is int and 0 <= size < 1 << 31 for size in shape)
    if len(shape) > MAX_DIMENSIONS or not sizes_fit:
        raise ValueError("array shape")
    return entry["name"], _DTYPES[entry["dtype"]], tuple(shape)


def _malformed(reason: str) -> RemoteError:
    return RemoteError("FRAME_MALFORMED", f"a message cannot be read: {reason}")
