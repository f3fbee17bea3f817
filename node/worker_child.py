"""The worker process: isolates itself, loads the view of one job, then computes what it is asked.

Run by `node.worker` as `python -m node.worker_child`, with its pipes as standard input and output.
Order matters: isolation comes before the first byte of a record and before the first library that
starts threads. The file of records arrives as an open descriptor, since this process may not open
it, and is closed when it has been read.
"""

import contextlib
import os
import select
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from connector import frames
from connector.errors import LocalError
from node import isolation
from node.data.version import Stamp, stamp, version_of
from node.worker_messages import (
    FRAME_BYTES,
    LENGTH_BYTES,
    MAX_REQUEST_BYTES,
    MAX_START_BYTES,
    TASK_CODES,
    Facts,
    Fold,
    Start,
)
from policies.errors import Error

if TYPE_CHECKING:
    import numpy as np

    from node.data import cohort

    Array = np.ndarray[Any, Any]
    Function = Callable[
        [dict[str, Any], Mapping[str, Array], Array, Array, Array], Mapping[str, Array]
    ]


@dataclass(frozen=True)
class Catalogue:
    """Which fold each task sees, and how to import its function."""

    folds: Mapping[str, Fold]
    load: "Callable[[str], Function]"


@dataclass(frozen=True, repr=False)
class Rows:
    """One fold: features float32[n, width], outcome float32[n], person int64[n] dense from 0."""

    features: "Array"
    outcome: "Array"
    person: "Array"
    persons: int


class Channel:
    """Length-prefixed messages over what were standard input and output.

    Both are replaced by /dev/null, so that no library's print can become part of a message.
    """

    def __init__(self) -> None:
        self._read = os.fdopen(os.dup(0), "rb")
        self._write = os.fdopen(os.dup(1), "wb")
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1):
            os.dup2(null, stream)
        os.close(null)

    @property
    def descriptors(self) -> tuple[int, int]:
        """To read from and to write to."""
        return self._read.fileno(), self._write.fileno()

    def receive(self, max_bytes: int) -> bytes | None:
        """The next message; None when the node has closed the pipe or breaks the format."""
        length = int.from_bytes(self._read.read(LENGTH_BYTES), "big")
        if not 0 < length <= max_bytes:
            return None
        message = self._read.read(length)
        return message if len(message) == length else None

    def send(self, header: dict[str, Any], arrays: "Mapping[str, Array] | None" = None) -> None:
        """Write one frame."""
        frame = frames.pack(header, arrays or {})
        self._write.write(len(frame).to_bytes(LENGTH_BYTES, "big"))
        self._write.write(frame)
        self._write.flush()


def main(catalogue: Catalogue) -> None:
    """Serve until the node closes the pipe. A flaw here ends the process, which the node sees."""
    channel = Channel()
    message = channel.receive(MAX_START_BYTES)
    if message is None:
        return
    start = Start.model_validate_json(message)
    try:
        _check_tasks(start.tasks, catalogue)
        layers = _isolate(start, channel)
        threading.Thread(
            target=_end_with_the_node, args=channel.descriptors[:1], daemon=True
        ).start()
        folds, facts = _load(start, catalogue, layers)
    except Error as error:
        channel.send(_error(error.code, message=error.message, remedy=error.remedy))
        return
    channel.send({"status": "ok", "facts": facts.model_dump(mode="json")})
    functions = {task: catalogue.load(task) for task in start.tasks}  # torch takes a second
    channel.send({"status": "ok"})
    rows_of = {task: folds[catalogue.folds[task]] for task in functions}
    while (request := channel.receive(MAX_REQUEST_BYTES)) is not None:
        channel.send(*_answer(request, functions, rows_of, start.max_answer_bytes))


def _check_tasks(tasks: tuple[str, ...], catalogue: Catalogue) -> None:
    if unknown := [task for task in tasks if task not in catalogue.folds]:
        message = f"{unknown[0]!r} is not a task of this node"
        raise LocalError("TASK_UNKNOWN", message, f"Known are {', '.join(catalogue.folds)}")


def _isolate(start: Start, channel: Channel) -> tuple[str, ...]:
    opened = {start.records} if start.opt_outs is None else {start.records, start.opt_outs}
    isolation.close_descriptors(opened | set(channel.descriptors))
    # Nothing can be written; libraries that only ask where they could are given an answer.
    tempfile.tempdir = "/"
    layers = isolation.apply(
        memory_bytes=start.memory_bytes, allow_weaker=start.allow_weaker_isolation
    )
    isolation.verify(layers, start.forbidden)
    return layers


def _end_with_the_node(descriptor: int) -> None:
    """End the process when the node's end of the pipe closes, even in the midst of a task."""
    poll = select.poll()
    poll.register(descriptor, 0)  # hang-up is always reported
    poll.poll()
    os._exit(1)


