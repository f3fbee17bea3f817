"""Our port of the Eclipse conformance kit (dsp-tck 1.0.1): the side that drives a connector.

Stricter than the original where that needs no sleeping: a state is asked for at once and a single
time, and a request that is refused is not tried again.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import kit_wire
from kit_endpoint import PATIENCE, Endpoint, Expected
from kit_wire import PARTICIPANT, Message, agreement, bare_policy, full_policy, message, new_pid

OFFERED = "CD123:{}:456"


@dataclass(frozen=True)
class Target:
    """The connector under test: where it is found, and the token that it takes for ours."""

    root: str
    dsp: str
    negotiation_webhook: str
    transfer_webhook: str
    token: str
    participant: str
    properties: dict[str, str]


@dataclass
class Kit:
    """A client and a callback endpoint."""

    target: Target
    endpoint: Endpoint
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """The token is sent verbatim."""
        headers = {"Authorization": self.target.token}
        self.client = httpx.Client(headers=headers, timeout=PATIENCE, trust_env=False)

    def get(self, url: str) -> Message:
        """A document that must be there and be valid."""
        answer = self.client.get(url)
        assert answer.status_code == 200, (url, answer.status_code, answer.text)
        return _valid(answer)

    def post(self, url: str, body: Message, status: int = 200) -> httpx.Response:
        """Send what is valid; it must be taken."""
        assert not kit_wire.problems(body), kit_wire.problems(body)
        answer = self.client.post(url, json=body)
        assert answer.status_code == status, (url, body["@type"], answer.status_code, answer.text)
        return answer

    def post_in_vain(self, url: str, body: Message, error: str) -> None:
        """Send what the state forbids: 4xx but not 404, with the protocol's own error."""
        assert not kit_wire.problems(body), kit_wire.problems(body)
        answer = self.client.post(url, json=body)
        assert 400 <= answer.status_code < 500, (url, answer.status_code, answer.text)
        assert answer.status_code != 404, "404 hides a process from its own counter-party"
        refusal = _valid(answer)
        assert refusal["@type"] == error
        assert refusal["consumerPid"] == body["consumerPid"]
        assert refusal["providerPid"] == body["providerPid"]

    def signal(self, url: str, body: dict[str, str]) -> None:
        """Trigger the connector under test as a consumer."""
        answer = self.client.post(url, json=body | {"providerId": PARTICIPANT})
        assert answer.is_success, (url, answer.status_code, answer.text)

    def negotiate_as_consumer(self, dataset: str) -> "Consumer":
        """The connector under test provides."""
        return Consumer(self, "negotiations", dataset)

    def negotiate_as_provider(self, dataset: str) -> "Provider":
        """The connector under test consumes."""
        return Provider(self, "negotiations", dataset)

    def transfer_as_consumer(self, agreement_id: str) -> "Consumer":
        """The connector under test provides."""
        return Consumer(self, "transfers", agreement_id)

    def transfer_as_provider(self, agreement_id: str) -> "Provider":
        """The connector under test consumes."""
        return Provider(self, "transfers", agreement_id)


