"""A job's rounds: good updates make the model, bad ones cost their sender its place."""

import math
from typing import Any

import numpy as np
import pytest
from desk import BINS, HDAB, NAMES, Hospital, Notes, Road, hospitals, permit, refuse, silence, spec
from misbehaviour import BAD, SILENT

from connector import scores
from connector.audit import entries
from connector.identity import documents
from connector.jobs import Strategy
from coordinator.jobs.exchange import Exchange
from coordinator.jobs.run import JobFailed, JobRefused, JobRun, Result

TRAIN, TEST = "training.logistic", "evaluation.logistic"


def job(asked: dict[str, Hospital], notes: Notes, **changed: Any) -> JobRun:
    granted = permit(**changed.pop("permit", {}))
    return JobRun(
        run=changed.pop("run", Road(asked.values())),
        key=HDAB,
        spec=spec(permit_digest=granted.digest, **changed),
        permit=granted,
        permit_document=documents.sign(HDAB, granted),
        members=[hospital.member for hospital in asked.values()],
        event=notes.event,
        record=notes.record,
    )


def train(asked: dict[str, Hospital], notes: Notes, **changed: Any) -> Result:
    run = job(asked, notes, **changed)
    run.start()
    return run.train()


def mean(*rounds: tuple[int, ...]) -> list[float]:
    """The sum over rounds of the mean update of those who took part, by their numbers."""
    total = sum(sum(numbers) / len(numbers) for numbers in rounds)
    return [total, -0.5 * total]


ALL = (1, 2, 3)


def test_a_job_in_which_all_is_well() -> None:
    asked, notes = hospitals(), Notes()
    run = job(asked, notes)
    run.start()
    result = run.train()
    run.end("finished")
    assert result.parameters.dtype == np.float32
    assert result.parameters.tolist() == mean(ALL, ALL, ALL)
    assert result.participants == NAMES
    assert result.rounds_answered == dict.fromkeys(NAMES, 3)
    for hospital in asked.values():
        assert hospital.asked == ["start", TRAIN, TRAIN, TRAIN, TEST, "end"]
    assert [kind for kind, _ in notes.told] == ["accepted"] * 3 + ["round"] * 3 + ["evaluation"]
    started, *received = notes.log
    assert isinstance(started, entries.JobStarted)
    assert started.participants == NAMES
    assert all(isinstance(e, entries.Received) and e.code == "accepted" for e in received)
    assert len(received) == 4 * 3


def test_each_round_sends_the_model_of_the_round_before() -> None:
    asked, notes, seen = hospitals(), Notes(), []

    def look(hospital: Hospital, message: Any, reference: str) -> Any:
        seen.append(message.arrays["parameters"].tolist())
        return hospital.honest(message, reference)

    for number in (1, 2, 3):
        asked["north"].answers[TRAIN, number] = look
    asked["north"].answers[TEST, 1] = look
    result = train(asked, notes)
    assert seen == [[0, 0], mean(ALL), mean(ALL, ALL), result.parameters.tolist()]


@pytest.mark.parametrize("how", BAD)
def test_a_bad_answer_costs_its_sender_its_place_in_that_round_only(how: str) -> None:
    asked, notes = hospitals(), Notes()
    answering, code = BAD[how]
    asked["north"].answers[TRAIN, 2] = answering
    result = train(asked, notes)
    assert result.parameters.tolist() == mean(ALL, (1, 3), ALL)
    assert result.rounds_answered == {"east": 3, "north": 2, "south": 3}
    assert asked["north"].asked.count(TRAIN) == 3
    assert [
        (body["hospital"], body["round"], body["code"]) for body in notes.events("left-out")
    ] == [("north", 2, code)]
    assert [body["hospitals"] for body in notes.events("round")] == [
        list(NAMES),
        ["east", "south"],
        list(NAMES),
    ]
    turned_away = [e for e in notes.entries(entries.Received) if e.code != "accepted"]
    assert [(e.sender, e.round, e.task, e.code) for e in turned_away] == [("north", 2, TRAIN, code)]