def _load(
    start: Start, catalogue: Catalogue, layers: tuple[str, ...]
) -> tuple[dict[Fold, Rows], Facts]:
    """The folds that the job's tasks touch, and what the node needs to know of the whole view."""
    view, version = _view(start)
    touched = {catalogue.folds[task] for task in start.tasks}
    folds = _folds(start, view, touched)
    facts = {
        "people": view.people,
        "persons": {fold: part.persons for fold, part in folds.items()},
        "rows": len(view.person),
        "version": version,
        "opt_outs_unmatched": view.opt_outs_unmatched,
        "layers": layers,
    }
    return folds, Facts.model_validate(facts)


def _view(start: Start) -> "tuple[cohort.View, str]":
    """The view and the version of what it was made from. The files are closed after it."""
    from node.data import cohort, opt_outs  # noqa: PLC0415 - may start threads: after isolation

    columns = tuple(column.name for column in (*start.features.columns, start.features.outcome))
    dataset, listed = start.dataset, None
    with contextlib.ExitStack() as opened:
        records: BinaryIO = opened.enter_context(os.fdopen(start.records, "rb"))
        if start.opt_outs is not None:
            listed = opened.enter_context(os.fdopen(start.opt_outs, "rb"))
        before = _stamps(start)
        version = version_of(dataset, records, listed)
        opted_out: frozenset[str] = frozenset()
        if listed is not None and dataset.opt_outs is not None:
            opted_out = opt_outs.read(dataset.opt_outs, listed)
        view = cohort.build(dataset, records, columns, start.split, opted_out)
        if _stamps(start) != before:
            raise LocalError(
                "FILE_CHANGED",
                f"{dataset.source.path} or its list of opt-outs was written to while it was read",
                "Write a new file and rename it over the old one when it is complete",
            )
    return view, version


def _stamps(start: Start) -> list[Stamp]:
    descriptors = [start.records] if start.opt_outs is None else [start.records, start.opt_outs]
    return [stamp(os.fstat(descriptor)) for descriptor in descriptors]


def _folds(start: Start, view: "cohort.View", touched: set[Fold]) -> dict[Fold, Rows]:
    import numpy as np  # noqa: PLC0415 - may start threads: after isolation

    features, outcome, known = start.features.apply(view.columns)
    held_out = view.holdout[view.person]
    folds: dict[Fold, Rows] = {}
    for fold in sorted(touched):
        chosen = known & (held_out if fold == "holdout" else ~held_out)
        people, person = np.unique(view.person[chosen], return_inverse=True)
        rows = Rows(features[chosen], outcome[chosen], person.astype(np.int64), len(people))
        for array in (rows.features, rows.outcome, rows.person):
            array.flags.writeable = False  # a later call computes on the same records
        folds[fold] = rows
    return folds


def _answer(
    request: bytes,
    functions: "Mapping[str, Function]",
    rows_of: "Mapping[str, Rows]",
    max_bytes: int,
) -> "tuple[dict[str, Any], Mapping[str, Array]]":
    """Header and arrays. Of what goes wrong only a code goes on: texts may hold records."""
    try:
        result = _compute(request, functions, rows_of)
    except Error as error:
        return _error(error.code if error.code in TASK_CODES else "TASK_FAILED"), {}
    except MemoryError:
        return _error("TASK_MEMORY"), {}
    except Exception:  # noqa: BLE001 - whatever a task raises; the node decides what follows
        return _error("TASK_FAILED"), {}
    if not _is_sendable(result, max_bytes):
        return _error("TASK_ANSWER"), {}
    return {"status": "ok"}, result


def _compute(
    request: bytes, functions: "Mapping[str, Function]", rows_of: "Mapping[str, Rows]"
) -> "Mapping[str, Array]":
    header, arrays = frames.unpack(request, max_bytes=MAX_REQUEST_BYTES)
    task = str(header["task"])
    if task not in functions:
        raise LocalError("TASK_UNKNOWN", "not a task of this job")
    rows = rows_of[task]
    return functions[task](header["arguments"], arrays, rows.features, rows.outcome, rows.person)


def _is_sendable(result: "Mapping[str, Array]", max_bytes: int) -> bool:
    import numpy as np  # noqa: PLC0415 - as in `_load`

    return (
        isinstance(result, dict)
        and all(isinstance(array, np.ndarray) for array in result.values())
        and all(array.dtype.name in ("float32", "float64", "int64") for array in result.values())
        and sum(array.nbytes for array in result.values()) + FRAME_BYTES <= max_bytes
    )


def _error(code: str, **texts: str) -> dict[str, Any]:
    return {"status": "error", "code": code, **texts}


def _load_task(task: str) -> "Function":
    from connector.tasks import TASKS  # noqa: PLC0415 - the default catalogue only
    from node import tasks  # noqa: PLC0415

    tasks.load(task)
    function = tasks.CATALOGUE[task]

    def run(
        arguments: dict[str, Any],
        arrays: "Mapping[str, Array]",
        features: "Array",
        outcome: "Array",
        person: "Array",
    ) -> "Mapping[str, Array]":
        return function(TASKS[task].parse(arguments), arrays, features, outcome, person)

    return run


if __name__ == "__main__":
    from connector.tasks import TASKS

    main(Catalogue({name: task.fold for name, task in TASKS.items()}, _load_task))
