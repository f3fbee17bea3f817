"""dsp-tck, TP and TP_C: transfers under agreements that were concluded before.

TP_02_04 and TP_C_02_04 are disabled in the original, so they are not here.
"""
# ruff: noqa: N802 - a sequence's id is spelled as in the original kit

from kit import Consumer, Kit, Provider


def _started(kit: Kit, agreement: str) -> Consumer:
    """A transfer that the connector under test, which provides, has started."""
    process = kit.transfer_as_consumer(agreement)
    start = process.expect_start()
    process.request()
    start.wait()
    assert process.state() == "STARTED"
    return process


def _requested(kit: Kit, agreement: str) -> Provider:
    """A transfer that the connector under test, which consumes, has asked for."""
    process = kit.transfer_as_provider(agreement)
    process.be_requested()
    assert process.state() == "REQUESTED"
    return process


def _start(kit: Kit, agreement: str) -> Provider:
    process = _requested(kit, agreement)
    process.start()
    assert process.state() == "STARTED"
    return process


def test_TP_01_01_the_provider_terminates_what_it_started(kit: Kit) -> None:
    process = kit.transfer_as_consumer("ATP0101")
    start = process.expect_start()
    process.request()
    start.wait()
    process.expect_termination().wait()
    assert process.state() == "TERMINATED"


def test_TP_01_02_the_provider_completes_what_it_started(kit: Kit) -> None:
    process = kit.transfer_as_consumer("ATP0102")
    start = process.expect_start()
    process.request()
    start.wait()
    process.expect_completion().wait()
    assert process.state() == "COMPLETED"


def test_TP_01_03_the_provider_suspends_and_terminates(kit: Kit) -> None:
    process = kit.transfer_as_consumer("ATP0103")
    start = process.expect_start()
    process.request()
    start.wait()
    process.expect_suspension().wait()
    process.expect_termination().wait()
    assert process.state() == "TERMINATED"


def test_TP_01_04_the_provider_suspends_resumes_and_completes(kit: Kit) -> None:
    process = kit.transfer_as_consumer("ATP0104")
    start = process.expect_start()
    process.request()
    start.wait()
    process.expect_suspension().wait()
    process.expect_start().wait()
    process.expect_completion().wait()
    assert process.state() == "COMPLETED"


def test_TP_01_05_the_provider_terminates_what_was_requested(kit: Kit) -> None:
    process = kit.transfer_as_consumer("ATP0105")
    termination = process.expect_termination()
    process.request()
    termination.wait()
    assert process.state() == "TERMINATED"


def test_TP_02_01_the_consumer_terminates_what_was_started(kit: Kit) -> None:
    process = _started(kit, "ATP0201")
    process.terminate()
    assert process.state() == "TERMINATED"


def test_TP_02_02_the_consumer_completes_what_was_started(kit: Kit) -> None:
    process = _started(kit, "ATP0202")
    process.complete()
    assert process.state() == "COMPLETED"


def test_TP_02_03_the_consumer_suspends_and_terminates(kit: Kit) -> None:
    process = _started(kit, "ATP0203")
    process.suspend()
    assert process.state() == "SUSPENDED"
    process.terminate()
    assert process.state() == "TERMINATED"


def test_TP_02_05_the_consumer_terminates_its_request(kit: Kit) -> None:
    process = kit.transfer_as_consumer("ATP0205")
    process.request()
    process.terminate()
    assert process.state() == "TERMINATED"


def test_TP_03_01_a_request_cannot_be_completed(kit: Kit) -> None:
    process = kit.transfer_as_consumer("ATP0301")
    process.request()
    process.complete_in_vain()
    assert process.state() == "REQUESTED"


def test_TP_03_02_a_request_cannot_be_suspended(kit: Kit) -> None:
    process = kit.transfer_as_consumer("ATP0302")
    process.request()
    process.suspend_in_vain()
    assert process.state() == "REQUESTED"


def test_TP_03_03_what_is_suspended_cannot_be_completed(kit: Kit) -> None:
    process = _started(kit, "ATP0303")
    process.suspend()
    process.complete_in_vain()
    assert process.state() == "SUSPENDED"


def test_TP_03_04_what_is_terminated_cannot_be_started(kit: Kit) -> None:
    process = _started(kit, "ATP0304")
    process.terminate()
    process.start_in_vain()
    assert process.state() == "TERMINATED"


