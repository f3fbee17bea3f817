"""500 negotiations at once with a provider that is killed three times in the middle."""

import time
from collections import Counter
from pathlib import Path

import pytest
from dsp_live import Live, live
from dsp_process import Killable
from sqlalchemy import create_engine, select, text

from connector.dsp import consumer
from connector.dsp.conformance import use
from connector.dsp.handling import AUTOMATIC
from connector.dsp.tables import AgreementRow, ProcessRow

NEGOTIATIONS = 500
KILLS = (60, 180, 320)  # how many have been agreed on when the plug is pulled
_SECONDS = 150.0  # a bound for broken code on a busy machine; it takes about 25


@pytest.mark.slow
def test_no_negotiation_is_lost_when_the_provider_is_killed_three_times(tmp_path: Path) -> None:
    provider = Killable(tmp_path)
    try:
        with live(tmp_path, "TCK_PARTICIPANT", "CONNECTOR_UNDER_TEST") as side:
            for _ in range(NEGOTIATIONS):
                consumer.request(
                    side.desk, "CONNECTOR_UNDER_TEST", f"{provider.root}/2025-1",
                    use("CD123:ACN0104:456"), "ACN0104", AUTOMATIC,
                )  # fmt: skip
            deadline = time.monotonic() + _SECONDS
            for finalized in KILLS:
                _wait(side, finalized, deadline)
                provider.restart()
            _wait(side, NEGOTIATIONS, deadline)
            assert _states(side) == {"FINALIZED": NEGOTIATIONS}
            with side.desk.store.read() as session:
                agreed = set(session.scalars(select(AgreementRow.id)))
    finally:
        provider.close()
    assert len(agreed) == NEGOTIATIONS
    # What the provider has on its disk is the same: nothing twice, nothing pending.
    assert _provided(tmp_path, "SELECT state FROM dsp_processes") == ["FINALIZED"] * NEGOTIATIONS
    ours = "SELECT id FROM dsp_agreements WHERE state = 'in-force' AND negotiation != ''"
    assert set(_provided(tmp_path, ours)) == agreed


def _states(side: Live) -> "Counter[str]":
    with side.desk.store.read() as session:
        return Counter(session.scalars(select(ProcessRow.state)))


def _wait(side: Live, finalized: int, deadline: float) -> None:
    while _states(side)["FINALIZED"] < finalized:
        assert time.monotonic() < deadline, _states(side)
        time.sleep(0.1)  # a bounded poll of another process's work


def _provided(directory: Path, query: str) -> list[str]:
    engine = create_engine(f"sqlite:///{directory / 'conformance.db'}")
    with engine.connect() as connection:
        found = [str(row[0]) for row in connection.execute(text(query))]
    engine.dispose()
    return found