class Party:
    """One side of one process; `subject` is a dataset's or an agreement's id."""

    def __init__(self, kit: Kit, kind: str, subject: str) -> None:
        self._kit = kit
        self._kind = kind
        self.subject = subject
        self.provider_pid = ""
        self.consumer_pid = ""
        # Each process has its own address, so that no message is taken for another's.
        self.callback = f"{kit.endpoint.address}/{new_pid()}"

    @property
    def _theirs(self) -> str:
        raise NotImplementedError

    @property
    def _ours(self) -> str:
        raise NotImplementedError

    def state(self) -> str:
        """The state of which the connector under test speaks, asked once."""
        found = self._kit.get(self._theirs)
        kind = "ContractNegotiation" if self._kind == "negotiations" else "TransferProcess"
        assert found["@type"] == kind
        assert (found["providerPid"], found["consumerPid"]) == self.pids
        return str(found["state"])

    @property
    def pids(self) -> tuple[str, str]:
        """Provider's and consumer's."""
        return self.provider_pid, self.consumer_pid

    def expect(self, path: str, kind: str, **wanted: str) -> Expected:
        """A message of a kind, with fields of given values, at our address of this process."""

        def check(received: Message) -> None:
            assert (received["providerPid"], received["consumerPid"]) == self.pids
            assert {name: received[name] for name in wanted} == wanted
            assert received["@type"] == kind

        return self._kit.endpoint.expect(f"{self._ours}/{path}", check=check)

    def expect_termination(self) -> Expected:
        return self.expect("termination", self._named("Termination"))

    def terminate(self) -> None:
        self._send("termination", self._named("Termination"), code="1")

    def terminate_in_vain(self) -> None:
        self._send_in_vain("termination", self._named("Termination"), code="1")

    def expect_start(self) -> Expected:
        return self.expect("start", "TransferStartMessage")

    def start(self) -> None:
        self._send("start", "TransferStartMessage", dataAddress=kit_wire.data_address())

    def start_in_vain(self) -> None:
        self._send_in_vain("start", "TransferStartMessage")

    def expect_suspension(self) -> Expected:
        return self.expect("suspension", "TransferSuspensionMessage")

    def suspend(self) -> None:
        self._send("suspension", "TransferSuspensionMessage", code="1")

    def suspend_in_vain(self) -> None:
        self._send_in_vain("suspension", "TransferSuspensionMessage", code="1")

    def expect_completion(self) -> Expected:
        return self.expect("completion", "TransferCompletionMessage")

    def complete(self) -> None:
        self._send("completion", "TransferCompletionMessage")

    def complete_in_vain(self) -> None:
        self._send_in_vain("completion", "TransferCompletionMessage")

    def _named(self, what: str) -> str:
        subject = "ContractNegotiation" if self._kind == "negotiations" else "Transfer"
        return f"{subject}{what}Message"

    def _message(self, kind: str, **fields: Any) -> Message:
        pids = {"providerPid": self.provider_pid, "consumerPid": self.consumer_pid}
        return message(kind, **pids, **fields)

    def _send(self, path: str, kind: str, **fields: Any) -> None:
        self._kit.post(f"{self._theirs}/{path}", self._message(kind, **fields))

    def _send_in_vain(self, path: str, kind: str, **fields: Any) -> None:
        before = self.state()
        error = "ContractNegotiationError" if self._kind == "negotiations" else "TransferError"
        self._kit.post_in_vain(f"{self._theirs}/{path}", self._message(kind, **fields), error)
        assert self.state() == before, "an error changes nothing"


class Consumer(Party):
    """The kit asks; the connector under test provides."""

    def __init__(self, kit: Kit, kind: str, subject: str) -> None:
        super().__init__(kit, kind, subject)
        self.consumer_pid = new_pid()

    @property
    def _theirs(self) -> str:
        return f"{self._kit.target.dsp}/{self._kind}/{self.provider_pid}"

    @property
    def _ours(self) -> str:
        path = self.callback.removeprefix(self._kit.endpoint.address)
        return f"{path}/{self._kind}/{self.consumer_pid}"

    def request(self) -> None:
        """Begin the process; the first answer names the provider's id of it."""
        if self._kind == "negotiations":
            asked = {"offer": bare_policy("Offer", OFFERED.format(self.subject), self.subject)}
            kind = "ContractRequestMessage"
        else:
            asked = {"agreementId": self.subject, "format": "HttpData-PULL"}
            kind = "TransferRequestMessage"
        body = message(kind, consumerPid=self.consumer_pid, callbackAddress=self.callback, **asked)
        answer = self._kit.post(f"{self._kit.target.dsp}/{self._kind}/request", body, status=201)
        made = _valid(answer)
        assert made["consumerPid"] == self.consumer_pid
        assert made["state"] == "REQUESTED"
        self.provider_pid = made["providerPid"]

    def expect_offer(self) -> Expected:
        return self.expect("offers", "ContractOfferMessage")

    def expect_agreement(self) -> Expected:
        return self.expect("agreement", "ContractAgreementMessage")

    def expect_finalized(self) -> Expected:
        return self.expect("events", "ContractNegotiationEventMessage", eventType="FINALIZED")

    def counter(self) -> None:
        self._send("request", "ContractRequestMessage", offer=self._counter_offer())

    def counter_in_vain(self) -> None:
        self._send_in_vain("request", "ContractRequestMessage", offer=self._counter_offer())

    def accept(self) -> None:
        self._send("events", "ContractNegotiationEventMessage", eventType="ACCEPTED")

    def verify(self) -> None:
        self._send("agreement/verification", "ContractAgreementVerificationMessage")

    def verify_in_vain(self) -> None:
        self._send_in_vain("agreement/verification", "ContractAgreementVerificationMessage")

    def _counter_offer(self) -> Message:
        offer = OFFERED.format(self.subject)
        provider = self._kit.target.participant
        return full_policy("Offer", offer, self.subject, provider, PARTICIPANT)


