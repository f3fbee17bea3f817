"""Every node is told which permits were taken back, and told again until it says that it knows.

A node that is away is told when it comes. It is told for as long as the permit would have lasted;
after that the date alone stops everything.
"""

import threading
import time
from collections.abc import Callable

from sqlalchemy import and_, exists, select, true

from connector.flower.server import FleetRun, FleetServer
from connector.store import NoticeRow, Participant, RevocationRow
from coordinator.jobs.exchange import Exchange, Member
from coordinator.office import Office
from coordinator.roster import Roster
from policies.errors import Error

_ANSWER_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 60.0
_AT_ONCE = 16
_MOST_AT_A_TIME = 50

Visit = tuple[int, int]  # a node's id, and how often it has connected


class Notices:
    """Carries signed revocations to the nodes that are connected. A slow one holds up no other."""

    def __init__(
        self, office: Office, fleet: FleetServer, roster: Roster, say: Callable[[str], None]
    ) -> None:
        self._office = office
        self._fleet = fleet
        self._roster = roster
        self._say = say
        self._lock = threading.Lock()
        self._telling: dict[str, FleetRun] = {}
        # Visit, attempts in it, and when the next one is due.
        self._missed: dict[str, tuple[Visit, int, float]] = {}

    def refresh(self) -> None:
        """Tell those that are connected and do not know; their answers come later."""
        open_notices = self._open()
        if not open_notices:
            return
        visits = self._fleet.visits()
        members = {member.name: member for member in self._roster.members()}
        for name, rows in open_notices.items():
            member = members.get(name)
            if member is None or member.node_id not in visits:
                continue
            visit = (member.node_id, visits[member.node_id])
            with self._lock:
                if name in self._telling or len(self._telling) >= _AT_ONCE:
                    continue
                if self._is_pausing(name, visit):
                    continue
                self._telling[name] = self._fleet.open_run()
            threading.Thread(target=self._tell, args=(member, visit, rows), daemon=True).start()

    def close(self) -> None:
        """End all that is being told."""
        with self._lock:
            runs = list(self._telling.values())
        for run in runs:
            run.close()

    def _open(self) -> dict[str, list[RevocationRow]]:
        """Revocations by hospital that has not acknowledged them since it enrolled."""
        known = exists().where(
            and_(
                NoticeRow.permit_id == RevocationRow.permit_id,
                NoticeRow.participant == Participant.name,
                NoticeRow.effect == RevocationRow.effect,
                # Who enrolled anew may have begun a new log.
                NoticeRow.acknowledged_at >= Participant.enrolled_at,
            )
        )
        now = self._office.clock()
        query = (
            select(Participant.name, RevocationRow)
            .join(RevocationRow, true())
            .where(
                RevocationRow.logged.is_(True),
                RevocationRow.ends_at > now,
                Participant.not_after > now,
                ~known,
            )
            .order_by(RevocationRow.revoked_at)
        )
        found: dict[str, list[RevocationRow]] = {}
        with self._office.store.read() as session:
            for name, row in session.execute(query):
                found.setdefault(name, []).append(row)
        return found

    def _is_pausing(self, name: str, visit: Visit) -> bool:
        missed = self._missed.get(name)
        return missed is not None and missed[0] == visit and time.monotonic() < missed[2]

    def _tell(self, member: Member, visit: Visit, rows: list[RevocationRow]) -> None:
        told = False
        try:
            with self._telling[member.name] as run:
                told = all(self._acknowledges(run, member, row) for row in rows[:_MOST_AT_A_TIME])
        except Error as error:
            self._say(f"{member.name} could not be told of a revocation: {error.diagnostics()}")
        finally:
            with self._lock:
                del self._telling[member.name]
                if told:
                    self._missed.pop(member.name, None)
                else:
                    self._pause(member.name, visit)

    def _pause(self, name: str, visit: Visit) -> None:
        before, attempts, _ = self._missed.get(name, (visit, 0, 0.0))
        attempts = attempts + 1 if before == visit else 1
        pause = min(2.0**attempts, _LONGEST_PAUSE_SECONDS)
        self._missed[name] = (visit, attempts, time.monotonic() + pause)

    def _acknowledges(self, run: FleetRun, member: Member, row: RevocationRow) -> bool:
        (answer,) = Exchange(run, self._office.key).ask(
            [member], "revoke", {"statement": row.document}, seconds=_ANSWER_SECONDS, enough=1
        )
        if not answer.good:
            if not answer.silent:
                self._say(f"{member.name} does not take the revocation: {answer.code}")
            return False
        with self._office.store.begin() as session:
            session.merge(
                NoticeRow(
                    permit_id=row.permit_id,
                    participant=member.name,
                    effect=row.effect,
                    acknowledged_at=self._office.clock(),
                )
            )
        self._say(f"{member.name} knows that permit {row.permit_id} is {row.effect}")
        return True
