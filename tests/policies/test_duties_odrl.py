"""Duties of a hospital's rules in ODRL: codes, words, dates, and their life in a log."""

from datetime import timedelta
from typing import Any

import pytest
from builders import permit, policy
from casebook import (
    BEGIN,
    DAY,
    END,
    PERMIT,
    SECOND,
    allowed,
    at,
    before,
    done,
    end_of,
    rules,
)

from policies.duties import State, follow, obligations
from policies.errors import PolicyError
from policies.history import Consented
from policies.odrl.duties import follow as follow_odrl
from policies.odrl.owed import Owed, owed, standing
from policies.odrl.world import DeonticState, Performed, World
from policies.policy import Policy

MICRO = timedelta(microseconds=1)


def with_rules(*duties: dict[str, Any], **changed: Any) -> Policy:
    return policy(rules=rules(*duties, **changed))


def named(one: Policy) -> list[Any]:
    return [each for each in obligations(PERMIT, one) if each.duty.startswith("odrl.")]


def history(one: Policy, *records: Any) -> list[Any]:
    codes = frozenset(each.duty for each in obligations(PERMIT, one))
    return [allowed(policy=one, duties=codes), *records]


def states(one: Policy, now: Any, *records: Any) -> dict[str, State]:
    found = follow(history(one, *records), now)
    return {
        each.duty.rpartition("-")[0]: each.state for each in found if each.duty[:5] == "odrl."
    }  # fmt: skip


def test_duties_of_permissions_and_of_the_policy_are_named_in_words() -> None:
    one = with_rules(
        {"action": "delete", "constraint": [before("elapsedTime", "P6M")]},
        {
            "action": [
                {
                    "rdf:value": {"@id": "odrl:compensate"},
                    "refinement": [
                        {"leftOperand": "payAmount", "operator": "eq", "rightOperand": "5"}
                    ],
                }
            ]
        },
        obligations=({"action": "inform", "assignee": "urn:hospital:north"},),
    )
    shown = [(each.party, each.what) for each in named(one)]
    assert shown == [
        ("data-user", "delete the data: north/flchain; within 6 months of the first allowance"),
        ("data-user", "pay for the use (payAmount is 5): north/flchain"),
        ("hospital", "inform the other party"),
    ]
    assert {each.basis for each in named(one)} == {"policy north/research version 1"}


def test_a_date_is_named_where_it_is_certain() -> None:
    one = with_rules(
        {"action": "inform", "constraint": [before("dateTime", "2033-01-31T12:00:00+02:00")]},
        {"action": "attribute", "constraint": [before("dateTime", "2033-01-31")]},
        {"action": "delete", "constraint": [before("elapsedTime", "P30D")]},
    )
    assert [each.due for each in named(one)] == [
        at(2033, 1, 31, 10), end_of(2033, 1, 31), None
    ]  # fmt: skip


def test_a_code_stays_while_the_duty_does_and_is_of_its_policy() -> None:
    first = {"action": "delete", "constraint": [before("elapsedTime", "P30D")]}
    (code,) = (each.duty for each in named(with_rules(first)))
    again = [each.duty for each in named(with_rules({"action": "inform"}, first))]
    assert code in again
    assert code not in {
        each.duty for each in obligations(PERMIT, policy(id="north/b", rules=rules(first)))
    }
    changed = {"action": "delete", "constraint": [before("elapsedTime", "P31D")]}
    assert code not in {each.duty for each in named(with_rules(changed))}
    with_iri = named(with_rules({"@id": "urn:duty:1", **first}))
    assert with_iri[0].duty == named(with_rules({"@id": "urn:duty:1", **changed}))[0].duty


def test_duties_of_a_permission_that_cannot_apply_oblige_nobody() -> None:
    one = with_rules({"action": "delete"})
    other = permit(purpose="https://w3id.org/dpv/sector/health#ImproveHealthcare")
    assert len(named(one)) == 1
    assert not [each for each in obligations(other, one) if each.duty[:5] == "odrl."]


def test_rules_that_cannot_be_read_are_an_error() -> None:
    with pytest.raises(PolicyError):
        obligations(PERMIT, policy(rules="{}"))


ELAPSED = {"action": "delete", "constraint": [before("elapsedTime", "P6M")]}
LAST = at(2032, 7, 5)  # six months after BEGIN, to the second


