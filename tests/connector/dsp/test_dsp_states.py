"""The tables of transitions, against the protocol's own list."""

import pytest

from connector.dsp.states import (
    FINAL,
    TRANSITIONS,
    Kind,
    Role,
    Signal,
    State,
    after,
    has_passed,
    possible,
)

# DSP 2025-1, state machines, as (from, message, by, to); None begins. Terminations apart.
SPECIFIED = {
    Kind.NEGOTIATION: """
        - request consumer REQUESTED
        - offer provider OFFERED
        REQUESTED offer provider OFFERED
        REQUESTED agree provider AGREED
        OFFERED request consumer REQUESTED
        OFFERED accept consumer ACCEPTED
        ACCEPTED agree provider AGREED
        AGREED verify consumer VERIFIED
        VERIFIED finalize provider FINALIZED
    """,
    Kind.TRANSFER: """
        - request consumer REQUESTED
        REQUESTED start provider STARTED
        STARTED suspend consumer SUSPENDED
        STARTED suspend provider SUSPENDED
        STARTED complete consumer COMPLETED
        STARTED complete provider COMPLETED
        SUSPENDED start consumer STARTED
        SUSPENDED start provider STARTED
    """,
}


def _specified(kind: Kind) -> dict[tuple[str, str, str], str]:
    rows = [line.split() for line in SPECIFIED[kind].strip().splitlines()]
    return {(old, signal, by): new for old, signal, by, new in rows}


@pytest.mark.parametrize("kind", list(Kind))
def test_exactly_what_the_protocol_lists_is_legal(kind: Kind) -> None:
    table = {
        (str(old or "-"), str(signal), str(by)): str(new)
        for (old, signal, by), new in TRANSITIONS[kind].items()
        if signal is not Signal.TERMINATE
    }
    assert table == _specified(kind)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("role", list(Role))
def test_either_side_may_terminate_whatever_is_not_over(kind: Kind, role: Role) -> None:
    states = set(TRANSITIONS[kind].values())
    for state in states:
        expected = None if state in FINAL else State.TERMINATED
        assert after(kind, state, Signal.TERMINATE, role) is expected


@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_follows_what_is_final(kind: Kind) -> None:
    for state in FINAL:
        assert not possible(kind, state, Role.CONSUMER) + possible(kind, state, Role.PROVIDER)


def test_who_is_further_has_passed_and_who_may_have_turned_back_has_not() -> None:
    negotiation = Kind.NEGOTIATION
    assert has_passed(negotiation, State.AGREED, State.AGREED)
    assert has_passed(negotiation, State.AGREED, State.FINALIZED)
    assert has_passed(negotiation, State.AGREED, State.TERMINATED)
    assert not has_passed(negotiation, State.AGREED, State.REQUESTED)
    # From OFFERED a counter-offer leads back: it proves nothing.
    assert not has_passed(negotiation, State.OFFERED, State.REQUESTED)
    assert not has_passed(Kind.TRANSFER, State.SUSPENDED, State.STARTED)
