"""Reading what was written gives the same policy, and nothing but a refusal comes of bad input."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odrl_strategies import policies

from policies.errors import PolicyError
from policies.odrl.model import Permission, Policy, Scope
from policies.odrl.read import read, read_embedded
from policies.odrl.terms import PolicyKind
from policies.odrl.write import embed, write, write_dataspace

FEW = settings(
    max_examples=30, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
MANY = settings(FEW, max_examples=200)


@FEW
@given(policies())
def test_plain_odrl_is_read_back_as_the_same_policy(policy):
    assert read(write(policy)) == policy


@FEW
@given(policies(kinds=(PolicyKind.OFFER, PolicyKind.AGREEMENT)))
def test_the_dataspace_form_is_read_back_as_the_same_policy(policy):
    assert read(write_dataspace(policy)) == policy
    assert read_embedded(embed(policy)) == policy


@FEW
@given(policies(kinds=(PolicyKind.OFFER,)))
def test_writing_is_stable(policy):
    assert write(read(write(policy))) == write(policy)


def test_a_rule_without_action_has_no_form_in_json():
    with pytest.raises(PolicyError, match=r"^\$\.permission\[0\] has no action"):
        write(Policy("urn:p", permissions=(Permission(),)))


def test_the_protocol_cannot_carry_a_set_or_nothing_but_obligations():
    for policy in (
        Policy("urn:p", permissions=(Permission(Scope()),)), Policy("urn:p", PolicyKind.OFFER),
    ):  # fmt: skip
        with pytest.raises(PolicyError) as caught:
            write_dataspace(policy)
        assert caught.value.code == "ODRL_SYNTAX"


def test_terms_outside_the_protocols_context_carry_their_prefix():
    document = json.loads(write_dataspace(_offer()))
    atom = document["permission"][0]["constraint"][0]
    assert atom == {"leftOperand": "odrl:dateTime", "operator": "lteq",
                    "rightOperand": "2030-01-01T00:00:00Z"}  # fmt: skip
    assert document["odrl:conflict"] == "odrl:prohibit"
    assert document["permission"][0]["action"] == "use"


RICH = b"""{"@context": ["http://www.w3.org/ns/odrl.jsonld", {"ex": "http://example.org/"}],
"@type": "Agreement", "uid": "ex:policy", "profile": "https://w3id.org/commensal/odrl",
"conflict": "prohibit", "inheritFrom": ["ex:parent"], "dct:title": "Statistics",
"assigner": "ex:hospital", "target": "ex:register",
"assignee": {"@type": "Party", "uid": "ex:lab", "partOf": "ex:labs"},
"permission": [{"uid": "ex:rule", "action": {"rdf:value": {"@id": "ex:train", "includedIn": "use"},
 "refinement": {"leftOperand": "count", "operator": "lteq", "rightOperand": 3, "unit": "ex:runs"}},
 "target": {"@type": "AssetCollection", "source": "ex:all", "refinement": [{"leftOperand":
  "https://w3id.org/commensal/odrl#cohortSize", "operator": "gteq", "rightOperand": "50"}]},
 "constraint": [{"xone": {"@list": [
   {"leftOperand": "purpose", "operator": "isAnyOf", "rightOperand": [{"@id": "ex:a"}, "ex:b"]},
   {"leftOperand": "elapsedTime", "operator": "lt", "rightOperand":
    {"@value": "P6M", "@type": "xsd:duration"}}]}}],
 "duty": [{"action": "inform", "consequence": [{"action": "delete"}]}]}],
"prohibition": [{"action": "sell", "remedy": [{"action": "compensate"}]}],
"obligation": [{"action": "delete", "constraint": [{"leftOperand": "dateTime", "operator": "lt",
 "rightOperand": "2030-01-01T00:00:00Z"}]}]}"""


def test_the_document_that_is_mutated_below_is_understood():
    policy = read(RICH)
    assert read(write(policy)) == policy
    assert read(write_dataspace(policy)) == policy


def _offer():
    return read(
        b"""{"@context": ["https://w3id.org/dspace/2025/1/context.jsonld"], "@type": "Offer",
        "@id": "urn:o", "odrl:conflict": "odrl:prohibit", "permission": [{"action": "use",
        "constraint": [{"leftOperand": "dateTime", "operator": "lteq",
        "rightOperand": "2030-01-01T00:00:00Z"}]}]}"""
    )


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([
        "http://www.w3.org/ns/odrl.jsonld", "use", "odrl:use", "urn:a", "dateTime", "eq", "Offer",
        "https://w3id.org/dspace/2025/1/context.jsonld", "2030-01-01T00:00:00Z", "P1M", "xsd:date",
    ]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(max_size=5) | st.sampled_from([
            "@context", "@id", "@type", "uid", "permission", "prohibition", "obligation", "action",
            "target", "assignee", "constraint", "leftOperand", "operator", "rightOperand", "and",
            "xone", "@list", "@value", "refinement", "partOf", "source", "rdf:value", "unit",
            "odrl:conflict", "dct:title", "inheritFrom", "profile", "timestamp", "includedIn",
        ]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def only_refused(call, value):
    try:
        call(value)
    except PolicyError as error:
        assert error.code.startswith("ODRL_")  # noqa: PT017 - both outcomes are fine
        assert len(error.message) < 400  # noqa: PT017 - as above


@MANY
@given(_json)
def test_any_json_is_understood_or_refused(value):
    only_refused(read_embedded, value)
    only_refused(read, json.dumps(value).encode())


@MANY
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content):
    with pytest.raises(PolicyError):
        read(content)


@MANY
@given(st.data())
def test_a_policy_with_a_part_replaced_is_understood_or_refused(data):
    document = json.loads(RICH)
    places = list(_places(document))
    holder, key = data.draw(st.sampled_from(places))
    if data.draw(st.booleans()):
        holder[key] = data.draw(_json)
    elif isinstance(holder, dict):
        holder[data.draw(st.sampled_from(["extra", "and", "uid", "action"]))] = holder.pop(key)
    else:
        del holder[key]
    only_refused(read, json.dumps(document).encode())


@MANY
@given(st.integers(0, len(RICH) - 1), st.integers(0, 7))
def test_a_policy_with_a_bit_flipped_is_understood_or_refused(index, bit):
    content = bytearray(RICH)
    content[index] ^= 1 << bit
    only_refused(read, bytes(content))


def _places(value):
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from _places(item)
