"""One durable append to the audit log beside a bare fdatasync of the same bytes."""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from connector.audit.log import Log
from connector.identity.keys import SigningKey

_ENTRY_BYTES, _COUNT = 900, 200


def seconds() -> tuple[float, float]:
    """Median seconds of (an append, a bare write and fdatasync), taken in turns."""
    entry = os.urandom(_ENTRY_BYTES)
    appended, bare = [], []
    with tempfile.TemporaryDirectory(prefix="append-") as name:
        file = os.open(Path(name) / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with Log.open(Path(name) / "log", SigningKey.generate("bench")) as log:
            for _ in range(_COUNT):
                began = time.perf_counter()
                os.write(file, entry)
                os.fdatasync(file)
                between = time.perf_counter()
                log.append([entry])
                appended.append(time.perf_counter() - between)
                bare.append(between - began)
        os.close(file)
    return statistics.median(appended), statistics.median(bare)


if __name__ == "__main__":
    append, bare = seconds()
    print(f"append {append * 1e6:.0f} us, bare fdatasync {bare * 1e6:.0f} us")
