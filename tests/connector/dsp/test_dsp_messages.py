"""Messages: the official examples are read, what is not one is refused with its place."""

import json
from pathlib import Path
from typing import Any

import kit_wire
import pytest
from kit_wire import SPECS, message, problems

from connector.dsp import messages, terms
from connector.dsp.messages import CONTEXT, Message
from connector.dsp.states import Signal
from connector.errors import RemoteError
from policies.odrl.write import embed

NEEDS_SPECS = pytest.mark.skipif(not SPECS.is_dir(), reason="needs ../shared/specs/dsp-2025-1")
PIDS = {"providerPid": "urn:uuid:p", "consumerPid": "urn:uuid:c"}
OFFER = {"@id": "o", "@type": "Offer", "target": "d", "permission": [{"action": "use"}]}
# Documents that are written elsewhere, and a message that HTTP has no use for.
WRITTEN_ELSEWHERE = {None, "Catalog", "Dataset", "DatasetRequestMessage"}
EXAMPLES = [
    path
    for path in sorted(SPECS.glob("*/example/*.json"))
    if json.loads(path.read_text()).get("@type") not in WRITTEN_ELSEWHERE
]


def _parse(content: dict[str, Any]) -> Message:
    kind = getattr(messages, content["@type"])
    parsed: Message = messages.parse(json.dumps(content).encode(), kind)
    return parsed


@NEEDS_SPECS
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_official_example_is_read_and_spelled_so_that_it_is_valid(example: Path) -> None:
    content = json.loads(example.read_text())
    spelled = _parse(content).spell()
    assert not problems(spelled)
    assert spelled == content


@NEEDS_SPECS
@pytest.mark.parametrize(
    "answer",
    [
        messages.CatalogError(code="X", reason=("why",)),
        messages.CatalogRequestMessage(),
        messages.ContractNegotiationError(provider_pid="p", consumer_pid="c", reason=("why",)),
        messages.TransferError(provider_pid="p", consumer_pid="c"),
        messages.TransferProcess(provider_pid="p", consumer_pid="c", state="STARTED"),
    ],
    ids=lambda answer: answer.type,
)
def test_answers_and_errors_are_valid(answer: Message) -> None:
    assert not problems(answer.spell())


@pytest.mark.parametrize(
    ("altered", "place"),
    [
        ({"@context": CONTEXT}, "@context"),
        ({"@context": ["https://w3id.org/dspace/2024/1/context.json"]}, "@context"),
        ({"@context": [CONTEXT, {"use": "odrl:distribute"}]}, "@context"),
        ({"@context": [CONTEXT] * 17}, "@context"),
        ({"@type": "TransferTerminationMessage"}, "@type"),
        ({"providerPid": 7}, "providerPid"),
        ({"providerPid": ""}, "providerPid"),
        ({"providerPid": "x" * 256}, "providerPid"),
        ({"providerPid": "a b"}, "providerPid"),
        ({"consumerPid": None}, "consumerPid"),
        ({"code": 7}, "code"),
        ({"reason": []}, "reason"),
        ({"reason": "because"}, "reason"),
        ({"reason": ["x"] * 101}, "reason"),
    ],
)
def test_what_is_wrong_with_a_termination_is_named(altered: dict[str, Any], place: str) -> None:
    good = message("ContractNegotiationTerminationMessage", **PIDS)
    _parse(good)
    with pytest.raises(RemoteError, match=place) as caught:
        messages.parse(
            json.dumps(good | altered).encode(), messages.ContractNegotiationTerminationMessage
        )
    assert caught.value.code == "DSP_MALFORMED"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'{"@type": "TransferProcess"}',
        b'{"@context": ["%s"]}' % CONTEXT.encode(),
        b"{" * 100,
        b"[" * 100_000,
        b'{"@context": [], "@context": []}',
        b"\xff\xfe",
        b'{"@context": NaN, "@type": 1e999999}',
    ],
)
def test_what_is_no_json_object_with_context_and_type_is_refused(content: bytes) -> None:
    with pytest.raises(RemoteError) as caught:
        messages.parse(content, messages.TransferProcess)
    assert caught.value.code == "DSP_MALFORMED"


def test_a_message_is_bounded_before_it_is_read() -> None:
    with pytest.raises(RemoteError) as caught:
        messages.parse(b" " * (messages.MAX_BYTES + 1), messages.TransferProcess)
    assert caught.value.code == "DSP_TOO_LARGE"


