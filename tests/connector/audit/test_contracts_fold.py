"""What a log's contracts entitle to."""

from datetime import UTC, datetime
from typing import Any

import pytest

from connector.audit import entries
from connector.audit.contracts import AGREEMENT_MISSING, TRANSFER_NOT_STARTED, Contracts

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PERMIT, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64
JOB = "sha256:" + "a" * 64
ASKED = ("hdab", PERMIT, "north/patients", JOB)


def moved(after: str, **changed: Any) -> entries.ContractMoved:
    known: dict[str, Any] = {
        "time": NOW, "process": "urn:n", "process_kind": "negotiation", "counterparty": "hdab",
        "dataset": "north/patients", "agreement": "urn:a", "role": "provider",
        "permit_digest": PERMIT, "before": "", "after": after, "by": "provider",
    }  # fmt: skip
    return entries.ContractMoved(**(known | changed))


def transfer(after: str, **changed: Any) -> entries.ContractMoved:
    return moved(after, **({"process": "urn:t", "process_kind": "transfer", "job": JOB} | changed))


def ended() -> entries.AgreementEnded:
    return entries.AgreementEnded(
        time=NOW, counterparty="hdab", dataset="north/patients", agreement="urn:a", role="provider"
    )


def fold(*log: entries.Entry) -> Contracts:
    contracts = Contracts()
    for entry in log:
        contracts.apply(entries.parse(entries.spell(entry)))
    return contracts


def test_a_started_transfer_under_a_finalized_agreement_entitles_to_its_job() -> None:
    contracts = fold(moved("FINALIZED"), transfer("REQUESTED"), transfer("STARTED"))
    assert contracts.lacks(*ASKED) == ""
    assert contracts.started(JOB)


@pytest.mark.parametrize("state", ["REQUESTED", "SUSPENDED", "COMPLETED", "TERMINATED"])
def test_a_transfer_in_no_other_state_does(state: str) -> None:
    contracts = fold(moved("FINALIZED"), transfer("STARTED"), transfer(state))
    assert contracts.lacks(*ASKED) == TRANSFER_NOT_STARTED
    assert not contracts.started(JOB)


@pytest.mark.parametrize("state", ["REQUESTED", "AGREED", "VERIFIED", "TERMINATED"])
def test_an_agreement_counts_once_it_is_finalized(state: str) -> None:
    assert fold(moved(state), transfer("STARTED")).lacks(*ASKED) == AGREEMENT_MISSING


def test_an_agreement_that_has_ended_entitles_to_nothing() -> None:
    contracts = fold(moved("FINALIZED"), transfer("STARTED"), ended())
    assert contracts.lacks(*ASKED) == AGREEMENT_MISSING


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"counterparty": "spy"}, AGREEMENT_MISSING),
        ({"permit_digest": OTHER}, AGREEMENT_MISSING),
        ({"dataset": "north/others"}, AGREEMENT_MISSING),
        ({"role": "consumer"}, AGREEMENT_MISSING),
    ],
)
def test_another_partys_permits_or_datasets_agreement_is_none(
    changed: dict[str, str], code: str
) -> None:
    assert fold(moved("FINALIZED", **changed), transfer("STARTED")).lacks(*ASKED) == code


@pytest.mark.parametrize(
    "changed",
    [{"job": OTHER}, {"agreement": "urn:b"}, {"counterparty": "spy"}, {"dataset": "north/others"}],
)
def test_a_transfer_for_something_else_is_none(changed: dict[str, str]) -> None:
    contracts = fold(moved("FINALIZED"), transfer("STARTED", **changed))
    assert contracts.lacks(*ASKED) == TRANSFER_NOT_STARTED