def test_TP_03_05_what_is_terminated_cannot_be_suspended(kit: Kit) -> None:
    process = _started(kit, "ATP0305")
    process.terminate()
    process.suspend_in_vain()
    assert process.state() == "TERMINATED"


def test_TP_03_06_what_is_terminated_cannot_be_completed(kit: Kit) -> None:
    process = _started(kit, "ATP0306")
    process.terminate()
    process.complete_in_vain()
    assert process.state() == "TERMINATED"


def test_TP_C_01_01_the_provider_starts_and_terminates(kit: Kit) -> None:
    process = _start(kit, "ATPC0101")
    process.terminate()
    assert process.state() == "TERMINATED"


def test_TP_C_01_02_the_provider_starts_and_completes(kit: Kit) -> None:
    process = _start(kit, "ATPC0102")
    process.complete()
    assert process.state() == "COMPLETED"


def test_TP_C_01_03_the_provider_suspends_and_terminates(kit: Kit) -> None:
    process = _start(kit, "ATPC0103")
    process.suspend()
    assert process.state() == "SUSPENDED"
    process.terminate()
    assert process.state() == "TERMINATED"


def test_TP_C_01_04_the_provider_suspends_resumes_and_completes(kit: Kit) -> None:
    process = _start(kit, "ATPC0104")
    process.suspend()
    process.start()
    assert process.state() == "STARTED"
    process.complete()
    assert process.state() == "COMPLETED"


def test_TP_C_01_05_the_provider_terminates_what_was_requested(kit: Kit) -> None:
    process = _requested(kit, "ATPC0104")  # the original's own properties use this one twice
    process.terminate()
    assert process.state() == "TERMINATED"


def test_TP_C_02_01_the_consumer_terminates_what_was_started(kit: Kit) -> None:
    process = _requested(kit, "ATPC0201")
    termination = process.expect_termination()
    process.start()
    termination.wait()
    assert process.state() == "TERMINATED"


def test_TP_C_02_02_the_consumer_completes_what_was_started(kit: Kit) -> None:
    process = _requested(kit, "ATPC0202")
    completion = process.expect_completion()
    process.start()
    completion.wait()
    assert process.state() == "COMPLETED"


def test_TP_C_02_03_the_consumer_suspends_and_terminates(kit: Kit) -> None:
    process = _requested(kit, "ATPC0203")
    suspension = process.expect_suspension()
    process.start()
    suspension.wait()
    process.expect_termination().wait()
    assert process.state() == "TERMINATED"


def test_TP_C_02_05_the_consumer_terminates_its_request(kit: Kit) -> None:
    process = kit.transfer_as_provider("ATPC0205")
    process.be_requested()
    process.expect_termination().wait()
    assert process.state() == "TERMINATED"


def test_TP_C_03_01_a_request_cannot_be_completed(kit: Kit) -> None:
    process = _requested(kit, "ATPC0301")
    process.complete_in_vain()
    assert process.state() == "REQUESTED"


def test_TP_C_03_02_a_request_cannot_be_suspended(kit: Kit) -> None:
    process = _requested(kit, "ATPC0302")
    process.suspend_in_vain()
    assert process.state() == "REQUESTED"


def test_TP_C_03_03_what_is_suspended_cannot_be_completed(kit: Kit) -> None:
    process = _start(kit, "ATPC0303")
    process.suspend()
    process.complete_in_vain()
    assert process.state() == "SUSPENDED"


def test_TP_C_03_04_what_is_terminated_cannot_be_started(kit: Kit) -> None:
    process = _start(kit, "ATPC0304")
    process.terminate()
    process.start_in_vain()
    assert process.state() == "TERMINATED"


def test_TP_C_03_05_what_is_terminated_cannot_be_suspended(kit: Kit) -> None:
    process = _start(kit, "ATPC0305")
    process.terminate()
    process.suspend_in_vain()
    assert process.state() == "TERMINATED"


def test_TP_C_03_06_what_is_terminated_cannot_be_completed(kit: Kit) -> None:
    process = _start(kit, "ATPC0306")
    process.terminate()
    process.complete_in_vain()
    assert process.state() == "TERMINATED"
