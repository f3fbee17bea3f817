"""Every hospital that connects is asked what it offers; nothing it says stops the others."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from desk import (
    NOW,
    Answering,
    Hospital,
    Road,
    hospitals,
    offer,
    permit,
    refuse,
    silence,
    spec,
)

from connector.identity.keys import SigningKey
from connector.store import JobRow, Participant
from coordinator import catalogue as asking
from coordinator.catalogue import Catalogue
from coordinator.jobs import conduct
from coordinator.jobs.states import JobState
from coordinator.office import Office, create, offers_of

SECONDS = 20.0


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    paths = create(tmp_path / "hdab", "hdab", "127.0.0.1", 0)
    paths.signing_key.unlink()
    SigningKey("hdab", b"c" * 32).save(paths.signing_key)  # the key that the hospitals know
    opened = replace(Office.open(tmp_path / "hdab"), clock=lambda: NOW)
    opened.issue_permit(permit())
    yield opened
    opened.close()


@dataclass
class World:
    """Hospitals, each of which connects when the test says so."""

    office: Office
    asked: dict[str, Hospital]
    connected: dict[int, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.office, self, self, self.said.append)  # type: ignore[arg-type] # stands in for Fleet and roster
        with self.office.store.begin() as session:
            for name, hospital in self.asked.items():
                session.add(
                    Participant(
                        name=name, signing_key=hospital.key.verify_key.vkey, fleet_key="",
                        enrolled_at=NOW, not_after=NOW.replace(year=2030), offers=[],
                    )
                )  # fmt: skip

    def visits(self) -> dict[int, int]:
        return dict(self.connected)

    def open_run(self) -> Road:
        return Road(self.asked.values())

    def nodes(self) -> dict[str, int]:
        return {name: hospital.number for name, hospital in self.asked.items()}

    def members(self) -> list[Any]:
        return [hospital.member for hospital in self.asked.values()]

    def connect(self, name: str) -> None:
        number = self.asked[name].number
        self.connected[number] = self.connected.get(number, 0) + 1

    def refresh(self) -> None:
        self.catalogue.refresh()
        deadline = time.monotonic() + SECONDS
        while self.catalogue._asking:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def offers(self) -> list[str]:
        return sorted(offers_of(self.office.participants()))


@pytest.fixture
def world(office: Office) -> World:
    return World(office, hospitals("east", "north"))


def describing(*forms: Any) -> Answering:
    return lambda hospital, _message, reference: hospital.reply(
        reference, body={"offers": list(forms)}
    )


def test_a_hospital_is_asked_once_for_each_time_that_it_connects(world: World) -> None:
    east = world.asked["east"]
    east.answers["describe", 1] = describing(offer("east/a"))
    east.answers["describe", 2] = describing(offer("east/b"))
    world.refresh()
    assert east.asked == []
    world.connect("east")
    for _ in range(3):
        world.refresh()
    assert east.asked == ["describe"]
    assert world.offers() == ["east/a"]
    world.connect("east")  # a quick restart, with another policy
    for _ in range(3):
        world.refresh()
    assert east.asked == ["describe", "describe"]
    assert world.offers() == ["east/b"]


@pytest.mark.parametrize("answering", [silence, refuse("NODE_ERROR", status="failed")])
def test_a_hospital_that_did_not_answer_is_asked_again_but_not_at_once(
    world: World, answering: Answering
) -> None:
    east = world.asked["east"]
    east.answers["describe", 1] = answering
    east.answers["describe", 2] = describing(offer("east/a"))
    world.connect("east")
    for _ in range(3):
        world.refresh()
    assert east.asked == ["describe"]
    world.catalogue._not_before.clear()  # the pause is over
    world.refresh()
    assert world.offers() == ["east/a"]


def test_offers_that_are_none_or_anothers_are_dropped_with_a_line(world: World) -> None:
    world.asked["east"].answers["describe", 1] = describing(
        {}, offer("east/a"), offer("north/a"), {"dataset": 1}, offer("east/x", title="\x1b[2J")
    )
    world.connect("east")
    world.refresh()
    assert world.offers() == ["east/a"]
    assert world.said == [
        "east: 3 of its offers are not taken [OFFER_MALFORMED]",
        "east: 1 of its offers are not taken [OFFER_NOT_YOURS]",
    ]
    (saved,) = [p for p in world.office.participants() if p.name == "east"]
    assert [form["dataset"] for form in saved.offers] == ["east/a"]
    assert "budget" not in saved.offers[0]["policy"]


def over(office: Office, count: int) -> list[str]:
    digests = []
    for number in range(count):
        made = spec(id=f"job-{number}")
        conduct.submit(office, made, "permit-1")
        with office.store.begin() as session:
            session.get_one(JobRow, made.id).state = JobState.FAILED
        digests.append(made.digest)
    return digests


def test_ends_are_told_after_the_offers_are_saved_and_are_few(world: World) -> None:
    over(world.office, asking._MOST_ENDS + 5)
    known: list[list[str]] = []
    east = world.asked["east"]
    east.answers["describe", 1] = describing(offer("east/a"))

    def look(hospital: Hospital, _message: Any, reference: str) -> Any:
        known.append(world.offers())
        return hospital.reply(reference)

    for number in range(1, 30):
        east.answers["end", number] = look
    world.connect("east")
    world.refresh()
    assert known == [["east/a"]] * asking._MOST_ENDS


def test_a_hospital_that_does_not_listen_to_ends_is_told_no_more(world: World) -> None:
    over(world.office, 3)
    east = world.asked["east"]
    east.answers["describe", 1] = describing(offer("east/a"))
    east.answers["end", 1] = silence
    world.connect("east")
    world.refresh()
    assert east.asked == ["describe", "end"]
    assert world.offers() == ["east/a"]
    world.refresh()
    assert east.asked == ["describe", "end"], "its offers are known: it is not asked again"