@pytest.mark.parametrize(
    ("records", "now", "expected"),
    [
        ((), LAST, State.PENDING),
        ((), LAST + MICRO, State.OVERDUE),
        ((LAST,), LAST, State.FULFILLED),
        ((LAST,), END, State.FULFILLED),
        ((LAST + SECOND,), LAST, State.PENDING),
        ((LAST + SECOND,), END, State.LATE),
        ((LAST, LAST + SECOND), END, State.FULFILLED),
    ],
)
def test_time_since_the_first_allowance_runs_to_its_last_moment(
    records: tuple[Any, ...], now: Any, expected: State
) -> None:
    one = with_rules(ELAPSED)
    (code,) = (each.duty for each in named(one))
    found = states(one, now, *(done(code, when) for when in records))
    assert found == {"odrl.delete": expected}


def test_months_end_where_a_month_is_shorter() -> None:
    one = with_rules(ELAPSED)
    begin = at(2031, 8, 31)
    codes = frozenset(each.duty for each in named(one))
    log = [allowed(begin, policy=one, duties=codes)]
    for moment, expected in ((at(2032, 2, 29), State.PENDING), (at(2032, 3, 1), State.OVERDUE)):
        (found,) = (each for each in follow(log, moment) if each.duty in codes)
        assert (found.state, found.due) == (expected, at(2032, 2, 29))


@pytest.mark.parametrize(("operator", "last"), [("lteq", True), ("lt", False)])
def test_a_bound_may_be_included_or_not(operator: str, last: bool) -> None:
    moment = "2032-06-01T00:00:00Z"
    one = with_rules(
        {"action": "delete", "constraint": [before("dateTime", moment, operator)]}
    )  # fmt: skip
    expected = State.PENDING if last else State.OVERDUE
    assert states(one, at(2032, 6, 1, 0)) == {"odrl.delete": expected}
    assert states(one, at(2032, 6, 1, 0) - MICRO) == {"odrl.delete": State.PENDING}


def test_what_is_done_too_early_is_not_done() -> None:
    one = with_rules(
        {"action": "inform", "constraint": [before("delayPeriod", "P30D", "gteq")]}
    )  # fmt: skip
    (code,) = (each.duty for each in named(one))
    assert states(one, END, done(code, BEGIN + DAY)) == {"odrl.inform": State.PENDING}
    assert states(one, END, done(code, BEGIN + 30 * DAY)) == {"odrl.inform": State.FULFILLED}


def test_a_record_vouches_for_what_no_log_can_show() -> None:
    one = with_rules(
        {
            "action": "inform",
            "assignee": "urn:nobody:known",
            "constraint": [
                {"leftOperand": "recipient", "operator": "eq", "rightOperand": "urn:x:y"},
                {
                    "or": [
                        before("dateTime", "2032-02-01"),
                        {"leftOperand": "count", "operator": "eq", "rightOperand": "1"},
                    ]
                },
            ],
        }
    )
    (code,) = (each.duty for each in named(one))
    assert states(one, END, done(code, END)) == {"odrl.inform": State.FULFILLED}
    assert states(one, END) == {"odrl.inform": State.PENDING}


CONSEQUENCE = {
    "action": "delete",
    "constraint": [before("elapsedTime", "P30D")],
    "consequence": [{"action": "compensate", "constraint": [before("elapsedTime", "P60D")]}],
}
IN_TIME, LATE, TOO_LATE = BEGIN + 30 * DAY, BEGIN + 60 * DAY, BEGIN + 61 * DAY


def test_consequences_are_owed_once_a_duty_is_overdue() -> None:
    one = with_rules(CONSEQUENCE)
    assert states(one, IN_TIME) == {"odrl.delete": State.PENDING}
    assert states(one, IN_TIME + SECOND) == {
        "odrl.delete": State.OVERDUE, "odrl.compensate": State.PENDING
    }  # fmt: skip
    assert states(one, TOO_LATE) == {
        "odrl.delete": State.OVERDUE, "odrl.compensate": State.OVERDUE
    }  # fmt: skip
    (code,) = (each.duty for each in named(one))
    assert states(one, TOO_LATE, done(code, IN_TIME)) == {"odrl.delete": State.FULFILLED}


def full(one: Owed, records: dict[str, Any], now: Any) -> DeonticState:
    """What the evaluator says of the duty with its consequences, from the same records."""
    actions = {"delete": one, "compensate": one.consequences[0]}
    performed = tuple(
        Performed(each.duty.scope.actions[0].iri, when, None, each.duty.scope.targets[0].uid)
        for name, each in actions.items()
        for when in records.get(name, ())
    )
    return follow_odrl(one.duty, None, World(now=now, performed=performed, agreed_at=BEGIN)).state