@pytest.mark.parametrize("kind", ["ContractRequestMessage", "ContractOfferMessage"])
def test_a_negotiation_is_begun_or_continued_but_not_both(kind: str) -> None:
    pids = {"providerPid": "p", "consumerPid": "c"}
    continued = message(kind, **pids, offer=OFFER)
    assert _parse(continued).id == continued["@id"]
    with pytest.raises(RemoteError, match="exactly one"):
        _parse(continued | {"callbackAddress": "https://x.example"})
    optional = "providerPid" if kind == "ContractRequestMessage" else "consumerPid"
    del continued[optional]
    with pytest.raises(RemoteError, match="exactly one"):
        _parse(continued)
    _parse(continued | {"callbackAddress": "https://x.example"})


def test_unknown_keys_are_dropped_and_further_contexts_allowed() -> None:
    sent = message("TransferCompletionMessage", **PIDS, invented={"a": [1]})
    sent["@context"].append("https://example.org/more.jsonld")
    assert "invented" not in _parse(sent).spell()


def test_events_of_either_side_have_their_own_signals() -> None:
    for event, signal in (("ACCEPTED", Signal.ACCEPT), ("FINALIZED", Signal.FINALIZE)):
        parsed = _parse(message("ContractNegotiationEventMessage", **PIDS, eventType=event))
        assert isinstance(parsed, messages.ContractNegotiationEventMessage)
        assert messages.signal_of(parsed) is signal
    with pytest.raises(RemoteError, match="eventType"):
        _parse(message("ContractNegotiationEventMessage", **PIDS, eventType="accepted"))


def test_reasons_may_be_texts_or_objects_and_are_cut() -> None:
    given = ("plain", {"message": "an object"}, {"@value": "a literal"}, 7, {}, "x" * 1000)
    assert messages.reasons_of(given) == ("plain", "an object", "a literal", "x" * 200)
    assert len(messages.reasons_of(("y",) * 100)) == 20


# Policies in messages


@pytest.mark.parametrize(
    ("altered", "place"),
    [
        ({"permission": [{"action": "use", "invented": 1}]}, r"permission\[0\].invented"),
        ({"permission": [{"action": "invented"}]}, r"permission\[0\].action"),
        (
            {"permission": [{"action": "use", "constraint": [
                {"leftOperand": "partner", "operator": "eq", "rightOperand": "gold"}]}]},
            r"leftOperand",
        ),
        ({"profile": "https://example.org/profile"}, "profile"),
        ({"target": ["a", "b"]}, "target"),
        ({"permission": [{"action": ["use", "odrl:index"]}]}, "one action"),
        ({"permission": [{}], "action": "use"}, "one action"),
        ({"permission": []}, "permission"),
        ({"@type": "Agreement"}, "."),
    ],
)  # fmt: skip
def test_a_policy_that_is_not_understood_is_refused_with_its_place(
    altered: dict[str, Any], place: str
) -> None:
    terms.read_offer(OFFER)
    with pytest.raises(RemoteError, match=place) as caught:
        terms.read_offer(OFFER | altered)
    assert caught.value.code == "DSP_POLICY"


def test_an_offer_without_target_is_for_nothing() -> None:
    with pytest.raises(RemoteError, match="target"):
        terms.read_offer({key: value for key, value in OFFER.items() if key != "target"})


def test_prefixed_and_bare_terms_mean_the_same() -> None:
    prefixed = {
        "@id": "other", "@type": "odrl:Offer", "odrl:target": "e",
        "odrl:permission": [{"odrl:action": "odrl:use"}],
    }  # fmt: skip
    one, _ = terms.read_offer(prefixed)
    other, _ = terms.read_offer(OFFER)
    assert terms.same_terms(one, other)


def test_other_constraints_are_other_terms() -> None:
    constraint = {"leftOperand": "count", "operator": "lteq", "rightOperand": "5"}
    one, _ = terms.read_offer(
        OFFER | {"permission": [{"action": "use", "constraint": [constraint]}]}
    )
    other, _ = terms.read_offer(OFFER)
    assert not terms.same_terms(one, other)
    # A number is written as a typed text: the schema allows no JSON number there.
    written = embed(one)["permission"][0]["constraint"][0]["rightOperand"]
    assert written == {"@value": "5", "@type": "http://www.w3.org/2001/XMLSchema#integer"}


def test_an_agreement_keeps_its_timestamp_to_the_nanosecond() -> None:
    value = kit_wire.agreement("d", "us")
    policy, target = terms.read_agreement(value)
    assert target == "d"
    assert terms.spell_agreement(policy, value)["timestamp"] == value["timestamp"]
    assert terms.same_terms(terms.stored(terms.spell_agreement(policy, value)), policy)
    with pytest.raises(RemoteError, match="timestamp"):
        terms.read_agreement(value | {"timestamp": "yesterday"})
