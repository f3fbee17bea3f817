"""What the connected hospitals offer, kept current: each is asked whenever it connects."""

import contextlib
import threading
import time
from collections.abc import Callable

from sqlalchemy import select

from connector.flower.server import FleetRun, FleetServer
from connector.jobs import JobSpec
from connector.store import JobRow, Participant
from coordinator.jobs.exchange import Exchange, Member
from coordinator.jobs.states import FINAL
from coordinator.office import Office, sift
from coordinator.roster import Roster
from policies.errors import Error

_DESCRIBE_SECONDS = 20.0
_AGAIN_SECONDS = 30.0
_AT_ONCE = 16
_END_SECONDS = 10.0
_MOST_ENDS = 10

Visit = tuple[int, int]  # a node's id, and how often it has connected


class Catalogue:
    """Asks hospitals what they offer. A slow one holds up nobody else."""

    def __init__(
        self, office: Office, fleet: FleetServer, roster: Roster, say: Callable[[str], None]
    ) -> None:
        self._office = office
        self._fleet = fleet
        self._roster = roster
        self._say = say
        self._lock = threading.Lock()
        self._described: dict[str, Visit] = {}
        self._asking: dict[str, FleetRun] = {}
        self._not_before: dict[str, tuple[Visit, float]] = {}

    def refresh(self) -> None:
        """Ask those that have connected since they last answered; the answers come later."""
        visits = self._fleet.visits()
        for name, node_id in self._roster.nodes().items():
            if node_id not in visits:
                continue
            visit = (node_id, visits[node_id])
            with self._lock:
                if (
                    self._described.get(name) == visit
                    or name in self._asking
                    or len(self._asking) >= _AT_ONCE
                    or self._failed_lately(name, visit)
                ):
                    continue
                self._asking[name] = self._fleet.open_run()
            threading.Thread(target=self._ask, args=(name, visit), daemon=True).start()

    def close(self) -> None:
        """End all that is being asked."""
        with self._lock:
            runs = list(self._asking.values())
        for run in runs:
            run.close()

    def _failed_lately(self, name: str, visit: Visit) -> bool:
        """A node that has connected anew is asked at once, whatever became of its last visit."""
        failed, not_before = self._not_before.get(name, (None, 0.0))
        return failed == visit and time.monotonic() < not_before

    def _ask(self, name: str, visit: Visit) -> None:
        described = False
        try:
            with self._asking[name] as run:
                described = self._describe(Exchange(run, self._office.key), name)
        except Error as error:
            self._say(f"{name} could not be asked for its offers: {error.diagnostics()}")
        finally:
            with self._lock:
                del self._asking[name]
                if described:
                    self._described[name] = visit
                else:
                    self._not_before[name] = (visit, time.monotonic() + _AGAIN_SECONDS)

    def _describe(self, exchange: Exchange, name: str) -> bool:
        members = [member for member in self._roster.members() if member.name == name]
        for member in members:
            (answer,) = exchange.ask([member], "describe", {}, seconds=_DESCRIBE_SECONDS, enough=1)
            if not answer.good:
                return False
            self._save(name, answer.offers)
            with contextlib.suppress(Error):  # best effort: a job's deadline ends it, too
                self._tell_ends(exchange, member)
            self._mark_seen(name)
            return True
        return False

    def _save(self, name: str, described: tuple[object, ...]) -> None:
        offers, dropped = sift(name, described)
        with self._office.store.begin() as session:
            participant = session.get(Participant, name)
            if participant is not None:
                participant.offers = [
                    offer.model_dump(mode="json", by_alias=True) for offer in offers
                ]
        for code in sorted(set(dropped)):
            self._say(f"{name}: {dropped.count(code)} of its offers are not taken [{code}]")

    def _mark_seen(self, name: str) -> None:
        """Both sides know of each other what there is to know."""
        with self._office.store.begin() as session:
            participant = session.get(Participant, name)
            if participant is not None:
                participant.last_seen = self._office.clock()

    def _tell_ends(self, exchange: Exchange, member: Member) -> None:
        """Tell a node that was away, or that we left, which of the last jobs are over.

        Otherwise it would hold a job's records and its unused plan until the job's time is over.
        """
        newest = (
            select(JobRow)
            .where(JobRow.state.in_(FINAL))
            .order_by(JobRow.submitted_at.desc())
            .limit(_MOST_ENDS)
        )
        with self._office.store.read() as session:
            rows = list(session.scalars(newest))
        for row in rows:
            spec = JobSpec.decode(row.specification.encode())
            if spec.dataset_of(member.name) and spec.not_after > self._office.clock():
                body = {"job": row.digest, "reason": row.reason or row.state}
                (answer,) = exchange.ask([member], "end", body, seconds=_END_SECONDS, enough=1)
                if answer.silent:
                    return
