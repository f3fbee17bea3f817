"""Ask several hospitals one thing: each answer is judged by itself."""

from collections.abc import Iterable

import pytest
from desk import HDAB, PARAMETERS, Hospital, Road, hospitals, refuse
from misbehaviour import BAD, SILENT

from connector import messages
from connector.errors import LocalError
from connector.flower import FleetReply
from coordinator.jobs.exchange import NO_REPLY, Answer, Exchange

STEP = {"job": "sha256:00", "round": 1, "task": "training.logistic"}


def ask(asked: dict[str, Hospital], road: Road | None = None) -> dict[str, Answer]:
    import numpy as np  # noqa: PLC0415 - what the coordinator sends with a step

    answers = Exchange(road or Road(asked.values()), HDAB).ask(  # type: ignore[arg-type] # stand-in
        [hospital.member for hospital in asked.values()],
        "step",
        STEP,
        {"parameters": np.zeros(PARAMETERS, np.float32)},
        seconds=5,
        enough=2,
        accepts=lambda arrays: (
            set(arrays) == {"update"}
            and arrays["update"].dtype == np.float32
            and arrays["update"].shape == (PARAMETERS,)
            and bool(np.isfinite(arrays["update"]).all())
        ),
    )
    assert [answer.member.name for answer in answers] == sorted(asked)
    return {answer.member.name: answer for answer in answers}


def test_every_hospital_gets_the_message_sealed_for_itself() -> None:
    asked = hospitals()
    road = Road(asked.values())
    answers = ask(asked, road)
    assert len(road.sent) == 3
    assert len({messages.digest(sealed) for sealed in road.sent}) == 3
    for name, answer in answers.items():
        assert answer.good
        assert not answer.silent
        assert answer.arrays["update"][0] == asked[name].number
        assert answer.digest == messages.digest(asked[name].sealed[-1])


@pytest.mark.parametrize("how", BAD)
def test_a_bad_answer_has_its_code_and_spoils_no_other(how: str) -> None:
    asked = hospitals()
    asked["north"].reply("sha256:00")  # something to replay
    answering, code = BAD[how]
    asked["north"].answers["training.logistic", 1] = answering
    answers = ask(asked)
    assert answers["north"].code == code
    assert not answers["north"].good
    assert not answers["north"].silent
    assert not answers["north"].arrays
    assert answers["east"].good
    assert answers["south"].good


@pytest.mark.parametrize("how", [name for name in BAD if name != "a failure of Flower's"])
def test_what_was_turned_away_is_named_by_its_digest(how: str) -> None:
    asked = hospitals()
    asked["north"].reply("sha256:00")
    asked["north"].answers["training.logistic", 1] = BAD[how][0]
    road = Road(asked.values())
    digest = ask(asked, road)["north"].digest
    payloads = [reply.payload for reply in road.arrived.values()]
    assert digest in {messages.digest(payload) for payload in payloads if payload is not None}


@pytest.mark.parametrize("how", SILENT)
def test_a_silent_hospital_spoils_no_other(how: str) -> None:
    asked = hospitals()
    answering, code = SILENT[how]
    asked["north"].answers["training.logistic", 1] = answering
    answers = ask(asked)
    assert answers["north"].code == code
    assert answers["north"].silent
    assert answers["east"].good
    assert answers["south"].good


def test_a_hospital_that_is_offline_is_not_waited_for() -> None:
    asked = hospitals()
    asked["north"].offline = True
    answers = ask(asked)
    assert (answers["north"].code, answers["north"].silent) == ("NODE_OFFLINE", True)
    assert answers["east"].good


def test_a_message_that_nobody_waits_for_any_more_is_taken_back() -> None:
    asked = hospitals()
    asked["north"].answer = lambda _payload: None  # type: ignore[method-assign] # says nothing
    road = Road(asked.values())
    assert ask(asked, road)["north"].code == NO_REPLY
    assert road.withdrawn == [f"message-{list(asked).index('north') + 1}"]


