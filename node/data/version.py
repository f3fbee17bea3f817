"""Which records a job computes on: a digest of all that the view of a dataset is made from.

A fold belongs to a person only as long as the records say the same of that person. Threat: a file
that is replaced between two steps of a job moves people from one fold to the other, or brings
back whom the list had left out, and the parallel composition over the folds no longer holds.
"""

import hashlib
import json
import os
from typing import BinaryIO

from node.data.dataset import Dataset

Stamp = tuple[int, int, int, int]


def version_of(dataset: Dataset, records: BinaryIO, opt_outs: BinaryIO | None) -> str:
    """SHA-256 (hex) over the configuration, the records and the list of opt-outs.

    A first pass over the files, which are left at their start. It costs the hashing, about 2 s per
    GB where the processor has instructions for it, and loads the pages that are parsed next.
    """
    # Not `policies.canonical`: the spellings of a category are keys, and need not be ASCII.
    description = json.dumps(
        dataset.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True
    )
    parts = [hashlib.sha256(description.encode()).digest(), _digest(records)]
    parts.append(bytes(32) if opt_outs is None else _digest(opt_outs))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def stamp(status: os.stat_result) -> Stamp:
    """Device, inode, size in bytes and time of change in ns: another stamp, another content."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _digest(file: BinaryIO) -> bytes:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]  # any BinaryIO
    file.seek(0)
    return digest
