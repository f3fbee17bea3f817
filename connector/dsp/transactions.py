"""Group commit: what many threads want to write at once is made durable by one commit.

A commit waits for the disk, and SQLite has one writer. Whoever comes while another one commits
waits for its turn; who gets it takes everybody who has come meanwhile into one transaction, each in
a savepoint of its own, so that the failure of one undoes that one alone. Nobody is answered before
the commit.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from connector.errors import LocalError
from connector.store import Store

T = TypeVar("T")
_ATTEMPTS = 5
_LARGEST = 32


class _Item(Generic[T]):
    """One piece of work, and what became of it."""

    def __init__(self, work: Callable[[Session], T]) -> None:
        self._work = work
        self._result: T | None = None
        self.error: BaseException | None = None
        self.done = False

    def run(self, session: Session) -> None:
        """In a savepoint; its error is kept for whoever waits."""
        try:
            with session.begin_nested():
                self._result = self._work(session)
        except IntegrityError:
            self.error = _conflict()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that it belongs to
            self.error = error
        # The next one reads for itself.
        session.expunge_all()

    def result(self) -> T:
        """Raises what the work has raised."""
        if self.error is not None:
            raise self.error
        return cast("T", self._result)


class Transactions:
    """Runs work in transactions of a store, from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[_Item[Any]] = deque()
        self._turn = threading.Lock()

    def run(self, work: Callable[[Session], T]) -> T:
        """The work's result, committed; again if another process has just written the same key.

        Raises what `work` raises, `LocalError`: DSP_CONFLICT when that goes on, and the store's.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._once(work)
            except LocalError as error:
                if error.code != "DSP_CONFLICT":
                    raise
        return self._once(work)

    def _once(self, work: Callable[[Session], T]) -> T:
        item = _Item(work)
        self._waiting.append(item)
        with self._turn:
            while not item.done:
                self._commit()
        return item.result()

    def _commit(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _LARGEST))]
        try:
            with self._store.begin(_conflict()) as session:
                for item in batch:
                    item.run(session)
        except BaseException as error:
            for item in batch:
                item.error = error
            if not isinstance(error, Exception):
                raise  # the program is being stopped
        finally:
            for item in batch:
                item.done = True


def _conflict() -> LocalError:
    return LocalError("DSP_CONFLICT", "another request changes the same process", "Retry")
