"""The node follows the coordinator's list of participants: at its start, and every minute.

A list that is older than the last one, contradicts it, or has ended is not followed, and said.
"""

import threading
from collections.abc import Callable
from datetime import datetime

from connector.clock import utc_now
from connector.errors import LocalError
from connector.identity.keys import VerifyKey
from connector.identity.manifest import MAX_BYTES, Participants
from node.config import Paths
from node.enrol import get_pinned
from policies.errors import Error

_SECONDS = 60.0


class Follower:
    """`participants` is what everything at this node asks who takes part."""

    def __init__(
        self,
        paths: Paths,
        address: str,
        coordinator: VerifyKey,
        say: Callable[[str], None],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Raises `LocalError` (MANIFEST_DAMAGED)."""
        self._paths = paths
        self._url = f"https://{address}/v1/participants"
        self._say = say
        self._said = ""
        place = paths.root / "identity" / "participants.json"
        self.participants = Participants(place, coordinator, clock)

    def run(self, stop: threading.Event) -> None:
        """Follow until `stop`."""
        self.look()
        while not stop.wait(_SECONDS):
            self.look()

    def look(self) -> None:
        """Fetch once. What is wrong is said when it begins, not every minute."""
        try:
            content = get_pinned(self._url, self._paths.authority.read_bytes(), MAX_BYTES)
            self.participants.take(content.decode("utf-8", "replace"))
        except Error as error:
            self._tell(error)
        except OSError as error:
            self._tell(
                LocalError(
                    "MANIFEST_UNWRITABLE",
                    f"the list of participants cannot be kept ({error.strerror})",
                    "Check the disk",
                )
            )
        else:
            self._said = ""

    def _tell(self, error: Error) -> None:
        if error.code != self._said:
            self._said = error.code
            self._say(f"participants: {error.diagnostics()} [{error.code}]")