@pytest.mark.parametrize("deleted", [(), (IN_TIME,), (LATE,)])
@pytest.mark.parametrize("paid", [(), (LATE,), (TOO_LATE,)])
@pytest.mark.parametrize("now", [IN_TIME, IN_TIME + SECOND, LATE, TOO_LATE])
def test_the_list_and_the_evaluator_agree_about_duties_with_consequences(
    deleted: tuple[Any, ...], paid: tuple[Any, ...], now: Any
) -> None:
    one = with_rules(CONSEQUENCE)
    (duty,) = owed(one.id, one.rules, one.dataset, PERMIT.data_user, PERMIT.purpose)
    told = [done(duty.code, when) for when in deleted]
    told += [done(duty.consequences[0].code, when) for when in paid]
    found = states(one, now, *told)
    healed = found["odrl.delete"] is State.LATE and found["odrl.compensate"] is State.FULFILLED
    expected = {
        State.PENDING: DeonticState.NON_SET, State.OVERDUE: DeonticState.VIOLATED,
        State.FULFILLED: DeonticState.FULFILLED, State.LATE: DeonticState.VIOLATED,
    }[found["odrl.delete"]]  # fmt: skip
    if healed:
        expected = DeonticState.FULFILLED
    assert full(duty, {"delete": deleted, "compensate": paid}, now) is expected


def test_a_duty_begins_with_the_first_decision_that_named_it() -> None:
    one = with_rules(ELAPSED)
    (code,) = (each.duty for each in named(one))
    without = allowed(BEGIN - DAY, policy=one)
    first = allowed(policy=one, duties=frozenset({code}), job="sha256:b")
    second = allowed(BEGIN + DAY, policy=one, duties=frozenset({code}), job="sha256:c")
    (found,) = (each for each in follow([without, second, first], END) if each.duty == code)
    assert (found.since, found.due) == (BEGIN, LAST)


def test_a_new_version_that_keeps_the_duty_does_not_ask_for_it_again() -> None:
    one = with_rules(ELAPSED)
    (code,) = (each.duty for each in named(one))
    newer = one.model_copy(update={"version": 2})
    log = [
        *history(one, done(code, BEGIN + DAY)),
        allowed(BEGIN + 2 * DAY, policy=newer, duties=frozenset({code}), job="sha256:b"),
    ]
    (found,) = (each for each in follow(log, END) if each.duty == code)
    assert found.state is State.FULFILLED


@pytest.mark.parametrize(
    ("dataset", "permit_digest", "expected"),
    [
        ("north/flchain", PERMIT.digest, State.FULFILLED),
        ("north/other", PERMIT.digest, State.PENDING),
        ("north/flchain", "sha256:another", State.PENDING),
    ],
)
def test_an_officers_approval_is_the_consent_that_a_duty_asks_for(
    dataset: str, permit_digest: str, expected: State
) -> None:
    one = with_rules({"action": "obtainConsent"})
    given = Consented(BEGIN - DAY, 10_000, PERMIT.id, permit_digest, dataset, given=True)
    assert states(one, BEGIN, given) == {"odrl.obtainConsent": expected}
    assert states(with_rules({"action": "inform"}), BEGIN, given) == {"odrl.inform": State.PENDING}
    assert follow([given], END) == ()


def test_a_consent_that_was_taken_back_is_none_until_it_is_given_again() -> None:
    one = with_rules({"action": "obtainConsent"})
    answers = [
        Consented(BEGIN + index * DAY, 10_000 + index, PERMIT.id, PERMIT.digest, one.dataset, given)
        for index, given in enumerate((True, False, True), -3)
    ]
    for count, expected in ((1, State.FULFILLED), (2, State.PENDING), (3, State.FULFILLED)):
        assert states(one, BEGIN, *answers[:count]) == {"odrl.obtainConsent": expected}


def test_the_record_that_did_it_in_time_is_named() -> None:
    one = with_rules(ELAPSED)
    (duty,) = owed(one.id, one.rules, one.dataset, PERMIT.data_user, PERMIT.purpose)
    early, late = (4, BEGIN + DAY), (9, LAST + DAY)
    assert standing(duty, BEGIN, [early, late], END).by == 4
    assert standing(duty, BEGIN, [late], END).by == 9
    assert standing(duty, BEGIN, [], END).by is None


def test_words_are_short_and_printable_whatever_a_policy_says() -> None:
    one = with_rules(
        *(
            {
                "action": {"@id": f"http://x.y/{'z' * 300}{index}", "includedIn": "use"},
                "target": "urn:a:" + "b" * 500,
            }
            for index in range(2)
        )
    )
    for each in named(one):
        assert len(each.what) <= 200
        assert each.what.isprintable()
        assert len(each.duty) <= 60
