"""How often something may happen: so many times in a minute."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_WINDOW = timedelta(minutes=1)


@dataclass
class Allowance:
    """At most `most` in any minute. For one thread, such as the server's own."""

    most: int = 60
    _taken: deque[datetime] = field(default_factory=deque)

    def take(self, now: datetime) -> bool:
        """Whether once more is allowed; if so, it has happened."""
        while self._taken and now - self._taken[0] > _WINDOW:
            self._taken.popleft()
        if len(self._taken) >= self.most:
            return False
        self._taken.append(now)
        return True