@pytest.mark.parametrize("how", SILENT)
def test_a_hospital_that_left_or_was_silent_twice_is_not_asked_again(how: str) -> None:
    asked, notes = hospitals(), Notes()
    answering, code = SILENT[how]
    times = 1 if code == "NODE_OFFLINE" else 2
    for number in (1, 2):
        asked["north"].answers[TRAIN, number] = answering
    run = job(asked, notes)
    run.start()
    result = run.train()
    assert result.parameters.tolist() == mean((1, 3), (1, 3), (1, 3))
    assert asked["north"].asked == ["start", *[TRAIN] * times]
    assert [body["code"] for body in notes.events("left-out")] == [code] * times
    missing = [e for e in notes.entries(entries.Received) if e.code != "accepted"]
    assert [(e.sender, e.message, e.code) for e in missing] == [("north", "none", code)] * times
    run.end("finished")
    assert asked["north"].asked[-1] == "end", "it is told the end all the same"


def test_a_hospital_that_was_silent_once_is_asked_again() -> None:
    asked, notes = hospitals(), Notes()
    for number in (1, 3):  # never twice in a row
        asked["north"].answers[TRAIN, number] = silence
    result = train(asked, notes)
    assert result.parameters.tolist() == mean((1, 3), ALL, (1, 3))
    assert result.evaluations[0]["hospitals"] == list(NAMES)


def test_nobody_is_hurried_before_every_hospital_has_answered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, enough = hospitals(), []
    asked["north"].answers[TRAIN, 1] = silence
    ask = Exchange.ask

    def watch(self: Exchange, *arguments: Any, **named: Any) -> Any:
        enough.append(named["enough"])
        return ask(self, *arguments, **named)

    monkeypatch.setattr(Exchange, "ask", watch)
    train(asked, Notes())
    # Start, then rounds 1 to 3, then the evaluation; north first answers in round 2.
    assert enough == [3, 3, 3, 2, 2]


def test_a_hospital_that_is_offline_has_time_to_come() -> None:
    asked, notes = hospitals(), Notes()
    asked["north"].offline = True
    road = Road(asked.values())
    road.arriving = True
    assert train(asked, notes, run=road).participants == NAMES
    assert road.patience >= 10


def test_hospitals_that_are_not_enrolled_are_named() -> None:
    asked, notes = hospitals("east", "north"), Notes()
    assert train(asked, notes).participants == ("east", "north")
    assert notes.events("declined") == [{"hospital": "south", "code": "NOT_ENROLLED", "rules": []}]


def test_nobody_is_asked_when_too_few_are_enrolled() -> None:
    asked, notes = hospitals("east"), Notes()
    with pytest.raises(JobRefused):
        train(asked, notes)
    assert asked["east"].asked == []
    assert [body["hospital"] for body in notes.events("declined")] == ["north", "south"]


def test_a_hospital_that_goes_offline_is_not_asked_again() -> None:
    asked, notes = hospitals(), Notes()

    def last_words(hospital: Hospital, message: Any, reference: str) -> Any:
        hospital.offline = True
        return hospital.honest(message, reference)

    asked["north"].answers[TRAIN, 1] = last_words
    result = train(asked, notes)
    assert result.rounds_answered == {"east": 3, "north": 1, "south": 3}
    assert [body["code"] for body in notes.events("left-out")] == ["NODE_OFFLINE"]


@pytest.mark.parametrize("answering", [silence, refuse("NOT_ALLOWED"), BAD["not a number"][0]])
def test_too_few_good_answers_fail_the_job(answering: Any) -> None:
    asked, notes = hospitals(), Notes()
    for name in ("east", "north"):
        asked[name].answers[TRAIN, 2] = answering
    with pytest.raises(JobFailed):
        train(asked, notes)
    assert len(notes.events("round")) == 1
    assert [body["hospital"] for body in notes.events("left-out")] == ["east", "north"]
    assert asked["south"].asked == ["start", TRAIN, TRAIN]


def test_too_few_good_evaluations_fail_the_job() -> None:
    asked, notes = hospitals(), Notes()
    for name in ("east", "north"):
        asked[name].answers[TEST, 1] = silence
    with pytest.raises(JobFailed):
        train(asked, notes)
    assert notes.events("evaluation") == []


def test_silence_adds_up_over_the_rounds() -> None:
    asked, notes = hospitals(), Notes()
    for number in (1, 2):
        asked["north"].answers[TRAIN, number] = silence
    asked["south"].answers[TRAIN, 2] = silence
    with pytest.raises(JobFailed):
        train(asked, notes)
    assert asked["east"].asked == ["start", TRAIN, TRAIN]
    assert [body["hospital"] for body in notes.events("left-out")] == ["north", "north", "south"]


