"""dsp-tck, CN_C: the kit provides, the connector under test consumes once a webhook triggers it."""
# ruff: noqa: N802 - a sequence's id is spelled as in the original kit

from kit import Kit, Provider


def _requested(kit: Kit, dataset: str) -> Provider:
    """A negotiation that the connector under test has asked for."""
    process = kit.negotiate_as_provider(dataset)
    process.be_requested()
    return process


def _accepted(kit: Kit, dataset: str) -> Provider:
    """A negotiation whose offer it has accepted."""
    process = _requested(kit, dataset)
    accepted = process.expect_accepted()
    process.offer()
    accepted.wait()
    return process


def _offered(kit: Kit, dataset: str) -> Provider:
    """A negotiation whose offer it holds."""
    process = _requested(kit, dataset)
    process.offer()
    assert process.state() == "OFFERED"
    return process


def _finalized(process: Provider) -> None:
    verification = process.expect_verification()
    process.agree()
    verification.wait()
    process.finalize()
    assert process.state() == "FINALIZED"


def test_CN_C_01_01_an_offer_is_accepted_verified_and_finalized(kit: Kit) -> None:
    _finalized(_accepted(kit, "ACNC0101"))


def test_CN_C_01_02_an_offer_is_countered_and_the_provider_terminates(kit: Kit) -> None:
    process = _requested(kit, "ACNC0102")
    countered = process.expect_request()
    process.offer()
    assert countered.wait()["offer"]["target"] == "ACNC0102"
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_C_01_03_the_consumer_terminates_after_an_offer(kit: Kit) -> None:
    process = _requested(kit, "ACNC0103")
    termination = process.expect_termination()
    process.offer()
    termination.wait()
    assert process.state() == "TERMINATED"


def test_CN_C_01_04_an_agreement_is_verified_and_finalized(kit: Kit) -> None:
    _finalized(_requested(kit, "ACNC0104"))


def test_CN_C_02_01_the_provider_terminates_after_the_request(kit: Kit) -> None:
    process = _requested(kit, "ACNC0201")
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_C_02_02_the_consumer_terminates_its_own_request(kit: Kit) -> None:
    process = _requested(kit, "ACNC0202")
    process.expect_termination().wait()
    assert process.state() == "TERMINATED"


def test_CN_C_02_03_the_consumer_terminates_after_an_agreement(kit: Kit) -> None:
    process = _requested(kit, "ACNC0203")
    termination = process.expect_termination()
    process.agree()
    termination.wait()
    assert process.state() == "TERMINATED"


def test_CN_C_02_04_the_provider_terminates_its_own_offer(kit: Kit) -> None:
    process = _offered(kit, "ACNC0204")
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_C_02_05_the_provider_terminates_what_was_accepted(kit: Kit) -> None:
    process = _accepted(kit, "ACNC0205")
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_C_02_06_the_provider_terminates_what_was_verified(kit: Kit) -> None:
    process = _requested(kit, "ACNC0206")
    verification = process.expect_verification()
    process.agree()
    verification.wait()
    process.terminate()
    assert process.state() == "TERMINATED"


def test_CN_C_03_01_a_request_cannot_be_finalized(kit: Kit) -> None:
    process = _requested(kit, "ACNC0301")
    process.finalize_in_vain()
    assert process.state() == "REQUESTED"


def test_CN_C_03_02_an_offer_cannot_be_agreed_before_it_is_accepted(kit: Kit) -> None:
    process = _offered(kit, "ACNC0302")
    process.agree_in_vain()
    assert process.state() == "OFFERED"


def test_CN_C_03_03_an_offer_cannot_be_finalized(kit: Kit) -> None:
    process = _offered(kit, "ACNC0303")
    process.finalize_in_vain()
    assert process.state() == "OFFERED"


def test_CN_C_03_04_an_accepted_offer_cannot_be_finalized(kit: Kit) -> None:
    process = _accepted(kit, "ACNC0304")
    process.finalize_in_vain()
    assert process.state() == "ACCEPTED"


def test_CN_C_03_05_an_accepted_offer_cannot_be_offered_again(kit: Kit) -> None:
    process = _accepted(kit, "ACNC0305")
    process.offer_in_vain()
    assert process.state() == "ACCEPTED"


def test_CN_C_03_06_an_agreement_cannot_be_finalized_before_it_is_verified(kit: Kit) -> None:
    process = _accepted(kit, "ACNC0306")
    process.agree()
    assert process.state() == "AGREED"
    process.finalize_in_vain()
    assert process.state() == "AGREED"


def test_a_consumer_that_is_to_hold_says_nothing_while_others_run_to_their_end(kit: Kit) -> None:
    offered = _offered(kit, "ACNC0302")
    agreed = _accepted(kit, "ACNC0306")
    agreed.agree()
    _finalized(_accepted(kit, "ACNC0101"))
    assert (offered.state(), agreed.state()) == ("OFFERED", "AGREED")
