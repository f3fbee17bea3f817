"""How many messages a node answers: by a clock that nobody sets."""

from collections import deque
from collections.abc import Callable


class RateLimit:
    """At most so many messages in any minute (threat: a flood that fills the log)."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._times: deque[float] = deque(maxlen=per_minute)
        self._monotonic = monotonic

    def admits(self) -> bool:
        """Whether one more message may be answered now; counts it if so."""
        now = self._monotonic()
        if len(self._times) == self._times.maxlen and now - self._times[0] < 60:
            return False
        self._times.append(now)
        return True
