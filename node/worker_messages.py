"""What passes between the node and its worker, over two pipes.

    node -> worker   Start as JSON, then one frame per call: {"task", "arguments"} + arrays
    worker -> node   a frame when the records are loaded, one when it can compute, then answers

Every message is preceded by its length (u64, big-endian), checked before it is read. An answer's
header is {"status": "ok", ...} or {"status": "error", "code", ...}; texts are sent for problems
with files only, which quote no record (`node.data.sources`).
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from connector.features import FeatureMap
from connector.folds import Split
from node.data.dataset import Dataset
from policies.document import Document
from policies.permit import Name

LENGTH_BYTES = 8
MAX_START_BYTES = 8 << 20
MAX_REQUEST_BYTES = 128 << 20
# What an answer's frame takes beside its arrays.
FRAME_BYTES = 1 << 16

Fold = Literal["train", "holdout"]

# A closed list (threat: a worker that was taken over says a record in a code).
TASK_CODES = frozenset(
    {
        "TASK_UNKNOWN",
        "TASK_FAILED",
        "TASK_MEMORY",
        "TASK_ANSWER",
        "TASK_INPUT_NOT_FINITE",
        "TASK_INPUT_SHAPE",
        "TASK_OUTCOME_NOT_BINARY",
        "TASK_RESULT_NOT_FINITE",
    }
)


class Start(Document):
    """All that a worker is told. The descriptors are open files of records."""

    dataset: Dataset
    features: FeatureMap
    tasks: Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)]
    split: Split
    records: int
    opt_outs: int | None
    forbidden: tuple[Path, ...]
    allow_weaker_isolation: bool
    memory_bytes: int
    max_answer_bytes: int


class Facts(Document):
    """What decisions need to know of the view. `persons`: in each fold that the tasks touch.

    Exact counts: for decisions inside of the node, never for a message. `layers` is the isolation
    in force.
    """

    persons: dict[Fold, int]
    rows: int
    layers: tuple[str, ...]