def test_hospitals_that_decline_are_left_out_with_their_reasons() -> None:
    asked, notes = hospitals(), Notes()
    asked["north"].answers["start", 1] = refuse("NOT_ALLOWED", "ehds.art54.c", "policy.purpose")
    result = train(asked, notes)
    assert result.participants == ("east", "south")
    assert result.parameters.tolist() == mean((1, 3), (1, 3), (1, 3))
    assert notes.events("declined") == [
        {"hospital": "north", "code": "NOT_ALLOWED", "rules": ["ehds.art54.c", "policy.purpose"]}
    ]
    assert asked["north"].asked == ["start"]


@pytest.mark.parametrize("answering", [silence, refuse("NOT_ALLOWED"), BAD["noise"][0]])
def test_a_job_that_too_few_accept_is_refused_before_anything_is_computed(answering: Any) -> None:
    asked, notes = hospitals(), Notes()
    for name in ("east", "north"):
        asked[name].answers["start", 1] = answering
    with pytest.raises(JobRefused):
        train(asked, notes)
    assert all(hospital.asked == ["start"] for hospital in asked.values())
    assert [body["hospital"] for body in notes.events("declined")] == ["east", "north"]


def test_a_job_with_exactly_the_permits_minimum_goes_on() -> None:
    asked, notes = hospitals(), Notes()
    asked["north"].offline = True
    assert train(asked, notes).parameters.tolist() == mean((1, 3), (1, 3), (1, 3))
    with pytest.raises(JobRefused):
        train(asked, Notes(), permit={"minimum_participants": 3})


def test_an_evaluation_is_the_sum_of_the_hospitals_histograms() -> None:
    asked, notes = hospitals(), Notes()
    asked["south"].answers[TEST, 1] = BAD["not a number"][0]
    result = train(asked, notes)
    histogram = [[3 * (BINS * row + column) for column in range(BINS)] for row in range(2)]
    expected = scores.auc(histogram, 10 * math.sqrt(2))
    assert expected is not None
    assert result.evaluations == notes.events("evaluation")
    assert result.evaluations == [
        {
            "round": 3,
            "hospitals": ["east", "north"],
            "auc": expected.value,
            "auc_noise": expected.noise,
            "accuracy": scores.accuracy(histogram),
        }
    ]


@pytest.mark.parametrize(
    "histogram",
    [
        np.zeros((2, BINS), np.float32),
        np.zeros((2, BINS + 2), np.int64),
        np.zeros((BINS, 2), np.int64),
        np.zeros(2 * BINS, np.int64),
    ],
)
def test_a_histogram_of_another_form_is_not_summed(histogram: Any) -> None:
    asked, notes = hospitals(), Notes()
    asked["north"].answers[TEST, 1] = lambda hospital, _message, reference: hospital.reply(
        reference, histogram=histogram
    )
    assert train(asked, notes).evaluations[0]["hospitals"] == ["east", "south"]


def test_noise_can_leave_nothing_to_say() -> None:
    asked, notes = hospitals(), Notes()
    nothing = {"histogram": np.full((2, BINS), -5, np.int64)}
    for hospital in asked.values():
        hospital.answers[TEST, 1] = lambda h, _message, reference: h.reply(reference, **nothing)
    (evaluation,) = train(asked, notes).evaluations
    assert (evaluation["auc"], evaluation["auc_noise"], evaluation["accuracy"]) == (
        None,
        None,
        None,
    )


def test_the_strategy_and_its_rate_are_those_of_the_specification() -> None:
    half = Strategy(name="fedavg", server_learning_rate="0.5")  # type: ignore[arg-type] # parsed
    result = train(hospitals(), Notes(), strategy=half)
    assert result.parameters.tolist() == [x / 2 for x in mean(ALL, ALL, ALL)]
    yogi = train(hospitals(), Notes(), strategy=Strategy(name="fedyogi"))
    assert yogi.parameters.tolist() != mean(ALL, ALL, ALL)


def test_an_end_that_cannot_be_told_is_no_error() -> None:
    asked, notes = hospitals(), Notes()
    road = Road(asked.values())
    run = job(asked, notes, run=road)
    run.start()
    road.close()
    run.end("COORDINATOR_STOPPED")
    assert asked["east"].asked == ["start"]