class Paced(Road):
    """A road on a clock of its own: each hospital's answer takes its time."""

    def __init__(self, asked: dict[str, Hospital], seconds: dict[str, float]) -> None:
        super().__init__(asked.values())
        self.clock = 0.0
        self.due = {f"message-{n}": s for n, s in enumerate(seconds.values(), start=1)}

    def monotonic(self) -> float:
        return self.clock

    def wait(self, message_ids: Iterable[str], timeout: float, *, count: int | None = None) -> bool:
        assert count == 1
        first = min(self.due[one] for one in message_ids)
        self.clock = min(self.clock + timeout, max(self.clock, first))
        return self.clock >= first

    def replies(self, message_ids: Iterable[str]) -> dict[str, FleetReply]:
        due = [one for one in message_ids if self.due[one] <= self.clock]
        return super().replies(due)


def paced(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Hospital], **seconds: float
) -> tuple[dict[str, str], float]:
    road = Paced(asked, seconds)
    monkeypatch.setattr("coordinator.jobs.exchange.time", road)
    answers = Exchange(road, HDAB).ask(  # type: ignore[arg-type] # stand-in
        [asked[name].member for name in seconds], "end", {}, seconds=120, enough=2
    )
    return {answer.member.name: answer.code for answer in answers}, road.clock


def test_two_quick_refusals_do_not_hurry_the_hospitals_that_compute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = hospitals("a", "b", "c", "d")
    for name in "ab":
        asked[name].answers["end", 1] = refuse("WORKER_DIED")
    codes, taken = paced(monkeypatch, asked, a=0.1, b=0.1, c=30, d=50)
    assert codes == {"a": "WORKER_DIED", "b": "WORKER_DIED", "c": "", "d": ""}
    assert taken == 50


@pytest.mark.parametrize(("fast", "ends"), [(1.0, 6.0), (20.0, 40.0), (100.0, 120.0)])
def test_once_enough_answers_are_good_the_others_have_as_long_again(
    monkeypatch: pytest.MonkeyPatch, fast: float, ends: float
) -> None:
    asked = hospitals("a", "b", "c")
    codes, taken = paced(monkeypatch, asked, a=fast, b=fast, c=1000)
    assert codes == {"a": "", "b": "", "c": NO_REPLY}
    assert taken == ends


def test_nobody_at_all_may_answer() -> None:
    asked = hospitals()
    for hospital in asked.values():
        hospital.answers["training.logistic", 1] = SILENT["silence"][0]
    assert {answer.code for answer in ask(asked).values()} == {NO_REPLY}
    for hospital in asked.values():
        hospital.offline = True
    assert {answer.code for answer in ask(asked).values()} == {"NODE_OFFLINE"}
    assert ask({}) == {}


def test_a_refusal_that_says_it_is_silence_is_an_answer() -> None:
    asked = hospitals()
    asked["north"].answers["training.logistic", 1] = refuse(NO_REPLY)
    assert not ask(asked)["north"].silent


def test_an_answer_over_the_limit_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hospitals()
    opened = messages.open_sealed
    monkeypatch.setattr(
        messages,
        "open_sealed",
        lambda sealed, sender, to: opened(
            sealed, sender, to, max_bytes=1000 if to == "hdab" else messages.MAX_BYTES
        ),
    )
    asked["north"].answers["training.logistic", 1] = BAD["far too many"][0]
    answers = ask(asked)
    assert answers["north"].code == "MESSAGE_TOO_LARGE"
    assert answers["east"].good


def test_arrays_are_refused_where_none_are_expected() -> None:
    asked = hospitals()
    asked["north"].answers["end", 1] = BAD["not a number"][0]
    road = Road(asked.values())
    answers = Exchange(road, HDAB).ask(  # type: ignore[arg-type] # stand-in
        [hospital.member for hospital in asked.values()], "end", {}, seconds=1, enough=3
    )
    assert [answer.code for answer in answers] == ["", "REPLY_ARRAYS", ""]


def test_a_run_that_was_closed_ends_the_exchange() -> None:
    asked = hospitals()
    road = Road(asked.values())
    road.close()
    with pytest.raises(LocalError) as refusal:
        ask(asked, road)
    assert refusal.value.code == "RUN_CLOSED"
