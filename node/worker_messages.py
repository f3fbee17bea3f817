"""What passes between the node and its worker, over two pipes.

    node -> worker   Start as JSON, then one frame per call: {"task", "arguments"} + arrays
    worker -> node   a frame when the records are loaded, one when it can compute, then answers

Every message is preceded by its length (u64, big-endian), checked before it is read. An answer's
header is {"status": "ok", ...} or {"status": "error", "code", ...}; texts are sent for problems
with files only, which quote no record (`node.data.sources`).
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from connector.errors import LocalError
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

# Two closed lists (threat: a worker that was taken over says a record in a code).
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
# What can be wrong before the first call: everything that isolation and `node.data` raise. They
# depend on records too, so they are for the hospital's console and its log, not for a peer.
LOAD_CODES = frozenset(
    {
        "TASK_UNKNOWN",
        "ISOLATION_UNAVAILABLE",
        "ISOLATION_BROKEN",
        "FILE_CHANGED",
        "FILE_EMPTY",
        "FILE_MISSING",
        "FILE_TOO_LARGE",
        "FILE_UNREADABLE",
        "ROW_RAGGED",
        "COLUMN_MISSING",
        "COLUMN_TWICE",
        "COLUMN_UNKNOWN",
        "COLUMN_UNREADABLE",
        "VALUE_UNREADABLE",
        "PERSON_MISSING",
        "PERSON_UNREADABLE",
        "OPT_OUTS_UNREADABLE",
    }
)
# What stands for a code that is not on its list.
DATASET_UNAVAILABLE, TASK_FAILED = "DATASET_UNAVAILABLE", "TASK_FAILED"
_MAX_TEXT = 500


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


Count = Annotated[int, Field(ge=0, lt=1 << 53)]


class Facts(Document):
    """What decisions need to know of the view.

    `people`: distinct persons after opt-outs, whatever is known of them and whichever their fold:
    one person more or less changes it by one. `persons`: those with all required values, in each
    fold that the tasks touch. `version`: see `node.data.version`. `layers`: the isolation in
    force. `opt_outs_unmatched`: how many listed identifiers match nobody.

    Exact counts: for decisions inside of the node, never for a message.
    """

    people: Count
    persons: dict[Fold, Count]
    rows: Count
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    opt_outs_unmatched: Count
    layers: Annotated[tuple[Literal["limits", "landlock", "seccomp"], ...], Field(max_length=3)]


def reported(header: dict[str, Any], *, loading: bool) -> LocalError:
    """The problem that a worker names, by a code of a closed list.

    Texts are for the hospital's own console, and come only while loading, before any message of a
    peer has reached the worker.
    """
    code = header.get("code")
    codes, otherwise = (LOAD_CODES, DATASET_UNAVAILABLE) if loading else (TASK_CODES, TASK_FAILED)
    known = code if isinstance(code, str) and code in codes else otherwise
    if not loading:
        return LocalError(known, "a task has failed")
    message, remedy = (_printable(header.get(key)) for key in ("message", "remedy"))
    return LocalError(known, message or "the records cannot be loaded", remedy)


def _printable(text: object) -> str:
    """Bounded, without control characters (threat: a worker that steers the operator's terminal).

    Neither line ends nor marks that turn the direction of writing.
    """
    if not isinstance(text, str):
        return ""
    cut = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
    return "".join(character if character.isprintable() else " " for character in cut)
