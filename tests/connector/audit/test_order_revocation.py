"""After a revocation nothing happens under its permit, in anybody's log."""

from typing import Any

import pytest
from logbook import HDAB, JOB, activated, after, decided, released, reserved, revoked

from connector.audit import entries
from connector.audit.ledger import Ledger
from connector.audit.order import Order
from connector.identity import documents
from connector.identity.keys import SigningKey
from connector.revocation import Revocation
from policies.errors import PolicyError

STARTED = entries.JobStarted(
    time=after(0), job=JOB, permit_digest="sha256:01", participants=("north",)
)
LABELLED = entries.Labelled(time=after(0), job=JOB, subject="s", label_digest="l")


def check(*log: entries.Entry) -> None:
    order = Order("north")
    for index, entry in enumerate([activated(), *log]):
        order.check(index, entry.encode())


def broken(*log: entries.Entry) -> str:
    """What is wrong with the last one; those before it are in order."""
    check(*log[:-1])
    with pytest.raises(PolicyError) as refusal:
        check(*log)
    assert refusal.value.code == "LOG_ORDER"
    return refusal.value.message


def another(**changed: Any) -> entries.PermitRevoked:
    statement = Revocation(
        permit_id="permit-2", permit_digest="sha256:02", effect="revoked",
        reason="risk", revoked_at=after(0),
    )  # fmt: skip
    document = documents.sign(HDAB, statement)
    return revoked(
        permit_id="permit-2", permit_digest="sha256:02", reason="risk", document=document, **changed
    )


@pytest.mark.parametrize(
    "log",
    [
        (revoked(), decided()),
        (decided(), revoked(), reserved()),
        (decided(), reserved(), revoked(), released()),
        (revoked(), STARTED),
        (STARTED, revoked(), LABELLED),
    ],
    ids=lambda log: log[-1].kind,
)
def test_nothing_happens_under_a_permit_after_its_revocation(log: tuple[Any, ...]) -> None:
    assert "revoked or suspended before" in broken(*log)


def test_what_happened_before_it_and_under_other_permits_is_in_order() -> None:
    check(another(), decided(), reserved(), released(), revoked())
    check(another(), STARTED, LABELLED, revoked())


@pytest.mark.parametrize(
    "changed",
    [
        {"permit_id": "permit-9"}, {"permit_digest": "sha256:99"}, {"effect": "suspended"},
        {"reason": "court"},
    ],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_an_entry_that_says_something_else_than_its_statement_is_found(
    changed: dict[str, str],
) -> None:
    assert "something else" in broken(revoked(**changed))


def test_a_statement_that_the_named_key_did_not_sign_is_found() -> None:
    stranger = SigningKey("hdab", b"x" * 32).verify_key.vkey
    assert "did not sign" in broken(revoked(actor=stranger))
    assert "did not sign" in broken(revoked(actor="nobody"))
    assert "did not sign" in broken(revoked(document="{}"))


def test_the_fold_knows_a_revoked_permit_by_id_and_by_digest() -> None:
    ledger = Ledger()
    ledger.apply(revoked())
    assert ledger.standing.revoked("permit-1")
    assert ledger.standing.revoked("permit-9", "sha256:01")
    assert not ledger.standing.revoked("permit-9", "sha256:09")
