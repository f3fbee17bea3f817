"""Tokens that were used: each is taken once, also after a restart.

Rows in the participant's own database, by digest; what has expired is removed. One issuer has a
bounded share (threat: a member that makes tokens faster than they expire).
"""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Index, String, delete, func, select
from sqlalchemy.orm import Mapped, mapped_column

from connector.errors import LocalError, RemoteError
from connector.store import Base, Store, UtcDateTime
from policies import canonical

MOST_OF_ONE = 20_000
_SWEEP = timedelta(minutes=1)


class UsedToken(Base):
    """`digest` is of issuer and jti; `issuer` is a digest too, of a bounded length."""

    __tablename__ = "used_tokens"
    __table_args__ = (Index("used_tokens_expiry", "expires_at"),)

    digest: Mapped[str] = mapped_column(String(80), primary_key=True)
    issuer: Mapped[str] = mapped_column(String(80))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Replays:
    """Safe from any thread, and from several processes on one database."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._swept: datetime | None = None
        self._count: Counter[str] = Counter()

    def use(self, issuer: str, jti: str, expires_at: datetime) -> None:
        """Take a token. `expires_at` is the moment from which it is refused for its age.

        Durable when it returns. Raises `RemoteError`: TOKEN_REPLAYED, TOKEN_FLOOD; `LocalError`
        of the store.
        """
        who = canonical.digest(issuer.encode())
        row = UsedToken(
            digest=canonical.digest(f"{issuer}\n{jti}".encode()), issuer=who, expires_at=expires_at
        )
        with self._lock:
            self._sweep()
            if self._count[who] >= MOST_OF_ONE:
                raise RemoteError("TOKEN_FLOOD", "a participant sends too many tokens")
        used = LocalError("TOKEN_REPLAYED", "a token was used before")
        try:
            with self._store.begin(conflict=used) as session:
                session.add(row)
        except LocalError as error:
            if error is used:
                raise RemoteError(used.code, used.message) from error
            raise
        with self._lock:
            self._count[who] += 1

    def _sweep(self) -> None:
        now = self._clock()
        if self._swept is not None and now - self._swept < _SWEEP:
            return
        with self._store.begin() as session:
            session.execute(delete(UsedToken).where(UsedToken.expires_at <= now))
            counted = select(UsedToken.issuer, func.count()).group_by(UsedToken.issuer)
            self._count = Counter()
            for issuer, count in session.execute(counted):
                self._count[issuer] = count
        self._swept = now