class Provider(Party):
    """The kit is asked; the connector under test consumes, after a webhook has triggered it."""

    def __init__(self, kit: Kit, kind: str, subject: str) -> None:
        super().__init__(kit, kind, subject)
        self.provider_pid = new_pid()
        self._their_callback = ""

    @property
    def _theirs(self) -> str:
        return f"{self._their_callback}/{self._kind}/{self.consumer_pid}"

    @property
    def _ours(self) -> str:
        path = self.callback.removeprefix(self._kit.endpoint.address)
        return f"{path}/{self._kind}/{self.provider_pid}"

    def be_requested(self) -> None:
        """Trigger the connector under test; it must ask for exactly what the webhook named."""
        path = self.callback.removeprefix(self._kit.endpoint.address)
        first = self._kit.endpoint.expect(f"{path}/{self._kind}/request", self._answer)
        target = self._kit.target
        if self._kind == "negotiations":
            offer = {"datasetId": self.subject, "offerId": f"offer{self.subject}"}
            self._kit.signal(
                target.negotiation_webhook, offer | {"connectorAddress": self.callback}
            )
        else:
            entitled = {"agreementId": self.subject, "format": "HttpData-PULL"}
            self._kit.signal(
                target.transfer_webhook, entitled | {"connectorAddress": self.callback}
            )
        self._check_request(first.wait())
        self._wait_until_known()

    def _wait_until_known(self) -> None:
        """Until it has read our answer; the original gains that time as it looks every 100 ms."""
        deadline = time.monotonic() + PATIENCE
        while self._kit.get(self._theirs)["providerPid"] != self.provider_pid:
            assert time.monotonic() < deadline, "our first answer was not taken"
            time.sleep(0.01)

    def _check_request(self, asked: Message) -> None:
        if self._kind == "negotiations":
            assert asked["@type"] == "ContractRequestMessage"
            assert asked["offer"]["@id"] == f"offer{self.subject}"
            assert asked["offer"]["target"] == self.subject
        else:
            assert asked["@type"] == "TransferRequestMessage"
            assert asked["agreementId"] == self.subject
            assert asked["format"] == "HttpData-PULL"

    def _answer(self, asked: Message) -> Message:
        self.consumer_pid = str(asked.get("consumerPid"))
        self._their_callback = str(asked.get("callbackAddress")).removesuffix("/")
        kind = "ContractNegotiation" if self._kind == "negotiations" else "TransferProcess"
        return self._message(kind, state="REQUESTED")

    def expect_request(self) -> Expected:
        return self.expect("request", "ContractRequestMessage")

    def expect_accepted(self) -> Expected:
        return self.expect("events", "ContractNegotiationEventMessage", eventType="ACCEPTED")

    def expect_verification(self) -> Expected:
        return self.expect("agreement/verification", "ContractAgreementVerificationMessage")

    def offer(self) -> None:
        self._send("offers", "ContractOfferMessage", offer=self._offer())

    def offer_in_vain(self) -> None:
        self._send_in_vain("offers", "ContractOfferMessage", offer=self._offer())

    def agree(self) -> None:
        made = agreement(self.subject, self._kit.target.participant)
        extra = {"agreement": made, "callbackAddress": self._kit.endpoint.address}
        self._send("agreement", "ContractAgreementMessage", **extra)

    def agree_in_vain(self) -> None:
        made = agreement(self.subject, self._kit.target.participant)
        self._send_in_vain("agreement", "ContractAgreementMessage", agreement=made)

    def finalize(self) -> None:
        self._send("events", "ContractNegotiationEventMessage", eventType="FINALIZED")

    def finalize_in_vain(self) -> None:
        self._send_in_vain("events", "ContractNegotiationEventMessage", eventType="FINALIZED")

    def _offer(self) -> Message:
        consumer = self._kit.target.participant
        return full_policy("Offer", f"offer{self.subject}", self.subject, PARTICIPANT, consumer)


def _valid(answer: httpx.Response) -> Message:
    assert answer.headers["content-type"].partition(";")[0] == "application/json"
    body: Message = answer.json()
    assert not kit_wire.problems(body), (kit_wire.problems(body), body)
    return body
