"""dsp-tck, CN: the kit asks for a contract, the connector under test provides.

Every dataset has its script (domain/dsp.md section 2.2); what is not scripted is held.
"""
# ruff: noqa: N802 - a sequence's id is spelled as in the original kit

from kit import Consumer, Kit


def _offered(kit: Kit, dataset: str) -> Consumer:
    """A negotiation in OFFERED."""
    process = kit.negotiate_as_consumer(dataset)
    offer = process.expect_offer()
    process.request()
    made = offer.wait()["offer"]
    assert made["target"] == dataset
    return process


def _agreed(kit: Kit, dataset: str) -> Consumer:
    """A negotiation in AGREED without an offer before."""
    process = kit.negotiate_as_consumer(dataset)
    agreement = process.expect_agreement()
    process.request()
    made = agreement.wait()["agreement"]
    assert (made["target"], made["assigner"]) == (dataset, kit.target.participant)
    assert made["timestamp"], "the prose demands what the schema does not"
    return process


def _finalized(process: Consumer) -> None:
    finalized = process.expect_finalized()
    process.verify()
    finalized.wait()
    assert process.state() == "FINALIZED"


def test_CN_01_01_the_consumer_terminates_after_an_offer(kit: Kit) -> None:
    process = _offered(kit, "ACN0101")
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_01_02_the_provider_terminates_after_a_counter_offer(kit: Kit) -> None:
    process = _offered(kit, "ACN0102")
    termination = process.expect_termination()
    process.counter()
    termination.wait()
    assert process.state() == "TERMINATED"


def test_CN_01_03_an_accepted_offer_is_agreed_verified_and_finalized(kit: Kit) -> None:
    process = _offered(kit, "ACN0103")
    agreement = process.expect_agreement()
    process.accept()
    agreement.wait()
    assert process.state() == "AGREED"
    _finalized(process)


def test_CN_01_04_a_request_is_agreed_verified_and_finalized(kit: Kit) -> None:
    _finalized(_agreed(kit, "ACN0104"))


def test_CN_02_01_the_provider_terminates_after_the_request(kit: Kit) -> None:
    process = kit.negotiate_as_consumer("ACN0201")
    process.request()
    process.expect_termination().wait()
    assert process.state() == "TERMINATED"


def test_CN_02_02_the_consumer_terminates_after_the_request(kit: Kit) -> None:
    process = kit.negotiate_as_consumer("ACN0202")
    process.request()
    assert process.state() == "REQUESTED"
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_02_03_the_consumer_terminates_after_an_agreement(kit: Kit) -> None:
    process = _agreed(kit, "ACN0203")
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_02_04_the_consumer_terminates_what_was_only_offered(kit: Kit) -> None:
    process = _offered(kit, "ACN0204")
    assert process.state() == "OFFERED"
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_02_05_the_provider_terminates_its_own_offer(kit: Kit) -> None:
    process = _offered(kit, "ACN0205")
    process.expect_termination().wait()
    assert process.state() == "TERMINATED"


def test_CN_02_06_the_provider_terminates_what_was_accepted(kit: Kit) -> None:
    process = _offered(kit, "ACN0206")
    process.accept()
    process.expect_termination().wait()
    assert process.state() == "TERMINATED"


def test_CN_02_07_the_provider_terminates_what_was_verified(kit: Kit) -> None:
    process = _agreed(kit, "ACN0207")
    termination = process.expect_termination()
    process.verify()
    termination.wait()
    assert process.state() == "TERMINATED"


def test_CN_03_01_nothing_ends_what_is_finalized(kit: Kit) -> None:
    process = _agreed(kit, "ACN0301")
    _finalized(process)
    process.terminate_in_vain()


def test_CN_03_02_an_offer_cannot_be_verified(kit: Kit) -> None:
    _offered(kit, "ACN0302").verify_in_vain()


def test_CN_03_03_an_accepted_offer_cannot_be_verified_before_the_agreement(kit: Kit) -> None:
    process = _offered(kit, "ACN0303")
    process.accept()
    assert process.state() == "ACCEPTED"
    process.verify_in_vain()


def test_CN_03_04_two_counter_offers_in_a_row_are_one_too_many(kit: Kit) -> None:
    process = _offered(kit, "ACN0304")
    process.counter()
    assert process.state() == "REQUESTED"
    process.counter_in_vain()


def test_what_is_held_stays_held_while_others_run_to_their_end(kit: Kit) -> None:
    requested = kit.negotiate_as_consumer("ACN0202")
    requested.request()
    accepted = _offered(kit, "ACN0303")
    accepted.accept()
    countered = _offered(kit, "ACN0304")
    countered.counter()
    _finalized(_agreed(kit, "ACN0104"))
    held = requested.state(), accepted.state(), countered.state()
    assert held == ("REQUESTED", "ACCEPTED", "REQUESTED")
