"""Which Flower this package was written against, and how it is kept quiet."""

import logging
from importlib import metadata

from connector.errors import LocalError

# Exactly one version: Flower ships about every two weeks, and no internal symbol used here is
# promised. tests/connector/test_flower.py is the contract; run it before moving the pin.
PIN = "1.41.0"

_log = logging.getLogger("connector.flower")


def check() -> None:
    """Raise `LocalError` (FLOWER_VERSION) unless the pinned Flower is installed."""
    try:
        found = metadata.version("flwr")
    except metadata.PackageNotFoundError:
        found = "none"
    if found != PIN:
        raise LocalError(
            "FLOWER_VERSION",
            f"Flower {PIN} is needed and {found} is installed",
            f"pip install flwr=={PIN}",
        )


def silence() -> None:
    """Send Flower's warnings to our log as a place, without their text."""
    logger = logging.getLogger("flwr")
    logger.handlers = [_PlaceOnly()]
    logger.setLevel(logging.WARNING)
    logger.propagate = False


class _PlaceOnly(logging.Handler):
    # Flower's messages quote requests and exceptions; where it complained is enough to look it up.
    def emit(self, record: logging.LogRecord) -> None:
        where = f"{record.module}.{record.funcName}:{record.lineno}"
        _log.log(record.levelno, "Flower reports a problem in %s", where)
